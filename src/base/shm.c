/* SPDX-License-Identifier: MIT */
/* shm.c - memory shared with children forked later. */
#include "augury/base.h"

#include <sys/mman.h>

void *
shm_map(size_t size_bytes)
{
    void *map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    return map;
}

void
shm_unmap(void **map, size_t size_bytes)
{
    if (*map != NULL) {
        munmap(*map, size_bytes);
        *map = NULL;
    }
}
