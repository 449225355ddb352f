#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Golden rows of an import: a model that answers otherwise than its maker says is refused. The
answers are those that xgboost 1.7.4 gave for published rows. Speaks TAP."""
import hashlib
import json
import os
import struct
import subprocess
import sys

import harness
from foldertests import run_tests, test

SOURCE = os.path.abspath(os.environ.get("AUGURY_SOURCE", "."))
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
MODEL = os.path.join(NFL, "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")


def lines_of(name):
    with open(os.path.join(NFL, name), encoding="ascii") as file:
        return file.read().splitlines()


class Place:
    def __init__(self, folder, output="prob"):
        self.folder = folder
        self.golden = os.path.join(folder, "golden.csv")
        self.rows = [line.split("\t") for line in lines_of("input.tsv")]
        self.answers = lines_of(f"xgb174_{output}.tsv")
        self.write()

    def write(self):
        with open(self.golden, "w", encoding="ascii") as file:
            file.write(NAMES + ",answer\n")
            for row, answer in zip(self.rows, self.answers):
                file.write(",".join([*row, answer]) + "\n")

    def command(self, *words):
        return [AUGURY, "-c", "/dev/null", "-o", f"models.dir={self.folder}/models",
                "-o", "models.map=64MiB", "-j", "model", *words]

    def run(self, *words):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words, status=1):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def words(self, *more):
        return ["import", "wp", MODEL, "--features", NAMES, "--golden", self.golden,
                "--golden-target", "answer", *more]


@test
def a_model_that_answers_as_expected_is_stored_with_its_evidence(folder):
    place = Place(folder)
    with open(place.golden, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    wanted = {"rows": len(place.rows), "tolerance": 1e-6, "sha256": digest}
    assert place.run(*place.words())["golden"] == wanted
    assert place.run("show", "wp")["golden"] == wanted


@test
def margins_may_be_asked_for_to_the_last_bit(folder):
    place = Place(folder, "margin")
    answer = place.run(*place.words("--golden-output", "margin", "--tolerance", "0"))
    assert answer["golden"]["tolerance"] == 0
    assert "golden.csv" in place.refused(*place.words())


@test
def one_wrong_answer_is_named_and_nothing_is_stored(folder):
    place = Place(folder)
    wrong = float(place.answers[4]) + 2e-6
    place.answers[4] = repr(wrong)
    place.write()
    said = place.refused(*place.words())
    assert f"{place.golden}, row 5 below the header, column answer" in said, said
    as_float32 = struct.unpack("f", struct.pack("f", wrong))[0]
    assert f"expected {as_float32:.17g}, got 0.7" in said, said
    assert "differ by 2.03e-06" in said and f"1 of {len(place.rows)} rows" in said, said
    assert place.run("list") == {"models": []}
    assert place.run(*place.words("--tolerance", "1e-5"))["version"] == "1"
    said = place.refused("import", "wp", MODEL, "--features", NAMES, "--golden", place.golden,
                         "--golden-target", "answer", "--use")
    assert "row 5 below the header" in said
    assert [entry["version"] for entry in place.run("list")["models"]] == ["1"]


@test
def wrong_words_and_wrong_files_are_named(folder):
    place = Place(folder)
    base = ["import", "wp", MODEL, "--features", NAMES]
    golden = [*base, "--golden", place.golden]
    assert "--golden-target is needed" in place.refused(*golden, status=2)
    assert "--golden is needed" in place.refused(*base, "--tolerance", "1e-3", status=2)
    assert "not 2" in place.refused(*place.words("--tolerance", "2"), status=2)
    assert "not leaf" in place.refused(*place.words("--golden-output", "leaf"), status=2)
    said = place.refused(*golden, "--golden-target", "answre")
    assert 'there is no column "answre"; did you mean "answer"?' in said, said
    said = place.refused(*golden, "--golden-target", "outcome")
    assert 'there is no column "outcome"' in said, said
    said = place.refused(*golden, "--golden-target", "answer,down")
    assert "names 2 columns, but the model has 1 values" in said, said
    place.answers[2] = "high"
    place.write()
    said = place.refused(*place.words())
    assert "golden.csv:4, column answer" in said and 'got "high"' in said, said
    place.answers[2] = "0.5"
    place.rows[1][6] = "third"
    place.write()
    assert "golden.csv:3, column down" in place.refused(*place.words())
    place.rows = []
    place.write()
    assert "no row in" in place.refused(*place.words())
    os.chmod(place.golden, 0o666)
    assert "chmod o-w" in place.refused(*place.words())


@test
def the_daemon_takes_golden_rows_too(folder):
    place = Place(folder)
    daemon = harness.Daemon()
    try:
        daemon.start()
        words = " ".join(place.words())
        assert daemon.admin_json(f"model {words}")["golden"]["rows"] == len(place.rows)
        place.answers[0] = "0.123"
        place.write()
        code, text = daemon.admin(f"model {words}")
        assert code != 0 and "row 1 below the header" in text, (code, text)
        status, body = daemon.get("/api/v1/models/wp")
        assert status == 200 and json.loads(body)["version"] == "1"
        daemon.stop()
    except Exception:
        daemon.close(True)
        raise
    daemon.close(False)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(run_tests())
