#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""libaugury by ctypes: what HTTP and the command line do to the cache, seen by another process without a socket; the readers'
group; readers killed in the middle. Each reader is a process of its own, as LMDB wants it."""
import ctypes
import http.client
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time

import harness
from harness import BUILD, SOURCE, check, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
LIBRARY = os.path.abspath(os.path.join(BUILD, "src", "libaugury.so.0"))
OK, MISS, ABSENT, DENIED = 0, 1, -1, -2
ROOM = 1 << 20
OBJECT = "/api/v1/objects/slate/2026-11-21"
KEY = b"object:slate/2026-11-21"


class Entry(ctypes.Structure):
    _fields_ = [("created_ms", ctypes.c_uint64), ("expires_ms", ctypes.c_uint64), ("value_bytes", ctypes.c_uint64),
                ("content_at", ctypes.c_uint64)]


class Client:
    """What a Python program needs to read the cache."""

    def __init__(self, cache_dir):
        self.library = ctypes.CDLL(LIBRARY)
        self.library.augury_client_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p,
                                                   ctypes.c_size_t, ctypes.POINTER(Entry)]
        self.handle = ctypes.c_void_p()
        self.room = ctypes.create_string_buffer(ROOM)
        self.code = self.library.augury_client_open(cache_dir.encode(), ctypes.byref(self.handle))

    def get(self, key):
        entry = Entry()
        code = self.library.augury_client_get(self.handle, key, len(key), self.room, ROOM, ctypes.byref(entry))
        return (code, self.room.raw[entry.content_at:entry.value_bytes] if code == OK else None)


def reader(cache_dir, pipe, uid=None, groups=()):
    """Serves keys until None comes."""
    if uid is not None:
        os.setgroups(groups)
        os.setgid(uid)
        os.setuid(uid)
    client = Client(cache_dir)
    pipe.send(client.code)
    while client.code == OK:
        key = pipe.recv()
        if key is None:
            return
        pipe.send(client.get(key))


class Reader:
    def __init__(self, daemon, **rights):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=reader, args=(os.path.join(daemon.dir, "cache"), other), kwargs=rights,
                                               daemon=True)
        self.process.start()
        other.close()
        self.code = self.pipe.recv()

    def get(self, key=KEY):
        self.pipe.send(key)
        return self.pipe.recv()

    def close(self):
        self.pipe.send(None)
        self.process.join()


def started(daemon, *words, **cache):
    daemon.sections["cache"].update(cache)
    daemon.start("-o", "cache.object.writable=yes", *words)
    return daemon


def request(daemon, method, path, body=None, status=(200, 201, 204)):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    check(answer.status in status, f"{method} {path}: {answer.status} {text!r}")
    return text


def test_what_http_puts_the_library_reads_and_what_it_deletes_not(daemon):
    started(daemon)
    client = Reader(daemon)
    equal((client.code, client.get()), (OK, (MISS, None)))
    request(daemon, "PUT", OBJECT, '{"slate":"main"}')
    equal(client.get(), (OK, b'{"slate":"main"}'))
    request(daemon, "PUT", OBJECT, '{"slate":"late"}')
    equal(client.get(), (OK, b'{"slate":"late"}'))
    request(daemon, "DELETE", OBJECT)
    equal(client.get(), (MISS, None))
    for words in (("ban", "object:slate/*"), ("flush", "object"), ("purge", KEY.decode()), ("flush",)):
        request(daemon, "PUT", OBJECT, '{"slate":"main"}')
        equal(client.get()[0], OK)
        subprocess.run([AUGURY, "-c", daemon.conf_path, *words], check=True, capture_output=True, timeout=60)
        equal(client.get(), (MISS, None), f"after {words}")
    client.close()
    daemon.stop()


def test_a_client_follows_restarts_of_the_daemon(daemon):
    started(daemon)
    request(daemon, "PUT", OBJECT, '{"slate":"main"}')
    client = Reader(daemon)
    equal(client.get()[0], OK)
    daemon.stop()
    os.truncate(daemon.log_path, 0)
    daemon.start("-o", "cache.object.writable=yes")
    equal(client.get()[0], OK)
    request(daemon, "DELETE", OBJECT)
    equal(client.get()[0], MISS)
    client.close()
    daemon.stop()


def test_the_folder_is_for_the_daemon_alone_unless_a_group_is_named(daemon):
    if os.geteuid() != 0:
        started(daemon).stop()
        return
    started(daemon)
    cache = os.path.join(daemon.dir, "cache")
    equal(stat.S_IMODE(os.stat(cache).st_mode), 0o700)
    equal(Reader(daemon, uid=65534).code, DENIED)
    daemon.stop()
    os.truncate(daemon.log_path, 0)
    started(daemon, group='"daemon"')
    request(daemon, "PUT", OBJECT, '{"slate":"main"}')
    modes = [oct(stat.S_IMODE(os.stat(path).st_mode)) for path in (cache, cache + "/data.mdb", cache + "/lock.mdb")]
    equal(modes, ["0o2750", "0o640", "0o660"])
    equal([os.stat(cache + name).st_gid for name in ("", "/data.mdb", "/lock.mdb")], [1, 1, 1])
    equal(Reader(daemon, uid=65534).code, DENIED)
    member = Reader(daemon, uid=65534, groups=[1])
    equal(member.code, OK)
    equal(member.get(), (OK, b'{"slate":"main"}'))
    member.close()
    daemon.stop()
    os.truncate(daemon.log_path, 0)
    started(daemon, group='""')
    equal([oct(stat.S_IMODE(os.stat(path).st_mode)) for path in (cache, cache + "/data.mdb", cache + "/lock.mdb")],
          ["0o700", "0o600", "0o600"])
    equal(Reader(daemon, uid=65534, groups=[1]).code, DENIED)
    daemon.stop()


def examples(daemon):
    """The manual's two programs, as texts."""
    with open(os.path.join(SOURCE, "docs/man/libaugury.3"), encoding="utf-8") as page:
        blocks = page.read().split(".Sh EXAMPLES")[1].split(".Bd -literal\n")[1:]
    return [block.split(".Ed\n")[0].replace("\\e", "\\").replace("/dev/shm/augury/cache", os.path.join(daemon.dir, "cache"))
            for block in blocks]


def test_the_examples_of_the_manual_work(daemon):
    started(daemon)
    request(daemon, "PUT", "/api/v1/objects/slates/main", '{"slate":"main"}')
    in_c, in_python = examples(daemon)
    source, program = os.path.join(daemon.dir, "example.c"), os.path.join(daemon.dir, "example")
    with open(source, "w", encoding="utf-8") as file:
        file.write(in_c)
    folder = os.path.dirname(LIBRARY)
    environment = dict(os.environ, LD_LIBRARY_PATH=folder)
    for link in (["-L" + folder, "-laugury"], [os.path.join(folder, "libaugury.a"), "-llmdb", "-lxxhash"]):
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(SOURCE, "include"), "-o", program, source, *link],
                       check=True, timeout=60)
        done = subprocess.run([program], env=environment, capture_output=True, timeout=60, check=False)
        equal((done.returncode, done.stdout, done.stderr), (0, b'{"slate":"main"}', b""), f"C, {link}")
    done = subprocess.run([sys.executable, "-c", in_python], env=environment, capture_output=True, timeout=60, check=False)
    equal((done.returncode, done.stdout), (0, b"b'{\"slate\":\"main\"}'\n"), f"Python: {done.stderr}")
    request(daemon, "DELETE", "/api/v1/objects/slates/main")
    done = subprocess.run([program], env=environment, capture_output=True, timeout=60, check=False)
    equal((done.returncode, done.stdout, done.stderr), (1, b"", b"no valid entry\n"), "C, after DELETE")
    daemon.stop()


def read_on(cache_dir):
    client = Client(cache_dir)
    while True:
        client.get(KEY)


def test_a_reader_killed_in_the_middle_holds_nothing(daemon):
    started(daemon)
    request(daemon, "PUT", OBJECT, json.dumps({"slate": "x" * 500000}))
    before = daemon.metrics()["augury_cache_stale_readers_total"]
    for _ in range(10):
        process = multiprocessing.Process(target=read_on, args=(os.path.join(daemon.dir, "cache"),), daemon=True)
        process.start()
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    wait_for(lambda: daemon.metrics()["augury_cache_stale_readers_total"] - before >= 5, "their places are cleared")
    client = Reader(daemon)
    equal(client.get()[0], OK)
    client.close()
    daemon.stop()


with open(LIBRARY, "rb") as built:
    CONTENT = built.read()
    IS_SANITIZED = b"__asan_init" in CONTENT or b"__tsan_init" in CONTENT
if IS_SANITIZED:
    print("1..0 # SKIP a library with a sanitizer is for programs that have it too")
else:
    harness.run(globals())
