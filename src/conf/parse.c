/* SPDX-License-Identifier: MIT */
/*
 * parse.c - the file's syntax, by libconfuse, into a flat list of settings with their lines.
 * The parser's option arrays are made from the table at run time. Every value is read as text:
 * values are checked later, so that one bad value does not hide the next. libconfuse stops at an
 * unknown name; that statement is then blanked in our copy of the text and the text is parsed
 * again, so that each unknown name is reported, with its line. libconfuse also takes the end of the
 * file for the end of every open section. A mark that we append must therefore be met at the top
 * level.
 */
#include "private.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, ROUNDS_MAX = 32, OPTS_MAX = CONF_OPTION_MAX + 8 };

#define END_MARK "<end>"

/* One parse of the text. */
struct parse {
    const char *path;
    struct settings *settings;
    struct conf_errors *errors;
    char unknown[SETTING_NAME_BYTES]; /* the name that stopped the parser, or empty */
    int unknown_line;
    bool is_end_met;
    bool is_out_of_memory;
};

/* libconfuse hands its callbacks no argument of ours; but it hands every section the search path of
 * the root, and reads that only for files given by relative name, which cfg_parse_fp() has none of.
 * So the path carries our context. */
static struct parse *
context_of(const cfg_t *cfg)
{
    return (struct parse *)(void *)cfg->path;
}

static void
report(struct parse *parse, int line, const char *text)
{
    struct err *err = errors_next(parse->errors);

    err_set(err, AUGURY_ERR_INVALID, "syntax", "%s", text);
    err_at(err, "%s:%d", parse->path, line);
}

/* ---- the table's name of a section ----------------------------------------------------------- */

/* class "prediction" inside cache is "cache.prediction". */
static void
section_name(const cfg_t *cfg, char *out, size_t size)
{
    if (strcmp(cfg->name, "root") == 0) {
        out[0] = '\0';
    } else if (strcmp(cfg->name, "class") == 0) {
        snprintf(out, size, "cache.%s", cfg->title == NULL ? "" : cfg->title);
    } else {
        snprintf(out, size, "%s", cfg->name);
    }
}

/* Whether "NAME" in section cache is a class, which the file writes as class "NAME". */
static bool
is_class(const char *section, const char *name)
{
    char wanted[SETTING_NAME_BYTES];

    snprintf(wanted, sizeof(wanted), "cache.%.40s", name);
    for (size_t i = 0; strcmp(section, "cache") == 0 && i < conf_option_count; i++) {
        if (strcmp(conf_options[i].section, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void
report_unknown(struct parse *parse, const cfg_t *cfg, const char *name)
{
    char section[SETTING_NAME_BYTES];
    char text[256];
    const char *near = NULL;

    section_name(cfg, section, sizeof(section));
    near = nearest_option(section, name);
    if (near == NULL && section[0] == '\0') {
        near = nearest_section(name);
    }
    if (is_class(section, name)) {
        snprintf(text, sizeof(text),
                 "unknown option \"%.64s\" in section cache: did you mean class "
                 "\"%.64s\"?",
                 name, name);
        report(parse, cfg->line, text);
        return;
    }
    snprintf(text, sizeof(text), "unknown option \"%.64s\"%s%s%s%s%s%s", name,
             section[0] == '\0' ? "" : " in section ", section,
             near == NULL ? "" : ": did you mean ", near == NULL ? "" : "\"",
             near == NULL ? "" : near, near == NULL ? "" : "\"?");
    report(parse, cfg->line, text);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void
on_error(cfg_t *cfg, const char *fmt, va_list args)
{
    static const char unknown[] = "no such option '";
    struct parse *parse = context_of(cfg);
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    if (strncmp(text, unknown, sizeof(unknown) - 1) != 0) {
        report(parse, cfg->line, text);
        return;
    }
    const char *name = text + sizeof(unknown) - 1;
    if (strncmp(name, END_MARK, sizeof(END_MARK) - 1) == 0) {
        snprintf(text, sizeof(text), "section %s is not closed: \"}\" is missing", cfg->name);
        report(parse, cfg->line - 1, text);
        return;
    }
    snprintf(parse->unknown, sizeof(parse->unknown), "%.*s", (int)strcspn(name, "'"), name);
    parse->unknown_line = cfg->line;
    report_unknown(parse, cfg, parse->unknown);
}

static int
add_setting(struct parse *parse, const cfg_t *section, const char *name, const char *text)
{
    struct settings *settings = parse->settings;

    if (settings->count == settings->capacity) {
        size_t capacity = settings->capacity == 0 ? 32 : settings->capacity * 2;
        struct setting *list = realloc(settings->list, capacity * sizeof(list[0]));
        if (list == NULL) {
            parse->is_out_of_memory = true;
            return -1;
        }
        settings->list = list;
        settings->capacity = capacity;
    }
    struct setting *setting = &settings->list[settings->count];
    *setting = (struct setting){.line = section->line};
    section_name(section, setting->section, sizeof(setting->section));
    snprintf(setting->title, sizeof(setting->title), "%s",
             section->title == NULL ? "" : section->title);
    snprintf(setting->name, sizeof(setting->name), "%s", name);
    setting->text = strdup(text);
    if (setting->text == NULL) {
        parse->is_out_of_memory = true;
        return -1;
    }
    settings->count++;
    return 0;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *text = cfg_opt_getnstr(opt, 0);
    return add_setting(context_of(cfg), cfg, opt->name, text == NULL ? "" : text);
}

static int
on_end(cfg_t *cfg, cfg_opt_t *opt)
{
    (void)opt;
    context_of(cfg)->is_end_met = true;
    return 0;
}

/* A section ended: it counts also when nothing is set in it. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    const cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    return section == NULL ? 0 : add_setting(context_of(cfg), section, "", "");
}

/* ---- option arrays from the table ------------------------------------------------------------ */

static size_t
add_values(cfg_opt_t *opts, const char *section, const char *prefix)
{
    size_t n = 0;

    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        bool is_mine = prefix == NULL ? strcmp(option->section, section) == 0
                                      : strncmp(option->section, prefix, strlen(prefix)) == 0;
        for (size_t j = 0; is_mine && j < n; j++) {
            is_mine = strcmp(opts[j].name, option->name) != 0;
        }
        if (is_mine) {
            cfg_opt_t value = CFG_STR(option->name, 0, CFGF_NODEFAULT);
            value.validcb = on_value;
            AUGURY_ASSERT(n + 1 < OPTS_MAX);
            opts[n++] = value;
        }
    }
    opts[n] = (cfg_opt_t)CFG_END();
    return n;
}

static void
add_section(cfg_opt_t *opts, size_t n, const char *name, cfg_opt_t *subopts)
{
    bool is_titled = titled_find(name) != NULL || strcmp(name, "class") == 0;
    cfg_opt_t section = CFG_SEC(
        name, subopts, is_titled ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);

    AUGURY_ASSERT(n + 1 < OPTS_MAX);
    section.validcb = on_section;
    opts[n] = section;
    opts[n + 1] = (cfg_opt_t)CFG_END();
}

enum { SECTIONS_MAX = 32 };

struct grammar {
    cfg_opt_t root[OPTS_MAX];
    cfg_opt_t sections[SECTIONS_MAX][OPTS_MAX];
    cfg_opt_t classes[OPTS_MAX];
};

/* libconfuse copies all of it in cfg_init(). */
static void
grammar_make(struct grammar *grammar)
{
    size_t sections = 0;
    size_t n = add_values(grammar->root, "", NULL);
    cfg_opt_t end = CFG_STR(END_MARK, 0, CFGF_NODEFAULT);

    end.validcb = on_end;
    grammar->root[n++] = end;
    add_values(grammar->classes, "", "cache.");
    for (size_t i = 0; i < conf_option_count; i++) {
        const char *name = conf_options[i].section;
        bool is_first = i == 0 || strcmp(conf_options[i - 1].section, name) != 0;
        if (!is_first || name[0] == '\0' || strchr(name, '.') != NULL) {
            continue;
        }
        AUGURY_ASSERT(sections < SECTIONS_MAX);
        cfg_opt_t *opts = grammar->sections[sections++];
        size_t values = add_values(opts, name, NULL);
        if (strcmp(name, "cache") == 0) {
            add_section(opts, values, "class", grammar->classes);
        }
        add_section(grammar->root, n++, name, opts);
    }
}

/* ---- the text -------------------------------------------------------------------------------- */

/* End of the statement that begins at `at`: its line's end, or the brace that closes the block it
 * opens. */
static char *
statement_end(char *at)
{
    int depth = 0;
    char quote = '\0';

    for (; *at != '\0'; at++) {
        if (quote != '\0') {
            if (*at == '\\' && at[1] != '\0') {
                at++;
            } else if (*at == quote) {
                quote = '\0';
            }
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        } else if (*at == '{') {
            depth++;
        } else if (*at == '}' && --depth <= 0) {
            return depth < 0 ? at : at + 1;
        } else if (*at == '\n' && depth == 0) {
            return at;
        }
    }
    return at;
}

/* The name as a word of that line, not as a part of another one; NULL: it is not there. */
static char *
find_word(char *text, const char *name)
{
    static const char word_bytes[] = "0123456789_-."
                                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *line_end = text + strcspn(text, "\n");
    size_t len = strlen(name);

    for (char *at = strstr(text, name); at != NULL && at < line_end; at = strstr(at + 1, name)) {
        bool is_inside = at > text && strchr(word_bytes, at[-1]) != NULL;
        if (!is_inside && (at[len] == '\0' || strchr(word_bytes, at[len]) == NULL)) {
            return at;
        }
    }
    return NULL;
}

/* Blanks the statement of that name on that line, keeping line numbers. False when it is not found.
 */
static bool
blank_statement(char *text, const char *name, int line)
{
    for (int i = 1; i < line && text != NULL; i++) {
        text = strchr(text, '\n');
        text = text == NULL ? NULL : text + 1;
    }
    char *at = text == NULL ? NULL : find_word(text, name);
    if (at == NULL && text != NULL) {
        at = strstr(text, name);
    }
    if (at == NULL) {
        return false;
    }
    for (char *end = statement_end(at); at < end; at++) {
        *at = *at == '\n' ? '\n' : ' ';
    }
    return true;
}

static char *
read_file(const char *path, struct conf_errors *errors)
{
    static const char end[] = "\n" END_MARK " = yes\n";
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : calloc(1, FILE_BYTES_MAX + sizeof(end));
    size_t len = text == NULL ? 0 : fread(text, 1, FILE_BYTES_MAX, file);
    bool is_good = text != NULL && ferror(file) == 0 && len < FILE_BYTES_MAX &&
                   memchr(text, '\0', len) == NULL;

    if (!is_good) {
        struct err *err = errors_next(errors);
        err_set(err, AUGURY_ERR_IO, "unreadable", "cannot read the configuration: %s",
                file == NULL || (text != NULL && ferror(file) != 0) ? strerror(errno)
                                                                    : "not a text below 1 MiB");
        err_at(err, "%s", path);
        free(text);
        text = NULL;
    } else {
        memcpy(text + len, end, sizeof(end));
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

static int
parse_text(struct parse *parse, const struct grammar *grammar, const char *text)
{
    cfg_opt_t opts[OPTS_MAX];

    memcpy(opts, grammar->root, sizeof(opts));
    cfg_t *cfg = cfg_init(opts, CFGF_NONE);
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    int rc = CFG_FAIL;
    if (cfg != NULL && file != NULL) {
        cfg_set_error_function(cfg, on_error);
        cfg->path = (cfg_searchpath_t *)(void *)parse;
        rc = cfg_parse_fp(cfg, file);
        cfg->path = NULL;
    } else {
        parse->is_out_of_memory = true;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (cfg != NULL) {
        cfg_free(cfg);
    }
    return rc;
}

void
settings_fini(struct settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->list[i].text);
    }
    free(settings->list);
    *settings = (struct settings){0};
}

void
parse_file(const char *path, struct settings *settings, struct conf_errors *errors)
{
    struct grammar *grammar = calloc(1, sizeof(*grammar));
    char *text = grammar == NULL ? NULL : read_file(path, errors);
    bool is_again = text != NULL;

    if (grammar != NULL) {
        grammar_make(grammar);
    }
    for (int round = 0; is_again && round < ROUNDS_MAX; round++) {
        struct parse parse = {.path = path, .settings = settings, .errors = errors};
        settings_fini(settings);
        int rc = parse_text(&parse, grammar, text);
        if (parse.is_out_of_memory) {
            report(&parse, 1, "out of memory");
        } else if (rc == CFG_SUCCESS && !parse.is_end_met) {
            report(&parse, 1, "the file ends inside a comment");
        }
        is_again = rc != CFG_SUCCESS && parse.unknown[0] != '\0' &&
                   blank_statement(text, parse.unknown, parse.unknown_line);
    }
    free(text);
    free(grammar);
}
