/* SPDX-License-Identifier: MIT */
/*
 * redis_line.c - one connection to Redis. Replies come in the order of the commands, so a queue of
 * calls is all that pairs them; one that took too long is told so and its reply thrown away when it
 * comes. hiredis reads replies here and does nothing else: its asynchronous client asserts on what
 * a server sends, and looks names up while the loop waits.
 * Invariants: (1) whatever the server sends, memory is bounded and the worst is a lost connection;
 * (2) a callback may send further commands: sending never takes the line down; (3) no callback is
 * called twice or never.
 */
#include "redis_line.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 << 10,
    READS_A_TURN = 16,
    UNREAD_MAX = CACHE_VALUE_MAX + (64 << 10), /* of one string that is not whole yet */
    REPLY_OVERHEAD = 64,
    KEEPALIVE_S = 15,
    COMMAND_OVERHEAD = 512,
};

/* hiredis counts the elements of an array in another type since its version 1. */
#if HIREDIS_MAJOR >= 1
#define REDIS_ELEMENTS size_t
#else
#define REDIS_ELEMENTS int
#endif

/* ---- where the server is ------------------------------------------------------------------- */

static int
address_of_unix(struct redis_server *server, const char *path, struct err *err)
{
    struct sockaddr_un *address = &server->address.unix_path;

    if (path[0] != '/' || strlen(path) >= sizeof(address->sun_path)) {
        return err_set(err, AUGURY_ERR_INVALID, "redis_address",
                       "redis.address: \"unix:\" wants an absolute path of at most %zu bytes",
                       sizeof(address->sun_path) - 1);
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    server->address_len = sizeof(*address);
    return 0;
}

static int
address_of_name(struct redis_server *server, const char *text, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    const char *colon = strrchr(text, ':');
    bool has_brackets = text[0] == '[' && colon != NULL && colon > text + 1 && colon[-1] == ']';
    const char *begin = has_brackets ? text + 1 : text;
    size_t len = colon == NULL ? 0 : (size_t)(colon - begin) - (has_brackets ? 1 : 0);

    if (colon == NULL || len == 0 || len >= sizeof(host)) {
        return err_set(err, AUGURY_ERR_INVALID, "redis_address",
                       "redis.address: expected an address such as 127.0.0.1:6379, [::1]:6379 or "
                       "unix:/run/redis/redis.sock, got \"%.80s\"",
                       text);
    }
    memcpy(host, begin, len);
    host[len] = '\0';
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "redis_address",
                       "redis.address: \"%.80s\" is not found: %s", text, gai_strerror(rc));
    }
    bool fits = found->ai_addrlen <= sizeof(server->address);
    if (fits) {
        memcpy(&server->address, found->ai_addr, found->ai_addrlen);
        server->address_len = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return fits ? 0
                : err_set(err, AUGURY_ERR_INVALID, "redis_address",
                          "redis.address: \"%.80s\" has an address of an unknown kind", text);
}

static int
read_password(struct redis_server *server, const char *path, struct err *err)
{
    if (path[0] == '\0') {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, server->password, sizeof(server->password) - 1);
    int problem = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (len < 0) {
        return err_set(err, AUGURY_ERR_INVALID, "redis_password", "redis.password_file: %.200s: %s",
                       path, strerror(problem));
    }
    server->password[len] = '\0';
    server->password[strcspn(server->password, "\r\n")] = '\0';
    return 0;
}

static int
copy_text(char *place, size_t size, const char *text, const char *name, struct err *err)
{
    if (strlen(text) >= size) {
        return err_set(err, AUGURY_ERR_INVALID, "too_long", "redis.%s: at most %zu bytes", name,
                       size - 1);
    }
    memcpy(place, text, strlen(text) + 1);
    return 0;
}

int
redis_server_init(struct redis_server *server, const struct cache_redis_server *options,
                  struct err *err)
{
    *server = (struct redis_server){.database = options->database,
                                    .timeout_ms = options->timeout_ms,
                                    .connect_timeout_ms = options->connect_timeout_ms,
                                    .queue_bytes = (size_t)options->queue_bytes};
    int rc = copy_text(server->user, sizeof(server->user), options->user, "user", err);
    if (rc == 0) {
        rc = copy_text(server->prefix, sizeof(server->prefix), options->prefix, "prefix", err);
    }
    if (rc == 0) {
        rc = read_password(server, options->password_file, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (strncmp(options->address, "unix:", 5) == 0) {
        return address_of_unix(server, options->address + 5, err);
    }
    return address_of_name(server, options->address, err);
}

/* ---- replies, within bounds ---------------------------------------------------------------- */

/* NULL from one of these is an error of the reader, and so of the connection. */
static bool
may_take(const redisReadTask *task, size_t bytes)
{
    struct redis_line *line = task->privdata;

    line->reply_bytes += bytes + REPLY_OVERHEAD;
    return bytes <= REDIS_REPLY_MAX && line->reply_bytes <= REDIS_REPLY_MAX;
}

static void *
create_string(const redisReadTask *task, char *text, size_t len)
{
    const struct redis_line *line = task->privdata;

    return may_take(task, len) ? line->library.createString(task, text, len) : NULL;
}

static void *
create_array(const redisReadTask *task, REDIS_ELEMENTS count)
{
    const struct redis_line *line = task->privdata;
    bool is_small = count <= REDIS_ARRAY_MAX && may_take(task, (size_t)count * sizeof(void *));

    return is_small ? line->library.createArray(task, count) : NULL;
}

static void *
create_integer(const redisReadTask *task, long long value)
{
    const struct redis_line *line = task->privdata;

    return may_take(task, sizeof(value)) ? line->library.createInteger(task, value) : NULL;
}

static void *
create_nil(const redisReadTask *task)
{
    const struct redis_line *line = task->privdata;

    return may_take(task, 0) ? line->library.createNil(task) : NULL;
}

/* Of the newer protocol, which nobody asked for; the library knows it since its version 1. */
#if HIREDIS_MAJOR >= 1
static void *
create_double(const redisReadTask *task, double value, char *text, size_t len)
{
    const struct redis_line *line = task->privdata;

    return may_take(task, len) ? line->library.createDouble(task, value, text, len) : NULL;
}

static void *
create_bool(const redisReadTask *task, int value)
{
    const struct redis_line *line = task->privdata;

    return may_take(task, sizeof(value)) ? line->library.createBool(task, value) : NULL;
}

static void
bound_newer(redisReplyObjectFunctions *functions)
{
    functions->createDouble = create_double;
    functions->createBool = create_bool;
}
#else
static void
bound_newer(redisReplyObjectFunctions *functions)
{
    (void)functions;
}
#endif

static int
reader_make(struct redis_line *line)
{
    line->reader = redisReaderCreate();
    if (line->reader == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    line->library = *line->reader->fn;
    line->functions = line->library;
    line->functions.createString = create_string;
    line->functions.createArray = create_array;
    line->functions.createInteger = create_integer;
    line->functions.createNil = create_nil;
    bound_newer(&line->functions);
    line->reader->fn = &line->functions;
    line->reader->privdata = line;
    line->reply_bytes = 0;
    return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

int
redis_line_init(struct redis_line *line, const struct redis_server *server,
                const struct cache_redis_loop *loop, unsigned index)
{
    *line = (struct redis_line){.server = server, .loop = *loop, .index = index, .fd = -1};
    buf_init(&line->out, server->queue_bytes + COMMAND_OVERHEAD);
    line->calls = calloc(REDIS_CALLS_MAX, sizeof(*line->calls));
    return line->calls == NULL ? AUGURY_ERR_NOMEM : 0;
}

void
redis_line_fini(struct redis_line *line)
{
    AUGURY_ASSERT(line->state == REDIS_LINE_DOWN);
    buf_fini(&line->out);
    free(line->calls);
    line->calls = NULL;
}

static void
watch(struct redis_line *line, unsigned what)
{
    if (what != line->watched) {
        line->watched = what;
        line->loop.watch(line->loop.arg, line->index, line->fd, what);
    }
}

/* The next call leaves the queue. *out_is_told: it has had its timeout. */
static struct redis_call
call_shift(struct redis_line *line, bool *out_is_told)
{
    struct redis_call call = line->calls[line->first];

    line->first = (line->first + 1) % REDIS_CALLS_MAX;
    line->count--;
    *out_is_told = line->expired > 0;
    line->expired -= *out_is_told ? 1 : 0;
    return call;
}

void
redis_line_down(struct redis_line *line, int rc)
{
    bool is_told = false;

    if (line->state == REDIS_LINE_DOWN) {
        return;
    }
    line->state = REDIS_LINE_DOWN;
    if (line->fd >= 0) {
        watch(line, 0);
        close(line->fd);
        line->fd = -1;
    }
    if (line->reader != NULL) {
        redisReaderFree(line->reader);
        line->reader = NULL;
    }
    buf_reset(&line->out);
    line->sent = 0;
    while (line->count > 0) {
        struct redis_call call = call_shift(line, &is_told);
        if (!is_told) {
            call.fn(call.arg, NULL, rc);
        }
    }
}

static int
socket_make(const struct redis_server *server)
{
    int one = 1;
    int idle = KEEPALIVE_S;

    int fd = socket(server->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && server->address.any.sa_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
    }
    return fd;
}

static void
why_set(struct redis_line *line, const char *why)
{
    snprintf(line->why, sizeof(line->why), "%s", why);
}

int
redis_line_connect(struct redis_line *line, uint64_t now_ms)
{
    AUGURY_ASSERT(line->state == REDIS_LINE_DOWN && line->count == 0);
    line->fd = socket_make(line->server);
    if (line->fd < 0) {
        return AUGURY_ERR_IO;
    }
    line->state = REDIS_LINE_CONNECTING;
    line->is_broken = false; /* also what the last connection's greeting has left */
    line->deadline_ms = now_ms + line->server->connect_timeout_ms;
    int rc = reader_make(line);
    if (rc == 0 && connect(line->fd, &line->server->address.any, line->server->address_len) != 0 &&
        errno != EINPROGRESS) {
        why_set(line, strerror(errno));
        rc = AUGURY_ERR_IO;
    }
    if (rc != 0) {
        redis_line_down(line, rc);
        return rc;
    }
    watch(line, CACHE_REDIS_WRITE);
    return 0;
}

/* ---- commands ------------------------------------------------------------------------------ */

bool
redis_line_has_room(const struct redis_line *line, size_t bytes)
{
    return line->count < REDIS_CALLS_MAX && line->out.rc == 0 &&
           line->out.len + bytes + COMMAND_OVERHEAD <= line->server->queue_bytes;
}

void
redis_line_put_count(struct redis_line *line, size_t arguments)
{
    buf_put_u8(&line->out, '*');
    buf_put_u64(&line->out, arguments);
    buf_put_text(&line->out, "\r\n");
}

void
redis_line_put_pieces(struct redis_line *line, const struct bytes *pieces, size_t count)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    buf_put_u8(&line->out, '$');
    buf_put_u64(&line->out, len);
    buf_put_text(&line->out, "\r\n");
    for (size_t i = 0; i < count; i++) {
        buf_put_bytes(&line->out, pieces[i]);
    }
    buf_put_text(&line->out, "\r\n");
}

void
redis_line_put_bytes(struct redis_line *line, struct bytes argument)
{
    redis_line_put_pieces(line, &argument, 1);
}

void
redis_line_put_text(struct redis_line *line, const char *argument)
{
    redis_line_put_bytes(line, bytes_of_text(argument));
}

void
redis_line_put_number(struct redis_line *line, uint64_t argument)
{
    char text[U64_TEXT_MAX];

    redis_line_put_bytes(line, bytes_of(text, u64_to_text(argument, text)));
}

void
redis_line_call(struct redis_line *line, uint64_t deadline_ms, redis_reply_fn *fn, void *arg)
{
    AUGURY_ASSERT(line->count < REDIS_CALLS_MAX);
    line->calls[(line->first + line->count) % REDIS_CALLS_MAX] =
        (struct redis_call){.fn = fn, .arg = arg, .deadline_ms = deadline_ms};
    line->count++;
    /* Half a command is on its way: nothing after it would be understood. */
    line->is_broken |= line->out.rc != 0;
}

void
redis_line_flush(struct redis_line *line)
{
    while (!line->is_broken && line->sent < line->out.len) {
        ssize_t n =
            send(line->fd, line->out.data + line->sent, line->out.len - line->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            line->is_broken = errno != EAGAIN && errno != EWOULDBLOCK;
            break;
        }
        line->sent += (size_t)n;
    }
    if (line->sent == line->out.len) {
        buf_reset(&line->out);
        line->sent = 0;
    } else if (line->sent > line->out.len / 2) {
        buf_consume(&line->out, line->sent);
        line->sent = 0;
    }
    watch(line, CACHE_REDIS_READ | (line->out.len > 0 ? CACHE_REDIS_WRITE : 0u));
}

bool
redis_line_is_idle(const struct redis_line *line)
{
    return line->count == 0 && line->out.len == 0 && !line->is_broken;
}

/* ---- greeting ------------------------------------------------------------------------------ */

static void
on_greeting(void *arg, const redisReply *reply, int rc)
{
    struct redis_line *line = arg;
    bool is_refused = rc == 0 && reply->type == REDIS_REPLY_ERROR;

    if (is_refused && !line->is_broken) {
        why_set(line, reply->str); /* "WRONGPASS …", "NOAUTH …" */
    } else if (rc == AUGURY_ERR_TIMEOUT) {
        why_set(line, "no answer in redis.timeout");
    }
    line->is_broken |= rc != 0 || is_refused;
}

static void
on_greeted(void *arg, const redisReply *reply, int rc)
{
    struct redis_line *line = arg;

    on_greeting(arg, reply, rc);
    if (!line->is_broken && line->state == REDIS_LINE_GREETING) {
        line->state = REDIS_LINE_READY;
        why_set(line, "");
    }
}

/* A server that is too slow for a greeting is too slow for lookups: hence the time of a command. */
static void
greet(struct redis_line *line, uint64_t now_ms)
{
    const struct redis_server *server = line->server;
    uint64_t deadline_ms = now_ms + server->timeout_ms;

    line->state = REDIS_LINE_GREETING;
    if (server->password[0] != '\0') {
        bool has_user = server->user[0] != '\0';
        redis_line_put_count(line, has_user ? 3 : 2);
        redis_line_put_text(line, "AUTH");
        if (has_user) {
            redis_line_put_text(line, server->user);
        }
        redis_line_put_text(line, server->password);
        redis_line_call(line, deadline_ms, on_greeting, line);
    }
    if (server->database != 0) {
        redis_line_put_count(line, 2);
        redis_line_put_text(line, "SELECT");
        redis_line_put_number(line, server->database);
        redis_line_call(line, deadline_ms, on_greeting, line);
    }
    redis_line_put_count(line, 1);
    redis_line_put_text(line, "PING");
    redis_line_call(line, deadline_ms, on_greeted, line);
    redis_line_flush(line);
}

/* ---- events -------------------------------------------------------------------------------- */

/* Whole replies go to their calls. A reply that nobody asked for, an unfinished one over its bound:
 * lost. */
static int
replies_take(struct redis_line *line)
{
    for (;;) {
        void *reply = NULL;
        bool is_told = false;
        if (redisReaderGetReply(line->reader, &reply) != REDIS_OK) {
            return AUGURY_ERR_CORRUPT;
        }
        if (reply == NULL) {
            bool is_small = line->reader->len - line->reader->pos <= UNREAD_MAX;
            return is_small ? 0 : AUGURY_ERR_CORRUPT;
        }
        line->reply_bytes = 0;
        if (line->count == 0) {
            freeReplyObject(reply);
            return AUGURY_ERR_CORRUPT;
        }
        struct redis_call call = call_shift(line, &is_told);
        if (!is_told) {
            call.fn(call.arg, reply, 0);
        }
        freeReplyObject(reply);
    }
}

static int
receive(struct redis_line *line)
{
    uint8_t bytes[READ_BYTES];

    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(line->fd, bytes, sizeof(bytes), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        if (n <= 0) {
            return AUGURY_ERR_IO;
        }
        if (redisReaderFeed(line->reader, (const char *)bytes, (size_t)n) != REDIS_OK) {
            return AUGURY_ERR_NOMEM;
        }
        int rc = replies_take(line);
        if (rc != 0 || (size_t)n < sizeof(bytes)) {
            return rc;
        }
    }
    return 0;
}

static int
connected(struct redis_line *line)
{
    int problem = 0;
    socklen_t len = sizeof(problem);

    int rc = getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &problem, &len);
    if (problem != 0) {
        why_set(line, strerror(problem));
    }
    return rc == 0 && problem == 0 ? 0 : AUGURY_ERR_IO;
}

int
redis_line_ready(struct redis_line *line, unsigned what, uint64_t now_ms)
{
    int rc = 0;

    if (line->state == REDIS_LINE_DOWN) {
        return 0;
    }
    if (line->state == REDIS_LINE_CONNECTING) {
        rc = connected(line);
        if (rc == 0) {
            greet(line, now_ms);
        }
    } else if ((what & CACHE_REDIS_READ) != 0) {
        rc = receive(line);
    }
    if (rc == 0 && (what & CACHE_REDIS_WRITE) != 0) {
        redis_line_flush(line);
    }
    return rc != 0 ? rc : line->is_broken ? AUGURY_ERR_IO : 0;
}

int
redis_line_tick(struct redis_line *line, uint64_t now_ms, unsigned *out_timeouts)
{
    *out_timeouts = 0;
    if (line->state == REDIS_LINE_DOWN) {
        return 0;
    }
    if (line->state == REDIS_LINE_CONNECTING) {
        if (now_ms >= line->deadline_ms) {
            why_set(line, "no connection in redis.connect_timeout");
            return AUGURY_ERR_TIMEOUT;
        }
        return 0;
    }
    if (line->out.len > 0) {
        redis_line_flush(line);
    }
    while (line->expired < line->count) {
        struct redis_call call = line->calls[(line->first + line->expired) % REDIS_CALLS_MAX];
        if (call.deadline_ms > now_ms) {
            break;
        }
        line->expired++;
        ++*out_timeouts;
        call.fn(call.arg, NULL, AUGURY_ERR_TIMEOUT);
    }
    return line->is_broken ? AUGURY_ERR_IO : 0;
}

uint32_t
redis_backoff_next(uint32_t *backoff_ms, uint64_t *random)
{
    uint32_t whole = *backoff_ms < REDIS_BACKOFF_FIRST_MS ? REDIS_BACKOFF_FIRST_MS : *backoff_ms;

    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    *backoff_ms = whole >= REDIS_BACKOFF_MAX_MS / 2 ? REDIS_BACKOFF_MAX_MS : 2 * whole;
    return whole / 2 + (uint32_t)((*random >> 33) % (whole / 2 + 1));
}
