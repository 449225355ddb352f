/* SPDX-License-Identifier: MIT */
/* peer_xgboost.c - libxgboost behind peer.h. */
#include "peer.h"

#include <math.h>
#include <xgboost/c_api.h>

struct peer {
    BoosterHandle booster;
    DMatrixHandle matrix; /* of the last prediction: its results may live in the matrix's cache */
};

static bool
went_well(int rc, const char *doing)
{
    if (rc != 0) {
        printf("# libxgboost, %s: %.400s\n", doing, XGBGetLastError());
    }
    return rc == 0;
}

bool
peer_is_there(void)
{
    return true;
}

const char *
peer_version(void)
{
    static char text[32];
    int major, minor, patch;

    XGBoostVersion(&major, &minor, &patch);
    (void)snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
    return text;
}

static struct peer *
peer_new(const DMatrixHandle *matrices, bst_ulong count)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (peer != NULL &&
        (!went_well(XGBoosterCreate(matrices, count, &peer->booster), "creating") ||
         !went_well(XGBoosterSetParam(peer->booster, "nthread", "1"), "setting nthread"))) {
        peer_free(&peer);
    }
    return peer;
}

struct peer *
peer_load(struct bytes model_file)
{
    struct peer *peer = peer_new(NULL, 0);

    if (peer != NULL &&
        !went_well(XGBoosterLoadModelFromBuffer(peer->booster, model_file.data, model_file.len),
                   "loading")) {
        peer_free(&peer);
    }
    if (peer != NULL &&
        !went_well(XGBoosterSetParam(peer->booster, "nthread", "1"), "setting nthread")) {
        peer_free(&peer);
    }
    return peer;
}

void
peer_free(struct peer **peer)
{
    if (*peer == NULL) {
        return;
    }
    if ((*peer)->matrix != NULL) {
        (void)XGDMatrixFree((*peer)->matrix);
    }
    if ((*peer)->booster != NULL) {
        (void)XGBoosterFree((*peer)->booster);
    }
    free(*peer);
    *peer = NULL;
}

/* The product of a shape. */
static size_t
values_of(const bst_ulong *shape, bst_ulong dimensions)
{
    size_t count = 1;

    for (bst_ulong i = 0; i < dimensions; i++) {
        count *= shape[i];
    }
    return count;
}

/* Written once: benchmarks must not pay for the text. */
static const char *
config_of(enum peer_output output)
{
#define CONFIG(type)                                                                               \
    "{\"type\":" #type ",\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,"            \
    "\"strict_shape\":true,\"missing\":NaN,\"cache_id\":0}"

    switch (output) {
    case PEER_VALUE: return CONFIG(0);
    case PEER_MARGIN: return CONFIG(1);
    case PEER_CONTRIBUTIONS: return CONFIG(2);
    case PEER_LEAF: break;
    }
    return CONFIG(6);
#undef CONFIG
}

static const float *
predict(struct peer *peer, const struct peer_rows *rows, const char *config, size_t *out_count)
{
    const bst_ulong *shape = NULL;
    const float *values = NULL;
    bst_ulong dimensions = 0;

    if (peer->matrix != NULL) {
        (void)XGDMatrixFree(peer->matrix);
        peer->matrix = NULL;
    }
    if (!went_well(XGDMatrixCreateFromMat(rows->values, rows->count, rows->columns, rows->missing,
                                          &peer->matrix),
                   "making a matrix") ||
        !went_well(XGBoosterPredictFromDMatrix(peer->booster, peer->matrix, config, &shape,
                                               &dimensions, &values),
                   "predicting")) {
        return NULL;
    }
    *out_count = values_of(shape, dimensions);
    return values;
}

const float *
peer_predict(struct peer *peer, const struct peer_rows *rows, enum peer_output output,
             size_t *out_count)
{
    return predict(peer, rows, config_of(output), out_count);
}

const float *
peer_predict_iterations(struct peer *peer, const struct peer_rows *rows, unsigned begin,
                        unsigned end, size_t *out_count)
{
    char config[160];

    (void)snprintf(config, sizeof(config),
                   "{\"type\":1,\"training\":false,\"iteration_begin\":%u,\"iteration_end\":%u,"
                   "\"strict_shape\":true}",
                   begin, end);
    return predict(peer, rows, config, out_count);
}

const float *
peer_predict_inplace(struct peer *peer, const struct peer_rows *rows, enum peer_output output,
                     size_t *out_count)
{
    const bst_ulong *shape = NULL;
    const float *values = NULL;
    bst_ulong dimensions = 0;
    char array[160];

    (void)snprintf(array, sizeof(array),
                   "{\"data\":[%zu,true],\"shape\":[%zu,%zu],\"typestr\":\"<f4\",\"version\":3}",
                   (size_t)(uintptr_t)rows->values, rows->count, rows->columns);
    if (!went_well(XGBoosterPredictFromDense(peer->booster, array, config_of(output), NULL, &shape,
                                             &dimensions, &values),
                   "predicting in place")) {
        return NULL;
    }
    *out_count = values_of(shape, dimensions);
    return values;
}

bool
peer_save(struct peer *peer, const char *format, struct bytes *out_file)
{
    const char *data = NULL;
    bst_ulong len = 0;
    char config[64];

    (void)snprintf(config, sizeof(config), "{\"format\":\"%s\"}", format);
    if (!went_well(XGBoosterSaveModelToBuffer(peer->booster, config, &len, &data), "saving")) {
        return false;
    }
    *out_file = bytes_of(data, len);
    return true;
}

/* ---- training -------------------------------------------------------------------------------- */

static bool
matrix_describe(DMatrixHandle matrix, const struct peer_training *training)
{
    size_t count = training->rows.count;
    bool is_done =
        went_well(XGDMatrixSetFloatInfo(matrix, "label", training->labels, count), "labels");

    if (is_done && training->types != NULL) {
        is_done = went_well(XGDMatrixSetStrFeatureInfo(matrix, "feature_type",
                                                       (const char **)training->types,
                                                       training->rows.columns),
                            "feature types");
    }
    if (is_done && training->group_size > 0) {
        size_t groups = count / training->group_size;
        unsigned *sizes = malloc(groups * sizeof(*sizes));
        for (size_t i = 0; sizes != NULL && i < groups; i++) {
            sizes[i] = training->group_size;
        }
        is_done = sizes != NULL &&
                  went_well(XGDMatrixSetUIntInfo(matrix, "group", sizes, groups), "groups");
        free(sizes);
    }
    return is_done;
}

static bool
peer_learn(struct peer *peer, const struct peer_training *training, DMatrixHandle matrix)
{
    bool is_done = true;

    for (size_t i = 0; is_done && training->params[i] != NULL; i += 2) {
        is_done = went_well(
            XGBoosterSetParam(peer->booster, training->params[i], training->params[i + 1]),
            training->params[i]);
    }
    for (unsigned i = 0; is_done && i < training->rounds; i++) {
        is_done = went_well(XGBoosterUpdateOneIter(peer->booster, (int)i, matrix), "training");
    }
    return is_done;
}

struct peer *
peer_train(const struct peer_training *training)
{
    const struct peer_rows *rows = &training->rows;
    DMatrixHandle matrix = NULL;
    struct peer *peer = NULL;

    if (!went_well(XGDMatrixCreateFromMat(rows->values, rows->count, rows->columns, NAN, &matrix),
                   "making a matrix")) {
        return NULL;
    }
    if (matrix_describe(matrix, training)) {
        peer = peer_new(&matrix, 1);
    }
    if (peer != NULL && !peer_learn(peer, training, matrix)) {
        peer_free(&peer);
    }
    (void)XGDMatrixFree(matrix);
    return peer;
}
