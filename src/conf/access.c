/* SPDX-License-Identifier: MIT */
/*
 * access.c - what the sections access and cors say beyond the bounds of single values: rates,
 * areas, origins, methods and names of header fields. Sources: the Fetch standard (origins as
 * browsers send them: lower case, without the scheme's own port), RFC 9110 5.6.2 (tokens).
 */
#include "private.h"

#include <stdio.h>
#include <string.h>

enum { RATE_MAX = 1000000 };

static const uint64_t second_ns = UINT64_C(1000000000);

/* ---- lists ----------------------------------------------------------------------------------- */

bool
conf_list_next(const char **list, struct bytes *out_word)
{
    *list += strspn(*list, ", \t");
    *out_word = bytes_of(*list, strcspn(*list, ", \t"));
    *list += out_word->len;
    return out_word->len > 0;
}

static bool
is_one_of(struct bytes word, const char *list)
{
    struct bytes one;

    while (conf_list_next(&list, &one)) {
        if (bytes_equal(one, word)) {
            return true;
        }
    }
    return false;
}

bool
conf_list_has(const char *list, struct bytes word)
{
    return is_one_of(word, list);
}

static int
bad_word(const char *option, const char *want, struct bytes word, struct err *err)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_value", "%s: expected %s, got \"%.*s\"",
                   option, want, (int)(word.len < 80 ? word.len : 80), (const char *)word.data);
}

/* ---- rates ----------------------------------------------------------------------------------- */

/* So many in so many seconds. */
static int
split_rate(const char *text, uint64_t *out_count, uint64_t *out_seconds)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    size_t digits = strspn(text, "0123456789");

    if (bytes_to_u64(bytes_of(text, digits), RATE_MAX, out_count) != 0 || *out_count == 0 ||
        text[digits] != '/') {
        return AUGURY_ERR_INVALID;
    }
    for (size_t i = 0; i < AUGURY_COUNT(units); i++) {
        if (strcmp(text + digits + 1, units[i].unit) == 0) {
            *out_seconds = units[i].seconds;
            return 0;
        }
    }
    return AUGURY_ERR_INVALID;
}

int
conf_read_rate(const char *name, const char *text, uint64_t *out_interval_ns, struct err *err)
{
    uint64_t count = 0;
    uint64_t seconds = 0;

    if (split_rate(text, &count, &seconds) != 0) {
        return bad_word(name, "a rate of 1 to 1000000, such as 100/s, 600/min, 1000/h or 1000/d",
                        bytes_of_text(text), err);
    }
    *out_interval_ns = (seconds * second_ns + count - 1) / count;
    return 0;
}

/* From the rate's own numbers: the interval is rounded, and would give one less for 3/s. */
int
conf_read_burst(const char *name, const char *rate, uint32_t *burst, struct err *err)
{
    static const uint64_t longest_s = UINT64_C(365) * 86400;
    uint64_t count = 0;
    uint64_t seconds = 0;
    uint64_t interval_ns = 0;

    int rc = conf_read_rate(name, rate, &interval_ns, err);
    if (rc != 0 || split_rate(rate, &count, &seconds) != 0) {
        return AUGURY_ERR_INVALID;
    }
    if (*burst == 0) {
        *burst = count > seconds ? (uint32_t)(count / seconds) : 1;
    }
    if (*burst > longest_s * second_ns / interval_ns) {
        return err_set(err, AUGURY_ERR_INVALID, "out_of_bounds",
                       "%s: %u requests take longer than a year to come back at this rate", name,
                       (unsigned)*burst);
    }
    return 0;
}

/* ---- access ---------------------------------------------------------------------------------- */

static const char areas[] = "predict, objects, models, status, metrics, health, dialects, docs";

static int
check_keys(const struct conf *conf, struct err *err)
{
    if (conf->access.is_required && strcmp(conf->access.keys, "none") == 0) {
        return err_set(err, AUGURY_ERR_INVALID, "no_keys",
                       "access: required = yes needs a file of keys; `augury key new NAME` makes "
                       "its lines");
    }
    return 0;
}

static int
check_open(const struct conf *conf, struct err *err)
{
    const char *list = conf->access.open;
    struct bytes word;

    while (conf_list_next(&list, &word)) {
        if (!is_one_of(word, areas)) {
            char want[96];
            snprintf(want, sizeof(want), "areas of %s", areas);
            return bad_word("access: open", want, word, err);
        }
    }
    return 0;
}

static int
check_client_rate(const struct conf *conf, struct err *err)
{
    uint64_t interval_ns = 0;
    uint32_t burst = conf->access.client_burst;

    if (conf->access.client_rate[0] == '\0') {
        return 0;
    }
    int rc = conf_read_rate("access: client_rate", conf->access.client_rate, &interval_ns, err);
    return rc != 0 ? rc
                   : conf_read_burst("access: client_burst", conf->access.client_rate, &burst, err);
}

static int
check_client_burst(const struct conf *conf, struct err *err)
{
    if (conf->access.client_burst != 0 && conf->access.client_rate[0] == '\0') {
        return err_set(err, AUGURY_ERR_INVALID, "no_rate",
                       "access: client_burst needs a client_rate, such as 100/s");
    }
    return 0;
}

/* ---- cors ------------------------------------------------------------------------------------ */

static bool
is_host(struct bytes host)
{
    if (host.len >= 2 && host.data[0] == '*' && host.data[1] == '.') {
        host = bytes_of(host.data + 2, host.len - 2);
    }
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                        c == '_' || c == ':' || c == '[' || c == ']';
        if (!is_plain) {
            return false;
        }
    }
    return host.len > 0 && host.data[0] != '.' && host.data[host.len - 1] != '.';
}

/* Behind "://": a host with or without a port; of http and https another one than their own. */
static bool
is_authority(struct bytes text, const char *own_port)
{
    const uint8_t *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    const uint8_t *bracket = text.len > 0 ? memrchr(text.data, ']', text.len) : NULL;
    uint64_t port = 0;

    if (colon == NULL || (bracket != NULL && colon < bracket)) {
        return is_host(text);
    }
    struct bytes digits = bytes_of(colon + 1, (size_t)(text.data + text.len - colon - 1));
    return bytes_to_u64(digits, 65535, &port) == 0 && !bytes_equal_text(digits, own_port) &&
           is_host(bytes_of(text.data, (size_t)(colon - text.data)));
}

static bool
is_origin(struct bytes origin)
{
    const uint8_t *colon = memchr(origin.data, ':', origin.len);
    size_t scheme_len = colon != NULL ? (size_t)(colon - origin.data) : 0;

    if (scheme_len == 0 || origin.len < scheme_len + 4 || memcmp(colon, "://", 3) != 0) {
        return false;
    }
    for (size_t i = 0; i < scheme_len; i++) {
        uint8_t c = origin.data[i];
        bool is_letter = c >= 'a' && c <= 'z';
        bool is_other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!is_letter && (i == 0 || !is_other)) {
            return false;
        }
    }
    struct bytes scheme = bytes_of(origin.data, scheme_len);
    const char *own_port = bytes_equal_text(scheme, "https")  ? "443"
                           : bytes_equal_text(scheme, "http") ? "80"
                                                              : "0";
    return is_authority(bytes_of(colon + 3, origin.len - scheme_len - 3), own_port);
}

static int
check_origins(const struct conf *conf, struct err *err)
{
    const char *list = conf->cors.origins;
    bool is_any = is_one_of(bytes_of_text("*"), list);
    struct bytes word;

    if (is_any && strcmp(list, "*") != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_value",
                       "cors: origins: \"*\" stands alone, for it is every origin");
    }
    if (is_any && conf->cors.has_credentials) {
        return err_set(err, AUGURY_ERR_INVALID, "wildcard_with_credentials",
                       "cors: credentials = yes needs origins by name, not \"*\"");
    }
    while (conf_list_next(&list, &word)) {
        if (!is_any && !bytes_equal_text(word, "null") && !is_origin(word)) {
            return bad_word("cors: origins",
                            "origins as browsers send them, such as https://app.example, "
                            "https://*.example or http://localhost:3000 (lower case, no path, no "
                            "port that is the scheme's own)",
                            word, err);
        }
    }
    return 0;
}

static int
check_methods(const struct conf *conf, struct err *err)
{
    static const char known[] = "GET, HEAD, POST, PUT, DELETE";
    const char *list = conf->cors.methods;
    struct bytes word;

    while (conf_list_next(&list, &word)) {
        if (!is_one_of(word, known)) {
            return bad_word("cors: methods", known, word, err);
        }
    }
    return 0;
}

static bool
is_token(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && (c == '\0' || strchr("!#$%&'+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return word.len > 0;
}

static int
check_headers(const struct conf *conf, struct err *err)
{
    const char *list = conf->cors.headers;
    struct bytes word;

    while (conf_list_next(&list, &word)) {
        if (!is_token(word)) {
            return bad_word("cors: headers", "names of header fields such as Content-Type", word,
                            err);
        }
    }
    return 0;
}

int
access_check(const struct conf *conf, size_t rule, const char **out_option, struct err *err)
{
    static const struct {
        const char *option;
        int (*check)(const struct conf *conf, struct err *err);
    } rules[] = {{"access.required", check_keys},
                 {"access.open", check_open},
                 {"access.client_rate", check_client_rate},
                 {"access.client_burst", check_client_burst},
                 {"cors.origins", check_origins},
                 {"cors.methods", check_methods},
                 {"cors.headers", check_headers}};

    if (rule >= AUGURY_COUNT(rules)) {
        return AUGURY_END;
    }
    *out_option = rules[rule].option;
    return rules[rule].check(conf, err);
}
