/* SPDX-License-Identifier: MIT */
/* titled.c - sections that can be there several times, each under a title: listeners, where objects
 * come from, and names of models' tensors. */
#include "private.h"

#include <stdio.h>

#define ITEM_NAME(type) sizeof(((struct type *)0)->name)

static const struct titled kinds[TITLED_COUNT] = {
    {"listen", "public", offsetof(struct conf, listen), offsetof(struct conf, listen_count),
     sizeof(struct conf_listen), ITEM_NAME(conf_listen), CONF_LISTEN_MAX},
    {"object", "players", offsetof(struct conf, objects), offsetof(struct conf, object_count),
     sizeof(struct conf_object), ITEM_NAME(conf_object), CONF_OBJECT_MAX},
    {"dialect", "fraud", offsetof(struct conf, dialects), offsetof(struct conf, dialect_count),
     sizeof(struct conf_dialect), ITEM_NAME(conf_dialect), CONF_DIALECT_MAX},
};

_Static_assert((int)CONF_LISTEN_MAX <= (int)TITLED_MAX && (int)CONF_OBJECT_MAX <= (int)TITLED_MAX &&
                   (int)CONF_DIALECT_MAX <= (int)TITLED_MAX,
               "every item has its origins");
_Static_assert(offsetof(struct conf_listen, name) == 0 && offsetof(struct conf_object, name) == 0 &&
                   offsetof(struct conf_dialect, name) == 0,
               "an item begins with its name");

const struct titled *
titled_find(const char *section)
{
    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].section, section) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

size_t
titled_number(const struct titled *titled)
{
    return (size_t)(titled - kinds);
}

static uint32_t *
count_of(const struct titled *titled, struct conf *conf)
{
    return (uint32_t *)(void *)((char *)conf + titled->count);
}

uint32_t
titled_count(const struct titled *titled, const struct conf *conf)
{
    uint32_t count = 0;

    memcpy(&count, (const char *)conf + titled->count, sizeof(count));
    return count;
}

const void *
titled_at(const struct titled *titled, const struct conf *conf, uint32_t i)
{
    return (const char *)conf + titled->list + (size_t)i * titled->item_bytes;
}

static void
make_item(struct loaded *loaded, const struct titled *titled, uint32_t at, const char *title)
{
    char *item = (char *)&loaded->conf + titled->list + (size_t)at * titled->item_bytes;

    memset(item, 0, titled->item_bytes);
    memcpy(item, title, strlen(title));
    for (size_t i = 0; i < conf_option_count; i++) {
        if (strcmp(conf_options[i].section, titled->section) == 0) {
            int rc = value_set(&conf_options[i], item, conf_options[i].default_text, NULL);
            AUGURY_ASSERT(rc == 0);
        }
        loaded->titled_origins[titled_number(titled)][at][i] =
            (struct origin){CONF_FROM_DEFAULT, 0};
    }
}

int
titled_get(struct loaded *loaded, const struct titled *titled, const char *title,
           uint32_t *out_item, struct err *err)
{
    uint32_t count = titled_count(titled, &loaded->conf);
    uint32_t at = 0;

    while (at < count && title != NULL &&
           strcmp(titled_at(titled, &loaded->conf, at), title) != 0) {
        at++;
    }
    if (at < count) {
        *out_item = at;
        return 0;
    }
    if (title == NULL || title[0] == '\0' || strlen(title) >= titled->name_bytes ||
        count == titled->max) {
        return err_set(err, AUGURY_ERR_LIMIT, "bad_section",
                       "%s \"%.40s\": a name of 1 to %zu bytes, and at most %u of them",
                       titled->section, title == NULL ? "" : title, titled->name_bytes - 1,
                       (unsigned)titled->max);
    }
    make_item(loaded, titled, at, title);
    *count_of(titled, &loaded->conf) = count + 1;
    *out_item = at;
    return 0;
}
