/* SPDX-License-Identifier: MIT */
/*
 * load.c - one const struct from four sources, the later over the earlier: defaults, file,
 * environment, command line. Every error is collected; nothing is handed out when there is one.
 */
#include "private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors and suggestions ------------------------------------------------------------------ */

struct err *
errors_next(struct conf_errors *errors)
{
    size_t i = errors->count++;
    return i < AUGURY_COUNT(errors->list) ? &errors->list[i] : NULL;
}

enum { NEAR_NAME_MAX = 48, NEAR_DISTANCE = 3 };

/* Levenshtein distance of two short names; NEAR_NAME_MAX when one is long. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NEAR_NAME_MAX + 1];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);

    if (a_len > NEAR_NAME_MAX || b_len > NEAR_NAME_MAX) {
        return NEAR_NAME_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            size_t insert = row[j - 1] + 1;
            size_t remove = row[j] + 1;
            diagonal = row[j];
            row[j] = change < insert ? change : insert;
            row[j] = remove < row[j] ? remove : row[j];
        }
    }
    return row[b_len];
}

static const char *
nearest(const char *name, const char *candidate, const char *best)
{
    size_t new_distance = distance(name, candidate);
    size_t limit = best == NULL ? NEAR_DISTANCE + 1 : distance(name, best);

    return new_distance < limit && new_distance < strlen(candidate) ? candidate : best;
}

const char *
nearest_option(const char *section, const char *name)
{
    const char *best = NULL;

    for (size_t i = 0; i < conf_option_count; i++) {
        if (strcmp(conf_options[i].section, section) == 0) {
            best = nearest(name, conf_options[i].name, best);
        }
    }
    return best;
}

const char *
nearest_section(const char *name)
{
    const char *best = NULL;

    for (size_t i = 0; i < conf_option_count; i++) {
        const char *section = conf_options[i].section;
        if (section[0] != '\0' && strchr(section, '.') == NULL) {
            best = nearest(name, section, best);
        }
    }
    return best;
}

/* ---- setting one option ---------------------------------------------------------------------- */

struct load {
    struct loaded *loaded;
    struct conf_errors *errors;
    const char *path;
};

static void
fail(struct load *load, const char *at, int line, const struct err *why)
{
    struct err *err = errors_next(load->errors);

    err_set(err, AUGURY_ERR_INVALID, why->code, "%s", why->reason);
    if (line > 0) {
        err_at(err, "%s:%d", at, line);
    } else {
        err_at(err, "%s", at);
    }
}

/* title: of a titled section; NULL for its first. at: the source, for messages. */
static void
set_option(struct load *load, const struct conf_option *option, const char *title, const char *text,
           struct origin origin, const char *at)
{
    struct loaded *loaded = load->loaded;
    const struct titled *titled = titled_find(option->section);
    size_t row = (size_t)(option - conf_options);
    struct origin *place = &loaded->origins[row];
    size_t base = 0;
    uint32_t item = 0;
    struct err why;
    int rc = 0;

    if (titled != NULL) {
        rc = titled_get(loaded, titled, title, &item, &why);
        base = titled->list + (size_t)item * titled->item_bytes;
        place = &loaded->titled_origins[titled_number(titled)][item][row];
    }
    if (rc == 0) {
        rc = value_set(option, (char *)&loaded->conf + base, text, &why);
    }
    if (rc != 0) {
        fail(load, at, origin.line, &why);
        return;
    }
    *place = origin;
}

/* ---- the four sources ------------------------------------------------------------------------ */

static void
load_defaults(struct load *load)
{
    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        if (titled_find(option->section) == NULL) {
            int rc = value_set(option, &load->loaded->conf, option->default_text, NULL);
            AUGURY_ASSERT(rc == 0);
        }
    }
}

static bool
is_section(const char *name)
{
    for (size_t i = 0; i < conf_option_count; i++) {
        if (strcmp(conf_options[i].section, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A class that the table does not have: said once, at its first line. */
static void
fail_section(struct load *load, const struct settings *settings, size_t i)
{
    const struct setting *setting = &settings->list[i];
    struct err why;

    for (size_t j = 0; j < i; j++) {
        if (strcmp(settings->list[j].section, setting->section) == 0) {
            return;
        }
    }
    err_set(&why, AUGURY_ERR_INVALID, "unknown_class",
            "class \"%s\": there is no such class of cache entries; there are prediction, feature, "
            "lineup, model, response, object",
            setting->title);
    fail(load, load->path, setting->line, &why);
}

static void
load_setting(struct load *load, const struct settings *settings, size_t i)
{
    const struct setting *setting = &settings->list[i];
    const struct titled *titled = titled_find(setting->section);
    struct origin origin = {CONF_FROM_FILE, setting->line};
    const struct conf_option *option = NULL;
    char name[2 * SETTING_NAME_BYTES];
    uint32_t item = 0;
    struct err why;

    if (!is_section(setting->section)) {
        fail_section(load, settings, i);
        return;
    }
    for (size_t j = 0; j < i && setting->name[0] != '\0'; j++) {
        const struct setting *before = &settings->list[j];
        if (strcmp(before->section, setting->section) == 0 &&
            strcmp(before->title, setting->title) == 0 &&
            strcmp(before->name, setting->name) == 0) {
            err_set(&why, AUGURY_ERR_INVALID, "duplicate", "%s: set before, at line %d",
                    setting->name, before->line);
            fail(load, load->path, setting->line, &why);
            return;
        }
    }
    if (setting->name[0] == '\0') {
        if (titled != NULL && titled_get(load->loaded, titled, setting->title, &item, &why) != 0) {
            fail(load, load->path, setting->line, &why);
        }
        return;
    }
    snprintf(name, sizeof(name), "%s%s%s", setting->section, setting->section[0] == '\0' ? "" : ".",
             setting->name);
    if (conf_option_find(name, &option) != 0) {
        err_set(&why, AUGURY_ERR_INVALID, "unknown_option", "unknown option \"%s\"", name);
        fail(load, load->path, setting->line, &why);
        return;
    }
    set_option(load, option, titled != NULL ? setting->title : NULL, setting->text, origin,
               load->path);
}

static void
load_file(struct load *load)
{
    struct settings settings = {0};

    parse_file(load->path, &settings, load->errors);
    for (size_t i = 0; i < settings.count; i++) {
        load_setting(load, &settings, i);
    }
    settings_fini(&settings);
}

/* "cache.prediction" and "ttl" → AUGURY_CACHE_PREDICTION_TTL */
static void
environment_name(const struct conf_option *option, char *out, size_t size)
{
    snprintf(out, size, "AUGURY_%s%s%s", option->section, option->section[0] == '\0' ? "" : "_",
             option->name);
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '.') {
            *c = '_';
        } else if (*c >= 'a' && *c <= 'z') {
            *c = (char)(*c - 'a' + 'A');
        }
    }
}

static const char *
environment_find(char *const *environment, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, len) == 0 && environment[i][len] == '=') {
            return environment[i] + len + 1;
        }
    }
    return NULL;
}

static void
load_environment(struct load *load, char *const *environment)
{
    for (size_t i = 0; i < conf_option_count; i++) {
        char own[128];
        char at[160];
        if (strcmp(conf_options[i].section, "object") == 0 ||
            strcmp(conf_options[i].section, "dialect") == 0) {
            continue; /* a variable cannot say which one */
        }
        environment_name(&conf_options[i], own, sizeof(own));
        /* Our own name wins over the alias. */
        const char *name = own;
        const char *text = environment_find(environment, own);
        if (text == NULL && conf_options[i].alias != NULL) {
            name = conf_options[i].alias;
            text = environment_find(environment, name);
        }
        if (text != NULL) {
            snprintf(at, sizeof(at), "environment %s", name);
            set_option(load, &conf_options[i], NULL, text,
                       (struct origin){CONF_FROM_ENVIRONMENT, 0}, at);
        }
    }
}

/* "listen.public.address" → its row, and the section's title copied to out_title. */
static int
find_override(const char *path, char *out_title, size_t size, const struct conf_option **out)
{
    char section[32];
    char plain[128];
    const char *first = strchr(path, '.');
    const char *last = strrchr(path, '.');

    snprintf(section, sizeof(section), "%.*s", first == NULL ? 0 : (int)(first - path), path);
    if (first == last || titled_find(section) == NULL) {
        return conf_option_find(path, out);
    }
    snprintf(out_title, size, "%.*s", (int)(last - first - 1), first + 1);
    snprintf(plain, sizeof(plain), "%s%s", section, last);
    return conf_option_find(plain, out);
}

static void
load_override(struct load *load, const char *text)
{
    const char *equals = strchr(text, '=');
    const struct conf_option *option = NULL;
    char path[128];
    char at[160];
    char title[SETTING_NAME_BYTES] = "";
    struct err why;

    snprintf(at, sizeof(at), "-o %.100s", text);
    snprintf(path, sizeof(path), "%.*s", equals == NULL ? 0 : (int)(equals - text), text);
    if (equals == NULL) {
        err_set(&why, AUGURY_ERR_INVALID, "bad_override", "expected option=value");
        fail(load, at, 0, &why);
        return;
    }
    if (find_override(path, title, sizeof(title), &option) != 0) {
        const char *near = nearest_option("", path);
        err_set(&why, AUGURY_ERR_INVALID, "unknown_option", "unknown option \"%.80s\"%s%s%s", path,
                near == NULL ? "" : ": did you mean \"", near == NULL ? "" : near,
                near == NULL ? "" : "\"?");
        fail(load, at, 0, &why);
        return;
    }
    set_option(load, option, title[0] == '\0' ? NULL : title, equals + 1,
               (struct origin){CONF_FROM_COMMAND_LINE, 0}, at);
}

/* ---- rules between options ------------------------------------------------------------------- */

/* path, title: as conf_place() has them. */
static void
fail_rule(struct load *load, const char *path, const char *title, const struct err *why)
{
    char at[CONF_PATH_BYTES + 16];

    conf_place(&load->loaded->conf, path, title, at, sizeof(at));
    fail(load, at, 0, why);
}

/* An object's name, type and times, and the ring's own headers. */
enum {
    OBJECT_MARGIN_BYTES = 4096,
    REQUEST_MARGIN_BYTES = 512 * 1024 /* what is read at once, beside a request */
};

static bool
is_name_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("._~:-", c) != NULL);
}

/* A name that can begin an object's name, hence not hidden; a type that can stand in a header. */
static void
check_object(struct load *load, const struct conf_object *object)
{
    const struct conf *conf = &load->loaded->conf;
    struct err why;
    bool is_name = object->name[0] != '.';
    bool is_type = true;

    for (const char *c = object->name; *c != '\0'; c++) {
        is_name = is_name && is_name_byte(*c);
    }
    for (const char *c = object->content_type; *c != '\0'; c++) {
        is_type = is_type && *c >= ' ' && *c <= '~';
    }
    if (!is_name) {
        err_set(&why, AUGURY_ERR_INVALID, "bad_section",
                "object \"%.63s\": a name has letters, digits and ._~:- and begins with no dot",
                object->name);
        fail_rule(load, "object.folder", object->name, &why);
    }
    if (strcmp(object->name, "mget") == 0) {
        err_set(&why, AUGURY_ERR_INVALID, "bad_section",
                "object \"mget\": this name is taken by POST /api/v1/objects/mget");
        fail_rule(load, "object.folder", object->name, &why);
    }
    if (!is_type) {
        err_set(&why, AUGURY_ERR_INVALID, "invalid_value",
                "object \"%.63s\": content_type: expected a type such as text/plain", object->name);
        fail_rule(load, "object.content_type", object->name, &why);
    }
    if (object->max_bytes + OBJECT_MARGIN_BYTES > conf->cache.ring_bytes / 2) {
        err_set(&why, AUGURY_ERR_INVALID, "ring_too_small",
                "object \"%.63s\": max_bytes and %d more must fit half of cache.ring", object->name,
                OBJECT_MARGIN_BYTES);
        fail_rule(load, "object.max_bytes", object->name, &why);
    }
}

/* Port 0 is a port of its own each time. */
static bool
is_any_port(const char *address)
{
    const char *colon = strrchr(address, ':');

    return colon != NULL && strcmp(colon, ":0") == 0;
}

/* On Linux a socket for all addresses of a port leaves none of them to another one; "*" and "[::]"
 * are those of both families. */
static bool
is_same_port(const char *one, const char *other)
{
    const char *one_colon = strrchr(one, ':');
    const char *other_colon = strrchr(other, ':');

    return one_colon != NULL && other_colon != NULL && strcmp(one_colon, other_colon) == 0;
}

static bool
is_for_all(const char *address, const char *other)
{
    return strncmp(address, "*:", 2) == 0 || strncmp(address, "[::]:", 5) == 0 ||
           (strncmp(address, "0.0.0.0:", 8) == 0 && other[0] != '[');
}

static bool
is_overlapping(const char *one, const char *other)
{
    return strncmp(one, "unix:", 5) != 0 && strncmp(other, "unix:", 5) != 0 &&
           is_same_port(one, other) && (is_for_all(one, other) || is_for_all(other, one));
}

static void
check_listener(struct load *load, uint32_t number)
{
    const struct conf *conf = &load->loaded->conf;
    const struct conf_listen *listen = &conf->listen[number];
    struct err why;

    for (uint32_t i = 0; i < number && !is_any_port(listen->address); i++) {
        if (strcmp(conf->listen[i].address, listen->address) == 0) {
            err_set(&why, AUGURY_ERR_INVALID, "same_address",
                    "listen \"%s\" and \"%s\": both are %s", conf->listen[i].name, listen->name,
                    listen->address);
            fail_rule(load, "listen.address", listen->name, &why);
        } else if (is_overlapping(conf->listen[i].address, listen->address)) {
            err_set(&why, AUGURY_ERR_INVALID, "same_address",
                    "listen \"%s\" and \"%s\": %.80s and %.80s overlap, and one port has one "
                    "of them",
                    conf->listen[i].name, listen->name, conf->listen[i].address, listen->address);
            fail_rule(load, "listen.address", listen->name, &why);
        }
    }
    if (listen->has_proxy_protocol && listen->trusted.count == 0 && !listen->trusted.has_unix) {
        err_set(&why, AUGURY_ERR_INVALID, "nobody_trusted",
                "listen \"%s\": proxy_protocol wants to know by trusted who the proxies are",
                listen->name);
        fail_rule(load, "listen.proxy_protocol", listen->name, &why);
    }
    if (strncmp(listen->address, "unix:", 5) == 0 &&
        strcmp(listen->address + 5, conf->admin.socket) == 0) {
        err_set(&why, AUGURY_ERR_INVALID, "same_address",
                "listen \"%s\": this is the socket of the admin commands", listen->name);
        fail_rule(load, "listen.address", listen->name, &why);
    }
}

static void
check_buffered(struct load *load, const char *name, uint64_t bytes)
{
    const struct conf *conf = &load->loaded->conf;
    char option[32];
    struct err why;

    if (bytes == 0 ||
        bytes >= conf->limits.body_bytes + conf->limits.head_bytes + REQUEST_MARGIN_BYTES) {
        return;
    }
    err_set(&why, AUGURY_ERR_INVALID, "buffered_too_small",
            "limits: %s must be 0, or body and head together and %dKiB more: one large "
            "request would be refused for ever",
            name, REQUEST_MARGIN_BYTES / 1024);
    snprintf(option, sizeof(option), "limits.%s", name);
    fail_rule(load, option, NULL, &why);
}

static void
check_together(struct load *load)
{
    const struct conf *conf = &load->loaded->conf;
    const char *option = NULL;
    struct err why;
    int rc;

    if (conf->cache.map_bytes != 0 && conf->cache.map_bytes / 2 < conf->cache.size_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "map_too_small",
                "cache: map must be 0 or at least twice size");
        fail_rule(load, "cache.map", NULL, &why);
    }
    if (conf->supervisor.floor_bytes > conf->cache.size_bytes ||
        (conf->supervisor.ceiling_bytes != 0 &&
         conf->supervisor.ceiling_bytes < conf->cache.size_bytes)) {
        err_set(&why, AUGURY_ERR_INVALID, "size_outside_bounds",
                "supervisor: cache.size must lie between floor and ceiling");
        fail_rule(load, "cache.size", NULL, &why);
    }
    if (conf->supervisor.grow_above_percent <= conf->supervisor.shrink_below_percent) {
        err_set(&why, AUGURY_ERR_INVALID, "no_dead_band",
                "supervisor: grow_above must be more than shrink_below");
        fail_rule(load, "supervisor.grow_above", NULL, &why);
    }
    if (conf->limits.target_bytes > conf->limits.head_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "target_too_large",
                "limits: target must not exceed head");
        fail_rule(load, "limits.target", NULL, &why);
    }
    if (conf->limits.request_memory_bytes < conf->limits.body_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "memory_too_small",
                "limits: request_memory must be at least body");
        fail_rule(load, "limits.request_memory", NULL, &why);
    }
    check_buffered(load, "buffered", conf->limits.buffered_bytes);
    check_buffered(load, "client_buffered", conf->limits.client_buffered_bytes);
    if (strcmp(conf->cache.dir, conf->models.dir) == 0) {
        err_set(&why, AUGURY_ERR_INVALID, "same_dir", "cache.dir and models.dir must differ");
        fail_rule(load, "cache.dir", NULL, &why);
    }
    if (conf->disk.is_enabled && (strcmp(conf->disk.dir, conf->cache.dir) == 0 ||
                                  strcmp(conf->disk.dir, conf->models.dir) == 0)) {
        err_set(&why, AUGURY_ERR_INVALID, "same_dir",
                "disk.dir, cache.dir and models.dir must differ");
        fail_rule(load, "disk.dir", NULL, &why);
    }
    for (size_t rule = 0; (rc = access_check(conf, rule, &option, &why)) != AUGURY_END; rule++) {
        if (rc != 0) {
            fail_rule(load, option, NULL, &why);
        }
    }
    for (uint32_t i = 0; i < conf->listen_count; i++) {
        check_listener(load, i);
    }
    for (uint32_t i = 0; i < conf->object_count; i++) {
        check_object(load, &conf->objects[i]);
    }
}

int
conf_load(const struct conf_source *source, struct conf **out_conf, struct conf_errors *out_errors)
{
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    struct load load = {.loaded = loaded, .errors = out_errors, .path = source->path};

    AUGURY_ASSERT(conf_option_count <= CONF_OPTION_MAX);
    out_errors->count = 0;
    if (loaded == NULL) {
        return err_set(errors_next(out_errors), AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    load_defaults(&load);
    if (source->path != NULL) {
        snprintf(loaded->path, sizeof(loaded->path), "%s", source->path);
        load_file(&load);
    }
    if (loaded->conf.listen_count == 0) {
        uint32_t item = 0;
        int rc = titled_get(loaded, titled_find("listen"), "public", &item, NULL);
        AUGURY_ASSERT(rc == 0);
    }
    if (source->environment != NULL) {
        load_environment(&load, source->environment);
    }
    for (size_t i = 0; i < source->override_count; i++) {
        load_override(&load, source->overrides[i]);
    }
    if (out_errors->count == 0) {
        check_together(&load);
    }
    if (out_errors->count > 0) {
        free(loaded);
        return AUGURY_ERR_INVALID;
    }
    *out_conf = &loaded->conf;
    return 0;
}

void
conf_free(struct conf **conf)
{
    if (*conf != NULL) {
        free(*conf); /* the first member of struct loaded */
        *conf = NULL;
    }
}
