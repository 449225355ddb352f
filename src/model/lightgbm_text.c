/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_text.c - the text under a LightGBM model: lines, blocks of `key=value` as maps, arrays.
 * Nothing is allocated by what the text says of itself: an array's room is taken after its words
 * have been counted.
 */
#include "lightgbm.h"

#include <stdio.h>

enum { SHOWN_BYTES_MAX = 40 };

/* ---- errors -------------------------------------------------------------------------------- */

int
lightgbm_invalid(struct lightgbm_reader *reader, uint32_t line, const char *fmt, ...)
{
    char reason[sizeof(reader->err->reason)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    err_set(reader->err, AUGURY_ERR_INVALID,
            reader->tree == LIGHTGBM_NO_TREE ? "invalid_model" : "invalid_tree", "%s", reason);
    if (reader->tree == LIGHTGBM_NO_TREE) {
        err_at(reader->err, "line %u", line);
    } else {
        err_at(reader->err, "tree %u, line %u", reader->tree, line);
    }
    return AUGURY_ERR_INVALID;
}

int
lightgbm_no_memory(struct lightgbm_reader *reader)
{
    return err_set(reader->err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to read the model");
}

/* ---- lines --------------------------------------------------------------------------------- */

bool
lightgbm_line_next(struct lightgbm_reader *reader, struct bytes *out_line)
{
    struct bytes rest = reader->rest;

    if (rest.len == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest.data, '\n', rest.len);
    size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
    size_t step = end == NULL ? len : len + 1;

    reader->rest = bytes_of(rest.data + step, rest.len - step);
    reader->line++;
    len -= len > 0 && rest.data[len - 1] == '\r' ? 1 : 0;
    *out_line = bytes_of(rest.data, len);
    return true;
}

bool
lightgbm_line_is_section(struct bytes line)
{
    return bytes_start_with(line, "Tree=") || bytes_equal_text(line, "end of trees") ||
           bytes_equal_text(line, "feature importances:") ||
           bytes_equal_text(line, "feature_importances:") || bytes_equal_text(line, "parameters:");
}

bool
lightgbm_is_end(const struct lightgbm_reader *reader)
{
    return text_trim(reader->rest).len == 0;
}

/* ---- blocks -------------------------------------------------------------------------------- */

static unsigned
key_find(const struct lightgbm_block *block, struct bytes key)
{
    unsigned i = 0;

    while (i < block->key_count && !bytes_equal_text(key, block->keys[i])) {
        i++;
    }
    return i;
}

static int
block_put(struct lightgbm_reader *reader, struct lightgbm_block *block, struct bytes line)
{
    const uint8_t *equals = memchr(line.data, '=', line.len);
    size_t key_len = equals == NULL ? line.len : (size_t)(equals - line.data);
    unsigned key = key_find(block, bytes_of(line.data, key_len));

    if (key == block->key_count) {
        return 0;
    }
    struct lightgbm_field *field = &block->fields[key];
    if (field->line != 0) {
        return lightgbm_invalid(reader, reader->line, "\"%s\" stands here again, first in line %u",
                                block->keys[key], field->line);
    }
    field->line = reader->line;
    field->value =
        equals == NULL ? bytes_of(NULL, 0) : bytes_of(equals + 1, line.len - key_len - 1);
    return 0;
}

int
lightgbm_block_read(struct lightgbm_reader *reader, struct lightgbm_block *block)
{
    struct lightgbm_reader ahead = *reader;
    struct bytes line;
    int rc = 0;

    AUGURY_ASSERT(block->key_count <= LIGHTGBM_KEYS_MAX);
    while (rc == 0 && lightgbm_line_next(&ahead, &line) && !lightgbm_line_is_section(line)) {
        *reader = ahead;
        rc = line.len == 0 ? 0 : block_put(reader, block, line);
    }
    return rc;
}

bool
lightgbm_has(const struct lightgbm_block *block, unsigned key)
{
    return block->fields[key].line != 0;
}

static int
need(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key)
{
    return lightgbm_has(block, key)
               ? 0
               : lightgbm_invalid(reader, reader->line, "there is no \"%s\" up to here",
                                  block->keys[key]);
}

static int
bad_word(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key,
         struct bytes word)
{
    return lightgbm_invalid(reader, block->fields[key].line,
                            "\"%s\" holds \"%.*s\", which is no number of the right kind",
                            block->keys[key],
                            (int)(word.len < SHOWN_BYTES_MAX ? word.len : SHOWN_BYTES_MAX),
                            word.len == 0 ? "" : (const char *)word.data);
}

int
lightgbm_count(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key,
               uint32_t *out_count)
{
    uint64_t count = 0;
    int rc = need(reader, block, key);

    if (rc == 0 && bytes_to_u64(text_trim(block->fields[key].value), INT32_MAX, &count) != 0) {
        rc = bad_word(reader, block, key, block->fields[key].value);
    }
    *out_count = (uint32_t)count;
    return rc;
}

/* ---- arrays -------------------------------------------------------------------------------- */

bool
lightgbm_word_next(struct bytes *rest, struct bytes *out_word)
{
    size_t at = 0;

    while (at < rest->len && (rest->data[at] == ' ' || rest->data[at] == '\t')) {
        at++;
    }
    size_t from = at;
    while (at < rest->len && rest->data[at] != ' ' && rest->data[at] != '\t') {
        at++;
    }
    if (at == from) {
        return false;
    }
    *out_word = bytes_of(rest->data + from, at - from);
    *rest = bytes_of(rest->data + at, rest->len - at);
    return true;
}

size_t
lightgbm_word_count(struct bytes text)
{
    struct bytes word;
    size_t count = 0;

    while (lightgbm_word_next(&text, &word)) {
        count++;
    }
    return count;
}

/* Room for an array of 8-byte numbers, once its words have been counted. */
static int
array_room(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key,
           size_t count, void **out_room)
{
    int rc = need(reader, block, key);

    if (rc != 0) {
        return rc;
    }
    size_t words = lightgbm_word_count(block->fields[key].value);
    if (words != count) {
        return lightgbm_invalid(reader, block->fields[key].line,
                                "\"%s\" holds %zu numbers, there should be %zu", block->keys[key],
                                words, count);
    }
    *out_room = arena_zalloc(&reader->import->arena, count, sizeof(uint64_t));
    return *out_room == NULL ? lightgbm_no_memory(reader) : 0;
}

int
lightgbm_doubles(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key,
                 size_t count, double **out_numbers)
{
    struct bytes rest = block->fields[key].value;
    struct bytes word = bytes_of(NULL, 0);
    void *room = NULL;
    int rc = array_room(reader, block, key, count, &room);
    double *numbers = room;

    AUGURY_ASSERT(rc != 0 || numbers != NULL);
    for (size_t i = 0; i < count && rc == 0; i++) {
        (void)lightgbm_word_next(&rest, &word);
        rc = text_to_f64(word, &numbers[i]) == 0 ? 0 : bad_word(reader, block, key, word);
    }
    *out_numbers = numbers;
    return rc;
}

static bool
word_to_integer(struct bytes word, int64_t *out_number)
{
    bool is_negative = word.len > 0 && word.data[0] == '-';
    uint64_t number = 0;

    if (is_negative) {
        word = bytes_of(word.data + 1, word.len - 1);
    }
    if (bytes_to_u64(word, INT64_MAX, &number) != 0) {
        return false;
    }
    *out_number = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

int
lightgbm_integers(struct lightgbm_reader *reader, const struct lightgbm_block *block, unsigned key,
                  size_t count, int64_t **out_numbers)
{
    struct bytes rest = block->fields[key].value;
    struct bytes word = bytes_of(NULL, 0);
    void *room = NULL;
    int rc = array_room(reader, block, key, count, &room);
    int64_t *numbers = room;

    AUGURY_ASSERT(rc != 0 || numbers != NULL);
    for (size_t i = 0; i < count && rc == 0; i++) {
        (void)lightgbm_word_next(&rest, &word);
        rc = word_to_integer(word, &numbers[i]) ? 0 : bad_word(reader, block, key, word);
    }
    *out_numbers = numbers;
    return rc;
}
