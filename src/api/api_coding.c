/* SPDX-License-Identifier: MIT */
/*
 * api_coding.c - gzip for those who ask for it. Source: RFC 9110 12.5.3. A client that names no
 * coding gets none; of gzip and identity the one with the greater weight is sent, gzip when they
 * are equal or identity has none; what no coding satisfies is sent as it is, which says more than
 * 406. Short answers gain nothing from gzip, and long ones would keep the other clients of this
 * worker waiting: both are sent as they are, unless the client refuses that. A worker that is busy
 * compresses with little effort what it makes for one client; what is kept for all who ask for it
 * again (api_response.c) is worth the usual one.
 */
#include "api_call.h"

#include <string.h>

enum { CODED_BYTES_MIN = 1024, CODED_BYTES_MAX = 1024 * 1024, NOT_NAMED = -1 };

static const char coding_lines[] = "Content-Encoding: gzip\r\n";
static const char vary_line[] = "Vary: Accept-Encoding\r\n";

/* Weights in thousandths, or NOT_NAMED. */
struct weights {
    int gzip, identity, any;
};

static struct weights
weights_of(struct bytes accept_encoding)
{
    struct weights weights = {NOT_NAMED, NOT_NAMED, NOT_NAMED};

    while (accept_encoding.len > 0) {
        struct bytes parameters;
        struct bytes coding =
            api_cut(api_cut(accept_encoding, ',', &accept_encoding), ';', &parameters);
        int weight = (int)api_weight_of(parameters);
        if (bytes_equal_nocase(coding, "gzip") || bytes_equal_nocase(coding, "x-gzip")) {
            weights.gzip = weight;
        } else if (bytes_equal_nocase(coding, "identity")) {
            weights.identity = weight;
        } else if (bytes_equal_text(coding, "*")) {
            weights.any = weight;
        }
    }
    return weights;
}

enum api_coding
api_coding_for(const struct api_call *call, size_t len)
{
    struct bytes accept = call->request->accept_encoding;
    bool is_worth_it = len >= CODED_BYTES_MIN && len <= CODED_BYTES_MAX;

    /* Without a weight nothing is refused, and a short answer need not look further. */
    if (accept.len == 0 || (!is_worth_it && memchr(accept.data, ';', accept.len) == NULL)) {
        return API_IDENTITY;
    }
    struct weights weights = weights_of(accept);
    int gzip = weights.gzip != NOT_NAMED ? weights.gzip : weights.any;
    int identity = weights.identity;
    if (identity == NOT_NAMED && weights.any == 0) {
        identity = 0;
    }
    if (gzip <= 0 || len > CODED_BYTES_MAX) {
        return API_IDENTITY;
    }
    return identity == 0 || (is_worth_it && gzip >= identity) ? API_GZIP : API_IDENTITY;
}

void
api_put_coding(const struct api_call *call, size_t len, enum api_coding coding)
{
    struct buf *headers = call->answer->headers;

    if (coding == API_GZIP) {
        buf_put(headers, coding_lines, sizeof(coding_lines) - 1);
    }
    if (coding == API_GZIP || len >= CODED_BYTES_MIN) {
        buf_put(headers, vary_line, sizeof(vary_line) - 1);
    }
}

enum wire_effort
api_effort_now(struct api *api)
{
    uint64_t now_ns = clock_mono_ns();

    if (api_load_is_due(&api->load, now_ns)) {
        api_load_note(&api->load, now_ns, clock_thread_awake_ns());
    }
    return api->load.is_busy ? WIRE_EFFORT_LITTLE : WIRE_EFFORT_USUAL;
}

int
api_encode(struct api *api, enum wire_effort effort, struct bytes content, struct bytes *out_coded)
{
    buf_reset(&api->coded);
    int rc = wire_gzip_put(api->gzip, effort, content, &api->coded);
    if (rc == 0) {
        *out_coded = buf_view(&api->coded);
    }
    return rc;
}

/* Documents that are text, whatever resource they are of. */
void
api_encode_document(struct api_call *call)
{
    struct net_answer *answer = call->answer;
    size_t len = answer->body->len;

    if (answer->ready.data != NULL || call->is_coded || buf_finish(answer->body) != 0) {
        return;
    }
    enum api_coding coding = api_coding_for(call, len);
    if (coding == API_GZIP) {
        /* What has a tag has the same one from all workers. */
        enum wire_effort effort = call->is_tagged ? WIRE_EFFORT_USUAL : api_effort_now(call->api);
        int rc = api_encode(call->api, effort, buf_view(answer->body), &answer->ready);
        coding = rc == 0 ? API_GZIP : API_IDENTITY;
    }
    api_put_coding(call, len, coding);
}

int
api_coding_setup(struct api *api)
{
    buf_init(&api->coded, 2 * CODED_BYTES_MAX);
    return wire_gzip_new(&api->gzip);
}

void
api_coding_teardown(struct api *api)
{
    buf_fini(&api->coded);
    wire_gzip_free(&api->gzip);
}
