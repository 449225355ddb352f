/* SPDX-License-Identifier: MIT */
/* test_heritage.c - what crosses fork: the configuration's sequence, the reason of a failed start,
 * the heartbeat. */
#include "../../tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/app/heritage.h"

static bool
setup(struct heritage *heritage, struct conf **conf)
{
    struct conf_errors errors;
    struct conf_source source = {.path = NULL};
    struct err err;

    *heritage = (struct heritage){.slot = 5};
    return conf_load(&source, conf, &errors) == 0 && heritage_setup(heritage, *conf, &err) == 0;
}

static void
a_new_configuration_is_seen_once_by_another_process(void)
{
    struct heritage heritage;
    struct conf *conf = NULL;
    int status = -1;

    CHECK(setup(&heritage, &conf));
    heritage_conf_put(heritage.shared, conf);
    pid_t pid = fork();
    if (pid == 0) {
        struct conf seen;
        uint32_t sequence = 0;
        bool is_good = heritage_conf_get(heritage.shared, &sequence, &seen) &&
                       memcmp(&seen, conf, sizeof(seen)) == 0 &&
                       !heritage_conf_get(heritage.shared, &sequence, &seen);
        _exit(is_good ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    heritage_teardown(&heritage);
    conf_free(&conf);
}

static void
a_half_written_configuration_is_not_taken(void)
{
    struct heritage heritage;
    struct conf *conf = NULL;
    struct conf seen = {.workers = 99};
    uint32_t sequence = 0;

    CHECK(setup(&heritage, &conf));
    heritage_conf_put(heritage.shared, conf);
    atomic_fetch_add(&heritage.shared->conf_sequence, 1); /* a writer stopped in the middle */
    CHECK(!heritage_conf_get(heritage.shared, &sequence, &seen));
    CHECK_INT(seen.workers, 99);
    atomic_fetch_add(&heritage.shared->conf_sequence, 1);
    CHECK(heritage_conf_get(heritage.shared, &sequence, &seen));
    CHECK_INT(seen.workers, conf->workers);
    heritage_teardown(&heritage);
    conf_free(&conf);
}

static void
the_reason_of_a_failed_start_reaches_the_master(void)
{
    struct heritage heritage;
    struct conf *conf = NULL;
    int status = -1;

    CHECK(setup(&heritage, &conf));
    heritage.log = (struct log){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    pid_t pid = fork();
    if (pid == 0) {
        struct err err;
        err_set(&err, AUGURY_ERR_IO, "x", "no room in /dev/shm");
        _exit(heritage_fail(&heritage, PROC_EXIT_FAILED, "worker", &err));
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PROC_EXIT_FAILED);
    CHECK_TEXT(heritage.shared->failure, "worker: no room in /dev/shm");
    close(heritage.log.fd);
    heritage_teardown(&heritage);
    conf_free(&conf);
}

static void
a_heartbeat_goes_to_the_slot_of_the_process(void)
{
    struct heritage heritage;
    struct conf *conf = NULL;

    CHECK(setup(&heritage, &conf));
    uint64_t before = clock_mono_ms();
    heritage_heartbeat(&heritage);
    CHECK(atomic_load(&heritage.shared->board.slots[5].heartbeat_mono_ms) >= before);
    CHECK_INT(atomic_load(&heritage.shared->board.slots[4].heartbeat_mono_ms), 0);
    heritage_teardown(&heritage);
    CHECK_INT(heritage.wake_fd, -1);
    conf_free(&conf);
}

static void
the_map_is_six_times_the_cache_unless_it_is_said(void)
{
    struct heritage heritage;
    struct conf *conf = NULL;

    CHECK(setup(&heritage, &conf));
    CHECK_INT(heritage.cache_map_bytes, 6 * conf->cache.size_bytes);
    heritage_teardown(&heritage);
    conf->cache.map_bytes = 3ULL << 30;
    struct err err;
    CHECK_INT(heritage_setup(&heritage, conf, &err), 0);
    CHECK_INT(heritage.cache_map_bytes, 3ULL << 30);
    heritage_teardown(&heritage);
    conf_free(&conf);
}

int
main(void)
{
    TAP_RUN(a_new_configuration_is_seen_once_by_another_process);
    TAP_RUN(a_half_written_configuration_is_not_taken);
    TAP_RUN(the_reason_of_a_failed_start_reaches_the_master);
    TAP_RUN(a_heartbeat_goes_to_the_slot_of_the_process);
    TAP_RUN(the_map_is_six_times_the_cache_unless_it_is_said);
    return tap_done();
}
