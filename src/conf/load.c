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

/* The listener of that name, made with its defaults when there is none yet; NULL when the table is
 * full. */
static struct conf_listen *
listen_of(struct loaded *loaded, const char *name, struct origin origin)
{
    struct conf *conf = &loaded->conf;

    for (uint32_t i = 0; i < conf->listen_count; i++) {
        if (strcmp(conf->listen[i].name, name) == 0) {
            return &conf->listen[i];
        }
    }
    if (conf->listen_count == CONF_LISTEN_MAX || name[0] == '\0' ||
        strlen(name) >= sizeof(conf->listen[0].name)) {
        return NULL;
    }
    uint32_t at = conf->listen_count++;
    struct conf_listen *made = &conf->listen[at];
    *made = (struct conf_listen){0};
    snprintf(made->name, sizeof(made->name), "%s", name);
    for (size_t i = 0; i < conf_option_count; i++) {
        if (strcmp(conf_options[i].section, "listen") == 0) {
            int rc = value_set(&conf_options[i], made, conf_options[i].default_text, NULL);
            AUGURY_ASSERT(rc == 0);
        }
        loaded->listen_origins[at][i] = (struct origin){CONF_FROM_DEFAULT, origin.line};
    }
    return made;
}

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

/* listener: of section "listen"; NULL for the first. at: the source, for messages. */
static void
set_option(struct load *load, const struct conf_option *option, const char *listener,
           const char *text, struct origin origin, const char *at)
{
    struct loaded *loaded = load->loaded;
    struct err why;
    size_t row = (size_t)(option - conf_options);

    if (strcmp(option->section, "listen") != 0) {
        if (value_set(option, &loaded->conf, text, &why) != 0) {
            fail(load, at, origin.line, &why);
            return;
        }
        loaded->origins[row] = origin;
        return;
    }
    struct conf_listen *listen =
        listener == NULL ? &loaded->conf.listen[0] : listen_of(loaded, listener, origin);
    if (listen == NULL) {
        err_set(&why, AUGURY_ERR_LIMIT, "bad_listener",
                "listen \"%.40s\": a name of 1 to 31 bytes, and at most %d listeners", listener,
                CONF_LISTEN_MAX);
        fail(load, at, origin.line, &why);
        return;
    }
    if (value_set(option, listen, text, &why) != 0) {
        fail(load, at, origin.line, &why);
        return;
    }
    loaded->listen_origins[listen - loaded->conf.listen][row] = origin;
}

/* ---- the four sources ------------------------------------------------------------------------ */

static void
load_defaults(struct load *load)
{
    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        if (strcmp(option->section, "listen") != 0) {
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
    bool is_listen = strcmp(setting->section, "listen") == 0;
    struct origin origin = {CONF_FROM_FILE, setting->line};
    const struct conf_option *option = NULL;
    char name[2 * SETTING_NAME_BYTES];
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
        if (is_listen && listen_of(load->loaded, setting->title, origin) == NULL) {
            err_set(&why, AUGURY_ERR_LIMIT, "bad_listener",
                    "listen \"%.40s\": a name of 1 to 31 bytes, and at most %d listeners",
                    setting->title, CONF_LISTEN_MAX);
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
    set_option(load, option, is_listen ? setting->title : NULL, setting->text, origin, load->path);
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

/* "listen.public.address" → its row, and the listener's name copied to out_listener. */
static int
find_override(const char *path, char *out_listener, size_t size, const struct conf_option **out)
{
    char plain[128];
    const char *dot = strrchr(path, '.');

    if (strncmp(path, "listen.", 7) != 0 || dot == path + 6) {
        return conf_option_find(path, out);
    }
    snprintf(out_listener, size, "%.*s", (int)(dot - path - 7), path + 7);
    snprintf(plain, sizeof(plain), "listen%s", dot);
    return conf_option_find(plain, out);
}

static void
load_override(struct load *load, const char *text)
{
    const char *equals = strchr(text, '=');
    const struct conf_option *option = NULL;
    char path[128];
    char at[160];
    char listener[SETTING_NAME_BYTES] = "";
    struct err why;

    snprintf(at, sizeof(at), "-o %.100s", text);
    snprintf(path, sizeof(path), "%.*s", equals == NULL ? 0 : (int)(equals - text), text);
    if (equals == NULL) {
        err_set(&why, AUGURY_ERR_INVALID, "bad_override", "expected option=value");
        fail(load, at, 0, &why);
        return;
    }
    if (find_override(path, listener, sizeof(listener), &option) != 0) {
        const char *near = nearest_option("", path);
        err_set(&why, AUGURY_ERR_INVALID, "unknown_option", "unknown option \"%.80s\"%s%s%s", path,
                near == NULL ? "" : ": did you mean \"", near == NULL ? "" : near,
                near == NULL ? "" : "\"?");
        fail(load, at, 0, &why);
        return;
    }
    set_option(load, option, listener[0] == '\0' ? NULL : listener, equals + 1,
               (struct origin){CONF_FROM_COMMAND_LINE, 0}, at);
}

/* ---- rules between options ------------------------------------------------------------------- */

static void
check_together(struct load *load)
{
    const struct conf *conf = &load->loaded->conf;
    const char *at = load->path == NULL ? "configuration" : load->path;
    struct err why;

    if (conf->cache.map_bytes != 0 && conf->cache.map_bytes / 2 < conf->cache.size_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "map_too_small",
                "cache: map must be 0 or at least twice size");
        fail(load, at, 0, &why);
    }
    if (conf->limits.target_bytes > conf->limits.head_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "target_too_large",
                "limits: target must not exceed head");
        fail(load, at, 0, &why);
    }
    if (conf->limits.request_memory_bytes < conf->limits.body_bytes) {
        err_set(&why, AUGURY_ERR_INVALID, "memory_too_small",
                "limits: request_memory must be at least body");
        fail(load, at, 0, &why);
    }
    if (strcmp(conf->cache.dir, conf->models.dir) == 0) {
        err_set(&why, AUGURY_ERR_INVALID, "same_dir", "cache.dir and models.dir must differ");
        fail(load, at, 0, &why);
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
        listen_of(loaded, "public", (struct origin){CONF_FROM_DEFAULT, 0});
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
