/* SPDX-License-Identifier: MIT */
/*
 * api_keys.h - who may ask, and how often: the file of keys, and token buckets in shared memory.
 * Room: api (floor 4). Process: master (reads the file, fits the buckets), worker (finds keys,
 * takes from buckets), cli (makes keys, lists them).
 * A key is a random text that its client keeps; the file has its SHA-256, so that who reads the
 * file has no key.
 */
#pragma once

#include <stdatomic.h>

#include "augury/conf.h"
#include "augury/seal.h"
#include "augury/wire.h"

/* ---- token buckets --------------------------------------------------------------------------- */

/* Never more than burst + time / interval_ns requests pass. */
struct api_rate {
    uint64_t interval_ns; /* 0: any rate */
    uint32_t burst;
};

/* One bucket is one word: when it will be full again, on the monotonic clock. A bucket that is full
 * has nothing to remember, so its place may be given to another at any time. */
struct api_bucket {
    _Atomic uint64_t id; /* 0: nobody's */
    _Atomic uint64_t full_mono_ns;
};

/* In shared memory, made before the forks; nothing in it is ever locked. */
struct api_buckets;
size_t api_buckets_bytes(void);
/* Zeroed memory becomes buckets that are full. AUGURY_ERR_IO: no random bytes. */
AUGURY_MUST_USE int api_buckets_attach(void *shared_memory, struct api_buckets **out_buckets);

/* What came of a request; times from now. */
struct api_take {
    bool is_allowed;
    uint32_t limit;    /* requests at once */
    uint32_t left;     /* of these, after this one */
    uint64_t retry_ns; /* until the next one passes, when this one did not */
    uint64_t full_ns;  /* until all pass again */
};
void api_bucket_take(struct api_bucket *bucket, struct api_rate rate, uint64_t now_mono_ns,
                     struct api_take *out_take);
/* The bucket of a client without a key: of its address, of IPv6 the first 64 bits, which are what
 * one site has; all who come by UNIX sockets are one. */
struct api_bucket *api_bucket_of_client(struct api_buckets *buckets,
                                        const struct ip_address *address);

/* ---- keys ------------------------------------------------------------------------------------ */

enum {
    API_KEYS_MAX = 1024,
    API_KEY_NAME_MAX = 63,
    API_KEY_TEXT_MAX = 256, /* of a key as clients send it */
    API_KEY_NEW_BYTES = 47, /* of one that api_key_make() made: "aug_" and 43 of base64url */
    API_KEY_RATE_MAX = 23,
    API_KEYS_FILE_MAX = 1 << 20
};

/* As enum api_scope of a route, one bit each. */
enum api_key_scope { API_KEY_PREDICT = 1 << 0, API_KEY_READ = 1 << 1, API_KEY_WRITE = 1 << 2 };

struct api_key {
    char name[API_KEY_NAME_MAX + 1];
    uint8_t sha256[SEAL_SHA256_BYTES];
    unsigned scopes;      /* enum api_key_scope */
    struct api_rate rate; /* interval_ns 0: any */
    char rate_text[API_KEY_RATE_MAX + 1];
    uint64_t expires_wall_ms; /* 0: never */
    uint32_t bucket;          /* of api_key_fit() */
};

struct api_keys;
/* The keys of a text, a line each: NAME SHA256HEX scopes=predict,read,write [rate=100/s]
 * [burst=200] [expires=2027-01-31]. path: for the places of errors. All errors are collected;
 * AUGURY_ERR_INVALID when there is one, and never a key's digest in it. */
AUGURY_MUST_USE int api_keys_parse(const char *path, struct bytes text, struct api_keys **out_keys,
                                   struct conf_errors *out_errors);
/* The same of a file, which is refused when everybody may read it or others may write to it.
 * "none": *out_keys is NULL. */
AUGURY_MUST_USE int api_keys_read(const char *path, struct api_keys **out_keys,
                                  struct conf_errors *out_errors);
void api_keys_free(struct api_keys **keys);
size_t api_keys_count(const struct api_keys *keys); /* NULL: 0 */
const struct api_key *api_keys_at(const struct api_keys *keys, size_t i);
/* AUGURY_NOT_FOUND. The last comparison takes the same time whatever differs. */
AUGURY_MUST_USE int api_keys_find(const struct api_keys *keys, const uint8_t *sha256,
                                  const struct api_key **out_key);
bool api_key_is_expired(const struct api_key *key, uint64_t now_wall_ms);
/* Gives each key with a rate its bucket, by its name, so that a reload leaves it what it has; and
 * where the rate has become another one, the bucket owes no more than it holds. Process: master,
 * before the forks of a generation. */
void api_keys_fit(struct api_keys *keys, struct api_buckets *buckets, uint64_t now_mono_ns);
void api_key_fit(struct api_key *key, struct api_buckets *buckets, uint64_t now_mono_ns);
/* The latter for the buckets of clients. */
struct api_rate api_client_rate(const struct conf *conf);
void api_clients_fit(struct api_buckets *buckets, struct api_rate rate, uint64_t now_mono_ns);
struct api_bucket *api_bucket_of_key(struct api_buckets *buckets, const struct api_key *key);

/* "predict,read" → bits. AUGURY_ERR_INVALID: a word that is none, or no word. */
AUGURY_MUST_USE int api_key_scopes_read(struct bytes text, unsigned *out_scopes);
bool api_key_name_is_valid(struct bytes name);
/* A new key: API_KEY_NEW_BYTES of text, without a NUL, and what the file has of it. */
AUGURY_MUST_USE int api_key_make(char *out_text, uint8_t *out_sha256);
/* A key's line as the file has it. */
void api_key_put_line(const struct api_key *key, struct buf *buf);
/* {"keys":[{"name","scopes","rate","burst","expires","is_expired"}]}: no digests. */
void api_put_keys(struct wire_writer *writer, const struct api_keys *keys, uint64_t now_wall_ms);
