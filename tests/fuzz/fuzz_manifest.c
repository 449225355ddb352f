/* SPDX-License-Identifier: MIT */
/*
 * fuzz_manifest.c - manifests and keys. Properties: what is accepted, written and read again, is
 * the same; a refusal says why; a key that is no key is refused.
 */
#include "augury/seal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct seal_manifest *manifest)
{
    struct seal_manifest again;
    struct err err;
    struct buf text, second;

    buf_init(&text, 1 << 20);
    buf_init(&second, 1 << 20);
    seal_manifest_put(manifest, &text);
    AUGURY_ASSERT(buf_finish(&text) == 0);
    AUGURY_ASSERT(seal_manifest_read(buf_view(&text), &again, &err) == 0);
    seal_manifest_put(&again, &second);
    AUGURY_ASSERT(bytes_equal(buf_view(&text), buf_view(&second)));
    AUGURY_ASSERT(again.file_count == manifest->file_count);
    buf_fini(&second);
    buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct seal_manifest manifest;
    struct seal_key key;
    struct err err = {.rc = 0};

    int rc = seal_manifest_read(text, &manifest, &err);
    AUGURY_ASSERT(rc == 0 || (rc == AUGURY_ERR_INVALID && err.reason[0] != '\0'));
    if (rc == 0) {
        check_again(&manifest);
    }
    rc = seal_key_from_pem(text, &key, &err);
    AUGURY_ASSERT(rc == 0 || (rc == AUGURY_ERR_INVALID && strcmp(err.code, "invalid_key") == 0));
    return 0;
}
