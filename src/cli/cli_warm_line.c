/* SPDX-License-Identifier: MIT */
/*
 * cli_warm_line.c - lines to requests. A line that begins with '{' is an object of JSON, any other
 * one of an access log in the combined format, of which successful GETs are repeated. Nothing of a
 * line reaches the request unchecked: a name or value with a line end would be a second request.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli_warm.h"

enum { READ_BYTES = 256 << 10, JSON_DEPTH = 32, JSON_VALUES_MAX = 4 << 20, LOG_STATUS_MAX = 999 };

/* ---- the file -------------------------------------------------------------------------------- */

int
warm_input_open(struct warm_input *input, const char *path, struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;

    *input = (struct warm_input){.fd = STDIN_FILENO, .name = is_stdin ? "standard input" : path};
    if (!is_stdin) {
        input->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (input->fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "no_file", "%s: %s", path, strerror(errno));
    }
    buf_init(&input->bytes, (size_t)WARM_LINE_MAX + READ_BYTES);
    return 0;
}

void
warm_input_close(struct warm_input *input)
{
    if (input->fd > STDIN_FILENO) {
        close(input->fd);
    }
    buf_fini(&input->bytes);
}

int
warm_input_next(struct warm_input *input, struct bytes *out_line, struct err *err)
{
    const uint8_t *begin = input->bytes.data == NULL ? NULL : input->bytes.data + input->begin;
    size_t len = input->bytes.len - input->begin;
    const uint8_t *end = NULL;

    if (begin != NULL && len > input->seen) {
        end = memchr(begin + input->seen, '\n', len - input->seen);
    }
    size_t line_len = end != NULL ? (size_t)(end - begin) : len;

    if (line_len > WARM_LINE_MAX) {
        (void)err_set(err, AUGURY_ERR_LIMIT, "line_too_long", "a line is longer than %d MiB",
                      WARM_LINE_MAX >> 20);
        return err_at(err, "%s:%llu", input->name, (unsigned long long)input->line + 1);
    }
    if (end == NULL && !input->is_over) {
        input->seen = len;
        return AUGURY_MORE;
    }
    if (end == NULL && len == 0) {
        return AUGURY_END;
    }
    *out_line = bytes_of(begin, line_len);
    input->begin += line_len + (end != NULL ? 1 : 0);
    input->seen = 0;
    input->line++;
    return 0;
}

int
warm_input_read(struct warm_input *input, struct err *err)
{
    buf_consume(&input->bytes, input->begin);
    input->begin = 0;
    uint8_t *room = buf_reserve(&input->bytes, READ_BYTES);
    if (room == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory");
    }
    ssize_t got = read(input->fd, room, READ_BYTES);
    if (got < 0 && errno != EINTR) {
        return err_set(err, AUGURY_ERR_IO, "read", "%s: %s", input->name, strerror(errno));
    }
    buf_commit(&input->bytes, got > 0 ? (size_t)got : 0);
    input->is_over = got == 0;
    return 0;
}

/* ---- parts of a request ---------------------------------------------------------------------- */

static bool
is_target(struct bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] <= ' ' || path.data[i] >= 0x7f) {
            return false;
        }
    }
    return path.len > 0 && path.data[0] == '/';
}

/* RFC 9110 5.6.2 */
static bool
is_token(struct bytes name)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && (c == 0 || strchr(marks, c) == NULL)) {
            return false;
        }
    }
    return name.len > 0;
}

static bool
is_field_value(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static int
refuse(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_INVALID, "bad_line", "%s", reason);
}

static void
put_head(struct buf *request, enum http_method method, struct bytes path, const char *host)
{
    buf_put_text(request, http_method_name(method));
    buf_put_u8(request, ' ');
    buf_put_bytes(request, path);
    buf_printf(request, " HTTP/1.1\r\nHost: %s\r\n", host);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static int
check_members(const struct wire_value *line, struct err *err)
{
    static const char *const members[] = {"method", "path", "headers", "body"};

    if (line->type != WIRE_OBJECT) {
        return refuse(err, "a line is an object with method, path, headers and body");
    }
    for (uint32_t i = 0; i < line->count; i++) {
        struct bytes key = line->as.pairs[i].key;
        bool is_known = false;
        for (size_t m = 0; m < AUGURY_COUNT(members); m++) {
            is_known = is_known || bytes_equal_text(key, members[m]);
        }
        if (!is_known) {
            return err_set(err, AUGURY_ERR_INVALID, "bad_line",
                           "\"%.*s\" is none of method, path, headers, body",
                           (int)(key.len < 64 ? key.len : 64), (const char *)key.data);
        }
    }
    return 0;
}

/* Only what changes nothing is repeated. */
static int
take_method(const struct wire_value *member, bool has_body, enum http_method *out_method,
            struct err *err)
{
    static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD, HTTP_POST};

    if (member == NULL) {
        *out_method = has_body ? HTTP_POST : HTTP_GET;
        return 0;
    }
    for (size_t i = 0; i < AUGURY_COUNT(methods); i++) {
        if (member->type == WIRE_STRING &&
            bytes_equal_text(wire_string(member), http_method_name(methods[i]))) {
            *out_method = methods[i];
            return !has_body || methods[i] == HTTP_POST ? 0 : refuse(err, "only POST has a body");
        }
    }
    return refuse(err, "method is \"GET\", \"HEAD\" or \"POST\"");
}

static int
put_headers(struct buf *request, const struct wire_value *headers, bool *out_has_type,
            struct err *err)
{
    static const char *const ours[] = {
        "host",    "connection", "content-length", "expect", "transfer-encoding", "upgrade",
        "trailer", "te"};

    if (headers != NULL && headers->type != WIRE_OBJECT) {
        return refuse(err, "headers is an object of names and strings");
    }
    for (uint32_t i = 0; headers != NULL && i < headers->count; i++) {
        struct bytes name = headers->as.pairs[i].key;
        const struct wire_value *value = &headers->as.pairs[i].value;
        if (!is_token(name) || value->type != WIRE_STRING || !is_field_value(wire_string(value))) {
            return refuse(err, "headers holds a name or a value that no header may have");
        }
        for (size_t o = 0; o < AUGURY_COUNT(ours); o++) {
            if (bytes_equal_nocase(name, ours[o])) {
                return err_set(err, AUGURY_ERR_INVALID, "bad_line",
                               "the header %s is set by augury itself", ours[o]);
            }
        }
        *out_has_type = *out_has_type || bytes_equal_nocase(name, "content-type");
        buf_put_bytes(request, name);
        buf_put_text(request, ": ");
        buf_put_bytes(request, wire_string(value));
        buf_put_text(request, "\r\n");
    }
    return 0;
}

/* A string is the body as it is, anything else its JSON. */
static int
put_body(struct buf *request, const struct wire_value *body, bool has_type)
{
    struct wire_writer writer;
    struct buf json;

    buf_init(&json, WARM_REQUEST_MAX);
    if (body->type == WIRE_STRING) {
        buf_put_bytes(&json, wire_string(body));
    } else {
        wire_writer_init(&writer, WIRE_JSON, &json);
        wire_put_value(&writer, body);
    }
    int rc = buf_finish(&json);
    if (rc == 0) {
        buf_put_text(request, has_type ? "" : "Content-Type: application/json\r\n");
        buf_printf(request, "Content-Length: %zu\r\n\r\n", json.len);
        buf_put_bytes(request, buf_view(&json));
    }
    buf_fini(&json);
    return rc;
}

static int
json_to_request(struct bytes line, const char *host, struct arena *arena, struct buf *request,
                enum http_method *out_method, struct err *err)
{
    const struct wire_limits limits = {
        .depth = JSON_DEPTH, .values = JSON_VALUES_MAX, .flags = WIRE_BORROW};
    struct wire_value document;
    bool has_type = false;
    int rc = wire_decode(WIRE_JSON, line, &limits, arena, &document, err);

    if (rc != 0 || (rc = check_members(&document, err)) != 0) {
        return rc;
    }
    const struct wire_value *body = wire_member(&document, "body");
    const struct wire_value *path = wire_member(&document, "path");
    body = body != NULL && body->type != WIRE_NULL ? body : NULL;
    if (path == NULL || path->type != WIRE_STRING || !is_target(wire_string(path))) {
        return refuse(err, "path is a string that begins with '/' and is coded as in a request");
    }
    rc = take_method(wire_member(&document, "method"), body != NULL, out_method, err);
    if (rc != 0) {
        return rc;
    }
    put_head(request, *out_method, wire_string(path), host);
    rc = put_headers(request, wire_member(&document, "headers"), &has_type, err);
    if (rc == 0 && body != NULL) {
        rc = put_body(request, body, has_type);
    } else if (rc == 0) {
        buf_put_text(request, *out_method == HTTP_POST ? "Content-Length: 0\r\n\r\n" : "\r\n");
    }
    return rc;
}

/* ---- combined log ---------------------------------------------------------------------------- */

/* What stands before the first mark, and behind it; false without one. */
static bool
cut(struct bytes *rest, char mark, struct bytes *out_head)
{
    const uint8_t *at = rest->len > 0 ? memchr(rest->data, mark, rest->len) : NULL;

    if (at == NULL) {
        return false;
    }
    *out_head = bytes_of(rest->data, (size_t)(at - rest->data));
    *rest = bytes_of(at + 1, rest->len - out_head->len - 1);
    return true;
}

/* host ident user [time] "GET /path HTTP/1.1" status bytes "referer" "agent": what is before the
 * time and behind the status is not looked at. */
static int
log_to_request(struct bytes line, const char *host, struct buf *request,
               enum http_method *out_method, struct err *err)
{
    struct bytes rest = line;
    struct bytes ignored, quoted, method, path, status_text;
    uint64_t status = 0;

    if (!cut(&rest, ']', &ignored) || !cut(&rest, '"', &ignored) || !cut(&rest, '"', &quoted) ||
        rest.len < 4 || rest.data[0] != ' ') {
        return refuse(err, "neither an object of JSON nor a line of a combined log");
    }
    status_text = bytes_of(rest.data + 1, 3);
    if (bytes_to_u64(status_text, LOG_STATUS_MAX, &status) != 0) {
        return refuse(err, "no status behind the request");
    }
    if (status < 200 || status >= 400 || !cut(&quoted, ' ', &method) ||
        !bytes_equal_text(method, "GET")) {
        return AUGURY_NOT_FOUND;
    }
    if (!cut(&quoted, ' ', &path)) {
        path = quoted; /* HTTP/0.9 names no version */
    }
    if (!is_target(path) || memchr(path.data, '\\', path.len) != NULL) {
        return refuse(err, "the path of the request holds escapes of the log, or is none");
    }
    *out_method = HTTP_GET;
    put_head(request, HTTP_GET, path, host);
    buf_put_text(request, "\r\n");
    return 0;
}

int
warm_line_to_request(struct bytes line, const char *host, struct arena *arena, struct buf *request,
                     enum http_method *out_method, struct err *err)
{
    size_t blank = 0;

    while (blank < line.len &&
           (line.data[blank] == ' ' || line.data[blank] == '\t' || line.data[blank] == '\r')) {
        blank++;
    }
    if (blank == line.len) {
        return AUGURY_NOT_FOUND;
    }
    arena_reset(arena, READ_BYTES);
    int rc = line.data[blank] == '{' ? json_to_request(line, host, arena, request, out_method, err)
                                     : log_to_request(line, host, request, out_method, err);
    if (rc == 0 && buf_finish(request) != 0) {
        return err_set(err, AUGURY_ERR_LIMIT, "too_long", "the request is longer than %d MiB",
                       WARM_REQUEST_MAX >> 20);
    }
    return rc;
}
