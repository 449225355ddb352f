#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Files of rows that cannot be scored: `augury predict` names file, line and column and says what
would be right, exits with 1, and has printed the rows before the bad one and no other. What can be
read in one way only is read. Speaks TAP."""
import os
import subprocess
import sys

from foldertests import run_tests, test

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = (b"receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         b"score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         b"defteam_timeouts_remaining")
FAILED, USAGE = 1, 2
H = NAMES + b"\n"
with open(os.path.join(NFL, "input.tsv"), "rb") as rows_file:
    R = rows_file.readline().replace(b"\t", b",")  # 1.0,0.0,53.0,…
with open(os.path.join(NFL, "xgb174_prob.tsv"), "rb") as answers_file:
    ANSWER = float(answers_file.readline())


def cell(text):
    """The header and a row whose third cell is text."""
    return H + R.replace(b",53.0,", b"," + text + b",")


AT_CELL = ":2, column half_seconds_remaining: "
# (rows printed, what standard error says behind the file's name, the file)
CSV = (
    (0, ":1: the file is empty", b""),
    (0, ":1: column \"\" is no feature", b"\n"),
    (0, ":1: column \"1.0\" is no feature of the model (--skip-columns N leaves out the first N, "
        "--no-header", R),
    (0, ':1: column "down" stands there twice', H.replace(b"home", b"down") + R),
    (0, ':1: column "hme" is no feature of the model; did you mean "home"?',
     H.replace(b"home", b"hme") + R),
    (0, ":1, column 2: the column's name is not valid UTF-8", H.replace(b"home", b"h\xffe") + R),
    (0, ":1: column \"receive_2h_ko;home;", H.replace(b",", b";") + R),
    (0, ":1: the line holds a NUL byte", b"\xff\xfe" + H.decode().encode("utf-16-le")),
    (0, ":1: the line holds a NUL byte", bytes(range(256)) * 100),
    (0, ':1: column "defteam_timeouts_remaining?1.0" is no feature', (H + R).replace(b"\n", b"\r")),
    (0, ":2: the row has 1 cells, expected 11", H + R.replace(b",", b";")),
    (0, ":2: the row has 12 cells, expected 11", H + R[:-1] + b",\n"),
    (1, ":3: the row has 2 cells, expected 11", H + R + b"1,2\n"),
    (1, ":3: the row has 10 cells, expected 11", H + R + R[:R.rindex(b",")]),
    (2, ":6: the row has 1 cells, expected 11", H + R + b"\n\n" + R + b"bad\n" + R),
    (2000, ":2002: the row has 1 cells, expected 11", H + R * 2000 + b"bad\n"),
    (0, ":2: a quote is opened in this row and not closed", H + b'"' + R),
    (1, ":3: a quote is opened in this row and not closed", H + R + b'"' + R * 3),
    (0, ":2: a line is longer than 16777216 bytes (is a quote left open?)",
     H + b'"' + b"a" * 17000000),
    (0, ":2, column 3: a quote stands within a cell", cell(b'5"3')),
    (0, ":2, column 3: text follows a closing quote", cell(b'"5"3')),
    (0, ":2: the line holds a NUL byte", cell(b"5\x003")),
    (0, AT_CELL + "feature \"half_seconds_remaining\": expected a number, got \"0x10\"",
     cell(b"0x10")),
    (0, AT_CELL + "feature \"half_seconds_remaining\": expected a number, got \" 53\"",
     cell(b" 53")),
    (0, AT_CELL, cell(b"5 3")), (0, AT_CELL, cell(b"1_000")), (0, AT_CELL, cell(b"NA")),
    (0, AT_CELL, cell(b"--1")),
    (0, AT_CELL, cell(b"1e")), (0, AT_CELL, cell(b"nan(7)")), (0, AT_CELL, cell(b"1" * 5000)),
    (0, AT_CELL, cell(b"x" * 5000)),
    (0, AT_CELL, cell("é".encode() * 500)), (0, AT_CELL, cell(b"\xff")),
    (0, AT_CELL, cell(b"\x1b[2J")),
    (0, AT_CELL + "feature \"half_seconds_remaining\": 1e999 does not fit a float32",
     cell(b"1e999")),
    (0, AT_CELL + "feature \"half_seconds_remaining\": -1e999 does not fit a float32",
     cell(b"-1e999")),
    (0,
     AT_CELL + "feature \"half_seconds_remaining\": 9.9999999999999994e+38 does not fit a float32",
     cell(b"1e39")),
)

LIBSVM = (
    (0, ":1, column 3: the index is in the row twice", b"1 0:1 0:2\n"),
    (0, ":1, column 3: the index is lower than the one before", b"1 1:1 0:2\n"),
    (0, ":1: entry 11, but the model's features are 0 to 10", b"1 11:1\n"),
    (0, ":1, column 2: the index is no number from 0", b"1 -1:2\n"),
    (0, ":1, column 2: the index is no number from 0", b"1 4294967296:1\n"),
    (0, ":1, column 2: the index is no number from 0", b"1 x:2\n"),
    (0, ":1, column 2: the index has no value; leave a missing one out", b"1 0:\n"),
    (0, ":1, column 2: expected index:value", b"1 0\n"),
    (0, ":1, column 2: expected index:value", b"1 0 :1\n"),
    (0, ":1, column receive_2h_ko: feature \"receive_2h_ko\": expected a number, got \"1:2\"",
     b"1 0:1:2\n"),
    (0, ":1, column receive_2h_ko: feature \"receive_2h_ko\": 1e999 does not fit a float32",
     b"1 0:1e999\n"),
    (0, ":1, column 1: a line begins with a label, which is a number", b"cat 0:1\n"),
    (0, ":1, column 1: a line begins with a label, which is a number", b"1,0:1\n"),
    (2, ":5, column receive_2h_ko: ", b"1 0:1\n# a remark\n\n1 0:2\n1 0:z\n1 0:3\n"),
)

# (exit status, what standard error says, the file's name, words behind it)
WORDS = (
    (USAGE, "--skip-columns is a number, not -1", "rows.csv", ["--skip-columns", "-1"]),
    (USAGE, "--skip-columns is a number, not x", "rows.csv", ["--skip-columns", "x"]),
    (FAILED, "rows.csv:1: the row has 11 cells, of which 11 are to be skipped", "rows.csv",
     ["--skip-columns", "11"]),
    (FAILED, "rows.csv:1, column receive_2h_ko: ", "rows.csv", ["--no-header"]),
    (USAGE, "--output is one of prediction, margin, probabilities, leaf, class, ",
     "rows.csv", ["--output", "leaf,margin"]),
    (USAGE, "--format is csv, tsv, libsvm, npy or msgpack, not xls", "rows.csv", ["--format", "xls"]),
    (USAGE, "--format is needed", "rows.xls", []),
    (USAGE, "--format is needed", "rows", []),
    (USAGE, "unknown option", "rows.csv", ["--nonsense"]),
    (USAGE, "a model file and a file of rows", "rows.csv", ["more.csv"]),
    (FAILED, "rows.tsv:1: column \"receive_2h_ko,home,", "rows.tsv", []),
    (FAILED, "Is a directory", "folder.csv", []),
    (FAILED, "No such file", "none.csv", []),
    (FAILED, "lists 1 features, the model has 11", "rows.csv", ["--features", "a"]),
)

# Read as it stands, though it is odd: the answer is that of the first published row.
FINE = (("bom.csv", b"\xef\xbb\xbf" + H + R), ("crlf.csv", (H + R).replace(b"\n", b"\r\n")),
        ("last.csv", H + R[:-1]),
        ("blank.csv", H + b"\n\n" + R + b"\n"), ("quoted.csv", cell(b'"53.0"')),
        ("long.csv", cell(b"53." + b"0" * 300)),
        ("plus.csv", cell(b"+5.3e+01")), ("tabs.tsv", (H + R).replace(b",", b"\t")))


def put(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def predict(path, *words):
    features = [] if "--features" in words else ["--features", NAMES.decode()]
    done = subprocess.run([AUGURY, "predict", os.path.join(NFL, "model.json"), path, *features,
                           *words],
                          capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def each_is_refused(folder, name, table):
    for printed, words, data in table:
        path = put(folder, name, data)
        status, out, err = predict(path)
        what = (data[:200], status, out[-80:], err)
        assert status == FAILED and out.count("\n") == printed, what
        assert err.startswith(f"augury: {path}{words}"), (what, words)
        assert err.count("\n") == 1 and len(err) < 700, what
        assert not any(ord(letter) < 32 for letter in err[:-1]), what


@test
def each_bad_csv_names_its_line_and_what_would_be_right(folder):
    each_is_refused(folder, "rows.csv", CSV)


@test
def each_bad_libsvm_names_its_line_and_what_would_be_right(folder):
    each_is_refused(folder, "rows.libsvm", LIBSVM)


@test
def words_and_files_that_cannot_be_are_usage_or_failure(folder):
    os.mkdir(os.path.join(folder, "folder.csv"))
    for name in ("rows.csv", "rows.tsv", "rows.xls", "rows"):
        put(folder, name, H + R)
    for want, words, name, more in WORDS:
        status, out, err = predict(os.path.join(folder, name), *more)
        assert (status, out) == (want, "") and words in err, (name, more, status, out, err)


@test
def odd_files_that_mean_one_thing_are_read(folder):
    for name, data in FINE:
        status, out, err = predict(put(folder, name, data))
        assert (status, err) == (0, ""), (name, status, err)
        assert abs(float(out) - ANSWER) < 1e-8, (name, out)
    for name, data in (("none.csv", H), ("none.libsvm", b""), ("none.tsv", H.replace(b",", b"\t"))):
        assert predict(put(folder, name, data)) == (0, "", ""), name


@test
def rows_are_printed_before_the_file_ends_and_a_closed_output_is_an_error(folder):
    path = put(folder, "many.csv", H + R * 100000)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([AUGURY, "predict", os.path.join(NFL, "model.json"), path,
                               "--features", NAMES.decode()],
                              stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == FAILED and b"No space left" in done.stderr, done


if __name__ == "__main__":
    sys.exit(run_tests())
