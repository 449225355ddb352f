/* SPDX-License-Identifier: MIT */
/*
 * api_tables.h - the forms that tables have in JSON beside our own, as a question's rows: shared by
 * the v1 and MLflow dialects. Private to the room.
 */
#pragma once

#include "api_call.h"

/* [[1, 2], …], [{"a": 1}, …] or [1, 2, …] (rows of one value). at: the member, for errors. */
AUGURY_MUST_USE int api_table_rows(struct api_call *call, const char *at,
                                   const struct wire_value *rows,
                                   struct predict_question *question);
/* {"a": [1, 2], "b": [3, 4]}. */
AUGURY_MUST_USE int api_table_columns(struct api_call *call, const char *at,
                                      const struct wire_value *columns,
                                      struct predict_question *question);
/* One value a row where the answer has one output, else one object: the array. */
void api_put_table(struct wire_writer *writer, const struct predict_answer *answer);
/* The whole body as one JSON object, in the arena. */
AUGURY_MUST_USE int api_decode_object(struct api_call *call, struct wire_value *out_document);
