/* SPDX-License-Identifier: MIT */
/* value.c - one value: text to its place in the struct, and back. Bounds and choices come from the
 * option's row. */
#include "private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct suffix {
    const char *text;
    uint64_t factor;
};

/* The first suffix of each list that divides a value is the one that value is written with. */
static const struct suffix sizes[] = {
    {"TiB", UINT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1},
    {"T", UINT64_C(1) << 40},   {"G", 1 << 30},   {"M", 1 << 20},   {"K", 1 << 10},   {"B", 1},
};
static const struct suffix seconds[] = {
    {"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}, {"", 1}, {"m", 60},
};
static const struct suffix milliseconds[] = {
    {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}, {"m", 60000},
};
static const struct suffix microseconds[] = {{"s", 1000000}, {"ms", 1000}, {"us", 1}};
static const struct suffix plain[] = {{"", 1}};

struct scale {
    const struct suffix *list;
    size_t count;
    const char *example;
};

static struct scale
scale_of(enum conf_type type)
{
    switch (type) {
    case CONF_SIZE: return (struct scale){sizes, AUGURY_COUNT(sizes), "a size such as 512MiB"};
    case CONF_SECONDS:
        return (struct scale){seconds, AUGURY_COUNT(seconds), "a time such as 60s, 5min or 1h"};
    case CONF_MS:
        return (struct scale){milliseconds, AUGURY_COUNT(milliseconds),
                              "a time with its unit, such as 250ms or 10s"};
    case CONF_US:
        return (struct scale){microseconds, AUGURY_COUNT(microseconds),
                              "a time with its unit, such as 200us or 1ms"};
    case CONF_TEXT:
    case CONF_PATH:
    case CONF_SERVER:
    case CONF_ADDRESS:
    case CONF_MODE:
    case CONF_WORDS:
    case CONF_NETWORKS:
    case CONF_BOOL:
    case CONF_STEPS:
    case CONF_NUMBER: break;
    }
    return (struct scale){plain, AUGURY_COUNT(plain), "a whole number"};
}

static void
put_scaled(uint64_t value, struct scale scale, struct buf *buf)
{
    for (size_t i = 0; i < scale.count; i++) {
        if (value != 0 && value % scale.list[i].factor == 0) {
            buf_printf(buf, "%" PRIu64 "%s", value / scale.list[i].factor, scale.list[i].text);
            return;
        }
    }
    buf_put_u64(buf, value);
}

void
value_put_size(uint64_t bytes, struct buf *buf)
{
    put_scaled(bytes, scale_of(CONF_SIZE), buf);
}

int
value_bad(const struct conf_option *option, const char *text, const char *want, struct err *err)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_value", "%s: expected %s, got \"%.80s\"",
                   option->name, want, text);
}

/* A life of 0 is how others say that nothing is kept. */
static bool
is_class_life(const struct conf_option *option, const char *text)
{
    static const char section[] = "cache.";

    return option->section != NULL && strncmp(option->section, section, sizeof(section) - 1) == 0 &&
           strcmp(option->name, "ttl") == 0 && text[strspn(text, "0")] == '\0';
}

static int
out_of_bounds(const struct conf_option *option, const char *text, struct err *err)
{
    struct scale scale = scale_of(option->type);
    struct buf bounds;

    buf_init(&bounds, 128);
    put_scaled(option->min, scale, &bounds);
    buf_put_text(&bounds, " to ");
    put_scaled(option->max, scale, &bounds);
    buf_put_u8(&bounds, 0);
    err_set(err, AUGURY_ERR_INVALID, "out_of_bounds", "%s: %.40s is outside %s%s", option->name,
            text, buf_finish(&bounds) == 0 ? (const char *)bounds.data : "its bounds",
            is_class_life(option, text) ? "; enabled = no keeps nothing of the class" : "");
    buf_fini(&bounds);
    return AUGURY_ERR_INVALID;
}

static int
bad_scaled(const struct conf_option *option, const char *text, const char *example, struct err *err)
{
    char want[96];

    snprintf(want, sizeof(want), "%s%s%s", example, option->choices == NULL ? "" : ", or ",
             option->choices == NULL ? "" : option->choices);
    return value_bad(option, text, want, err);
}

int
value_parse_scaled(const struct conf_option *option, const char *text, uint64_t *out_value,
                   struct err *err)
{
    struct scale scale = scale_of(option->type);
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits + strspn(text + digits, " ");
    uint64_t number = 0;

    /* Zero means the same in every unit. */
    if (strcmp(text, "0") == 0) {
        *out_value = 0;
        return option->min == 0 ? 0 : out_of_bounds(option, text, err);
    }
    int rc = bytes_to_u64(bytes_of(text, digits), UINT64_MAX, &number);
    if (rc == AUGURY_ERR_LIMIT) {
        return out_of_bounds(option, text, err);
    }
    if (rc != 0) {
        return bad_scaled(option, text, scale.example, err);
    }
    for (size_t i = 0; i < scale.count; i++) {
        uint64_t factor = scale.list[i].factor;
        if (strcasecmp(unit, scale.list[i].text) != 0) {
            continue;
        }
        if (number > option->max / factor || number * factor < option->min) {
            return out_of_bounds(option, text, err);
        }
        *out_value = number * factor;
        return 0;
    }
    return bad_scaled(option, text, scale.example, err);
}

static int
set_number(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    uint64_t value = CONF_NUMBER_WORD;
    bool is_word = option->choices != NULL && strcmp(text, option->choices) == 0;

    int rc = is_word ? 0 : value_parse_scaled(option, text, &value, err);
    if (rc != 0) {
        return rc;
    }
    if (option->size == sizeof(uint32_t)) {
        uint32_t narrow = (uint32_t)value;
        memcpy(place, &narrow, sizeof(narrow));
    } else {
        AUGURY_ASSERT(option->size == sizeof(uint64_t));
        memcpy(place, &value, sizeof(value));
    }
    return 0;
}

int
conf_read_seconds(const char *name, const char *text, uint32_t max_s, uint32_t *out_seconds,
                  struct err *err)
{
    struct conf_option option = {.name = name, .type = CONF_SECONDS, .min = 1, .max = max_s};
    uint64_t value = 0;

    int rc = value_parse_scaled(&option, text, &value, err);
    if (rc == 0) {
        *out_seconds = (uint32_t)value;
    }
    return rc;
}

int
conf_read_size(const char *name, const char *text, uint64_t *out_bytes, struct err *err)
{
    struct conf_option option = {
        .name = name, .type = CONF_SIZE, .min = 1, .max = UINT64_C(1) << 50};

    return value_parse_scaled(&option, text, out_bytes, err);
}

static int
set_bool(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            bool value = i % 2 == 1;
            memcpy(place, &value, sizeof(value));
            return 0;
        }
    }
    return value_bad(option, text, "yes or no", err);
}

/* Whether text is one of the comma-separated words. */
static bool
is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);

    for (const char *word = choices; *word != '\0' && len > 0;) {
        size_t word_len = strcspn(word, ",");
        if (word_len == len && memcmp(word, text, len) == 0) {
            return true;
        }
        word += word_len;
        word += strspn(word, ", ");
    }
    return false;
}

/* host:port, where an IPv6 address stands in brackets. Names are resolved when the socket is made.
 */
static bool
is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;

    if (colon == NULL || colon == text ||
        bytes_to_u64(bytes_of_text(colon + 1), 65535, &port) != 0) {
        return false;
    }
    if (text[0] == '[') {
        return colon[-1] == ']' && colon - text > 2;
    }
    return memchr(text, ':', (size_t)(colon - text)) == NULL;
}

/* Empty: none. */
static bool
is_server(const char *text)
{
    return text[0] == '\0' || strncmp(text, "unix:/", 6) == 0 || is_address(text);
}

static int
set_text(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    size_t len = strlen(text);
    size_t max = option->max != 0 ? (size_t)option->max : option->size - 1;
    bool is_word = option->choices != NULL && is_choice(option->choices, text);

    if (len < option->min) {
        return value_bad(option, text, "a text that is not empty", err);
    }
    if (len > max) {
        return err_set(err, AUGURY_ERR_INVALID, "too_long", "%s: at most %zu bytes, got %zu",
                       option->name, max, len);
    }
    if (option->type == CONF_PATH && text[0] != '/' && len > 0 && !is_word) {
        char want[64];
        snprintf(want, sizeof(want), "an absolute path%s%s", option->choices == NULL ? "" : " or ",
                 option->choices == NULL ? "" : option->choices);
        return value_bad(option, text, want, err);
    }
    if (option->type == CONF_SERVER && !is_server(text)) {
        return value_bad(option, text,
                         "an address such as 127.0.0.1:6379 or unix:/run/redis/redis.sock", err);
    }
    if (option->type == CONF_ADDRESS && (len == 0 || !is_server(text))) {
        return value_bad(option, text,
                         "an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/a.sock", err);
    }
    if (option->type == CONF_TEXT && option->choices != NULL && !is_word) {
        return value_bad(option, text, option->choices, err);
    }
    if (!utf8_is_valid(bytes_of(text, len)) || strpbrk(text, "\r\n") != NULL) {
        return value_bad(option, "…", "one line of UTF-8", err);
    }
    /* Nothing of a longer text stays behind: places are compared as bytes. */
    memset(place, 0, option->size);
    memcpy(place, text, len);
    return 0;
}

/* Octal, as chmod(1) has it. */
static int
set_mode(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    size_t len = strlen(text);
    uint32_t mode = 0;

    if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && text[0] != '0')) {
        return value_bad(option, text, "rights such as 0660", err);
    }
    for (; *text != '\0'; text++) {
        mode = mode * 8 + (uint32_t)(*text - '0');
    }
    memcpy(place, &mode, sizeof(mode));
    return 0;
}

int
value_set(const struct conf_option *option, void *base, const char *text, struct err *err)
{
    void *place = (uint8_t *)base + option->offset;

    switch (option->type) {
    case CONF_TEXT:
    case CONF_PATH:
    case CONF_SERVER:
    case CONF_ADDRESS: return set_text(option, place, text, err);
    case CONF_MODE: return set_mode(option, place, text, err);
    case CONF_NETWORKS: return value_set_networks(option, place, text, err);
    case CONF_WORDS: return value_set_words(option, place, text, err);
    case CONF_BOOL: return set_bool(option, place, text, err);
    case CONF_STEPS: return value_set_steps(option, place, text, err);
    case CONF_NUMBER:
    case CONF_SIZE:
    case CONF_SECONDS:
    case CONF_US:
    case CONF_MS: break;
    }
    return set_number(option, place, text, err);
}

/* A quoted string of the file. */
static void
put_quoted(const char *text, struct buf *buf)
{
    buf_put_u8(buf, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            buf_put_u8(buf, '\\');
        }
        buf_put_u8(buf, (uint8_t)*text);
    }
    buf_put_u8(buf, '"');
}

static uint64_t
number_at(const struct conf_option *option, const void *place)
{
    uint32_t narrow = 0;
    uint64_t wide = 0;

    if (option->size == sizeof(narrow)) {
        memcpy(&narrow, place, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, place, sizeof(wide));
    return wide;
}

void
conf_put_value(const struct conf_option *option, const void *base, struct buf *buf)
{
    const uint8_t *place = (const uint8_t *)base + option->offset;

    switch (option->type) {
    case CONF_TEXT:
    case CONF_PATH:
    case CONF_SERVER:
    case CONF_ADDRESS: put_quoted((const char *)place, buf); return;
    case CONF_MODE: buf_printf(buf, "\"%04o\"", (unsigned)number_at(option, place)); return;
    case CONF_NETWORKS: value_put_networks((const void *)place, buf); return;
    case CONF_WORDS:
        value_put_words(option->choices, (uint32_t)number_at(option, place), buf);
        return;
    case CONF_BOOL: buf_put_text(buf, *(const bool *)place ? "yes" : "no"); return;
    case CONF_STEPS: value_put_steps((const void *)place, buf); return;
    case CONF_NUMBER:
    case CONF_SIZE:
    case CONF_SECONDS:
    case CONF_US:
    case CONF_MS: break;
    }
    uint64_t number = number_at(option, place);
    if (option->choices != NULL && number == CONF_NUMBER_WORD) {
        buf_put_text(buf, option->choices);
    } else {
        put_scaled(number, scale_of(option->type), buf);
    }
}
