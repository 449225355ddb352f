/* SPDX-License-Identifier: MIT */
/*
 * fuzz_keys.c - the file of API keys. Properties: it is taken, or every error that is kept has the
 * file, a line and a reason; each key is found by its digest, and the lines that keys are written
 * as mean the same keys.
 */
#include "augury/api_keys.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conf_errors errors;

static void
put_lines(const struct api_keys *keys, struct buf *out)
{
    for (size_t i = 0; i < api_keys_count(keys); i++) {
        const struct api_key *key = api_keys_at(keys, i);
        const struct api_key *found = NULL;
        int rc = api_keys_find(keys, key->sha256, &found);
        AUGURY_ASSERT(rc == 0 && found == key);
        AUGURY_ASSERT(api_key_name_is_valid(bytes_of_text(key->name)) && key->scopes != 0);
        api_key_put_line(key, out);
    }
    AUGURY_ASSERT(buf_finish(out) == 0);
}

static void
check_errors(void)
{
    AUGURY_ASSERT(errors.count > 0);
    for (size_t i = 0; i < errors.count && i < AUGURY_COUNT(errors.list); i++) {
        AUGURY_ASSERT(strncmp(errors.list[i].at, "keys:", 5) == 0);
        AUGURY_ASSERT(errors.list[i].reason[0] != '\0');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_keys *keys = NULL;
    struct api_keys *again = NULL;
    struct buf first, second;

    if (api_keys_parse("keys", bytes_of(data, size), &keys, &errors) != 0) {
        check_errors();
        return 0;
    }
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    put_lines(keys, &first);
    int rc = api_keys_parse("keys", buf_view(&first), &again, &errors);
    AUGURY_ASSERT(rc == 0 && api_keys_count(again) == api_keys_count(keys));
    put_lines(again, &second);
    AUGURY_ASSERT(bytes_equal(buf_view(&first), buf_view(&second)));
    buf_fini(&second);
    buf_fini(&first);
    api_keys_free(&again);
    api_keys_free(&keys);
    return 0;
}
