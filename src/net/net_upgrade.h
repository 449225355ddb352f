/* SPDX-License-Identifier: MIT */
/*
 * net_upgrade.h - the handshake of WebSocket as pure functions. Private to net.
 */
#pragma once

#include "augury/net.h"

enum { UPGRADE_KEY_BYTES = 24, UPGRADE_ACCEPT_BYTES = 28 };

/* Whether a request is a handshake that may go on (RFC 6455 4.2.1, 10.2): 0, and *out_key is its
 * key, of UPGRADE_KEY_BYTES. AUGURY_ERR_INVALID: *out_refusal, and headers gets the fields that
 * belong to it. origins: as in struct net_socket_limits. */
AUGURY_MUST_USE int upgrade_check(const struct http_request *request, const char *origins,
                                  bool is_secure, struct buf *headers, struct bytes *out_key,
                                  struct http_refusal *out_refusal);
/* What proves to the client that its key was read; no NUL. */
void upgrade_accept_key(struct bytes key, char out_text[UPGRADE_ACCEPT_BYTES]);
