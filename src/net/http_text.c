/* SPDX-License-Identifier: MIT */
/* http_text.c - reason phrases, path segments, query strings, header look-up. */
#include "augury/http.h"

#include <string.h>

#include "http_chars.h"

enum { ID_MAX = 128 };

/* A table in the form of a switch (RFC 9110 15, RFC 6585). */
const char *
http_status_text(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
    }
}

int
http_path_decode(struct bytes segment, uint8_t *out, size_t *out_len)
{
    size_t len = 0;

    for (size_t i = 0; i < segment.len; i++) {
        uint8_t c = segment.data[i];
        if (c == '%') {
            if (segment.len - i < 3) {
                return AUGURY_ERR_INVALID;
            }
            unsigned hi = http_hex_value(segment.data[i + 1]);
            unsigned lo = http_hex_value(segment.data[i + 2]);
            if (hi > 15 || lo > 15) {
                return AUGURY_ERR_INVALID;
            }
            c = (uint8_t)(hi << 4 | lo);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '/') {
            return AUGURY_ERR_INVALID;
        }
        out[len++] = c;
    }
    struct bytes decoded = bytes_of(out, len);
    if (!utf8_is_valid(decoded) || bytes_equal_text(decoded, ".") ||
        bytes_equal_text(decoded, "..")) {
        return AUGURY_ERR_INVALID;
    }
    *out_len = len;
    return 0;
}

int
http_query_find(struct bytes query, const char *name, struct bytes *out_value)
{
    size_t name_len = strlen(name);

    while (query.len > 0) {
        const uint8_t *amp = memchr(query.data, '&', query.len);
        size_t len = amp == NULL ? query.len : (size_t)(amp - query.data);
        if (len >= name_len && memcmp(query.data, name, name_len) == 0) {
            if (len == name_len) {
                *out_value = bytes_of(query.data + len, 0);
                return 0;
            }
            if (query.data[name_len] == '=') {
                *out_value = bytes_of(query.data + name_len + 1, len - name_len - 1);
                return 0;
            }
        }
        len += amp != NULL ? 1 : 0;
        query = bytes_of(query.data + len, query.len - len);
    }
    return AUGURY_NOT_FOUND;
}

struct bytes
http_header_find(const struct http_request *request, const char *lower_case_name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (bytes_equal_nocase(request->headers[i].name, lower_case_name)) {
            return request->headers[i].value;
        }
    }
    return bytes_of(NULL, 0);
}

bool
http_id_is_plain(struct bytes id)
{
    if (id.len == 0 || id.len > ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == ':';
        if (!is_plain) {
            return false;
        }
    }
    return true;
}
