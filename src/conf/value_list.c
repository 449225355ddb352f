/* SPDX-License-Identifier: MIT */
/* value_list.c - values that are lists: steps of memory, words out of a choice, networks. */
#include "private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char steps_example[] = "steps such as 2GiB:25, 4GiB:50";

/* One "2GiB:25" of a list; it is cut at its colon. */
static int
parse_step(const char *name, char *word, uint64_t *out_below, uint64_t *out_percent,
           struct err *err)
{
    struct conf_option below = {
        .name = name, .type = CONF_SIZE, .min = 1, .max = UINT64_C(1) << 50};
    struct conf_option percent = {.name = name, .type = CONF_NUMBER, .min = 1, .max = 100};
    char *colon = strchr(word, ':');

    if (colon == NULL) {
        return value_bad(&below, word, steps_example, err);
    }
    *colon = '\0';
    int rc = value_parse_scaled(&below, word, out_below, err);
    return rc != 0 ? rc : value_parse_scaled(&percent, colon + 1, out_percent, err);
}

int
value_set_steps(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    struct conf_steps steps;
    char copy[256];
    char *save = NULL;

    memset(&steps, 0, sizeof(steps)); /* places are compared as bytes */
    if (strlen(text) >= sizeof(copy)) {
        return value_bad(option, text, steps_example, err);
    }
    memcpy(copy, text, strlen(text) + 1);
    for (char *word = strtok_r(copy, ", ", &save); word != NULL;
         word = strtok_r(NULL, ", ", &save)) {
        uint64_t below = 0;
        uint64_t percent = 0;
        int rc = parse_step(option->name, word, &below, &percent, err);
        if (rc != 0) {
            return rc;
        }
        uint32_t at = steps.count++;
        if (at == CONF_STEPS_MAX || (at > 0 && (below <= steps.list[at - 1].below_bytes ||
                                                percent < steps.list[at - 1].percent))) {
            return value_bad(option, text, "at most 4 steps of rising sizes and percents", err);
        }
        steps.list[at].below_bytes = below;
        steps.list[at].percent = (uint32_t)percent;
    }
    memcpy(place, &steps, sizeof(steps));
    return 0;
}

void
value_put_steps(const struct conf_steps *steps, struct buf *buf)
{
    buf_put_u8(buf, '"');
    for (uint32_t i = 0; i < steps->count; i++) {
        buf_put_text(buf, i == 0 ? "" : ", ");
        value_put_size(steps->list[i].below_bytes, buf);
        buf_printf(buf, ":%" PRIu32, steps->list[i].percent);
    }
    buf_put_u8(buf, '"');
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The place of a word among the choices, and how many there are. */
static int
find_word(const char *choices, struct bytes word, uint32_t *out_place, uint32_t *out_count)
{
    uint32_t count = 0;
    int rc = AUGURY_NOT_FOUND;

    for (; *choices != '\0'; choices += strspn(choices, ", ")) {
        size_t len = strcspn(choices, ",");
        if (bytes_equal(bytes_of(choices, len), word)) {
            *out_place = count;
            rc = 0;
        }
        choices += len;
        count++;
    }
    *out_count = count;
    return rc;
}

int
value_set_words(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    uint32_t bits = 0;
    uint32_t at = 0;
    uint32_t count = 0;

    for (const char *word = text; *word != '\0'; word += strspn(word, ", ")) {
        size_t len = strcspn(word, ", ");
        if (find_word(option->choices, bytes_of(word, len), &at, &count) == 0) {
            bits |= 1U << at;
        } else if (bytes_equal_text(bytes_of(word, len), "all")) {
            bits |= (1U << count) - 1;
        } else {
            bits = 0;
            break;
        }
        word += len;
    }
    if (bits == 0) {
        char want[160];
        snprintf(want, sizeof(want), "all, or some of %s", option->choices);
        return value_bad(option, text, want, err);
    }
    memcpy(place, &bits, sizeof(bits));
    return 0;
}

void
value_put_words(const char *choices, uint32_t bits, struct buf *buf)
{
    const char *separator = "";
    uint32_t place = 0;
    uint32_t count = 0;

    (void)find_word(choices, bytes_of(NULL, 0), &place, &count);
    buf_put_u8(buf, '"');
    if (bits == (1U << count) - 1) {
        buf_put_text(buf, "all");
        choices = "";
    }
    for (uint32_t i = 0; *choices != '\0'; i++) {
        size_t len = strcspn(choices, ",");
        if ((bits & (1U << i)) != 0) {
            buf_printf(buf, "%s%.*s", separator, (int)len, choices);
            separator = ", ";
        }
        choices += len;
        choices += strspn(choices, ", ");
    }
    buf_put_u8(buf, '"');
}

/* ---- networks -------------------------------------------------------------------------------- */

int
value_set_networks(const struct conf_option *option, void *place, const char *text, struct err *err)
{
    struct ip_networks networks;
    struct err why;

    if (ip_networks_parse(text, &networks, &why) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_value", "%s: %s", option->name,
                       why.reason);
    }
    memcpy(place, &networks, sizeof(networks));
    return 0;
}

void
value_put_networks(const struct ip_networks *networks, struct buf *buf)
{
    buf_put_u8(buf, '"');
    ip_networks_put(networks, buf);
    buf_put_u8(buf, '"');
}
