/* SPDX-License-Identifier: MIT */
/*
 * private.h - what the files of room conf share: the settings that a file gives, as texts with
 * their lines; the error list; and the const struct together with the origins of its values.
 */
#pragma once

#include "augury/conf.h"

enum { CONF_OPTION_MAX = 256, SETTING_NAME_BYTES = 64 };

/* One `name = value` of the file, unchecked. */
struct setting {
    char section[SETTING_NAME_BYTES]; /* as in the table: "cache.prediction", "listen" */
    char title[SETTING_NAME_BYTES];   /* of a titled section */
    char name[SETTING_NAME_BYTES];    /* empty: the section itself was seen */
    char *text;
    int line;
};

struct settings {
    struct setting *list;
    size_t count;
    size_t capacity;
};

/* Reads a file with libconfuse. Syntax errors and unknown names go to errors; the settings around
 * them are still given. settings: zeroed; settings_fini in every case. */
void parse_file(const char *path, struct settings *settings, struct conf_errors *errors);
void settings_fini(struct settings *settings);

enum { TITLED_COUNT = 3, TITLED_MAX = 16 };

struct origin {
    enum conf_origin from;
    int line;
};

/* What conf_load() returns the first member of. */
struct loaded {
    struct conf conf;
    char path[CONF_PATH_BYTES];
    struct origin origins[CONF_OPTION_MAX];
    struct origin titled_origins[TITLED_COUNT][TITLED_MAX][CONF_OPTION_MAX];
};

/* ---- sections that can be there several times, each under a title: titled.c ------------------ */

struct titled {
    const char *section;
    const char *sample; /* a title for the sample file */
    size_t list, count; /* places in struct conf */
    size_t item_bytes;  /* each begins with its name */
    size_t name_bytes;
    uint32_t max;
};
/* NULL: there is one such section at most. */
const struct titled *titled_find(const char *section);
size_t titled_number(const struct titled *titled); /* its row in titled_origins */
uint32_t titled_count(const struct titled *titled, const struct conf *conf);
const void *titled_at(const struct titled *titled, const struct conf *conf, uint32_t i);
/* The item of that name, made with its defaults when there is none yet; NULL title: the first one.
 * AUGURY_ERR_LIMIT: a name that is none, or too many. */
AUGURY_MUST_USE int titled_get(struct loaded *loaded, const struct titled *titled,
                               const char *title, uint32_t *out_item, struct err *err);

struct err *errors_next(struct conf_errors *errors); /* the slot for one more; NULL: list is full */
/* Parses text into the option's place in base. On failure nothing is stored and err has code and
 * reason. */
AUGURY_MUST_USE int value_set(const struct conf_option *option, void *base, const char *text,
                              struct err *err);
/* Rules of the sections access and cors: 0, AUGURY_ERR_INVALID, or AUGURY_END behind the last. */
AUGURY_MUST_USE int access_check(const struct conf *conf, size_t rule, const char **out_option,
                                 struct err *err);
/* The nearest of the table's names in that section, for "did you mean"; NULL when none is near. */
const char *nearest_option(const char *section, const char *name);
const char *nearest_section(const char *name);

/* ---- value_list.c, and what it shares with value.c ------------------------------------------- */

AUGURY_MUST_USE int value_bad(const struct conf_option *option, const char *text, const char *want,
                              struct err *err);
AUGURY_MUST_USE int value_parse_scaled(const struct conf_option *option, const char *text,
                                       uint64_t *out_value, struct err *err);
void value_put_size(uint64_t bytes, struct buf *buf);
AUGURY_MUST_USE int value_set_steps(const struct conf_option *option, void *place, const char *text,
                                    struct err *err);
void value_put_steps(const struct conf_steps *steps, struct buf *buf);
AUGURY_MUST_USE int value_set_words(const struct conf_option *option, void *place, const char *text,
                                    struct err *err);
AUGURY_MUST_USE int value_set_networks(const struct conf_option *option, void *place,
                                       const char *text, struct err *err);
void value_put_networks(const struct ip_networks *networks, struct buf *buf);
void value_put_words(const char *choices, uint32_t bits, struct buf *buf);
