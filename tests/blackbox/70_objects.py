#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Objects over HTTP: what is put is read by every worker at once, conditions let one of many win, files are fetched once,
and nothing outside their folder ever."""
import http.client
import json
import os
import socket
import threading
import time

import harness
import slowfiles
from harness import check, contains, equal, wait_for

OBJECTS = "/api/v1/objects/"


class Site:
    """A daemon with objects that may be written, and a folder of files for those below players/."""

    def __init__(self, daemon, **options):
        self.daemon = daemon
        self.folder = os.path.join(daemon.dir, "players")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        values = {"folder": f'"{self.folder}"', "ttl": "1h", **options}
        lines = " ".join(f"{name} = {value}" for name, value in values.items())
        plain = daemon.conf_text
        writable = 'size = 16MiB\n    class "object" { writable = yes }'
        daemon.conf_text = lambda: plain().replace("size = 16MiB", writable) + f'object "players" {{ {lines} }}\n'

    def write(self, name, content, mtime=None):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(content)
        if mtime is not None:
            os.utime(path + ".new", (mtime, mtime))
        os.rename(path + ".new", path)
        return path

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.daemon.port(), timeout=20)

    def ask(self, method, name, body=None, headers=None, connection=None):
        own = connection or self.connect()
        own.request(method, OBJECTS + name, body, headers or {})
        answer = own.getresponse()
        content = answer.read()
        if connection is None:
            own.close()
        return answer, content

    def status(self, *args, **values):
        return self.ask(*args, **values)[0].status

    def count(self, result):
        return self.daemon.metrics()[f'augury_object_fetches_total{{result="{result}"}}']


def get_raw(daemon, path):
    with socket.create_connection(("127.0.0.1", daemon.port()), timeout=10) as client:
        client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := client.recv(65536):
            data += piece
    return int(data.split(b" ", 2)[1]), data


# ---- put and get ------------------------------------------------------------------------------------


def test_an_object_comes_back_as_it_was_put(daemon):
    site = Site(daemon)
    daemon.start()
    for content, kind in ((b'{"a":1}', "application/json"), (bytes(range(256)) * 700, "image/png"), (b"", "text/plain")):
        answer, _ = site.ask("PUT", "a/b~c:d.e-f_g", content, {"Content-Type": kind})
        check(answer.status in (201, 204), f"{answer.status}")
        tag = answer.headers["ETag"]
        answer, got = site.ask("GET", "a/b~c:d.e-f_g")
        equal((answer.status, got, answer.headers["Content-Type"]), (200, content, kind))
        equal((answer.headers["ETag"], answer.headers["X-Cache"], answer.headers["Age"]), (tag, "HIT", "0"))
        equal(answer.headers["Cache-Control"], "max-age=86400")
        since = answer.headers["Last-Modified"]
        answer, got = site.ask("HEAD", "a/b~c:d.e-f_g")
        equal((answer.status, got, answer.headers["Content-Length"]), (200, b"", str(len(content))))
        for name, value in (("If-None-Match", tag), ("If-None-Match", "W/" + tag), ("If-Modified-Since", since)):
            answer, got = site.ask("GET", "a/b~c:d.e-f_g", headers={name: value})
            equal((answer.status, got, answer.headers["ETag"]), (304, b"", tag), name)
        answer, got = site.ask("GET", "a/b~c:d.e-f_g", headers={"If-None-Match": '"0123456789abcdef"', "Accept-Encoding": "gzip"})
        equal((answer.status, got, answer.headers["Content-Encoding"]), (200, content, None), "as it was put")
    equal(site.status("GET", "a%2Fb"), 400)
    answer, got = site.ask("GET", "a/b%7Ec:d.e%2Df_g")
    equal(answer.status, 200, "escapes of what may stand in a name")
    equal(site.status("DELETE", "a/b~c:d.e-f_g"), 204)
    equal(site.status("DELETE", "a/b~c:d.e-f_g"), 404)
    equal(site.status("GET", "a/b~c:d.e-f_g"), 404)
    equal(site.status("GET", "a/b~c:d.e-f_g", headers={"Cache-Control": "only-if-cached"}), 504)
    daemon.stop()


def test_every_worker_reads_what_was_put_once_the_put_is_answered(daemon):
    daemon.options["workers"] = "3"
    site = Site(daemon)
    daemon.start()
    readers = [site.connect() for _ in range(24)]
    writers = [site.connect() for _ in range(4)]
    for turn in range(60):
        name = f"turn/{turn % 7}"
        content = os.urandom(40 if turn % 5 else 60000)
        check(site.status("PUT", name, content, connection=writers[turn % 4]) in (201, 204), "put")
        for reader in readers:
            answer, got = site.ask("GET", name, connection=reader)
            check(answer.status == 200 and got == content, f"turn {turn}: {answer.status}, another value")
        if turn % 10 == 9:
            equal(site.status("DELETE", name, connection=writers[0]), 204)
            equal({site.status("GET", name, connection=reader) for reader in readers}, {404})
    daemon.stop()


def test_of_fifty_conditional_puts_one_wins(daemon):
    site = Site(daemon)
    daemon.start()
    lost_updates = []

    def race(put):
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(put(i))) for i in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    for turn in range(4):
        results = race(lambda i: site.status("PUT", f"new/{turn}", b"%d" % i, {"If-None-Match": "*"}))
        equal(sorted(results), [201] + [412] * 49)
    tag = site.ask("PUT", "one", b"0")[0].headers["ETag"]
    for turn in range(4):
        results = race(lambda i: (site.ask("PUT", "one", b"%d.%d" % (turn, i), {"If-Match": tag})[0]))
        won = [answer for answer in results if answer.status == 204]
        equal((len(won), {a.status for a in results}), (1, {204, 412}))
        tag = won[0].headers["ETag"]
    equal(site.status("PUT", "one", b"x", {"If-Match": "W/" + tag}), 412, "a weak tag never matches")
    equal(site.status("DELETE", "one", None, {"If-Match": '"0000000000000000"'}), 412)
    equal(site.status("PUT", "absent", b"x", {"If-Match": "*"}), 412)
    equal(site.status("GET", "one", None, {"If-Match": '"0000000000000000"'}), 412)
    equal(site.status("GET", "one", None, {"If-Match": tag, "If-None-Match": '"0"'}), 200)
    equal(site.status("DELETE", "one", None, {"If-Match": f'"0000000000000000", {tag}'}), 204)

    # "*" is any of them: no change in between makes it false.
    equal(site.status("PUT", "any", b"x", {"If-Match": "*"}), 412)
    site.ask("PUT", "any", b"0")
    equal(set(race(lambda i: site.status("PUT", "any", b"%d" % i, {"If-Match": "*"}))), {204})

    # A counter that many count up by compare and set: no step is lost.
    site.ask("PUT", "counter", b"0")

    def step(_):
        connection = site.connect()
        while True:
            answer, content = site.ask("GET", "counter", connection=connection)
            put = site.status("PUT", "counter", b"%d" % (int(content) + 1), {"If-Match": answer.headers["ETag"]},
                              connection=connection)
            if put == 204:
                return connection.close()
            if put != 412:
                lost_updates.append(put)
                return None
    race(step)
    equal(lost_updates, [])
    equal(site.ask("GET", "counter")[1], b"50")
    daemon.stop()


def test_lives_end(daemon):
    site = Site(daemon)
    daemon.start()
    equal(site.status("PUT", "short?ttl=1s", b"x"), 201)
    equal(site.status("PUT", "shorter", b"x", {"Cache-Control": "max-age=1"}), 201)
    equal(site.ask("GET", "short")[0].headers["Cache-Control"], "max-age=1")
    wait_for(lambda: site.status("GET", "short") == 404 and site.status("GET", "shorter") == 404, "the end of a second")
    equal(site.status("PUT", "short", b"x", {"If-None-Match": "*"}), 201, "what is past its time is not there")
    for query, words in (("ttl=0", "outside"), ("ttl=never", "a time such as"), ("ttl=2000d", "outside"), ("ttl=", "a time"),
                         ("ttl=000000000000000000000000000005s_or_so", "a time"), ("ttl=1s&ttl=2s", "twice")):
        answer, body = site.ask("PUT", "bad?" + query, b"x")
        equal(answer.status, 400, query)
        contains(json.loads(body)["error"], words)
    for life in ("0", "31536001", "99999999999", "soon"):
        equal(site.status("PUT", "bad", b"x", {"Cache-Control": "max-age=" + life}), 400, life)
    daemon.stop()


def test_what_cannot_be_put_is_refused_with_the_reason(daemon):
    site = Site(daemon)
    daemon.sections["limits"]["body"] = "2MiB"
    daemon.start()
    names = ["", "a//b", "/a", "a/", "a/./b", "a/../b", "..", "a%00b", "a%20b", "%C3%A4", "a;b", "x" * 201, "a%2e%2e%2fb"]
    for name in names:
        answer, body = site.ask("PUT", name, b"x")
        check(answer.status in (400, 404), f"{name}: {answer.status}")
        check(site.status("GET", name) in (400, 404), name)
    equal(site.status("PUT", "x" * 200, b"x"), 201)
    answer, body = site.ask("PUT", "big", b"x" * (600 << 10))
    equal(answer.status, 413)
    contains(json.loads(body)["error"], "half of cache.ring")
    equal(site.status("PUT", "big", b"x" * (510 << 10)), 201)
    equal(len(site.ask("GET", "big")[1]), 510 << 10)
    answer, body = site.ask("PUT", "type", b"x", {"Content-Type": "t/" + "x" * 100})
    equal((answer.status, json.loads(body)["code"]), (400, "invalid_type"))
    equal(site.status("POST", "x", b"{}"), 405)
    daemon.stop()


def test_objects_are_not_written_unless_the_configuration_says_so(daemon):
    daemon.start()
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    for method in ("PUT", "DELETE"):
        connection.request(method, OBJECTS + "x", b"x")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        equal((answer.status, body["code"]), (403, "not_writable"))
        contains(body["error"], "writable = yes")
    daemon.stop()


def test_many_objects_come_in_one_document(daemon):
    site = Site(daemon)
    daemon.start()
    put = {"j": (b'{"n":12345678901234567890.50,"a":[]}', "application/json"),
           "p": (b'{"x":1}', "application/problem+json; charset=utf-8"),
           "broken": (b'{"x":', "application/json"), "t": ("grün".encode(), "text/plain; charset=utf-8"),
           "latin": (b"gr\xfcn", "text/plain"), "b": (b"\x00\xff\x10a", "application/octet-stream")}
    for name, (content, kind) in put.items():
        equal(site.status("PUT", "m/" + name, content, {"Content-Type": kind}), 201)
    names = ["m/" + name for name in put] + ["m/none", "m/j"]
    answer, body = site.ask("POST", "mget", json.dumps({"names": names}), {"Content-Type": "application/json"})
    equal(answer.status, 200)
    document = json.loads(body)
    equal(document["missing"], ["m/none"])
    got = {name: one["value"] for name, one in document["objects"].items()}
    equal(got, {"m/j": {"n": 12345678901234567890.50, "a": []}, "m/p": {"x": 1}, "m/broken": '{"x":', "m/t": "grün",
                "m/latin": "Z3L8bg==", "m/b": "AP8QYQ=="})
    contains(body.decode(), "12345678901234567890.50")
    equal(document["objects"]["m/t"]["etag"], site.ask("GET", "m/t")[0].headers["ETag"])
    for bad in ('{"names":["a"],"ttl":1}', '{"names":[]}', '{"names":["../x"]}', '{"names":[1]}', '{"name":["a"]}', '[]', '{"names":["a"', "",
                json.dumps({"names": ["a"] * 1001})):
        equal(site.status("POST", "mget", bad, {"Content-Type": "application/json"}), 400, bad[:40])
    daemon.stop()


# ---- files ------------------------------------------------------------------------------------------


def test_a_missing_object_is_read_from_its_file(daemon):
    site = Site(daemon, negative_ttl="1s")
    site.write("a.json", '{"id":1}', 1600000000)
    os.makedirs(os.path.join(site.folder, "team"))
    site.write("team/b.txt", "text")
    daemon.start()
    answer, body = site.ask("GET", "players/a.json")
    equal((answer.status, body, answer.headers["X-Cache"]), (200, b'{"id":1}', "MISS"))
    equal((answer.headers["Content-Type"], answer.headers["Last-Modified"]),
          ("application/json", "Sun, 13 Sep 2020 12:26:40 GMT"))
    tag = answer.headers["ETag"]
    wait_for(lambda: site.ask("GET", "players/a.json")[0].headers["X-Cache"] == "HIT", "it is kept")
    equal(site.status("GET", "players/a.json", headers={"If-None-Match": tag}), 304)
    # A condition holds for what had to be read first as well.
    for name, field, value, wanted in (("c.json", "If-Match", '"0000000000000000"', 412), ("d.json", "If-None-Match", tag, 304),
                                       ("e.json", "If-Modified-Since", "Sun, 13 Sep 2020 12:26:40 GMT", 304)):
        site.write(name, '{"id":1}', 1600000000)
        equal(site.status("GET", "players/" + name, headers={field: value}), wanted, field)
    answer, body = site.ask("GET", "players/team/b.txt")
    equal((answer.status, body, answer.headers["Content-Type"]), (200, b"text", "text/plain; charset=utf-8"))
    read = site.count("read")

    # no-cache looks at the file again; one that has not changed is not read.
    answer, body = site.ask("GET", "players/a.json", headers={"Cache-Control": "no-cache"})
    equal((answer.status, body, answer.headers["ETag"]), (200, b'{"id":1}', tag))
    equal((site.count("read"), site.count("unchanged")), (read, 1))
    site.write("a.json", '{"id":2}', 1600000001)
    equal(site.ask("GET", "players/a.json")[1], b'{"id":1}', "it is fresh")
    equal(site.ask("GET", "players/a.json", headers={"Cache-Control": "no-cache"})[1], b'{"id":2}')
    wait_for(lambda: site.ask("GET", "players/a.json")[1] == b'{"id":2}', "it takes its place")

    # That there is none is known for a second.
    equal(site.status("GET", "players/new"), 404)
    equal(site.status("GET", "players/new", headers={"Cache-Control": "only-if-cached"}) in (404, 504), True)
    absent = site.count("absent")
    site.write("new", "there")
    wait_for(lambda: site.status("GET", "players/new") == 200, "the end of a second")
    equal(site.count("absent"), absent)

    # What is put stands before the file.
    equal(site.status("PUT", "players/a.json", b"mine"), 204)
    equal(site.ask("GET", "players/a.json")[1], b"mine")
    equal(site.status("DELETE", "players/a.json"), 204)
    equal(site.ask("GET", "players/a.json")[1], b'{"id":2}')
    daemon.stop()


def test_nothing_outside_the_folder_is_read(daemon):
    site = Site(daemon, max_bytes="1KiB")
    secret = os.path.join(daemon.dir, "secret")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("secret")
    os.symlink(secret, os.path.join(site.folder, "link"))
    os.symlink(daemon.dir, os.path.join(site.folder, "out"))
    os.mkfifo(os.path.join(site.folder, "pipe"))
    os.makedirs(os.path.join(site.folder, ".git"))
    site.write(".git/config", "hidden")
    site.write(".hidden", "hidden")
    site.write("large", "x" * 1025)
    site.write("fits", "x" * 1024)
    site.write("file", "x")
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.join(site.folder, "socket"))
    daemon.start()
    for path in (b"players/../secret", b"players/%2e%2e/secret", b"players/..%2fsecret", b"players/.%2e/secret",
                 b"players//secret", b"players/./file", b"players/%2Fetc/passwd", b"players/../../../../etc/passwd",
                 b"players/out/../secret", b"players/file%00", b"players/\\..\\secret"):
        status, data = get_raw(daemon, OBJECTS.encode() + path)
        check(status in (400, 404) and b"secret\n" not in data and b"root:" not in data, f"{path}: {status}")
    for name, wanted in (("link", 502), ("out/secret", 502), ("pipe", 502), ("socket", 502), ("large", 502), ("fits", 200),
                         (".git/config", 404), (".hidden", 404), (".git", 404), ("file/x", 404), ("y" * 190, 404)):
        answer, body = site.ask("GET", "players/" + name)
        equal(answer.status, wanted, name)
        check(b"secret" not in body.replace(b"out/secret", b"") and b"hidden\"" not in body[:8], name)
    # Just after a failure, other workers say that there was one, not why.
    for name, words in (("link", "symbolic links are not followed"), ("large", "larger than max_bytes"),
                        ("pipe", "no regular file")):
        wait_for(lambda name=name, words=words: words in json.loads(site.ask("GET", "players/" + name)[1])["error"],
                 words)
    server.close()
    daemon.stop()


def test_a_file_is_fetched_once_for_all_who_ask(daemon):
    site = Site(daemon)
    site.write("slow.json", "[1]")
    slowfiles.start(daemon, 300)
    daemon.port()
    results = []

    def ask():
        answer, body = site.ask("GET", "players/slow.json")
        results.append((answer.status, body, answer.headers["X-Cache"]))
    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal({(status, body) for status, body, _ in results}, {(200, b"[1]")})
    equal(len(results), 200)
    fetches = site.count("read")
    equal(fetches, 1, "fetches by two workers")
    equal(sum(word == "MISS" for _, _, word in results), fetches)
    daemon.stop()


def test_the_other_requests_of_a_worker_do_not_wait_for_a_file(daemon):
    daemon.options["workers"] = "1"
    site = Site(daemon)
    site.write("slow", "x")
    slowfiles.start(daemon, 1000)
    equal(site.status("PUT", "quick", b"x"), 201)
    slow = site.connect()
    slow.request("GET", OBJECTS + "players/slow")
    begin = time.monotonic()
    for _ in range(20):
        equal(site.status("GET", "quick"), 200)
    check(time.monotonic() - begin < 0.9, "quick ones waited")
    equal(slow.getresponse().status, 200)
    daemon.stop()


def test_past_its_time_an_object_answers_while_or_unless_its_file_is_read(daemon):
    site = Site(daemon, ttl="1s", stale_while_revalidate="2s", stale_if_error="1h")
    site.write("slow", "one", 1600000000)
    slowfiles.start(daemon, 200)
    equal(site.ask("GET", "players/slow")[1], b"one")
    site.write("slow", "two", 1600000001)

    def word():
        answer, body = site.ask("GET", "players/slow")
        return answer.headers["X-Cache"], body
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() > begin + 1.1, "unasked, it passes its time")
    equal(word(), ("STALE", b"one"), "it answers all the same")
    check(time.monotonic() - begin < 1.3, "it waited")
    wait_for(lambda: word()[1] == b"two", "it is made anew meanwhile")
    check(daemon.metrics()['augury_object_refreshes_total{reason="stale"}'] >= 1, "no refresh was counted")

    # Unreadable, also for root: the folder has gone.
    os.rename(site.folder, site.folder + ".away")
    wait_for(lambda: word() == ("STALE", b"two") and site.count("failed") >= 1, "it answers though it cannot be read")
    stale = "augury_object_stale_if_error_total"
    wait_for(lambda: word() == ("STALE", b"two") and daemon.metrics()[stale] >= 1, "past stale_while_revalidate too")
    equal(word(), ("STALE", b"two"))
    answer, body = site.ask("GET", "players/other")
    equal((answer.status, json.loads(body)["code"]), (502, "fetch_failed"))
    os.rename(site.folder + ".away", site.folder)
    wait_for(lambda: word()[0] != "STALE", "it is back")
    daemon.stop()


def test_what_is_asked_all_the_time_is_made_anew_before_its_time_is_over(daemon):
    site = Site(daemon, ttl="1s")
    site.write("slow", "x", 1600000000)
    slowfiles.start(daemon, 150)
    connection = site.connect()
    equal(site.status("GET", "players/slow", connection=connection), 200)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        equal(site.status("GET", "players/slow", connection=connection), 200)
    early = daemon.metrics()['augury_object_refreshes_total{reason="early"}']
    check(early >= 2, f"{early} early refreshes in four lives")
    check(site.count("unchanged") <= 2 * early + 4, "more than one refresh at a time")
    daemon.stop()


def test_a_folder_that_may_not_be_read_is_an_error_and_no_absence(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root to become another user")
    daemon.options["user"] = '"nobody"'
    site = Site(daemon)
    site.write("a", "x")
    daemon.start()
    equal(site.status("GET", "players/a"), 200)
    os.chmod(site.folder, 0)
    answer, body = site.ask("GET", "players/b")
    equal(answer.status, 502)
    contains(json.loads(body)["error"], "Permission denied")
    os.chmod(site.folder, 0o755)
    wait_for(lambda: site.status("GET", "players/b") == 404, "the failure counts for a moment only")
    daemon.stop()


def test_a_refusal_names_its_place(daemon):
    site = Site(daemon)
    daemon.start()
    type_json = {"Content-Type": "application/json"}

    def refusal(*args):
        answer, body = site.ask(*args)
        document = json.loads(body)
        return answer.status, document["code"], document["at"]

    equal(refusal("PUT", "a", b"1", {"Content-Type": "x" * 200}), (400, "invalid_type", "Content-Type"))
    equal(refusal("PUT", "a//b", b"1"), (400, "invalid_name", "name"))
    equal(refusal("PUT", "a?tll=1s", b"1"), (400, "unknown_parameter", "tll"), "not kept for another time than was meant")
    equal(refusal("PUT", "a?ttl=1s&x", b"1"), (400, "unknown_parameter", "x"))
    equal(refusal("PUT", "a?ttl=soon", b"1"), (400, "invalid_value", "ttl"))
    equal(refusal("DELETE", "a?ttl=1s"), (400, "unknown_parameter", "ttl"))
    equal(refusal("PUT", "a", b"1", {"Cache-Control": "max-age=0"}), (400, "invalid_life", "Cache-Control"))
    equal(refusal("PUT", "a", b"1", {"If-Match": '"0"'}), (412, "condition_failed", "If-Match"))
    equal(refusal("PUT", "a", b"1", {"Content-Range": "bytes 0-0/9"}), (400, "invalid_request", "Content-Range"))
    equal(refusal("GET", "a"), (404, "object_not_found", "name"))
    equal(refusal("POST", "mget", b'{"names":["a","b","c//d"]}', type_json), (400, "invalid_name", "names[2]"))
    equal(refusal("POST", "mget", b'{"names":["a",1]}', type_json), (400, "invalid_name", "names[1]"))
    equal(refusal("POST", "mget", b'{"names":[]}', type_json), (400, "invalid_request", "names"))
    for method in ("GET", "PUT", "DELETE"):
        answer, _ = site.ask(method, "mget", b"1" if method == "PUT" else None)
        equal((answer.status, answer.headers["Allow"]), (405, "POST, OPTIONS"), "POST alone means something there")
    daemon.stop()


def test_the_command_shows_an_object_as_it_was_put(daemon):
    site = Site(daemon)
    daemon.start()
    equal(site.status("PUT", "a/b", b'{"x":1}', {"Content-Type": "application/json"}), 201)
    equal(site.status("PUT", "c", b"\x00\xff", {"Content-Type": "image/png"}), 201)
    shown = daemon.admin_json("cache get object:a/b")
    equal((shown["value"], shown["content_type"], shown["bytes"]), ('{"x":1}', "application/json", 7))
    shown = daemon.admin_json("cache get object:c")
    equal((shown["value_base64"], shown["content_type"], shown["bytes"]), ("AP8=", "image/png", 2))
    check("until" not in daemon.admin_json("resize auto"), "a size that is not held lasts until nothing")
    daemon.stop()


harness.run(globals())
