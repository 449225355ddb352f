/* SPDX-License-Identifier: MIT */
/*
 * net_tls.c - TLS 1.2 and 1.3 by OpenSSL, with the parameters that Mozilla calls intermediate, and
 * session tickets under keys that all workers share.
 * Sources: RFC 5246, RFC 8446, RFC 5077 (tickets), RFC 7301 (ALPN); wiki.mozilla.org/Security/
 * Server_Side_TLS, version 5.
 * Invariants:
 * 1. The error queue of OpenSSL is empty before each call: what it says afterwards is of this one.
 * 2. After a failure of the protocol nothing is sent or received any more.
 * 3. A ticket key is read whole or not at all: a sequence lock guards the three of them.
 */
#include "net_tls.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ECDHE with an authenticated cipher, nothing else; 1.3 has only such. */
static const char ciphers_12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";
static const char protocol[] = "http/1.1";

enum {
    SESSION_S = 3600,
    TICKET_KEYS = 3, /* the newest encrypts, all of them decrypt */
    TICKET_NAME_BYTES = 16,
    TICKET_KEY_BYTES = 32,
    TICKET_IV_BYTES = 16,
    TICKET_RENEW_MS = 12 * 3600 * 1000,
    READ_TRIES = 8,
};

struct net_tls {
    SSL_CTX *context;
    const struct net_tickets *tickets;
};

struct tls_session {
    SSL *ssl;
    bool is_established;
    bool is_broken;
};

/* ---- tickets --------------------------------------------------------------------------------- */

struct ticket_key {
    uint8_t name[TICKET_NAME_BYTES];
    uint8_t cipher[TICKET_KEY_BYTES];
    uint8_t mac[TICKET_KEY_BYTES];
    uint64_t made_wall_ms; /* 0: no key */
};

enum { TICKET_WORDS = TICKET_KEYS * sizeof(struct ticket_key) / sizeof(uint64_t) };
_Static_assert(sizeof(struct ticket_key) % sizeof(uint64_t) == 0, "keys are whole words");

struct net_tickets {
    _Atomic uint32_t sequence;            /* odd while the keys change */
    _Atomic uint64_t words[TICKET_WORDS]; /* of the keys, the newest first */
};

static void
tickets_load(const struct net_tickets *tickets, struct ticket_key *out_keys)
{
    uint64_t words[TICKET_WORDS] = {0};

    for (size_t i = 0; i < TICKET_WORDS; i++) {
        words[i] = atomic_load_explicit(&tickets->words[i], memory_order_acquire);
    }
    memcpy(out_keys, words, sizeof(words));
    explicit_bzero(words, sizeof(words));
}

static void
tickets_store(struct net_tickets *tickets, const struct ticket_key *keys)
{
    uint64_t words[TICKET_WORDS];

    memcpy(words, keys, sizeof(words));
    atomic_fetch_add(&tickets->sequence, 1);
    for (size_t i = 0; i < TICKET_WORDS; i++) {
        atomic_store_explicit(&tickets->words[i], words[i], memory_order_release);
    }
    atomic_fetch_add(&tickets->sequence, 1);
    explicit_bzero(words, sizeof(words));
}

size_t
net_tickets_bytes(void)
{
    return sizeof(struct net_tickets);
}

struct net_tickets *
net_tickets_attach(void *shared_memory)
{
    return shared_memory;
}

int
net_tickets_rotate(struct net_tickets *tickets, uint64_t now_wall_ms)
{
    struct ticket_key keys[TICKET_KEYS];
    struct ticket_key key = {.made_wall_ms = now_wall_ms};
    int rc = 0;

    tickets_load(tickets, keys);
    /* A clock put back makes a key seem to be of the future: then it is renewed as well. */
    bool is_fresh = keys[0].made_wall_ms != 0 && now_wall_ms >= keys[0].made_wall_ms &&
                    now_wall_ms - keys[0].made_wall_ms < TICKET_RENEW_MS;
    if (!is_fresh) {
        bool is_made = RAND_bytes(key.name, sizeof(key.name)) == 1 &&
                       RAND_priv_bytes(key.cipher, sizeof(key.cipher)) == 1 &&
                       RAND_priv_bytes(key.mac, sizeof(key.mac)) == 1;
        if (is_made) {
            memmove(&keys[1], &keys[0], (TICKET_KEYS - 1) * sizeof(key));
            keys[0] = key;
            tickets_store(tickets, keys);
        }
        rc = is_made ? 0 : AUGURY_ERR_IO;
    }
    explicit_bzero(keys, sizeof(keys));
    explicit_bzero(&key, sizeof(key));
    return rc;
}

static bool
tickets_read(const struct net_tickets *tickets, struct ticket_key *out_keys)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = atomic_load(&tickets->sequence);
        tickets_load(tickets, out_keys);
        if (before % 2 == 0 && atomic_load(&tickets->sequence) == before) {
            return true;
        }
    }
    return false;
}

static bool
ticket_mac_init(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* The number of the key that a ticket names, or -1. */
static int
ticket_key_find(const struct ticket_key *keys, const unsigned char *name)
{
    for (int i = 0; i < TICKET_KEYS; i++) {
        if (keys[i].made_wall_ms != 0 && memcmp(keys[i].name, name, TICKET_NAME_BYTES) == 0) {
            return i;
        }
    }
    return -1;
}

/* OpenSSL's callback for a ticket: 1 done, 2 done and the client should get a new one, 0 no
 * ticket, -1 failure. Of 1.3 a client uses a ticket once (RFC 8446 C.4): without a new one its next
 * connection would begin anew. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
          EVP_MAC_CTX *mac, int is_encrypting)
{
    const struct net_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key keys[TICKET_KEYS];
    int result = 0;

    if (tls->tickets == NULL || !tickets_read(tls->tickets, keys)) {
        return 0;
    }
    int number = is_encrypting != 0 ? 0 : ticket_key_find(keys, name);
    bool is_old = number > 0 || (is_encrypting == 0 && SSL_version(ssl) == TLS1_3_VERSION);
    if (number >= 0 && keys[number].made_wall_ms != 0) {
        struct ticket_key *key = &keys[number];
        bool is_ready = true;
        if (is_encrypting != 0) {
            memcpy(name, key->name, TICKET_NAME_BYTES);
            is_ready = RAND_bytes(iv, TICKET_IV_BYTES) == 1;
        }
        is_ready = is_ready &&
                   EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv,
                                     is_encrypting != 0 ? 1 : 0) == 1 &&
                   ticket_mac_init(mac, key);
        result = !is_ready ? -1 : is_old ? 2 : 1;
    }
    explicit_bzero(keys, sizeof(keys));
    return result;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static int
refuse(struct err *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

    err_set(err, AUGURY_ERR_INVALID, "bad_tls", "%s: %s", what,
            reason == NULL ? "not what it should be" : reason);
    ERR_clear_error();
    return AUGURY_ERR_INVALID;
}

/* A key with a password has no place in a daemon: nobody could type it. */
static int
no_password(char *room, int size, int is_writing, void *arg)
{
    (void)room;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

static BIO *
bio_of(struct bytes pem)
{
    return pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.data, (int)pem.len);
}

/* The server's certificate first, then those that lead to a root. */
static int
use_certificates(SSL_CTX *context, struct bytes pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    bool is_good = certificate != NULL && SSL_CTX_use_certificate(context, certificate) == 1;

    X509_free(certificate);
    while (is_good && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        is_good = SSL_CTX_add0_chain_cert(context, certificate) == 1;
        if (!is_good) {
            X509_free(certificate);
        }
    }
    BIO_free(bio);
    if (!is_good) {
        return refuse(err, "the certificate (PEM, the server's first)");
    }
    ERR_clear_error(); /* the end of the file is told as an error */
    return 0;
}

static int
use_key(SSL_CTX *context, struct bytes pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    bool is_good = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1;

    EVP_PKEY_free(key);
    BIO_free(bio);
    if (!is_good) {
        return refuse(err, "the private key (PEM, without a password)");
    }
    return SSL_CTX_check_private_key(context) == 1
               ? 0
               : refuse(err, "the private key is not that of the certificate");
}

static int
use_client_ca(SSL_CTX *context, struct bytes pem, struct err *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *bio = bio_of(pem);
    X509 *certificate;
    unsigned count = 0;
    bool is_good = bio != NULL;

    while (is_good && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        is_good = X509_STORE_add_cert(store, certificate) == 1 &&
                  SSL_CTX_add_client_CA(context, certificate) == 1;
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    if (!is_good || count == 0) {
        return refuse(err, "the certificates of those who sign clients' (PEM)");
    }
    ERR_clear_error();
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

/* A client that offers protocols offers ours, or there is nothing to talk about. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
        unsigned int offered_len, void *arg)
{
    size_t len = sizeof(protocol) - 1;

    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
        if (offered[at] == len && at + 1 + len <= offered_len &&
            memcmp(offered + at + 1, protocol, len) == 0) {
            *out = offered + at + 1;
            *out_len = (unsigned char)len;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int
set_parameters(struct net_tls *tls, const struct net_tls_options *options, struct err *err)
{
    SSL_CTX *context = tls->context;
    struct digest who = digest_of(options->client_ca);
    unsigned char id[16];

    le64_put(id, who.lo);
    le64_put(id + 8, who.hi);
    int least = options->is_12_allowed ? TLS1_2_VERSION : TLS1_3_VERSION;
    /* A session belongs to those who may begin one: other signers, other sessions. */
    if (SSL_CTX_set_min_proto_version(context, least) != 1 ||
        SSL_CTX_set_cipher_list(context, ciphers_12) != 1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1 ||
        SSL_CTX_set_session_id_context(context, id, sizeof(id)) != 1) {
        return refuse(err, "OpenSSL refuses the parameters of TLS");
    }
    /* Our order, but for clients whose first wish is ChaCha20: they have no AES in hardware. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* a record by one system call, not by two */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, SESSION_S);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    SSL_CTX_set_app_data(context, tls);
    if (options->tickets == NULL) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    } else {
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    }
    return 0;
}

int
net_tls_new(const struct net_tls_options *options, struct net_tls **out_tls, struct err *err)
{
    struct net_tls *tls = calloc(1, sizeof(*tls));

    ERR_clear_error();
    if (tls != NULL) {
        tls->context = SSL_CTX_new(TLS_server_method());
        tls->tickets = options->tickets;
    }
    if (tls == NULL || tls->context == NULL) {
        net_tls_free(&tls);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for TLS");
    }
    int rc = set_parameters(tls, options, err);
    if (rc == 0) {
        rc = use_certificates(tls->context, options->certificate, err);
    }
    if (rc == 0) {
        rc = use_key(tls->context, options->key, err);
    }
    if (rc == 0 && options->client_ca.len > 0) {
        rc = use_client_ca(tls->context, options->client_ca, err);
    }
    if (rc != 0) {
        net_tls_free(&tls);
        return rc;
    }
    *out_tls = tls;
    return 0;
}

void
net_tls_free(struct net_tls **tls)
{
    if (*tls != NULL) {
        SSL_CTX_free((*tls)->context);
        free(*tls);
        *tls = NULL;
    }
}

/* ---- sessions -------------------------------------------------------------------------------- */

struct tls_session *
tls_accept(const struct net_tls *tls, int fd)
{
    struct tls_session *session = calloc(1, sizeof(*session));

    if (session == NULL) {
        return NULL;
    }
    session->ssl = SSL_new(tls->context);
    if (session->ssl == NULL || SSL_set_fd(session->ssl, fd) != 1) {
        tls_free(&session);
        return NULL;
    }
    SSL_set_accept_state(session->ssl);
    return session;
}

/* What a call that did not succeed means, as errno. 0: the other side has ended in order. */
static int
failure_of(struct tls_session *session, int result, unsigned *news)
{
    int saved = errno;

    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ: return EAGAIN;
    case SSL_ERROR_WANT_WRITE: *news |= TLS_WANTS_WRITE; return EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
        session->is_broken = true;
        return saved == EINTR || saved == EAGAIN || saved == 0 ? ECONNRESET : saved;
    default: session->is_broken = true; return EPROTO;
    }
}

ssize_t
tls_read(struct tls_session *session, uint8_t *room, size_t size, unsigned *out_news)
{
    size_t filled = 0;
    int why = EPROTO;

    *out_news = 0;
    while (!session->is_broken && filled < size) {
        size_t n = 0;
        ERR_clear_error();
        errno = 0;
        int result = SSL_read_ex(session->ssl, room + filled, size - filled, &n);
        if (result != 1) {
            why = failure_of(session, result, out_news);
            break;
        }
        filled += n;
        if (SSL_has_pending(session->ssl) == 0) {
            break; /* all that has come is read; the socket tells when there is more */
        }
    }
    if (!session->is_established && SSL_is_init_finished(session->ssl) == 1) {
        session->is_established = true;
        *out_news |= TLS_HANDSHAKE_DONE;
        *out_news |= SSL_session_reused(session->ssl) == 1 ? TLS_RESUMED : 0;
    }
    if (filled == size) {
        *out_news |= TLS_HAS_MORE;
    }
    if (filled > 0 || why == 0) {
        return (ssize_t)filled;
    }
    errno = why;
    return -1;
}

ssize_t
tls_write(struct tls_session *session, const uint8_t *data, size_t len)
{
    size_t sent = 0;

    while (!session->is_broken && sent < len) {
        size_t n = 0;
        unsigned news = 0;
        ERR_clear_error();
        errno = 0;
        int result = SSL_write_ex(session->ssl, data + sent, len - sent, &n);
        if (result != 1) {
            int why = failure_of(session, result, &news);
            if (sent == 0) {
                errno = why == 0 ? EPIPE : why;
                return -1;
            }
            break;
        }
        sent += n;
    }
    if (sent == 0 && len > 0) {
        errno = EPROTO;
        return -1;
    }
    return (ssize_t)sent;
}

void
tls_shutdown(struct tls_session *session)
{
    if (session->is_established && !session->is_broken) {
        ERR_clear_error();
        (void)SSL_shutdown(session->ssl); /* what the socket does not take is not waited for */
    }
}

void
tls_free(struct tls_session **session)
{
    if (*session != NULL) {
        SSL_free((*session)->ssl);
        free(*session);
        *session = NULL;
    }
}
