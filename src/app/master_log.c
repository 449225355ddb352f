/* SPDX-License-Identifier: MIT */
/*
 * master_log.c - the log of the master, which every child inherits: opened at the start, changed by
 * a reload, reopened on USR1. Children reopen it themselves, with their own rights; therefore the
 * file is given to their user.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master.h"

/* In a folder that the daemon's user may write to, a link could make root give away what it points
 * to. */
static bool
is_the_file_itself(const struct log *log, const struct stat *opened)
{
    struct stat named;

    return opened->st_nlink == 1 && lstat(log->path, &named) == 0 &&
           named.st_ino == opened->st_ino && named.st_dev == opened->st_dev;
}

/* Gives a log file to the children's user; pipes and terminals stay whose they are, and so does the
 * group of a file that is the user's already: logrotate may have set it. */
static int
give_away(const struct master *master, const struct log *log, struct err *err)
{
    struct stat opened;

    if (log->path[0] == '\0' || geteuid() != 0) {
        return 0;
    }
    if (fstat(log->fd, &opened) != 0) {
        return err_set(err, AUGURY_ERR_IO, "log_open", "log file %s: %s", log->path,
                       strerror(errno));
    }
    if (!S_ISREG(opened.st_mode) || opened.st_uid == master->uid) {
        return 0;
    }
    if (!is_the_file_itself(log, &opened)) {
        return err_set(err, AUGURY_ERR_DENIED, "log_is_link",
                       "log file %s: a link, which root does not give to another user", log->path);
    }
    return fchown(log->fd, master->uid, master->gid) == 0
               ? 0
               : err_set(err, AUGURY_ERR_IO, "log_open", "log file %s: %s", log->path,
                         strerror(errno));
}

int
master_log_adopt(struct master *master, const struct conf *conf, struct err *err)
{
    struct log *log = &master->heritage.log;
    const char *path = strcmp(conf->log.file, "stderr") == 0 ? "" : conf->log.file;
    enum log_level level = LOG_LEVEL_INFO;
    struct log fresh;

    int rc = log_level_find(conf->log.level, &level);
    AUGURY_ASSERT(rc == 0); /* conf allows no other word */
    if (strcmp(path, log->path) == 0) {
        log->level = level;
        return 0;
    }
    rc = path[0] == '\0' ? 0 : proc_make_parent(path, geteuid(), getegid(), err);
    if (rc == 0) {
        rc = log_open(&fresh, path, level, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = give_away(master, &fresh, err);
    if (rc != 0) {
        log_close(&fresh);
        return rc;
    }
    log_name(&fresh, "master", log->generation);
    log_close(log);
    *log = fresh;
    return 0;
}

void
master_log_reopen(struct master *master)
{
    struct log *log = &master->heritage.log;
    struct err err;
    char quoted[400];

    if (log_reopen(log) != 0) {
        log_event(log, LOG_LEVEL_ERROR, "log_reopen_failed", "errno=%d", errno);
        return;
    }
    if (give_away(master, log, &err) != 0) {
        log_event(log, LOG_LEVEL_WARN, "log_chown_failed", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
    }
    master->log_reopens++;
    children_signal(master, SIGUSR1);
    log_event(log, LOG_LEVEL_INFO, "log_reopened", "path=%s", log->path);
}
