/* SPDX-License-Identifier: MIT */
/* seal.c - SHA-256 (FIPS 180-4) by libcrypto, random bytes from the kernel, comparison in constant
 * time. */
#include "augury/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { FILE_PIECE_BYTES = 64 * 1024 };

int
seal_sha256(struct bytes data, uint8_t *out_digest)
{
    uint8_t digest[SEAL_SHA256_BYTES];

    if (EVP_Digest(data.data, data.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return AUGURY_ERR_NOMEM;
    }
    memcpy(out_digest, digest, sizeof(digest));
    return 0;
}

static int
digest_rest_of_file(EVP_MD_CTX *context, FILE *file)
{
    uint8_t piece[FILE_PIECE_BYTES];
    size_t len;

    while ((len = fread(piece, 1, sizeof(piece), file)) > 0) {
        if (EVP_DigestUpdate(context, piece, len) != 1) {
            return AUGURY_ERR_NOMEM;
        }
    }
    return ferror(file) != 0 ? AUGURY_ERR_IO : 0;
}

int
seal_sha256_file(FILE *file, uint8_t *out_digest)
{
    uint8_t digest[SEAL_SHA256_BYTES];
    int rc = AUGURY_ERR_NOMEM;

    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        goto out;
    }
    rc = digest_rest_of_file(context, file);
    if (rc == 0 && EVP_DigestFinal_ex(context, digest, NULL) != 1) {
        rc = AUGURY_ERR_NOMEM;
    }
    if (rc == 0) {
        memcpy(out_digest, digest, sizeof(digest));
    }
out:
    EVP_MD_CTX_free(context);
    return rc;
}

int
seal_random(uint8_t *out_data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = getrandom(out_data + done, len - done, 0);
        if (got < 0 && errno != EINTR) {
            return AUGURY_ERR_IO;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

bool
seal_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
