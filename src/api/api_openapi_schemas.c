/* SPDX-License-Identifier: MIT */
/*
 * api_openapi_schemas.c - schemas of bodies and answers, parameters and the answers that errors
 * have, as JSON Schema 2020-12. A request's schema is closed where a member that is not known is
 * refused; an answer's is open, so that a later member breaks nobody.
 */
#include "api_openapi.h"

#include "augury/base.h"

#define TEXT "{'type':'string'}"
#define FLAG "{'type':'boolean'}"
#define COUNT "{'type':'integer','minimum':0}"
#define NUMBER_OR_NULL "{'type':['number','null']}"
#define TEXT_OR_NULL "{'type':['string','null']}"
#define OBJECT_OR_NULL "{'type':['object','null']}"
#define ANY_OBJECT "{'type':'object'}"
#define REF(name) "{'$ref':'#/components/schemas/" name "'}"
#define LIST_OF(schema) "{'type':'array','items':" schema "}"
/* required: names with commas between them. */
#define OBJECT(required, properties)                                                               \
    "{'type':'object','required':[" required "],'properties':{" properties "}}"

/* ---- schemas --------------------------------------------------------------------------------- */

#define OPTIONS                                                                                    \
    "'outputs':{'description':'Names of outputs, as an array or with commas between them.',"       \
    "'oneOf':[" TEXT                                                                               \
    "," LIST_OF(TEXT) "]},"                                                                        \
                      "'include_uncertainty':" FLAG ",'include_feature_importance':" FLAG ","      \
                      "'top_k':{'type':'integer','minimum':1},"                                    \
                      "'level':{'type':'number','exclusiveMinimum':0,'exclusiveMaximum':1},"       \
                      "'use_cache':" FLAG ",'ignore_unknown':" FLAG

#define VERSION_MEMBERS                                                                            \
    "'name':" TEXT ",'version':" TEXT                                                              \
    ",'labels':" LIST_OF(TEXT) ",'ready':" FLAG ","                                                \
                               "'objective':" TEXT_OR_NULL ",'trees':{'type':['integer','null']}," \
                               "'imported':" TEXT_OR_NULL ",'digest':" TEXT_OR_NULL

static const struct openapi_component schemas[] = {
    {"Error", OBJECT("'error','code','at'",
                     "'error':{'type':'string','description':'What is wrong, and what would be "
                     "right.'},'code':{'type':'string','description':'The same in one word, for "
                     "programs.'},'at':{'type':'string','description':'Where in the request, or "
                     "empty.'}")},
    {"Cell", "{'type':['number','string','boolean','null'],'description':'null is missing.'}"},
    {"Row", LIST_OF(REF("Cell"))},
    {"NamedRow", "{'type':'object','additionalProperties':" REF("Cell") "}"},
    {"PredictRequest",
     "{'type':'object','description':'One of features, rows and data.','properties':{"
     "'features':" REF("NamedRow") ",'rows':" LIST_OF(
         REF("NamedRow")) ","
                          "'columns':" LIST_OF(TEXT) ",'data':" LIST_OF(
                              REF("Row")) "," OPTIONS "},"
                                          "'oneOf':[{'required':['features']},{'required':['rows']}"
                                          ",{'required':['data']}],"
                                          "'additionalProperties':false}"},
    {"PredictAnswer",
     OBJECT("'model','version','predictions'",
            "'model':" TEXT ",'version':" TEXT ",'predictions':{'type':'array','description':'One "
            "object a row, in order; a member for each output.','items':" ANY_OBJECT "}")},
    {"ModelVersion", OBJECT("'name','version','labels','ready'", VERSION_MEMBERS)},
    {"Models", OBJECT("'models'", "'models':" LIST_OF(REF("ModelVersion")))},
    {"Feature", OBJECT("'name','type','missing'",
                       "'name':" TEXT ",'type':{'enum':['float','integer','boolean','category']},"
                       "'missing':" FLAG ",'unknown':" FLAG ",'levels':" LIST_OF(TEXT))},
    {"Model",
     OBJECT("'name','version','labels','ready','kind','number','outputs','features'",
            VERSION_MEMBERS
            ",'kind':" TEXT ",'source':" TEXT ",'source_sha256':" TEXT ",'source_bytes':" COUNT
            ",'compiled_bytes':" COUNT ",'signature':" OBJECT_OR_NULL ",'golden':" OBJECT_OR_NULL
            ",'margins':" COUNT ",'number':{'enum':['float32','float64']},'kernel':" ANY_OBJECT
            ",'classes':{'type':['array','null'],'items':" TEXT
            "},'outputs':" LIST_OF(TEXT) ",'calibration':" OBJECT_OR_NULL ",'versions':" LIST_OF(
                ANY_OBJECT) ",'features':" LIST_OF(REF("Feature")))},
    {"Health", OBJECT("'status','live','ready','reasons','warnings'",
                      "'status':{'enum':['ready','not ready']},'live':" FLAG ",'ready':" FLAG
                      ",'reasons':" LIST_OF(TEXT) ",'warnings':" LIST_OF(TEXT))},
    {"Live", OBJECT("'live'", "'live':" FLAG)},
    {"Alive", OBJECT("'status'", "'status':{'enum':['alive']}")},
    {"Status", OBJECT("'name','version','started','uptime_s','workers_wanted','workers_ready',"
                      "'processes'",
                      "'name':" TEXT ",'version':" TEXT ",'started':" TEXT ",'uptime_s':" COUNT
                      ",'workers_wanted':" COUNT ",'workers_ready':" COUNT
                      ",'processes':" LIST_OF(ANY_OBJECT))},
    {"Latency", OBJECT("'mean','p50','p90','p95','p99','max'",
                       "'mean':" NUMBER_OR_NULL ",'p50':" NUMBER_OR_NULL ",'p90':" NUMBER_OR_NULL
                       ",'p95':" NUMBER_OR_NULL ",'p99':" NUMBER_OR_NULL ",'max':" NUMBER_OR_NULL)},
    {"HttpFigures",
     OBJECT("'requests','latency_us'", "'requests':" COUNT ",'latency_us':" REF("Latency"))},
    {"PredictFigures", OBJECT("'requests','rows','errors','latency_us'",
                              "'requests':" COUNT ",'rows':" COUNT ",'errors':" COUNT
                              ",'latency_us':" REF("Latency"))},
    {"DiskFigures",
     OBJECT(
         "'condition','entries','used_bytes','quota_bytes','hits','misses','hit_ratio','evicted'",
         "'condition':" REF(
             "TierCondition") ",'entries':" COUNT ",'used_bytes':" COUNT ",'file_bytes':" COUNT
                              ",'quota_bytes':" COUNT ",'hits':" COUNT ",'misses':" COUNT
                              ",'hit_ratio':" NUMBER_OR_NULL ",'puts':" COUNT
                              ",'puts_dropped':" COUNT ",'evicted':" COUNT ",'replaced':" COUNT
                              ",'warmed':" COUNT ",'latency_us':" REF("Latency"))},
    {"TierCondition",
     OBJECT("'state','reason','since'",
            "'state':{'enum':['on','off']},'reason':" TEXT_OR_NULL ",'since':" TEXT_OR_NULL)},
    {"Performance",
     OBJECT("'uptime_s','http','predict','cache'",
            "'uptime_s':" COUNT ",'http':" REF("HttpFigures") ",'predict':" REF(
                "PredictFigures") ",'cache':" ANY_OBJECT
                                  ",'disk':{'oneOf':[{'type':'null'}," REF(
                                      "DiskFigures") "]},'redis':" ANY_OBJECT
                                                     ",'controller':" OBJECT_OR_NULL
                                                     ",'recommendations':" LIST_OF(ANY_OBJECT))},
    {"Resource",
     OBJECT("'method','path','what'", "'method':" TEXT ",'path':" TEXT ",'what':" TEXT)},
    {"Index", OBJECT("'resources'", "'resources':" LIST_OF(REF("Resource")))},
    {"MgetRequest", "{'type':'object','required':['names'],'properties':{'names':"
                    "{'type':'array','maxItems':1000,'items':" TEXT "}},"
                    "'additionalProperties':false}"},
    {"ObjectValue", OBJECT("'value','etag'",
                           "'value':{'description':'A document, or text, or base64 (bytes in "
                           "MessagePack).'},'content_type':" TEXT ",'etag':" TEXT ",'age':" COUNT)},
    {"MgetAnswer",
     OBJECT("'objects','missing'", "'objects':{'type':'object','additionalProperties':" REF(
                                       "ObjectValue") "},"
                                                      "'missing':" LIST_OF(TEXT))},

    /* Open Inference Protocol. */
    {"OipDatatype", "{'enum':['BOOL','UINT8','UINT16','UINT32','UINT64','INT8','INT16','INT32',"
                    "'INT64','FP16','BF16','FP32','FP64','BYTES']}"},
    {"OipTensor",
     OBJECT("'name','shape','datatype'",
            "'name':" TEXT ",'shape':" LIST_OF(COUNT) ",'datatype':" REF(
                "OipDatatype") ",'parameters':" ANY_OBJECT
                               ",'data':{'type':'array','description':'Nested or flat, "
                               "row by row; absent where the bytes follow the document.'}")},
    {"OipOutput", OBJECT("'name'", "'name':" TEXT ",'parameters':" ANY_OBJECT)},
    {"OipInferRequest",
     OBJECT("'inputs'", "'id':" TEXT_OR_NULL ",'parameters':" ANY_OBJECT
                        ",'inputs':{'type':'array','minItems':1,'items':" REF(
                            "OipTensor") "},"
                                         "'outputs':" LIST_OF(REF("OipOutput")))},
    {"OipInferAnswer", OBJECT("'model_name','model_version','outputs'",
                              "'model_name':" TEXT ",'model_version':" TEXT ",'id':" TEXT
                              ",'outputs':" LIST_OF(REF("OipTensor")))},
    {"OipTensorHead", OBJECT("'name','datatype','shape'",
                             "'name':" TEXT ",'datatype':" REF("OipDatatype") ",'shape':" LIST_OF(
                                 "{'type':'integer','minimum':-1}"))},
    {"OipModel", OBJECT("'name','versions','platform','inputs','outputs'",
                        "'name':" TEXT ",'versions':" LIST_OF(
                            TEXT) ",'platform':" TEXT
                                  ",'inputs':" LIST_OF(REF("OipTensorHead")) ",'outputs':" LIST_OF(
                                      REF("OipTensorHead")) ",'properties':" ANY_OBJECT)},
    {"OipConfigTensor", OBJECT("'name','data_type','dims'",
                               "'name':" TEXT ",'data_type':" TEXT ",'dims':" LIST_OF(COUNT))},
    {"OipConfig", OBJECT("'name','platform','backend','max_batch_size','input','output'",
                         "'name':" TEXT ",'platform':" TEXT ",'backend':" TEXT
                         ",'max_batch_size':" COUNT ",'input':" LIST_OF(
                             REF("OipConfigTensor")) ",'output':" LIST_OF(REF("OipConfigTensor")))},
    {"OipModelReady", OBJECT("'name','ready'", "'name':" TEXT ",'ready':" FLAG)},
    {"OipServer", OBJECT("'name','version','extensions'",
                         "'name':" TEXT ",'version':" TEXT ",'extensions':" LIST_OF(TEXT))},
    {"ModelNames", OBJECT("'models'", "'models':" LIST_OF(TEXT))},
    {"OipIndexRequest", "{'type':'object','properties':{'ready':" FLAG "}}"},
    {"OipIndexEntry", OBJECT("'name','version','state','reason'",
                             "'name':" TEXT ",'version':" TEXT
                             ",'state':{'enum':['READY','UNAVAILABLE']},'reason':" TEXT)},
    {"OipLoadRequest", "{'type':'object','properties':{'parameters':" ANY_OBJECT "}}"},
    {"OipLoaded", OBJECT("'name','load'", "'name':" TEXT ",'load':" FLAG)},
    {"OipDuration", OBJECT("'count','ns'", "'count':" COUNT ",'ns':" COUNT)},
    {"OipDurations",
     "{'type':'object','required':['success','fail','queue','compute_input','compute_infer',"
     "'compute_output','cache_hit','cache_miss'],'additionalProperties':" REF("OipDuration") "}"},
    {"OipModelStatistics",
     OBJECT("'name','version','last_inference','inference_count','execution_count',"
            "'inference_stats','batch_stats'",
            "'name':" TEXT ",'version':" TEXT ",'last_inference':" COUNT ",'inference_count':" COUNT
            ",'execution_count':" COUNT ",'inference_stats':" REF(
                "OipDurations") ",'response_stats':" ANY_OBJECT
                                ",'batch_stats':" LIST_OF(ANY_OBJECT) ",'memory_usage':" LIST_OF(
                                    ANY_OBJECT))},
    {"OipStatistics", OBJECT("'model_stats'", "'model_stats':" LIST_OF(REF("OipModelStatistics")))},
    {"OipIndex", LIST_OF(REF("OipIndexEntry"))},

    /* TensorFlow Serving and KServe v1. */
    {"V1Request", "{'type':'object','description':'Rows as instances, or columns (or rows) as "
                  "inputs.','properties':{'signature_name':" TEXT ",'instances':{'type':'array',"
                  "'minItems':1},'inputs':{'type':['array','object']}},"
                  "'oneOf':[{'required':['instances']},{'required':['inputs']}]}"},
    {"V1Answer", "{'type':'object','properties':{'predictions':{'type':'array'},"
                 "'outputs':{'type':'array'}},"
                 "'oneOf':[{'required':['predictions']},{'required':['outputs']}]}"},
    {"V1Version", OBJECT("'version','state','status'",
                         "'version':" TEXT ",'state':" TEXT ",'status':" ANY_OBJECT)},
    {"V1Model",
     OBJECT("'name','ready','model_version_status'",
            "'name':" TEXT ",'ready':" FLAG ",'model_version_status':" LIST_OF(REF("V1Version")))},

    /* MLflow. */
    {"SplitTable",
     OBJECT("'data'",
            "'columns':" LIST_OF(TEXT) ",'index':{'type':'array'},'data':" LIST_OF(REF("Row")))},
    {"InvocationsRequest",
     "{'type':'object','description':'Exactly one of the four forms of a table.','properties':{"
     "'dataframe_split':" REF("SplitTable") ",'dataframe_records':" LIST_OF(
         REF("NamedRow")) ",'instances':{'type':'array'},'inputs':{'type':['array','object']},"
                          "'params':" OBJECT_OR_NULL "},'oneOf':[{'required':['dataframe_split']},"
                          "{'required':['dataframe_records']},{'required':['instances']},{'"
                          "required':['inputs']}]}"},
    {"InvocationsAnswer", OBJECT("'predictions'", "'predictions':{'type':'array'}")},
    {"InvocationsError",
     OBJECT("'error_code','message','code','at'",
            "'error_code':" TEXT ",'message':" TEXT ",'code':" TEXT ",'at':" TEXT)},
};

/* ---- parameters ------------------------------------------------------------------------------ */

#define IN_PATH(name, what)                                                                        \
    "{'name':'" name "','in':'path','required':true,'description':'" what "','schema':" TEXT "}"
#define IN_HEADER(name, what, schema)                                                              \
    "{'name':'" name "','in':'header','description':'" what "','schema':" schema "}"
/* Of rows alone: documents have members of these names. */
#define IN_QUERY(name, what, schema)                                                               \
    "{'name':'" name "','in':'query','description':'Of CSV, npy and NDJSON: " what                 \
    "','schema':" schema "}"

static const struct openapi_component parameters[] = {
    {"model", IN_PATH("model", "A name, or name@version, or name@label; a name alone stands for "
                               "its label stable.")},
    {"version", IN_PATH("version", "A number or a label.")},
    {"label", IN_PATH("label", "A label.")},
    {"name", IN_PATH("name", "An object: segments with / between them.")},
    {"every", "{'name':'every','in':'query','description':'Time between two events: 5s, 1min.',"
              "'schema':{'type':'string'}}"},
    {"ttl", "{'name':'ttl','in':'query','description':'How long the object lives: 90s, 5min, 2h, "
            "1d.','schema':" TEXT "}"},
    {"outputs", IN_QUERY("outputs", "what is wanted, with commas between.", TEXT)},
    {"level", IN_QUERY("level", "how often an interval is to hold the truth.",
                       "{'type':'number','exclusiveMinimum':0,'exclusiveMaximum':1}")},
    {"top_k", IN_QUERY("top_k", "how many contributions or reasons a row.",
                       "{'type':'integer','minimum':1}")},
    {"use_cache", IN_QUERY("use_cache", "false: compute, neither look nor keep.", FLAG)},
    {"ignore_unknown", IN_QUERY("ignore_unknown", "true: drop unknown features.", FLAG)},
    {"include_uncertainty",
     IN_QUERY("include_uncertainty", "true: interval or spread beside the rest.", FLAG)},
    {"include_feature_importance",
     IN_QUERY("include_feature_importance", "true: contributions beside the rest.", FLAG)},
    {"if_match", IN_HEADER("If-Match", "Only if the object is one of these.", TEXT)},
    {"if_none_match", IN_HEADER("If-None-Match", "Only if it is none of these.", TEXT)},
    {"cache_control",
     IN_HEADER("Cache-Control", "no-cache, no-store, max-age, only-if-cached.", TEXT)},
    {"request_timeout", IN_HEADER("X-Request-Timeout",
                                  "How long the answer is waited for: 2, 0.25, 2s, 250ms.", TEXT)},
    {"allow_stale",
     IN_HEADER("X-Allow-Stale", "1: an answer past its time rather than 503 or 504.", TEXT)},
    {"header_length",
     IN_HEADER("Inference-Header-Content-Length",
               "Bytes of the document, where the values of tensors follow it.", COUNT)},
};

/* ---- answers --------------------------------------------------------------------------------- */

#define ANSWER_OF(what, schema)                                                                    \
    "{'description':'" what "','content':{'application/json':{'schema':" REF(schema) "}}}"

static const struct openapi_component responses[] = {
    {"Error", ANSWER_OF("Why not; in the form of the answer that was asked for.", "Error")},
    {"InvocationsError", ANSWER_OF("Why not, in the shape of this protocol.", "InvocationsError")},
    {"Health", ANSWER_OF("This worker cannot answer now.", "Health")},
};

/* ---- keys ------------------------------------------------------------------------------------ */

static const struct openapi_component keys[] = {
    {"bearer",
     "{'type':'http','scheme':'bearer','description':'A key, where keys are asked for.'}"},
    {"key", "{'type':'apiKey','in':'header','name':'X-API-Key','description':'The same.'}"},
};

static const struct openapi_components components[] = {
    {"schemas", schemas, AUGURY_COUNT(schemas)},
    {"parameters", parameters, AUGURY_COUNT(parameters)},
    {"responses", responses, AUGURY_COUNT(responses)},
    {"securitySchemes", keys, AUGURY_COUNT(keys)},
};

const struct openapi_components *
openapi_components_at(size_t i)
{
    return i < AUGURY_COUNT(components) ? &components[i] : NULL;
}
