/* SPDX-License-Identifier: MIT */
/*
 * fuzz_redis.c - what a Redis says, or whoever answers at its address, on one line: the greeting is
 * answered as it should be, then come these bytes, cut in two at a place that the first one says.
 * Properties: every call is told once; a reply that comes is within its bounds; as a value or an
 * event it is refused or whole. And the bytes alone as a value, with a check that fits, as only we
 * would write it.
 */
#include "../../src/cache/redis_event.h"
#include "../../src/cache/redis_line.h"
#include "../../src/cache/redis_value.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 3, INPUT_MAX = 32768, TIMEOUT_MS = 100 };

struct client {
    struct redis_line line;
    unsigned calls_told;
};

static void
watch(void *arg, unsigned line, int fd, unsigned what)
{
    (void)arg;
    (void)line;
    (void)fd;
    (void)what;
}

/* Reading every byte is the check; this keeps the compiler from leaving it out. */
static void
touch(struct bytes bytes)
{
    uint8_t all = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        all |= bytes.data[i];
    }
    __asm__ volatile("" : : "r"(all));
}

static void
check_value(struct bytes stored, struct bytes key)
{
    struct redis_value value;

    if (redis_value_decode(stored, CACHE_OBJECT, key, &value)) {
        AUGURY_ASSERT(bytes_equal(value.item.key, key) && value.item.class == CACHE_OBJECT);
        AUGURY_ASSERT(value.item.value.len + key.len + REDIS_VALUE_HEADER == stored.len);
        touch(value.item.value);
    }
}

static void
check_event(const redisReply *reply)
{
    struct redis_event event;

    if (redis_event_decode(reply, &event) == 0) {
        AUGURY_ASSERT(event.text.len <= CACHE_KEY_TEXT_MAX && event.kind <= CACHE_NEWS_FLUSH);
        touch(event.origin);
        touch(event.text);
    }
}

static void
on_reply(void *arg, const redisReply *reply, int rc)
{
    struct client *client = arg;

    client->calls_told++;
    AUGURY_ASSERT((reply != NULL) == (rc == 0));
    if (reply == NULL) {
        return;
    }
    check_event(reply);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        check_event(reply->element[i]);
    }
    if (reply->type == REDIS_REPLY_STRING) {
        check_value(bytes_of(reply->str, reply->len), bytes_of_text("object:a"));
    }
}

/* A socket of no name in the file system, of this process. */
static int
server_open(struct redis_server *server)
{
    struct sockaddr_un *address = &server->address.unix_path;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *server = (struct redis_server){
        .timeout_ms = TIMEOUT_MS, .connect_timeout_ms = TIMEOUT_MS, .queue_bytes = 4096};
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "augury-fuzz-%d", (int)getpid());
    server->address_len = sizeof(*address);
    int rc = fd < 0 ? -1 : bind(fd, &server->address.any, server->address_len);
    AUGURY_ASSERT(rc == 0 && listen(fd, 4) == 0);
    return fd;
}

static void
say(struct client *client, int fd, struct bytes text, int *rc)
{
    ssize_t sent = text.len == 0 ? 0 : send(fd, text.data, text.len, MSG_NOSIGNAL);

    AUGURY_ASSERT(sent == (ssize_t)text.len);
    *rc = *rc != 0 || text.len == 0 ? *rc : redis_line_ready(&client->line, CACHE_REDIS_READ, 0);
}

/* 0: all was taken. */
static int
talk(struct client *client, int fd, struct bytes input, size_t cut)
{
    int rc = redis_line_ready(&client->line, CACHE_REDIS_WRITE, 0);

    AUGURY_ASSERT(rc == 0);
    say(client, fd, bytes_of_text("+PONG\r\n"), &rc);
    AUGURY_ASSERT(rc == 0 && client->line.state == REDIS_LINE_READY);
    for (size_t i = 0; i < CALLS; i++) {
        redis_line_put_count(&client->line, 1);
        redis_line_put_text(&client->line, "PING");
        redis_line_call(&client->line, TIMEOUT_MS, on_reply, client);
    }
    redis_line_flush(&client->line);
    say(client, fd, bytes_of(input.data, cut), &rc);
    say(client, fd, bytes_of(input.data + cut, input.len - cut), &rc);
    return rc;
}

static void
check_line(struct bytes input, size_t cut)
{
    struct redis_server server;
    struct client client = {.calls_told = 0};
    unsigned timeouts = 0;
    int listen_fd = server_open(&server);

    int rc = redis_line_init(&client.line, &server, &(struct cache_redis_loop){.watch = watch}, 0);
    AUGURY_ASSERT(rc == 0);
    rc = redis_line_connect(&client.line, 0);
    AUGURY_ASSERT(rc == 0);
    int fd = accept(listen_fd, NULL, NULL);
    AUGURY_ASSERT(fd >= 0);
    rc = talk(&client, fd, input, cut);
    if (rc == 0) {
        rc = redis_line_tick(&client.line, TIMEOUT_MS, &timeouts);
        AUGURY_ASSERT(rc == 0 && client.calls_told == CALLS);
    }
    redis_line_down(&client.line, AUGURY_ERR_IO);
    AUGURY_ASSERT(client.calls_told == CALLS);
    redis_line_fini(&client.line);
    close(fd);
    close(listen_fd);
}

/* The bytes as what stands behind a header of ours: key and value. */
static void
check_own_value(struct bytes input)
{
    uint8_t *stored = malloc(REDIS_VALUE_HEADER + input.len);
    size_t key_len = input.len == 0 ? 0 : input.data[0] % (input.len < 255 ? input.len : 255);
    struct redis_value value = {
        .item = {.class = CACHE_OBJECT,
                 .key = bytes_of(input.data, key_len),
                 .value = bytes_of(input.data + key_len, input.len - key_len)}};
    struct redis_value back;

    AUGURY_ASSERT(stored != NULL);
    redis_value_encode(&value, stored);
    if (input.len > 0) {
        memcpy(stored + REDIS_VALUE_HEADER, input.data, input.len);
    }
    struct bytes all = bytes_of(stored, REDIS_VALUE_HEADER + input.len);
    AUGURY_ASSERT(redis_value_decode(all, CACHE_OBJECT, value.item.key, &back));
    AUGURY_ASSERT(bytes_equal(back.item.value, value.item.value));
    AUGURY_ASSERT(!redis_value_decode(all, CACHE_MODEL, value.item.key, &back));
    check_value(input, value.item.key);
    free(stored);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX) {
        return 0;
    }
    struct bytes input = bytes_of(data + 1, size - 1);
    check_line(input, input.len * data[0] / 255);
    check_own_value(input);
    return 0;
}
