/* SPDX-License-Identifier: MIT */
/*
 * admin_reload.c - `reload` asks the master and is answered when the outcome is there; meanwhile
 * the supervisor goes on with its work and with other commands.
 * A reload that had begun before the command may have read an older file: only one that begins
 * after it is an answer. Reloads end in the order of their beginnings, one at a time.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"

enum { RELOAD_WAIT_MS = 35000, OUTCOME_BYTES = 4096 };

int
admin_to_master(struct admin_call *call, enum heritage_command command, struct err *err)
{
    char byte = (char)command;

    if (write(call->supervisor->heritage->command_write_fd, &byte, 1) != 1) {
        return err_set(err, AUGURY_ERR_IO, "master_unreachable", "the master does not listen: %s",
                       strerror(errno));
    }
    return 0;
}

int
admin_reload_ask(struct admin_call *call, struct err *err)
{
    struct admin *admin = call->supervisor->admin;
    const struct proc_board *board = &call->supervisor->heritage->shared->board;

    if (admin->wait_count == ADMIN_WAITS_MAX) {
        return err_set(err, AUGURY_ERR_BUSY, "busy", "too many wait for a reload already");
    }
    struct admin_wait wait = {.peer = *call->peer,
                              .is_json = call->is_json,
                              .target = atomic_load(&board->reload_starts) + 1,
                              .deadline_mono_ms = clock_mono_ms() + RELOAD_WAIT_MS};
    int rc = admin_to_master(call, HERITAGE_RELOAD, err);
    if (rc != 0) {
        return rc;
    }
    admin->waits[admin->wait_count++] = wait;
    return ADMIN_LATER;
}

static bool
is_over(const struct proc_board *board, uint32_t target)
{
    uint32_t ends = atomic_load(&board->reloads) + atomic_load(&board->reload_failures);
    return (int32_t)(ends - target) >= 0;
}

/* An admin_fn: what came of it. */
static int
tell_outcome(struct admin_call *call, struct err *err)
{
    const struct proc_board *board = &call->supervisor->heritage->shared->board;

    if (!is_over(board, call->wait->target)) {
        return err_set(err, AUGURY_ERR_TIMEOUT, "reload_pending",
                       "the reload goes on; `status` shows how it ended");
    }
    if (atomic_load(&board->has_last_reload_failed) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "reload_failed", "%.340s",
                       board->last_reload_error);
    }
    wire_object(call->writer, 2);
    wire_key(call->writer, "reloaded");
    wire_put_bool(call->writer, true);
    wire_key(call->writer, "generation");
    wire_put_u64(call->writer, atomic_load(&board->generation));
    wire_end(call->writer);
    return 0;
}

static void
answer(struct admin *admin, const struct admin_wait *wait)
{
    static const struct admin_verb outcome = {
        .name = "reload", .args = "", .help = "", .role = ADMIN_ROLE_OPERATOR, .fn = tell_outcome};
    struct admin_call call = {.supervisor = admin->supervisor,
                              .peer = &wait->peer,
                              .is_json = wait->is_json,
                              .wait = wait,
                              .now_wall_ms = clock_wall_ms()};
    struct buf body;

    buf_init(&body, OUTCOME_BYTES);
    int code = admin_answer(admin, &outcome, &call, &body);
    if (buf_finish(&body) == 0) {
        net_line_answer(admin->supervisor->lines, wait->peer.ticket, code, buf_view(&body));
    }
    buf_fini(&body);
}

void
admin_reload_settle(struct admin *admin)
{
    const struct proc_board *board = &admin->supervisor->heritage->shared->board;
    uint64_t now = clock_mono_ms();

    for (size_t i = 0; i < admin->wait_count;) {
        struct admin_wait wait = admin->waits[i];
        if (!is_over(board, wait.target) && now <= wait.deadline_mono_ms) {
            i++;
            continue;
        }
        /* Off the list first: the client's next line may be another reload. */
        admin->waits[i] = admin->waits[--admin->wait_count];
        answer(admin, &wait);
    }
}
