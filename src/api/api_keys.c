/* SPDX-License-Identifier: MIT */
/*
 * api_keys.c - the file of keys: its lines as a table that is found by digest, and back as text.
 * Invariants:
 * 1. No message has a digest or a key in it: what stands in the wrong place may be either.
 * 2. A table is whole or is not: one wrong line, and the file is refused.
 * The table is found by the first bytes of the digest, in a time that depends on them. That tells
 * nobody anything: who asks with a guess chooses the text, not its SHA-256, and to learn the digest
 * of a key is not to learn the key. The comparison that decides takes the same time in any case.
 */
#include "augury/api_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_call.h"

enum { INDEX_SLOTS = 4 * API_KEYS_MAX, TIME_TEXT_BYTES = 20, SECRET_BYTES = 32, WORDS_MAX = 4 };

static const char key_prefix[] = "aug_";

struct api_keys {
    size_t count;
    uint16_t index[INDEX_SLOTS]; /* number of a key + 1, or 0 */
    struct api_key list[API_KEYS_MAX];
    uint32_t lines[API_KEYS_MAX]; /* where each stands, for messages */
};

static const struct {
    const char *word;
    unsigned scope;
} scopes[] = {{"predict", API_KEY_PREDICT}, {"read", API_KEY_READ}, {"write", API_KEY_WRITE}};

/* ---- words ----------------------------------------------------------------------------------- */

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* What stands before the next white space of *rest, which is moved behind it. */
static struct bytes
take_word(struct bytes *rest)
{
    size_t from = 0;
    size_t to;

    while (from < rest->len && is_blank(rest->data[from])) {
        from++;
    }
    for (to = from; to < rest->len && !is_blank(rest->data[to]);) {
        to++;
    }
    struct bytes word = bytes_of(rest->data + from, to - from);
    *rest = bytes_of(rest->data + to, rest->len - to);
    return word;
}

/* What stands before the next separator of *rest, which is moved behind it. */
static struct bytes
take_until(struct bytes *rest, uint8_t separator)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
    struct bytes part = bytes_of(rest->data, len);
    size_t used = end != NULL ? len + 1 : len;

    *rest = bytes_of(rest->data + used, rest->len - used);
    return part;
}

bool
api_key_name_is_valid(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool is_first = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_first && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return false;
        }
    }
    return name.len > 0 && name.len <= API_KEY_NAME_MAX;
}

int
api_key_scopes_read(struct bytes text, unsigned *out_scopes)
{
    unsigned found = 0;

    do {
        struct bytes word = take_until(&text, ',');
        unsigned scope = 0;
        for (size_t i = 0; i < AUGURY_COUNT(scopes); i++) {
            scope |= bytes_equal_text(word, scopes[i].word) ? scopes[i].scope : 0;
        }
        if (scope == 0) {
            return AUGURY_ERR_INVALID;
        }
        found |= scope;
    } while (text.len > 0);
    *out_scopes = found;
    return 0;
}

static bool
read_sha256(struct bytes text, uint8_t out_data[static SEAL_SHA256_BYTES])
{
    if (text.len != SEAL_SHA256_HEX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = c - (unsigned)'0';
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (c | 0x20U) - 'a' + 10;
        } else {
            return false;
        }
        out_data[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out_data[i / 2] | digit);
    }
    return true;
}

/* ---- one line -------------------------------------------------------------------------------- */

/* A file on its way in. */
struct reading {
    const char *path;
    struct api_keys *keys;
    struct conf_errors *errors;
    uint32_t line;
    bool has_burst; /* of the line at hand */
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct reading *reading, const char *fmt, ...)
{
    struct conf_errors *errors = reading->errors;
    size_t i = errors->count++;
    char reason[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    if (i < AUGURY_COUNT(errors->list)) {
        err_set(&errors->list[i], AUGURY_ERR_INVALID, "bad_keys", "%s", reason);
        (void)err_at(&errors->list[i], "%.120s:%u", reading->path, reading->line);
    }
    return false;
}

static bool
copy_text(struct bytes text, char *out, size_t size)
{
    if (text.len >= size) {
        return false;
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool
read_scopes(struct reading *reading, struct api_key *key, struct bytes value)
{
    return api_key_scopes_read(value, &key->scopes) == 0 ||
           refuse(reading, "scopes= takes predict, read and write, with commas between");
}

static bool
read_rate(struct reading *reading, struct api_key *key, struct bytes value)
{
    struct err why;

    return (copy_text(value, key->rate_text, sizeof(key->rate_text)) &&
            conf_read_rate("rate", key->rate_text, &key->rate.interval_ns, &why) == 0) ||
           refuse(reading,
                  "rate= takes 1 to 1000000 a time, such as rate=100/s, 600/min or 1000/h");
}

static bool
read_burst(struct reading *reading, struct api_key *key, struct bytes value)
{
    uint64_t burst = 0;

    reading->has_burst = true;
    if (bytes_to_u64(value, 1000000, &burst) != 0 || burst == 0) {
        return refuse(reading, "burst= takes 1 to 1000000 requests, such as burst=200");
    }
    key->rate.burst = (uint32_t)burst;
    return true;
}

static bool
read_expires(struct reading *reading, struct api_key *key, struct bytes value)
{
    return seal_time_read(value, &key->expires_wall_ms) == 0 ||
           refuse(reading, "expires= takes a time of UTC: 2027-01-31 or 2027-01-31T12:00:00Z");
}

static const struct {
    const char *name;
    bool (*read)(struct reading *reading, struct api_key *key, struct bytes value);
} words[WORDS_MAX] = {
    {"scopes", read_scopes}, {"rate", read_rate}, {"burst", read_burst}, {"expires", read_expires}};

/* seen: which have been there, one bit each. */
static bool
read_option(struct reading *reading, struct api_key *key, struct bytes word, unsigned *seen)
{
    struct bytes value = word;
    struct bytes name = take_until(&value, '=');

    for (size_t i = 0; name.len < word.len && i < WORDS_MAX; i++) {
        if (!bytes_equal_text(name, words[i].name)) {
            continue;
        }
        if ((*seen & 1U << i) != 0) {
            return refuse(reading, "%s= stands twice in the line", words[i].name);
        }
        *seen |= 1U << i;
        return words[i].read(reading, key, value);
    }
    return refuse(reading,
                  "after name and SHA-256 there may be scopes=, rate=, burst= and expires=, "
                  "without white space around the \"=\"");
}

static bool
read_options(struct reading *reading, struct api_key *key, struct bytes rest)
{
    unsigned seen = 0;
    struct err why;

    reading->has_burst = false;
    for (struct bytes word = take_word(&rest); word.len > 0; word = take_word(&rest)) {
        if (!read_option(reading, key, word, &seen)) {
            return false;
        }
    }
    if (key->scopes == 0) {
        return refuse(reading, "scopes= is missing: what the key may do, such as "
                               "scopes=predict,read");
    }
    if (key->rate.interval_ns == 0) {
        return !reading->has_burst || refuse(reading, "burst= needs a rate=, such as rate=100/s");
    }
    return conf_read_burst("burst", key->rate_text, &key->rate.burst, &why) == 0 ||
           refuse(reading, "%s", why.reason);
}

static bool
read_digest(struct reading *reading, struct api_key *key, struct bytes word)
{
    if (read_sha256(word, key->sha256)) {
        return true;
    }
    if (bytes_start_with(word, key_prefix)) {
        return refuse(reading, "a key stands where its SHA-256 belongs: who reads the file has it; "
                               "take another one, `augury key new` writes the line");
    }
    return refuse(reading, "behind the name belongs the key's SHA-256, 64 hexadecimal digits; "
                           "`augury key new` writes the line");
}

static bool
read_line(struct reading *reading, struct bytes rest, struct api_key *out_key)
{
    struct bytes name = take_word(&rest);

    *out_key = (struct api_key){.scopes = 0};
    if (!api_key_name_is_valid(name)) {
        return refuse(reading,
                      "a line begins with a name: at most %d letters, digits and ._-, a "
                      "letter or digit first",
                      API_KEY_NAME_MAX);
    }
    (void)copy_text(name, out_key->name, sizeof(out_key->name));
    return read_digest(reading, out_key, take_word(&rest)) && read_options(reading, out_key, rest);
}

/* ---- the table ------------------------------------------------------------------------------- */

static size_t
first_slot(const uint8_t *sha256)
{
    return le32_get(sha256) % INDEX_SLOTS;
}

int
api_keys_find(const struct api_keys *keys, const uint8_t *sha256, const struct api_key **out_key)
{
    for (size_t slot = first_slot(sha256); keys->index[slot] != 0;
         slot = (slot + 1) % INDEX_SLOTS) {
        const struct api_key *key = &keys->list[keys->index[slot] - 1];
        if (seal_equal(key->sha256, sha256, SEAL_SHA256_BYTES)) {
            *out_key = key;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

/* The line of an earlier key of that name, or 0. */
static uint32_t
line_of_name(const struct api_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->list[i].name, name) == 0) {
            return keys->lines[i];
        }
    }
    return 0;
}

static bool
keep(struct reading *reading, const struct api_key *key)
{
    struct api_keys *keys = reading->keys;
    const struct api_key *same = NULL;
    uint32_t line = line_of_name(keys, key->name);
    size_t slot = first_slot(key->sha256);

    if (line != 0) {
        return refuse(reading, "the name stands in line %u already; each key has one of its own",
                      line);
    }
    if (api_keys_find(keys, key->sha256, &same) == 0) {
        return refuse(reading, "the same key stands in line %u already",
                      keys->lines[same - keys->list]);
    }
    if (keys->count == API_KEYS_MAX) {
        return refuse(reading, "more than %d keys", API_KEYS_MAX);
    }
    while (keys->index[slot] != 0) {
        slot = (slot + 1) % INDEX_SLOTS;
    }
    keys->list[keys->count] = *key;
    keys->lines[keys->count] = reading->line;
    keys->index[slot] = (uint16_t)++keys->count;
    return true;
}

static bool
has_control(struct bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < ' ' && line.data[i] != '\t') {
            return true;
        }
    }
    return false;
}

static void
take_line(struct reading *reading, struct bytes line)
{
    struct bytes rest = line;
    struct bytes first = take_word(&rest);
    struct api_key key;

    if (has_control(line)) {
        (void)refuse(reading, "a control character; lines are plain text and end with a line feed "
                              "alone");
        return;
    }
    if (first.len == 0 || first.data[0] == '#') {
        return;
    }
    if (read_line(reading, line, &key)) {
        (void)keep(reading, &key);
    }
}

int
api_keys_parse(const char *path, struct bytes text, struct api_keys **out_keys,
               struct conf_errors *out_errors)
{
    struct api_keys *keys = calloc(1, sizeof(*keys));
    struct reading reading = {.path = path, .keys = keys, .errors = out_errors};

    out_errors->count = 0;
    if (keys == NULL) {
        (void)refuse(&reading, "out of memory");
        return AUGURY_ERR_NOMEM;
    }
    while (text.len > 0) {
        reading.line++;
        take_line(&reading, take_until(&text, '\n'));
    }
    if (out_errors->count > 0) {
        api_keys_free(&keys);
        return AUGURY_ERR_INVALID;
    }
    *out_keys = keys;
    return 0;
}

int
api_keys_read(const char *path, struct api_keys **out_keys, struct conf_errors *out_errors)
{
    struct buf text;

    out_errors->count = 0;
    if (strcmp(path, "none") == 0) {
        *out_keys = NULL;
        return 0;
    }
    buf_init(&text, 0);
    int rc = api_read_checked(path, API_KEYS_FILE_MAX, API_READ_CONFIDENTIAL, &text,
                              &out_errors->list[0]);
    if (rc != 0) {
        out_errors->count = 1;
    } else {
        rc = api_keys_parse(path, buf_view(&text), out_keys, out_errors);
    }
    buf_fini(&text);
    return rc;
}

void
api_keys_free(struct api_keys **keys)
{
    free(*keys);
    *keys = NULL;
}

size_t
api_keys_count(const struct api_keys *keys)
{
    return keys != NULL ? keys->count : 0;
}

const struct api_key *
api_keys_at(const struct api_keys *keys, size_t i)
{
    return &keys->list[i];
}

bool
api_key_is_expired(const struct api_key *key, uint64_t now_wall_ms)
{
    return key->expires_wall_ms != 0 && now_wall_ms >= key->expires_wall_ms;
}

void
api_keys_fit(struct api_keys *keys, struct api_buckets *buckets, uint64_t now_mono_ns)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        if (keys->list[i].rate.interval_ns != 0) {
            api_key_fit(&keys->list[i], buckets, now_mono_ns);
        }
    }
}

/* ---- as text --------------------------------------------------------------------------------- */

int
api_key_make(char *out_text, uint8_t *out_sha256)
{
    uint8_t secret[SECRET_BYTES];
    char coded[64]; /* of base64, with one "=" at its end */
    size_t prefix_len = sizeof(key_prefix) - 1;
    size_t coded_len = API_KEY_NEW_BYTES - prefix_len;

    int rc = seal_random(secret, sizeof(secret));
    if (rc != 0) {
        return rc;
    }
    AUGURY_ASSERT(base64_len(sizeof(secret)) == coded_len + 1);
    base64_encode(bytes_of(secret, sizeof(secret)), coded);
    memcpy(out_text, key_prefix, prefix_len);
    for (size_t i = 0; i < coded_len; i++) {
        char c = coded[i];
        out_text[prefix_len + i] = c == '+' ? '-' : c == '/' ? '_' : c; /* RFC 4648 5 */
    }
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(coded, sizeof(coded));
    return seal_sha256(bytes_of(out_text, API_KEY_NEW_BYTES), out_sha256);
}

static void
put_scopes(unsigned bits, struct buf *buf)
{
    const char *comma = "";

    for (size_t i = 0; i < AUGURY_COUNT(scopes); i++) {
        if ((bits & scopes[i].scope) != 0) {
            buf_printf(buf, "%s%s", comma, scopes[i].word);
            comma = ",";
        }
    }
}

void
api_key_put_line(const struct api_key *key, struct buf *buf)
{
    char hex[SEAL_SHA256_HEX_BYTES];
    char time[CLOCK_ISO_BYTES];

    hex_encode(bytes_of(key->sha256, sizeof(key->sha256)), hex);
    buf_printf(buf, "%s %.*s scopes=", key->name, (int)sizeof(hex), hex);
    put_scopes(key->scopes, buf);
    if (key->rate.interval_ns != 0) {
        buf_printf(buf, " rate=%s burst=%u", key->rate_text, (unsigned)key->rate.burst);
    }
    if (key->expires_wall_ms != 0) {
        clock_to_iso(key->expires_wall_ms, time);
        buf_printf(buf, " expires=%.*sZ", TIME_TEXT_BYTES - 1, time);
    }
    buf_put_u8(buf, '\n');
}

static void
put_limits(struct wire_writer *writer, const struct api_key *key)
{
    bool is_limited = key->rate.interval_ns != 0;

    wire_key(writer, "rate");
    if (is_limited) {
        wire_put_text(writer, key->rate_text);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "burst");
    if (is_limited) {
        wire_put_u64(writer, key->rate.burst);
    } else {
        wire_put_null(writer);
    }
}

static void
put_key(struct wire_writer *writer, const struct api_key *key, uint64_t now_wall_ms)
{
    wire_object(writer, 6);
    wire_key(writer, "name");
    wire_put_text(writer, key->name);
    wire_key(writer, "scopes");
    wire_array(writer, (uint32_t)__builtin_popcount(key->scopes));
    for (size_t i = 0; i < AUGURY_COUNT(scopes); i++) {
        if ((key->scopes & scopes[i].scope) != 0) {
            wire_put_text(writer, scopes[i].word);
        }
    }
    wire_end(writer);
    put_limits(writer, key);
    wire_key(writer, "expires");
    if (key->expires_wall_ms != 0) {
        api_put_time(writer, key->expires_wall_ms);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "is_expired");
    wire_put_bool(writer, api_key_is_expired(key, now_wall_ms));
    wire_end(writer);
}

void
api_put_keys(struct wire_writer *writer, const struct api_keys *keys, uint64_t now_wall_ms)
{
    wire_object(writer, 1);
    wire_key(writer, "keys");
    wire_array(writer, (uint32_t)api_keys_count(keys));
    for (size_t i = 0; i < api_keys_count(keys); i++) {
        put_key(writer, &keys->list[i], now_wall_ms);
    }
    wire_end(writer);
    wire_end(writer);
}
