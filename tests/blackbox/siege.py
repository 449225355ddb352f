# SPDX-License-Identifier: MIT
"""A daemon under attack. `siege(daemon)` starts it with the model nfl-wp, hands out a Siege to attack it with, and at the end
proves that it has stood: right answers of every worker, the same processes as before, no descriptor and no memory more than
before. The harness then looks for errors in the log and for processes left over."""
import contextlib
import http.client
import json
import os
import socket
import struct
import subprocess

from harness import AUGURYD, BUILD, SOURCE, check, equal, wait_for

AUGURY = os.environ.get("AUGURY", os.path.join(BUILD, "augury"))
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,"
         "down,ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
# The first rows of nfl-wp/input.tsv, and what xgboost 1.7.4 answered (nfl-wp/xgb174_prob.tsv).
with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as rows_file:
    ROWS = [[float(cell) if cell else None for cell in rows_file.readline().rstrip("\n").split("\t")] for _ in range(4)]
with open(os.path.join(NFL, "xgb174_prob.tsv"), encoding="ascii") as answers_file:
    ANSWERS = [float(answers_file.readline()) for _ in range(4)]
with open(AUGURYD, "rb") as program:
    IS_SANITIZED = b"__asan_init" in program.read()
GROWTH_MAX_BYTES = (8 if not IS_SANITIZED else 512) << 20  # the address sanitizer keeps what is freed
PREDICT = "/api/v1/predict/nfl-wp"


def float32(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def read_answer(connection):
    """One answer from a raw socket: (status, headers, body); None when the peer has closed."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        body = answer.read()
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        answer.close()
    return answer.status, dict(answer.getheaders()), body


class Siege:
    def __init__(self, daemon):
        self.daemon = daemon
        self.port = daemon.port()
        self.pids = self.restarts = self.before = None

    # ---- weapons ----------------------------------------------------------------------------------

    def connect(self, timeout=10):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def raw(self, data, shut=False):
        """Sends bytes, whether or not the server still reads, and reads one answer."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except (ConnectionError, socket.timeout):
                pass
            return read_answer(connection)

    def post(self, body, path=PREDICT, **headers):
        """A well framed request: (status, headers, document)."""
        head = {"Host": "x", "Content-Length": len(body)}
        head.update({name.replace("_", "-"): value for name, value in headers.items()})
        lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in head.items())
        path = path if isinstance(path, bytes) else path.encode()
        answer = self.raw(b"POST " + path + b" HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n" + body)
        check(answer is not None, f"an answer to {body[:60]!r}")
        status, names, text = answer
        return status, names, json.loads(text.decode("utf-8")) if text else None

    def refused(self, status, code, body, words="", at=None, **more):
        """The body is refused so; words are in the reason, and at is the place that is named."""
        got, _, document = self.post(body, **more)
        what = f"{body[:60]!r} ({len(body)} bytes) {more}: {got} {document}"
        check((got, document.get("code")) == (status, code), what)
        check(len(document["error"]) > 8 and words in document["error"], what)
        check(at is None or document["at"] == at, what)

    def refused_raw(self, status, code, data, words=""):
        """The bytes are refused so, before any route, and the connection ends."""
        answer = self.raw(data)
        check(answer is not None, f"an answer to {data[:60]!r}")
        got, headers, text = answer
        document = json.loads(text.decode("utf-8"))
        what = f"{data[:80]!r} ({len(data)} bytes): {got} {document}"
        check((got, document["code"]) == (status, code), what)
        check(len(document["error"]) > 8 and words in document["error"], what)
        equal(headers.get("Connection"), "close", what)

    # ---- is it standing? ----------------------------------------------------------------------------

    def predict_right(self):
        """All workers get connections; what they answer is what xgboost answered, cached or not."""
        for use_cache in (True, False) * 4:
            body = json.dumps({"data": ROWS, "use_cache": use_cache}).encode()
            status, _, document = self.post(body)
            equal(status, 200, document)
            got = [float32(row["prediction"]) for row in document["predictions"]]
            equal(got, [float32(answer) for answer in ANSWERS], "predictions")

    def processes(self):
        rows = self.daemon.admin_json("workers")
        rows = rows["processes"] if isinstance(rows, dict) else rows
        return {f"{row['kind']} {row['number']}": (row["pid"], row["restarts"]) for row in rows}

    def open_files(self):
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, (pid, _) in self.pids.items()}

    def private_bytes(self):
        sizes = {}
        for name, (pid, _) in self.pids.items():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                sizes[name] = next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon:"))
        return sizes

    def begin(self):
        self.predict_right()
        self.pids = self.processes()
        self.before = self.open_files(), self.private_bytes()

    def end(self):
        self.predict_right()
        equal(self.processes(), self.pids, "the same processes, none started anew")
        files, memory = self.before
        wait_for(lambda: all(now <= files[name] for name, now in self.open_files().items()),
                 f"descriptors go back to {files}, are {self.open_files()}", 12)
        for name, now in self.private_bytes().items():
            check(now - memory[name] < GROWTH_MAX_BYTES, f"{name} has grown from {memory[name]} to {now} bytes")
        self.predict_right()


@contextlib.contextmanager
def siege(daemon, **limits):
    daemon.sections["limits"].update({name: f'"{value}"' for name, value in limits.items()})
    daemon.start()
    code, text = daemon.admin(f"model import nfl-wp {os.path.abspath(NFL)}/model.json --features {NAMES}")
    equal(code, 0, text)
    target = Siege(daemon)
    wait_for(lambda: target.post(b'{"features":{}}')[0] == 200, "the workers see the model")
    target.begin()
    yield target
    target.end()
    daemon.stop()


def augury(daemon, *words, stdin=None):
    """(exit status, standard output, standard error) of the command line."""
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, input=stdin, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
