/* SPDX-License-Identifier: MIT */
/*
 * cli_warm.h - what the parts of `augury warm` share: lines of a file become requests
 * (cli_warm_line.c), answers are framed (cli_warm_answer.c), and a loop over a few connections
 * brings the two together (cli_warm_replay.c). Private to the room. One thread.
 */
#pragma once

#include "augury/http.h"
#include "augury/wire.h"

enum {
    WARM_CONNECTIONS_MAX = 256,
    WARM_LINE_MAX = 16 << 20,    /* of the file, and so of a body */
    WARM_REQUEST_MAX = 20 << 20, /* a line's request: head and body */
    WARM_ANSWER_HEAD_MAX = 64 << 10,
    WARM_STATUS_MIN = 100,
    WARM_STATUS_END = 600,
    WARM_STEPS = 16, /* of latency: so many a power of two */
    WARM_BUCKETS = WARM_STEPS * 64,
};

/* ---- lines ----------------------------------------------------------------------------------- */

/* The file, a block at a time. */
struct warm_input {
    int fd;
    const char *name;
    struct buf bytes;
    size_t begin; /* of the next line in bytes */
    size_t seen;  /* bytes that hold no end of that line */
    uint64_t line;
    bool is_over; /* nothing more comes */
};

AUGURY_MUST_USE int warm_input_open(struct warm_input *input, const char *path, struct err *err);
void warm_input_close(struct warm_input *input);
/* 0: *out_line is valid until the next read; AUGURY_MORE: warm_input_read() first; AUGURY_END; < 0
 * with the line in err. */
AUGURY_MUST_USE int warm_input_next(struct warm_input *input, struct bytes *out_line,
                                    struct err *err);
/* One read(2); waits when there is nothing to read yet. */
AUGURY_MUST_USE int warm_input_read(struct warm_input *input, struct err *err);

/* Appends the request that a line stands for, JSON or combined log. 0: *out_method;
 * AUGURY_NOT_FOUND: the line is well-formed and stands for none; AUGURY_ERR_INVALID. host: of the
 * field Host. The arena is reset. */
AUGURY_MUST_USE int warm_line_to_request(struct bytes line, const char *host, struct arena *arena,
                                         struct buf *request, enum http_method *out_method,
                                         struct err *err);

/* ---- answers --------------------------------------------------------------------------------- */

enum warm_phase { WARM_HEAD, WARM_SIZED, WARM_CHUNKED, WARM_UNTIL_CLOSE, WARM_DONE };
enum warm_cache { WARM_UNSAID, WARM_HIT, WARM_MISS }; /* by X-Cache */

struct warm_answer {
    enum warm_phase phase;
    enum http_method method;
    unsigned status;
    enum warm_cache cache;
    bool is_closing; /* the connection ends with this answer */
    uint64_t left;   /* WARM_SIZED: of the body */
    struct http_chunks chunks;
};

void warm_answer_begin(struct warm_answer *answer, enum http_method method);
/* Takes what belongs to the answer from the front of input. 0: it is complete; AUGURY_MORE;
 * AUGURY_ERR_INVALID: no answer of HTTP/1.1. */
AUGURY_MUST_USE int warm_answer_feed(struct warm_answer *answer, struct buf *input,
                                     struct err *err);

/* ---- replay ---------------------------------------------------------------------------------- */

struct warm_options {
    const char *path;    /* "-": standard input */
    const char *address; /* host:port */
    uint64_t rate;       /* requests a second */
    uint64_t errors_max; /* of lines, connections and statuses over 399; then it stops */
    unsigned connections;
    bool has_progress;
};

struct warm_totals {
    uint64_t sent, answered, hits, misses;
    uint64_t skipped;   /* lines that stand for no request */
    uint64_t bad_lines; /* lines that make no sense */
    uint64_t refused;   /* answers with a status over 399 */
    uint64_t failed;    /* requests without an answer */
    uint64_t errors;    /* all that errors_max counts */
    uint64_t begin_ns, end_ns;
    uint64_t statuses[WARM_STATUS_END - WARM_STATUS_MIN];
    uint64_t latency[WARM_BUCKETS];
    bool is_stopped;     /* by errors_max */
    bool is_unreachable; /* nothing listens at the address */
};

/* 0 or < 0 with *err; *out_totals tells how far it came in either case. Single faults go to
 * standard error with their line. */
AUGURY_MUST_USE int warm_replay(const struct warm_options *options, struct warm_totals *out_totals,
                                struct err *err);
/* The latency that a share of the answers did not exceed, in microseconds; 0 without answers. */
uint64_t warm_latency_us(const struct warm_totals *totals, double share);
