#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What makes two questions the same to the cache, as a table: each case asks one question until the cache answers it, then
another, and says whether that must be answered from the cache too. The class response is off but for the last test, so that
X-Cache tells of rows."""
import http.client
import json
import os
import struct
import subprocess

import harness
from harness import BUILD, SOURCE, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
HIT, MISS = "HIT", "MISS"


def model_import(daemon, name, *words):
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, "model", "import", name, NFL, "--features", NAMES, *words],
                          capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""), "import")


class Question:
    def __init__(self, body, path="wp", content_type="application/json", **headers):
        self.body = body.encode() if isinstance(body, str) else body
        self.path = "/api/v1/predict/" + path
        self.headers = {"Content-Type": content_type}
        self.headers.update({name.replace("_", "-"): value for name, value in headers.items()})


def ask(connection, question):
    connection.request("POST", question.path, question.body, question.headers)
    answer = connection.getresponse()
    body = answer.read()
    equal(answer.status, 200, f"{question.body!r}: {body!r}")
    return answer.getheader("X-Cache"), body


def msgpack_row(values):
    """{"features": {name: double}} as msgpack."""
    out = b"\x81\xa8features" + bytes([0x80 | len(values)])
    for name, value in values.items():
        out += bytes([0xa0 | len(name)]) + name.encode() + b"\xcb" + struct.pack(">d", value)
    return out


def row(**features):
    return json.dumps({"features": features})


NAN = float("nan")

# what it shows, the first question, the second one, what that must be
CASES = (
    ("the same bytes", row(down=1, ydstogo=7), row(down=1, ydstogo=7), HIT),
    ("features in another order", row(down=2, ydstogo=7), row(ydstogo=7, down=2), HIT),
    ("values swapped between features", row(down=3, ydstogo=4), row(down=4, ydstogo=3), MISS),
    ("the value under another name", row(down=3.25), row(ydstogo=3.25), MISS),
    ("white space and escapes", row(down=3.5), '{ "feat\\u0075res" : {\n "dow\\u006e":3.5 } }', HIT),
    ("1 and 1.0", '{"features":{"home":1,"down":1.25}}', '{"features":{"home":1.0,"down":1.25}}', HIT),
    ("1 and 1e0", '{"features":{"home":1,"down":1.5}}', '{"features":{"home":1e0,"down":1.50}}', HIT),
    ("10 and 1E+1", '{"features":{"home":10}}', '{"features":{"home":1E+1}}', HIT),
    ("0 and -0", '{"features":{"home":0,"down":2.5}}', '{"features":{"home":-0.0,"down":2.5}}', HIT),
    ("one float32, two decimals", '{"features":{"home":0.1}}', '{"features":{"home":0.10000000149011612}}', HIT),
    ("the next float32", '{"features":{"home":0.2}}', '{"features":{"home":0.20000003}}', MISS),
    ("absent and null", '{"features":{"down":11}}', '{"features":{"down":11,"home":null}}', HIT),
    ("absent and NaN", '{"features":{"down":12}}', Question(msgpack_row({"down": 12.0, "home": NAN}),
                                                           content_type="application/msgpack"), HIT),
    ("null and JSON's NaN", '{"features":{"down":41,"home":null}}', '{"features":{"down":41,"home":NaN}}', HIT),
    ("null and NaN", '{"features":{"down":13,"home":null}}', Question(msgpack_row({"down": 13.0, "home": NAN}),
                                                                    content_type="application/msgpack"), HIT),
    ("missing and 0", '{"features":{"down":14}}', '{"features":{"down":14,"home":0}}', MISS),
    ("one row and a list of one", row(down=15), '{"rows":[{"down":15}]}', HIT),
    ("rows and columns", '{"rows":[{"down":16,"home":1}]}', '{"columns":["home","down"],"data":[[1,16]]}', HIT),
    ("columns in another order", '{"columns":["home","down"],"data":[[1,17]]}', '{"columns":["down","home"],"data":[[17,1]]}', HIT),
    ("columns swapped, values not", '{"columns":["home","down"],"data":[[1,18]]}', '{"columns":["down","home"],"data":[[1,18]]}', MISS),
    ("JSON and msgpack", row(down=22, home=1), Question(msgpack_row({"home": 1.0, "down": 22.0}), content_type="application/msgpack"), HIT),
    ("another model with the same bytes", row(down=25), Question(row(down=25), "ep"), MISS),
    ("the model and its version by number", row(down=26), Question(row(down=26), "wp@2"), HIT),
    ("an older version", row(down=27), Question(row(down=27), "wp@1"), MISS),
    ("margin after prediction", row(down=28), '{"features":{"down":28},"outputs":["margin"]}', HIT),
    ("contributions after prediction", row(down=29), '{"features":{"down":29},"include_feature_importance":true}', MISS),
    ("prediction after contributions", '{"features":{"down":30},"include_feature_importance":true}', row(down=30), HIT),
    ("another request id", row(down=31), Question(row(down=31), X_Request_Id="another"), HIT),
    ("other header fields", row(down=32), Question(row(down=32), User_Agent="x", Cookie="a=b", Accept="*/*", Authorization="Basic eA=="), HIT),
    ("another answer format", row(down=33), Question(row(down=33), Accept="application/msgpack"), HIT),
    ("a batch of known rows", row(down=34), '{"rows":[{"down":34},{"down":34.0}]}', HIT),
    ("a batch with a new row", row(down=35), '{"rows":[{"down":35},{"down":36}]}', MISS),
    ("a known row of a batch", '{"rows":[{"down":37},{"down":38}]}', row(down=38), HIT),
    ("use_cache false", row(down=39), '{"features":{"down":39},"use_cache":false}', "BYPASS"),
)


def started(daemon, *words):
    daemon.start(*words)
    model_import(daemon, "wp")
    model_import(daemon, "wp", "--use")
    model_import(daemon, "ep")
    return http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)


def question_of(what):
    return what if isinstance(what, Question) else Question(what)


def test_questions_that_mean_the_same_are_answered_once_and_no_others(daemon):
    connection = started(daemon, "-o", "cache.response.enabled=no", "-o", "workers=1", "-o", "cache.prediction.bypass=no")
    for what, first, second, want in CASES:
        first, second = question_of(first), question_of(second)
        _, answer = wait_for(lambda: (lambda got: got if got[0] == HIT else None)(ask(connection, first)), what)
        got, again = ask(connection, second)
        equal(got, want, what)
        if want == HIT and first.headers == second.headers and b"outputs" not in second.body:
            equal(json.loads(again)["predictions"][0]["prediction"], json.loads(answer)["predictions"][-1]["prediction"], what)
    connection.close()
    daemon.stop()


def test_rendered_answers_are_for_the_same_bytes_path_and_format_alone(daemon):
    connection = started(daemon, "-o", "cache.prediction.enabled=no", "-o", "workers=1")
    body = row(down=1, ydstogo=7)
    first = Question(body)
    _, text = wait_for(lambda: (lambda got: got if got[0] == HIT else None)(ask(connection, first)), "the first")
    for what, question, want in (("the same", Question(body), HIT), ("one blank more", Question(body + " "), MISS),
                                 ("another model", Question(body, "ep"), MISS), ("an older version", Question(body, "wp@1"), MISS),
                                 ("another format", Question(body, Accept="application/msgpack"), MISS),
                                 ("another request id", Question(body, X_Request_Id="x", Cookie="a=b"), HIT),
                                 ("no-cache", Question(body, Cache_Control="no-cache"), "BYPASS")):
        got, answer = ask(connection, question)
        equal(got, want, what)
        if want == HIT:
            equal(answer, text, what)
    connection.close()
    daemon.stop()


harness.run(globals())
