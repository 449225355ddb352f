/* SPDX-License-Identifier: MIT */
/*
 * fixture.h - for the tests of room model: import a file or a text, open it with every check,
 * evaluate. One struct fixture a model; fixture_close() frees it.
 */
#pragma once

#include "augury/model.h"

#include "../../tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct buf blob;
    struct model model;
    struct err err;
    int rc;
    void *scratch;
};

static inline struct fixture
fixture_of_bytes(struct bytes file, const struct model_import_options *options)
{
    static const struct model_import_options none;
    struct fixture fixture = {0};

    buf_init(&fixture.blob, (size_t)1 << 30);
    fixture.rc = model_import(file, options == NULL ? &none : options, &fixture.blob, &fixture.err);
    if (fixture.rc == 0) {
        fixture.rc =
            model_open(buf_view(&fixture.blob), MODEL_CHECK_ALL, &fixture.model, &fixture.err);
    }
    if (fixture.rc == 0) {
        fixture.scratch = aligned_alloc(64, model_scratch_bytes(&fixture.model, SIZE_MAX));
    }
    return fixture;
}

static inline struct fixture
fixture_of_text(const char *text)
{
    return fixture_of_bytes(bytes_of_text(text), NULL);
}

/* A file of tests/data/models. */
static inline struct bytes
fixture_read(const char *name)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[1024];
    struct bytes none = {0};

    snprintf(path, sizeof(path), "%s/tests/data/models/%s", source == NULL ? "." : source, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        printf("# cannot open %s\n", path);
        return none;
    }
    uint8_t *data = malloc(1 << 20);
    size_t len = data == NULL ? 0 : fread(data, 1, 1 << 20, file);
    fclose(file);
    return bytes_of(data, len);
}

static inline struct fixture
fixture_of_file(const char *name, const struct model_import_options *options)
{
    struct bytes file = fixture_read(name);
    struct fixture fixture = fixture_of_bytes(file, options);

    free((void *)(uintptr_t)file.data);
    return fixture;
}

/* A copy of text with the first `from` replaced; NULL when it is not there. */
static inline char *
fixture_replaced(struct bytes text, const char *from, const char *to)
{
    uint8_t *found = memmem(text.data, text.len, from, strlen(from));
    char *copy = malloc(text.len + strlen(to) + 1);

    if (found == NULL || copy == NULL) {
        free(copy);
        return NULL;
    }
    size_t before = (size_t)(found - text.data);
    size_t after = before + strlen(from);
    memcpy(copy, text.data, before);
    memcpy(copy + before, to, strlen(to));
    memcpy(copy + before + strlen(to), text.data + after, text.len - after);
    copy[before + strlen(to) + text.len - after] = '\0';
    return copy;
}

static inline void
fixture_close(struct fixture *fixture)
{
    buf_fini(&fixture->blob);
    free(fixture->scratch);
    fixture->scratch = NULL;
}

/* The one margin of one row. */
static inline float
fixture_margin(const struct fixture *fixture, const float *row)
{
    float margin = NAN;

    if (fixture->rc == 0 && fixture->model.output_count == 1) {
        model_margins(&fixture->model, row, 1, fixture->scratch, &margin);
    }
    return margin;
}
