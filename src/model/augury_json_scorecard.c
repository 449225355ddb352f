/* SPDX-License-Identifier: MIT */
/*
 * augury_json_scorecard.c - scorecards of model JSON: attributes with cuts or levels, the points of
 * their bins, reason codes, and how points become odds.
 */
#include "augury_json.h"

#include <math.h>
#include <stdio.h>

enum { REASONS_MAX = 1000 };

/* An attribute being read. */
struct attribute_reader {
    struct reader *reader;
    const struct wire_value *value;
    struct neutral_feature *feature;
    const struct name_index *levels; /* of the feature */
    struct bytes *reasons;           /* of the card, room for one a bin */
    uint32_t *reason_count;
    double *cuts;
    double *points; /* as the document has them */
    uint32_t point_count;
    struct neutral_bin *bins;
    char at[40];
};

/* ---- reasons ------------------------------------------------------------------------------- */

static int
reason_number(struct attribute_reader *ar, const struct wire_value *value, uint32_t *out_number)
{
    if (value == NULL || value->type == WIRE_NULL) {
        *out_number = NEUTRAL_NO_REASON;
        return 0;
    }
    if (value->type != WIRE_STRING || value->count == 0) {
        return reader_refuse(ar->reader, ar->at, "a reason is a text that is not empty, or null");
    }
    *out_number = 0;
    while (*out_number < *ar->reason_count &&
           !bytes_equal(ar->reasons[*out_number], wire_string(value))) {
        *out_number += 1;
    }
    if (*out_number == REASONS_MAX) {
        return reader_refuse(ar->reader, ar->at, "augury reads cards of up to %d reasons",
                             REASONS_MAX);
    }
    if (*out_number == *ar->reason_count) {
        ar->reasons[(*ar->reason_count)++] = wire_string(value);
    }
    return 0;
}

/* "reason" of the attribute, or "reasons", one for each of its points. */
static int
read_reasons(struct attribute_reader *ar, uint32_t *out_numbers)
{
    const struct wire_value *one = wire_member(ar->value, "reason");
    const struct wire_value *each = wire_member(ar->value, "reasons");
    int rc = 0;

    if (each != NULL &&
        (one != NULL || each->type != WIRE_ARRAY || each->count != ar->point_count)) {
        return reader_refuse(ar->reader, ar->at,
                             "give \"reason\", one text, or \"reasons\", an "
                             "array with one for each of %u points",
                             ar->point_count);
    }
    for (uint32_t i = 0; i < ar->point_count && rc == 0; i++) {
        rc = reason_number(ar, each == NULL ? one : &each->as.items[i], &out_numbers[i]);
    }
    return rc;
}

/* ---- bins ---------------------------------------------------------------------------------- */

/* cuts: bin i holds cuts[i - 1] <= x < cuts[i]; with "closed": "right", < and <=. */
static int
read_cuts(struct attribute_reader *ar, uint32_t *out_count)
{
    static const char *const sides[] = {"left", "right"};
    const struct wire_value *closed = wire_member(ar->value, "closed");
    int32_t side = closed == NULL ? 0 : reader_choice(closed, sides, AUGURY_COUNT(sides));
    int rc =
        reader_numbers(ar->reader, wire_member(ar->value, "cuts"), ar->at, &ar->cuts, out_count);

    if (rc == 0 && side < 0) {
        return reader_refuse(ar->reader, ar->at,
                             "\"closed\" is left (a bin holds its lower end) "
                             "or right");
    }
    if (rc == 0 && ar->point_count != *out_count + 1) {
        return reader_refuse(ar->reader, ar->at, "%u cuts make %u bins, but there are %u points",
                             *out_count, *out_count + 1, ar->point_count);
    }
    for (uint32_t i = 0; i < *out_count && rc == 0 && side == 1; i++) {
        ar->cuts[i] = neutral_above(MODEL_FLOAT64, ar->cuts[i]);
    }
    return rc;
}

/* levels: [["own"], ["rent", "free"]]: the bin of each code goes to out_bins. */
static int
read_levels(struct attribute_reader *ar, uint32_t *out_bins)
{
    const struct wire_value *groups = wire_member(ar->value, "levels");

    if (groups->type != WIRE_ARRAY || groups->count != ar->point_count) {
        return reader_refuse(ar->reader, ar->at,
                             "\"levels\" must be an array with a list of "
                             "levels for each of %u points",
                             ar->point_count);
    }
    for (uint32_t g = 0; g < groups->count; g++) {
        struct bytes *levels = NULL;
        uint32_t count = 0;
        int rc = reader_texts(ar->reader, &groups->as.items[g], ar->at, &levels, &count);
        for (uint32_t i = 0; i < count && rc == 0; i++) {
            int32_t code = name_index_find(ar->levels, levels[i]);
            if (code < 0 || out_bins[code] != UINT32_MAX) {
                rc = reader_refuse(ar->reader, ar->at, "the level \"%.*s\" %s",
                                   (int)(levels[i].len < 60 ? levels[i].len : 60),
                                   (const char *)levels[i].data,
                                   code < 0 ? "is none of the feature's" : "has points already");
            } else {
                out_bins[code] = g;
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* What a member says that may be absent: points and the reason of the whole attribute. */
static int
read_special(struct attribute_reader *ar, const char *key, bool *out_is_there,
             struct neutral_bin *out_bin)
{
    const struct wire_value *value = wire_member(ar->value, key);

    *out_is_there = value != NULL;
    if (value == NULL) {
        return 0;
    }
    int rc = reader_number(ar->reader, value, ar->at, &out_bin->points);
    return rc == 0 ? reason_number(ar, wire_member(ar->value, "reason"), &out_bin->reason) : rc;
}

/* Bins by code: one below 0, one a level, one above; those at the ends are for no level. */
static int
make_level_bins(struct attribute_reader *ar, const uint32_t *reasons, uint32_t *out_cut_count)
{
    uint32_t count = ar->feature->level_count;
    uint32_t *bins = reader_alloc(ar->reader, count, sizeof(*bins));
    bool has_other = false;
    struct neutral_bin other = {.reason = NEUTRAL_NO_REASON};

    ar->cuts = reader_alloc(ar->reader, count + (size_t)1, sizeof(*ar->cuts));
    ar->bins = reader_alloc(ar->reader, count + (size_t)3, sizeof(*ar->bins));
    if (bins == NULL || ar->cuts == NULL || ar->bins == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        bins[i] = UINT32_MAX;
    }
    int rc = read_levels(ar, bins);
    if (rc == 0) {
        rc = read_special(ar, "other", &has_other, &other);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        if (bins[i] == UINT32_MAX && !has_other) {
            return reader_refuse(
                ar->reader, ar->at,
                "the level \"%.*s\" has no points; \"other\" "
                "gives those of levels that are not listed",
                (int)(ar->feature->levels[i].len < 60 ? ar->feature->levels[i].len : 60),
                (const char *)ar->feature->levels[i].data);
        }
        ar->bins[i + 1] = bins[i] == UINT32_MAX
                              ? other
                              : (struct neutral_bin){ar->points[bins[i]], reasons[bins[i]]};
    }
    for (uint32_t i = 0; i <= count; i++) {
        ar->cuts[i] = (double)i;
    }
    ar->bins[0] = other;
    ar->bins[count + 1] = other;
    ar->feature->is_unknown_allowed |= has_other;
    *out_cut_count = count + 1;
    return rc;
}

static int
make_cut_bins(struct attribute_reader *ar, const uint32_t *reasons, uint32_t *out_cut_count)
{
    int rc = read_cuts(ar, out_cut_count);

    ar->bins =
        rc == 0 ? reader_alloc(ar->reader, *out_cut_count + (size_t)2, sizeof(*ar->bins)) : NULL;
    if (ar->bins == NULL) {
        return rc == 0 ? AUGURY_ERR_NOMEM : rc;
    }
    for (uint32_t i = 0; i < ar->point_count; i++) {
        ar->bins[i] = (struct neutral_bin){ar->points[i], reasons[i]};
    }
    return 0;
}

/* The bin of a missing value: as given; else the feature has to be there. */
static int
make_missing_bin(struct attribute_reader *ar, struct neutral_bin *out_bin)
{
    bool is_given = false;

    *out_bin = (struct neutral_bin){.points = 0.0, .reason = NEUTRAL_NO_REASON};
    int rc = read_special(ar, "missing", &is_given, out_bin);
    if (!is_given) {
        ar->feature->is_missing_allowed = false;
    }
    return rc;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static double
greatest_points(const struct attribute_reader *ar)
{
    double greatest = ar->points[0];

    for (uint32_t i = 1; i < ar->point_count; i++) {
        greatest = ar->points[i] > greatest ? ar->points[i] : greatest;
    }
    return greatest;
}

static int
read_attribute(struct attribute_reader *ar, struct neutral_attribute *out)
{
    static const char *const names[] = {"feature", "cuts",    "closed", "levels",  "points",
                                        "other",   "missing", "reason", "reasons", "reference"};
    struct reader *reader = ar->reader;
    uint32_t *reasons = NULL;
    int rc = reader_object(reader, ar->value, names, AUGURY_COUNT(names), ar->at);

    if (rc == 0) {
        rc = reader_feature(reader, wire_member(ar->value, "feature"), ar->at, &out->feature);
    }
    if (rc == 0) {
        rc = reader_numbers(reader, wire_member(ar->value, "points"), ar->at, &ar->points,
                            &ar->point_count);
    }
    if (rc == 0 && ar->point_count == 0) {
        rc = reader_refuse(reader, ar->at, "it has no points");
    }
    if (rc != 0) {
        return rc;
    }
    ar->feature = &reader->model->features[out->feature];
    ar->levels = &reader->levels[out->feature];
    bool has_levels = wire_member(ar->value, "levels") != NULL;
    if (has_levels != (ar->feature->level_count > 0) ||
        has_levels == (wire_member(ar->value, "cuts") != NULL)) {
        return reader_refuse(reader, ar->at,
                             "a feature with levels has \"levels\" here, a number "
                             "has \"cuts\"");
    }
    reasons = reader_alloc(reader, ar->point_count, sizeof(*reasons));
    rc = reasons == NULL ? AUGURY_ERR_NOMEM : read_reasons(ar, reasons);
    if (rc == 0) {
        rc = has_levels ? make_level_bins(ar, reasons, &out->cut_count)
                        : make_cut_bins(ar, reasons, &out->cut_count);
    }
    if (rc == 0) {
        rc = make_missing_bin(ar, &ar->bins[out->cut_count + 1]);
    }
    out->cuts = ar->cuts;
    out->bins = ar->bins;
    return rc == 0 ? reader_optional(reader, ar->value, "reference", greatest_points(ar),
                                     &out->reference)
                   : rc;
}

static int
read_attributes(struct reader *reader)
{
    const struct wire_value *values = wire_member(reader->document, "attributes");
    struct neutral_model *model = reader->model;

    if (values == NULL || values->type != WIRE_ARRAY || values->count == 0) {
        return reader_refuse(reader, "attributes", "expected an array of attributes");
    }
    struct neutral_attribute *attributes = reader_alloc(reader, values->count, sizeof(*attributes));
    struct bytes *reasons = reader_alloc(reader, REASONS_MAX, sizeof(*reasons));
    int rc = attributes == NULL || reasons == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        struct attribute_reader ar = {
            .reader = reader,
            .value = &values->as.items[i],
            .reasons = reasons,
            .reason_count = &model->reason_count,
        };
        (void)snprintf(ar.at, sizeof(ar.at), "attributes[%u]", i);
        rc = read_attribute(&ar, &attributes[i]);
    }
    model->attribute_count = values->count;
    model->attributes = attributes;
    model->reasons = reasons;
    return rc;
}

/* ---- points into odds ---------------------------------------------------------------------- */

/*
 * odds(points) = odds × 2^((points - points0) / pdo), of the class `odds_of` against the other. So
 * the log odds are ln 2 / pdo × (points - points0 + ln(odds) × pdo / ln 2): a sigmoid's scale and
 * offset.
 */
static int
read_scaling(struct reader *reader)
{
    static const char *const names[] = {"pdo", "points", "odds", "odds_of"};
    const struct wire_value *value = wire_member(reader->document, "scaling");
    struct neutral_model *model = reader->model;
    double pdo = 0.0;
    double points = 0.0;
    double odds = 0.0;
    uint32_t class_of_odds = 1;

    if (value == NULL) {
        return 0;
    }
    int rc = reader_object(reader, value, names, AUGURY_COUNT(names), "scaling");
    if (rc == 0) {
        rc = reader_number(reader, wire_member(value, "pdo"), "scaling.pdo", &pdo);
    }
    if (rc == 0) {
        rc = reader_number(reader, wire_member(value, "points"), "scaling.points", &points);
    }
    if (rc == 0) {
        rc = reader_number(reader, wire_member(value, "odds"), "scaling.odds", &odds);
    }
    const struct wire_value *odds_of = wire_member(value, "odds_of");
    for (class_of_odds = 0; rc == 0 && odds_of != NULL && class_of_odds < model->class_count;
         class_of_odds++) {
        if (bytes_equal(model->classes[class_of_odds], wire_string(odds_of))) {
            break;
        }
    }
    class_of_odds = odds_of == NULL ? 1 : class_of_odds;
    if (rc == 0 && (pdo == 0.0 || !(odds > 0.0) || class_of_odds > 1)) {
        rc = reader_refuse(reader, "scaling",
                           "pdo (points to double the odds) must not be 0, odds "
                           "must be over 0, odds_of one of two classes");
    }
    model->link = MODEL_LINK_SIGMOID;
    model->flags |= NEUTRAL_BINARY;
    model->link_scale = log(2.0) / pdo * (class_of_odds == 0 ? -1.0 : 1.0);
    model->link_offset = log(odds) * pdo / log(2.0) - points;
    return rc;
}

int
reader_scorecard(struct reader *reader)
{
    double *base = reader_alloc(reader, 1, sizeof(*base));
    int rc = base == NULL ? AUGURY_ERR_NOMEM
                          : reader_optional(reader, reader->document, "base_points", 0.0, base);

    reader->model->base_margins = base;
    if (rc == 0) {
        rc = read_attributes(reader);
    }
    return rc == 0 ? read_scaling(reader) : rc;
}
