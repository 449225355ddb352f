/* SPDX-License-Identifier: MIT */
/* admin_line.c - from a line to a verb and back: words, roles, text or JSON. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"

enum { ARENA_BYTES = 64 << 20, ARENA_KEEP_BYTES = 1 << 16, NAME_RECORD_BYTES = 16384 };

const char *
admin_role_name(enum admin_role role)
{
    switch (role) {
    case ADMIN_ROLE_READER: return "reader";
    case ADMIN_ROLE_OPERATOR: return "operator";
    case ADMIN_ROLE_ADMIN: return "admin";
    }
    return "unknown";
}

/* ---- words ----------------------------------------------------------------------------------- */

static char
unescape(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

int
admin_split(char *line, size_t len, const char **out_words, int *out_count, struct err *err)
{
    char *to = line;
    size_t i = 0;
    int count = 0;

    if (memchr(line, '\0', len) != NULL) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_line", "the line holds a NUL byte");
    }
    for (;;) {
        char quote = '\0';
        while (i < len && (line[i] == ' ' || line[i] == '\t')) {
            i++;
        }
        if (i == len) {
            break;
        }
        if (count == ADMIN_ARGS_MAX) {
            return err_set(err, AUGURY_ERR_LIMIT, "bad_line", "more than %d words", ADMIN_ARGS_MAX);
        }
        out_words[count++] = to;
        for (; i < len && (quote != '\0' || (line[i] != ' ' && line[i] != '\t')); i++) {
            char c = line[i];
            if (quote == '\0' && (c == '"' || c == '\'')) {
                quote = c;
            } else if (c == quote && quote != '\0') {
                quote = '\0';
            } else if (quote == '"' && c == '\\' && i + 1 < len) {
                *to++ = unescape(line[++i]);
            } else {
                *to++ = c;
            }
        }
        if (quote != '\0') {
            return err_set(err, AUGURY_ERR_INVALID, "bad_line", "a quote (%c) is not closed",
                           quote);
        }
        /* The word's end lies on its blank or behind the line, where the caller keeps one byte. */
        i++;
        *to++ = '\0';
        if (i >= len) {
            break;
        }
    }
    *out_count = count;
    return 0;
}

static int
words_in(const char *name)
{
    int words = 1;

    for (; *name != '\0'; name++) {
        words += *name == ' ' ? 1 : 0;
    }
    return words;
}

static bool
is_verb(const struct admin_verb *verb, const char *const *words, int count)
{
    const char *name = verb->name;

    for (int i = 0; i < count; i++) {
        size_t len = strcspn(name, " ");
        if (strlen(words[i]) != len || memcmp(words[i], name, len) != 0) {
            return false;
        }
        name += len;
        if (*name == '\0') {
            return true;
        }
        name++;
    }
    return false;
}

int
admin_find(const char *const *words, int count, const struct admin_verb **out_verb, int *out_used)
{
    int best = 0;

    for (size_t i = 0; i < admin_verb_count; i++) {
        int used = words_in(admin_verbs[i].name);
        if (used > best && is_verb(&admin_verbs[i], words, count)) {
            best = used;
            *out_verb = &admin_verbs[i];
            *out_used = used;
        }
    }
    return best > 0 ? 0 : AUGURY_NOT_FOUND;
}

/* ---- roles ----------------------------------------------------------------------------------- */

static bool
is_member(const char *group, const struct net_line_peer *peer)
{
    char record[NAME_RECORD_BYTES];
    char user_record[NAME_RECORD_BYTES];
    struct group entry;
    struct group *found = NULL;
    struct passwd user;
    struct passwd *who = NULL;

    if (getgrnam_r(group, &entry, record, sizeof(record), &found) != 0 || found == NULL) {
        return false;
    }
    if (found->gr_gid == peer->gid) {
        return true;
    }
    if (getpwuid_r(peer->uid, &user, user_record, sizeof(user_record), &who) != 0 || who == NULL) {
        return false;
    }
    for (char **member = found->gr_mem; *member != NULL; member++) {
        if (strcmp(*member, who->pw_name) == 0) {
            return true;
        }
    }
    return false;
}

enum admin_role
admin_role_of(const struct conf *conf, const struct net_line_peer *peer)
{
    if (peer->uid == 0 || peer->uid == geteuid()) {
        return ADMIN_ROLE_ADMIN;
    }
    if (conf->admin.operator_group[0] != '\0' && is_member(conf->admin.operator_group, peer)) {
        return ADMIN_ROLE_OPERATOR;
    }
    return ADMIN_ROLE_READER;
}

/* ---- answering ------------------------------------------------------------------------------- */

static int
answer_error(enum admin_code code, bool is_json, const struct err *err, struct buf *out_body)
{
    struct wire_writer writer;

    buf_reset(out_body);
    if (!is_json) {
        buf_printf(out_body, "%s%s%s", err->at, err->at[0] == '\0' ? "" : ": ", err->reason);
        return (int)code;
    }
    wire_writer_init(&writer, WIRE_JSON, out_body);
    wire_object(&writer, 3);
    wire_key(&writer, "error");
    wire_put_text(&writer, err->reason);
    wire_key(&writer, "code");
    wire_put_text(&writer, err->code == NULL ? "failed" : err->code);
    wire_key(&writer, "at");
    wire_put_text(&writer, err->at);
    wire_end(&writer);
    return (int)code;
}

/* The same document, for people. */
static int
document_to_text(struct admin *admin, struct bytes json, struct buf *out_body, struct err *err)
{
    struct wire_limits limits = {.depth = 32, .values = 4 << 20};
    struct wire_value tree;

    int rc = wire_decode(WIRE_JSON, json, &limits, &admin->arena, &tree, err);
    if (rc == 0) {
        wire_put_as_text(&tree, out_body);
    }
    arena_reset(&admin->arena, ARENA_KEEP_BYTES);
    return rc;
}

static int
run_verb(struct admin *admin, const struct admin_verb *verb, struct admin_call *call,
         struct buf *out_body, struct err *err)
{
    struct buf document;
    struct wire_writer writer;

    buf_init(&document, ADMIN_DOCUMENT_MAX);
    wire_writer_init(&writer, WIRE_JSON, &document);
    /* cppcheck-suppress autoVariables ; taken back below */
    call->writer = &writer;
    call->raw = out_body;
    int rc = verb->fn(call, err);
    call->writer = NULL;
    if (rc == 0 && buf_finish(&document) != 0) {
        rc = err_set(err, AUGURY_ERR_LIMIT, "too_large", "the answer is too large");
    }
    if (rc == 0 && document.len > 0) {
        if (call->is_json) {
            buf_put_bytes(out_body, buf_view(&document));
        } else {
            rc = document_to_text(admin, buf_view(&document), out_body, err);
        }
    }
    call->writer = NULL;
    buf_fini(&document);
    return rc;
}

static void
log_command(struct admin *admin, const struct net_line_peer *peer, const struct admin_verb *verb,
            enum admin_code code)
{
    /* Reading is not worth a line; changing is. */
    log_event(&admin->supervisor->heritage->log,
              verb->role == ADMIN_ROLE_READER ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "admin_command",
              "command=\"%s\" uid=%u peer_pid=%d code=%d", verb->name, peer->uid, (int)peer->pid,
              (int)code);
}

int
admin_answer(struct admin *admin, const struct admin_verb *verb, struct admin_call *call,
             struct buf *out_body)
{
    struct err err = {.rc = 0};

    int rc = run_verb(admin, verb, call, out_body, &err);
    if (rc == ADMIN_LATER) {
        return NET_LINE_LATER;
    }
    enum admin_code code = ADMIN_OK;
    if (rc != 0) {
        code = err.code != NULL && strcmp(err.code, "usage") == 0 ? ADMIN_USAGE : ADMIN_FAILED;
    }
    log_command(admin, call->peer, verb, code);
    return rc == 0 ? (int)ADMIN_OK : answer_error(code, call->is_json, &err, out_body);
}

static int
dispatch(struct admin *admin, const struct net_line_peer *peer, const char *const *words, int count,
         bool is_json, struct buf *out_body)
{
    struct supervisor *supervisor = admin->supervisor;
    const struct admin_verb *verb = NULL;
    enum admin_code code = ADMIN_OK;
    int used = 0;
    struct err err = {.rc = 0};

    if (admin_find(words, count, &verb, &used) != 0) {
        err_set(&err, AUGURY_ERR_INVALID, "unknown_command",
                "unknown command \"%.60s\"; `help` lists all", count == 0 ? "" : words[0]);
        return answer_error(ADMIN_USAGE, is_json, &err, out_body);
    }
    struct admin_call call = {.supervisor = supervisor,
                              .peer = peer,
                              .is_json = is_json,
                              .argc = count - used,
                              .argv = words + used,
                              .now_wall_ms = clock_wall_ms()};
    if (admin_role_of(&supervisor->conf, peer) < verb->role) {
        code = ADMIN_DENIED;
        err_set(&err, AUGURY_ERR_DENIED, "denied", "%s: needs the role %s", verb->name,
                admin_role_name(verb->role));
    } else if (call.argc < verb->args_min || call.argc > verb->args_max) {
        code = ADMIN_USAGE;
        err_set(&err, AUGURY_ERR_INVALID, "usage", "usage: %s %s", verb->name, verb->args);
    } else {
        return admin_answer(admin, verb, &call, out_body);
    }
    log_command(admin, peer, verb, code);
    return answer_error(code, is_json, &err, out_body);
}

int
admin_on_line(void *arg, const struct net_line_peer *peer, struct bytes line, struct buf *out_body)
{
    struct admin *admin = arg;
    const char *words[ADMIN_ARGS_MAX];
    int count = 0;
    bool is_json = false;
    struct err err;

    stats_add(admin->supervisor->stats, STATS_ADMIN_COMMANDS, 1);
    char *copy = calloc(1, line.len + 1);
    if (copy == NULL) {
        return ADMIN_FAILED;
    }
    if (line.len > 0) {
        memcpy(copy, line.data, line.len);
    }
    int rc = admin_split(copy, line.len, words, &count, &err);
    if (rc != 0) {
        rc = answer_error(ADMIN_USAGE, false, &err, out_body);
    } else {
        int kept = 0;
        for (int i = 0; i < count; i++) {
            if (strcmp(words[i], "-j") == 0) {
                is_json = true;
            } else {
                words[kept++] = words[i];
            }
        }
        rc = dispatch(admin, peer, words, kept, is_json, out_body);
    }
    free(copy);
    return rc;
}

int
admin_new(struct supervisor *supervisor, struct admin **out_admin, struct err *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (admin == NULL || arena_init(&admin->arena, ARENA_BYTES) != 0) {
        free(admin);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "admin: out of memory");
    }
    admin->supervisor = supervisor;
    *out_admin = admin;
    return 0;
}

void
admin_free(struct admin **admin)
{
    if (*admin != NULL) {
        arena_fini(&(*admin)->arena);
        free(*admin);
        *admin = NULL;
    }
}
