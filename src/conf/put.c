/* SPDX-License-Identifier: MIT */
/* put.c - the table as text: effective values with their origins, the sample file, markdown and
 * mdoc. */
#include "private.h"

#include <string.h>

/* ---- sections as the file nests them --------------------------------------------------------- */

/* Writes one option's line; indent is the depth of its section. */
typedef void put_line_fn(const struct conf_option *option, const void *arg, unsigned indent,
                         struct buf *buf);

static void
put_indent(struct buf *buf, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++) {
        buf_put_text(buf, "    ");
    }
}

static bool
has_parent(const char *section)
{
    return strchr(section, '.') != NULL;
}

static void
put_opening(const char *section, const char *title, struct buf *buf)
{
    if (has_parent(section)) {
        buf_printf(buf, "    class \"%s\" {\n", strchr(section, '.') + 1);
    } else if (title != NULL) {
        buf_printf(buf, "\n%s \"%s\" {\n", section, title);
    } else {
        buf_printf(buf, "\n%s {\n", section);
    }
}

/* Rows of one section from i on; returns the row after them. */
static size_t
put_rows(size_t i, put_line_fn *put_line, const void *arg, struct buf *buf)
{
    const char *section = conf_options[i].section;
    unsigned indent = section[0] == '\0' ? 0 : has_parent(section) ? 2 : 1;

    for (; i < conf_option_count && strcmp(conf_options[i].section, section) == 0; i++) {
        put_line(&conf_options[i], arg, indent, buf);
    }
    return i;
}

/* A section that can be there several times is written by put_titled, the others by put_line. */
typedef size_t put_titled_fn(size_t i, const struct titled *titled, const void *arg,
                             struct buf *buf);

static void
put_sections(size_t i, put_line_fn *put_line, put_titled_fn *put_titled, const void *arg,
             struct buf *buf)
{
    while (i < conf_option_count) {
        const char *section = conf_options[i].section;
        const struct titled *titled = titled_find(section);
        if (titled != NULL) {
            i = put_titled(i, titled, arg, buf);
            continue;
        }
        put_opening(section, NULL, buf);
        i = put_rows(i, put_line, arg, buf);
        while (i < conf_option_count && has_parent(conf_options[i].section)) {
            put_opening(conf_options[i].section, NULL, buf);
            i = put_rows(i, put_line, arg, buf);
            buf_put_text(buf, "    }\n");
        }
        buf_put_text(buf, "}\n");
    }
}

static size_t
rows_end(size_t i)
{
    const char *section = conf_options[i].section;

    while (i < conf_option_count && strcmp(conf_options[i].section, section) == 0) {
        i++;
    }
    return i;
}

/* ---- the effective configuration ------------------------------------------------------------- */

struct effective {
    const struct loaded *loaded;
    const void *base;
    const struct origin *origins;
};

static void
put_origin(const struct loaded *loaded, struct origin origin, struct buf *buf)
{
    switch (origin.from) {
    case CONF_FROM_DEFAULT: buf_put_text(buf, "default"); return;
    case CONF_FROM_FILE: buf_printf(buf, "%s:%d", loaded->path, origin.line); return;
    case CONF_FROM_ENVIRONMENT: buf_put_text(buf, "environment"); return;
    case CONF_FROM_COMMAND_LINE: buf_put_text(buf, "command line"); return;
    }
}

static const struct origin *
titled_origins(const struct loaded *loaded, const struct titled *titled, const char *title)
{
    uint32_t count = titled_count(titled, &loaded->conf);

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(titled_at(titled, &loaded->conf, i), title) == 0) {
            return loaded->titled_origins[titled_number(titled)][i];
        }
    }
    return NULL;
}

/* The first line of a section that says anything. */
static struct origin
first_origin(const struct origin *origins, const char *section)
{
    struct origin first = {CONF_FROM_DEFAULT, 0};

    for (size_t i = 0; i < conf_option_count; i++) {
        bool is_said =
            strcmp(conf_options[i].section, section) == 0 && origins[i].from != CONF_FROM_DEFAULT;
        if (is_said && (first.from == CONF_FROM_DEFAULT || origins[i].line < first.line)) {
            first = origins[i];
        }
    }
    return first;
}

/* Of an option of a titled section the section's first line stands for what it does not say. */
static struct origin
origin_in(const struct loaded *loaded, const struct conf_option *option, const char *title)
{
    const struct titled *titled = titled_find(option->section);

    if (titled == NULL) {
        return loaded->origins[option - conf_options];
    }
    const struct origin *origins = titled_origins(loaded, titled, title != NULL ? title : "");
    if (origins == NULL) {
        return (struct origin){CONF_FROM_DEFAULT, 0};
    }
    struct origin origin = origins[option - conf_options];
    return origin.from != CONF_FROM_DEFAULT ? origin : first_origin(origins, option->section);
}

void
conf_place(const struct conf *conf, const char *path, const char *title, char *out, size_t size)
{
    const struct loaded *loaded = (const struct loaded *)conf;
    const struct conf_option *option = NULL;
    struct origin origin = {CONF_FROM_DEFAULT, 0};

    if (conf_option_find(path, &option) == 0) {
        origin = origin_in(loaded, option, title);
    }
    if (origin.from == CONF_FROM_ENVIRONMENT || origin.from == CONF_FROM_COMMAND_LINE) {
        snprintf(out, size, "%s",
                 origin.from == CONF_FROM_ENVIRONMENT ? "environment" : "command line");
    } else if (origin.from == CONF_FROM_FILE) {
        snprintf(out, size, "%s:%d", loaded->path, origin.line);
    } else {
        snprintf(out, size, "%s", loaded->path[0] != '\0' ? loaded->path : "configuration");
    }
}

static void
put_effective_line(const struct conf_option *option, const void *arg, unsigned indent,
                   struct buf *buf)
{
    const struct effective *effective = arg;

    put_indent(buf, indent);
    buf_printf(buf, "%s = ", option->name);
    conf_put_value(option, effective->base, buf);
    buf_put_text(buf, "  # ");
    put_origin(effective->loaded, effective->origins[option - conf_options], buf);
    buf_put_u8(buf, '\n');
}

static size_t
put_effective_titled(size_t i, const struct titled *titled, const void *arg, struct buf *buf)
{
    const struct loaded *loaded = ((const struct effective *)arg)->loaded;

    for (uint32_t at = 0; at < titled_count(titled, &loaded->conf); at++) {
        const char *item = titled_at(titled, &loaded->conf, at);
        struct effective of_item = {loaded, item,
                                    loaded->titled_origins[titled_number(titled)][at]};
        put_opening(titled->section, item, buf);
        put_rows(i, put_effective_line, &of_item, buf);
        buf_put_text(buf, "}\n");
    }
    return rows_end(i);
}

void
conf_put_effective(const struct conf *conf, struct buf *buf)
{
    const struct loaded *loaded = (const struct loaded *)conf;
    struct effective effective = {loaded, conf, loaded->origins};
    size_t next = put_rows(0, put_effective_line, &effective, buf);

    put_sections(next, put_effective_line, put_effective_titled, &effective, buf);
}

/* ---- the sample file ------------------------------------------------------------------------- */

static bool
is_text(const struct conf_option *option)
{
    return option->type == CONF_TEXT || option->type == CONF_PATH || option->type == CONF_SERVER ||
           option->type == CONF_ADDRESS || option->type == CONF_STEPS ||
           option->type == CONF_MODE || option->type == CONF_WORDS || option->type == CONF_NETWORKS;
}

static void
put_setting(const struct conf_option *option, unsigned indent, struct buf *buf)
{
    const char *quote = is_text(option) ? "\"" : "";

    put_indent(buf, indent);
    buf_printf(buf, "# %s = %s%s%s\n", option->name, quote, option->default_text, quote);
}

static void
put_sample_line(const struct conf_option *option, const void *arg, unsigned indent, struct buf *buf)
{
    (void)arg;
    put_indent(buf, indent);
    buf_printf(buf, "# %s\n", option->help);
    put_setting(option, indent, buf);
}

static void
put_sample_line_in_comment(const struct conf_option *option, const void *arg, unsigned indent,
                           struct buf *buf)
{
    buf_printf(buf, "# %*s# %s\n# ", (int)(4 * indent), "", option->help);
    put_setting(option, indent, buf);
    (void)arg;
}

/* Listeners stand open, for there is one in any case; the others are a comment as a whole. */
static size_t
put_sample_titled(size_t i, const struct titled *titled, const void *arg, struct buf *buf)
{
    if (strcmp(titled->section, "listen") == 0) {
        put_opening(titled->section, titled->sample, buf);
        size_t next = put_rows(i, put_sample_line, arg, buf);
        buf_put_text(buf, "}\n");
        return next;
    }
    buf_printf(buf, "\n# As often as wanted, each under a name of its own:\n# %s \"%s\" {\n",
               titled->section, titled->sample);
    size_t next = put_rows(i, put_sample_line_in_comment, arg, buf);
    buf_put_text(buf, "# }\n");
    return next;
}

void
conf_put_sample(struct buf *buf)
{
    buf_put_text(buf, "# Configuration of auguryd: every option, commented out at its default.\n"
                      "# `auguryd -t` checks the file, `auguryd -T` shows what is in force; see "
                      "augury.conf(5).\n\n");
    size_t next = put_rows(0, put_sample_line, NULL, buf);
    put_sections(next, put_sample_line, put_sample_titled, NULL, buf);
}

/* ---- documentation --------------------------------------------------------------------------- */

static const char *
type_name(const struct conf_option *option)
{
    switch (option->type) {
    case CONF_TEXT: return option->choices == NULL ? "text" : option->choices;
    case CONF_PATH: return "path";
    case CONF_SERVER:
    case CONF_ADDRESS: return "address";
    case CONF_MODE: return "rights";
    case CONF_NETWORKS: return "networks";
    case CONF_WORDS: return "words";
    case CONF_BOOL: return "yes or no";
    case CONF_NUMBER: return "number";
    case CONF_SIZE: return "size";
    case CONF_SECONDS:
    case CONF_US:
    case CONF_MS: return option->choices == NULL ? "time" : "time or auto";
    case CONF_STEPS: return "SIZE:PERCENT, …";
    }
    return "";
}

void
conf_put_markdown(struct buf *buf)
{
    buf_put_text(buf, "| option | type | default | what |\n|---|---|---|---|\n");
    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        buf_printf(buf, "| `%s%s%s` | %s | `%s` | %s |\n", option->section,
                   option->section[0] == '\0' ? "" : ".", option->name, type_name(option),
                   option->default_text[0] == '\0' ? "\"\"" : option->default_text, option->help);
    }
}

void
conf_put_mdoc(struct buf *buf)
{
    const char *section = "";

    buf_put_text(buf, ".Ss Top level\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        if (strcmp(section, option->section) != 0) {
            section = option->section;
            buf_printf(buf, ".El\n.Ss Section %s\n.Bl -tag -width Ds\n", section);
        }
        buf_printf(buf, ".It Ic %s Ar %s\n%s\n", option->name, type_name(option), option->help);
        if (option->default_text[0] != '\0') {
            buf_printf(buf, "The default is\n.Ql %s .\n", option->default_text);
        }
        if (option->alias != NULL) {
            buf_printf(buf, "The environment may also call it\n.Ev %s .\n", option->alias);
        }
    }
    buf_put_text(buf, ".El\n");
}
