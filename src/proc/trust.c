/* SPDX-License-Identifier: MIT */
/*
 * trust.c - whether a file is what its owner made it: one that others may write to says nothing
 * about who wrote it last. Modes are looked at, not access: root is refused what others could have
 * written, too.
 */
#include "augury/proc.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_RECORD_BYTES = 16384 };

/* A group of one's own (umask 002) or the one we run as holds nobody that we do not trust. */
static bool
is_own_group(const struct stat *status)
{
    char record[NAME_RECORD_BYTES];
    struct passwd entry;
    struct passwd *found = NULL;

    if (status->st_gid == getegid()) {
        return true;
    }
    return getpwuid_r(status->st_uid, &entry, record, sizeof(record), &found) == 0 &&
           found != NULL && found->pw_gid == status->st_gid;
}

static int
refuse(const char *path, const char *who, const char *hint, struct err *err)
{
    return err_set(err, AUGURY_ERR_INVALID, "file_writable_by_others",
                   "%.200s may be written to by %s; chmod %s it first", path, who, hint);
}

int
proc_check_trust(const struct stat *status, const char *path, enum proc_trust trust,
                 struct err *err)
{
    bool is_key = trust == PROC_TRUST_KEY;

    if ((status->st_mode & S_IWOTH) != 0) {
        return refuse(path, "everybody", "o-w", err);
    }
    if ((status->st_mode & S_IWGRP) != 0 && (is_key || !is_own_group(status))) {
        return refuse(path, "its group", "g-w", err);
    }
    if (is_key && status->st_uid != 0 && status->st_uid != geteuid()) {
        return err_set(err, AUGURY_ERR_INVALID, "file_of_another_user",
                       "%.200s belongs to user %u; keys belong to root or to the user who imports",
                       path, (unsigned)status->st_uid);
    }
    return 0;
}

int
proc_check_secret(const struct stat *status, const char *path, struct err *err)
{
    if ((status->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "secret_readable_by_others",
                       "%.200s is a private key and open to others; chmod 600 it first", path);
    }
    return 0;
}
