/* SPDX-License-Identifier: MIT */
/*
 * admin.h - commands of the admin socket: one line in, one document out, as text or (-j) JSON.
 * Private to app. Process: supervisor.
 */
#pragma once

#include "supervisor.h"

enum admin_role { ADMIN_ROLE_READER, ADMIN_ROLE_OPERATOR, ADMIN_ROLE_ADMIN };
const char *admin_role_name(enum admin_role role);

/* Codes of an answer, as the command line program exits with them. */
enum admin_code { ADMIN_OK = 0, ADMIN_FAILED = 1, ADMIN_USAGE = 2, ADMIN_DENIED = 4 };

enum { ADMIN_ARGS_MAX = 64, ADMIN_DOCUMENT_MAX = 32 << 20, ADMIN_WAITS_MAX = 64 };

/* What an admin_fn returns when the answer comes later. */
enum { ADMIN_LATER = 100 };

/* A client that waits for a reload. */
struct admin_wait {
    struct net_line_peer peer;
    bool is_json;
    uint32_t target; /* how many reloads have ended when its own has */
    uint64_t deadline_mono_ms;
};

struct admin {
    struct supervisor *supervisor;
    struct arena arena; /* for turning a document into text */
    struct admin_wait waits[ADMIN_WAITS_MAX];
    size_t wait_count;
};

/* One command being answered. Args are without the verb's words and without -j. */
struct admin_call {
    struct supervisor *supervisor;
    const struct net_line_peer *peer;
    bool is_json;
    const struct admin_wait *wait; /* what is answered now; NULL: a line that has just come */
    int argc;
    const char *const *argv;
    struct wire_writer *writer; /* the document goes here … */
    struct buf *raw;            /* … or text that is no document (metrics) goes here */
    uint64_t now_wall_ms;
};

typedef int admin_fn(struct admin_call *call, struct err *err);

/* A row of the table of commands. */
struct admin_verb {
    const char *name; /* "cache flush": the words, one space between */
    const char *args; /* "KEY", or "" */
    const char *help; /* one sentence */
    enum admin_role role;
    int args_min, args_max;
    admin_fn *fn;
};
extern const struct admin_verb admin_verbs[];
extern const size_t admin_verb_count;

AUGURY_MUST_USE int admin_new(struct supervisor *supervisor, struct admin **out_admin,
                              struct err *err);
void admin_free(struct admin **admin);
/* A net_line_fn. arg: struct admin. */
int admin_on_line(void *arg, const struct net_line_peer *peer, struct bytes line,
                  struct buf *out_body);

/* Runs a verb: its document as text or JSON, or its error, goes to out_body. The code of the frame;
 * NET_LINE_LATER. */
int admin_answer(struct admin *admin, const struct admin_verb *verb, struct admin_call *call,
                 struct buf *out_body);

/* ---- admin_verbs.c --------------------------------------------------------------------------- */

/* {key: text} */
void admin_put_one(struct wire_writer *writer, const char *key, const char *text);

/* ---- admin_cache.c: each an admin_fn --------------------------------------------------------- */

int admin_cache_stats(struct admin_call *call, struct err *err);
int admin_cache_get(struct admin_call *call, struct err *err);
int admin_cache_bans(struct admin_call *call, struct err *err);
int admin_cache_purge(struct admin_call *call, struct err *err);
int admin_cache_ban(struct admin_call *call, struct err *err);
int admin_cache_invalidate(struct admin_call *call, struct err *err);
int admin_cache_flush(struct admin_call *call, struct err *err);

/* ---- supervisor_warm.c ----------------------------------------------------------------------- */

/* An admin_fn: `model use`. What the old version was asked for most is computed for the new one,
 * then the label moves: ADMIN_LATER. */
int admin_model_use(struct admin_call *call, struct err *err);
/* An admin_fn: `model import`; with --use the version that it made is used like that. */
int admin_model_import(struct admin_call *call, struct err *err);

/* ---- admin_reload.c -------------------------------------------------------------------------- */

AUGURY_MUST_USE int admin_to_master(struct admin_call *call, enum heritage_command command,
                                    struct err *err);
/* An admin_fn: asks the master; ADMIN_LATER. */
int admin_reload_ask(struct admin_call *call, struct err *err);
/* Answers whoever waits for what has ended. Called when the master wakes us, and each second. */
void admin_reload_settle(struct admin *admin);

/* ---- admin_sizing.c: admin_fn -------------------------------------------------------------- */

int admin_controller(struct admin_call *call, struct err *err);
int admin_resize(struct admin_call *call, struct err *err);

/* ---- admin_line.c ---------------------------------------------------------------------------- */

/* Splits a line into words, in place: blanks separate; '…' is taken literally; "…" knows \\ \" \n
 * \t. NUL bytes and an open quote are errors. words: at most ADMIN_ARGS_MAX. */
AUGURY_MUST_USE int admin_split(char *line, size_t len, const char **out_words, int *out_count,
                                struct err *err);
/* The longest verb that the words begin with; *out_used words belong to it. AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int admin_find(const char *const *words, int count,
                               const struct admin_verb **out_verb, int *out_used);
enum admin_role admin_role_of(const struct conf *conf, const struct net_line_peer *peer);
