/* SPDX-License-Identifier: MIT */
/*
 * manifest.c - the text that a signature vouches for. Strict: the bytes that were signed are the
 * bytes that are read, one way to write each thing, nothing skipped.
 */
#include "augury/seal.h"

#include <string.h>

static const char first_line[] = "augury-manifest: 1";

enum {
    YEAR_OF_CLOCK = 1970,
    YEAR_MIN = 2000, /* so that no time is 0, which means none */
    YEAR_MAX = 9999,
    MS = 1000,
    HOUR_S = 3600,
    DAY_S = 86400,
    NAME_MAX_BYTES = 200
};

/* ---- times ----------------------------------------------------------------------------------- */

/* All of text as digits, within min and max. */
static bool
take_digits(struct bytes text, uint64_t min, uint64_t max, uint64_t *out_value)
{
    return bytes_to_u64(text, max, out_value) == 0 && *out_value >= min;
}

static bool
is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t
days_before_year(uint64_t year)
{
    uint64_t past = year - 1;

    return 365 * past + past / 4 - past / 100 + past / 400;
}

static bool
read_date(struct bytes text, uint64_t *out_days)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year, month, day;

    if (text.len != 10 || text.data[4] != '-' || text.data[7] != '-' ||
        !take_digits(bytes_of(text.data, 4), YEAR_MIN, YEAR_MAX, &year) ||
        !take_digits(bytes_of(text.data + 5, 2), 1, 12, &month)) {
        return false;
    }
    uint64_t last = month_days[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
    if (!take_digits(bytes_of(text.data + 8, 2), 1, last, &day)) {
        return false;
    }
    *out_days = days_before_year(year) - days_before_year(YEAR_OF_CLOCK) + day - 1;
    for (uint64_t i = 1; i < month; i++) {
        *out_days += month_days[i - 1] + (i == 2 && is_leap(year) ? 1U : 0U);
    }
    return true;
}

/* "T12:00:00Z" */
static bool
read_clock(struct bytes text, uint64_t *out_s)
{
    uint64_t hour, minute, second;

    if (text.len != 10 || text.data[0] != 'T' || text.data[3] != ':' || text.data[6] != ':' ||
        text.data[9] != 'Z' || !take_digits(bytes_of(text.data + 1, 2), 0, 23, &hour) ||
        !take_digits(bytes_of(text.data + 4, 2), 0, 59, &minute) ||
        !take_digits(bytes_of(text.data + 7, 2), 0, 59, &second)) {
        return false;
    }
    *out_s = hour * HOUR_S + minute * 60 + second;
    return true;
}

int
seal_time_read(struct bytes text, uint64_t *out_wall_ms)
{
    uint64_t days;
    uint64_t seconds = 0;

    if (text.len < 10 || !read_date(bytes_of(text.data, 10), &days) ||
        (text.len > 10 && !read_clock(bytes_of(text.data + 10, text.len - 10), &seconds))) {
        return AUGURY_ERR_INVALID;
    }
    *out_wall_ms = (days * DAY_S + seconds) * MS;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A manifest on its way in. `seen` has a bit for each key that may stand there once. */
struct reading {
    struct seal_manifest *manifest;
    size_t line;
    unsigned seen;
    struct err *err;
};

static int
refuse(const struct reading *reading, const char *what)
{
    err_set(reading->err, AUGURY_ERR_INVALID, "invalid_manifest", "%s", what);
    (void)err_at(reading->err, "line %zu", reading->line);
    return AUGURY_ERR_INVALID;
}

/* Lower-case digits only: one way to write each thing. */
static bool
read_hex(struct bytes text, uint8_t *out_data)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < text.len; i++) {
        const char *found = memchr(digits, text.data[i], 16);
        if (found == NULL) {
            return false;
        }
        unsigned digit = (unsigned)(found - digits);
        out_data[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out_data[i / 2] | digit);
    }
    return true;
}

/* What stands before the next space of *text, which is moved behind it. */
static struct bytes
take_word(struct bytes *text)
{
    const uint8_t *space = text->len > 0 ? memchr(text->data, ' ', text->len) : NULL;
    size_t len = space != NULL ? (size_t)(space - text->data) : text->len;
    struct bytes word = bytes_of(text->data, len);
    size_t used = len < text->len ? len + 1 : len;

    *text = bytes_of(text->data + used, text->len - used);
    return word;
}

static int
read_file(struct reading *reading, struct bytes value)
{
    struct seal_manifest *manifest = reading->manifest;

    if (manifest->file_count == SEAL_MANIFEST_FILES_MAX) {
        return refuse(reading, "more than 16 files");
    }
    struct seal_manifest_file *file = &manifest->files[manifest->file_count];
    struct bytes hex = take_word(&value);
    if (hex.len != SEAL_SHA256_HEX_BYTES || !read_hex(hex, file->sha256)) {
        return refuse(reading, "expected file: SHA-256 in 64 lower-case digits, bytes, name");
    }
    if (bytes_to_u64(take_word(&value), UINT64_MAX, &file->size_bytes) != 0) {
        return refuse(reading, "expected the file's size in bytes after its SHA-256");
    }
    if (value.len == 0 || value.len > NAME_MAX_BYTES ||
        memchr(value.data, '/', value.len) != NULL) {
        return refuse(reading, "expected a file's name without folders after its size");
    }
    file->name = value;
    manifest->file_count++;
    return 0;
}

static int
read_version(struct reading *reading, struct bytes value)
{
    uint64_t version = 0;

    if (bytes_to_u64(value, UINT32_MAX, &version) != 0 || version == 0) {
        return refuse(reading, "version is a positive number");
    }
    reading->manifest->version = (uint32_t)version;
    return 0;
}

static int
read_time(struct reading *reading, struct bytes value, uint64_t *out_wall_ms)
{
    return seal_time_read(value, out_wall_ms) == 0
               ? 0
               : refuse(reading, "expected a time as 2027-01-31T12:00:00Z or a day as 2027-01-31");
}

enum key { KEY_MODEL, KEY_VERSION, KEY_CREATED, KEY_EXPIRES, KEY_FILE, KEY_COUNT };
static const char *const key_names[KEY_COUNT] = {
    "model: ", "version: ", "created: ", "expires: ", "file: "};

static int
read_value(struct reading *reading, enum key key, struct bytes value)
{
    struct seal_manifest *manifest = reading->manifest;

    if (key != KEY_FILE && (reading->seen & 1U << key) != 0) {
        return refuse(reading, "this key stands there twice");
    }
    reading->seen |= 1U << key;
    switch (key) {
    case KEY_MODEL:
        manifest->model = value;
        return value.len > 0 ? 0 : refuse(reading, "model is a name");
    case KEY_VERSION: return read_version(reading, value);
    case KEY_CREATED: return read_time(reading, value, &manifest->created_wall_ms);
    case KEY_EXPIRES: return read_time(reading, value, &manifest->expires_wall_ms);
    case KEY_FILE:
    case KEY_COUNT: break;
    }
    return read_file(reading, value);
}

static int
read_line(struct reading *reading, struct bytes line)
{
    if (reading->line == 1) {
        return bytes_equal_text(line, first_line)
                   ? 0
                   : refuse(reading, "a manifest begins with the line \"augury-manifest: 1\"");
    }
    for (int key = 0; key < KEY_COUNT; key++) {
        if (bytes_start_with(line, key_names[key])) {
            size_t skip = strlen(key_names[key]);
            return read_value(reading, (enum key)key, bytes_of(line.data + skip, line.len - skip));
        }
    }
    return refuse(reading, "expected model, version, created, expires or file, a colon, a space");
}

static bool
is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\n' && (text.data[i] < ' ' || text.data[i] > '~')) {
            return false;
        }
    }
    return true;
}

int
seal_manifest_read(struct bytes text, struct seal_manifest *out_manifest, struct err *err)
{
    struct seal_manifest manifest = {.file_count = 0};
    struct reading reading = {.manifest = &manifest, .line = 1, .err = err};
    int rc = 0;

    if (text.len == 0 || text.len > SEAL_MANIFEST_BYTES_MAX || !is_plain(text) ||
        text.data[text.len - 1] != '\n') {
        return err_set(
            err, AUGURY_ERR_INVALID, "invalid_manifest",
            "a manifest is 1 to %d bytes of ASCII lines, each ended by a line feed alone",
            SEAL_MANIFEST_BYTES_MAX);
    }
    while (rc == 0 && text.len > 0) {
        size_t len = (size_t)((const uint8_t *)memchr(text.data, '\n', text.len) - text.data);
        rc = read_line(&reading, bytes_of(text.data, len));
        text = bytes_of(text.data + len + 1, text.len - len - 1);
        reading.line++;
    }
    if (rc == 0 && manifest.file_count == 0) {
        rc = refuse(&reading, "a manifest names one file at least");
    }
    if (rc == 0) {
        *out_manifest = manifest;
    }
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* To the second: a manifest is read by people too. */
static void
put_time(struct buf *buf, enum key key, uint64_t wall_ms)
{
    char text[CLOCK_ISO_BYTES];

    if (wall_ms > 0) {
        clock_to_iso(wall_ms, text);
        buf_put_text(buf, key_names[key]);
        buf_put(buf, text, 19);
        buf_put_text(buf, "Z\n");
    }
}

void
seal_manifest_put(const struct seal_manifest *manifest, struct buf *buf)
{
    buf_printf(buf, "%s\n", first_line);
    if (manifest->model.len > 0) {
        buf_put_text(buf, key_names[KEY_MODEL]);
        buf_put_bytes(buf, manifest->model);
        buf_put_u8(buf, '\n');
    }
    if (manifest->version > 0) {
        buf_printf(buf, "%s%u\n", key_names[KEY_VERSION], manifest->version);
    }
    put_time(buf, KEY_CREATED, manifest->created_wall_ms);
    put_time(buf, KEY_EXPIRES, manifest->expires_wall_ms);
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct seal_manifest_file *file = &manifest->files[i];
        char hex[SEAL_SHA256_HEX_BYTES];
        hex_encode(bytes_of(file->sha256, sizeof(file->sha256)), hex);
        buf_put_text(buf, key_names[KEY_FILE]);
        buf_put(buf, hex, sizeof(hex));
        buf_put_u8(buf, ' ');
        buf_put_u64(buf, file->size_bytes);
        buf_put_u8(buf, ' ');
        buf_put_bytes(buf, file->name);
        buf_put_u8(buf, '\n');
    }
}
