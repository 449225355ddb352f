/* SPDX-License-Identifier: MIT */
/* test_log.c - log lines: their form, their levels, rotation, and several processes writing one
 * file. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/base.h"

enum { WRITERS = 4, LINES_EACH = 500 };

static char folder[] = "/tmp/augury-log-XXXXXX";
static char path[64];
static char moved[64];
static char content[1 << 20];

/* The whole file, as text. */
static const char *
read_all(const char *name)
{
    FILE *file = fopen(name, "r");
    size_t len = file == NULL ? 0 : fread(content, 1, sizeof(content) - 1, file);
    content[len] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    return content;
}

static void
a_line_has_time_level_process_generation_and_pid(void)
{
    struct log log;
    char want[128];
    CHECK_INT(log_open(&log, path, LOG_LEVEL_INFO, NULL), 0);
    log_name(&log, "worker.3", 7);
    log_event(&log, LOG_LEVEL_WARN, "request_done", "status=%d us=%d", 200, 412);
    log_close(&log);
    const char *line = read_all(path);
    snprintf(want, sizeof(want),
             "Z level=warn process=worker.3 gen=7 pid=%d event=request_done status=200 us=412\n",
             (int)getpid());
    unlink(path);
    CHECK_TEXT(line + CLOCK_ISO_BYTES - 1, want);
    CHECK(strncmp(line, "20", 2) == 0 && line[10] == 'T' && line[19] == '.');
}

static void
less_important_events_are_left_out(void)
{
    struct log log;
    CHECK_INT(log_open(&log, path, LOG_LEVEL_WARN, NULL), 0);
    log_event(&log, LOG_LEVEL_DEBUG, "d", "x=1");
    log_event(&log, LOG_LEVEL_INFO, "i", "x=1");
    log_event(&log, LOG_LEVEL_WARN, "w", "x=1");
    log_event(&log, LOG_LEVEL_ERROR, "e", "x=1");
    log_event(NULL, LOG_LEVEL_ERROR, "nobody", "x=1");
    log_close(&log);
    const char *text = read_all(path);
    unlink(path);
    CHECK(strstr(text, "event=d ") == NULL && strstr(text, "event=i ") == NULL);
    CHECK_CONTAINS(text, "event=w ");
    CHECK_CONTAINS(text, "event=e ");
    CHECK(strstr(text, "event=nobody") == NULL);
}

static void
a_reopened_log_leaves_the_rotated_file(void)
{
    struct log log;
    CHECK_INT(log_open(&log, path, LOG_LEVEL_INFO, NULL), 0);
    log_event(&log, LOG_LEVEL_INFO, "first", "x=1");
    CHECK_INT(rename(path, moved), 0);
    log_event(&log, LOG_LEVEL_INFO, "second", "x=1");
    CHECK_INT(log_reopen(&log), 0);
    log_event(&log, LOG_LEVEL_INFO, "third", "x=1");
    log_close(&log);
    const char *old = read_all(moved);
    bool is_old_right = strstr(old, "event=first") != NULL && strstr(old, "event=second") != NULL &&
                        strstr(old, "event=third") == NULL;
    const char *new = read_all(path);
    bool is_new_right = strstr(new, "event=third") != NULL && strstr(new, "event=second") == NULL;
    unlink(path);
    unlink(moved);
    CHECK(is_old_right);
    CHECK(is_new_right);
}

static void
lines_of_several_processes_never_mix(void)
{
    struct log log;
    char filler[600];
    CHECK_INT(log_open(&log, path, LOG_LEVEL_INFO, NULL), 0);
    memset(filler, 'f', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    fflush(stdout);
    for (unsigned i = 0; i < WRITERS; i++) {
        if (fork() == 0) {
            for (int k = 0; k < LINES_EACH; k++) {
                log_event(&log, LOG_LEVEL_INFO, "line", "len=%d text=%.*s.", k, k, filler);
            }
            _exit(0);
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        (void)wait(NULL);
    }
    log_close(&log);
    size_t right = 0;
    size_t lines = 0;
    char *text = (char *)read_all(path);
    for (char *next, *line = text; (next = strchr(line, '\n')) != NULL; line = next + 1, lines++) {
        int len = -1;
        const char *fields = strstr(line, "event=line len=");
        *next = '\0';
        if (fields != NULL && sscanf(fields, "event=line len=%d ", &len) == 1) {
            const char *run = strstr(fields, "text=") + 5;
            size_t span = strspn(run, "f");
            right += span == (size_t)len && run[span] == '.' && run[span + 1] == '\0';
        }
    }
    unlink(path);
    CHECK_INT(lines, WRITERS * LINES_EACH);
    CHECK_INT(right, WRITERS * LINES_EACH);
}

static void
an_endless_line_is_cut_and_still_one_line(void)
{
    static char filler[10000];
    struct log log;
    memset(filler, 'f', sizeof(filler) - 1);
    CHECK_INT(log_open(&log, path, LOG_LEVEL_INFO, NULL), 0);
    log_event(&log, LOG_LEVEL_INFO, "long", "text=%s", filler);
    log_event(&log, LOG_LEVEL_INFO, filler, "x=1");
    log_close(&log);
    const char *text = read_all(path);
    size_t len = strlen(text);
    unlink(path);
    CHECK(len > 2000 && len < 4200);
    CHECK(text[len - 1] == '\n');
    CHECK(strchr(text, '\n') < text + len - 1);
}

static void
quoted_text_cannot_forge_a_field_or_a_line(void)
{
    char out[64];
    CHECK_TEXT(log_quote(bytes_of_text("a b"), out, sizeof(out)), "\"a b\"");
    CHECK_TEXT(log_quote(bytes_of_text("\" x=\"1"), out, sizeof(out)), "\"\\\" x=\\\"1\"");
    CHECK_TEXT(log_quote(bytes_of_text("a\nb\x7f\\"), out, sizeof(out)), "\"a\\x0ab\\x7f\\\\\"");
    CHECK_TEXT(log_quote(bytes_of(NULL, 0), out, sizeof(out)), "\"\"");
    for (size_t size = 8; size <= sizeof(out); size++) {
        log_quote(bytes_of_text("\n\n\n\n\n\"\"\"\"\n\n\n\n\n\n\n\n\n\n\n"), out, size);
        CHECK(strlen(out) < size);
        CHECK(out[strlen(out) - 1] == '"');
    }
}

static void
a_log_that_cannot_be_opened_says_which_and_why(void)
{
    struct log log;
    struct err err;
    CHECK_INT(log_open(&log, "/nonexistent/augury.log", LOG_LEVEL_INFO, &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "/nonexistent/augury.log");
    CHECK_CONTAINS(err.reason, "No such file");
    CHECK_INT(log_open(&log, "stderr", LOG_LEVEL_INFO, &err), 0);
    CHECK_INT(log.fd, STDERR_FILENO);
    CHECK_INT(log_reopen(&log), 0);
}

static void
levels_are_found_by_name(void)
{
    enum log_level level = LOG_LEVEL_ERROR;
    CHECK_INT(log_level_find("debug", &level), 0);
    CHECK_INT(level, LOG_LEVEL_DEBUG);
    CHECK_INT(log_level_find("loud", &level), AUGURY_NOT_FOUND);
    CHECK_INT(level, LOG_LEVEL_DEBUG);
}

int
main(void)
{
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/augury.log", folder);
    snprintf(moved, sizeof(moved), "%s/augury.log.1", folder);
    TAP_RUN(a_line_has_time_level_process_generation_and_pid);
    TAP_RUN(less_important_events_are_left_out);
    TAP_RUN(a_reopened_log_leaves_the_rotated_file);
    TAP_RUN(lines_of_several_processes_never_mix);
    TAP_RUN(an_endless_line_is_cut_and_still_one_line);
    TAP_RUN(quoted_text_cannot_forge_a_field_or_a_line);
    TAP_RUN(a_log_that_cannot_be_opened_says_which_and_why);
    TAP_RUN(levels_are_found_by_name);
    rmdir(folder);
    return tap_done();
}
