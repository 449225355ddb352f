#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`augury predict` over many rows: arrays that numpy wrote, MessagePack that msgpack-python wrote,
several threads, answers as arrays, memory that does not grow. Speaks TAP."""
import fcntl
import os
import pty
import random
import re
import subprocess
import sys

import numpy

from foldertests import Skip, run_tests, test

SOURCE = os.path.abspath(os.environ.get("AUGURY_SOURCE", "."))
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
MODEL = os.path.join(NFL, "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
# The peak of a child counts from before its exec: the parent has to be small.
MEASURE = ("import resource, subprocess, sys\n"
           "with open(sys.argv[1], 'wb') as out:\n"
           "    subprocess.run(sys.argv[2:], stdout=out, check=True)\n"
           "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n")


def predict(*words, stdin=None, status=0, out=subprocess.PIPE):
    done = subprocess.run([AUGURY, "predict", MODEL, *words], input=stdin, stdout=out,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    return done


def answers(*words, stdin=None):
    text = predict(*words, stdin=stdin).stdout.decode()
    return numpy.array([float(line) for line in text.split()], dtype=numpy.float32)


def nfl_lines():
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        return file.read().splitlines()


def nfl_rows(dtype=numpy.float64):
    return numpy.array([[float(cell) if cell else numpy.nan for cell in line.split("\t")]
                        for line in nfl_lines()], dtype=dtype)


def published(name):
    return numpy.loadtxt(os.path.join(NFL, name), dtype=numpy.float32)


def same(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert (ours.view(numpy.uint32) == theirs.view(numpy.uint32)).all()


@test
def arrays_of_numpy_are_rows(folder):
    path = os.path.join(folder, "rows.npy")
    for dtype in ("<f4", "<f8"):
        for version in ((1, 0), (2, 0), (3, 0)):
            with open(path, "wb") as file:
                numpy.lib.format.write_array(file, nfl_rows(dtype), version=version)
            same(answers(path, "--output", "margin"), published("xgb174_margin.tsv"))
    with open(path, "rb") as file:
        same(answers("-", "--format", "npy", stdin=file.read()), published("xgb174_prob.tsv"))
    numpy.save(path, nfl_rows(">f8"))
    same(answers(path), published("xgb174_prob.tsv"))


@test
def other_arrays_say_what_to_do(folder):
    path = os.path.join(folder, "rows.npy")
    rows = nfl_rows()
    wrong = [(rows.astype("<f2"), b"astype('<f8')"), (rows.astype("<c8"), b"'<c8'"),
             (numpy.asfortranarray(rows), b"ascontiguousarray"),
             (rows.reshape(-1), b"1 columns, expected 11"),
             (rows[:, :3].copy(), b"3 columns, expected 11"),
             (numpy.zeros(3, dtype=[("a", "<f4")]), b"structures"),
             (rows.reshape(-1, 11, 1), b"3 dimensions")]
    for array, words in wrong:
        numpy.save(path, array)
        said = predict(path, status=1).stderr
        assert words in said and path.encode() in said, said
    rows[7, 2] = numpy.inf
    numpy.save(path, rows)
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) - 8)
    done = predict(path, status=1)
    assert len(done.stdout.split()) == len(rows) - 1
    assert f"{path}, row {len(rows)}: the file ends".encode() in done.stderr, done.stderr


@test
def messagepack_holds_arrays_maps_and_streams_of_them(folder):
    try:
        import msgpack
    except ImportError as error:
        raise Skip("no msgpack module") from error
    path = os.path.join(folder, "rows.msgpack")
    names = NAMES.split(",")
    rows = [[None if numpy.isnan(cell) else cell for cell in row] for row in nfl_rows().tolist()]
    order = list(range(len(names)))
    random.Random(5).shuffle(order)
    maps = [{names[i]: row[i] for i in order if row[i] is not None} for row in rows]
    forms = [[rows], rows, [rows[:10], *rows[10:500], [], rows[500:]], [maps], maps,
             [maps[:300], *rows[300:]]]
    for form in forms:
        with open(path, "wb") as file:
            for item in form:
                file.write(msgpack.packb(item, use_single_float=False))
        same(answers(path, "--features", NAMES, "--output", "margin"),
             published("xgb174_margin.tsv"))
    maps[3]["ydstogoo"] = 1
    with open(path, "wb") as file:
        file.write(msgpack.packb(maps))
    done = predict(path, "--features", NAMES, status=1)
    assert len(done.stdout.split()) == 3
    assert f"{path}, row 4".encode() in done.stderr and b'"ydstogo"' in done.stderr, done.stderr


@test
def threads_keep_the_order_of_the_rows(folder):
    path = os.path.join(folder, "rows.tsv")
    lines = nfl_lines()
    chosen = random.Random(9).choices(range(len(lines)), k=60000)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(lines[i] + "\n" for i in chosen)
    wanted = published("xgb174_margin.tsv")[chosen]
    for threads in ("1", "2", "7"):
        words = [path, "--no-header", "--output", "margin", "--threads", threads]
        same(answers(*words), wanted)
    with open(path, "a", encoding="ascii") as file:
        file.writelines(lines[i] + "\n" for i in chosen[:20000])
        file.write("x\n")
        file.writelines(lines[i] + "\n" for i in chosen)
    for threads in ("1", "7"):
        done = predict(path, "--no-header", "--output", "margin", "--threads", threads, status=1)
        assert len(done.stdout.split()) == 80000, len(done.stdout.split())
        assert b"rows.tsv:80001: " in done.stderr, done.stderr


@test
def blocks_end_between_rows_also_where_cells_hold_line_ends(folder):
    path = os.path.join(folder, "rows.csv")
    with open(path, "w", encoding="ascii", newline="") as file:
        file.write('"down","ydst\ngo"\r\n')
        file.writelines(f'"{i % 4 + 1}",{i % 30}\r\n' for i in range(100000))
        file.write('"\n1\n",2\r\n')
    done = predict(path, "--features", NAMES.replace("ydstogo", "ydst\ngo"), "--threads", "3",
                   status=1)
    assert len(done.stdout.split()) == 100000
    assert b"rows.csv:100003, column down" in done.stderr, done.stderr


@test
def answers_may_be_csv_or_an_array(folder):
    rows = os.path.join(NFL, "input.tsv")
    out_path = os.path.join(folder, "out.npy")
    words = [rows, "--no-header"]
    for output, name in (("margin", "xgb174_margin.tsv"), ("prediction", "xgb174_prob.tsv")):
        with open(out_path, "wb") as out:
            predict(*words, "--to", "npy", "--output", output, out=out)
        array = numpy.load(out_path)
        assert array.dtype == numpy.dtype("<f4") and array.shape == (1000, 1), array.shape
        same(array[:, 0], published(name))
    with open(out_path, "wb") as out:
        predict(*words, "--to", "npy", "--output", "leaf", out=out)
    leaves = numpy.load(out_path)
    lines = predict(*words, "--to", "csv", "--output", "leaf").stdout.decode().splitlines()
    assert leaves.dtype == numpy.dtype("<u4")
    assert [",".join(str(leaf) for leaf in row) for row in leaves] == lines
    named = predict(*words, "--to", "csv", "--output", "probabilities", "--header").stdout
    assert named.decode().splitlines()[0] == "probability:0,probability:1", named[:60]
    said = predict(*words, "--to", "npy", status=1).stderr
    assert b"needs a file" in said, said
    said = predict(*words, "--to", "xlsx", status=2).stderr
    assert b"tsv, csv or npy" in said, said


@test
def an_array_of_what_stood_before_a_wrong_row_is_whole(folder):
    path, out_path = os.path.join(folder, "rows.tsv"), os.path.join(folder, "out.npy")
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join([*nfl_lines()[:17], "wrong"]) + "\n")
    with open(out_path, "wb") as out:
        out.write(b"before")
        out.flush()
        predict(path, "--no-header", "--to", "npy", status=1, out=out)
    with open(out_path, "rb") as out:
        assert out.read(6) == b"before"
        assert numpy.load(out).shape == (17, 1)


@test
def progress_is_told_when_asked_for_and_on_a_terminal(folder):
    rows = os.path.join(NFL, "input.tsv")
    pattern = rb"1000 rows, [0-9]+ rows/s, [0-9.]+ s"
    assert predict(rows, "--no-header").stderr == b""
    assert re.fullmatch(pattern + rb"\n", predict(rows, "--no-header", "--progress").stderr)
    ours, theirs = pty.openpty()
    with open(os.path.join(folder, "out"), "wb") as out:
        subprocess.run([AUGURY, "predict", MODEL, rows, "--no-header"], stdout=out, stderr=theirs,
                       check=True)
    os.close(theirs)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    said = os.read(ours, 4096)
    os.close(ours)
    assert re.search(pattern, said), said


@test
def memory_is_the_same_for_a_file_five_times_as_long(folder):
    rows = nfl_rows("<f4")
    lines = "".join(line + "\n" for line in nfl_lines())
    peaks = {}
    for form in ("npy", "tsv"):
        for thousands in (200, 1000):
            path = os.path.join(folder, f"rows.{form}")
            if form == "npy":
                numpy.save(path, numpy.tile(rows, (thousands, 1)))
            else:
                with open(path, "w", encoding="ascii") as file:
                    for _ in range(thousands):
                        file.write(lines)
            done = subprocess.run([sys.executable, "-S", "-E", "-c", MEASURE, "/dev/null", AUGURY,
                                   "predict", MODEL, path, "--no-header", "--threads", "4"],
                                  capture_output=True, text=True, check=True)
            peaks[form, thousands] = int(done.stdout)
            os.unlink(path)
        growth_kb = peaks[form, 1000] - peaks[form, 200]
        limit_kb = 65536 if os.environ.get("ASAN_OPTIONS") else 2048
        assert growth_kb < limit_kb and peaks[form, 1000] < 32768 + 16 * limit_kb, peaks
    print("# peak kB:", peaks)


@test
def wrong_words_are_usage(_):
    rows = os.path.join(NFL, "input.tsv")
    for words in (["--threads", "0"], ["--threads", "257"], ["--threads", "x"],
                  ["--format", "parquet"]):
        predict(rows, *words, status=2)


if __name__ == "__main__":
    sys.exit(run_tests())
