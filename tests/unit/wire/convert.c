/* SPDX-License-Identifier: MIT */
/*
 * convert.c - room wire as a filter, so that a test can hold it against other codecs: `convert
 * FROM TO`.
 * Standard input: documents, each behind its length (32 bits, little-endian). Standard output: for
 * each a byte (0 fine, 1 refused), a length, and the document or the error. FROM f32: each 4 bytes
 * are a float, and TO is its text.
 */
#include "augury/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONVERT_MAX_BYTES = 64 << 20 };

static int
format_find(const char *name)
{
    static const char *const names[] = {"json", "msgpack", "ubjson", "f32"};

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return (int)i;
        }
    }
    fprintf(stderr, "convert: unknown format %s\n", name);
    exit(2);
}

static void
put_frame(uint8_t status, struct bytes data)
{
    uint8_t head[5] = {status};

    le32_put(head + 1, (uint32_t)data.len);
    fwrite(head, 1, sizeof(head), stdout);
    if (data.len > 0) {
        fwrite(data.data, 1, data.len, stdout);
    }
}

static void
convert_float(struct bytes input)
{
    char text[WIRE_F32_TEXT_MAX];
    float value = 0;

    memcpy(&value, input.data, input.len < sizeof(value) ? input.len : sizeof(value));
    put_frame(0, bytes_of(text, wire_f32_to_text(value, text)));
}

static void
convert(int from, int to, struct bytes input, struct arena *arena)
{
    static const struct wire_limits limits = {.depth = 32, .values = 10000000};
    struct wire_writer writer;
    struct wire_value tree;
    struct err err;
    struct buf out;

    buf_init(&out, CONVERT_MAX_BYTES);
    if (wire_decode((enum wire_format)from, input, &limits, arena, &tree, &err) != 0) {
        buf_printf(&out, "%s: %s: %s", err.at, err.code, err.reason);
        put_frame(1, buf_view(&out));
    } else {
        wire_writer_init(&writer, (enum wire_format)to, &out);
        wire_put_value(&writer, &tree);
        AUGURY_ASSERT(buf_finish(&out) == 0);
        put_frame(0, buf_view(&out));
    }
    buf_fini(&out);
    arena_reset(arena, 1 << 20);
}

int
main(int argc, char **argv)
{
    struct arena arena;
    uint8_t head[4];

    if (argc != 3 || arena_init(&arena, (size_t)8 * CONVERT_MAX_BYTES) != 0) {
        fprintf(stderr, "usage: convert FROM TO\n");
        return 2;
    }
    int from = format_find(argv[1]);
    int to = from == format_find("f32") ? from : format_find(argv[2]);
    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        size_t len = le32_get(head);
        uint8_t *data = malloc(len + 1);
        AUGURY_ASSERT(data != NULL && fread(data, 1, len, stdin) == len);
        if (from == format_find("f32")) {
            convert_float(bytes_of(data, len));
        } else {
            convert(from, to, bytes_of(data, len), &arena);
        }
        free(data);
    }
    arena_fini(&arena);
    return 0;
}
