/* SPDX-License-Identifier: MIT */
/*
 * onnx_proto.c - ModelProto and GraphProto: producer, operator sets, nodes, inputs and the names
 * of initializers. Fields of ModelProto: ir_version (1), producer_name (2), producer_version (3),
 * graph (7), opset_import (8), functions (25); of GraphProto: node (1), initializer (5), input
 * (11); of NodeProto: input (1), output (2), op_type (4), attribute (5), domain (7).
 */
#include "onnx.h"

enum {
    MODEL_PRODUCER = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_FUNCTION = 25
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP = 4, NODE_DOMAIN = 7 };
enum { TENSOR_NAME = 8, INPUT_NAME = 1, INPUT_TYPE = 2 };
enum { TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1 };

static int
not_whole(struct onnx *onnx, const char *what)
{
    return err_set(onnx->err, AUGURY_ERR_INVALID, "invalid_onnx",
                   "%s is not whole: the file was cut or is no ONNX model", what);
}

/* How many fields of that number a message has, -1 when it is not whole. */
static int64_t
count_fields(struct bytes message, uint32_t number)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;
    int64_t count = 0;
    int rc = 0;

    while ((rc = protobuf_next(&rest, &field)) == 0) {
        count += field.number == number && field.wire == PROTOBUF_BYTES ? 1 : 0;
    }
    return rc == AUGURY_END ? count : -1;
}

/* The first field of that number; false when there is none. */
static bool
find_bytes(struct bytes message, uint32_t number, struct bytes *out_bytes)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;

    while (protobuf_next(&rest, &field) == 0) {
        if (field.number == number && field.wire == PROTOBUF_BYTES) {
            *out_bytes = field.bytes;
            return true;
        }
    }
    return false;
}

static uint64_t
find_number(struct bytes message, uint32_t number)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;
    uint64_t value = 0;

    while (protobuf_next(&rest, &field) == 0) {
        value = field.number == number && field.wire == PROTOBUF_VARINT ? field.value : value;
    }
    return value;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static int
too_many_names(struct onnx *onnx, const char *what)
{
    return err_set(onnx->err, AUGURY_ERR_LIMIT, "unsupported_operator",
                   "the graph has more than %d %s", ONNX_NAMES_MAX, what);
}

/* The texts of every field of that number. */
static int
read_names(struct onnx *onnx, struct bytes message, uint32_t number, const struct bytes **out_names,
           uint32_t *out_count)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;
    int64_t count = count_fields(message, number);

    if (count < 0) {
        return not_whole(onnx, "a node");
    }
    if (count > ONNX_NAMES_MAX) {
        return too_many_names(onnx, "names of tensors in a node");
    }
    struct bytes *names = arena_zalloc(&onnx->import->arena, (size_t)count, sizeof(*names));
    if (names == NULL) {
        return onnx_no_memory(onnx);
    }
    for (size_t i = 0; protobuf_next(&rest, &field) == 0;) {
        if (field.number == number && field.wire == PROTOBUF_BYTES) {
            names[i++] = field.bytes;
        }
    }
    *out_names = names;
    *out_count = (uint32_t)count;
    return 0;
}

static int
read_node(struct onnx *onnx, struct bytes body, struct onnx_node *out_node)
{
    *out_node = (struct onnx_node){.body = body};
    int rc = read_names(onnx, body, NODE_INPUT, &out_node->inputs, &out_node->input_count);
    if (rc == 0) {
        rc = read_names(onnx, body, NODE_OUTPUT, &out_node->outputs, &out_node->output_count);
    }
    if (rc == 0 && !find_bytes(body, NODE_OP, &out_node->op)) {
        rc = not_whole(onnx, "a node without an operator");
    }
    (void)find_bytes(body, NODE_DOMAIN, &out_node->domain);
    onnx->read_count += out_node->input_count;
    onnx->made_count += out_node->output_count;
    if (rc == 0 && (onnx->read_count > ONNX_NAMES_MAX || onnx->made_count > ONNX_NAMES_MAX)) {
        rc = too_many_names(onnx, "names of tensors in its nodes");
    }
    return rc;
}

/* ---- inputs -------------------------------------------------------------------------------- */

/* Last dimension of a shape of two; 0: not said. */
static int64_t
width_of(struct bytes shape)
{
    struct protobuf rest = protobuf_of(shape);
    struct protobuf_field field;
    uint32_t dimensions = 0;
    uint64_t width = 0;

    while (protobuf_next(&rest, &field) == 0) {
        if (field.number == SHAPE_DIM && field.wire == PROTOBUF_BYTES) {
            width = find_number(field.bytes, DIM_VALUE);
            dimensions++;
        }
    }
    return dimensions == 2 && width <= MODEL_FEATURES_MAX ? (int64_t)width : 0;
}

static struct onnx_input
read_input(struct bytes body)
{
    struct onnx_input input = {0};
    struct bytes type;
    struct bytes tensor;
    struct bytes shape;

    (void)find_bytes(body, INPUT_NAME, &input.name);
    if (find_bytes(body, INPUT_TYPE, &type) && find_bytes(type, TYPE_TENSOR, &tensor)) {
        uint64_t element = find_number(tensor, TENSOR_ELEMENT);
        input.type = element <= UINT32_MAX ? (uint32_t)element : 0;
        input.width = find_bytes(tensor, TENSOR_SHAPE, &shape) ? width_of(shape) : 0;
    }
    return input;
}

/* ---- the graph ----------------------------------------------------------------------------- */

/* The lists of a graph, to be filled. */
struct lists {
    struct onnx_node *nodes;
    struct onnx_input *inputs;
    struct bytes *initializers;
};

static int
alloc_lists(struct onnx *onnx, struct bytes graph, struct lists *out_lists)
{
    struct arena *arena = &onnx->import->arena;
    int64_t nodes = count_fields(graph, GRAPH_NODE);
    int64_t inputs = count_fields(graph, GRAPH_INPUT);
    int64_t initializers = count_fields(graph, GRAPH_INITIALIZER);

    if (nodes < 0) {
        return not_whole(onnx, "the graph");
    }
    if (nodes > ONNX_NODES_MAX) {
        return err_set(onnx->err, AUGURY_ERR_UNSUPPORTED, "unsupported_operator",
                       "a graph of %lld nodes; augury reads graphs of up to %d around one model of "
                       "trees or weights",
                       (long long)nodes, ONNX_NODES_MAX);
    }
    if (inputs > ONNX_NAMES_MAX || initializers > ONNX_NAMES_MAX) {
        return too_many_names(onnx, "inputs, or initializers");
    }
    *out_lists = (struct lists){
        .nodes = arena_zalloc(arena, (size_t)nodes, sizeof(struct onnx_node)),
        .inputs = arena_zalloc(arena, (size_t)inputs, sizeof(struct onnx_input)),
        .initializers = arena_zalloc(arena, (size_t)initializers, sizeof(struct bytes)),
    };
    onnx->nodes = out_lists->nodes;
    onnx->inputs = out_lists->inputs;
    onnx->initializers = out_lists->initializers;
    return onnx->nodes == NULL || onnx->inputs == NULL || onnx->initializers == NULL
               ? onnx_no_memory(onnx)
               : 0;
}

static int
read_graph(struct onnx *onnx, struct bytes graph)
{
    struct protobuf rest = protobuf_of(graph);
    struct protobuf_field field;
    struct lists lists = {0};
    int rc = alloc_lists(onnx, graph, &lists);

    while (rc == 0 && protobuf_next(&rest, &field) == 0) {
        if (field.wire != PROTOBUF_BYTES) {
            continue;
        }
        if (field.number == GRAPH_NODE) {
            rc = read_node(onnx, field.bytes, &lists.nodes[onnx->node_count++]);
        } else if (field.number == GRAPH_INPUT) {
            lists.inputs[onnx->input_count++] = read_input(field.bytes);
        } else if (field.number == GRAPH_INITIALIZER) {
            (void)find_bytes(field.bytes, TENSOR_NAME,
                             &lists.initializers[onnx->initializer_count++]);
        }
    }
    return rc;
}

static void
read_opset(struct onnx *onnx, struct bytes body)
{
    struct bytes domain = bytes_of(NULL, 0);

    (void)find_bytes(body, OPSET_DOMAIN, &domain);
    if (domain.len == 0 || bytes_equal_text(domain, "ai.onnx")) {
        onnx->opset = find_number(body, OPSET_VERSION);
    } else if (bytes_equal_text(domain, "ai.onnx.ml")) {
        onnx->ml_opset = find_number(body, OPSET_VERSION);
    }
}

int
onnx_read_graph(struct onnx *onnx, struct bytes file)
{
    struct protobuf rest = protobuf_of(file);
    struct protobuf_field field;
    struct bytes graph = bytes_of(NULL, 0);
    int rc = 0;

    while ((rc = protobuf_next(&rest, &field)) == 0) {
        if (field.number == MODEL_FUNCTION) {
            return err_set(onnx->err, AUGURY_ERR_UNSUPPORTED, "unsupported_operator",
                           "the file defines functions of its own");
        }
        if (field.wire != PROTOBUF_BYTES) {
            continue;
        }
        switch (field.number) {
        case MODEL_PRODUCER: onnx->producer = field.bytes; break;
        case MODEL_PRODUCER_VERSION: onnx->producer_version = field.bytes; break;
        case MODEL_GRAPH: graph = field.bytes; break;
        case MODEL_OPSET: read_opset(onnx, field.bytes); break;
        default: break;
        }
    }
    if (rc != AUGURY_END || graph.len == 0) {
        return not_whole(onnx, "the file");
    }
    return read_graph(onnx, graph);
}
