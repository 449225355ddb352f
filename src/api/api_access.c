/* SPDX-License-Identifier: MIT */
/*
 * api_access.c - the gate before handlers: whether the request has a key, whether the key may do
 * what the route does, whether it does so too often. Sources: RFC 6750 (Bearer, WWW-Authenticate),
 * RFC 6585 4 (429), draft-ietf-httpapi-ratelimit-headers-07 (RateLimit-Limit, -Remaining, -Reset).
 * Invariants:
 * 1. A request with a key that is not known is refused, also where none is needed: nobody believes
 *    to be counted as somebody and is not.
 * 2. What is compared with the client's text is compared in a time that does not depend on it: the
 *    whole of a remembered key, or a digest.
 * 3. A remembered key was found in the table before, so the memory only makes right keys cheap.
 */
#include "api_access.h"

#include <stdlib.h>
#include <string.h>

enum { MEMO_SLOTS = 64, MEMO_TEXT_MAX = 64, LINES_MAX = 160 };

/* The text of a key that was right: SHA-256 costs more than all else that a cached answer does. */
struct memo {
    const struct api_key *key; /* or NULL */
    size_t len;
    uint8_t text[MEMO_TEXT_MAX];
};

struct api_access {
    const struct api_keys *keys; /* or NULL: nobody has one, and nobody needs one */
    struct api_buckets *buckets;
    bool is_required;
    unsigned open; /* areas, 1 << enum api_area */
    struct api_rate client_rate;
    struct memo memo[MEMO_SLOTS];
};

/* ---- the key of a request -------------------------------------------------------------------- */

static struct bytes
without_blanks(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = bytes_of(text.data + 1, text.len - 1);
    }
    return text;
}

/* Empty: the field has none. Another scheme than Bearer may be for a proxy before us. */
static struct bytes
key_of_field(const struct http_header *field)
{
    static const char bearer[] = "bearer";
    size_t len = sizeof(bearer) - 1;

    if (bytes_equal_nocase(field->name, "x-api-key")) {
        return field->value;
    }
    if (bytes_equal_nocase(field->name, "authorization") && field->value.len > len &&
        bytes_equal_nocase(bytes_of(field->value.data, len), bearer) &&
        (field->value.data[len] == ' ' || field->value.data[len] == '\t')) {
        return without_blanks(bytes_of(field->value.data + len, field->value.len - len));
    }
    return bytes_of(NULL, 0);
}

/* False: there are two that differ. Empty: there is none. */
static bool
find_text(const struct http_request *request, struct bytes *out_text)
{
    struct bytes found = bytes_of(NULL, 0);

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *field = &request->headers[i];
        if (field->name.len != sizeof("x-api-key") - 1 &&
            field->name.len != sizeof("authorization") - 1) {
            continue;
        }
        struct bytes text = key_of_field(field);
        if (text.len > 0 && found.len > 0 && !bytes_equal(text, found)) {
            return false;
        }
        found = text.len > 0 ? text : found;
    }
    *out_text = found;
    return true;
}

static const struct api_key *
find_key(struct api_access *access, struct bytes text)
{
    struct memo *memo = &access->memo[hash64_of(text) % MEMO_SLOTS];
    uint8_t sha256[SEAL_SHA256_BYTES];
    const struct api_key *key = NULL;

    if (memo->key != NULL && memo->len == text.len && seal_equal(memo->text, text.data, text.len)) {
        return memo->key;
    }
    if (text.len > API_KEY_TEXT_MAX || seal_sha256(text, sha256) != 0 ||
        api_keys_find(access->keys, sha256, &key) != 0) {
        return NULL;
    }
    if (text.len <= sizeof(memo->text)) {
        memo->key = key;
        memo->len = text.len;
        memcpy(memo->text, text.data, text.len);
    }
    return key;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static uint64_t
seconds_of(uint64_t ns)
{
    static const uint64_t second_ns = 1000000000;

    return (ns + second_ns - 1) / second_ns;
}

static void
count(const struct api_call *call, enum stats_id id)
{
    stats_add(call->api->options.slot, id, 1);
}

/* 0, or 429. */
static unsigned
take(struct api_call *call, struct api_bucket *bucket, struct api_rate rate)
{
    struct api_take *taken = &call->take;

    api_bucket_take(bucket, rate, clock_mono_ns(), taken);
    if (taken->is_allowed) {
        return 0;
    }
    count(call, call->key != NULL ? STATS_ACCESS_KEY_RATE : STATS_ACCESS_CLIENT_RATE);
    buf_printf(call->answer->headers, "Retry-After: %llu\r\n",
               (unsigned long long)seconds_of(taken->retry_ns));
    return api_refuse_as(call, 429, "rate_limited",
                         "%s has asked too often; the next request is answered in %llu ms",
                         call->key != NULL ? "this key" : "this address",
                         (unsigned long long)((taken->retry_ns + 999999) / 1000000));
}

static unsigned
take_of_client(struct api_call *call)
{
    struct api_access *access = call->api->access;

    if (access->client_rate.interval_ns == 0) {
        return 0;
    }
    return take(call, api_bucket_of_client(access->buckets, &call->peer->client),
                access->client_rate);
}

/* Guesses count as requests of their address. */
static unsigned
refuse_key(struct api_call *call, enum stats_id id)
{
    unsigned status = take_of_client(call);

    if (status != 0) {
        return status;
    }
    count(call, id);
    if (id == STATS_ACCESS_MISSING) {
        buf_put_text(call->answer->headers, "WWW-Authenticate: Bearer realm=\"augury\"\r\n");
        return api_refuse_as(call, 401, "key_missing",
                             "this takes a key: Authorization: Bearer KEY, or X-API-Key: KEY");
    }
    buf_put_text(call->answer->headers,
                 "WWW-Authenticate: Bearer realm=\"augury\", error=\"invalid_token\"\r\n");
    return api_refuse_as(call, 401, "key_unknown",
                         "the key of the request is not known here, or not any more");
}

static unsigned
refuse_scope(struct api_call *call, const char *scope)
{
    count(call, STATS_ACCESS_SCOPE);
    buf_printf(call->answer->headers,
               "WWW-Authenticate: Bearer realm=\"augury\", error=\"insufficient_scope\", "
               "scope=\"%s\"\r\n",
               scope);
    return api_refuse_as(call, 403, "scope_missing", "this key has not the scope \"%s\"", scope);
}

/* ---- the gate -------------------------------------------------------------------------------- */

static bool
is_open(const struct api_access *access, const struct api_route *route)
{
    return (access->open & (1U << route->area)) != 0;
}

static unsigned
enter_with_key(struct api_call *call, struct bytes text)
{
    static const struct {
        unsigned bit;
        const char *name;
    } wanted[] = {[API_SCOPE_NONE] = {0, ""},
                  [API_SCOPE_PREDICT] = {API_KEY_PREDICT, "predict"},
                  [API_SCOPE_READ] = {API_KEY_READ, "read"},
                  [API_SCOPE_WRITE] = {API_KEY_WRITE, "write"}};
    struct api_access *access = call->api->access;
    const struct api_key *key = find_key(access, text);
    unsigned bit = wanted[call->route->scope].bit;

    if (key == NULL || api_key_is_expired(key, call->now_wall_ms)) {
        return refuse_key(call, key == NULL ? STATS_ACCESS_UNKNOWN : STATS_ACCESS_EXPIRED);
    }
    call->key = key;
    count(call, STATS_ACCESS_KEYED);
    unsigned status = key->rate.interval_ns != 0
                          ? take(call, api_bucket_of_key(access->buckets, key), key->rate)
                          : 0;
    if (status == 0 && (key->scopes & bit) != bit && !is_open(access, call->route)) {
        status = refuse_scope(call, wanted[call->route->scope].name);
    }
    return status;
}

unsigned
api_access_enter(struct api_call *call)
{
    struct api_access *access = call->api->access;
    struct bytes text = bytes_of(NULL, 0);

    if (call->route->scope == API_SCOPE_NONE) {
        return 0;
    }
    if (access->keys != NULL && !find_text(call->request, &text)) {
        count(call, STATS_ACCESS_TWO_KEYS);
        return api_refuse_as(call, 400, "two_keys", "the request has two keys that differ");
    }
    if (text.len > 0) {
        return enter_with_key(call, text);
    }
    if (access->is_required && !is_open(access, call->route)) {
        return refuse_key(call, STATS_ACCESS_MISSING);
    }
    return take_of_client(call);
}

bool
api_access_may_write(const struct api_call *call)
{
    return call->key != NULL && (call->key->scopes & API_KEY_WRITE) != 0;
}

static char *
put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT_LITERAL(at, text) put(at, text, sizeof(text) - 1)

/* One reservation and copies: every answer to who has a rate has these. */
static void
put_rate(struct buf *headers, const struct api_take *taken)
{
    char *start = (char *)buf_reserve(headers, LINES_MAX);

    if (start == NULL) {
        return; /* sticky: becomes status 500 */
    }
    char *at = PUT_LITERAL(start, "RateLimit-Limit: ");
    at += u64_to_text(taken->limit, at);
    at = PUT_LITERAL(at, "\r\nRateLimit-Remaining: ");
    at += u64_to_text(taken->left, at);
    at = PUT_LITERAL(at, "\r\nRateLimit-Reset: ");
    at += u64_to_text(seconds_of(taken->full_ns), at);
    at = PUT_LITERAL(at, "\r\n");
    buf_commit(headers, (size_t)(at - start));
}

void
api_access_put(struct api_call *call)
{
    struct buf *headers = call->answer->headers;

    if (call->take.limit != 0) {
        put_rate(headers, &call->take);
    }
    if (call->is_tls && call->api->options.conf->access.hsts_s != 0) {
        buf_printf(headers, "Strict-Transport-Security: max-age=%u\r\n",
                   (unsigned)call->api->options.conf->access.hsts_s);
    }
}

/* ---- set up ---------------------------------------------------------------------------------- */

struct api_rate
api_client_rate(const struct conf *conf)
{
    struct api_rate rate = {0, conf->access.client_burst};
    struct err ignored;

    if (conf->access.client_rate[0] != '\0') {
        int rc = conf_read_rate("", conf->access.client_rate, &rate.interval_ns, &ignored);
        rc = rc == 0 ? conf_read_burst("", conf->access.client_rate, &rate.burst, &ignored) : rc;
        AUGURY_ASSERT(rc == 0); /* conf_load() has tried */
    }
    return rate;
}

static unsigned
areas_of(const char *list)
{
    unsigned areas = 0;

    for (unsigned area = 0; area < API_AREA_COUNT; area++) {
        if (conf_list_has(list, bytes_of_text(api_area_name((enum api_area)area)))) {
            areas |= 1U << area;
        }
    }
    return areas;
}

int
api_access_setup(struct api *api)
{
    const struct conf *conf = api->options.conf;
    struct api_rate client_rate = api_client_rate(conf);

    if (api->options.keys == NULL && client_rate.interval_ns == 0) {
        return 0;
    }
    api->access = calloc(1, sizeof(*api->access));
    if (api->access == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    api->access->keys = api->options.keys;
    api->access->buckets = api->options.buckets;
    api->access->is_required = conf->access.is_required;
    api->access->open = areas_of(conf->access.open);
    api->access->client_rate = client_rate;
    return 0;
}

void
api_access_teardown(struct api *api)
{
    if (api->access != NULL) {
        explicit_bzero(api->access, sizeof(*api->access));
        free(api->access);
        api->access = NULL;
    }
}

unsigned
api_access_again(struct api_call *call)
{
    const struct api_key *key = call->key;

    if (key == NULL) {
        return take_of_client(call);
    }
    if (api_key_is_expired(key, call->now_wall_ms)) {
        return refuse_key(call, STATS_ACCESS_EXPIRED);
    }
    count(call, STATS_ACCESS_KEYED);
    return key->rate.interval_ns != 0
               ? take(call, api_bucket_of_key(call->api->access->buckets, key), key->rate)
               : 0;
}
