/* SPDX-License-Identifier: MIT */
/*
 * seal.h - cryptographic digests, random bytes, signatures and the manifests that they sign.
 * Room: seal (floor 1, uses base). Library: libcrypto, here only. Process: any.
 * Errors: 0 done, > 0 a normal no, < 0 a failure with struct err filled where there is one.
 */
#pragma once

#include <stdio.h>

#include "augury/base.h"

enum { SEAL_SHA256_BYTES = 32, SEAL_SHA256_HEX_BYTES = 64 };

AUGURY_MUST_USE int seal_sha256(struct bytes data, uint8_t *out_digest);
/* Of everything from the file's position to its end. */
AUGURY_MUST_USE int seal_sha256_file(FILE *file, uint8_t *out_digest);
/* From the system's generator; AUGURY_ERR_IO when it has none to give. */
AUGURY_MUST_USE int seal_random(uint8_t *out_data, size_t len);
/* Same contents, in time that depends on len alone. */
bool seal_equal(const uint8_t *a, const uint8_t *b, size_t len);

/* ---- signatures: Ed25519 (RFC 8032) --------------------------------------------------------- */

enum { SEAL_KEY_BYTES = 32, SEAL_SIGNATURE_BYTES = 64 };

/* A public key. */
struct seal_key {
    uint8_t raw[SEAL_KEY_BYTES];
    uint8_t id[SEAL_SHA256_BYTES]; /* SHA-256 of its SubjectPublicKeyInfo as DER */
};
/* "-----BEGIN PUBLIC KEY-----…", as `openssl pkey -pubout` writes it. Any other kind of key is
 * refused by name ("invalid_key"). */
AUGURY_MUST_USE int seal_key_from_pem(struct bytes pem, struct seal_key *out_key, struct err *err);
/* 0; AUGURY_NOT_FOUND when the signature is not this key's over this message. */
AUGURY_MUST_USE int seal_verify(const struct seal_key *key, struct bytes message,
                                struct bytes signature);
/* pem: a private key without a passphrase. out_signature: SEAL_SIGNATURE_BYTES. */
AUGURY_MUST_USE int seal_sign(struct bytes pem, struct bytes message, uint8_t *out_signature,
                              struct err *err);

/* ---- manifests: what a signature vouches for ------------------------------------------------ */

/* Lines "key: value" of ASCII, each ended by LF; docs/formats.md has the grammar. All that stands
 * in one is signed, so a line that this reader does not know is refused, not skipped. */
enum { SEAL_MANIFEST_FILES_MAX = 16, SEAL_MANIFEST_BYTES_MAX = 16384 };

struct seal_manifest_file {
    uint8_t sha256[SEAL_SHA256_BYTES];
    uint64_t size_bytes;
    struct bytes name; /* without folders */
};

struct seal_manifest {
    struct bytes model;       /* empty: any name */
    uint32_t version;         /* 0: any */
    uint64_t created_wall_ms; /* 0: not said */
    uint64_t expires_wall_ms; /* 0: never */
    size_t file_count;
    struct seal_manifest_file files[SEAL_MANIFEST_FILES_MAX];
};
/* The names borrow from text. "invalid_manifest", with the line as place. */
AUGURY_MUST_USE int seal_manifest_read(struct bytes text, struct seal_manifest *out_manifest,
                                       struct err *err);
void seal_manifest_put(const struct seal_manifest *manifest, struct buf *buf);
/* "2027-01-31" (its first moment) or "2027-01-31T12:00:00Z", UTC. AUGURY_ERR_INVALID. */
AUGURY_MUST_USE int seal_time_read(struct bytes text, uint64_t *out_wall_ms);
