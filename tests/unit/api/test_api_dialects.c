/* SPDX-License-Identifier: MIT */
/*
 * test_api_dialects.c - the bytes of requests and answers of other servers' protocols: every form
 * that their clients send, what is wrong with others, and numbers that JSON has no way to write.
 * The model `stump` answers 1 where a < 0.5, else 2, also where a is missing; `line` is linear with
 * two classes, so that infinity makes both of them undefined. What is expected follows from that
 * and from the protocols.
 */
#include "../../tap.h"

#include "api_case.h"

#define INFER "/v2/models/stump/infer"
#define V1 "/v1/models/stump:predict"
#define MLFLOW "/models/stump/invocations"
#define OIP_HEAD "{\"model_name\":\"stump\",\"model_version\":\"1\","
#define OIP_BODY(shape, data)                                                                      \
    "\"outputs\":[{\"name\":\"predict\",\"datatype\":\"FP32\",\"shape\":[" shape                   \
    ",1],\"data\":[" data "]}]}"
#define OIP(shape, data) OIP_HEAD OIP_BODY(shape, data)
#define INPUT(shape, type, data)                                                                   \
    "{\"name\":\"x\",\"shape\":[" shape "],\"datatype\":\"" type "\",\"data\":" data "}"
#define INPUTS(shape, type, data) "{\"inputs\":[" INPUT(shape, type, data) "]}"
#define COLUMN(name, shape, type, data)                                                            \
    "{\"name\":\"" name "\",\"shape\":[" shape "],\"datatype\":\"" type "\",\"data\":" data "}"

struct exchange {
    const char *path;
    const char *body;
    const char *want;
};

static void
import(const char *name, const char *file, const char *features)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[1024];
    struct wire_writer writer;
    struct err err;

    snprintf(path, sizeof(path), "%s/tests/data/models/%s", source != NULL ? source : ".", file);
    const char *const words[] = {"import", name, path, "--features", features};
    buf_reset(&body);
    wire_writer_init(&writer, WIRE_JSON, &body);
    struct api_verbs verbs = {.registry = world.registry, .conf = conf, .now_wall_ms = 1};
    WORLD_MUST(api_model_verb(&verbs, AUGURY_COUNT(words), words, &writer, &err));
}

static void
check_exchange(const struct exchange *exchange, unsigned status)
{
    struct reply reply = post(exchange->path, exchange->body);

    if (reply.status != status || strcmp(reply.body, exchange->want) != 0 ||
        strcmp(reply.type, "application/json") != 0) {
        TAP_FAIL("%s %s: %u %s: %s, not %s", exchange->path, exchange->body, reply.status,
                 reply.type, reply.body, exchange->want);
    }
}

/* ---- what is answered ------------------------------------------------------------------------ */

static const struct exchange answered[] = {
    /* Open Inference Protocol: tables. */
    {INFER, INPUTS("2,2", "FP32", "[[0,0],[1,0]]"), OIP("2", "1.0,2.0")},
    {INFER, INPUTS("2,2", "FP32", "[0,0,1,0]"), OIP("2", "1.0,2.0")},
    {INFER, INPUTS("2", "FP32", "[1,0]"), OIP("1", "2.0")},
    {INFER, INPUTS("1,2", "FP64", "[0.25,0]"), OIP("1", "1.0")},
    {INFER, INPUTS("1,2", "INT64", "[[1,0]]"), OIP("1", "2.0")},
    {INFER, INPUTS("1,2", "UINT8", "[[0,7]]"), OIP("1", "1.0")},
    {INFER, INPUTS("1,2", "BOOL", "[[true,false]]"), OIP("1", "2.0")},
    {INFER, INPUTS("1,2", "BOOL", "[1,0]"), OIP("1", "2.0")},
    /* The ends of what types have. */
    {INFER, INPUTS("2,2", "UINT8", "[[0,255],[255,0]]"), OIP("2", "1.0,2.0")},
    {INFER, INPUTS("2,2", "INT8", "[[-128,127],[127,-128]]"), OIP("2", "1.0,2.0")},
    {INFER, INPUTS("1,2", "UINT32", "[4294967295,0]"), OIP("1", "2.0")},
    {INFER, INPUTS("1,2", "INT64", "[-9223372036854775808,9223372036854775807]"), OIP("1", "1.0")},
    {INFER, INPUTS("1,2", "UINT64", "[18446744073709551615,0]"), OIP("1", "2.0")},
    {INFER, " {\"inputs\" : [ " INPUT("1,2", "FP32", "[ 0 , 0 ]") " ] } ", OIP("1", "1.0")},
    /* Columns, called as the features, in any order. */
    {INFER,
     "{\"inputs\":[" COLUMN("b", "2", "FP32", "[0,0]") "," COLUMN("a", "2,1", "INT32",
                                                                  "[[0],[1]]") "]}",
     OIP("2", "1.0,2.0")},
    {INFER,
     "{\"parameters\":{\"content_type\":\"pd\"},\"inputs\":[" COLUMN("a", "1", "FP64", "[1]") "]}",
     OIP("1", "2.0")},
    /* Missing and infinite values. */
    {INFER, INPUTS("3,2", "FP32", "[[null,0],[NaN,0],[-Infinity,0]]"), OIP("3", "2.0,2.0,1.0")},
    {INFER, INPUTS("1,2", "FP32", "[Infinity,NaN]"), OIP("1", "2.0")},
    /* The id comes back; what is meant for other models is ignored. */
    {INFER,
     "{\"id\":\"\\u00e9-1\",\"parameters\":{\"priority\":1,\"timeout\":60000000},\"inputs\":"
     "[" INPUT("1,2", "FP32", "[0,0]") "]}",
     OIP_HEAD "\"id\":\"é-1\"," OIP_BODY("1", "1.0")},
    {INFER, "{\"id\":\"\",\"parameters\":null,\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "]}",
     OIP_HEAD "\"id\":\"\"," OIP_BODY("1", "1.0")},
    /* Outputs under each of their names. */
    {INFER,
     "{\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "],\"outputs\":[{\"name\":\"output__0\"}]}",
     OIP_HEAD "\"outputs\":[{\"name\":\"output__0\",\"datatype\":\"FP32\",\"shape\":[1,1],"
              "\"data\":[1.0]}]}"},
    {INFER,
     "{\"inputs\":[" INPUT("1,2", "FP32",
                           "[1,0]") "],\"outputs\":[{\"name\":\"output-0\","
                                    "\"parameters\":{\"binary_data\":false}},{\"name\":\"leaf\"}]}",
     OIP_HEAD "\"outputs\":[{\"name\":\"output-0\",\"datatype\":\"FP32\",\"shape\":[1,1],"
              "\"data\":[2.0]},{\"name\":\"leaf\",\"datatype\":\"UINT32\",\"shape\":[1,1],"
              "\"data\":[2]}]}"},
    {"/v2/models/stump/versions/1/infer", INPUTS("1,2", "FP32", "[0,0]"), OIP("1", "1.0")},
    {"/v2/models/stump/versions/stable/infer", INPUTS("1,2", "FP32", "[0,0]"), OIP("1", "1.0")},
    {"/v2/models/st%75mp/infer", INPUTS("1,2", "FP32", "[0,0]"), OIP("1", "1.0")},
    /* TensorFlow Serving and KServe v1. */
    {V1, "{\"instances\":[[0,0],[1,0]]}", "{\"predictions\":[1.0,2.0]}"},
    {V1, "{\"instances\":[{\"a\":0,\"b\":0},{\"b\":0,\"a\":1}]}", "{\"predictions\":[1.0,2.0]}"},
    {V1, "{\"signature_name\":\"serving_default\",\"instances\":[[NaN,0]]}",
     "{\"predictions\":[2.0]}"},
    {V1, "{\"inputs\":{\"a\":[0,1],\"b\":[null,null]}}", "{\"outputs\":[1.0,2.0]}"},
    {V1, "{\"inputs\":[[0,0]]}", "{\"outputs\":[1.0]}"},
    {"/v1/models/stump/versions/1:predict", "{\"instances\":[[0,0]]}", "{\"predictions\":[1.0]}"},
    {"/v1/models/stump/labels/stable:predict", "{\"instances\":[[0,0]]}",
     "{\"predictions\":[1.0]}"},
    /* MLflow. */
    {MLFLOW, "{\"dataframe_split\":{\"columns\":[\"b\",\"a\"],\"index\":[7],\"data\":[[0,1]]}}",
     "{\"predictions\":[2.0]}"},
    {MLFLOW, "{\"dataframe_split\":{\"data\":[[0,1],[NaN,0]]}}", "{\"predictions\":[1.0,2.0]}"},
    {MLFLOW, "{\"dataframe_records\":[{\"a\":0,\"b\":null},{\"a\":1}]}",
     "{\"predictions\":[1.0,2.0]}"},
    {MLFLOW, "{\"instances\":[[0,0],[1,0]],\"unknown\":true}", "{\"predictions\":[1.0,2.0]}"},
    {MLFLOW, "{\"inputs\":{\"a\":[0,1]}}", "{\"predictions\":[1.0,2.0]}"},
    {MLFLOW, "{\"inputs\":[[0,0]],\"params\":{\"outputs\":\"prediction,leaf\",\"other\":[1]}}",
     "{\"predictions\":[{\"prediction\":1.0,\"leaf\":[1]}]}"},
    {MLFLOW, "{\"inputs\":[[0,0]],\"params\":null}", "{\"predictions\":[1.0]}"},
};

static void
every_form_of_a_request_has_its_answer(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(answered); i++) {
        check_exchange(&answered[i], 200);
    }
}

/* Twice, the second time from the cache: nothing of an answer depends on that. */
static void
a_repeat_has_the_same_bytes(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(answered); i++) {
        world_commit(&world, clock_wall_ms());
        check_exchange(&answered[i], 200);
    }
}

/* An infinite answer is null: JSON has no other way, and bare words break clients. */
static void
answers_that_are_no_number_are_null(void)
{
    static const struct exchange exchanges[] = {
        {"/v2/models/line/infer", INPUTS("1,2", "FP32", "[Infinity,0]"),
         "{\"model_name\":\"line\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"predict\","
         "\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[null,null]}]}"},
        {"/v1/models/line:predict", "{\"instances\":[[-Infinity,0]]}",
         "{\"predictions\":[[null,null]]}"},
        {"/models/line/invocations", "{\"inputs\":[[Infinity,0]]}",
         "{\"predictions\":[[null,null]]}"},
        {"/api/v1/predict/line", "{\"data\":[[Infinity,0]]}",
         "{\"model\":\"line\",\"version\":\"1\",\"predictions\":[{\"prediction\":[null,null]}]}"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(exchanges); i++) {
        check_exchange(&exchanges[i], 200);
    }
}

/* Forms that have a word for it, and those that have the number itself. */
static void
answers_that_are_no_number_have_a_word_in_each_form(void)
{
    static const struct {
        const char *type, *rows, *accept;
        struct bytes end;
    } forms[] = {
        {"application/json",
         "{\"data\":[[Infinity,0]]}",
         "application/msgpack",
         {(const uint8_t *)"prediction\x92\xc0\xc0", 13}},
        {"application/x-ndjson",
         "[Infinity,0]\n",
         "application/x-ndjson",
         {(const uint8_t *)"{\"prediction\":[null,null]}\n", 27}},
        {"text/csv", "a,b\ninf,0\n", "text/csv", {(const uint8_t *)"\r\nnan,nan\r\n", 11}},
    };

    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        struct reply reply = send_request((struct fake){.method = HTTP_POST,
                                                        .path = "/api/v1/predict/line",
                                                        .type = forms[i].type,
                                                        .accept = forms[i].accept,
                                                        .body = bytes_of_text(forms[i].rows)});
        struct bytes end = forms[i].end;
        CHECK_INT(reply.status, 200);
        if (reply.body_len < end.len ||
            memcmp(reply.body + reply.body_len - end.len, end.data, end.len) != 0) {
            TAP_FAIL("%s: %s", forms[i].accept, reply.body);
        }
    }
}

/* ---- binary tensors -------------------------------------------------------------------------- */

#define BINARY_INPUT                                                                               \
    "{\"name\":\"x\",\"shape\":[2,2],\"datatype\":\"FP32\",\"parameters\":{"                       \
    "\"binary_data_size\":16}}"
#define ROWS_RAW "\0\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\0" /* 0, 0; 1, 0 */

static struct reply
post_binary(const char *document, struct bytes raw, const char *length)
{
    static uint8_t bytes[4096];
    static char text[32];
    size_t len = strlen(document);
    struct http_header field = {.name = bytes_of_text("Inference-Header-Content-Length")};

    memcpy(bytes, document, len);
    memcpy(bytes + len, raw.data, raw.len);
    snprintf(text, sizeof(text), "%zu", len);
    field.value = bytes_of_text(length != NULL ? length : text);
    return send_request((struct fake){.method = HTTP_POST,
                                      .path = INFER,
                                      .fields = &field,
                                      .field_count = 1,
                                      .body = bytes_of(bytes, len + raw.len)});
}

static void
check_binary(struct reply reply, const char *document, struct bytes raw)
{
    char header[64];
    size_t len = strlen(document);

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "application/octet-stream");
    snprintf(header, sizeof(header), "Inference-Header-Content-Length: %zu\r\n", len);
    CHECK_CONTAINS(reply.headers, header);
    CHECK_INT(reply.body_len, len + raw.len);
    CHECK(reply.body_len == len + raw.len && memcmp(reply.body, document, len) == 0 &&
          memcmp(reply.body + len, raw.data, raw.len) == 0);
}

static void
binary_tensors_stand_behind_the_document(void)
{
    struct bytes raw = bytes_of(ROWS_RAW, 16);
    struct reply reply = post_binary("{\"inputs\":[" BINARY_INPUT "]}", raw, NULL);

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.body, OIP("2", "1.0,2.0"));
    reply = post_binary(
        "{\"parameters\":{\"binary_data_output\":true},\"inputs\":[" BINARY_INPUT "]}", raw, NULL);
    check_binary(reply,
                 OIP_HEAD
                 "\"outputs\":[{\"name\":\"predict\",\"datatype\":\"FP32\",\"shape\":[2,1],"
                 "\"parameters\":{\"binary_data_size\":8}}]}",
                 bytes_of("\0\0\x80\x3f\0\0\0\x40", 8));
}

/* Of one byte each, which may be 0 or 1. */
static void
a_truth_value_in_binary_is_0_or_1(void)
{
    static const char document[] = "{\"inputs\":[{\"name\":\"x\",\"shape\":[2,2],\"datatype\":"
                                   "\"BOOL\",\"parameters\":{\"binary_data_size\":4}}]}";
    struct reply reply = post_binary(document, bytes_of("\0\0\1\0", 4), NULL);

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.body, OIP("2", "1.0,2.0"));
    reply = post_binary(document, bytes_of("\0\0\2\0", 4), NULL);
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "value 2 of BOOL is the byte 2; expected 0 or 1");
    CHECK_CONTAINS(reply.body, "\"code\":\"invalid_value\",\"at\":\"inputs[0]\"");
}

/* Length 0: the whole body is one row of the model's own numbers. */
static void
a_raw_request_is_one_row(void)
{
    check_binary(post_binary("", bytes_of(ROWS_RAW + 8, 8), "0"),
                 OIP_HEAD
                 "\"outputs\":[{\"name\":\"predict\",\"datatype\":\"FP32\",\"shape\":[1,1],"
                 "\"parameters\":{\"binary_data_size\":4}}]}",
                 bytes_of("\0\0\0\x40", 4));
}

static void
wrong_lengths_are_refused(void)
{
    static const char *const lengths[] = {"-1", "x", "1e1", "999999", "18446744073709551617"};
    struct bytes raw = bytes_of(ROWS_RAW, 16);

    for (size_t i = 0; i < AUGURY_COUNT(lengths); i++) {
        struct reply reply = post_binary("{\"inputs\":[" BINARY_INPUT "]}", raw, lengths[i]);
        CHECK_INT(reply.status, 400);
        CHECK_CONTAINS(reply.body, "\"code\":\"invalid_request\"");
    }
    struct reply reply =
        post_binary("{\"inputs\":[" BINARY_INPUT "]}", bytes_of(raw.data, 15), NULL);
    CHECK_INT(reply.status, 400);
    reply = post_binary("{\"inputs\":[" BINARY_INPUT "]}", bytes_of(ROWS_RAW "1", 17), NULL);
    CHECK_INT(reply.status, 400);
    reply = post_binary("{\"inputs\":[" BINARY_INPUT "]}", raw, "");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "Inference-Header-Content-Length tells the document's length");
    reply = post_binary("", bytes_of(raw.data, 3), "0");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "3 bytes are not 2 values of FP32");
}

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
    const char *path, *body;
    unsigned status;
    const char *code;
} refused[] = {
    {INFER, "", 400, "invalid_json"},
    {INFER, "[]", 400, "invalid_request"},
    {INFER, "{\"inputs\":", 400, "invalid_json"},
    {INFER, "{\"inputs\":[{}]}", 400, "invalid_request"},
    {INFER, INPUTS("2,2", "FP32", "[[0,0]]"), 400, "invalid_shape"},
    {INFER, INPUTS("1,2", "FP32", "[0,0,0]"), 400, "invalid_shape"},
    {INFER, INPUTS("1,3", "FP32", "[0,0,0]"), 400, "invalid_shape"},
    {INFER, INPUTS("-1,2", "FP32", "[0,0]"), 400, "invalid_shape"},
    {INFER, INPUTS("1,2", "FP128", "[0,0]"), 400, "invalid_datatype"},
    {INFER, INPUTS("1,2", "FP32", "[\"0\",0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT64", "[0.5,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "FP32", "[{},0]"), 400, "invalid_value"},
    /* As many values as the shape says, in other lists. */
    {INFER, INPUTS("2,2", "FP32", "[[0,0,0],[0]]"), 400, "invalid_shape"},
    {INFER, INPUTS("2,2", "FP32", "[[0,0],0,0]"), 400, "invalid_shape"},
    {INFER, INPUTS("2", "FP32", "[[0,0]]"), 400, "invalid_shape"},
    {INFER, INPUTS("1,2", "FP32", "[[[0,0]]]"), 400, "invalid_shape"},
    {INFER, INPUTS("1,2", "FP32", "[[[0],[0]]]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "FP32", "[0,[0]]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "FP32", "[[]]"), 400, "invalid_shape"},
    /* What the type does not have. */
    {INFER, INPUTS("1,2", "UINT8", "[256,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "UINT8", "[-1,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT8", "[[128,0]]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT8", "[-129,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT8", "[1e10,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "UINT16", "[65536,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT32", "[2147483648,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "INT64", "[9223372036854775808,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "UINT64", "[-1,0]"), 400, "invalid_value"},
    {INFER, INPUTS("1,2", "BOOL", "[2,0]"), 400, "invalid_value"},
    {INFER,
     "{\"inputs\":[" COLUMN("c", "1", "FP32", "[0]") "," COLUMN("a", "1", "FP32", "[0]") "]}", 400,
     "unknown_feature"},
    {INFER, "{\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "],\"outputs\":[{\"name\":\"reasons\"}]}",
     400, "no_such_output"},
    {INFER,
     "{\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "],\"outputs\":[{\"name\":\"predict\","
                                                   "\"parameters\":{\"classification\":2}}]}",
     400, "unsupported_parameter"},
    {INFER,
     "{\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "],\"outputs\":[{\"name\":\"predict\","
                                                   "\"parameters\":{\"classification\":\"x\"}}]}",
     400, "unsupported_parameter"},
    {INFER,
     "{\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "],\"outputs\":[{\"name\":\"predict\","
                                                   "\"parameters\":{\"shared_memory_region\":\"r\","
                                                   "\"shared_memory_byte_size\":4}}]}",
     400, "unsupported_parameter"},
    {INFER,
     "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"parameters\":{"
     "\"shared_memory_region\":\"r\",\"shared_memory_byte_size\":8}}]}",
     400, "unsupported_parameter"},
    {INFER,
     "{\"parameters\":{\"triton_enable\":true},\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "]}",
     400, "unsupported_parameter"},
    {INFER, "{\"parameters\":[],\"inputs\":[" INPUT("1,2", "FP32", "[0,0]") "]}", 400,
     "invalid_request"},
    {"/v2/models/nobody/infer", INPUTS("1,2", "FP32", "[0,0]"), 404, "model_not_found"},
    {"/v2/models/stump/versions/9/infer", INPUTS("1,2", "FP32", "[0,0]"), 404, "version_not_found"},
    {V1, "{}", 400, "invalid_request"},
    {V1, "{\"instances\":[[0,0]],\"inputs\":[[0,0]]}", 400, "invalid_request"},
    {V1, "{\"instances\":[]}", 400, "invalid_request"},
    {V1, "{\"instances\":{\"a\":0}}", 400, "invalid_request"},
    {V1, "{\"instances\":[[0,0,0]]}", 400, "invalid_shape"},
    {V1, "{\"instances\":[{\"a\":\"x\"}]}", 400, "invalid_feature"},
    {V1, "{\"inputs\":{\"a\":[0],\"b\":[0,0]}}", 400, "invalid_shape"},
    {"/v1/models/nobody:predict", "{\"instances\":[[0]]}", 404, "model_not_found"},
    {MLFLOW, "{}", 400, "invalid_request"},
    {MLFLOW, "{\"inputs\":[[0,0]],\"instances\":[[0,0]]}", 400, "invalid_request"},
    {MLFLOW, "{\"dataframe_split\":{\"columns\":[\"a\"]}}", 400, "invalid_request"},
    {MLFLOW, "{\"dataframe_records\":[{\"c\":0}]}", 400, "unknown_feature"},
    {MLFLOW, "{\"inputs\":[[0,0]],\"params\":[]}", 400, "invalid_request"},
    {MLFLOW, "{\"inputs\":[[0,0]],\"params\":{\"level\":2}}", 400, "invalid_level"},
    {"/invocations", "{\"inputs\":[[0,0]]}", 404, "model_not_named"},
    {"/models/nobody/invocations", "{\"inputs\":[[0,0]]}", 404, "model_not_found"},
};

/* What clients show their users is a sentence; nothing in it is of our own inside. */
static void
refusals_are_documents_that_tell_no_secrets(void)
{
    static const char *const secrets[] = {"src/", ".c:", "0x", "/tmp/", "stack"};

    for (size_t i = 0; i < AUGURY_COUNT(refused); i++) {
        char code[64];
        struct reply reply = post(refused[i].path, refused[i].body);
        bool is_mlflow = strstr(refused[i].path, "invocations") != NULL;
        const char *begin = is_mlflow ? "{\"error_code\":\"" : "{\"error\":\"";
        snprintf(code, sizeof(code), "\"code\":\"%s\",\"at\":\"", refused[i].code);
        if (reply.status != refused[i].status || strstr(reply.body, code) == NULL ||
            strncmp(reply.body, begin, strlen(begin)) != 0 ||
            strcmp(reply.type, "application/json") != 0) {
            TAP_FAIL("%s %s: %u %s", refused[i].path, refused[i].body, reply.status, reply.body);
        }
        for (size_t j = 0; j < AUGURY_COUNT(secrets); j++) {
            CHECK(strstr(reply.body, secrets[j]) == NULL);
        }
    }
}

/* ---- MLflow's CSV ---------------------------------------------------------------------------- */

static struct reply
post_csv(const char *type, const char *query, const char *text)
{
    return send_request((struct fake){.method = HTTP_POST,
                                      .path = MLFLOW,
                                      .query = query,
                                      .type = type,
                                      .body = bytes_of_text(text)});
}

static void
a_table_in_csv_is_answered_as_one_in_json(void)
{
    struct reply reply = post_csv("text/csv", "", "b,a\r\n0,1\r\n0,0\r\n0,\r\n");

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.body, "{\"predictions\":[2.0,1.0,2.0]}");
    reply = post_csv("text/csv; charset=utf-8", "outputs=prediction,leaf", "\"a\",\"b\"\n0,0\n");
    CHECK_TEXT(reply.body, "{\"predictions\":[{\"prediction\":1.0,\"leaf\":[1]}]}");
}

static void
what_is_neither_json_nor_csv_is_refused_in_that_protocols_shape(void)
{
    struct reply reply = post_csv("application/xml", "", "<a/>");
    CHECK_INT(reply.status, 415);
    CHECK_CONTAINS(reply.body, "{\"error_code\":\"BAD_REQUEST\",\"message\":");
    CHECK_CONTAINS(reply.body, "\"code\":\"unsupported_type\"");
    CHECK_CONTAINS(reply.headers, "Accept: application/json, text/csv\r\n");
    CHECK_INT(post_csv("text/csv; charset=utf-16", "", "a,b\n0,0\n").status, 415);
    CHECK_INT(post_csv("application/json;charset=latin-1", "", "{\"inputs\":[[0,0]]}").status, 415);
    CHECK_INT(post_csv("application/json; charset=UTF-8", "", "{\"inputs\":[[0,0]]}").status, 200);
    reply = post_csv("text/csv", "", "");
    CHECK_INT(reply.status, 400);
    reply = post_csv("text/csv", "", "a,c\n0,0\n");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "{\"error_code\":\"BAD_REQUEST\",\"message\":");
    CHECK_CONTAINS(reply.body, "\"code\":\"unknown_feature\"");
    reply = post_csv("text/csv", "", "a,b\n0,x\n");
    CHECK_INT(reply.status, 400);
}

/* Members that the client has sent, not those that they have become. */
static void
a_wrong_value_is_where_the_client_put_it(void)
{
    static const struct {
        const char *path, *body, *at;
    } places[] = {
        {V1, "{\"instances\":[{\"a\":0},{\"zz\":1}]}", "instances[1].zz"},
        {V1, "{\"instances\":[[0,0],[0,\"x\"]]}", "instances[1][1]"},
        {V1, "{\"instances\":[[0,0],[0]]}", "instances[1]"},
        {V1, "{\"instances\":[[0,0],7]}", "instances[1]"},
        {V1, "{\"inputs\":[[\"x\",0]]}", "inputs[0][0]"},
        {V1, "{\"inputs\":{\"b\":[0,0],\"a\":[0,\"x\"]}}", "inputs.a[1]"},
        {V1, "{\"inputs\":{\"a\":[0],\"zz\":[1]}}", "inputs.zz"},
        {MLFLOW, "{\"dataframe_records\":[{\"c\":0}]}", "dataframe_records[0].c"},
        {MLFLOW, "{\"instances\":[{\"a\":[]}]}", "instances[0].a"},
        {MLFLOW, "{\"instances\":[7,8]}", "instances[0]"},
        {MLFLOW, "{\"dataframe_split\":{\"columns\":[\"a\",\"c\"],\"data\":[[0,0]]}}",
         "dataframe_split.columns[1]"},
        {MLFLOW, "{\"dataframe_split\":{\"data\":[[0,0],[0,\"x\"]]}}",
         "dataframe_split.data[1][1]"},
        {MLFLOW, "{\"inputs\":[[0,0]],\"params\":{\"outputs\":\"zz\"}}", "params.outputs"},
        {INFER, INPUTS("2,2", "BYTES", "[null,null,null,\"x\"]"), "inputs[0], value 3"},
        {INFER, INPUTS("1,3", "FP32", "[0,0,0]"), "inputs[0]"},
        {INFER,
         "{\"inputs\":[" COLUMN("a", "1", "FP32", "[0]") "," COLUMN("c", "1", "FP32", "[0]") "]}",
         "inputs[1].name"},
        {INFER,
         "{\"inputs\":[" COLUMN("b", "2", "FP32", "[0,0]") "," COLUMN("a", "2", "BYTES",
                                                                      "[null,\"x\"]") "]}",
         "inputs[1], value 1"},
        {"/api/v1/predict/stump", "{\"rows\":[{\"zz\":1}]}", "rows[0].zz"},
        {"/api/v1/predict/stump", "{\"data\":[[0,\"x\"]]}", "data[0][1]"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(places); i++) {
        char at[96];
        struct reply reply = post(places[i].path, places[i].body);
        CHECK_INT(reply.status, 400);
        snprintf(at, sizeof(at), "\"at\":\"%s\"}", places[i].at);
        CHECK_CONTAINS(reply.body, at);
    }
    char three[12] = {0};
    struct reply reply = post_binary("", bytes_of(three, sizeof(three)), "0");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"at\":\"body\"}");
}

/* Those of gates, and of paths without such a method, as well. */
static void
every_error_of_invocations_has_that_protocols_shape(void)
{
    static const struct {
        struct fake fake;
        unsigned status;
        const char *code;
    } cases[] = {
        {{.method = HTTP_GET, .path = MLFLOW}, 405, "method_not_allowed"},
        {{.method = HTTP_PUT, .path = "/invocations"}, 405, "method_not_allowed"},
        {{.method = HTTP_POST, .path = MLFLOW, .encoding = "br"}, 415, "unsupported_encoding"},
        {{.method = HTTP_POST, .path = "/models/%zz/invocations"}, 400, "invalid_path"},
        {{.method = HTTP_POST, .path = MLFLOW, .accept = "application/msgpack"},
         400,
         "invalid_request"},
    };

    const char *begin = "{\"error_code\":\"BAD_REQUEST\",\"message\":\"";

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fake fake = cases[i].fake;
        char code[64];
        fake.body = bytes_of_text(fake.method == HTTP_POST ? "{}" : "");
        struct reply reply = send_request(fake);
        CHECK_INT(reply.status, cases[i].status);
        CHECK_TEXT(reply.type, "application/json");
        CHECK(strncmp(reply.body, begin, strlen(begin)) == 0);
        snprintf(code, sizeof(code), "\"code\":\"%s\",\"at\":\"", cases[i].code);
        CHECK_CONTAINS(reply.body, code);
    }
}

/* ---- documents ------------------------------------------------------------------------------- */

static void
documents_are_those_of_the_protocols(void)
{
    static const struct {
        const char *path;
        const char *want;
    } documents[] = {
        {"/v2/health/live", "{\"live\":true}"},
        {"/v2/models/stump/ready", "{\"name\":\"stump\",\"ready\":true}"},
        {"/v2/models", "{\"models\":[\"line\",\"nfl-wp\",\"strict\",\"stump\"]}"},
        {"/v1/models", "{\"models\":[\"line\",\"nfl-wp\",\"strict\",\"stump\"]}"},
        {"/v1/models/stump",
         "{\"name\":\"stump\",\"model_version_status\":[{\"version\":\"1\",\"state\":\"AVAILABLE\","
         "\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}],\"ready\":true}"},
        {"/v1/models/stump/labels/stable",
         "{\"name\":\"stump\",\"model_version_status\":[{\"version\":\"1\",\"state\":\"AVAILABLE\","
         "\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}],\"ready\":true}"},
        {"/v2/models/stump",
         "{\"name\":\"stump\",\"versions\":[\"1\"],\"platform\":\"augury\",\"inputs\":[{\"name\":"
         "\"input-0\",\"datatype\":\"FP32\",\"shape\":[-1,2]}],\"outputs\":[{\"name\":\"predict\","
         "\"datatype\":\"FP32\",\"shape\":[-1,1]},{\"name\":\"margin\",\"datatype\":\"FP32\","
         "\"shape\":[-1,1]},{\"name\":\"leaf\",\"datatype\":\"UINT32\",\"shape\":[-1,1]},{\"name\":"
         "\"contributions\",\"datatype\":\"FP32\",\"shape\":[-1,3]}],\"properties\":{\"objective\":"
         "\"reg:squarederror\",\"source\":\"xgboost 1.7.4 json\"}}"},
        {"/v2/models/stump/config",
         "{\"name\":\"stump\",\"platform\":\"augury\",\"backend\":\"augury\",\"max_batch_size\":"
         "16384,\"input\":[{\"name\":\"input-0\",\"data_type\":\"TYPE_FP32\",\"dims\":[2]}],"
         "\"output\":[{\"name\":\"predict\",\"data_type\":\"TYPE_FP32\",\"dims\":[1]},{\"name\":"
         "\"margin\",\"data_type\":\"TYPE_FP32\",\"dims\":[1]},{\"name\":\"leaf\",\"data_type\":"
         "\"TYPE_UINT32\",\"dims\":[1]},{\"name\":\"contributions\",\"data_type\":\"TYPE_FP32\","
         "\"dims\":[3]}]}"},
        {"/", "{\"status\":\"alive\"}"},
        {"/v2", "{\"name\":\"augury\",\"version\":\"" PACKAGE_VERSION "\",\"extensions\":["
                "\"binary_tensor_data\",\"model_repository\",\"parameters\",\"statistics\"]}"},
        {"/version", PACKAGE_VERSION},
    };

    for (size_t i = 0; i < AUGURY_COUNT(documents); i++) {
        struct reply reply = get(documents[i].path);
        CHECK_INT(reply.status, 200);
        CHECK_TEXT(reply.body, documents[i].want);
    }
    struct reply reply =
        get("/v2/models/line"); /* of two outputs: a matrix a row, as it is answered */
    CHECK_CONTAINS(reply.body,
                   "\"name\":\"contributions\",\"datatype\":\"FP32\",\"shape\":[-1,2,3]");
    reply = post("/v2/repository/index", "{\"ready\":true}");
    CHECK_CONTAINS(reply.body,
                   "[{\"name\":\"line\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"},");
    reply = post("/v2/repository/models/stump/load", "");
    CHECK_TEXT(reply.body, "{\"name\":\"stump\",\"load\":true}");
    reply = get("/v2/health/ready");
    CHECK_CONTAINS(reply.body, "\"live\":true,\"ready\":true");
}

int
main(void)
{
    set_up();
    import("stump", "stump.json", "a,b");
    import("line", "gblinear.json", "a,b");
    TAP_RUN(every_form_of_a_request_has_its_answer);
    TAP_RUN(a_repeat_has_the_same_bytes);
    TAP_RUN(answers_that_are_no_number_are_null);
    TAP_RUN(answers_that_are_no_number_have_a_word_in_each_form);
    TAP_RUN(binary_tensors_stand_behind_the_document);
    TAP_RUN(a_truth_value_in_binary_is_0_or_1);
    TAP_RUN(a_raw_request_is_one_row);
    TAP_RUN(wrong_lengths_are_refused);
    TAP_RUN(refusals_are_documents_that_tell_no_secrets);
    TAP_RUN(a_table_in_csv_is_answered_as_one_in_json);
    TAP_RUN(what_is_neither_json_nor_csv_is_refused_in_that_protocols_shape);
    TAP_RUN(a_wrong_value_is_where_the_client_put_it);
    TAP_RUN(every_error_of_invocations_has_that_protocols_shape);
    TAP_RUN(documents_are_those_of_the_protocols);
    tear_down();
    return tap_done();
}
