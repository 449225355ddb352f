/* SPDX-License-Identifier: MIT */
/* test_pidfile.c - one holder, and removal by the holder alone. */
#include "../../tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/proc.h"

struct place {
    char dir[64];
    char path[96];
};

static bool
place_make(struct place *place)
{
    snprintf(place->dir, sizeof(place->dir), "/tmp/augury-pid-XXXXXX");
    if (mkdtemp(place->dir) == NULL) {
        return false;
    }
    snprintf(place->path, sizeof(place->path), "%s/a.pid", place->dir);
    return true;
}

static void
the_file_holds_our_number_and_goes_with_us(void)
{
    struct place place;
    struct proc_pidfile pidfile;
    struct err err;
    struct stat status;
    char text[32] = "";
    char want[32];

    CHECK(place_make(&place));
    CHECK_INT(proc_pidfile_open(&pidfile, place.path, &err), 0);
    FILE *file = fopen(place.path, "r");
    CHECK(file != NULL);
    CHECK(fgets(text, sizeof(text), file) != NULL);
    fclose(file);
    snprintf(want, sizeof(want), "%d\n", (int)getpid());
    CHECK_TEXT(text, want);
    CHECK(stat(place.path, &status) == 0 && (status.st_mode & 07777) == 0644);
    proc_pidfile_close(&pidfile);
    CHECK(access(place.path, F_OK) != 0);
    proc_pidfile_close(&pidfile);
    rmdir(place.dir);
}

static void
a_second_daemon_is_told_who_holds_it(void)
{
    struct place place;
    struct proc_pidfile first;
    struct proc_pidfile second;
    struct err err;
    char want[64];

    CHECK(place_make(&place));
    CHECK_INT(proc_pidfile_open(&first, place.path, &err), 0);
    CHECK_INT(proc_pidfile_open(&second, place.path, &err), AUGURY_ERR_BUSY);
    snprintf(want, sizeof(want), "held by process %d", (int)getpid());
    CHECK_CONTAINS(err.reason, want);
    proc_pidfile_close(&second);
    CHECK(access(place.path, F_OK) == 0);
    proc_pidfile_close(&first);
    rmdir(place.dir);
}

static void
a_stale_file_is_taken_over(void)
{
    struct place place;
    struct proc_pidfile pidfile;
    struct err err;

    CHECK(place_make(&place));
    FILE *file = fopen(place.path, "w");
    CHECK(file != NULL);
    fputs("1234567890\n", file);
    fclose(file);
    CHECK_INT(proc_pidfile_open(&pidfile, place.path, &err), 0);
    proc_pidfile_close(&pidfile);
    CHECK(access(place.path, F_OK) != 0);
    rmdir(place.dir);
}

static void
a_child_or_a_stranger_s_number_leaves_the_file(void)
{
    struct place place;
    struct proc_pidfile pidfile;
    struct err err;
    int status = 0;

    CHECK(place_make(&place));
    CHECK_INT(proc_pidfile_open(&pidfile, place.path, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        proc_pidfile_close(&pidfile);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    CHECK(access(place.path, F_OK) == 0);
    FILE *file = fopen(place.path, "w");
    CHECK(file != NULL);
    fputs("1\n", file);
    fclose(file);
    proc_pidfile_close(&pidfile);
    CHECK(access(place.path, F_OK) == 0);
    unlink(place.path);
    rmdir(place.dir);
}

static void
a_path_that_cannot_be_is_refused_with_a_reason(void)
{
    struct proc_pidfile pidfile;
    struct err err;

    CHECK_INT(proc_pidfile_open(&pidfile, "/nonexistent/a.pid", &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "/nonexistent/a.pid: No such file");
}

int
main(void)
{
    TAP_RUN(the_file_holds_our_number_and_goes_with_us);
    TAP_RUN(a_second_daemon_is_told_who_holds_it);
    TAP_RUN(a_stale_file_is_taken_over);
    TAP_RUN(a_child_or_a_stranger_s_number_leaves_the_file);
    TAP_RUN(a_path_that_cannot_be_is_refused_with_a_reason);
    return tap_done();
}
