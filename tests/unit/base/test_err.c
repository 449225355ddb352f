/* SPDX-License-Identifier: MIT */
/* test_err.c - codes, errors with a place, and assertions that stop the process. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/base.h"

static void
every_code_has_words_of_its_own(void)
{
    for (int rc = AUGURY_ERR_STATE; rc <= AUGURY_END; rc++) {
        CHECK(strcmp(augury_strerror(rc), "unknown error") != 0);
        for (int other = AUGURY_ERR_STATE; other < rc; other++) {
            CHECK(strcmp(augury_strerror(rc), augury_strerror(other)) != 0);
        }
    }
    CHECK_TEXT(augury_strerror(-99), "unknown error");
}

static void
setting_an_error_is_one_step_with_returning_its_code(void)
{
    struct err err = {.at = "an old place"};
    CHECK_INT(err_set(&err, AUGURY_ERR_INVALID, "invalid_feature", "feature \"%s\"", "down"),
              AUGURY_ERR_INVALID);
    CHECK_TEXT(err.at, "");
    CHECK_INT(err_at(&err, "rows[%d].down", 3), AUGURY_ERR_INVALID);
    CHECK_INT(err.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "invalid_feature");
    CHECK_TEXT(err.at, "rows[3].down");
    CHECK_TEXT(err.reason, "feature \"down\"");
}

static void
nobody_need_listen(void)
{
    CHECK_INT(err_set(NULL, AUGURY_ERR_IO, "io", "%d", 1), AUGURY_ERR_IO);
    CHECK_INT(err_at(NULL, "x"), 0);
}

static void
a_long_reason_is_cut_and_still_ends(void)
{
    static char text[5000];
    struct err err;
    memset(text, 'r', sizeof(text) - 1);
    err_set(&err, AUGURY_ERR_INVALID, "x", "%s", text);
    err_at(&err, "%s", text);
    CHECK_INT(strlen(err.reason), sizeof(err.reason) - 1);
    CHECK_INT(strlen(err.at), sizeof(err.at) - 1);
}

static void
a_broken_assertion_names_its_line_and_aborts(void)
{
    int ends[2];
    char said[256] = {0};
    CHECK_INT(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        AUGURY_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    ssize_t len = read(ends[0], said, sizeof(said) - 1);
    close(ends[0]);
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(len > 0);
    CHECK_CONTAINS(said, "test_err.c:");
    CHECK_CONTAINS(said, "1 + 1 == 3");
}

/* "\xc3\xa9" is one character; the reason is cut after its first byte. */
static void
a_message_is_one_line_of_text_whatever_it_quotes(void)
{
    struct err err;

    err_set(&err, AUGURY_ERR_INVALID, "x", "%.*s|", 4, "abc\xc3\xa9");
    CHECK_TEXT(err.reason, "abc?|");
    err_set(&err, AUGURY_ERR_INVALID, "x",
            "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x1b[2J\r\n\x7f");
    CHECK_TEXT(err.reason, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 ?[2J???");
    (void)err_at(&err, "\xff\xfe\xc0\x80\xed\xa0\x80 %s", "\xf0\x9f\x98");
    CHECK_TEXT(err.at, "??????? ???");
    char long_text[sizeof(err.reason) + 8];
    memset(long_text, 'a', sizeof(long_text));
    memcpy(long_text + sizeof(err.reason) - 2, "\xc3\xa9", 3); /* the cut parts the two bytes */
    err_set(&err, AUGURY_ERR_INVALID, "x", "%s", long_text);
    CHECK_INT(strlen(err.reason), sizeof(err.reason) - 1);
    CHECK_INT(err.reason[sizeof(err.reason) - 2], '?');
}

int
main(void)
{
    TAP_RUN(every_code_has_words_of_its_own);
    TAP_RUN(setting_an_error_is_one_step_with_returning_its_code);
    TAP_RUN(nobody_need_listen);
    TAP_RUN(a_long_reason_is_cut_and_still_ends);
    TAP_RUN(a_message_is_one_line_of_text_whatever_it_quotes);
    TAP_RUN(a_broken_assertion_names_its_line_and_aborts);
    return tap_done();
}
