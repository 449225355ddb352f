/* SPDX-License-Identifier: MIT */
/* ed25519.c - signatures over whole messages by libcrypto: Ed25519 has no streaming form. */
#include "augury/seal.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { PEM_BYTES_MAX = 65536 };

/* The name of a key's kind, for a refusal: "RSA", "EC". */
static const char *
kind_of(const EVP_PKEY *pkey)
{
    const char *name = EVP_PKEY_get0_type_name(pkey);

    return name != NULL ? name : "unknown";
}

/* A passphrase is never asked for: whoever calls may have no terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static int
read_pem(struct bytes pem, BIO **out_bio, struct err *err)
{
    if (pem.len == 0 || pem.len > PEM_BYTES_MAX) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_key",
                       "%zu bytes are no PEM file of one key", pem.len);
    }
    *out_bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    return *out_bio != NULL ? 0
                            : err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a key");
}

static int
check_kind(const EVP_PKEY *pkey, struct err *err)
{
    if (EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519) {
        return 0;
    }
    return err_set(err, AUGURY_ERR_INVALID, "invalid_key",
                   "a key of kind %s, expected ED25519 (openssl genpkey -algorithm ed25519)",
                   kind_of(pkey));
}

static int
digest_of_key(EVP_PKEY *pkey, struct seal_key *key)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    int rc = len > 0 ? seal_sha256(bytes_of(der, (size_t)len), key->id) : AUGURY_ERR_NOMEM;

    OPENSSL_free(der);
    return rc;
}

int
seal_key_from_pem(struct bytes pem, struct seal_key *out_key, struct err *err)
{
    struct seal_key key;
    size_t raw_len = sizeof(key.raw);
    EVP_PKEY *pkey = NULL;
    BIO *bio = NULL;
    int rc = read_pem(pem, &bio, err);

    if (rc != 0) {
        return rc;
    }
    pkey = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    if (pkey == NULL) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_key",
                     "no public key in PEM, expected -----BEGIN PUBLIC KEY----- "
                     "(openssl pkey -in KEY -pubout)");
    }
    if (rc == 0) {
        rc = check_kind(pkey, err);
    }
    if (rc == 0 && (EVP_PKEY_get_raw_public_key(pkey, key.raw, &raw_len) != 1 ||
                    raw_len != sizeof(key.raw) || digest_of_key(pkey, &key) != 0)) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a key");
    }
    if (rc == 0) {
        *out_key = key;
    }
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return rc;
}

int
seal_verify(const struct seal_key *key, struct bytes message, struct bytes signature)
{
    int rc = AUGURY_ERR_NOMEM;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->raw, sizeof(key->raw));

    if (context != NULL && pkey != NULL &&
        EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1) {
        bool is_good = signature.len == SEAL_SIGNATURE_BYTES &&
                       EVP_DigestVerify(context, signature.data, signature.len, message.data,
                                        message.len) == 1;
        rc = is_good ? 0 : AUGURY_NOT_FOUND;
    }
    EVP_PKEY_free(pkey);
    EVP_MD_CTX_free(context);
    return rc;
}

static int
sign(EVP_PKEY *pkey, struct bytes message, uint8_t *out_signature)
{
    uint8_t signature[SEAL_SIGNATURE_BYTES];
    size_t len = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
                   EVP_DigestSign(context, signature, &len, message.data, message.len) == 1 &&
                   len == sizeof(signature);

    EVP_MD_CTX_free(context);
    if (is_done) {
        memcpy(out_signature, signature, sizeof(signature));
    }
    return is_done ? 0 : AUGURY_ERR_NOMEM;
}

int
seal_sign(struct bytes pem, struct bytes message, uint8_t *out_signature, struct err *err)
{
    EVP_PKEY *pkey = NULL;
    BIO *bio = NULL;
    int rc = read_pem(pem, &bio, err);

    if (rc != 0) {
        return rc;
    }
    pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (pkey == NULL) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_key",
                     "no private key in PEM without a passphrase; sign with openssl pkeyutl -sign "
                     "-rawin when it has one");
    }
    if (rc == 0) {
        rc = check_kind(pkey, err);
    }
    if (rc == 0 && sign(pkey, message, out_signature) != 0) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "signing_failed", "libcrypto could not sign");
    }
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return rc;
}
