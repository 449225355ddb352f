/* SPDX-License-Identifier: MIT */
/* test_rights.c - dropping rights (as root only), folders and the file limit. */
#include "../../tap.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/proc.h"

static int
exit_status(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
root_becomes_nobody_for_good(void)
{
    struct err err;

    if (geteuid() != 0) {
        SKIP("needs root");
    }
    pid_t pid = fork();
    if (pid == 0) {
        uid_t want = getpwnam("nobody")->pw_uid;
        uid_t real = 0;
        uid_t effective = 0;
        uid_t saved = 0;
        bool is_good = proc_drop_rights("nobody", "", &err) == 0 &&
                       getresuid(&real, &effective, &saved) == 0 && real == want &&
                       effective == want && saved == want && getgid() != 0 && setuid(0) != 0 &&
                       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
        _exit(is_good ? 0 : 1);
    }
    CHECK_INT(exit_status(pid), 0);
}

static void
an_ordinary_user_cannot_become_another(void)
{
    struct err err;

    if (geteuid() != 0) {
        SKIP("needs root to start from");
    }
    pid_t pid = fork();
    if (pid == 0) {
        bool is_good = proc_drop_rights("nobody", "", &err) == 0 &&
                       proc_drop_rights("root", "", &err) == AUGURY_ERR_DENIED &&
                       proc_drop_rights("nobody", "", &err) == 0;
        _exit(is_good ? 0 : 1);
    }
    CHECK_INT(exit_status(pid), 0);
}

static void
a_name_that_does_not_exist_is_an_error(void)
{
    uid_t uid = 0;
    gid_t gid = 0;
    struct err err;

    CHECK_INT(proc_find_user("no-such-user", "", &uid, &gid, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.reason, "user \"no-such-user\" does not exist");
    CHECK_INT(proc_find_user("", "no-such-group", &uid, &gid, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "unknown_group");
    CHECK_INT(proc_drop_rights("no-such-user", "", &err), AUGURY_ERR_INVALID);
    CHECK_INT(proc_find_user("", "", &uid, &gid, &err), 0);
    CHECK_INT(uid, geteuid());
}

static void
a_folder_is_made_private_and_its_parents_open_whatever_the_mask(void)
{
    char root[] = "/tmp/augury-dir-XXXXXX";
    char path[96];
    struct stat status;
    struct err err;

    CHECK(mkdtemp(root) != NULL);
    mode_t old = umask(0377);
    snprintf(path, sizeof(path), "%s/a/b/", root);
    int rc = proc_make_dir(path, geteuid(), getegid(), &err);
    umask(old);
    CHECK_INT(rc, 0);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0700);
    snprintf(path, sizeof(path), "%s/a", root);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0755);
    /* One that is there keeps its mode. */
    CHECK_INT(chmod(path, 0711), 0);
    CHECK_INT(proc_make_dir(path, geteuid(), getegid(), &err), 0);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0711);
    snprintf(path, sizeof(path), "%s/a/c/file", root);
    CHECK_INT(proc_make_parent(path, geteuid(), getegid(), &err), 0);
    snprintf(path, sizeof(path), "%s/a/c", root);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0755);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/a/b", root);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/a", root);
    rmdir(path);
    rmdir(root);
}

static void
a_file_in_the_way_is_named(void)
{
    struct err err;

    CHECK_INT(proc_make_dir("/dev/null/x", 0, 0, &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "/dev/null: Not a directory");
}

static void
the_file_limit_is_raised_as_far_as_allowed(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = 64, .rlim_max = 256};
        bool is_good = setrlimit(RLIMIT_NOFILE, &limit) == 0 && proc_raise_file_limit(200) == 0 &&
                       getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 200 &&
                       proc_raise_file_limit(100) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                       limit.rlim_cur == 200;
        _exit(is_good ? 0 : 1);
    }
    CHECK_INT(exit_status(pid), 0);
}

int
main(void)
{
    TAP_RUN(root_becomes_nobody_for_good);
    TAP_RUN(an_ordinary_user_cannot_become_another);
    TAP_RUN(a_name_that_does_not_exist_is_an_error);
    TAP_RUN(a_folder_is_made_private_and_its_parents_open_whatever_the_mask);
    TAP_RUN(a_file_in_the_way_is_named);
    TAP_RUN(the_file_limit_is_raised_as_far_as_allowed);
    return tap_done();
}
