/* SPDX-License-Identifier: MIT */
/*
 * net_tls.h - TLS over one connection's socket, as net_conn.c needs it: reads and writes that
 * behave like recv and send. Private to net. Library: libssl, here only.
 */
#pragma once

#include <sys/types.h>

#include "augury/net.h"

struct tls_session;

/* NULL: no memory. The socket stays the caller's. */
struct tls_session *tls_accept(const struct net_tls *tls, int fd);

enum tls_news {
    TLS_HANDSHAKE_DONE = 1 << 0, /* with this read */
    TLS_RESUMED = 1 << 1,        /* by a ticket */
    TLS_HAS_MORE = 1 << 2,       /* room was used up; the socket need not tell of the rest */
    TLS_WANTS_WRITE = 1 << 3,    /* with EAGAIN: the socket has to take bytes first */
};
/* As recv(2): bytes, 0 at the end, -1 with errno: EAGAIN, or EPROTO when the other side does not
 * speak as it must; then nothing more can be sent. *out_news: enum tls_news. */
ssize_t tls_read(struct tls_session *session, uint8_t *room, size_t size, unsigned *out_news);
/* As send(2). After EAGAIN the same bytes have to be offered again, more of them if need be. */
ssize_t tls_write(struct tls_session *session, const uint8_t *data, size_t len);
/* Says that nothing more is sent, if that can still be said. */
void tls_shutdown(struct tls_session *session);
void tls_free(struct tls_session **session);
