#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python client against a running daemon: every form of rows gives the published predictions, in both encodings,
over kept connections and threads; errors carry code and place; a restarted daemon costs no request."""
import csv
import math
import os
import socket
import subprocess
import sys
import threading

import harness
from harness import BUILD, SOURCE, Skip, check, contains, equal

sys.path.insert(0, os.path.join(SOURCE, "etc", "python"))
import augury  # noqa: E402

NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining").split(",")
ENCODINGS = ["json"] + (["msgpack"] if augury.msgpack is not None else [])


def table():
    """The first rows of the published input, and what XGBoost's predict says of them."""
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        rows = [[float(cell) if cell else math.nan for cell in row] for row in csv.reader(file, delimiter="\t")]
    with open(os.path.join(NFL, "xgb174_prob.tsv"), encoding="ascii") as file:
        return rows[:200], [float(line) for line in file][:200]


def serving(daemon):
    daemon.start()
    done = subprocess.run([os.path.join(BUILD, "augury"), "-c", daemon.conf_path, "model", "import", "nfl-wp",
                           os.path.join(NFL, "model.json"), "--features", ",".join(NAMES)],
                          capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    return f"127.0.0.1:{daemon.port()}"


def near(got, want, text=""):
    equal(len(got), len(want), text)
    for one, other in zip(got, want):
        check(abs(one - other) <= 1e-6, f"{text}: {one} is not {other}")


def test_every_form_of_rows_gives_the_published_predictions(daemon):
    address = serving(daemon)
    rows, want = table()
    for encoding in ENCODINGS:
        with augury.Client(address, encoding=encoding) as client:
            near(client.predict("nfl-wp", rows).values(), want, "a list of lists")
            near(client.predict("nfl-wp@1", [dict(zip(NAMES, row)) for row in rows]).values(), want, "dicts")
            near(client.predict("nfl-wp@stable", dict(zip(NAMES, rows[0]))).values(), want[:1], "a dict")
            near(client.predict("nfl-wp", rows[0]).values(), want[:1], "a flat list")
            answer = client.predict("nfl-wp", rows[:3], outputs=["prediction", "margin"], request_id="row-7")
            equal((answer.model, answer.version, len(answer)), ("nfl-wp", "1", 3))
            near([1 / (1 + math.exp(-row["margin"])) for row in answer], want[:3], "margins")
    daemon.stop()


def test_frames_and_arrays_are_rows(daemon):
    try:
        import numpy
        import pandas
    except ImportError as missing:
        raise Skip(f"{missing.name} is not installed") from missing
    address = serving(daemon)
    rows, want = table()
    frame = pandas.DataFrame(rows, columns=NAMES)
    with augury.Client(address) as client:
        near(client.predict("nfl-wp", frame[NAMES[::-1]]).values(), want, "a frame in another order")
        near(client.predict("nfl-wp", frame.convert_dtypes()).values(), want, "a frame with pandas' NA")
        near(client.predict("nfl-wp", frame.iloc[0]).values(), want[:1], "a series")
        near(client.predict("nfl-wp", frame.to_numpy()).values(), want, "an array")
        near(client.predict("nfl-wp", frame.to_numpy(dtype=numpy.float32)[0]).values(), want[:1], "one row of it")
        near(client.predict("nfl-wp", dict(frame.iloc[0])).values(), want[:1], "numpy's scalars")
        try:
            client.predict("nfl-wp", numpy.zeros((2, 2, 11)))
            check(False, "three dimensions were taken")
        except ValueError as error:
            contains(str(error), "one or two dimensions")
    daemon.stop()


def test_arrays_come_as_arrays(daemon):
    try:
        import numpy
    except ImportError as missing:
        raise Skip(f"{missing.name} is not installed") from missing
    address = serving(daemon)
    rows, want = table()
    array = numpy.array(rows, dtype=numpy.float64)
    with augury.Client(address) as client:
        got = client.predict_array("nfl-wp", array)
        equal((str(got.dtype), got.shape), ("float32", (len(rows),)))
        near(list(got), want, "an array")
        near(list(client.predict_array("nfl-wp", array[0])), want[:1], "one row")
        got = client.predict_array("nfl-wp@1", numpy.asfortranarray(array), outputs=["probabilities", "margin"],
                                   use_cache=False)
        near(list(got[:, 2]), want, "columns")
        try:
            client.predict_array("nfl-wp", array[:, :3])
            check(False, "three columns were taken")
        except augury.Refused as error:
            equal(error.code, "invalid_rows")
            contains(str(error), "3 columns, expected 11")
    daemon.stop()


def refused(client, *args, **options):
    try:
        client.predict(*args, **options)
    except augury.Refused as error:
        return error
    raise harness.Failure("was not refused")


def test_errors_say_what_where_and_which(daemon):
    address = serving(daemon)
    rows, _ = table()
    with augury.Client(address) as client:
        error = refused(client, "nfl-wq", rows[0])
        equal((error.status, error.code), (404, "model_not_found"))
        named = [dict(zip(NAMES, row)) for row in rows[:3]]
        named[2]["dwon"] = 3
        error = refused(client, "nfl-wp", named)
        equal((error.status, error.code, error.at), (400, "unknown_feature", "rows[2].dwon"))
        contains(str(error), "dwon")
        equal(len(client.predict("nfl-wp", named, ignore_unknown=True)), 3)
        equal(refused(client, "nfl-wp", rows[0], outputs=["interval"]).code, "no_such_output")
        check(client.is_healthy(), "healthy")
        equal(client.model("nfl-wp")["name"], "nfl-wp")
        equal(len(client.models()), 1)
        check(isinstance(client.performance(), dict) and isinstance(client.status(), dict), "documents")
    for wrong in ("ftp://x", "http://"):
        try:
            augury.Client(wrong)
            check(False, wrong + " was taken")
        except ValueError as error:
            contains(str(error), "expected http://host:port")
    daemon.stop()


def writable(daemon):
    plain = daemon.conf_text
    daemon.conf_text = lambda: plain().replace("size = 16MiB", 'size = 16MiB\n class "object" { writable = yes }')


def refusal(call, *args, **options):
    try:
        call(*args, **options)
    except augury.Refused as error:
        return error.status, error.code
    return None


def test_objects_come_back_as_what_they_are(daemon):
    writable(daemon)
    daemon.start()
    document, text, raw = {"name": "Ü", "list": [1, None]}, "plain Ü", bytes(range(256))
    for encoding in ENCODINGS:
        with augury.Client(f"127.0.0.1:{daemon.port()}", encoding=encoding) as client:
            client.delete_object("a/doc")
            equal((client.get_object("a/doc"), client.delete_object("a/doc")), (None, False))
            tags = {name: client.put_object(name, value, ttl=100) for name, value in
                    (("a/doc", document), ("a/text", text), ("a/raw.bin", raw))}
            many = client.get_objects([*tags, "a/none"])
            equal(sorted(many), sorted(tags))
            for name, value in (("a/doc", document), ("a/text", text), ("a/raw.bin", raw)):
                one = client.get_object(name)
                equal((one.name, one.value, one.etag), (name, value, tags[name]), encoding)
                equal((many[name].value, many[name].etag), (value, tags[name]), encoding)
                check(0 <= one.age < 100, one.age)
            equal(one.content_type, "application/octet-stream")
            equal(many["a/doc"].content_type, "application/json")
            equal(client.delete_object("a/raw.bin"), True)
            equal(client.get_object("a/raw.bin"), None)
            equal(len(client.get_objects(["a/doc"] + [f"no/{i}" for i in range(1500)])), 1)
    daemon.stop()


def test_conditions_on_objects_are_kept(daemon):
    writable(daemon)
    daemon.start()
    with augury.Client(f"127.0.0.1:{daemon.port()}") as client:
        tag = client.put_object("one", b"1", only_new=True)
        equal(refusal(client.put_object, "one", b"2", only_new=True), (412, "condition_failed"))
        other = client.put_object("one", b"2", if_match=tag)
        equal(refusal(client.put_object, "one", b"3", if_match=tag), (412, "condition_failed"))
        equal(refusal(client.delete_object, "one", if_match=tag), (412, "condition_failed"))
        equal(client.get_object("one").value, b"2")
        equal(client.delete_object("one", if_match=other), True)
        equal(refusal(client.get_object, "a//b"), (400, "invalid_name"))
    daemon.stop()


def test_objects_are_not_written_where_that_is_not_allowed(daemon):
    daemon.start()
    with augury.Client(f"127.0.0.1:{daemon.port()}") as client:
        equal(refusal(client.put_object, "one", b"1"), (403, "not_writable"))
        equal(refusal(client.delete_object, "one"), (403, "not_writable"))
    daemon.stop()


def test_threads_share_a_client_and_keep_connections(daemon):
    address = serving(daemon)
    rows, want = table()
    wrong = []
    before = daemon.metrics()["augury_http_connections_total"]

    def ask(client, number):
        for i in range(50):
            row = (number * 50 + i) % len(rows)
            got = client.predict("nfl-wp", rows[row]).values()[0]
            if abs(got - want[row]) > 1e-6:
                wrong.append((row, got))

    with augury.Client(address) as client:
        threads = [threading.Thread(target=ask, args=(client, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    equal(wrong, [])
    opened = daemon.metrics()["augury_http_connections_total"] - before
    check(opened <= 8 + 2, f"{opened} connections for 400 requests of 8 threads")
    daemon.stop()


def test_a_restarted_daemon_costs_no_request(daemon):
    address = serving(daemon)
    rows, want = table()
    client = augury.Client(address)
    near(client.predict("nfl-wp", rows[0]).values(), want[:1])
    daemon.stop()
    check(not client.is_healthy(), "nobody listens")
    try:
        client.predict("nfl-wp", rows[0])
        check(False, "nobody listens")
    except augury.Unreachable as error:
        contains(str(error), "/api/v1/predict/nfl-wp")
    daemon.listeners["public"] = address
    daemon.start()
    near(client.predict("nfl-wp", rows[0]).values(), want[:1])
    client.close()
    daemon.stop()


def test_a_server_that_says_nothing_is_given_up(_daemon):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = augury.Client(f"127.0.0.1:{deaf.getsockname()[1]}", timeout=0.2)
        try:
            client.predict("m", {"a": 1})
            check(False, "nobody answered")
        except augury.Unreachable as error:
            contains(str(error), "timed out")


harness.run(globals())
