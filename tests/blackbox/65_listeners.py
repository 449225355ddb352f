#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Listeners: what each one serves, UNIX sockets with their rights, both families of addresses, reloads that add, take away
and change listeners, and whom requests are from when proxies say so."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import stat
import struct
import subprocess
import threading

import harness
from harness import Skip, check, contains, equal, wait_for


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def conf(daemon, *listeners, **options):
    """The usual file with these sections in the place of its listener."""
    daemon.options.update({"workers": 2}, **options)
    daemon.listeners = {}
    return daemon.conf_text() + "\n".join(f'listen "{name}" {{ {words} }}' for name, words in listeners) + "\n"


def start(daemon, *listeners, **options):
    text = conf(daemon, *listeners, **options)
    daemon.conf_text = lambda: text
    daemon.start()


def reload(daemon, text):
    daemon.write_conf(text)
    code, answer = daemon.admin("reload")
    equal(code, 0, answer)


def ask(connection, path, method="GET"):
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def at(daemon, listener):
    return http.client.HTTPConnection("127.0.0.1", daemon.port(listener), timeout=10)


def test_each_listener_serves_its_routes_and_nothing_tells_of_others(daemon):
    start(daemon, ("public", 'address = "127.0.0.1:0"\n routes = "predict, health, docs"'),
          ("inner", 'address = "127.0.0.1:0"\n routes = "metrics, status"'),
          ("all", 'address = "127.0.0.1:0"'))
    ports = {name: daemon.port(name) for name in ("public", "inner", "all")}
    equal(len(set(ports.values())), 3, "port 0 is another port each time")
    wanted = {"/api/v1/health": "public all", "/metrics": "inner all", "/api/v1/status": "inner all",
              "/api/v1/models": "all", "/v2": "all", "/api/v1/predict/nobody": "public all",
              "/api/v1/objects/x": "all"}
    for name in ports:
        connection = at(daemon, name)
        nothing = ask(connection, "/nothing")
        equal(nothing[0], 404)
        for path, there in wanted.items():
            method = "POST" if "predict" in path else "GET"
            status, body = ask(connection, path, method)
            if name in there.split():
                check(status != 404 or json.loads(body)["code"] != "unknown_route", f"{path} at {name}")
                continue
            for other in (method, "DELETE", "OPTIONS"):
                equal((status, body.replace(path.encode(), b"/nothing")), nothing, f"{other} {path} at {name}")
                status, body = ask(connection, path, other)
        connection.close()
    connection = at(daemon, "public")
    paths = [one["path"] for one in json.loads(ask(connection, "/api/v1")[1])["resources"]]
    check("/api/v1/health" in paths and "/metrics" not in paths, f"the list has {paths}")
    document = json.loads(ask(connection, "/openapi.json")[1])
    equal(set(document["paths"]) - set(paths), set())
    equal([tag["name"] for tag in document["tags"]], ["predict", "health", "docs"])
    connection.close()
    daemon.stop()


def test_what_a_listener_says_of_itself_holds_there(daemon):
    start(daemon, ("all", 'address = "127.0.0.1:0"'), ("inner", 'address = "127.0.0.1:0"\n routes = "metrics, health"'))
    for name, hint, allowed in (("all", True, "GET, HEAD, POST, PUT, DELETE, OPTIONS"), ("inner", False, "GET, HEAD, OPTIONS")):
        connection = at(daemon, name)
        equal("GET /api/v1" in json.loads(ask(connection, "/nothing")[1])["error"], hint, name)
        connection.request("OPTIONS", "*")
        answer = connection.getresponse()
        answer.read()
        equal((answer.status, set(answer.headers["Allow"].split(", "))), (204, set(allowed.split(", "))), name)
        connection.close()
    daemon.stop()


def test_a_unix_socket_has_its_rights_and_goes_with_the_daemon(daemon):
    path = os.path.join(daemon.dir, "made", "http.sock")
    os.mkdir(os.path.dirname(path))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    start(daemon, ("nginx", f'address = "unix:{path}"\n mode = "0606"'))
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o606)
    connection = UnixConnection(path)
    equal(ask(connection, "/api/v1/health")[0], 200)
    reload(daemon, daemon.conf_text().replace("0606", "0660"))
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o660)
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    connection.close()
    daemon.stop()
    check(not os.path.exists(path), "the socket is left behind")


def test_a_unix_socket_that_another_has_made_meanwhile_stays(daemon):
    path = os.path.join(daemon.dir, "http.sock")
    start(daemon, ("nginx", f'address = "unix:{path}"'))
    os.unlink(path)
    other = socket.socket(socket.AF_UNIX)
    other.bind(path)
    daemon.stop()
    check(os.path.exists(path), "somebody else's socket was removed")
    other.close()


def test_reloads_add_and_take_away_listeners_and_lose_nobody(daemon):
    path = os.path.join(daemon.dir, "http.sock")
    one, two = ("one", 'address = "127.0.0.1:0"'), ("two", f'address = "unix:{path}"\n backlog = 500')
    only_one, both, only_two = conf(daemon, one), conf(daemon, one, two), conf(daemon, two)
    daemon.conf_text = lambda: only_one
    daemon.start()
    kept = at(daemon, "one")
    equal(ask(kept, "/api/v1/health")[0], 200)
    port = daemon.port("one")
    reload(daemon, both)
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    equal(daemon.port("one"), port)
    # Connections without a request yet, some of them perhaps still in the kernel's queue.
    waiting = []
    for _ in range(40):
        waiting.append(at(daemon, "one"))
        waiting[-1].connect()
    reload(daemon, only_two)
    for connection in waiting:
        equal(ask(connection, "/api/v1/health")[0], 200)
        connection.close()
    kept.close()
    daemon.wait_event("listen_end", name="one")
    with socket.socket() as late:
        check(late.connect_ex(("127.0.0.1", port)) != 0, "a listener that was taken away is still there")
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    reload(daemon, only_one)
    wait_for(lambda: not os.path.exists(path), "the socket goes with its listener")
    equal(len(daemon.events("listen", name="one")), 2)
    daemon.stop()


class Caller(threading.Thread):
    """Connects again and again until it is refused; what was connected must be answered."""
    def __init__(self, port):
        super().__init__()
        self.port = port
        self.statuses = []
        self.lost = []

    def run(self):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            except OSError as error:
                self.lost.append(f"connect: {error!r}")
                return
            try:
                self.statuses.append(ask(connection, "/api/v1/health")[0])
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            connection.close()


def test_a_listener_that_is_taken_away_answers_all_who_reached_it(daemon):
    one, two = ("one", 'address = "127.0.0.1:0"'), ("two", 'address = "127.0.0.1:0"')
    only_one, both = conf(daemon, one), conf(daemon, one, two)
    daemon.conf_text = lambda: both
    daemon.start()
    for _ in range(3):
        port = daemon.port("two")
        callers = [Caller(port) for _ in range(4)]
        for caller in callers:
            caller.start()
        wait_for(lambda: all(len(caller.statuses) > 20 for caller in callers), "all are at work")
        reload(daemon, only_one)
        with socket.socket() as late:
            check(late.connect_ex(("127.0.0.1", port)) != 0, "the listener is there after the reload")
        for caller in callers:
            caller.join(10)
            equal((caller.lost, set(caller.statuses)), ([], {200}))
        reload(daemon, both)
    daemon.stop()


def test_the_next_connection_after_a_reload_is_served_as_the_file_says(daemon):
    texts = {404: conf(daemon, ("one", 'address = "127.0.0.1:0"\n routes = "metrics"')),
             200: conf(daemon, ("one", 'address = "127.0.0.1:0"\n routes = "health"'))}
    daemon.conf_text = lambda: texts[404]
    daemon.start()
    for i in range(6):
        status = (200, 404)[i % 2]
        reload(daemon, texts[status])
        for _ in range(4):
            connection = at(daemon, "one")
            equal(ask(connection, "/api/v1/health")[0], status)
            connection.close()
    daemon.stop()


def test_both_families_on_one_machine(daemon):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as why:
        raise Skip(f"no IPv6 here: {why}") from why
    start(daemon, ("six", 'address = "[::1]:0"'), ("both", 'address = "*:0"'))
    check(daemon.events("listen", name="six")[-1]["address"].startswith("[::1]:"), "the log names the address")
    six = http.client.HTTPConnection("::1", daemon.port("six"), timeout=10)
    equal(ask(six, "/api/v1/health")[0], 200)
    with socket.socket() as four:
        check(four.connect_ex(("127.0.0.1", daemon.port("six"))) != 0, "[::1] is reached by IPv4")
    for host in ("::1", "127.0.0.1"):
        both = http.client.HTTPConnection(host, daemon.port("both"), timeout=10)
        equal(ask(both, "/api/v1/health")[0], 200)
        both.close()
    six.close()
    daemon.stop()


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = SIGNATURE + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + struct.pack(">HH", 56324, 8080)
MISSING = b"GET /nothing HTTP/1.1\r\nHost: x\r\n"


def talk(port, *parts, host="127.0.0.1"):
    """What comes back for bytes that are sent apart; empty: the connection was closed."""
    with socket.create_connection((host, port), timeout=10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                plain.sendall(part)
            return plain.recv(4096)
        except ConnectionError:
            return b""


def clients(daemon, event="request_refused"):
    return [line["client"] for line in daemon.events(event)]


def proxy_headers(daemon, result):
    return daemon.metrics()[f'augury_proxy_headers_total{{result="{result}"}}']


def test_a_proxy_names_its_client_before_the_first_byte(daemon):
    start(daemon, ("front", 'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "127.0.0.1"'),
          ("other", 'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "192.0.2.1, unix:"'))
    port = daemon.port("front")
    request = MISSING + b"\r\n"
    check(talk(port, FOUR + request).startswith(b"HTTP/1.1 404"), "header and request at once")
    check(talk(port, *[FOUR[i:i + 1] for i in range(len(FOUR))], request).startswith(b"HTTP/1.1 404"), "byte by byte")
    line = b"PROXY TCP6 2001:db8::7 ::1 56324 8080\r\n"
    check(talk(port, line[:20], line[20:] + request).startswith(b"HTTP/1.1 404"), "a line in two parts")
    check(talk(port, SIGNATURE + b"\x20\0\0\0" + request).startswith(b"HTTP/1.1 404"), "LOCAL")
    equal(clients(daemon), ["203.0.113.7", "203.0.113.7", "2001:db8::7", "127.0.0.1"])
    for bad in (request, SIGNATURE + b"\x11\x11\0\x0c", b"PROXY TCP4 nobody\r\n" + request,
                SIGNATURE + b"\x21\x11\xff\xff"):
        equal(talk(port, bad), b"", f"{bad}")
    equal(talk(daemon.port("other"), FOUR + request), b"", "from whom the listener does not know")
    equal((proxy_headers(daemon, "read"), proxy_headers(daemon, "malformed"), proxy_headers(daemon, "untrusted")), (4, 4, 1))
    daemon.stop()


def test_a_silent_proxy_is_cut_in_time(daemon):
    daemon.sections["limits"]["header_timeout"] = "300ms"
    start(daemon, ("front", 'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "127.0.0.1"'))
    equal(talk(daemon.port("front"), FOUR[:13]), b"")
    daemon.stop()


def test_the_proxys_header_comes_before_tls(daemon):
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "key", "-out", "pem", "-subj", "/CN=x", "-days", "2"], cwd=daemon.dir, capture_output=True, check=True)
    os.chmod(os.path.join(daemon.dir, "key"), 0o600)
    start(daemon, ("front", f'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "127.0.0.1"\n '
                   f'tls_certificate = "{daemon.dir}/pem"\n tls_key = "{daemon.dir}/key"'))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", daemon.port("front")), timeout=10) as plain:
        plain.sendall(FOUR)
        with made.wrap_socket(plain) as tls:
            tls.sendall(MISSING + b"\r\n")
            check(tls.recv(4096).startswith(b"HTTP/1.1 404"), "an answer by TLS")
    equal(clients(daemon), ["203.0.113.7"])
    daemon.stop()


def test_haproxy_names_its_client(daemon):
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        raise Skip("haproxy is not installed")
    start(daemon, ("front", 'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "127.0.0.1"'))
    path = os.path.join(daemon.dir, "haproxy.cfg")
    for option in ("send-proxy-v2", "send-proxy", "send-proxy-v2 proxy-v2-options crc32c,unique-id"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend f
    bind 127.0.0.1:{port}
    unique-id-format %[uuid()]
    default_backend b
backend b
    server s 127.0.0.1:{daemon.port("front")} {option}
""")
        proxy = subprocess.Popen([haproxy, "-db", "-f", path], stderr=subprocess.DEVNULL)
        try:
            def try_it():
                with socket.socket() as plain:
                    plain.settimeout(10)
                    plain.bind(("127.0.0.9", 0))  # an address that haproxy does not have
                    if plain.connect_ex(("127.0.0.1", port)) != 0:
                        return b""
                    plain.sendall(MISSING + b"\r\n")
                    return plain.recv(4096)
            answer = wait_for(try_it, "haproxy listens")
            check(answer.startswith(b"HTTP/1.1 404"), option)
        finally:
            proxy.kill()
            proxy.wait()
    equal(clients(daemon), ["127.0.0.9"] * 3)
    daemon.stop()


def test_headers_of_trusted_proxies_alone_name_the_client(daemon):
    path = os.path.join(daemon.dir, "http.sock")
    start(daemon, ("front", 'address = "127.0.0.1:0"\n trusted = "127.0.0.1, 10.0.0.0/8"'),
          ("rfc", 'address = "127.0.0.1:0"\n trusted = "127.0.0.1"\n forwarded = "forwarded"'),
          ("open", 'address = "127.0.0.1:0"'), ("off", 'address = "127.0.0.1:0"\n trusted = "127.0.0.1"\n forwarded = "none"'),
          ("nginx", f'address = "unix:{path}"\n trusted = "unix:"'))
    both = b"X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.1.2.3\r\nForwarded: for=\"[2001:db8::7]:80\"\r\n\r\n"
    for listener, client in (("front", "203.0.113.7"), ("rfc", "2001:db8::7"), ("open", "127.0.0.1"), ("off", "127.0.0.1")):
        check(talk(daemon.port(listener), MISSING + both).startswith(b"HTTP/1.1 404"), listener)
        equal((daemon.events("request_refused")[-1]["listener"], clients(daemon)[-1]), (listener, client))
    for headers, client in (({}, "-"), ({"X-Forwarded-For": "203.0.113.7"}, "203.0.113.7")):
        connection = UnixConnection(path)
        connection.request("GET", "/nothing", headers=headers)
        equal(connection.getresponse().status, 404)
        equal(clients(daemon)[-1], client)
        connection.close()
    # Of a connection that a proxy keeps, each request has its own client.
    with socket.create_connection(("127.0.0.1", daemon.port("front")), timeout=10) as kept:
        kept.sendall(b"".join(MISSING + f"X-Forwarded-For: 203.0.113.{i}\r\n\r\n".encode() for i in range(3)) +
                     MISSING + b"Connection: close\r\n\r\n")
        while kept.recv(4096):
            pass
    equal(clients(daemon)[-4:], ["203.0.113.0", "203.0.113.1", "203.0.113.2", "127.0.0.1"])
    daemon.stop()


def test_limits_of_one_client_hold_for_clients_and_not_for_their_proxy(daemon):
    daemon.sections["limits"]["client_connections"] = "2"
    start(daemon, ("front", 'address = "127.0.0.1:0"\n proxy_protocol = yes\n trusted = "127.0.0.1"'),
          ("http", 'address = "127.0.0.1:0"\n trusted = "127.0.0.1"'), workers=1)
    other = FOUR.replace(bytes([203, 0, 113, 7]), bytes([203, 0, 113, 8]))
    kept = []

    def reach(listener, header):
        kept.append(socket.create_connection(("127.0.0.1", daemon.port(listener)), timeout=10))
        kept[-1].sendall(header + MISSING + b"\r\n")
        return int(kept[-1].recv(4096)[9:12])

    equal([reach("front", FOUR) for _ in range(3)], [404, 404, 429])
    equal([reach("front", other) for _ in range(3)], [404, 404, 429])
    equal([reach("http", b"") for _ in range(5)], [404] * 5)
    for one in kept:
        one.close()
    wait_for(lambda: reach("front", FOUR) == 404, "connections that have ended count no more")
    for one in kept:
        one.close()
    daemon.stop()


def test_requests_have_ids_and_the_log_tells_of_slow_ones(daemon):
    daemon.sections["http"] = {"request_id": "make", "slow_request": "1us"}
    start(daemon, ("public", 'address = "127.0.0.1:0"'))

    def id_of(path="/api/v1/status", **headers):
        connection = at(daemon, "public")
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.headers["X-Request-Id"]

    made = [id_of() for _ in range(20)] + [id_of(**{"X-Request-Id": bad}) for bad in ("two words", "x" * 129, "a=b")]
    equal(len(set(made)), 23)
    for one in made:
        check(re.fullmatch("[0-9a-f]{12}-[0-9]+", one), one)
    equal(id_of(**{"X-Request-Id": "from.the:client_1"}), "from.the:client_1")
    seen = {line["id"]: line for line in daemon.events("request_slow")}
    equal(set(seen), set(made) | {"from.the:client_1"})
    equal((seen["from.the:client_1"]["status"], seen["from.the:client_1"]["client"]), ("200", "127.0.0.1"))
    daemon.stop()


def test_an_answer_tells_where_its_time_went_when_asked(daemon):
    daemon.sections["http"] = {"server_timing": "asked"}
    start(daemon, ("public", 'address = "127.0.0.1:0"'))

    def timing(**headers):
        connection = at(daemon, "public")
        connection.request("POST", "/api/v1/predict/nobody", "{}", headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.headers["Server-Timing"]

    equal(timing(), None)
    text = timing(**{"X-Server-Timing": "1"})
    check(re.fullmatch(r"(\w+;dur=\d+\.\d{3}, )+total;dur=\d+\.\d{3}", text), text)
    contains(text, "parse;dur=")
    daemon.stop()


def test_what_cannot_be_is_said_with_its_place(daemon):
    def why(*listeners):
        daemon.write_conf(conf(daemon, *listeners))
        done = daemon.command("-t")
        check(done.returncode != 0, f"{listeners} passed")
        return done.stderr + done.stdout

    one = 'address = "127.0.0.1:0"'
    contains(why(("a", one + '\n routes = "predict, gates"')), "expected all, or some of predict, objects")
    contains(why(("a", one + '\n routes = ""')), "expected all, or some of")
    contains(why(("a", one + '\n mode = "0999"')), "rights such as 0660")
    contains(why(("a", one + '\n trusted = "10.0.0.1/8"')), "which network is meant")
    contains(why(("a", one + '\n trusted = "proxy.example"')), "no network such as")
    contains(why(("a", one + "\n proxy_protocol = yes")), "who the proxies are")
    contains(why(("a", 'address = "unix:here"')), "unix:/run")
    contains(why(("a", f'address = "unix:{daemon.socket_path}"')), "admin commands")
    contains(why(("a", 'address = "127.0.0.1:81"'), ("b", 'address = "127.0.0.1:81"')), '"a" and "b"')
    contains(why(("a", 'address = "unix:/tmp/' + 110 * "x" + '"')), "at most 107 bytes")
    contains(why(("a", f'address = "unix:{daemon.dir}"')), "not a socket")
    contains(why(("a", f'address = "unix:{daemon.dir}/a.sock"\n group = "no such group"')), "no such group")


if __name__ == "__main__":
    harness.run(globals())
