/* SPDX-License-Identifier: MIT */
/* store_code.c - the one translation of LMDB's and the system's codes into augury's. */
#include "store_priv.h"

#include <errno.h>

static const struct {
    int mdb_rc;
    int rc;
} codes[] = {
    {MDB_SUCCESS, AUGURY_OK},
    {MDB_NOTFOUND, AUGURY_NOT_FOUND},
    {MDB_KEYEXIST, AUGURY_ERR_EXISTS},
    {MDB_PAGE_NOTFOUND, AUGURY_ERR_CORRUPT},
    {MDB_CORRUPTED, AUGURY_ERR_CORRUPT},
    {MDB_INVALID, AUGURY_ERR_CORRUPT},
    {MDB_VERSION_MISMATCH, AUGURY_ERR_CORRUPT},
    {MDB_INCOMPATIBLE, AUGURY_ERR_CORRUPT},
    /* After a refused write of a meta page the environment must be opened anew. */
    {MDB_PANIC, AUGURY_ERR_IO},
    {MDB_MAP_FULL, AUGURY_ERR_FULL},
    {MDB_TXN_FULL, AUGURY_ERR_FULL},
    {MDB_CURSOR_FULL, AUGURY_ERR_FULL},
    {MDB_PAGE_FULL, AUGURY_ERR_FULL},
    {MDB_DBS_FULL, AUGURY_ERR_LIMIT},
    {MDB_BAD_VALSIZE, AUGURY_ERR_LIMIT},
    {MDB_READERS_FULL, AUGURY_ERR_BUSY},
    {MDB_MAP_RESIZED, AUGURY_ERR_BUSY},
    {MDB_BAD_RSLOT, AUGURY_ERR_STATE},
    {MDB_BAD_TXN, AUGURY_ERR_STATE},
    {MDB_BAD_DBI, AUGURY_ERR_STATE},
    {ENOENT, AUGURY_NOT_FOUND},
    {ENOMEM, AUGURY_ERR_NOMEM},
    {EACCES, AUGURY_ERR_DENIED},
    {EPERM, AUGURY_ERR_DENIED},
    {EROFS, AUGURY_ERR_DENIED},
    {EAGAIN, AUGURY_ERR_BUSY},
    {EBUSY, AUGURY_ERR_BUSY},
    {EINVAL, AUGURY_ERR_INVALID},
};

int
store_code(int mdb_rc)
{
    for (size_t i = 0; i < AUGURY_COUNT(codes); i++) {
        if (codes[i].mdb_rc == mdb_rc) {
            return codes[i].rc;
        }
    }
    return AUGURY_ERR_IO;
}
