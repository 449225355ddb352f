/* SPDX-License-Identifier: MIT */
/*
 * master_start.c - the order of the start: detach, pidfile, log, folders, limits, shared memory,
 * listeners, admin socket, then the first children; and the same backwards at the end. What fails
 * before the workers serve is told to whoever typed the command.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/net.h"
#include "master.h"

enum {
    ADMIN_SOCKET_MODE = 0660,
    ADMIN_SOCKET_BACKLOG = 64,
    LOCK_WAIT_MS = 2000 /* for the supervisor of a master that was killed a moment ago */
};

/* Group and mode of what is there; a link that the daemon's user may have laid is not followed. */
static int
share_one(const char *path, gid_t gid, mode_t mode)
{
    struct stat status;
    int rc = 0;

    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    errno = EPERM;
    if (fstat(fd, &status) != 0 ||
        !(S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink == 1))) {
        rc = -1;
    }
    if (rc == 0 && status.st_gid != gid) {
        rc = fchown(fd, (uid_t)-1, gid);
    }
    if (rc == 0 && (status.st_mode & 07777) != mode) {
        rc = fchmod(fd, mode);
    }
    int why = errno;
    close(fd);
    errno = why;
    return rc;
}

enum { SHARED_FOLDER = 02750, PRIVATE_FOLDER = 0700 };

/* The readers' group gets folder and files of the cache, files made later as well (set-group-ID);
 * without one, what was shared before is taken back. */
static int
share_cache(const struct master *master, const struct conf *conf, struct err *err)
{
    const char *dir = conf->cache.dir;
    bool is_shared = conf->cache.group[0] != '\0';
    char data[CONF_PATH_BYTES + 16], lock[CONF_PATH_BYTES + 16];
    struct stat status;
    uid_t uid = 0;
    gid_t gid = master->gid;

    if (!is_shared && (stat(dir, &status) != 0 || (status.st_mode & 07777) != SHARED_FOLDER)) {
        return 0;
    }
    int rc = is_shared ? proc_find_user("", conf->cache.group, &uid, &gid, err) : 0;
    if (rc != 0) {
        return rc;
    }
    snprintf(data, sizeof(data), "%s/data.mdb", dir);
    snprintf(lock, sizeof(lock), "%s/lock.mdb", dir);
    if (share_one(dir, gid, is_shared ? SHARED_FOLDER : PRIVATE_FOLDER) != 0 ||
        share_one(data, gid, is_shared ? 0640 : 0600) != 0 ||
        share_one(lock, gid, is_shared ? 0660 : 0600) != 0) {
        return err_set(err, AUGURY_ERR_DENIED, "cache_group",
                       "cache.group: %s: %s; start as root, or as a member of the group", dir,
                       strerror(errno));
    }
    return 0;
}

/* A folder under two names, as by a link, would have its one file made anew as the other's. */
static int
refuse_same(const char *one, const char *other, struct err *err)
{
    struct stat one_status, other_status;

    if (stat(one, &one_status) != 0 || stat(other, &other_status) != 0 ||
        one_status.st_dev != other_status.st_dev || one_status.st_ino != other_status.st_ino) {
        return 0;
    }
    return err_set(err, AUGURY_ERR_INVALID, "same_dir",
                   "%s and %s are the same folder; models, cache and disk tier each need their own",
                   one, other);
}

/* The disk tier is no condition of a start: without its folder its keeper says so, and goes on. */
static int
make_disk_folder(const struct master *master, const struct conf *conf, struct err *err)
{
    struct err why;

    if (!conf->disk.is_enabled ||
        proc_make_dir(conf->disk.dir, master->uid, master->gid, &why) != 0) {
        return 0;
    }
    int rc = refuse_same(conf->disk.dir, conf->models.dir, err);
    return rc != 0 ? rc : refuse_same(conf->disk.dir, conf->cache.dir, err);
}

/* The daemon's user gets the folders that it writes to. In those of pidfile, socket and log it
 * could lay links in root's way. */
static int
make_folders(struct master *master, const struct conf *conf, struct err *err)
{
    int rc = proc_make_parent(conf->admin.socket, geteuid(), getegid(), err);

    if (rc == 0) {
        rc = proc_make_dir(conf->models.dir, master->uid, master->gid, err);
    }
    if (rc == 0) {
        rc = proc_make_dir(conf->cache.dir, master->uid, master->gid, err);
    }
    if (rc == 0) {
        rc = refuse_same(conf->cache.dir, conf->models.dir, err);
    }
    if (rc == 0) {
        rc = make_disk_folder(master, conf, err);
    }
    if (rc == 0) {
        rc = share_cache(master, conf, err);
    }
    return rc != 0 ? rc : proc_lock_dir(conf->cache.dir, LOCK_WAIT_MS, &master->cache_lock_fd, err);
}

/* Made by root, used by the daemon's user and the operators. */
static int
open_admin_socket(struct master *master, const struct conf *conf, struct err *err)
{
    uid_t uid = master->uid;
    gid_t gid = master->gid;

    struct net_unix_options options = {
        .path = conf->admin.socket, .mode = ADMIN_SOCKET_MODE, .backlog = ADMIN_SOCKET_BACKLOG};

    int rc = net_unix_listener_open(&options, &master->heritage.admin_fd, err);
    if (rc != 0) {
        return rc;
    }
    if (conf->admin.operator_group[0] != '\0') {
        rc = proc_find_user("", conf->admin.operator_group, &uid, &gid, err);
        uid = master->uid;
    }
    if (rc == 0 && (geteuid() == 0 || gid != getegid()) &&
        chown(conf->admin.socket, geteuid() == 0 ? uid : (uid_t)-1, gid) != 0) {
        rc = err_set(err, AUGURY_ERR_IO, "admin_socket", "socket %s: %s", conf->admin.socket,
                     strerror(errno));
    }
    return rc;
}

static int
take_signals(struct master *master, struct err *err)
{
    static const int numbers[] = {SIGCHLD, SIGHUP, SIGUSR1, SIGQUIT, SIGTERM, SIGINT};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN); /* elsewhere it asks for an upgrade; it must not end us */
    sigemptyset(&set);
    for (size_t i = 0; i < AUGURY_COUNT(numbers); i++) {
        sigaddset(&set, numbers[i]);
    }
    if (proc_signal_fd(&set, &master->signal_fd) != 0) {
        return err_set(err, AUGURY_ERR_IO, "signals", "signalfd: %s", strerror(errno));
    }
    return 0;
}

static void
show_master(struct master *master)
{
    struct proc_board *board = &master->heritage.shared->board;
    struct proc_slot *slot = &board->slots[PROC_SLOT_MASTER];

    snprintf(board->kind_names[0], sizeof(board->kind_names[0]), "%s",
             child_kind_name(CHILD_SUPERVISOR));
    snprintf(board->kind_names[1], sizeof(board->kind_names[1]), "%s",
             child_kind_name(CHILD_WORKER));
    snprintf(board->kind_names[2], sizeof(board->kind_names[2]), "master");
    atomic_store(&board->started_wall_ms, clock_wall_ms());
    atomic_store(&board->generation, 1);
    atomic_store(&slot->kind, 2);
    atomic_store(&slot->generation, 1);
    atomic_store(&slot->pid, (int32_t)getpid());
    atomic_store(&slot->state, (uint32_t)PROC_STATE_READY);
    atomic_store(&slot->started_mono_ms, master->started_mono_ms);
    atomic_store(&slot->heartbeat_mono_ms, master->started_mono_ms);
    (void)stats_slot(master->heritage.stats, PROC_SLOT_MASTER);
}

/* conf stays the caller's on failure before the first generation has it. */
static int
master_setup(struct master *master, struct conf **conf, struct err *err)
{
    const struct conf *read = *conf;

    umask(027);
    int rc = proc_find_user(read->user, read->group, &master->uid, &master->gid, err);
    if (rc == 0) {
        rc = proc_make_parent(read->pidfile, geteuid(), getegid(), err);
    }
    if (rc == 0) {
        rc = proc_pidfile_open(&master->pidfile, read->pidfile, err);
    }
    if (rc == 0) {
        rc = master_log_adopt(master, read, err);
    }
    if (rc == 0) {
        rc = make_folders(master, read, err);
    }
    if (rc == 0) {
        rc = heritage_setup(&master->heritage, read, err);
    }
    if (rc == 0) {
        rc = open_admin_socket(master, read, err);
    }
    if (rc == 0 && proc_life_open(&master->life) != 0) {
        rc = err_set(err, AUGURY_ERR_IO, "life", "pipe: %s", strerror(errno));
    }
    if (rc == 0) {
        rc = take_signals(master, err);
    }
    if (rc != 0) {
        return rc;
    }
    heritage_conf_put(master->heritage.shared, read);
    show_master(master);
    *conf = NULL; /* the generation has it now */
    return generations_first(master, (struct conf *)(uintptr_t)read, err);
}

static void
master_teardown(struct master *master, const char *admin_socket)
{
    if (master->heritage.admin_fd >= 0) {
        unlink(admin_socket);
    }
    generations_close(master);
    proc_life_close(&master->life);
    if (master->signal_fd >= 0) {
        close(master->signal_fd);
    }
    if (master->cache_lock_fd >= 0) {
        close(master->cache_lock_fd);
    }
    heritage_teardown(&master->heritage);
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "end", "status=%d", master->exit_status);
    log_close(&master->heritage.log);
    /* Whoever waits for the pidfile to go, or for the command to return, finds everything gone. */
    proc_pidfile_close(&master->pidfile);
    if (master->ready_fd >= 0) {
        bool has_reason = master->failure[0] != '\0';
        proc_ready_tell(&master->ready_fd, PROC_EXIT_FAILED,
                        has_reason ? master->failure : "stopped before it was ready");
    }
}

static struct master *
master_new(const struct conf_source *source, const struct proc_title *title)
{
    struct master *master = calloc(1, sizeof(*master));

    if (master == NULL) {
        return NULL;
    }
    master->source = *source;
    master->signal_fd = master->ready_fd = master->pidfile.fd = -1;
    master->cache_lock_fd = -1;
    master->life = (struct proc_life){-1, -1};
    master->heritage.admin_fd = master->heritage.wake_fd = -1;
    master->heritage.command_read_fd = master->heritage.command_write_fd = -1;
    master->heritage.log = (struct log){.fd = STDERR_FILENO, .level = LOG_LEVEL_ERROR};
    log_name(&master->heritage.log, "master", 1);
    master->heritage.title = *title;
    master->started_mono_ms = clock_mono_ms();
    for (size_t i = 0; i < PROC_SLOTS; i++) {
        master->children[i].ready_fd = -1;
    }
    return master;
}

int
master_main(const struct conf_source *source, struct conf *conf, const struct proc_title *title)
{
    struct master *master = master_new(source, title);
    char admin_socket[CONF_PATH_BYTES];
    struct err err;

    if (master == NULL) {
        conf_free(&conf);
        return PROC_EXIT_FAILED;
    }
    snprintf(admin_socket, sizeof(admin_socket), "%s", conf->admin.socket);
    int rc = conf->is_daemon ? proc_daemonize(&master->ready_fd, &err) : 0;
    if (rc == 0) {
        rc = master_setup(master, &conf, &err);
    }
    if (rc == 0) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "start", "version=%s uid=%u",
                  PACKAGE_VERSION, (unsigned)master->uid);
        proc_title_set(title, "auguryd: master gen 1");
        children_start_supervisor(master);
        master_run(master);
    } else {
        master_give_up(master, err.reason);
    }
    int status = master->exit_status;
    master_teardown(master, admin_socket);
    conf_free(&conf);
    free(master);
    return status;
}
