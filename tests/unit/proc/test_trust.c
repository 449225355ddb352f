/* SPDX-License-Identifier: MIT */
/* test_trust.c - who may have written a file, told from its mode. */
#include "augury/proc.h"

#include <pwd.h>
#include <unistd.h>

#include "../../tap.h"

static struct stat
status_of(uid_t uid, gid_t gid, mode_t mode)
{
    return (struct stat){.st_uid = uid, .st_gid = gid, .st_mode = S_IFREG | mode};
}

static int
trusted(struct stat status, enum proc_trust trust, struct err *err)
{
    return proc_check_trust(&status, "/models/wp.json", trust, err);
}

static void
what_everybody_may_write_to_is_refused_whoever_owns_it(void)
{
    struct err err;

    CHECK_INT(trusted(status_of(0, 0, 0666), PROC_TRUST_FILE, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "file_writable_by_others");
    CHECK_CONTAINS(err.reason, "/models/wp.json");
    CHECK_CONTAINS(err.reason, "chmod o-w");
    CHECK_INT(trusted(status_of(geteuid(), getegid(), 0602), PROC_TRUST_FILE, &err),
              AUGURY_ERR_INVALID);
    CHECK_INT(trusted(status_of(geteuid(), getegid(), 0644), PROC_TRUST_FILE, &err), 0);
}

static void
a_group_of_one_s_own_may_write_and_another_may_not(void)
{
    const gid_t foreign = 4000000000U;
    struct err err;
    const struct passwd *user = getpwnam("daemon");

    CHECK_INT(trusted(status_of(geteuid(), getegid(), 0664), PROC_TRUST_FILE, &err), 0);
    CHECK_INT(trusted(status_of(geteuid(), foreign, 0644), PROC_TRUST_FILE, &err), 0);
    CHECK_INT(trusted(status_of(geteuid(), foreign, 0664), PROC_TRUST_FILE, &err),
              AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "chmod g-w");
    if (user == NULL) {
        SKIP("there is no user \"daemon\"");
    }
    CHECK_INT(trusted(status_of(user->pw_uid, user->pw_gid, 0664), PROC_TRUST_FILE, &err), 0);
}

static void
keys_are_for_root_or_us_to_write_alone(void)
{
    const uid_t foreign = 4000000000U;
    struct err err;

    CHECK_INT(trusted(status_of(geteuid(), getegid(), 0644), PROC_TRUST_KEY, &err), 0);
    CHECK_INT(trusted(status_of(0, 0, 0644), PROC_TRUST_KEY, &err), 0);
    CHECK_INT(trusted(status_of(geteuid(), getegid(), 0664), PROC_TRUST_KEY, &err),
              AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "file_writable_by_others");
    CHECK_INT(trusted(status_of(foreign, getegid(), 0644), PROC_TRUST_KEY, &err),
              AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "file_of_another_user");
    CHECK_INT(trusted(status_of(foreign, getegid(), 0644), PROC_TRUST_FILE, &err), 0);
}

static void
a_private_key_is_open_to_its_owner_alone(void)
{
    static const mode_t open_modes[] = {0640, 0604, 0620, 0610, 0601};
    struct stat status = status_of(geteuid(), getegid(), 0600);
    struct err err;

    CHECK_INT(proc_check_secret(&status, "key.pem", &err), 0);
    for (size_t i = 0; i < AUGURY_COUNT(open_modes); i++) {
        status.st_mode = S_IFREG | open_modes[i];
        CHECK_INT(proc_check_secret(&status, "key.pem", &err), AUGURY_ERR_INVALID);
        CHECK_TEXT(err.code, "secret_readable_by_others");
    }
}

int
main(void)
{
    TAP_RUN(what_everybody_may_write_to_is_refused_whoever_owns_it);
    TAP_RUN(a_group_of_one_s_own_may_write_and_another_may_not);
    TAP_RUN(keys_are_for_root_or_us_to_write_alone);
    TAP_RUN(a_private_key_is_open_to_its_owner_alone);
    return tap_done();
}
