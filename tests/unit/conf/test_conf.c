/* SPDX-License-Identifier: MIT */
/* test_conf.c - sources and their order, every error with its place, and the table as text. */
#include "../../tap.h"

#include <stdlib.h>
#include <unistd.h>

#include "augury/conf.h"

struct fixture {
    char path[64];
    struct conf *conf;
    struct conf_errors errors;
    int rc;
};

static bool
load_with(struct fixture *fixture, const char *text, const char *override, char *const *environment)
{
    struct conf_source source = {.environment = environment};

    *fixture = (struct fixture){.rc = -1};
    if (text != NULL) {
        snprintf(fixture->path, sizeof(fixture->path), "/tmp/augury-conf-XXXXXX");
        int fd = mkstemp(fixture->path);
        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
            return false;
        }
        close(fd);
        source.path = fixture->path;
    }
    if (override != NULL) {
        source.overrides = &override;
        source.override_count = 1;
    }
    fixture->rc = conf_load(&source, &fixture->conf, &fixture->errors);
    if (text != NULL) {
        unlink(fixture->path);
    }
    return true;
}

static bool
load(struct fixture *fixture, const char *text)
{
    return load_with(fixture, text, NULL, NULL);
}

/* Error i stands at that line of the file and says these words. */
static bool
has_error(const struct fixture *fixture, int line, const char *words)
{
    char at[96];

    snprintf(at, sizeof(at), "%s:%d", fixture->path, line);
    for (size_t i = 0; i < fixture->errors.count; i++) {
        const struct err *err = &fixture->errors.list[i];
        if (strcmp(err->at, at) == 0 && strstr(err->reason, words) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < fixture->errors.count; i++) {
        printf("# %s: %s\n", fixture->errors.list[i].at, fixture->errors.list[i].reason);
    }
    return false;
}

static void
without_a_file_the_defaults_are_in_force(void)
{
    struct fixture f;

    CHECK(load(&f, NULL));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->workers, 0);
    CHECK_INT(f.conf->listen_count, 1);
    CHECK_TEXT(f.conf->listen[0].name, "public");
    CHECK_TEXT(f.conf->listen[0].address, "127.0.0.1:8080");
    CHECK_INT(f.conf->cache.size_bytes, 256 << 20);
    CHECK_INT(f.conf->cache.classes[CONF_CACHE_PREDICTION].ttl_s, 60);
    CHECK_INT(f.conf->limits.header_timeout_ms, 10000);
    CHECK(f.conf->is_daemon);
    conf_free(&f.conf);
    CHECK(f.conf == NULL);
}

static void
a_file_sets_every_kind_of_value(void)
{
    struct fixture f;

    CHECK(load(&f, "# comment\n"
                   "workers = 3\n"
                   "daemon = off\n"
                   "listen \"public\" { address = \"*:80\" backlog = 77 }\n"
                   "listen \"inner\" { address = [::1]:0 }\n"
                   "models { dir = /srv/models\n map = 2GiB }\n"
                   "cache {\n size = \"512MiB\"\n"
                   "  class \"prediction\" { ttl = 5min decimals = 4 enabled = no }\n}\n"
                   "limits { send_timeout = 250ms drain_timeout = 2s head = 8K }\n"
                   "log { level = debug file = stderr }\n"));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->workers, 3);
    CHECK(!f.conf->is_daemon);
    CHECK_INT(f.conf->listen_count, 2);
    CHECK_TEXT(f.conf->listen[0].address, "*:80");
    CHECK_INT(f.conf->listen[0].backlog, 77);
    CHECK_TEXT(f.conf->listen[1].name, "inner");
    CHECK_TEXT(f.conf->listen[1].address, "[::1]:0");
    CHECK_INT(f.conf->listen[1].backlog, 1024);
    CHECK_TEXT(f.conf->models.dir, "/srv/models");
    CHECK_INT(f.conf->models.map_bytes, 2LL << 30);
    CHECK_INT(f.conf->cache.size_bytes, 512 << 20);
    CHECK_INT(f.conf->cache.classes[CONF_CACHE_PREDICTION].ttl_s, 300);
    CHECK_INT(f.conf->cache.prediction_decimals, 4);
    CHECK(!f.conf->cache.classes[CONF_CACHE_PREDICTION].is_enabled);
    CHECK_INT(f.conf->limits.send_timeout_ms, 250);
    CHECK_INT(f.conf->limits.drain_timeout_ms, 2000);
    CHECK_INT(f.conf->limits.head_bytes, 8192);
    CHECK_TEXT(f.conf->log.level, "debug");
    CHECK_TEXT(f.conf->log.file, "stderr");
    conf_free(&f.conf);
}

static void
a_number_may_be_a_word_that_its_option_allows(void)
{
    struct buf text;
    struct fixture f;

    CHECK(load(&f, "limits { target_lag = auto }\n"));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->limits.target_lag_ms, CONF_NUMBER_WORD);
    buf_init(&text, 1 << 20);
    conf_put_effective(f.conf, &text);
    buf_put_u8(&text, 0);
    CHECK_CONTAINS((const char *)text.data, "target_lag = auto  # ");
    buf_fini(&text);
    conf_free(&f.conf);
    CHECK(load(&f, "limits {\n target_lag = soon\n queue_time = auto\n}\n"));
    CHECK(f.rc != 0);
    CHECK(has_error(&f, 2, "such as 250ms or 10s, or auto, got"));
    CHECK(has_error(&f, 3, "such as 250ms or 10s, got"));
}

static void
every_bad_value_is_reported_with_its_line(void)
{
    struct fixture f;

    CHECK(load(&f, "workers = many\n"
                   "pidfile = relative.pid\n"
                   "daemon = perhaps\n"
                   "cache {\n"
                   "    size = 12parsecs\n"
                   "    class \"prediction\" {\n"
                   "        ttl = 99999999999\n"
                   "    }\n"
                   "}\n"
                   "listen \"public\" { address = 127.0.0.1 }\n"
                   "limits { header_timeout = 10 }\n"
                   "log { level = loud }\n"));
    CHECK_INT(f.rc, AUGURY_ERR_INVALID);
    CHECK(f.conf == NULL);
    CHECK_INT(f.errors.count, 8);
    CHECK(has_error(&f, 1, "workers: expected a whole number, got \"many\""));
    CHECK(has_error(&f, 2, "an absolute path"));
    CHECK(has_error(&f, 3, "yes or no"));
    CHECK(has_error(&f, 5, "a size such as 512MiB"));
    CHECK(has_error(&f, 7, "outside 1s to 365d"));
    CHECK(has_error(&f, 10, "an address such as"));
    CHECK(has_error(&f, 11, "with its unit"));
    CHECK(has_error(&f, 12, "error, warn, info, debug"));
}

static void
a_class_that_is_written_as_a_section_is_named_as_one(void)
{
    struct fixture f;

    CHECK(load(&f, "cache {\n  response {\n    ttl = 10min\n  }\n  size = 1GiB\n}\n"));
    CHECK_INT(f.rc, AUGURY_ERR_INVALID);
    CHECK(has_error(&f, 2,
                    "unknown option \"response\" in section cache: did you mean class "
                    "\"response\"?"));
    CHECK_INT(f.errors.count, 1);
}

static void
every_unknown_name_is_reported_with_the_nearest_one(void)
{
    struct fixture f;

    CHECK(load(&f, "wrokers = 3\n"
                   "cahce { size = \"1G } \" }\n"
                   "cache { sise = 3 }\n"
                   "memcached {\n  host = { a, b }\n}\n"
                   "listen \"x\" {\n  adress = 1\n}\n"
                   "workers = bad\n"));
    CHECK_INT(f.rc, AUGURY_ERR_INVALID);
    CHECK(has_error(&f, 1, "unknown option \"wrokers\": did you mean \"workers\"?"));
    CHECK(has_error(&f, 2, "unknown option \"cahce\": did you mean \"cache\"?"));
    CHECK(has_error(&f, 3, "unknown option \"sise\" in section cache: did you mean \"size\"?"));
    CHECK(has_error(&f, 4, "unknown option \"memcached\""));
    CHECK(has_error(&f, 8, "unknown option \"adress\" in section listen: did you mean"));
    CHECK(has_error(&f, 10, "workers: expected a whole number"));
    CHECK_INT(f.errors.count, 6);
}

static void
a_name_set_twice_is_an_error(void)
{
    struct fixture f;

    CHECK(load(&f, "workers = 1\nworkers = 2\n"));
    CHECK_INT(f.errors.count, 1);
    CHECK(has_error(&f, 2, "workers: set before, at line 1"));
    CHECK(load(&f, "listen \"a\" { address = x:1 }\nlisten \"a\" { address = x:2 }\n"));
    CHECK_INT(f.errors.count, 1);
    CHECK(has_error(&f, 2, "duplicate title 'a'"));
}

static void
an_unknown_class_and_broken_syntax_are_errors(void)
{
    struct fixture f;

    CHECK(load(&f, "cache {\n class \"predictions\" {\n ttl = 3\n decimals = 2\n }\n}\n"));
    CHECK_INT(f.errors.count, 1);
    CHECK(has_error(&f, 3, "class \"predictions\": there is no such class"));
    CHECK(load(&f, "workers = 1\ncache {\n size = 1G\n"));
    CHECK_INT(f.errors.count, 1);
    CHECK(has_error(&f, 4, "section cache is not closed"));
    CHECK(load(&f, "workers = 1\n/* cache {\n size = 1G\n"));
    CHECK(has_error(&f, 1, "ends inside a comment"));
    CHECK(load(&f, "user = \"abc\ncache {\n size = 1G\n"));
    CHECK(f.errors.count == 1);
    CHECK(load(&f, "limits { header_timeout = 10 s }\nworkers = 0x\n"));
    CHECK_INT(f.errors.count, 3);
    CHECK(has_error(&f, 1, "unknown option \"s\" in section limits"));
    CHECK(has_error(&f, 1, "with its unit"));
    CHECK(has_error(&f, 2, "workers: expected a whole number"));
    CHECK(load(&f, "workers 1\n"));
    CHECK(has_error(&f, 1, "missing equal sign"));
    struct conf_source absent = {.path = "/nonexistent/augury.conf"};
    CHECK_INT(conf_load(&absent, &f.conf, &f.errors), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(f.errors.list[0].reason, "No such file");
}

static void
rules_between_options_are_checked(void)
{
    struct fixture f;

    CHECK(load(&f, "cache { size = 1GiB map = 1GiB }\nlimits { target = 32KiB }\n"
                   "models { dir = /dev/shm/augury/cache }\n"));
    CHECK_INT(f.errors.count, 3);
}

static void
command_line_beats_environment_beats_file(void)
{
    struct fixture f;
    char *environment[] = {(char[]){"AUGURY_CACHE_SIZE=64MiB"}, (char[]){"AUGURY_WORKERS=5"},
                           (char[]){"AUGURY_SOURCE=/x"}, NULL};
    const char *text = "cache { size = 32MiB }\nworkers = 4\nadmin { socket = /tmp/a }\n";

    CHECK(load_with(&f, text, "workers=6", environment));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->cache.size_bytes, 64 << 20);
    CHECK_INT(f.conf->workers, 6);
    CHECK_TEXT(f.conf->admin.socket, "/tmp/a");
    conf_free(&f.conf);
}

static void
names_that_users_already_have_are_accepted_from_the_environment(void)
{
    struct fixture f;
    char *environment[] = {(char[]){"PREDICTION_WORKERS=7"}, (char[]){"PREDICTION_CACHE_TTL=90"},
                           (char[]){"ENABLE_PREDICTION_CACHING=false"},
                           (char[]){"AUGURY_CACHE_PREDICTION_TTL=30"}, NULL};

    CHECK(load_with(&f, NULL, NULL, environment));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->workers, 7);
    CHECK_INT(f.conf->cache.classes[CONF_CACHE_PREDICTION].ttl_s, 30);
    CHECK(!f.conf->cache.classes[CONF_CACHE_PREDICTION].is_enabled);
    conf_free(&f.conf);
}

static void
errors_of_environment_and_overrides_name_their_place(void)
{
    struct fixture f;
    char *environment[] = {(char[]){"PREDICTION_WORKERS=some"}, NULL};

    CHECK(load_with(&f, NULL, "wrkers=1", environment));
    CHECK_INT(f.errors.count, 2);
    CHECK_TEXT(f.errors.list[0].at, "environment PREDICTION_WORKERS");
    CHECK_TEXT(f.errors.list[1].at, "-o wrkers=1");
    CHECK_CONTAINS(f.errors.list[1].reason, "did you mean \"workers\"?");
}

static void
an_override_reaches_a_listener_by_name(void)
{
    struct fixture f;

    CHECK(load_with(&f, "listen \"a\" { address = \"*:1\" }\nlisten \"b\" { address = \"*:2\" }\n",
                    "listen.b.address=*:3", NULL));
    CHECK_INT(f.rc, 0);
    CHECK_TEXT(f.conf->listen[1].address, "*:3");
    conf_free(&f.conf);
    CHECK(load_with(&f, NULL, "listen.address=*:0", NULL));
    CHECK_TEXT(f.conf->listen[0].address, "*:0");
    conf_free(&f.conf);
}

static void
put_text(const struct conf *conf, struct buf *buf)
{
    buf_init(buf, 1 << 20);
    conf_put_effective(conf, buf);
    buf_put_u8(buf, 0);
}

static void
names_of_tensors_are_sections_under_a_model(void)
{
    struct fixture f;

    CHECK(load_with(&f, "dialect \"fraud\" { output = score }\n", "dialect.other.input=x", NULL));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->dialect_count, 2);
    CHECK_TEXT(f.conf->dialects[0].name, "fraud");
    CHECK_TEXT(f.conf->dialects[0].input, "input-0");
    CHECK_TEXT(f.conf->dialects[0].output, "score");
    CHECK_TEXT(f.conf->dialects[1].name, "other");
    CHECK_TEXT(f.conf->dialects[1].input, "x");
    CHECK_TEXT(f.conf->dialects[1].output, "predict");
    conf_free(&f.conf);
}

static void
objects_are_sections_under_a_name(void)
{
    struct fixture f;

    CHECK(load_with(&f,
                    "object \"players\" { folder = /srv/players ttl = 1h negative_ttl = 0 }\n"
                    "object \"teams\" { content_type = text/csv max_bytes = 1K }\n",
                    "object.teams.ttl=90s", NULL));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->object_count, 2);
    CHECK_TEXT(f.conf->objects[0].name, "players");
    CHECK_TEXT(f.conf->objects[0].folder, "/srv/players");
    CHECK_INT(f.conf->objects[0].ttl_s, 3600);
    CHECK_INT(f.conf->objects[0].negative_ttl_s, 0);
    CHECK_TEXT(f.conf->objects[0].content_type, "auto");
    CHECK_TEXT(f.conf->objects[1].folder, "none");
    CHECK_INT(f.conf->objects[1].ttl_s, 90);
    CHECK_INT(f.conf->objects[1].max_bytes, 1024);
    CHECK(!f.conf->cache.is_object_writable);
    conf_free(&f.conf);
}

static void
a_class_that_lives_no_time_is_told_how_it_is_switched_off(void)
{
    struct fixture f;

    CHECK(load(&f, "cache {\n class \"prediction\" {\n ttl = 0\n }\n}\n"));
    CHECK(has_error(&f, 3, "; enabled = no keeps nothing of the class"));
    CHECK(load(&f, "object \"a\" {\n ttl = 0\n}\n"));
    CHECK(!has_error(&f, 2, "enabled = no"));
}

static void
an_object_section_that_cannot_be_is_refused(void)
{
    struct fixture f;

    CHECK(load(&f, "object \"\" { ttl = 1h }\n"));
    CHECK(has_error(&f, 1, "object \"\": a name of 1 to 63 bytes, and at most 16 of them"));
    CHECK(load(&f, "object \"a\" {\n folder = players\n}\n"));
    CHECK(has_error(&f, 2, "folder: expected an absolute path or none, got \"players\""));
    CHECK(load(&f, "object \"a/b\" { }\nobject \".b\" { }\n"
                   "object \"c\" { content_type = \"text/\303\244\" max_bytes = 1MiB }\n"));
    CHECK_INT(f.errors.count, 4);
    CHECK_CONTAINS(f.errors.list[0].reason, "object \"a/b\": a name has letters");
    CHECK_CONTAINS(f.errors.list[1].reason, "object \".b\": a name has letters");
    CHECK_CONTAINS(f.errors.list[2].reason, "content_type: expected a type");
    CHECK_CONTAINS(f.errors.list[3].reason, "must fit half of cache.ring");
}

static void
a_time_is_read_as_the_file_has_it(void)
{
    struct err err;
    uint32_t seconds = 7;

    CHECK_INT(conf_read_seconds("ttl", "90s", 3600, &seconds, &err), 0);
    CHECK_INT(seconds, 90);
    CHECK_INT(conf_read_seconds("ttl", "5min", 3600, &seconds, &err), 0);
    CHECK_INT(seconds, 300);
    CHECK(conf_read_seconds("ttl", "2h", 3600, &seconds, &err) < 0);
    CHECK_CONTAINS(err.reason, "ttl: 2h is outside 1s to 1h");
    CHECK(conf_read_seconds("ttl", "0", 3600, &seconds, &err) < 0);
    CHECK(conf_read_seconds("ttl", "soon", 3600, &seconds, &err) < 0);
    CHECK_CONTAINS(err.reason, "ttl: expected a time such as");
    CHECK_INT(seconds, 300);
}

static void
the_effective_configuration_shows_origins_and_reads_back_the_same(void)
{
    struct fixture f;
    struct fixture again;
    struct buf first;
    struct buf second;
    char *environment[] = {(char[]){"AUGURY_LIMITS_ROWS=99"}, NULL};
    char want[128];

    CHECK(load_with(&f,
                    "\nuser = \"a \\\"b\\\" \\\\c\"\ncache { size = 1536MiB }\n"
                    "object \"players\" { folder = /srv/p }\nobject \"teams\" { }\n",
                    "log.level=warn", environment));
    CHECK_INT(f.rc, 0);
    put_text(f.conf, &first);
    CHECK_INT(buf_finish(&first), 0);
    const char *text = (const char *)first.data;
    snprintf(want, sizeof(want), "    size = 1536MiB  # %s:3\n", f.path);
    CHECK_CONTAINS(text, want);
    CHECK_CONTAINS(text, "    rows = 99  # environment\n");
    CHECK_CONTAINS(text, "    level = \"warn\"  # command line\n");
    CHECK_CONTAINS(text, "        ttl = 1min  # default\n");
    CHECK_CONTAINS(text, "\nobject \"players\" {\n    folder = \"/srv/p\"  # /tmp/");
    CHECK_CONTAINS(text, "\nobject \"teams\" {\n    folder = \"none\"  # default\n");
    CHECK(load(&again, text));
    CHECK_INT(again.rc, 0);
    put_text(again.conf, &second);
    /* Same values; only the origins differ. */
    CHECK_INT(again.conf->cache.size_bytes, f.conf->cache.size_bytes);
    CHECK_TEXT(again.conf->user, "a \"b\" \\c");
    CHECK(memcmp(again.conf, f.conf, sizeof(struct conf)) == 0);
    buf_fini(&first);
    buf_fini(&second);
    conf_free(&f.conf);
    conf_free(&again.conf);
}

static void
the_sample_file_is_the_table(void)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[512];
    struct buf want;
    static char got[1 << 16];

    snprintf(path, sizeof(path), "%s/etc/augury.conf", source == NULL ? "." : source);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t len = fread(got, 1, sizeof(got), file);
    fclose(file);
    buf_init(&want, 1 << 20);
    conf_put_sample(&want);
    CHECK_INT(len, want.len);
    CHECK(memcmp(got, want.data, len) == 0);
    buf_fini(&want);
}

static void
the_sample_file_with_its_comments_removed_is_the_defaults(void)
{
    struct fixture f;
    struct fixture defaults;
    struct buf sample;

    buf_init(&sample, 1 << 20);
    conf_put_sample(&sample);
    buf_put_u8(&sample, 0);
    char *text = (char *)sample.data;
    /* "# name = value" loses its mark; sentences do not hold " = ". */
    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        char *mark = line + strspn(line, " ");
        *end = '\0';
        if (*mark == '#' && strstr(mark, " = ") != NULL) {
            *mark = ' ';
        }
        *end = '\n';
        line = end + 1;
    }
    CHECK(load(&f, text));
    for (size_t i = 0; i < f.errors.count; i++) {
        printf("# %s: %s\n", f.errors.list[i].at, f.errors.list[i].reason);
    }
    CHECK_INT(f.rc, 0);
    CHECK(load(&defaults, NULL));
    CHECK(memcmp(f.conf, defaults.conf, sizeof(struct conf)) == 0);
    buf_fini(&sample);
    conf_free(&f.conf);
    conf_free(&defaults.conf);
}

static void
the_documents_name_every_option(void)
{
    struct buf markdown;
    struct buf mdoc;

    buf_init(&markdown, 1 << 20);
    buf_init(&mdoc, 1 << 20);
    conf_put_markdown(&markdown);
    conf_put_mdoc(&mdoc);
    buf_put_u8(&markdown, 0);
    buf_put_u8(&mdoc, 0);
    for (size_t i = 0; i < conf_option_count; i++) {
        CHECK_CONTAINS((const char *)markdown.data, conf_options[i].help);
        CHECK_CONTAINS((const char *)mdoc.data, conf_options[i].help);
    }
    CHECK_CONTAINS((const char *)markdown.data, "| `cache.prediction.ttl` | time | `60s` |");
    buf_fini(&markdown);
    buf_fini(&mdoc);
}

static void
steps_are_read_checked_and_written_back(void)
{
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {{"2GiB", "steps such as"},      {"2GiB:0", "1 to 100"},
               {"2GiB:101", "1 to 100"},       {"lots:5", "a size such as"},
               {"4GiB:50, 2GiB:25", "rising"}, {"2GiB:50, 2GiB:60", "rising"},
               {"2GiB:50, 4GiB:25", "rising"}, {"1:1 2:2 3:3 4:4 5:5", "at most 4"},
               {"0:50", "0 is outside"},       {"2GiB:", "a whole number"}};
    struct fixture f;

    CHECK(load(&f, NULL));
    CHECK_INT(f.conf->supervisor.memory_steps.count, 3);
    CHECK_INT(f.conf->supervisor.memory_steps.list[1].below_bytes, 4LL << 30);
    CHECK_INT(f.conf->supervisor.memory_steps.list[1].percent, 50);
    conf_free(&f.conf);
    CHECK(load(&f, "supervisor { memory_steps = \"\" }\n"));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->supervisor.memory_steps.count, 0);
    conf_free(&f.conf);
    CHECK(load(&f, "supervisor { memory_steps = \"512MiB:10,1G:20\" }\n"));
    CHECK_INT(f.rc, 0);
    struct buf text;
    buf_init(&text, 1 << 20);
    conf_put_effective(f.conf, &text);
    buf_put_u8(&text, 0);
    CHECK_CONTAINS((const char *)text.data, "memory_steps = \"512MiB:10, 1GiB:20\"");
    buf_fini(&text);
    conf_free(&f.conf);
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        char line[128];
        snprintf(line, sizeof(line), "supervisor { memory_steps = \"%s\" }\n", bad[i].text);
        CHECK(load(&f, line));
        CHECK_INT(f.rc, AUGURY_ERR_INVALID);
        CHECK(has_error(&f, 1, bad[i].reason));
    }
}

static void
rates_are_times_between_requests(void)
{
    static const struct {
        const char *text;
        uint64_t interval_ns;
        uint32_t burst;
    } good[] = {{"1/s", 1000000000, 1},       {"3/s", 333333334, 3},      {"100/s", 10000000, 100},
                {"6/s", 166666667, 6},        {"7/s", 142857143, 7},      {"999/s", 1001002, 999},
                {"30000/s", 33334, 30000},    {"700000/s", 1429, 700000}, {"179/min", 335195531, 2},
                {"1000000/s", 1000, 1000000}, {"600/min", 100000000, 10}, {"7/min", 8571428572, 1},
                {"1000/h", 3600000000, 1},    {"1/d", 86400000000000, 1}};
    static const char *const bad[] = {"",    "5",    "/s",   "0/s",     "1000001/s", "5/S",
                                      "5/w", "-5/s", "5 /s", "5/s now", "0x5/s",     "5.5/s"};
    struct err err;
    uint64_t interval_ns = 0;

    for (size_t i = 0; i < AUGURY_COUNT(good); i++) {
        uint32_t burst = 0;
        CHECK_INT(conf_read_rate("rate", good[i].text, &interval_ns, &err), 0);
        CHECK_INT(interval_ns, good[i].interval_ns);
        CHECK_INT(conf_read_burst("burst", good[i].text, &burst, &err), 0);
        CHECK_INT(burst, good[i].burst);
    }
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        CHECK_INT(conf_read_rate("rate", bad[i], &interval_ns, &err), AUGURY_ERR_INVALID);
        CHECK_CONTAINS(err.reason, "rate: expected a rate");
    }
    uint32_t burst = 366;
    CHECK_INT(conf_read_burst("burst", "1/d", &burst, &err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "longer than a year");
}

/* NULL: it is right. */
static void
what_access_and_cors_say_is_checked(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"access { required = yes }", "needs a file of keys"},
        {"access { required = yes keys = /k }", NULL},
        {"access { open = \"metrics, models\" }", NULL},
        {"access { open = \"metrics, admin\" }", "got \"admin\""},
        {"access { client_rate = 5 }", "client_rate: expected a rate"},
        {"access { client_rate = \"5/d\" client_burst = 1000000 }", "longer than a year"},
        {"access { client_rate = \"5/min\" }", NULL},
        {"cors { origins = \"*\" }", NULL},
        {"cors { origins = \"*\" credentials = yes }", "needs origins by name"},
        {"cors { origins = \"https://a.example\" credentials = yes }", NULL},
        {"cors { origins = \"*, https://a.example\" }", "stands alone"},
        {"cors { origins = \"https://a.example https://*.b.example:8443,http://[::1]:80801\" }",
         "got \"http://[::1]:80801\""},
        {"cors { origins = \"http://localhost:3000, http://[::1]:3000, app://x, null\" }", NULL},
        {"cors { origins = \"https://a.example/\" }", "no path"},
        {"cors { origins = \"https://A.example\" }", "lower case"},
        {"cors { origins = \"https://a.example:443\" }", "scheme's own"},
        {"cors { origins = \"http://a.example:80\" }", "scheme's own"},
        {"cors { origins = \"http://a.example:443\" }", NULL},
        {"cors { origins = \"a.example\" }", "such as https://app.example"},
        {"cors { origins = \"https://\" }", "such as https://app.example"},
        {"cors { origins = \"://a\" }", "such as https://app.example"},
        {"cors { origins = \"https://*\" }", "such as https://app.example"},
        {"cors { origins = \"https://a.*.example\" }", "such as https://app.example"},
        {"cors { origins = \"https://*.*.example\" }", "such as https://app.example"},
        {"cors { origins = \"https://*.\" }", "such as https://app.example"},
        {"cors { methods = \"GET, PATCH\" }", "got \"PATCH\""},
        {"cors { methods = \"get\" }", "got \"get\""},
        {"cors { headers = \"Content-Type, X:Y\" }", "got \"X:Y\""},
        {"cors { headers = \"*\" }", "names of header fields"},
    };
    struct fixture f;

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        CHECK(load(&f, cases[i].text));
        if (cases[i].words == NULL) {
            CHECK_INT(f.rc, 0);
            conf_free(&f.conf);
            continue;
        }
        CHECK_INT(f.rc, AUGURY_ERR_INVALID);
        CHECK_INT(f.errors.count, 1);
        CHECK_CONTAINS(f.errors.list[0].reason, cases[i].words);
    }
}

static void
words_rights_and_networks_of_a_listener_are_read_and_written_back(void)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {
        {"routes = \"predict, gates\"", "all, or some of predict, objects"},
        {"routes = \"\"", "all, or some of"},
        {"routes = \"Predict\"", "all, or some of"},
        {"mode = 0888", "rights such as 0660"},
        {"mode = 7777", "rights such as 0660"},
        {"mode = \"rw\"", "rights such as 0660"},
        {"trusted = \"10.0.0.1/8\"", "which network is meant"},
        {"trusted = \"proxy\"", "no network such as"},
        {"forwarded = both", "x-forwarded-for, forwarded, none"},
        {"address = \"unix:run\"", "unix:/run"},
    };
    struct ip_address client;
    struct fixture f;
    struct buf text;

    CHECK(load(&f,
               "listen \"a\" { address = \"unix:/run/x\" mode = 606 routes = \"docs,health\"\n"
               "trusted = \"10.0.0.0/8 unix:\" }\nlisten \"b\" { routes = \"health, all\" }\n"));
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.conf->listen[0].mode, 0606);
    CHECK_INT(f.conf->listen[0].routes, (1 << CONF_AREA_DOCS) | (1 << CONF_AREA_HEALTH));
    CHECK_INT(f.conf->listen[1].routes, (1 << CONF_AREA_COUNT) - 1);
    CHECK_INT(ip_parse(bytes_of_text("10.1.2.3"), &client), 0);
    CHECK(ip_networks_contain(&f.conf->listen[0].trusted, &client));
    CHECK(!ip_networks_contain(&f.conf->listen[1].trusted, &client));
    buf_init(&text, 1 << 20);
    conf_put_effective(f.conf, &text);
    buf_put_u8(&text, 0);
    CHECK_CONTAINS((const char *)text.data, "mode = \"0606\"");
    CHECK_CONTAINS((const char *)text.data, "routes = \"health, docs\"");
    CHECK_CONTAINS((const char *)text.data, "routes = \"all\"");
    CHECK_CONTAINS((const char *)text.data, "trusted = \"10.0.0.0/8, unix:\"");
    buf_fini(&text);
    conf_free(&f.conf);
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        char line[128];
        snprintf(line, sizeof(line), "listen \"a\" { %s }\n", bad[i].text);
        CHECK(load(&f, line));
        CHECK_INT(f.rc, AUGURY_ERR_INVALID);
        CHECK(has_error(&f, 1, bad[i].reason));
    }
}

int
main(void)
{
    TAP_RUN(rates_are_times_between_requests);
    TAP_RUN(what_access_and_cors_say_is_checked);
    TAP_RUN(words_rights_and_networks_of_a_listener_are_read_and_written_back);
    TAP_RUN(steps_are_read_checked_and_written_back);
    TAP_RUN(without_a_file_the_defaults_are_in_force);
    TAP_RUN(a_file_sets_every_kind_of_value);
    TAP_RUN(a_number_may_be_a_word_that_its_option_allows);
    TAP_RUN(every_bad_value_is_reported_with_its_line);
    TAP_RUN(every_unknown_name_is_reported_with_the_nearest_one);
    TAP_RUN(a_class_that_is_written_as_a_section_is_named_as_one);
    TAP_RUN(a_name_set_twice_is_an_error);
    TAP_RUN(an_unknown_class_and_broken_syntax_are_errors);
    TAP_RUN(rules_between_options_are_checked);
    TAP_RUN(command_line_beats_environment_beats_file);
    TAP_RUN(names_that_users_already_have_are_accepted_from_the_environment);
    TAP_RUN(errors_of_environment_and_overrides_name_their_place);
    TAP_RUN(an_override_reaches_a_listener_by_name);
    TAP_RUN(objects_are_sections_under_a_name);
    TAP_RUN(a_class_that_lives_no_time_is_told_how_it_is_switched_off);
    TAP_RUN(names_of_tensors_are_sections_under_a_model);
    TAP_RUN(an_object_section_that_cannot_be_is_refused);
    TAP_RUN(a_time_is_read_as_the_file_has_it);
    TAP_RUN(the_effective_configuration_shows_origins_and_reads_back_the_same);
    TAP_RUN(the_sample_file_is_the_table);
    TAP_RUN(the_sample_file_with_its_comments_removed_is_the_defaults);
    TAP_RUN(the_documents_name_every_option);
    return tap_done();
}
