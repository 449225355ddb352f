/* SPDX-License-Identifier: MIT */
/* oracle.c - files, numbers and seeds for the tests of the engine against foreign answers. */
#include "oracle.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20, PATH_BYTES = 1024, LINE_ROOM = 1 << 20, BLOB_OFFSET = 16 };

/* ---- files ----------------------------------------------------------------------------------- */

bool
oracle_read(const char *path, struct buf *out_file)
{
    const char *source = getenv("AUGURY_SOURCE");
    char whole[PATH_BYTES];

    (void)snprintf(whole, sizeof(whole), "%s%s%s",
                   path[0] == '/' ? ""
                   : source       ? source
                                  : ".",
                   path[0] == '/' ? "" : "/", path);
    buf_init(out_file, FILE_BYTES_MAX);
    FILE *file = fopen(whole, "rb");
    if (file == NULL) {
        printf("# %s: %s\n", whole, strerror(errno));
        return false;
    }
    size_t got = 1;
    while (got > 0) {
        uint8_t *room = buf_reserve(out_file, LINE_ROOM);
        got = room == NULL ? 0 : fread(room, 1, LINE_ROOM, file);
        buf_commit(out_file, got);
    }
    fclose(file);
    buf_put_u8(out_file, 0); /* so that text may be read up to a NUL, which does not count */
    if (buf_finish(out_file) != 0) {
        buf_fini(out_file);
        return false;
    }
    out_file->len--;
    return true;
}

void
oracle_rows_fini(struct oracle_rows *rows)
{
    free(rows->values);
    *rows = (struct oracle_rows){NULL, 0, 0};
}

static size_t
count_of(struct bytes text, uint8_t wanted)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++) {
        count += text.data[i] == wanted ? 1 : 0;
    }
    return count;
}

static bool
rows_init(struct oracle_rows *rows, size_t count, size_t columns)
{
    rows->count = count;
    rows->columns = columns;
    rows->values = malloc((count * columns + 1) * sizeof(float));
    for (size_t i = 0; rows->values != NULL && i < count * columns; i++) {
        rows->values[i] = NAN;
    }
    return rows->values != NULL;
}

/* Reads one line's cells and returns the start of the next line. */
static const char *
tsv_line(const char *at, float *cells, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        char *end = NULL;
        if (*at != '\t' && *at != '\n') {
            cells[i] = strtof(at, &end);
            at = end;
        }
        at += *at == '\t' ? 1 : 0;
    }
    while (*at != '\n' && *at != '\0') {
        at++;
    }
    return at + (*at == '\n' ? 1 : 0);
}

bool
oracle_read_tsv(const char *path, struct oracle_rows *out_rows)
{
    struct buf file;

    if (!oracle_read(path, &file)) {
        return false;
    }
    const uint8_t *line_end = memchr(file.data, '\n', file.len);
    size_t first_len = line_end == NULL ? file.len : (size_t)(line_end - file.data);
    size_t columns = count_of(bytes_of(file.data, first_len), '\t') + 1;
    bool is_done = rows_init(out_rows, count_of(buf_view(&file), '\n'), columns);
    const char *at = (const char *)file.data;
    for (size_t row = 0; is_done && row < out_rows->count; row++) {
        at = tsv_line(at, out_rows->values + row * columns, columns);
    }
    buf_fini(&file);
    return is_done;
}

void
oracle_numbers_fini(struct oracle_numbers *numbers)
{
    free(numbers->values);
    *numbers = (struct oracle_numbers){NULL, 0, 0};
}

/* A cell a call: the text after it is returned. */
static const char *
tsv_cell(const char *at, double *out_number)
{
    char *end = NULL;

    *out_number = NAN;
    if (*at != '\t' && *at != '\n') {
        *out_number = strtod(at, &end);
        at = end;
    }
    return at + (*at != '\0' ? 1 : 0);
}

bool
oracle_read_tsv_f64(const char *path, struct oracle_numbers *out_numbers)
{
    struct buf file;

    *out_numbers = (struct oracle_numbers){NULL, 0, 0};
    if (!oracle_read(path, &file)) {
        return false;
    }
    size_t lines = count_of(buf_view(&file), '\n');
    size_t cells = lines + count_of(buf_view(&file), '\t');
    const char *at = (const char *)file.data;
    double *values = malloc((cells + 1) * sizeof(double));
    for (size_t i = 0; values != NULL && i < cells; i++) {
        at = tsv_cell(at, &values[i]);
    }
    buf_fini(&file);
    *out_numbers = (struct oracle_numbers){values, lines, lines == 0 ? 0 : cells / lines};
    return values != NULL && lines > 0 && cells % lines == 0;
}

static const char *
libsvm_line(const char *at, float *cells, size_t columns)
{
    while (*at != '\n' && *at != '\0') {
        char *end = NULL;
        unsigned long index = strtoul(at, &end, 10);
        if (*end == ':') {
            float value = strtof(end + 1, &end);
            if (index < columns) {
                cells[index] = value;
            }
        }
        at = end;
        while (*at != ' ' && *at != '\n' && *at != '\0') {
            at++;
        }
        at += *at == ' ' ? 1 : 0;
    }
    return at + (*at == '\n' ? 1 : 0);
}

bool
oracle_read_libsvm(const char *path, size_t columns, struct oracle_rows *out_rows)
{
    struct buf file;

    if (!oracle_read(path, &file)) {
        return false;
    }
    bool is_done = rows_init(out_rows, count_of(buf_view(&file), '\n'), columns);
    const char *at = (const char *)file.data;
    for (size_t row = 0; is_done && row < out_rows->count; row++) {
        at = libsvm_line(at, out_rows->values + row * columns, columns);
    }
    buf_fini(&file);
    return is_done;
}

/* ---- models ---------------------------------------------------------------------------------- */

/* The registry hands out blobs 16 bytes past a page: here too, so that alignment is what it is
 * there. */
static bool
model_place(struct bytes blob, struct oracle_model *model)
{
    size_t size = (BLOB_OFFSET + blob.len + 4095) / 4096 * 4096;

    model->room = aligned_alloc(4096, size);
    if (model->room == NULL) {
        return false;
    }
    memcpy(model->room + BLOB_OFFSET, blob.data, blob.len);
    return true;
}

bool
oracle_model_init(struct bytes file, const struct model_import_options *options,
                  struct oracle_model *out_model, struct err *err)
{
    static const struct model_import_options none = {.names = NULL};
    struct oracle_model made = {.room = NULL};
    struct buf blob;

    buf_init(&blob, FILE_BYTES_MAX);
    bool is_done = model_import(file, options == NULL ? &none : options, &blob, err) == 0 &&
                   model_place(buf_view(&blob), &made);
    is_done = is_done && model_open(bytes_of(made.room + BLOB_OFFSET, blob.len), MODEL_CHECK_ALL,
                                    &made.model, err) == 0;
    buf_fini(&blob);
    if (is_done) {
        size_t scratch_bytes = model_scratch_bytes(&made.model, SIZE_MAX);
        made.scratch = aligned_alloc(64, (scratch_bytes / 64 + 1) * 64);
        is_done = made.scratch != NULL;
    }
    if (!is_done) {
        oracle_model_fini(&made);
        return false;
    }
    *out_model = made;
    return true;
}

void
oracle_model_fini(struct oracle_model *model)
{
    free(model->room);
    free(model->scratch);
    *model = (struct oracle_model){.room = NULL};
}

static bool
kernel_agrees(const struct model *model, const void *rows, size_t row_count, const void *margins,
              void *scratch, uint8_t *got)
{
    static const size_t steps[] = {SIZE_MAX, 1, 3, 37};
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t margin_bytes = model->output_count * model_number_bytes(model);

    for (size_t i = 0; i < AUGURY_COUNT(steps); i++) {
        memset(got, 0x55, row_count * margin_bytes);
        for (size_t r = 0; r < row_count;) {
            size_t count = row_count - r < steps[i] ? row_count - r : steps[i];
            model_margins(model, (const uint8_t *)rows + r * row_bytes, count, scratch,
                          got + r * margin_bytes);
            r += count;
        }
        if (memcmp(got, margins, row_count * margin_bytes) != 0) {
            return false;
        }
    }
    return true;
}

bool
oracle_kernels_agree(struct oracle_model *model, const void *rows, size_t row_count,
                     const void *margins, const char *what)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(&model->model, names, AUGURY_COUNT(names));
    size_t margin_bytes = model->model.output_count * model_number_bytes(&model->model);
    uint8_t *got = malloc(row_count * margin_bytes + 1);
    bool is_good = got != NULL && count > 0;

    for (size_t i = 0; is_good && i < count; i++) {
        struct model forced = model->model;
        struct err err;
        is_good = model_force_kernel(&forced, names[i], &err) == 0;
        void *scratch = aligned_alloc(64, model_scratch_bytes(&forced, row_count));
        is_good = is_good && scratch != NULL &&
                  kernel_agrees(&forced, rows, row_count, margins, scratch, got);
        free(scratch);
        if (!is_good) {
            printf("# %s: the kernel %s answers otherwise\n", what, names[i]);
        }
    }
    free(got);
    return is_good;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static uint32_t
bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

bool
oracle_same_bits(float a, float b)
{
    return (isnan(a) && isnan(b)) || bits_of(a) == bits_of(b);
}

uint32_t
oracle_ulps(float a, float b)
{
    if (oracle_same_bits(a, b) || (a == 0.0f && b == 0.0f)) {
        return 0;
    }
    if (isnan(a) || isnan(b) || signbit(a) != signbit(b)) {
        return UINT32_MAX;
    }
    uint32_t x = bits_of(a);
    uint32_t y = bits_of(b);
    return x > y ? x - y : y - x;
}

double
oracle_relative(float a, float b)
{
    double size = fabs((double)b) > 1e-6 ? fabs((double)b) : 1e-6;

    return fabs((double)a - (double)b) / size;
}

double
oracle_relative_f64(double a, double b)
{
    double greatest = fmax(fabs(b), 1e-6);

    return a == b ? 0.0 : fabs(a - b) / greatest;
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
struct oracle_random
oracle_random_of(uint64_t seed)
{
    return (struct oracle_random){.state = seed * 0x9e3779b97f4a7c15u + 1};
}

uint32_t
oracle_next(struct oracle_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

uint32_t
oracle_below(struct oracle_random *random, uint32_t limit)
{
    return (uint32_t)((uint64_t)oracle_next(random) * limit >> 32);
}

float
oracle_unit(struct oracle_random *random)
{
    return (float)(oracle_next(random) >> 8) * 0x1p-24f;
}

float
oracle_normal(struct oracle_random *random)
{
    float sum = 0.0f;

    for (int i = 0; i < 12; i++) {
        sum += oracle_unit(random);
    }
    return sum - 6.0f;
}

uint64_t
oracle_setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    uint64_t value;

    return text != NULL && bytes_to_u64(bytes_of_text(text), UINT64_MAX, &value) == 0 ? value
                                                                                      : fallback;
}
