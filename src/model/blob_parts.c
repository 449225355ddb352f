/* SPDX-License-Identifier: MIT */
/*
 * blob_parts.c - what a blob holds beside trees and schema: inputs, classes, layers, attributes.
 * Each is a table of small records that point into BLOB_NUMBERS; records and numbers stand in one
 * order, so that the check demands of each the very place where the one before it ended.
 */
#include "blob.h"

#include <math.h>
#include <string.h>

/* ---- counting ------------------------------------------------------------------------------ */

static uint64_t
count_numbers(const struct neutral_model *model)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < model->input_count; i++) {
        for (uint32_t k = 0; k < model->inputs[i].step_count; k++) {
            count += 2 * (uint64_t)model->inputs[i].steps[k].key_count;
        }
    }
    for (uint32_t i = 0; i < model->layer_count; i++) {
        count += ((uint64_t)model->layers[i].inputs + 1) * model->layers[i].outputs;
    }
    for (uint32_t i = 0; i < model->attribute_count; i++) {
        count += model->attributes[i].cut_count;
    }
    return count;
}

bool
blob_parts_count(const struct neutral_model *model, struct blob_header *header)
{
    uint64_t steps = 0;
    uint64_t bins = 0;
    uint64_t numbers = count_numbers(model);

    for (uint32_t i = 0; i < model->input_count; i++) {
        steps += model->inputs[i].step_count;
    }
    for (uint32_t i = 0; i < model->attribute_count; i++) {
        bins += (uint64_t)model->attributes[i].cut_count + 2;
    }
    header->link_offset = model->link_offset;
    header->input_count = model->input_count;
    header->step_count = (uint32_t)steps;
    header->class_count = model->class_count;
    header->layer_count = model->layer_count;
    header->attribute_count = model->attribute_count;
    header->bin_count = (uint32_t)bins;
    header->reason_count = model->reason_count;
    header->number_count = (uint32_t)numbers;
    return steps <= UINT32_MAX && bins <= UINT32_MAX && numbers <= UINT32_MAX;
}

uint64_t
blob_parts_text_bytes(const struct neutral_model *model)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < model->class_count; i++) {
        bytes += model->classes[i].len;
    }
    for (uint32_t i = 0; i < model->reason_count; i++) {
        bytes += model->reasons[i].len;
    }
    return bytes;
}

/* ---- filling ------------------------------------------------------------------------------- */

/* A blob whose header is there, and where the next number and text go. */
struct parts {
    uint8_t *blob;
    uint32_t number_at;
    uint32_t text_at;
};

static void *
parts_section(const struct parts *parts, enum blob_section section)
{
    const struct blob_header *header = (const struct blob_header *)parts->blob;

    return parts->blob + header->sections[section].offset;
}

/* Returns where they start. */
static uint32_t
put_numbers(struct parts *parts, const double *numbers, size_t count)
{
    uint32_t at = parts->number_at;

    if (count > 0) {
        memcpy((double *)parts_section(parts, BLOB_NUMBERS) + at, numbers, count * sizeof(double));
    }
    parts->number_at += (uint32_t)count;
    return at;
}

static void
put_texts(struct parts *parts, enum blob_section section, const struct bytes *texts, uint32_t count)
{
    struct blob_text *places = parts_section(parts, section);
    uint8_t *text = parts_section(parts, BLOB_TEXT);

    for (uint32_t i = 0; i < count; i++) {
        places[i] = (struct blob_text){.offset = parts->text_at, .bytes = (uint32_t)texts[i].len};
        if (texts[i].len > 0) {
            memcpy(text + parts->text_at, texts[i].data, texts[i].len);
        }
        parts->text_at += (uint32_t)texts[i].len;
    }
}

static void
put_inputs(struct parts *parts, const struct neutral_model *model)
{
    struct blob_input *inputs = parts_section(parts, BLOB_INPUTS);
    struct blob_step *steps = parts_section(parts, BLOB_STEPS);
    uint32_t step_at = 0;

    for (uint32_t i = 0; i < model->input_count; i++) {
        const struct neutral_input *input = &model->inputs[i];
        inputs[i] = (struct blob_input){
            .feature = input->feature, .step_first = step_at, .step_count = input->step_count};
        for (uint32_t k = 0; k < input->step_count; k++) {
            const struct neutral_step *step = &input->steps[k];
            steps[step_at] = (struct blob_step){
                .op = step->op,
                .key_first = put_numbers(parts, step->keys, step->key_count),
                .key_count = step->key_count,
                .a = step->a,
                .b = step->b,
            };
            (void)put_numbers(parts, step->values, step->key_count);
            step_at++;
        }
    }
}

static void
put_layers(struct parts *parts, const struct neutral_model *model)
{
    struct blob_layer *layers = parts_section(parts, BLOB_LAYERS);

    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct neutral_layer *layer = &model->layers[i];
        layers[i] = (struct blob_layer){
            .inputs = layer->inputs,
            .outputs = layer->outputs,
            .activation = layer->activation,
            .first = put_numbers(parts, layer->weights, (size_t)layer->inputs * layer->outputs),
        };
        (void)put_numbers(parts, layer->biases, layer->outputs);
    }
}

static void
put_attributes(struct parts *parts, const struct neutral_model *model)
{
    struct blob_attribute *attributes = parts_section(parts, BLOB_ATTRIBUTES);
    struct blob_bin *bins = parts_section(parts, BLOB_BINS);
    uint32_t bin_at = 0;

    for (uint32_t i = 0; i < model->attribute_count; i++) {
        const struct neutral_attribute *attribute = &model->attributes[i];
        attributes[i] = (struct blob_attribute){
            .feature = attribute->feature,
            .bin_first = bin_at,
            .cut_first = put_numbers(parts, attribute->cuts, attribute->cut_count),
            .cut_count = attribute->cut_count,
            .reference = attribute->reference,
        };
        for (uint32_t k = 0; k < attribute->cut_count + 2; k++) {
            bins[bin_at++] = (struct blob_bin){.points = attribute->bins[k].points,
                                               .reason = attribute->bins[k].reason};
        }
    }
}

void
blob_parts_fill(const struct neutral_model *model, uint8_t *blob, uint32_t text_at)
{
    struct parts parts = {.blob = blob, .text_at = text_at};

    put_inputs(&parts, model);
    put_layers(&parts, model);
    put_attributes(&parts, model);
    put_texts(&parts, BLOB_CLASSES, model->classes, model->class_count);
    put_texts(&parts, BLOB_REASONS, model->reasons, model->reason_count);
}

/* ---- checking ------------------------------------------------------------------------------ */

/* Where the next record and number must stand. */
struct parts_pass {
    const struct blob_header *header;
    uint64_t number_at;
    uint64_t step_at;
    uint64_t bin_at;
};

static int
corrupt(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model", "%s", reason);
}

/* count numbers that begin at first: there, and next in turn. */
static bool
take_numbers(struct parts_pass *pass, uint32_t first, uint64_t count)
{
    if (first != pass->number_at || count > pass->header->number_count - pass->number_at) {
        return false;
    }
    pass->number_at += count;
    return true;
}

static bool
step_is_sane(struct parts_pass *pass, const struct blob_step *step)
{
    return step->op < NEUTRAL_OP_COUNT && (step->op == NEUTRAL_FIND || step->key_count == 0) &&
           take_numbers(pass, step->key_first, 2 * (uint64_t)step->key_count);
}

static int
check_inputs(struct parts_pass *pass, struct err *err)
{
    const struct blob_header *header = pass->header;
    const struct blob_input *inputs = blob_section_in(header, BLOB_INPUTS);
    const struct blob_step *steps = blob_section_in(header, BLOB_STEPS);

    for (uint32_t i = 0; i < header->input_count; i++) {
        const struct blob_input *input = &inputs[i];
        if (input->feature >= header->feature_count || input->step_first != pass->step_at ||
            input->step_count > header->step_count - pass->step_at) {
            return corrupt(err, "an input's feature or steps are not there");
        }
        for (uint32_t k = 0; k < input->step_count; k++) {
            if (!step_is_sane(pass, &steps[input->step_first + k])) {
                return corrupt(err, "a step that is unknown or whose keys are not there");
            }
        }
        pass->step_at += input->step_count;
    }
    return pass->step_at == header->step_count ? 0 : corrupt(err, "steps of no input");
}

static int
check_layers(struct parts_pass *pass, struct err *err)
{
    const struct blob_header *header = pass->header;
    const struct blob_layer *layers = blob_section_in(header, BLOB_LAYERS);
    uint32_t inputs = blob_width(header);

    for (uint32_t i = 0; i < header->layer_count; i++) {
        const struct blob_layer *layer = &layers[i];
        uint64_t numbers = ((uint64_t)layer->inputs + 1) * layer->outputs;
        if (layer->inputs != inputs || layer->outputs == 0 ||
            layer->activation >= NEUTRAL_ACTIVATION_COUNT ||
            !take_numbers(pass, layer->first, numbers)) {
            return corrupt(err, "a layer does not read what the one before it gives");
        }
        inputs = layer->outputs;
    }
    return header->layer_count == 0 || inputs == header->output_count
               ? 0
               : corrupt(err, "the last layer does not give one number an output");
}

static bool
cuts_ascend(const struct blob_header *header, const struct blob_attribute *attribute)
{
    const double *cuts =
        (const double *)blob_section_in(header, BLOB_NUMBERS) + attribute->cut_first;

    for (uint32_t i = 1; i < attribute->cut_count; i++) {
        if (!(cuts[i] > cuts[i - 1])) {
            return false;
        }
    }
    return true;
}

static int
check_attributes(struct parts_pass *pass, struct err *err)
{
    const struct blob_header *header = pass->header;
    const struct blob_attribute *attributes = blob_section_in(header, BLOB_ATTRIBUTES);
    const struct blob_bin *bins = blob_section_in(header, BLOB_BINS);

    for (uint32_t i = 0; i < header->attribute_count; i++) {
        const struct blob_attribute *attribute = &attributes[i];
        uint64_t count = (uint64_t)attribute->cut_count + 2;
        if (attribute->feature >= blob_width(header) || attribute->bin_first != pass->bin_at ||
            count > header->bin_count - pass->bin_at ||
            !take_numbers(pass, attribute->cut_first, attribute->cut_count) ||
            !cuts_ascend(header, attribute)) {
            return corrupt(err, "an attribute's feature, cuts or bins are not there");
        }
        pass->bin_at += count;
    }
    for (uint32_t i = 0; i < header->bin_count; i++) {
        if (bins[i].reason != NEUTRAL_NO_REASON && bins[i].reason >= header->reason_count) {
            return corrupt(err, "a bin's reason is not there");
        }
    }
    return pass->bin_at == header->bin_count ? 0 : corrupt(err, "bins of no attribute");
}

static int
check_texts(const struct blob_header *header, enum blob_section section, uint32_t count,
            struct err *err)
{
    const struct blob_text *texts = blob_section_in(header, section);

    for (uint32_t i = 0; i < count; i++) {
        if (texts[i].offset > header->text_bytes ||
            texts[i].bytes > header->text_bytes - texts[i].offset) {
            return corrupt(err, "the name of a class or reason lies outside the text section");
        }
    }
    return 0;
}

int
blob_parts_check(const struct blob_header *header, struct err *err)
{
    struct parts_pass pass = {.header = header};
    int rc = check_inputs(&pass, err);

    if (rc == 0) {
        rc = check_layers(&pass, err);
    }
    if (rc == 0) {
        rc = check_attributes(&pass, err);
    }
    if (rc == 0) {
        rc = check_texts(header, BLOB_CLASSES, header->class_count, err);
    }
    if (rc == 0) {
        rc = check_texts(header, BLOB_REASONS, header->reason_count, err);
    }
    if (rc == 0 && pass.number_at != header->number_count) {
        rc = corrupt(err, "numbers that nothing uses");
    }
    return rc;
}
