/* SPDX-License-Identifier: MIT */
/* test_rows.c - files of rows: RFC 4180's examples, LibSVM's forms, and damage with its line. */
#include "rows_text_of.h"

#include <stdlib.h>
#include <unistd.h>

#include "../../tap.h"

struct fixture {
    char path[64];
    struct rows_reader *reader;
    struct err err;
    int rc;
};

static void
open_rows(struct fixture *fix, struct bytes content, const struct rows_options *options)
{
    *fix = (struct fixture){.path = "/tmp/augury-rows-XXXXXX"};
    int fd = mkstemp(fix->path);
    AUGURY_ASSERT(fd >= 0);
    AUGURY_ASSERT(write(fd, content.data, content.len) == (ssize_t)content.len);
    close(fd);
    fix->rc = rows_open(fix->path, options, &fix->reader, &fix->err);
}

static void
close_rows(struct fixture *fix)
{
    rows_close(&fix->reader);
    unlink(fix->path);
}

/* All rows as `column=text|…` lines, then the error if there is one. */
static const char *
all_rows(struct fixture *fix, struct buf *buf)
{
    const struct rows_cell *cells = NULL;
    size_t count = 0;

    buf_init(buf, 1 << 20);
    while (fix->rc == 0 && (fix->rc = rows_next(fix->reader, &cells, &count, &fix->err)) == 0) {
        buf_printf(buf, "%llu:", (unsigned long long)rows_line(fix->reader));
        for (size_t i = 0; i < count; i++) {
            buf_printf(buf, "%u=", cells[i].column);
            buf_put_bytes(buf, cells[i].text);
            buf_put_text(buf, "|");
        }
        buf_put_text(buf, "\n");
    }
    buf_put_u8(buf, 0);
    return (const char *)buf->data;
}

static const struct rows_options csv = {.format = ROWS_CSV};
static const struct rows_options csv_header = {.format = ROWS_CSV, .has_header = true};
static const struct rows_options tsv = {.format = ROWS_TSV};
static const struct rows_options libsvm = {.format = ROWS_LIBSVM};

static void
csv_is_read_as_rfc_4180_says(void)
{
    struct fixture fix;
    struct buf buf;

    open_rows(
        &fix,
        bytes_of_text("aaa,bbb,ccc\r\nzzz,,xxx\r\n\"aaa\",\"b\r\nbb\",\"c\"\"cc\"\r\n\"\",\"a,b\","
                      "\"\"\"\"\nx,y,z"),
        &csv);
    CHECK_TEXT(all_rows(&fix, &buf), "1:0=aaa|1=bbb|2=ccc|\n"
                                     "2:0=zzz|1=|2=xxx|\n"
                                     "3:0=aaa|1=b\r\nbb|2=c\"cc|\n"
                                     "5:0=|1=a,b|2=\"|\n"
                                     "6:0=x|1=y|2=z|\n");
    CHECK_INT(fix.rc, AUGURY_END);
    buf_fini(&buf);
    close_rows(&fix);
}

static void
a_header_names_the_columns_after_those_skipped(void)
{
    struct rows_options options = {.format = ROWS_CSV, .has_header = true, .skip_columns = 1};
    struct fixture fix;
    struct buf buf;
    size_t count = 0;

    open_rows(&fix, bytes_of_text("\xef\xbb\xbfid,\"down, now\",ydstogo\n7,3,\n8,4,10\n"),
              &options);
    CHECK_INT(fix.rc, 0);
    const struct bytes *header = rows_header(fix.reader, &count);
    CHECK_INT(count, 2);
    CHECK_TEXT(all_rows(&fix, &buf), "2:0=3|1=|\n3:0=4|1=10|\n");
    CHECK(bytes_equal_text(header[0], "down, now"));
    CHECK(bytes_equal_text(header[1], "ydstogo"));
    buf_fini(&buf);
    close_rows(&fix);
}

static void
empty_lines_are_rows_only_where_there_is_one_column(void)
{
    struct fixture fix;
    struct buf buf;

    open_rows(&fix, bytes_of_text("\na,b\n\n1,2\n\r\n"), &csv);
    CHECK_TEXT(all_rows(&fix, &buf), "2:0=a|1=b|\n4:0=1|1=2|\n");
    buf_fini(&buf);
    close_rows(&fix);
    open_rows(&fix, bytes_of_text("a\n\n1\n"), &csv_header);
    CHECK_TEXT(all_rows(&fix, &buf), "2:0=|\n3:0=1|\n");
    buf_fini(&buf);
    close_rows(&fix);
}

static void
tsv_knows_no_quotes(void)
{
    struct fixture fix;
    struct buf buf;

    open_rows(&fix, bytes_of_text("5\" pipe\t\"a\t\r\nb\t\tc\n"), &tsv);
    CHECK_TEXT(all_rows(&fix, &buf), "1:0=5\" pipe|1=\"a|2=|\n2:0=b|1=|2=c|\n");
    buf_fini(&buf);
    close_rows(&fix);
}

static void
libsvm_gives_indices_without_label_qid_and_comment(void)
{
    struct fixture fix;
    struct buf buf;

    open_rows(&fix,
              bytes_of_text("1 0:1 3:0.5  7:-2e3 # note 9:9\n\n# only\n-1:0.5 qid:4 2:nan\r\n0\n"),
              &libsvm);
    CHECK_TEXT(all_rows(&fix, &buf), "1:0=1|3=0.5|7=-2e3|\n4:2=nan|\n5:\n");
    CHECK_INT(fix.rc, AUGURY_END);
    buf_fini(&buf);
    close_rows(&fix);
}

static void
damage_is_refused_with_its_line(void)
{
    static const struct {
        const struct rows_options *options;
        const char *text;
        size_t len;
        const char *place, *words;
    } cases[] = {
        {&csv, "a,b\n1,\"x\ny", 0, ":2", "not closed"},
        {&csv, "a,b\n1,\"x\"y\n", 0, ":2, column 2", "closing quote"},
        {&csv, "a,b\n1,x\"y\n", 0, ":2, column 2", "does not begin with one"},
        {&csv, "a,b\n1,2,3\n", 0, ":2", "3 cells, expected 2"},
        {&csv, "a,b\n\"1\n1\",2\n1\n", 0, ":4", "1 cells, expected 2"},
        {&csv, "a,b\n1,\0\n", 8, ":2", "NUL"},
        {&csv_header, "", 0, ":1", "empty"},
        {&csv_header, "a,\xff\n", 0, ":1, column 2", "UTF-8"},
        {&libsvm, "1 0:1 0:2\n", 0, ":1, column 3", "twice"},
        {&libsvm, "1 5:1\n1 3:1 2:2\n", 0, ":2, column 3", "ascending"},
        {&libsvm, "1 x:1\n", 0, ":1, column 2", "no number"},
        {&libsvm, "1 4294967296:1\n", 0, ":1, column 2", "no number"},
        {&libsvm, "1 3:\n", 0, ":1, column 2", "no value"},
        {&libsvm, "1 3\n", 0, ":1, column 2", "index:value"},
        {&libsvm, "1 3:1\ncat 3:1\n", 0, ":2, column 1", "a label, which is a number"},
        {&libsvm, "1,0:1\n", 0, ":1, column 1", "a label, which is a number"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture fix;
        struct buf buf;
        char at[128];
        size_t len = cases[i].len > 0 ? cases[i].len : strlen(cases[i].text);
        open_rows(&fix, bytes_of(cases[i].text, len), cases[i].options);
        (void)all_rows(&fix, &buf);
        snprintf(at, sizeof(at), "%s%s", fix.path, cases[i].place);
        CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(fix.err.code, "invalid_rows");
        CHECK_CONTAINS(fix.err.reason, cases[i].words);
        CHECK_TEXT(fix.err.at, at);
        buf_fini(&buf);
        close_rows(&fix);
    }
}

static void
rows_longer_than_the_buffer_are_read_and_those_over_the_limit_refused(void)
{
    enum { LONG = 300000 };
    struct rows_options options = {.format = ROWS_CSV, .line_max_bytes = 400000};
    const struct rows_cell *cells = NULL;
    size_t count = 0;
    struct fixture fix;
    struct buf text;

    buf_init(&text, 4 << 20);
    buf_put_text(&text, "a,b\n");
    for (int i = 0; i < LONG; i++) {
        buf_put_u8(&text, 'x');
    }
    buf_put_text(&text, ",\"y\n\"\n1,2\n");
    open_rows(&fix, buf_view(&text), &options);
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), 0);
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), 0);
    CHECK_INT(cells[0].text.len, LONG);
    CHECK(bytes_equal_text(cells[1].text, "y\n"));
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), 0);
    CHECK_INT(rows_line(fix.reader), 4);
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), AUGURY_END);
    close_rows(&fix);

    options.line_max_bytes = 100000;
    open_rows(&fix, buf_view(&text), &options);
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), 0);
    CHECK_INT(rows_next(fix.reader, &cells, &count, &fix.err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(fix.err.reason, "longer than 100000 bytes");
    CHECK_CONTAINS(fix.err.at, ":2");
    close_rows(&fix);
    buf_fini(&text);
}

static void
a_file_that_is_not_there_is_named(void)
{
    struct rows_reader *reader = NULL;
    struct err err;

    CHECK_INT(rows_open("/nowhere/rows.csv", &csv, &reader, &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "/nowhere/rows.csv: No such file");
    rows_close(&reader);
    CHECK_INT(rows_open("/", &csv_header, &reader, &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "directory");
}

/* Rows of every length, with quotes that hold line ends: whatever the block's size, the rows, their
 * lines and the place of a wrong one are those of the whole file. */
static void
blocks_hold_the_rows_of_the_whole(void)
{
    static const struct rows_options kinds[] = {{.format = ROWS_CSV, .has_header = true},
                                                {.format = ROWS_TSV, .has_header = true},
                                                {.format = ROWS_LIBSVM}};
    static const char *const heads[] = {"a,b\n", "a\tb\n", "# no header\n"};
    static const char *const lines[][4] = {{"1,2\r\n", "\"x\ny\",\"\"\"\"\n", "\n", ",\n"},
                                           {"1\t2\r\n", "\"\t3\n", "\n", "\t\n"},
                                           {"0 1:2 7:3\r\n", "1\n", "# \"\n", "0 3:\"x\n"}};

    for (size_t k = 0; k < AUGURY_COUNT(kinds); k++) {
        struct buf content, whole;
        struct err err;
        buf_init(&content, 1 << 20);
        buf_init(&whole, 1 << 20);
        buf_put_text(&content, heads[k]);
        for (unsigned i = 0; i < 200; i++) {
            buf_put_text(&content, lines[k][i * i % 7 % 4]);
        }
        buf_put_text(&content, k == 0 ? "1,2,3" : k == 1 ? "1" : "0 x");
        CHECK_INT(rows_text_of(buf_view(&content), &kinds[k], &whole, &err), AUGURY_ERR_INVALID);
        for (size_t target = 1; target < 3000; target = target * 2 + 1) {
            struct buf blocks;
            struct err block_err;
            buf_init(&blocks, 1 << 20);
            CHECK_INT(
                rows_text_of_blocks(buf_view(&content), &kinds[k], target, &blocks, &block_err),
                AUGURY_ERR_INVALID);
            CHECK_TEXT(block_err.at, err.at);
            CHECK(bytes_equal(buf_view(&blocks), buf_view(&whole)));
            buf_fini(&blocks);
        }
        buf_fini(&whole);
        buf_fini(&content);
    }
}

int
main(void)
{
    TAP_RUN(blocks_hold_the_rows_of_the_whole);
    TAP_RUN(csv_is_read_as_rfc_4180_says);
    TAP_RUN(a_header_names_the_columns_after_those_skipped);
    TAP_RUN(empty_lines_are_rows_only_where_there_is_one_column);
    TAP_RUN(tsv_knows_no_quotes);
    TAP_RUN(libsvm_gives_indices_without_label_qid_and_comment);
    TAP_RUN(damage_is_refused_with_its_line);
    TAP_RUN(rows_longer_than_the_buffer_are_read_and_those_over_the_limit_refused);
    TAP_RUN(a_file_that_is_not_there_is_named);
    return tap_done();
}
