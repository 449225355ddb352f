/* SPDX-License-Identifier: MIT */
/*
 * http_head.c - the request line and the field lines of RFC 9112, strictly.
 * Invariants:
 * - A line is judged when its LF has come, lines in order, and limits are judged by position alone.
 *   So the same bytes give the same outcome however they were cut into reads
 *   (tests/fuzz/fuzz_http_head.c).
 * - Nothing is looked at beyond limits->head_bytes.
 */
#include "http_head.h"

#include <string.h>

#include "http_chars.h"

enum {
    METHOD_BYTES_MAX = 32, /* a request line without a space in them is refused */
    LINE_OVERHEAD = METHOD_BYTES_MAX + 1 + 11, /* method, spaces, version, CRLF */
    EARLY_BYTES = METHOD_BYTES_MAX + 2, /* in these a refusal needs no LF; leading CRLF counted */
};

static const struct {
    const char *name;
    uint8_t len;
} methods[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = {"GET", 3},     [HTTP_HEAD] = {"HEAD", 4},     [HTTP_POST] = {"POST", 4},
    [HTTP_PUT] = {"PUT", 3},     [HTTP_DELETE] = {"DELETE", 6}, [HTTP_OPTIONS] = {"OPTIONS", 7},
    [HTTP_PATCH] = {"PATCH", 5},
};

int
http_refuse(const struct http_head *head, unsigned status, const char *code, const uint8_t *where,
            const char *reason)
{
    *head->refusal = (struct http_refusal){
        .status = status,
        .code = code,
        .reason = reason,
        .offset = (size_t)(where - head->input.data),
    };
    return AUGURY_ERR_INVALID;
}

static int
refuse_method(const struct http_head *head, struct bytes token)
{
    size_t good = http_span(token, HTTP_TCHAR);

    if (good < token.len || token.len == 0) {
        return http_refuse(head, 400, "bad_request_line", token.data + good,
                           "the method is not a token");
    }
    return http_refuse(head, 501, "unknown_method", token.data, "this method is not implemented");
}

/* "\r\n" before the request line: an empty line some clients send after a body. Sets *out_start. */
static int
skip_empty_line(const struct http_head *head, size_t *out_start)
{
    struct bytes input = head->input;
    size_t at = 0;

    if (input.len > 0 && input.data[0] == '\r') {
        if (input.len == 1) {
            return AUGURY_MORE;
        }
        at = input.data[1] == '\n' ? 2 : 0;
    }
    if (at < input.len && !http_is(input.data[at], HTTP_TCHAR)) {
        return http_refuse(head, 400, "bad_request_line", input.data + at,
                           "a request begins with a method");
    }
    *out_start = at;
    return at < input.len ? 0 : AUGURY_MORE;
}

/* The line that begins at start, without CRLF, its LF before offset end.
 * AUGURY_MORE: not yet whole; AUGURY_ERR_LIMIT: no LF before end. */
static int
line_at(const struct http_head *head, size_t start, size_t end, struct bytes *out_line)
{
    const uint8_t *data = head->input.data;
    size_t stop = head->input.len < end ? head->input.len : end;
    const uint8_t *lf = stop > start ? memchr(data + start, '\n', stop - start) : NULL;

    if (lf == NULL) {
        return head->input.len >= end ? AUGURY_ERR_LIMIT : AUGURY_MORE;
    }
    if (lf == data + start || lf[-1] != '\r') {
        return http_refuse(head, 400, "bad_line_end", lf,
                           "a line ends with CR LF, not with LF alone");
    }
    *out_line = http_view(data + start, (size_t)(lf - 1 - (data + start)));
    return 0;
}

static int
take_method(struct http_head *head, struct bytes token)
{
    for (size_t i = 0; i < HTTP_METHOD_COUNT; i++) {
        if (token.len == methods[i].len && memcmp(token.data, methods[i].name, token.len) == 0) {
            head->request->method = (enum http_method)i;
            return 0;
        }
    }
    return refuse_method(head, token);
}

static int
take_version(struct http_head *head, struct bytes version)
{
    if (version.len == 8 && memcmp(version.data, "HTTP/1.", 7) == 0 &&
        (version.data[7] == '0' || version.data[7] == '1')) {
        head->request->minor = (uint8_t)(version.data[7] - '0');
        return 0;
    }
    const uint8_t *space = memchr(version.data, ' ', version.len);
    if (space != NULL) {
        return http_refuse(head, 400, "bad_request_line", space,
                           "method, target and version are separated by one space each");
    }
    if (bytes_start_with(version, "HTTP/") && http_span_value(version) == version.len) {
        return http_refuse(head, 505, "bad_version", version.data,
                           "the version must be HTTP/1.1 or HTTP/1.0");
    }
    return http_refuse(head, 400, "bad_request_line", version.data,
                       "the request line does not end with an HTTP version");
}

static void
take_path(struct http_request *request, struct bytes path)
{
    const uint8_t *mark = path.len > 0 ? memchr(path.data, '?', path.len) : NULL;

    if (mark != NULL) {
        request->query = http_view(mark + 1, (size_t)(path.data + path.len - mark - 1));
        path.len = (size_t)(mark - path.data);
    }
    request->path = path.len > 0 ? path : bytes_of_text("/");
}

/* "http://authority/path?query" (RFC 9112 3.2.2). */
static int
take_absolute_form(struct http_head *head, struct bytes target)
{
    size_t scheme = 0;

    for (size_t len = 7; len <= 8 && scheme == 0; len++) {
        const char *text = len == 7 ? "http://" : "https://";
        if (target.len > len && bytes_equal_nocase(http_view(target.data, len), text)) {
            scheme = len;
        }
    }
    if (scheme == 0) {
        return http_refuse(head, 400, "bad_target", target.data,
                           "the target must begin with '/', or be an absolute http URI");
    }
    size_t end = scheme;
    while (end < target.len && target.data[end] != '/' && target.data[end] != '?') {
        end++;
    }
    head->authority = http_view(target.data + scheme, end - scheme);
    if (!http_host_is_valid(head->authority)) {
        return http_refuse(head, 400, "bad_target", head->authority.data,
                           "the authority of the target is not host or host:port");
    }
    take_path(head->request, http_view(target.data + end, target.len - end));
    return 0;
}

static int
take_target(struct http_head *head, struct bytes target)
{
    size_t good = http_span(target, HTTP_TARGET);

    if (target.len > head->limits->target_bytes) {
        return http_refuse(head, 414, "target_too_long", target.data, "the target is too long");
    }
    if (target.len == 0 || good < target.len) {
        return http_refuse(head, 400, "bad_target", target.data + good,
                           target.len == 0 ? "the target is empty"
                                           : "this character is not allowed in a target");
    }
    if (target.data[0] == '/') {
        take_path(head->request, target);
        return 0;
    }
    if (bytes_equal_text(target, "*") && head->request->method == HTTP_OPTIONS) {
        head->request->path = target;
        return 0;
    }
    return take_absolute_form(head, target);
}

static int
take_request_line(struct http_head *head, struct bytes line)
{
    const uint8_t *end = line.data + line.len;
    const uint8_t *space = line.len > 0 ? memchr(line.data, ' ', line.len) : NULL;

    if (space == NULL) {
        return http_refuse(head, 400, "bad_request_line", end, "the request line has no target");
    }
    struct bytes method = http_view(line.data, (size_t)(space - line.data));
    const uint8_t *target = space + 1;
    space = memchr(target, ' ', (size_t)(end - target));
    if (space == NULL) {
        return http_refuse(head, 400, "bad_request_line", end, "the request line has no version");
    }
    int rc = take_version(head, http_view(space + 1, (size_t)(end - space - 1)));
    if (rc == 0) {
        rc = take_method(head, method);
    }
    if (rc == 0) {
        rc = take_target(head, http_view(target, (size_t)(space - target)));
    }
    return rc;
}

/* Finds the request line from start and takes it; *out_next is where the fields begin. */
static int
parse_request_line(struct http_head *head, size_t start, size_t *out_next)
{
    const struct http_limits *limits = head->limits;
    const uint8_t *begin = head->input.data + start;
    size_t end = start + limits->target_bytes + LINE_OVERHEAD;
    bool is_line_limit = end <= limits->head_bytes;
    struct bytes line;

    /* Judged before the line is looked for: its end may never come. */
    if (head->input.len - start >= METHOD_BYTES_MAX &&
        memchr(begin, ' ', METHOD_BYTES_MAX) == NULL &&
        memchr(begin, '\n', METHOD_BYTES_MAX) == NULL) {
        return refuse_method(head, http_view(begin, METHOD_BYTES_MAX));
    }
    int rc = line_at(head, start, is_line_limit ? end : limits->head_bytes, &line);
    if (rc == AUGURY_ERR_LIMIT && is_line_limit) {
        return http_refuse(head, 414, "target_too_long", begin, "the request line is too long");
    }
    if (rc != 0) {
        return rc;
    }
    *out_next = start + line.len + 2;
    return take_request_line(head, line);
}

static int
parse_field(struct http_head *head, struct bytes line)
{
    struct http_request *request = head->request;
    size_t name_len = http_span(line, HTTP_TCHAR);

    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return http_refuse(head, 400, "bad_field", line.data,
                           "folded field lines are not accepted");
    }
    if (name_len == 0 || name_len == line.len || line.data[name_len] != ':') {
        return http_refuse(head, 400, "bad_field", line.data + name_len,
                           "a field is a name of token characters, then at once a colon");
    }
    if (request->header_count >= head->limits->headers ||
        request->header_count >= HTTP_HEADERS_MAX) {
        return http_refuse(head, 431, "too_many_fields", line.data, "too many header fields");
    }
    struct bytes value = http_view(line.data + name_len + 1, line.len - name_len - 1);
    size_t good = http_span_value(value);
    if (good < value.len) {
        return http_refuse(head, 400, "bad_field", value.data + good,
                           "control characters are not allowed in a field");
    }
    struct http_header *field = &request->headers[request->header_count++];
    field->name = http_view(line.data, name_len);
    field->value = http_trim(value);
    return http_field_take(head, field);
}

static int
parse_fields(struct http_head *head, size_t at, size_t *out_used)
{
    for (;;) {
        struct bytes line;
        int rc = line_at(head, at, head->limits->head_bytes, &line);
        if (rc != 0) {
            return rc;
        }
        if (line.len == 0) {
            *out_used = at + 2;
            return http_fields_finish(head, line.data);
        }
        rc = parse_field(head, line);
        if (rc != 0) {
            return rc;
        }
        at += line.len + 2;
    }
}

int
http_parse_head(struct bytes input, const struct http_limits *limits,
                struct http_request *out_request, size_t *out_used,
                struct http_refusal *out_refusal)
{
    struct http_head head = {
        .input = input,
        .limits = limits,
        .request = out_request,
        .refusal = out_refusal,
    };
    size_t start = 0;
    size_t fields = 0;
    size_t used = 0;

    /* The array of headers stays as it is: 4 KiB that header_count guards. */
    memset(out_request, 0, offsetof(struct http_request, headers));
    int rc = skip_empty_line(&head, &start);
    if (rc == 0) {
        rc = parse_request_line(&head, start, &fields);
    }
    if (rc == 0) {
        rc = parse_fields(&head, fields, &used);
    }
    if (rc == AUGURY_ERR_LIMIT) {
        return http_refuse(&head, 431, "head_too_large", input.data + limits->head_bytes,
                           "the request head is too large");
    }
    if (rc == 0) {
        *out_used = used;
    }
    return rc;
}

bool
http_head_may_end(struct bytes input, size_t seen, const struct http_limits *limits)
{
    size_t line_max = limits->target_bytes + LINE_OVERHEAD;

    return seen < EARLY_BYTES || memchr(input.data + seen, '\n', input.len - seen) != NULL ||
           (seen < line_max + 2 && input.len >= line_max) ||
           (seen < limits->head_bytes && input.len >= limits->head_bytes);
}

const char *
http_method_name(enum http_method method)
{
    AUGURY_ASSERT(method < HTTP_METHOD_COUNT);
    return methods[method].name;
}
