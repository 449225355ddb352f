/* SPDX-License-Identifier: MIT */
/* admin_sizing.c - commands about the cache's size: what its controller does, and a size that the
 * operator names. */
#include <string.h>

#include "admin.h"
#include "supervisor_sizing.h"

enum { SHOWN_MINUTE = 60 };

/* People see the last minute and all changes; programs all that is kept. */
int
admin_controller(struct admin_call *call, struct err *err)
{
    (void)err;
    api_put_controller(call->writer, call->supervisor->heritage->cache_board,
                       call->is_json ? CACHE_SIZE_RECORDS : SHOWN_MINUTE);
    return 0;
}

int
admin_resize(struct admin_call *call, struct err *err)
{
    struct sizing *sizing = call->supervisor->sizing;
    uint64_t bytes = 0;
    int rc = 0;

    if (strcmp(call->argv[0], "auto") == 0) {
        sizing_release(sizing);
    } else {
        rc = conf_read_size("resize", call->argv[0], &bytes, err);
        if (rc == 0) {
            rc = sizing_pin(sizing, bytes, err);
        }
    }
    if (rc != 0) {
        return rc;
    }
    wire_object(call->writer, bytes != 0 ? 3 : 2);
    wire_key(call->writer, "quota_bytes");
    wire_put_u64(call->writer, sizing_quota(sizing));
    wire_key(call->writer, "pinned");
    wire_put_bool(call->writer, bytes != 0);
    if (bytes != 0) {
        wire_key(call->writer, "until");
        wire_put_text(call->writer, "a restart, or `augury resize auto`");
    }
    wire_end(call->writer);
    return 0;
}
