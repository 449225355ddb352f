/* SPDX-License-Identifier: MIT */
/*
 * api_call.h - one request on its way through the api room. Private to the room. A handler decodes
 * what it needs, writes one document through call->writer and returns the status; a failure goes
 * through api_refuse(), which throws away what was written and writes the error's document instead.
 */
#pragma once

#include "api_load.h"
#include "api_odds.h"
#include "augury/api.h"

/* Of bodies of requests and answers. */
enum api_form {
    API_FORM_JSON = 1 << 0,
    API_FORM_MSGPACK = 1 << 1,
    API_FORM_CSV = 1 << 2,
    API_FORM_NPY = 1 << 3,
    API_FORM_NDJSON = 1 << 4,
    API_FORM_TEXT = 1 << 5,
    API_FORM_BYTES = 1 << 6, /* any type */
    API_FORM_EVENTS = 1 << 7,
};

/* What a request's Cache-Control and X-Allow-Stale want (RFC 9111 5.2.1, RFC 5861 4). */
struct api_wish {
    bool is_no_cache;
    bool is_no_store;
    bool is_only_if_cached;
    uint32_t max_age_s; /* UINT32_MAX: any */
    uint32_t stale_s;   /* past its time an answer is better than 503 or 504; UINT32_MAX: any */
};

/* Where a rendered answer stands in the cache; begun by api_response_find(). */
struct api_response {
    bool has_key;
    bool takes_stale;
    bool is_unlikely;   /* not looked for: api_odds.c */
    bool is_due;        /* an answer is there, but was to be made anew */
    uint64_t change_id; /* of the registry that the key stands for */
    uint64_t stamp;     /* of the cache, from before anything was read */
    /* When the lookup began; 0: it is not timed. */
    uint64_t sampled_ns;
    size_t key_len;
    char key[CACHE_KEY_TEXT_MAX];
};

/* Where a call stands in a single flight: api_flight.c. */
struct api_flight {
    bool is_owner;
    bool is_late; /* it has waited, and waits no more */
    struct cache_lease lease;
};

struct api_route;
/* Where the time goes: api_timing.c. */
enum api_phase {
    API_PHASE_CACHE,  /* looking the whole answer up */
    API_PHASE_PARSE,  /* body to question */
    API_PHASE_EVAL,   /* rows looked up or evaluated */
    API_PHASE_ENCODE, /* rows to body */
    API_PHASE_COUNT
};
enum api_timing_when { API_TIMING_NEVER, API_TIMING_ASKED, API_TIMING_ALWAYS };
struct api_timing {
    bool is_wanted;
    uint64_t begin_ns, lap_ns;
    uint64_t took_ns[API_PHASE_COUNT];
};

/* Which of a request's members are the rows of the question: api_place.c. */
enum api_place_kind {
    API_PLACE_OWN,     /* ours, by our names */
    API_PLACE_ROWS,    /* member[row] */
    API_PLACE_SCALARS, /* member[row], of one value each */
    API_PLACE_SPLIT,   /* member.data[row], member.columns */
    API_PLACE_COLUMNS, /* member.NAME[row] */
    API_PLACE_TENSOR,  /* member has the values, row by row */
    API_PLACE_TENSORS, /* member[column] has a column's */
};
struct api_place {
    enum api_place_kind kind;
    const char *member;
};

struct api_call {
    struct api *api;
    const struct http_request *request;
    struct bytes body;
    struct net_answer *answer;
    const struct api_key *key; /* of the client, or NULL */
    struct api_take take;      /* limit 0: no rate was looked at */
    struct bytes origin;       /* of a page that may read the answer; empty: of none */
    bool is_tls;
    const struct api_route *route; /* of another method where the path has none of this; or NULL */
    const struct net_peer *peer;   /* NULL once the call has been put off */
    struct bytes parameter;        /* what stands for {…} in the route's pattern, decoded */
    struct bytes parameter2;       /* the same of a second one, or empty */
    uint32_t model_key;            /* stats_model_key() of what answers; 0: not known yet */
    enum api_form body_form;
    enum wire_format body_format; /* of a document: that of body_form */
    enum api_form form;           /* of the answer */
    struct wire_writer writer;    /* of a document; of errors in every form */
    uint64_t now_wall_ms;
    struct api_wish wish;
    struct api_response response;
    uint64_t took_ns; /* to make the answer, once it is rendered */
    bool is_coded;    /* the answer's coding is decided */
    bool is_tagged;   /* the answer gets an ETag of its bytes */
    struct api_flight flight;
    uint64_t deadline_mono_ns; /* 0: none but the server's */
    struct api_timing timing;
    unsigned (*handler)(struct api_call *call); /* of its route */
    struct api_place place;                     /* of a question, once it is decoded */
    struct err err;
};

enum { API_STREAMED_MAX = 256 * 1024 * 1024 }; /* what answers in pieces may hold of a worker */
enum { API_PARAMETERS_MAX = 2, API_PARAMETER_MAX = 512 };

/* Orders to the cache's keeper that something waits for, oldest first: api_order.c. */
enum { API_ORDERS_MAX = 512 };
struct api_orders {
    struct api_wait {
        uint64_t ticket;
        void (*fn)(struct api *api, void *arg, int rc);
        void *arg;
    } waits[API_ORDERS_MAX];
    unsigned first, count;
};

struct api {
    struct api_options options;
    struct api_access *access; /* who may ask; NULL: everybody */
    bool has_cors;             /* pages of other origins are told something */
    bool is_private;           /* only who asked may keep an answer */
    /* Those of the request at hand that had escapes in its path. */
    uint8_t parameter_rooms[API_PARAMETERS_MAX][API_PARAMETER_MAX];
    struct arena arena; /* of the request at hand; reset after each answer */
    bool is_handling;   /* api_handle() is at work, and the arena its */
    /* Snapshots of registry and cache are open: the requests of one turn that repeat earlier ones
     * share them. */
    bool has_turn;
    bool has_registry_print;
    uint64_t registry_change_id; /* of the registry that registry_print stands for */
    struct digest registry_print;
    enum cache_admission response_admission;
    uint32_t response_stale_s; /* past its time a rendered answer answers while one makes it anew */
    uint32_t response_kept_s;  /* and, for who allows it, instead of a refusal: the longer time */
    struct api_odds odds[API_ODDS];
    uint64_t random; /* for early refreshes; never 0 */
    enum api_timing_when timing_when;
    /* To time some requests: api_figures.c. */
    unsigned looked_count, decoded_count;
    struct wire_gzip *gzip;
    struct api_load load;
    struct buf coded; /* what was compressed last */
    struct wire_inflater *inflater;
    struct buf decoded;        /* the body of the request at hand, when it was compressed */
    struct api_parked *parked; /* calls that wait for another process: api_flight.c */
    size_t parked_bytes;
    size_t streamed_bytes;  /* held by answers in pieces */
    struct net_timer *tick; /* while anything waits for another process */
    struct api_orders orders;
    struct api_fetches *fetches;     /* or NULL: nothing is ever fetched; api_fetch.c */
    char object_type[128];           /* content type of the object that is being answered */
    struct api_batch *batch;         /* or NULL: no row waits for another; api_batch.c */
    struct api_elsewhere *elsewhere; /* what the call at hand has been put off for, or NULL */
    /* Of the message at hand: api_socket.c. */
    struct http_request socket_request;
    struct buf socket_headers, socket_body;
    uint32_t event_streams; /* api_events.c */
    /* A late answer on its way; api_later_begin() to api_later_end(). */
    struct http_request later_request;
    struct api_call later_call;
};

/* Returns the status, or API_LATER. */
typedef unsigned api_handler_fn(struct api_call *call);
enum { API_LATER = 0 }; /* api_call_later() has been called: the answer comes by api_later_end() */

/* The frame of a call: nothing decided yet, an error would be JSON. */
void api_call_init(struct api_call *call, struct api *api, const struct http_request *request,
                   struct net_answer *answer);
/* The answer's form: a document, or any. Errors are documents, JSON unless the form is
 * MessagePack. */
void api_call_form(struct api_call *call, enum wire_format format);
void api_call_form_any(struct api_call *call, enum api_form form);
void api_call_body_form(struct api_call *call, enum api_form form);
/* Between requests: what they took goes back to the system as far as it was much. */
void api_arena_trim(struct api *api);
/* What every answer gets when its document is written. */
void api_call_finish(struct api_call *call, unsigned status);

/* Header fields that any answer may get: the one place for them. */
void api_answer_headers(struct api_call *call);

/* ---- times of one request: api_timing.c ------------------------------------------------------ */

enum api_timing_when api_timing_when(const char *word); /* "no", "asked", "yes" */
/* Begins to take times if this request is to have them. */
void api_timing_begin(struct api_call *call);
/* What has passed since the mark before belongs to phase. */
void api_timing_lap(struct api_timing *timing, enum api_phase phase);
static inline void
api_timing_mark(struct api_call *call, enum api_phase phase)
{
    if (call->timing.is_wanted) {
        api_timing_lap(&call->timing, phase);
    }
}
void api_timing_put(const struct api_call *call); /* the header */

/* ---- handlers, one file a resource ----------------------------------------------------------- */

unsigned api_get_index(struct api_call *call);
unsigned api_get_openapi(struct api_call *call);
unsigned api_post_predict(struct api_call *call);
unsigned api_get_models(struct api_call *call);
unsigned api_get_model(struct api_call *call);
unsigned api_get_health(struct api_call *call);
unsigned api_get_live(struct api_call *call);
unsigned api_get_alive(struct api_call *call);
unsigned api_get_status(struct api_call *call);
unsigned api_get_performance(struct api_call *call);
unsigned api_get_events(struct api_call *call);
unsigned api_get_events(struct api_call *call);
unsigned api_get_predict_stream(struct api_call *call);
unsigned api_get_metrics(struct api_call *call);
unsigned api_get_object(struct api_call *call);
unsigned api_put_object(struct api_call *call);
unsigned api_delete_object(struct api_call *call);
unsigned api_post_objects_mget(struct api_call *call);

/* Dialects of other servers. */
unsigned api_get_oip_server(struct api_call *call);
unsigned api_get_oip_models(struct api_call *call);
unsigned api_get_oip_model(struct api_call *call);
unsigned api_get_oip_config(struct api_call *call);
unsigned api_get_oip_model_ready(struct api_call *call);
unsigned api_post_oip_infer(struct api_call *call);
unsigned api_post_oip_index(struct api_call *call);
unsigned api_post_oip_load(struct api_call *call);
unsigned api_post_oip_unload(struct api_call *call);
unsigned api_get_oip_stats(struct api_call *call);
unsigned api_get_v1_model(struct api_call *call);
unsigned api_post_v1_predict(struct api_call *call);
unsigned api_post_invocations(struct api_call *call);
unsigned api_get_version(struct api_call *call);

/* The interface as an OpenAPI 3.1 document: api_openapi.c. */
void api_put_openapi(struct buf *buf, uint32_t areas);

/* ---- questions of every dialect: api_predict.c ----------------------------------------------- */

/* How a protocol asks and is answered. state: its own, between decode and put. */
struct api_dialect {
    /* Fills what the request says; the time and what Cache-Control wants are there. */
    int (*decode)(struct api_call *call, void *state, struct predict_question *question);
    void (*put)(struct api_call *call, const void *state, const struct predict_answer *answer);
    unsigned (*refuse)(struct api_call *call, int rc);
    /* Whether path, query and body alone tell what is asked; NULL: they do. */
    bool (*is_repeatable)(const struct api_call *call);
    /* Whether the answer can be put; NULL: any can. */
    int (*check)(struct api_call *call, const struct predict_answer *answer);
    /* A copy of a state that outlives the request; NULL: no memory. None of it: where there is a
     * state, its rows wait for no others. */
    void *(*keep)(const void *state, struct arena *arena);
};
/* A handler's all: a rendered answer, or question, rows, answer. decode may clear
 * call->response.has_key: the answer is then not kept. */
unsigned api_answer_question(struct api_call *call, const struct api_dialect *dialect, void *state);
/* An option by its name ("outputs", "level", …). AUGURY_NOT_FOUND: there is none of that name. */
AUGURY_MUST_USE int api_question_option(struct predict_question *question,
                                        const struct wire_pair *pair, struct err *err);
/* All of them from the query, for bodies of rows alone: api_query.c. */
AUGURY_MUST_USE int api_question_query(struct api_call *call, struct predict_question *question);
int api_question_refuse_query(struct bytes name, struct err *err); /* "unknown_option" */
/* "unknown_parameter" at the first member of the query that is not the one allowed (NULL: none is);
 * a member that is not read is a mistake. instead: the end of the sentence. */
AUGURY_MUST_USE int api_query_check(struct api_call *call, const char *allowed,
                                    const char *instead);
/* What Cache-Control wants. */
void api_question_wish(const struct api_call *call, struct predict_question *question);
/* Rows of a body in CSV or numpy's form. */
void api_question_table(const struct api_call *call, enum api_form form,
                        struct predict_question *question);
/* application/x-ndjson: api_lines.c. */
unsigned api_post_lines(struct api_call *call);

/* ---- what is counted of each model: api_figures.c -------------------------------------------- */

/* Whether this one is one of the few that are timed; counts it. */
bool api_figures_is_sample(unsigned *count);
/* A rendered answer, or another process's. sampled_ns: when it began, or 0. */
void api_figures_hit(struct api_call *call, uint32_t model_key, uint64_t sampled_ns);
struct api_times {
    uint64_t begin_ns, end_ns;
    uint64_t decoded_ns, asked_ns; /* 0: not looked at */
};
void api_figures_answered(struct api_call *call, const struct predict_answer *answer,
                          const struct api_times *times);
void api_figures_failed(struct api *api, uint32_t model_key, uint64_t now_wall_ms,
                        uint64_t took_ns);
/* A request that is answered in parts: rows count with each, the request when it is over, by
 * api_figures_whole() or api_figures_failed(). Zero-initialise. */
struct api_parts {
    uint32_t model_key;
    bool has_used_cache;
    size_t evaluated;
    uint64_t took_ns;
};
void api_figures_part(struct api *api, struct api_parts *parts, const struct predict_answer *answer,
                      uint64_t took_ns);
void api_figures_whole(struct api *api, const struct api_parts *parts, uint64_t now_wall_ms);
/* No snapshot of the registry is open. */
void api_figures_refused(struct api_call *call, const struct predict_question *question,
                         uint64_t took_ns);

/* ---- answers that come later: api_later.c ---------------------------------------------------- */

/* Takes the call out of its handler, which returns API_LATER. NULL: no memory; answer at once. */
struct api_later;
struct api_later *api_call_later(struct api_call *call);
/* The same in an arena that outlives the wait: for the end of this turn (net_answer_soon()), or for
 * longer. */
enum api_until { API_UNTIL_TURN_ENDS, API_UNTIL_TOLD };
struct api_later *api_call_wait(struct api_call *call, struct arena *arena, enum api_until until);
/* A call to encode into, with its form, path, query, parameter, If-None-Match, Cache-Control,
 * Accept-Encoding and id; one at a time. NULL: nobody waits any more (the client has gone, or was
 * told 504), and api_later_free() is what is left to do. May be used while another call is being
 * handled. */
struct api_call *api_later_begin(struct api *api, const struct api_later *later);
void api_later_end(struct api *api, struct api_later **later, unsigned status); /* frees it */
void api_later_free(struct api_later **later);

/* ---- sockets: api_socket.c ------------------------------------------------------------------- */

/* Answers the handshake of a WebSocket; the status. state is from malloc(), or NULL when that
 * failed; it is the socket's from then on, or freed. */
unsigned api_socket_accept(struct api_call *call, const struct net_socket_ops *ops, void *state);

/* ---- costly answers, made once for all processes: api_flight.c ------------------------------- */

enum api_flight_join {
    API_FLIGHT_GO,       /* make the answer, then api_flight_end() */
    API_FLIGHT_ANSWERED, /* another process has made it, and it is written */
    API_FLIGHT_PARKED,   /* another process makes it: return API_LATER */
};
/* cost_us: what making it will probably take. Below what waking another process takes nobody
 * waits. The call has a key of a rendered answer, or it goes alone. */
enum api_flight_join api_flight_join(struct api_call *call, uint32_t cost_us);
/* made: what others get; NULL: it is no answer for others. is_kept: it will be in the cache. */
struct api_made;
/* For an answer that there is, past its time: true: make it, then api_flight_end(); false: somebody
 * is at it. */
bool api_flight_take(struct api_call *call, uint32_t cost_us);
void api_flight_end(struct api_call *call, const struct api_made *made, bool is_kept);
/* What the parked ones wait for may be there. From the loop, not within a handler. */
void api_flights_look(struct api *api);
void api_flights_fini(struct api *api);
/* Looks every 2 ms, as long as something waits for other processes. */
AUGURY_MUST_USE int api_tick_start(struct api *api);

/* ---- work on threads: api_fetch.c ------------------------------------------------------------ */

/* Fetches that wait for another worker's: api_fetch_flight.c. */
void api_fetches_follow(struct api *api);
bool api_fetches_are_waiting(const struct api *api);

AUGURY_MUST_USE int api_fetches_init(struct api *api);
void api_fetches_fini(struct api *api);

/* ---- rows of one turn in one pass: api_batch.c ----------------------------------------------- */

AUGURY_MUST_USE int api_batch_init(struct api *api);
void api_batch_fini(struct api *api);

/* ---- what memory lacks and Redis may have: api_elsewhere.c ----------------------------------- */

/* Whether Redis would be asked now: it is up, and this call has not asked yet. */
bool api_elsewhere_may_ask(const struct api *api, enum cache_class class);
/* Asks Redis for keys of a class and puts the call off: true, and the handler returns API_LATER; it
 * is called again when the answers are there. False: go on without. */
bool api_elsewhere_ask(struct api_call *call, enum cache_class class, const struct bytes *keys,
                       size_t count);
/* What the call at hand was put off for. 0, borrowed until its handler returns; or
 * AUGURY_NOT_FOUND. */
int api_elsewhere_find(const struct api *api, struct bytes key, struct cache_hit *out_hit);
/* All of it, at most max: how many. A hit without data: not found. */
size_t api_elsewhere_list(const struct api *api, struct bytes *out_keys, struct cache_hit *out_hits,
                          size_t max);

/* ---- overload and deadlines: api_limit.c ----------------------------------------------------- */

/* A gate: the request's deadline; and whether it is taken on, unless it is a question. 0, or the
 * status of an answer that has been written. */
unsigned api_limit_enter(struct api_call *call);
/* A document that says itself how long its client waits: the shorter time holds. */
void api_limit_sooner(struct api_call *call, uint64_t timeout_us);
/* The deadline of a message of a socket, which is limits.request_timeout. */
void api_limit_message(struct api_call *call);
/* The same for a question that the cache has no answer to, before anything is decoded. */
unsigned api_limit_admit(struct api_call *call);
bool api_deadline_is_over(const struct api_call *call);
/* Whether a failure is that the request's time was over, counted. */
bool api_limit_note(struct api *api, int rc, const struct err *err);
/* For who allows it: what the cache has past its time, counted, instead of a refusal. */
bool api_answer_stale(struct api_call *call);
/* That, or 504. */
unsigned api_refuse_late(struct api_call *call);

/* ---- errors ---------------------------------------------------------------------------------- */

/* {"error","code","at"} */
/* The place of err, as the client has called it. */
void api_place_translate(const struct api_place *place, const struct predict_question *question,
                         struct err *err);
void api_put_error(struct wire_writer *writer, const struct err *err);
/* The same in MLflow's shape, with its word for the status. */
void api_put_invocations_error(struct wire_writer *writer, unsigned status, const struct err *err);
/* Writes call->err as the whole body and returns the status that suits rc. */
unsigned api_refuse(struct api_call *call, int rc);
/* As api_refuse(), with a status that no code of ours stands for (404 of a route, 405, 415). */
unsigned api_refuse_as(struct api_call *call, unsigned status, const char *code, const char *fmt,
                       ...) AUGURY_PRINTF(4, 5);
/* The same, with the place: a field, a member of the document, a parameter of the query. */
unsigned api_refuse_at(struct api_call *call, unsigned status, const char *code, const char *at,
                       const char *fmt, ...) AUGURY_PRINTF(5, 6);

/* ---- the cache's size: api_controller.c ------------------------------------------------------ */

/* Why the cache is off, "the cache is on" when it is not. */
const char *api_cache_condition_text(const struct cache_condition *condition);
const char *api_disk_condition_text(const struct cache_condition *condition);
/* A member "condition": {"state","reason","since"}, the last two null while it is on. */
void api_put_condition(struct wire_writer *writer, const struct cache_board *board);
void api_put_disk_condition(struct wire_writer *writer, const struct cache_condition *condition);
/* Two members: "controller" and "recommendations". */
void api_put_sizing(struct wire_writer *writer, const struct cache_board *board,
                    const struct stats *stats, uint32_t records_max);

/* ---- forms ----------------------------------------------------------------------------------- */

/* Finds the body's and the answer's form by Content-Type and Accept, of those that the route has.
 * 0, or the status of a refusal that has been written. */
unsigned api_negotiate(struct api_call *call);
/* The body's coding alone, for a handler that knows other types: call->body is what it was made of,
 * until the next call's. */
unsigned api_body_decode(struct api_call *call);
AUGURY_MUST_USE int api_body_setup(struct api *api);
void api_body_teardown(struct api *api);

/* What stands before the separator, without white space around it; *rest is what stands after. */
struct bytes api_cut(struct bytes text, uint8_t separator, struct bytes *rest);
/* Weight of a range in thousandths: "q=0.8" is 800, 1000 when it has none (RFC 9110 12.4.2). */
unsigned api_weight_of(struct bytes parameters);
/* Whether the answer's form is a matter of Accept. */
bool api_forms_are_several(const struct api_call *call);

/* ---- codings --------------------------------------------------------------------------------- */

enum api_coding { API_IDENTITY, API_GZIP };
/* What the client wants of an answer of so many bytes. */
enum api_coding api_coding_for(const struct api_call *call, size_t len);
/* Content-Encoding and Vary, of an answer of so many bytes before it was coded. */
void api_put_coding(const struct api_call *call, size_t len, enum api_coding coding);
/* *out_coded is the process's: until the next one. */
AUGURY_MUST_USE int api_encode(struct api *api, enum wire_effort effort, struct bytes content,
                               struct bytes *out_coded);
/* For what is compressed for one client: little where the worker is busy. */
enum wire_effort api_effort_now(struct api *api);
/* The body of an answer, as the client wants it, unless call->is_coded says that this is done. */
void api_encode_document(struct api_call *call);
AUGURY_MUST_USE int api_coding_setup(struct api *api);
void api_coding_teardown(struct api *api);

/* ---- freshness: what requests and answers say to caches -------------------------------------- */

struct api_wish api_wish_of(const struct http_request *request);

enum api_x_cache {
    API_CACHE_HIT,
    API_CACHE_MISS,
    API_CACHE_STALE,     /* past its time, while it is made anew or cannot be */
    API_CACHE_COALESCED, /* another request of the same was being answered */
    API_CACHE_BYPASS,    /* nothing was looked up */
};
struct api_freshness {
    enum api_x_cache x_cache;
    bool is_not_to_store;     /* the request said so: nobody else is to keep it either */
    uint64_t tag;             /* 0: none */
    uint64_t created_wall_ms; /* of what was made now: now */
    uint64_t expires_wall_ms; /* 0: nothing is said of it */
};
/* X-Cache, Age, Cache-Control and ETag. */
void api_put_freshness(const struct api_call *call, const struct api_freshness *freshness);

/* ETag of a document as it is sent, which changes when its contents do; 304 for who has it. */
void api_tag_document(struct api_call *call);
/* 412, instead of an answer that If-Match does not want. */
unsigned api_refuse_condition(struct api_call *call);

/* A strong tag of the bytes that are sent; never 0. */
uint64_t api_tag_of(struct bytes content);
enum api_tag_compare { API_TAG_WEAK /* If-None-Match */, API_TAG_STRONG /* If-Match */ };
/* Whether a list of tags, or "*", has this one. */
bool api_tag_matches(struct bytes list, uint64_t tag, enum api_tag_compare compare);

/* Whether to begin making something anew although its time is not over: api_early.c. */
struct api_early {
    uint64_t now_wall_ms;
    uint64_t expires_wall_ms;
    uint32_t cost_us; /* what it takes to make */
};
/* *random: of the caller, not 0 at first. */
bool api_is_early(const struct api_early *early, uint64_t *random);

/* ---- rendered answers: api_response.c -------------------------------------------------------- */

/* Opens the snapshots that the requests of one turn share; api_turn_end() closes them, as does
 * api_handle() before a handler that opens its own. False: not possible now. */
bool api_turn_begin(struct api *api);
/* Answers an exact repeat of an earlier request from the bytes of its answer: true, and the answer
 * is whole. Else call->response knows where api_response_keep() is to put it, and the turn's
 * snapshots are closed. */
bool api_response_find(struct api_call *call);
/* What is better than no answer, after api_response_find(): one past its time, if the request
 * allows that, or one that was about to be made anew. True: the answer is whole, and says which. */
bool api_response_find_stale(struct api_call *call);
/* What has been rendered is kept until expires_wall_ms at the latest; the registry's snapshot that
 * it was made from is open. */
struct api_made {
    struct bytes content;
    uint64_t content_tag; /* api_tag_of() */
    struct bytes coded;   /* the same as gzip, or empty */
    uint64_t coded_tag;
    uint64_t created_wall_ms; /* of its oldest part */
    uint64_t expires_wall_ms; /* of the part that ends first */
    uint32_t row_count;
    uint32_t cost_us;
    uint32_t model_key; /* stats_model_key() */
    uint16_t tag;       /* what it was made from: cache_tag() */
};
/* False: it will not be found. */
bool api_response_keep(struct api_call *call, const struct api_made *made);
/* Answers with what another process has made; made->coded is not looked at. */
void api_response_answer(struct api_call *call, const struct api_made *made,
                         enum api_x_cache x_cache);
/* Whether the rendered answer of that key is in the cache, for a call that is not at hand. */
bool api_response_is_kept(struct api *api, struct bytes key);

/* ---- documents ------------------------------------------------------------------------------- */

/* Every version of every model as one table. The registry's snapshot is open. */
void api_put_models(struct wire_writer *writer, struct registry *registry);
/* One version with its schema, and the versions beside it. The registry's snapshot is open.
 * warning: what the one who asks should know, or NULL. */
void api_put_model(struct wire_writer *writer, const struct registry *registry,
                   const struct registry_model *model, const char *warning);
/* The rows of an answer in call->form, with the model and version that gave it where that is a
 * document: whole, or the first of them, and the others as the client takes them (api_stream.c). */
void api_put_answer(struct api_call *call, const struct predict_answer *answer);
void api_put_rows(struct wire_writer *writer, enum api_form form,
                  const struct predict_answer *answer);
/* What stands before and behind the rows of a document. */
void api_answer_begin(struct wire_writer *writer, const struct predict_answer *answer);
void api_answer_end(struct wire_writer *writer);
/* An answer as columns, in CSV or as numpy's array: api_columns.c. What has none is refused:
 * "no_such_output". */
AUGURY_MUST_USE int api_columns_check(const struct predict_answer *answer, enum api_form form,
                                      struct err *err);
void api_columns_begin(const struct predict_answer *answer, enum api_form form, struct buf *out);
void api_columns_put_row(const struct predict_answer *answer, enum api_form form, size_t row,
                         struct buf *out);
/* One row as an object; or, where there is one output alone, its value. */
void api_put_row(struct wire_writer *writer, const struct predict_answer *answer, size_t row);
void api_put_row_value(struct wire_writer *writer, const struct predict_answer *answer, size_t row);
/* How a version was calibrated; null when it was not. */
void api_put_calibration(struct wire_writer *writer, const struct model *model);
void api_put_time(struct wire_writer *writer, uint64_t wall_ms); /* ISO 8601 */
void api_put_version(struct wire_writer *writer, uint32_t version);
