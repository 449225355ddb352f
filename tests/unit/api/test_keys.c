/* SPDX-License-Identifier: MIT */
/* test_keys.c - the file of keys: what its lines may be, every error with its line, and that
 * nothing secret is in a message. */
#include "../../tap.h"

#include <sys/stat.h>
#include <unistd.h>

#include "augury/api.h"

#define AAA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BBB "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct conf_errors errors;

static struct api_keys *
parse(const char *text)
{
    struct api_keys *keys = NULL;

    return api_keys_parse("keys", bytes_of_text(text), &keys, &errors) == 0 ? keys : NULL;
}

static const struct api_key *
find(const struct api_keys *keys, uint8_t byte)
{
    uint8_t sha256[SEAL_SHA256_BYTES];
    const struct api_key *key = NULL;

    memset(sha256, byte, sizeof(sha256));
    return api_keys_find(keys, sha256, &key) == 0 ? key : NULL;
}

static void
a_line_says_all_of_a_key(void)
{
    struct api_keys *keys =
        parse("# who may ask\n"
              "\n"
              "  \t \n"
              "app-1 " AAA " scopes=predict,read\n"
              "\tLoader_2.x   bBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbB"
              "\tscopes=write rate=600/min burst=20 "
              "expires=2031-05-06T07:08:09Z\n"
              "  # the last\n"
              "last cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc "
              "rate=3/s scopes=read expires=2031-05-06");

    CHECK(keys != NULL);
    CHECK_INT(api_keys_count(keys), 3);
    const struct api_key *app = find(keys, 0xaa);
    CHECK(app != NULL);
    CHECK_TEXT(app->name, "app-1");
    CHECK_INT(app->scopes, API_KEY_PREDICT | API_KEY_READ);
    CHECK_INT(app->rate.interval_ns, 0);
    CHECK(!api_key_is_expired(app, UINT64_MAX));
    const struct api_key *loader = find(keys, 0xbb);
    CHECK(loader != NULL);
    CHECK_TEXT(loader->name, "Loader_2.x");
    CHECK_INT(loader->scopes, API_KEY_WRITE);
    CHECK_INT(loader->rate.interval_ns, 100000000);
    CHECK_INT(loader->rate.burst, 20);
    CHECK_INT(loader->expires_wall_ms, 1935817689000); /* date -u -d 2031-05-06T07:08:09Z +%s */
    CHECK(!api_key_is_expired(loader, 1935817688999));
    CHECK(api_key_is_expired(loader, 1935817689000));
    const struct api_key *last = find(keys, 0xcc);
    CHECK(last != NULL);
    CHECK_INT(last->rate.interval_ns, 333333334); /* rounded up: never more than was said */
    CHECK_INT(last->rate.burst, 3);               /* a second's */
    CHECK(find(keys, 0xdd) == NULL);
    api_keys_free(&keys);
    CHECK(keys == NULL);
}

static void
each_wrong_line_is_told_with_what_would_be_right(void)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"-app " AAA " scopes=read", "begins with a name"},
        {"a/b " AAA " scopes=read", "begins with a name"},
        {"\xc3\xa4pp " AAA " scopes=read", "begins with a name"},
        {"app", "64 hexadecimal digits"},
        {"app scopes=read", "64 hexadecimal digits"},
        {"app " AAA "a scopes=read", "64 hexadecimal digits"},
        {"app aaaa scopes=read", "64 hexadecimal digits"},
        {"app " AAA AAA AAA AAA AAA AAA AAA AAA " scopes=read", "64 hexadecimal digits"},
        {"app gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg scopes=read",
         "64 hexadecimal digits"},
        {"app aug_secretsecret scopes=read", "a key stands where its SHA-256 belongs"},
        {"app " AAA, "scopes= is missing"},
        {"app " AAA " rate=5/s", "scopes= is missing"},
        {"app " AAA " scopes=", "scopes= takes predict, read and write"},
        {"app " AAA " scopes=read,", "ok"},
        {"app " AAA " scopes=read,,write", "scopes= takes predict, read and write"},
        {"app " AAA " scopes=admin", "scopes= takes predict, read and write"},
        {"app " AAA " scopes=Read", "scopes= takes predict, read and write"},
        {"app " AAA " scopes=read scopes=write", "scopes= stands twice"},
        {"app " AAA " scopes = read", "without white space"},
        {"app " AAA " scopes=read limit=5", "there may be scopes=, rate=, burst= and expires="},
        {"app " AAA " scopes=read rate", "there may be scopes=, rate=, burst= and expires="},
        {"app " AAA " scopes=read rate=5", "rate= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=0/s", "rate= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=1000001/s", "rate= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=5/week", "rate= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=-5/s", "rate= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=0000000000000000000000000005/s", "rate= takes"},
        {"app " AAA " scopes=read burst=5", "burst= needs a rate="},
        {"app " AAA " scopes=read rate=5/s burst=0", "burst= takes 1 to 1000000"},
        {"app " AAA " scopes=read rate=1/d burst=400", "longer than a year"},
        {"app " AAA " scopes=read expires=tomorrow", "expires= takes a time of UTC"},
        {"app " AAA " scopes=read expires=2031-02-30", "expires= takes a time of UTC"},
        {"app " AAA " scopes=read\r", "control character"},
        {"app " AAA " scopes=read\x01", "control character"},
        {"good " BBB " scopes=read", "the name stands in line 1 already"},
        {"other " BBB " scopes=read", "ok"},
        {"other dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd scopes=read",
         "the same key stands in line 1 already"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "good dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd "
                 "scopes=read\n#\n%s\n",
                 cases[i].line);
        struct api_keys *keys = parse(text);
        if (strcmp(cases[i].words, "ok") == 0) {
            CHECK(keys != NULL);
            api_keys_free(&keys);
            continue;
        }
        CHECK(keys == NULL);
        CHECK_INT(errors.count, 1);
        CHECK_TEXT(errors.list[0].at, "keys:3");
        CHECK_CONTAINS(errors.list[0].reason, cases[i].words);
        CHECK(strstr(errors.list[0].reason, "aaaa") == NULL);
        CHECK(strstr(errors.list[0].reason, "secret") == NULL);
    }
}

static void
all_errors_of_a_file_are_told(void)
{
    struct buf text;

    CHECK(parse("one\ntwo " AAA " rate=x burst=y\nthree " BBB " scopes=read\n") == NULL);
    CHECK_INT(errors.count, 2);
    CHECK_TEXT(errors.list[0].at, "keys:1");
    CHECK_TEXT(errors.list[1].at, "keys:2");
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < 5000; i++) {
        buf_put_text(&text, "x\n");
    }
    struct api_keys *keys = NULL;
    CHECK_INT(api_keys_parse("keys", buf_view(&text), &keys, &errors), AUGURY_ERR_INVALID);
    CHECK_INT(errors.count, 5000);
    buf_fini(&text);
}

/* So that every chain of the index is walked. */
static void
a_full_table_finds_each_of_its_keys_and_no_other(void)
{
    struct buf text;
    struct api_keys *keys = NULL;

    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < API_KEYS_MAX; i++) {
        buf_printf(&text, "key%u %08x%056u scopes=predict rate=9/s\n", i, (i * 7) << 24, i);
    }
    CHECK_INT(api_keys_parse("keys", buf_view(&text), &keys, &errors), 0);
    CHECK_INT(api_keys_count(keys), API_KEYS_MAX);
    for (unsigned i = 0; i < API_KEYS_MAX; i++) {
        const struct api_key *found = NULL;
        const struct api_key *key = api_keys_at(keys, i);
        uint8_t near[SEAL_SHA256_BYTES];
        CHECK_INT(api_keys_find(keys, key->sha256, &found), 0);
        CHECK(found == key);
        memcpy(near, key->sha256, sizeof(near));
        near[31] ^= 0x80;
        CHECK_INT(api_keys_find(keys, near, &found), AUGURY_NOT_FOUND);
    }
    api_keys_free(&keys);
    buf_printf(&text, "more " AAA " scopes=read\n");
    CHECK_INT(api_keys_parse("keys", buf_view(&text), &keys, &errors), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(errors.list[0].reason, "more than 1024 keys");
    buf_fini(&text);
}

static void
a_new_key_is_found_by_its_line(void)
{
    char text[API_KEY_NEW_BYTES], other[API_KEY_NEW_BYTES];
    struct api_key key = {.name = "app",
                          .scopes = API_KEY_PREDICT | API_KEY_WRITE,
                          .rate = {10000000, 200},
                          .rate_text = "100/s",
                          .expires_wall_ms = 1935817689000};
    struct api_keys *keys = NULL;
    const struct api_key *found = NULL;
    uint8_t sha256[SEAL_SHA256_BYTES];
    struct buf line;

    CHECK_INT(api_key_make(text, key.sha256), 0);
    CHECK_INT(api_key_make(other, sha256), 0);
    CHECK(memcmp(text, other, sizeof(text)) != 0);
    CHECK(memcmp(text, "aug_", 4) == 0);
    for (size_t i = 0; i < sizeof(text); i++) {
        CHECK(text[i] != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789-_",
                                        text[i]) != NULL);
    }
    buf_init(&line, 1024);
    api_key_put_line(&key, &line);
    CHECK_INT(api_keys_parse("keys", buf_view(&line), &keys, &errors), 0);
    CHECK_INT(seal_sha256(bytes_of(text, sizeof(text)), sha256), 0);
    CHECK_INT(api_keys_find(keys, sha256, &found), 0);
    CHECK_TEXT(found->name, "app");
    CHECK_INT(found->scopes, key.scopes);
    CHECK_INT(found->rate.interval_ns, key.rate.interval_ns);
    CHECK_INT(found->rate.burst, 200);
    CHECK_INT(found->expires_wall_ms, key.expires_wall_ms);
    buf_put_u8(&line, 0);
    CHECK_CONTAINS((const char *)line.data,
                   " scopes=predict,write rate=100/s burst=200 expires=2031-05-06T07:08:09Z\n");
    buf_fini(&line);
    api_keys_free(&keys);
}

static void
a_list_of_keys_has_no_digests(void)
{
    struct api_keys *keys = parse("app " AAA " scopes=predict rate=5/s burst=7\n"
                                  "old " BBB " scopes=read,write expires=2020-01-01\n");
    struct wire_writer writer;
    struct buf out;

    CHECK(keys != NULL);
    buf_init(&out, 4096);
    wire_writer_init(&writer, WIRE_JSON, &out);
    api_put_keys(&writer, keys, UINT64_C(1900000000000));
    buf_put_u8(&out, 0);
    CHECK_TEXT((const char *)out.data,
               "{\"keys\":[{\"name\":\"app\",\"scopes\":[\"predict\"],\"rate\":\"5/s\",\"burst\":7,"
               "\"expires\":null,\"is_expired\":false},{\"name\":\"old\",\"scopes\":[\"read\","
               "\"write\"],\"rate\":null,\"burst\":null,\"expires\":\"2020-01-01T00:00:00.000Z\","
               "\"is_expired\":true}]}");
    buf_fini(&out);
    api_keys_free(&keys);
}

static void
a_file_that_others_read_or_write_is_refused(void)
{
    static const struct {
        mode_t mode;
        const char *words;
    } cases[] = {{0600, NULL},
                 {0400, NULL},
                 {0640, NULL},
                 {0644, "is open to everybody; chmod o-r"},
                 {0604, "is open to everybody; chmod o-r"},
                 {0620, "may be written to by its group"},
                 {0602, "may be written to by everybody"}};
    char path[] = "/tmp/augury-keys-XXXXXX";
    int fd = mkstemp(path);
    static const char line[] = "app " AAA " scopes=read\n";

    CHECK(fd >= 0);
    CHECK(write(fd, line, sizeof(line) - 1) == (ssize_t)sizeof(line) - 1);
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct api_keys *keys = NULL;
        CHECK(fchmod(fd, cases[i].mode) == 0);
        int rc = api_keys_read(path, &keys, &errors);
        if (cases[i].words == NULL) {
            CHECK_INT(rc, 0);
            CHECK_INT(api_keys_count(keys), 1);
        } else {
            CHECK_INT(rc, AUGURY_ERR_INVALID);
            CHECK_INT(errors.count, 1);
            CHECK_CONTAINS(errors.list[0].reason, cases[i].words);
        }
        api_keys_free(&keys);
    }
    close(fd);
    unlink(path);
    struct api_keys *keys = NULL;
    CHECK(api_keys_read(path, &keys, &errors) != 0);
    CHECK_CONTAINS(errors.list[0].reason, "No such file");
    CHECK(api_keys_read("/tmp", &keys, &errors) != 0);
    CHECK_INT(api_keys_read("none", &keys, &errors), 0);
    CHECK(keys == NULL);
    CHECK_INT(api_keys_count(keys), 0);
}

int
main(void)
{
    TAP_RUN(a_line_says_all_of_a_key);
    TAP_RUN(each_wrong_line_is_told_with_what_would_be_right);
    TAP_RUN(all_errors_of_a_file_are_told);
    TAP_RUN(a_full_table_finds_each_of_its_keys_and_no_other);
    TAP_RUN(a_new_key_is_found_by_its_line);
    TAP_RUN(a_list_of_keys_has_no_digests);
    TAP_RUN(a_file_that_others_read_or_write_is_refused);
    return tap_done();
}
