#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rendered answers over HTTP, with the supervisor committing and two workers answering: what is
repeated is answered unparsed, what has changed never is. Nothing here knows how the cache keeps
its entries; whether an answer was cached is read from X-Cache and the counters."""
import gzip
import http.client
import json
import os
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
PATH = "/api/v1/predict/nfl-wp"
ROW = b'{"features":{"down":3,"ydstogo":7}}'


def run(daemon, *words):
    result = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True,
                            text=True, timeout=60, check=False)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


def model_import(daemon, *words):
    run(daemon, "model", "import", "nfl-wp", NFL, "--features", NAMES, *words)


class Answer:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()
        self.x_cache = answer.getheader("X-Cache")

    def version(self):
        return json.loads(self.body)["version"]


def ask(daemon, body=ROW, path=PATH, method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    fields = {"Content-Type": "application/json"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    connection.request(method, path, body, fields)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def response_hits(daemon):
    for line in daemon.get("/metrics")[1].decode().splitlines():
        if line.startswith('augury_cache_hits_total{class="response"'):
            return int(line.rsplit(" ", 1)[1])
    raise harness.Failure("no counter of hits in class response")


def ask_until_repeated(daemon, *args, **kwargs):
    """The first answer that the class response gave."""
    def repeated():
        before = response_hits(daemon)
        answer = ask(daemon, *args, **kwargs)
        equal(answer.status, 200)
        return answer if response_hits(daemon) > before else None
    return wait_for(repeated, "an answer from the class response")


def started(daemon):
    daemon.start()
    model_import(daemon)
    return daemon


def test_a_repeat_is_answered_as_the_first_time(daemon):
    started(daemon)
    first = ask(daemon)
    equal((first.status, first.x_cache), (200, "MISS"))
    again = ask_until_repeated(daemon, X_Request_Id="two")
    equal((again.x_cache, again.body), ("HIT", first.body))
    equal(again.headers["ETag"], first.headers["ETag"])
    equal(again.headers["X-Request-Id"], "two")
    check(int(again.headers["Age"]) < 10, again.headers["Age"])
    packed = ask_until_repeated(daemon, Accept="application/msgpack")
    equal(packed.headers["Content-Type"], "application/msgpack")
    check(packed.headers["ETag"] != first.headers["ETag"], "two formats have two tags")
    equal(ask_until_repeated(daemon).body, first.body)
    daemon.stop()


def test_a_label_that_moves_is_never_followed_by_an_old_answer(daemon):
    started(daemon)
    model_import(daemon)
    equal(ask_until_repeated(daemon).version(), "1")
    for turn in range(6):
        version = str(2 - turn % 2)
        run(daemon, "model", "use", "nfl-wp", version)
        for _ in range(20):
            equal(ask(daemon).version(), version)
        equal(ask_until_repeated(daemon).version(), version)
    daemon.stop()


def test_an_import_that_takes_over_and_an_unload_are_seen_at_once(daemon):
    started(daemon)
    equal(ask_until_repeated(daemon).version(), "1")
    model_import(daemon, "--use")
    for _ in range(20):
        equal(ask(daemon).version(), "2")
    run(daemon, "model", "use", "nfl-wp", "1")
    run(daemon, "model", "unload", "nfl-wp@2")
    equal(ask(daemon).version(), "1")
    run(daemon, "model", "unload", "nfl-wp")
    for _ in range(20):
        equal(ask(daemon).status, 404)
    daemon.stop()


def test_a_flush_leaves_nothing_to_repeat(daemon):
    started(daemon)
    ask_until_repeated(daemon)
    run(daemon, "cache", "flush")
    before = response_hits(daemon)
    equal(ask(daemon).x_cache, "MISS")
    equal(response_hits(daemon), before)
    daemon.stop()


def test_whatever_rows_die_of_takes_their_answers_along(daemon):
    started(daemon)
    for words in (("cache", "ban", "prediction:nfl-wp@*"), ("cache", "invalidate", "model", "nfl-wp"),
                  ("cache", "invalidate", "class", "prediction"), ("cache", "flush", "prediction")):
        ask_until_repeated(daemon)
        run(daemon, *words)
        before = response_hits(daemon)
        answer = ask(daemon)
        equal((answer.x_cache, response_hits(daemon)), ("MISS", before), " ".join(words))
    # Answers alone: the rows are there, and say the same.
    first = ask_until_repeated(daemon)
    run(daemon, "cache", "ban", "response:" + PATH + ":*")
    before = response_hits(daemon)
    answer = ask(daemon)
    equal((answer.x_cache, answer.body, response_hits(daemon)), ("HIT", first.body, before))
    daemon.stop()


def test_registries_made_anew_do_not_answer_for_each_other(daemon):
    """The cache outlives the models' folder; the number of a commit comes again."""
    started(daemon)
    first = ask_until_repeated(daemon)
    daemon.stop()
    subprocess.run(["rm", "-rf", os.path.join(daemon.dir, "models")], check=True)
    daemon.start()
    run(daemon, "model", "import", "nfl-wp", NFL, "--features", NAMES, "--iterations", "0:5")
    other = ask(daemon)
    check(other.body != first.body, "the answer of a model that is gone")
    daemon.stop()


def test_wishes_of_a_request_are_honoured(daemon):
    started(daemon)
    equal(ask(daemon, Cache_Control="only-if-cached").status, 504)
    counted = daemon.metrics()
    equal(counted['augury_http_requests_total{status="5xx"}'], 0, "nothing has failed")
    equal(counted["augury_predict_errors_total"], 0)
    ask_until_repeated(daemon)
    equal(ask(daemon, Cache_Control="only-if-cached").status, 200)
    before = response_hits(daemon)
    for wish in ("no-cache", "no-store", "max-age=0"):
        answer = ask(daemon, Cache_Control=wish)
        equal((answer.status, answer.x_cache), (200, "BYPASS"), wish)
        check("Age" not in answer.headers, wish)
    equal(ask(daemon, Cache_Control="no-store").headers["Cache-Control"], "no-store")
    equal(response_hits(daemon), before)
    equal(ask(daemon, If_None_Match="*").status, 200)
    equal(ask(daemon, method="HEAD", body=None).status, 405)
    daemon.stop()


def test_pipelined_repeats_are_answered_in_order(daemon):
    started(daemon)
    bodies = [b'{"features":{"down":%d}}' % down for down in range(1, 5)]
    told = [ask_until_repeated(daemon, body).body for body in bodies]
    check(len(set(told)) > 1, "different rows have different answers")
    order = [0, 3, 1, 2, 2, 0, 1, 3] * 8
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.connect()
    connection.sock.sendall(b"".join(
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        % (PATH.encode(), len(bodies[i]), bodies[i]) for i in order))
    stream = connection.sock.makefile("rb")
    for i in order:
        length = 0
        contains(stream.readline(), b" 200 ")
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        equal(stream.read(length), told[i])
    connection.close()
    daemon.stop()


def test_a_large_answer_is_compressed_once_for_all_who_ask(daemon):
    started(daemon)
    body = json.dumps({"rows": [{"down": i % 4} for i in range(200)]}).encode()
    plain = ask(daemon, body)
    check("Content-Encoding" not in plain.headers, "nobody asked")
    packed = ask_until_repeated(daemon, body, Accept_Encoding="gzip, deflate")
    equal(packed.headers["Content-Encoding"], "gzip")
    contains(packed.headers["Vary"], "Accept-Encoding")
    check(len(packed.body) * 2 < len(plain.body), "it is smaller")
    equal(gzip.decompress(packed.body), plain.body)
    check(packed.headers["ETag"] != plain.headers["ETag"], "two forms have two tags")
    again = ask_until_repeated(daemon, body, Accept_Encoding="gzip")
    equal((again.body, again.headers["ETag"]), (packed.body, packed.headers["ETag"]))
    equal(ask(daemon, body, Accept_Encoding="gzip;q=0").body, plain.body)
    head = ask(daemon, None, "/api/v1/models/nfl-wp", "HEAD", Accept_Encoding="gzip")
    whole = ask(daemon, None, "/api/v1/models/nfl-wp", "GET", Accept_Encoding="gzip")
    equal((head.body, head.headers["Content-Length"]), (b"", whole.headers["Content-Length"]))
    equal(json.loads(gzip.decompress(whole.body))["name"], "nfl-wp")
    daemon.stop()


def test_the_class_can_be_switched_off(daemon):
    daemon.sections["cache"]['class "response"'] = None
    text = daemon.conf_text().replace('    class "response" = None\n',
                                      '    class "response" { enabled = no }\n')
    del daemon.sections["cache"]['class "response"']
    daemon.conf_text = lambda: text
    started(daemon)
    wait_for(lambda: ask(daemon).x_cache == "HIT", "the rows are kept all the same")
    for _ in range(5):
        equal(ask(daemon).x_cache, "HIT")
    equal(response_hits(daemon), 0)
    daemon.stop()


harness.run(globals())
