/* SPDX-License-Identifier: MIT */
/*
 * api_object.h - objects as they are named, kept in the cache, and fetched. Private to the room.
 * An object's entry has the key "object:NAME"; that there is no file for a name is an entry too,
 * "object:!NAME", which no name can meet.
 */
#pragma once

#include "api_call.h"

enum {
    OBJECT_NAME_MAX = 200,
    OBJECT_TYPE_MAX = 100,
    OBJECT_KEY_MAX = OBJECT_NAME_MAX + 16,
    OBJECT_HEADER_BYTES = CACHE_OBJECT_HEAD,
    OBJECT_LIFE_MAX_S = 31536000,
};

/* ---- names: api_object.c --------------------------------------------------------------------- */

/* 1 to OBJECT_NAME_MAX bytes of A-Z a-z 0-9 . _ ~ : / -, in segments that are neither empty nor
 * "." nor "..". */
bool object_name_is_good(struct bytes name);
enum object_key { OBJECT_KEY_VALUE, OBJECT_KEY_ABSENCE };
/* out: OBJECT_KEY_MAX bytes. */
struct bytes object_key(enum object_key which, struct bytes name, char *out);
/* The section that the name's first segment names; NULL: none. */
const struct conf_object *object_section(const struct conf *conf, struct bytes name);
/* By the name's extension; "application/octet-stream" when it says nothing. */
const char *object_type_of_name(struct bytes name);

/* ---- the stored form: api_object.c ----------------------------------------------------------- */

/* Bytes in docs/formats.md. The object's tag is that of all of them, so that a condition can be
 * compared where entries are written. */
struct object {
    struct bytes type;
    struct bytes content;
    uint64_t modified_wall_ms; /* of its file; 0: it was put, and is as old as its entry */
    uint64_t source_mtime_ns;  /* of its file: whether it has changed */
    uint64_t source_bytes;
};
/* 1 to OBJECT_TYPE_MAX bytes that may stand in a header. */
bool object_type_is_good(struct bytes type);
size_t object_encoded_len(const struct object *object);
void object_encode(const struct object *object, uint8_t *out);
/* All but the content. */
void object_encode_head(const struct object *object, uint8_t *out);
/* Borrows from stored. false: not of this form. */
bool object_decode(struct bytes stored, struct object *out_object);
/* Most bytes of content that fit an entry and a ring. */
size_t object_content_max(const struct conf *conf);

/* ---- look up and answer: api_objects.c ------------------------------------------------------- */

/* The tag as the header has it, in quotation marks. */
enum { OBJECT_TAG_BYTES = 18 };
void object_tag_to_text(uint64_t tag, char *out_text);

struct object_query {
    enum object_key which;
    struct bytes name;
    uint64_t now_wall_ms;
};
/* An object with its entry's times. */
struct object_found {
    struct object object;
    struct bytes stored; /* all of it, with its header */
    uint64_t tag;
    uint64_t created_wall_ms;
    uint64_t expires_wall_ms;
    uint32_t cost_us;
    enum api_x_cache x_cache; /* HIT or STALE */
};
/* The cache's snapshot is open, and what is found borrowed from it and the arena. Past its time it
 * is found where it can be fetched. */
AUGURY_MUST_USE int object_find(struct api *api, const struct object_query *query,
                                struct object_found *out_found);

/* 0, or the status of a refusal that has been written: objects are off. */
unsigned object_call_check(struct api_call *call);
/* 200 or 304 with its headers. */
unsigned object_answer(struct api_call *call, const struct object_found *found);
/* 404; freshness: X-Cache, and of an absence that is known since when and until when. */
unsigned object_answer_missing(struct api_call *call, const struct api_freshness *freshness);
unsigned object_refuse_uncached(struct api_call *call); /* 504 */
