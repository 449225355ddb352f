/* SPDX-License-Identifier: MIT */
/*
 * onnx_maker.h - ONNX files byte by byte, for tests: a graph is the text of its nodes, an
 * attribute the text of its value.
 * Attributes: "name=ints:0,1,2", "floats:0.5,inf", "strings:LEAF,LEAF", "int:3", "float:nan",
 * "string:SUM", "doubles:0.5" (a tensor of DOUBLE, raw), "float16:1" (a tensor of a type that is
 * not read), "external:" (a tensor whose numbers are elsewhere).
 */
#pragma once

#include "fixture.h"

static inline void
onnx_put_varint(struct buf *buf, uint64_t value)
{
    while (value >= 0x80) {
        buf_put_u8(buf, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_put_u8(buf, (uint8_t)value);
}

static inline void
onnx_put_number(struct buf *buf, unsigned field, uint64_t value)
{
    onnx_put_varint(buf, (uint64_t)field << 3);
    onnx_put_varint(buf, value);
}

static inline void
onnx_put_bytes(struct buf *buf, unsigned field, const void *data, size_t len)
{
    onnx_put_varint(buf, (uint64_t)field << 3 | 2);
    onnx_put_varint(buf, len);
    buf_put(buf, data, len);
}

static inline void
onnx_put_text(struct buf *buf, unsigned field, const char *text)
{
    onnx_put_bytes(buf, field, text, strlen(text));
}

/* Puts what inner holds as one field and frees it. */
static inline void
onnx_put_inner(struct buf *buf, unsigned field, struct buf *inner)
{
    onnx_put_bytes(buf, field, inner->data, inner->len);
    buf_fini(inner);
}

static inline void
onnx_put_f32(struct buf *buf, unsigned field, float number)
{
    onnx_put_varint(buf, (uint64_t)field << 3 | 5);
    buf_put(buf, &number, sizeof(number));
}

/* One item of a list in an attribute or tensor. */
static inline void
onnx_put_item(struct buf *buf, const char *kind, const char *item)
{
    if (strcmp(kind, "ints") == 0) {
        onnx_put_number(buf, 8, (uint64_t)strtoll(item, NULL, 10));
    } else if (strcmp(kind, "int") == 0) {
        onnx_put_number(buf, 3, (uint64_t)strtoll(item, NULL, 10));
    } else if (strcmp(kind, "floats") == 0) {
        onnx_put_f32(buf, 7, strtof(item, NULL));
    } else if (strcmp(kind, "float") == 0) {
        onnx_put_f32(buf, 2, strtof(item, NULL));
    } else if (strcmp(kind, "strings") == 0) {
        onnx_put_text(buf, 9, item);
    } else if (strcmp(kind, "string") == 0) {
        onnx_put_text(buf, 4, item);
    } else {
        double number = strtod(item, NULL);
        buf_put(buf, &number, sizeof(number)); /* of raw data */
    }
}

/* A tensor attribute: its items are raw data already. */
static inline void
onnx_put_tensor(struct buf *attribute, const char *kind, struct buf *raw)
{
    struct buf tensor;

    buf_init(&tensor, 1 << 20);
    onnx_put_number(&tensor, 2, strcmp(kind, "float16") == 0 ? 10 : 11);
    if (strcmp(kind, "external") == 0) {
        onnx_put_number(&tensor, 14, 1);
        buf_fini(raw);
    } else {
        onnx_put_inner(&tensor, 9, raw);
    }
    onnx_put_inner(attribute, 5, &tensor);
}

/* "name=kind:items" */
static inline void
onnx_put_attribute(struct buf *node, const char *text)
{
    char copy[1024];
    struct buf attribute;
    struct buf items;

    snprintf(copy, sizeof(copy), "%s", text);
    char *kind = strchr(copy, '=');
    char *list = strchr(copy, ':');
    AUGURY_ASSERT(kind != NULL && list != NULL);
    *kind++ = '\0';
    *list++ = '\0';
    buf_init(&attribute, 1 << 20);
    buf_init(&items, 1 << 20);
    onnx_put_text(&attribute, 1, copy);
    for (char *item = strtok_r(list, ",", &list); item != NULL; item = strtok_r(NULL, ",", &list)) {
        onnx_put_item(&items, kind, item);
    }
    bool is_tensor = strcmp(kind, "doubles") == 0 || strcmp(kind, "float16") == 0 ||
                     strcmp(kind, "external") == 0;
    if (is_tensor) {
        onnx_put_tensor(&attribute, kind, &items);
    } else {
        buf_put_bytes(&attribute, buf_view(&items));
        buf_fini(&items);
    }
    onnx_put_inner(node, 5, &attribute);
}

enum { ONNX_ATTRIBUTES = 20 };

/* inputs and outputs: names with a comma between them. */
struct onnx_node_text {
    const char *op;
    const char *inputs;
    const char *outputs;
    const char *attributes[ONNX_ATTRIBUTES];
};

static inline void
onnx_put_names(struct buf *node, unsigned field, const char *names)
{
    while (*names != '\0') {
        size_t len = strcspn(names, ",");
        onnx_put_bytes(node, field, names, len);
        names += len + (names[len] == ',' ? 1 : 0);
    }
}

/* replaced: an attribute "name=…" that stands in for the node's own of that name, or NULL. */
static inline void
onnx_put_node(struct buf *graph, const struct onnx_node_text *text, const char *replaced)
{
    size_t name = replaced == NULL ? 0 : strcspn(replaced, "=") + 1;
    bool is_done = replaced == NULL;
    struct buf node;

    buf_init(&node, 1 << 20);
    onnx_put_names(&node, 1, text->inputs);
    onnx_put_names(&node, 2, text->outputs);
    onnx_put_text(&node, 4, text->op);
    for (size_t i = 0; i < ONNX_ATTRIBUTES && text->attributes[i] != NULL; i++) {
        bool is_same = name > 0 && strncmp(text->attributes[i], replaced, name) == 0;
        onnx_put_attribute(&node, is_same ? replaced : text->attributes[i]);
        is_done = is_done || is_same;
    }
    if (!is_done) {
        onnx_put_attribute(&node, replaced);
    }
    onnx_put_inner(graph, 1, &node);
}

/* An input of `width` columns (0: not said) of a data type. */
static inline void
onnx_put_graph_input(struct buf *graph, const char *name, unsigned type, unsigned width)
{
    struct buf dims;
    struct buf shape;
    struct buf tensor;
    struct buf kind;
    struct buf input;

    buf_init(&dims, 1 << 10);
    buf_init(&shape, 1 << 10);
    buf_init(&tensor, 1 << 10);
    buf_init(&kind, 1 << 10);
    buf_init(&input, 1 << 10);
    onnx_put_text(&shape, 1, "");
    onnx_put_number(&dims, 1, width);
    onnx_put_inner(&shape, 1, &dims);
    onnx_put_number(&tensor, 1, type);
    onnx_put_inner(&tensor, 2, &shape);
    onnx_put_inner(&kind, 1, &tensor);
    onnx_put_text(&input, 1, name);
    onnx_put_inner(&input, 2, &kind);
    onnx_put_inner(graph, 11, &input);
}

/* A file of those nodes over one input "X" of two columns. replaced: see onnx_put_node(), of the
 * first node. */
static inline struct buf
onnx_file(const struct onnx_node_text *nodes, size_t count, const char *replaced)
{
    struct buf graph;
    struct buf file;

    buf_init(&graph, 1 << 20);
    buf_init(&file, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        onnx_put_node(&graph, &nodes[i], i == 0 ? replaced : NULL);
    }
    onnx_put_graph_input(&graph, "X", 1, 2);
    onnx_put_number(&file, 1, 8);
    onnx_put_text(&file, 2, "a test");
    onnx_put_inner(&file, 7, &graph);
    return file;
}
