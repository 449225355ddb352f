/* SPDX-License-Identifier: MIT */
/*
 * private.h - what the files of room conf share: the settings that a file gives, as texts with
 * their lines; the error list; and the const struct together with the origins of its values.
 */
#pragma once

#include "augury/conf.h"

enum { CONF_OPTION_MAX = 192, SETTING_NAME_BYTES = 64 };

/* One `name = value` of the file, unchecked. */
struct setting {
    char section[SETTING_NAME_BYTES]; /* as in the table: "cache.prediction", "listen" */
    char title[SETTING_NAME_BYTES];   /* of a listen section */
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

struct origin {
    enum conf_origin from;
    int line;
};

/* What conf_load() returns the first member of. */
struct loaded {
    struct conf conf;
    char path[CONF_PATH_BYTES];
    struct origin origins[CONF_OPTION_MAX];
    struct origin listen_origins[CONF_LISTEN_MAX][CONF_OPTION_MAX];
};

struct err *errors_next(struct conf_errors *errors); /* the slot for one more; NULL: list is full */
/* Parses text into the option's place in base. On failure nothing is stored and err has code and
 * reason. */
AUGURY_MUST_USE int value_set(const struct conf_option *option, void *base, const char *text,
                              struct err *err);
/* The nearest of the table's names in that section, for "did you mean"; NULL when none is near. */
const char *nearest_option(const char *section, const char *name);
const char *nearest_section(const char *name);
