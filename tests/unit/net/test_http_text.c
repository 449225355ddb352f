/* SPDX-License-Identifier: MIT */
/* test_http_text.c - path segments, query strings and reason phrases. */
#include "augury/http.h"

#include "../../tap.h"

/* "!" for refused. */
static const char *
decoded(const char *segment, char *out)
{
    size_t len = 0;

    if (http_path_decode(bytes_of_text(segment), (uint8_t *)out, &len) != 0) {
        return "!";
    }
    out[len] = '\0';
    return out;
}

static void
segments_are_decoded_once(void)
{
    char out[64];

    CHECK_TEXT(decoded("nfl-wp@3", out), "nfl-wp@3");
    CHECK_TEXT(decoded("a%20b%C3%a9", out), "a b\xc3\xa9");
    CHECK_TEXT(decoded("%2541", out), "%41");
    CHECK_TEXT(decoded("a+b", out), "a+b");
    CHECK_TEXT(decoded("", out), "");
    CHECK_TEXT(decoded("...", out), "...");
}

static void
segments_that_could_deceive_are_refused(void)
{
    static const char *const refused[] = {"%",   "%2",  "a%4",    "%zz",       "%00",    "%2f",
                                          "%2F", "a/b", ".",      "..",        "%2e%2e", "%0a",
                                          "%7f", "%c3", "%c0%af", "%ed%a0%80", "%ff"};
    char out[64];

    for (size_t i = 0; i < AUGURY_COUNT(refused); i++) {
        CHECK_TEXT(decoded(refused[i], out), "!");
    }
}

static void
decoding_works_in_place(void)
{
    uint8_t text[] = "a%41b";
    size_t len = 0;

    CHECK_INT(http_path_decode(bytes_of(text, 5), text, &len), 0);
    CHECK_INT(len, 3);
    CHECK(memcmp(text, "aAb", 3) == 0);
}

static void
query_values_are_found_by_whole_name(void)
{
    struct bytes query = bytes_of_text("fieldsx=0&fields=a,b&empty=&bare&fields=second");
    struct bytes value;

    CHECK_INT(http_query_find(query, "fields", &value), 0);
    CHECK(bytes_equal_text(value, "a,b"));
    CHECK_INT(http_query_find(query, "empty", &value), 0);
    CHECK_INT(value.len, 0);
    CHECK_INT(http_query_find(query, "bare", &value), 0);
    CHECK_INT(value.len, 0);
    CHECK_INT(http_query_find(query, "field", &value), AUGURY_NOT_FOUND);
    CHECK_INT(http_query_find(query, "second", &value), AUGURY_NOT_FOUND);
    CHECK_INT(http_query_find(bytes_of(NULL, 0), "a", &value), AUGURY_NOT_FOUND);
}

static void
statuses_have_their_registered_phrases(void)
{
    CHECK_TEXT(http_status_text(200), "OK");
    CHECK_TEXT(http_status_text(431), "Request Header Fields Too Large");
    CHECK_TEXT(http_status_text(505), "HTTP Version Not Supported");
    CHECK_TEXT(http_method_name(HTTP_DELETE), "DELETE");
}

static void
an_id_that_is_repeated_is_plain_and_short(void)
{
    char longest[130];

    memset(longest, 'x', sizeof(longest));
    CHECK(http_id_is_plain(bytes_of(longest, 128)));
    CHECK(!http_id_is_plain(bytes_of(longest, 129)));
    CHECK(http_id_is_plain(bytes_of_text("0aZ-_.:9")));
    CHECK(!http_id_is_plain(bytes_of_text("")));
    CHECK(!http_id_is_plain(bytes_of_text("a b")));
    CHECK(!http_id_is_plain(bytes_of_text("a\"b")));
    CHECK(!http_id_is_plain(bytes_of_text("a=b")));
    CHECK(!http_id_is_plain(bytes_of_text("a\nb")));
    CHECK(!http_id_is_plain(bytes_of_text("\xc3\xa9")));
}

int
main(void)
{
    TAP_RUN(an_id_that_is_repeated_is_plain_and_short);
    TAP_RUN(segments_are_decoded_once);
    TAP_RUN(segments_that_could_deceive_are_refused);
    TAP_RUN(decoding_works_in_place);
    TAP_RUN(query_values_are_found_by_whole_name);
    TAP_RUN(statuses_have_their_registered_phrases);
    return tap_done();
}
