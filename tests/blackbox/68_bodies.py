#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Bodies in every coding and form, sent by Python's own codecs: whatever way rows come and answers go, the numbers are those
that XGBoost published."""
import csv
import gzip
import http.client
import io
import json
import os
import socket
import subprocess
import zlib

import numpy

import harness
from harness import BUILD, SOURCE, check, equal

NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining").split(",")
PREDICT = "/api/v1/predict/nfl-wp"


def table():
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        rows = [[float(cell) if cell else None for cell in row] for row in csv.reader(file, delimiter="\t")]
    with open(os.path.join(NFL, "xgb174_prob.tsv"), encoding="ascii") as file:
        return rows, [float(line) for line in file]


def serving(daemon):
    daemon.start()
    done = subprocess.run([os.path.join(BUILD, "augury"), "-c", daemon.conf_path, "model", "import", "nfl-wp",
                           os.path.join(NFL, "model.json"), "--features", ",".join(NAMES)], capture_output=True,
                          text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))


def send(daemon, body, path=PREDICT, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=20)
    connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def near(got, want, text):
    equal(len(got), len(want), text)
    for one, other in zip(got, want):
        check(abs(one - other) <= 1e-6, f"{text}: {one} is not {other}")


def predictions(content):
    return [row["prediction"] for row in json.loads(content)["predictions"]]


def answers(daemon, body, kind, path=PREDICT, **headers):
    """The predictions in each form that an answer has."""
    for accept in ("application/json", "text/csv", "application/x-npy", "application/x-ndjson"):
        status, told, content = send(daemon, body, path, Content_Type=kind, Accept=accept, **headers)
        equal((status, told["Content-Type"]), (200, accept), content[:300])
        if accept == "text/csv":
            lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
            equal(lines[0], ["prediction"])
            yield accept, [float(line[0]) for line in lines[1:]]
        elif accept == "application/x-npy":
            array = numpy.load(io.BytesIO(content))
            equal(str(array.dtype), "float32")
            yield accept, list(array)
        elif accept == "application/x-ndjson":
            yield accept, [json.loads(line)["prediction"] for line in content.splitlines()]
        else:
            yield accept, predictions(content)


# ---- codings ---------------------------------------------------------------------------------------------------------

def test_compressed_bodies_ask_the_same(daemon):
    serving(daemon)
    rows, want = table()
    text = json.dumps({"data": rows}).encode()
    halves = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    for coding, body in (("gzip", gzip.compress(text)), ("gzip", halves), ("deflate", zlib.compress(text)),
                         ("identity", text)):
        status, _, content = send(daemon, body, Content_Encoding=coding)
        equal(status, 200, content[:200])
        near(predictions(content), want, coding)
    infer = json.dumps({"inputs": [{"name": "x", "shape": [len(rows), 11], "datatype": "FP32",
                                    "data": [cell for row in rows for cell in row]}]}).encode()
    status, _, content = send(daemon, gzip.compress(infer), "/v2/models/nfl-wp/infer", Content_Encoding="gzip",
                              Inference_Header_Content_Length=str(len(infer)))
    equal(status, 200, content[:200])
    near(json.loads(content)["outputs"][0]["data"], want, "a tensor")
    daemon.stop()


def test_a_bomb_is_too_large(daemon):
    serving(daemon)
    bomb = gzip.compress(b" " * (64 << 20))
    for _ in range(3):
        status, _, content = send(daemon, bomb, Content_Encoding="gzip")
        equal((status, json.loads(content)["code"]), (413, "body_too_large"))
    equal(send(daemon, b'{"features":{}}')[0], 200)
    daemon.stop()


# ---- forms -----------------------------------------------------------------------------------------------------------

def test_tables_give_the_published_predictions_in_every_form(daemon):
    serving(daemon)
    rows, want = table()
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(NAMES[::-1])
    writer.writerows([["" if cell is None else repr(cell) for cell in row[::-1]] for row in rows])
    bodies = [("text/csv", text.getvalue().encode()),
              ("text/csv; charset=utf-8", ("\ufeff" + text.getvalue().replace("\r\n", "\n")).encode())]
    array = numpy.array(rows, dtype="<f8")
    for one in (array, array.astype("<f4"), array.astype(">f8"), numpy.asfortranarray(array)):
        file = io.BytesIO()
        numpy.save(file, one)
        bodies.append(("application/x-npy", file.getvalue()))
    for version in ((2, 0), (3, 0)):
        file = io.BytesIO()
        numpy.lib.format.write_array(file, array, version=version)
        bodies.append(("application/x-npy", file.getvalue()))
    for kind, body in bodies:
        for accept, got in answers(daemon, body, kind):
            near(got, want, f"{kind} to {accept}")
    for accept, got in answers(daemon, gzip.compress(bodies[0][1]), "text/csv", Content_Encoding="gzip"):
        near(got, want, f"compressed to {accept}")
    whole = numpy.nan_to_num(array)[:50].astype("<i4")
    file = io.BytesIO()
    numpy.save(file, whole)
    status, _, content = send(daemon, json.dumps({"data": whole.tolist()}).encode())
    equal(status, 200)
    for accept, got in answers(daemon, file.getvalue(), "application/x-npy"):
        near(got, predictions(content), f"integers to {accept}")
    daemon.stop()


HOSTILE = [("text/csv", body) for body in (
    b"," * 1000000, b"down," * 150000, b"x" * 1000000, b"\n" * 1000000, b'"' * 999999, b'"down"' + b'""' * 400000,
    b"down\n" + b'"\n' * 300000, b"\0", b"down\n\0\n", b"\xef\xbb\xbf", b"down\r" * 1000, b"down\n" + b"3," * 400000,
    b"down\n" + b"1\n" * 400000)] + [("application/x-npy", body) for body in (
        b"\x93NUMPY", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 1000,
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, b"\x93NUMPY\x01\x00\x10\x00" + b"{" * 1000000)] + [
            ("application/x-ndjson", body) for body in (
                b"[" * 1000000, b"\n" * 1000000, b"{}\n" * 100000, b"7\n" * 500000, b'{"down":' * 100000, b"\xff\n\xfe\n",
                b"{}\n[]\n" * 100000, b"[1,2,3,4,5,6,7,8,9,10,11]\n" * 30000 + b"[")]


def test_hostile_tables_are_answered_soon_and_forgotten(daemon):
    daemon.options["workers"] = "1"
    serving(daemon)
    send(daemon, b"down\n3\n", Content_Type="text/csv")
    for kind, body in HOSTILE:
        for query in ("", "?ignore_unknown=true") if kind == "text/csv" else ("",):
            status, told, content = send(daemon, body, PREDICT + query, Content_Type=kind)
            check(status in (200, 400, 413), f"{status} for {body[:40]}")
            if status != 200:
                answer = json.loads(content)
                equal(told["Content-Type"], "application/json")
                check(answer["code"] and len(answer["error"]) < 400, content[:300])
    equal(send(daemon, b'{"features":{}}')[0], 200)
    with open(f"/proc/{list(daemon.children('worker').values())[0]}/status", encoding="ascii") as file:
        peak = int(next(line for line in file if line.startswith("VmHWM")).split()[1])
    check(peak < 300000, f"{peak} kB")
    print(f"# peak {peak} kB")
    daemon.stop()


def test_outputs_are_columns(daemon):
    serving(daemon)
    rows, want = table()
    status, _, content = send(daemon, json.dumps({"data": rows[:2]}).encode(), PREDICT + "?outputs=probabilities")
    equal((status, json.loads(content)["code"], json.loads(content)["at"]), (400, "unknown_parameter", "outputs"))
    body = json.dumps({"data": rows[:20], "outputs": ["probabilities", "margin", "contributions"]}).encode()
    status, _, content = send(daemon, body, Accept="text/csv")
    equal(status, 200, content[:200])
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    near([float(line["probability:1"]) for line in lines], want[:20], "probabilities")
    for line in lines:
        shap = sum(float(line["f:" + name]) for name in NAMES) + float(line["bias"])
        check(abs(shap - float(line["margin"])) < 1e-3, f"contributions of {line}")
    status, _, content = send(daemon, body, Accept="application/x-npy")
    array = numpy.load(io.BytesIO(content))
    equal(array.shape, (20, 1 + 2 + 12))
    near(list(array[:, 2]), want[:20], "the column of class 1")
    status, _, content = send(daemon, json.dumps({"data": rows[:2], "outputs": "contributions", "top_k": 2}).encode(),
                              Accept="text/csv")
    equal((status, json.loads(content)["at"]), (400, "top_k"))
    daemon.stop()


# ---- batches ---------------------------------------------------------------------------------------------------------

def as_lines(rows, style):
    if style == "objects":
        rows = [dict(zip(NAMES, row)) for row in rows]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_batches_of_lines_have_more_rows_than_a_question(daemon):
    daemon.sections["limits"].update({"body": "16MiB", "rows": "300"})
    serving(daemon)
    rows, want = table()
    for style in ("objects", "arrays"):
        body = as_lines(rows * 5, style)
        status, told, content = send(daemon, body, Content_Type="application/x-ndjson")
        equal((status, told["Content-Type"], told["Transfer-Encoding"]), (200, "application/x-ndjson", "chunked"))
        near([json.loads(line)["prediction"] for line in content.splitlines()], want * 5, style)
    mixed = as_lines(rows[:10], "objects") + b"\r\n" + as_lines(rows[10:20], "arrays")
    status, told, content = send(daemon, gzip.compress(mixed), PREDICT + "?outputs=prediction,margin",
                                 Content_Type="application/x-ndjson", Content_Encoding="gzip")
    equal(status, 200)
    near([json.loads(line)["prediction"] for line in content.splitlines()], want[:20], "mixed")
    check("margin" in json.loads(content.splitlines()[0]), "options come from the query")
    equal(daemon.metrics()["augury_predict_requests_total"], 3)
    daemon.stop()


def test_a_wrong_line_is_named(daemon):
    daemon.sections["limits"]["rows"] = "100"
    serving(daemon)
    rows, want = table()
    for bad, at in ((b'{"down":"three"}', "down"), (b'{"down":', "byte"), (b"7", ""), (b"[1,2]", ""),
                    (b'{"dawn":3}', "dawn")):
        status, _, content = send(daemon, as_lines(rows[:3], "objects") + bad, Content_Type="application/x-ndjson")
        answer = json.loads(content.splitlines()[-1])
        check(status == 400 or bad[:1] == b"[", f"{status} for {bad}")
        check(answer["at"].startswith("line 4") and at in answer["at"], f"{answer} for {bad}")
        status, _, content = send(daemon, as_lines(rows[:250], "objects") + bad + b"\n" + as_lines(rows, "objects"),
                                  Content_Type="application/x-ndjson")
        lines = [json.loads(line) for line in content.splitlines()]
        equal(status, 200)
        near([line["prediction"] for line in lines[:-1]], want[:250], "rows before the wrong one")
        check(lines[-1]["at"].startswith("line 251") and lines[-1]["code"] != "", f"{lines[-1]} for {bad}")
    daemon.stop()


def test_large_answers_come_in_pieces(daemon):
    serving(daemon)
    rows = table()[0] * 3
    body = json.dumps({"data": rows, "outputs": ["contributions", "leaf"]}).encode()
    status, told, content = send(daemon, body)
    equal((status, told["Transfer-Encoding"], told["Content-Length"]), (200, "chunked", None))
    pieces = json.loads(content)["predictions"]
    status, told, small = send(daemon, json.dumps({"data": rows[-20:], "outputs": ["contributions", "leaf"]}).encode())
    equal((status, told["Transfer-Encoding"]), (200, None))
    equal(pieces[-20:], json.loads(small)["predictions"])
    equal(len(pieces), len(rows))
    for line in (b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n",
                 b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", daemon.port()), timeout=20) as client:
            client.sendall(line % (PREDICT.encode(), len(body)) + body)
            head, _, rest = b"".join(iter(lambda: client.recv(1 << 16), b"")).partition(b"\r\n\r\n")
        check(b"Connection: close" in head, head)
        if b"HTTP/1.0" in line:
            check(b"chunked" not in head and b"Content-Length" not in head, head)
            equal(rest, content)
    check(daemon.metrics()['augury_http_streams_total{result="begun"}'] >= 3, "streams are counted")
    equal(daemon.metrics()['augury_http_streams_total{result="cut"}'], 0)
    daemon.stop()


harness.run(globals())
