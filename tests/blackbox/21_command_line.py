#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Words, exit statuses and answers of `augury`: models in a folder of their own, and the admin commands against a socket that
this test serves, so that the bytes on it are seen. Speaks TAP."""
import json
import os
import socket
import subprocess
import sys
import threading

from foldertests import Skip, run_tests, test

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,"
         "down,ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
OK, FAILED, USAGE, NOT_RUNNING, DENIED = range(5)


def run(folder, *words):
    """With a configuration that keeps everything in folder."""
    path = os.path.join(folder, "augury.conf")
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as file:
            file.write(f'user = ""\nmodels {{ dir = "{folder}/models" }}\nadmin {{ socket = "{folder}/admin.sock" }}\n')
    return subprocess.run([AUGURY, "-c", path, *words], capture_output=True, text=True, check=False, timeout=60)


def document(folder, *words):
    done = run(folder, "-j", *words)
    assert done.returncode == OK, done.stderr
    return json.loads(done.stdout)


class Daemon:
    """Answers one connection on the admin socket with bytes given, and keeps what it was sent."""

    def __init__(self, folder, answer, greeting=b"augury-admin/1 0.1.0\n"):
        self.received = b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, "admin.sock"))
        self.listener.listen(1)
        self.listener.settimeout(30)
        self.thread = threading.Thread(target=self.serve, args=(greeting, answer), daemon=True)
        self.thread.start()

    def serve(self, greeting, answer):
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        with connection:
            connection.sendall(greeting)
            while not self.received.endswith(b"\n"):
                more = connection.recv(4096)
                if not more:
                    return
                self.received += more
            connection.sendall(answer)


def serve(folder, answer, words, greeting=b"augury-admin/1 0.1.0\n"):
    daemon = Daemon(folder, answer, greeting)
    done = run(folder, *words)
    daemon.thread.join()
    daemon.listener.close()
    os.unlink(os.path.join(folder, "admin.sock"))
    return done, daemon.received


@test
def help_names_every_command_and_each_has_its_own(folder):
    said = run(folder, "help")
    assert said.returncode == OK and said.stderr == ""
    for command in ("predict", "model", "status", "performance", "stats", "workers", "metrics", "cache", "controller", "resize", "reload", "stop"):
        assert f"\n  {command} " in said.stdout, command
        own = run(folder, "help", command)
        assert own.returncode == OK and own.stdout.startswith(f"Usage: augury {command}"), own
        assert run(folder, command, "--help").stdout == own.stdout
    assert run(folder, "-V").stdout.startswith("augury ")


@test
def words_that_make_no_command_are_usage(folder):
    for words in ((), ("statsu",), ("status", "x"), ("stop", "slow"), ("cache",), ("cache", "get"), ("cache", "drop"), ("model",),
                  ("model", "improt"), ("model", "import", "a"), ("-z",), ("help", "nothing")):
        done = run(folder, *words)
        assert done.returncode == USAGE and done.stdout == "" and done.stderr != "", (words, done)
    assert 'did you mean "stats"' in run(folder, "statsu").stderr


@test
def without_a_daemon_the_status_is_three(folder):
    done = run(folder, "status")
    assert done.returncode == NOT_RUNNING and "auguryd is not running" in done.stderr, done
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "admin.sock"))
    listener.close()  # a socket that a dead daemon left behind
    assert run(folder, "cache", "flush").returncode == NOT_RUNNING


@test
def without_a_right_the_status_is_four(folder):
    for code in (-9, 4):
        done, _ = serve(folder, b"ERR %d 9\nfor admin\n" % code, ["stop", "fast"])
        assert done.returncode == DENIED and "for admin" in done.stderr, done
    if os.getuid() == 0:
        raise Skip("root may open every socket")
    closed = os.path.join(folder, "closed")
    os.mkdir(closed, 0o000)
    assert run(folder, "-o", f"admin.socket={closed}/s", "status").returncode == DENIED


@test
def words_go_to_the_daemon_as_one_line(folder):
    for words, line in ((["status"], b"status\n"), (["-j", "status"], b"status -j\n"), (["workers", "-j"], b"workers -j\n"),
                        (["cache", "get", 'prediction:a@1#0f:9c'], b"cache get prediction:a@1#0f:9c\n"),
                        (["cache", "purge", 'a "b"\\c\n'], b'cache purge "a \\"b\\"\\\\c\\n"\n'),
                        (["cache", "purge", ""], b'cache purge ""\n'),
                        (["purge", "object:a"], b"cache purge object:a\n"), (["ban", "*:wp@?[0-9]#*"], b"cache ban *:wp@?[0-9]#*\n"),
                        (["-j", "bans"], b"cache bans -j\n"), (["flush"], b"cache flush\n"), (["flush", "object"], b"cache flush object\n"),
                        (["cache", "invalidate", "model", "wp"], b"cache invalidate model wp\n")):
        done, received = serve(folder, b"OK 0 5\nhello\n", words)
        assert received == line, (received, line)
        assert done.returncode == OK and done.stdout == "hello\n", done


@test
def a_long_answer_is_printed_whole_and_a_broken_one_is_said(folder):
    body = b"x" * 300000 + b"\n"
    done, _ = serve(folder, b"OK 0 %d\n%s\n" % (len(body), body), ["metrics"])
    assert done.returncode == OK and done.stdout.encode() == body
    for answer in (b"", b"OK 0 10\nhalf", b"nonsense\n"):
        done, _ = serve(folder, answer, ["metrics"])
        assert done.returncode == FAILED and done.stdout == "" and done.stderr != "", done
    done, _ = serve(folder, b"ERR 1 9\nno entry\n\n", ["cache", "get", "k"])
    assert done.returncode == FAILED and done.stderr == "augury: no entry\n", done


@test
def another_protocol_is_named(folder):
    daemon = Daemon(folder, b"", b"SSH-2.0-other\n")
    done = run(folder, "status")
    daemon.thread.join()
    daemon.listener.close()
    assert done.returncode == FAILED and "SSH-2.0-other" in done.stderr, done


@test
def a_model_lives_from_import_to_unload(folder):
    words = ["model", "import", "nfl-wp", os.path.join(NFL, "model.json"), "--features", NAMES]
    made = document(folder, *words)
    assert (made["name"], made["version"], made["labels"]) == ("nfl-wp", "1", ["stable"]), made
    assert made["objective"] == "binary:logistic" and made["trees"] == 65 and made["kind"] == "gbtree"
    assert [feature["name"] for feature in made["features"]] == NAMES.split(",")
    assert document(folder, *words)["labels"] == []
    assert document(folder, "model", "use", "nfl-wp", "2")["label"] == "stable"
    assert document(folder, "model", "use", "nfl-wp@1", "canary")["version"] == "1"
    listed = document(folder, "model", "list")["models"]
    assert [(item["version"], item["labels"]) for item in listed] == [("1", ["canary"]), ("2", ["stable"])], listed
    assert listed[0]["digest"] == listed[1]["digest"]
    assert document(folder, "model", "show", "nfl-wp@canary")["version"] == "1"
    assert document(folder, "model", "verify") == {"verified": 2}
    assert document(folder, "model", "unload", "nfl-wp@1") == {"unloaded": "nfl-wp", "version": "1"}
    assert len(document(folder, "model", "list")["models"]) == 1
    assert document(folder, "model", "unload", "nfl-wp") == {"unloaded": "nfl-wp", "version": "all"}
    assert document(folder, "model", "list") == {"models": []}


@test
def the_kernel_that_serves_is_named(folder):
    words = ["model", "import", "nfl-wp", os.path.join(NFL, "model.json"), "--features", NAMES]
    kernel = document(folder, *words)["kernel"]
    assert set(kernel) == {"row", "batch", "batch_rows"} and kernel["batch_rows"] > 0, kernel
    forced = run(folder, "-o", "models.kernel=pack8", "-j", "model", "show", "nfl-wp")
    assert json.loads(forced.stdout)["kernel"] == {"row": "pack8", "batch": "pack8", "batch_rows": 1}, forced
    unable = run(folder, "-o", "models.kernel=wide", "-j", "model", "show", "nfl-wp")
    assert json.loads(unable.stdout)["kernel"] == kernel, unable
    unknown = run(folder, "-o", "models.kernel=fast", "model", "show", "nfl-wp")
    assert unknown.returncode == FAILED and '"fast"' in unknown.stderr and "pack8" in unknown.stderr, unknown


@test
def documents_for_people_name_what_they_show(folder):
    words = ["model", "import", "nfl-wp", os.path.join(NFL, "model.json"), "--features", NAMES]
    assert run(folder, *words).returncode == OK
    said = run(folder, "model", "list").stdout
    assert "nfl-wp" in said and "binary:logistic" in said and "{" not in said, said
    assert "yardline_100" in run(folder, "model", "show", "nfl-wp").stdout


@test
def what_cannot_be_done_is_said_with_its_reason(folder):
    for words, reason in ((["model", "import", "a", "/nonexistent"], "/nonexistent"),
                          (["model", "import", "a/b", os.path.join(NFL, "model.json")], "name has 1 to 64 characters"),
                          (["model", "import", "a", os.path.join(NFL, "input.tsv")], ""),
                          (["model", "show", "none"], "none"),
                          (["-c", "/nonexistent", "model", "list"], "/nonexistent"),
                          (["-o", "workers=many", "model", "list"], "workers")):
        done = run(folder, *words)
        assert done.returncode == FAILED and reason in done.stderr and done.stderr != "", (words, done)


if __name__ == "__main__":
    sys.exit(run_tests())
