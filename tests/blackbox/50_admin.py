#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The admin socket: framing, words, roles, text and JSON, and what each command does."""
import json
import os
import signal

import harness
from harness import Admin, check, contains, equal, wait_for


def test_it_greets_and_answers_several_lines(daemon):
    daemon.start()
    with Admin(daemon.socket_path) as admin:
        check(admin.greeting.startswith("augury-admin/1 "), admin.greeting)
        equal(admin.ask("ping"), (0, "answer  pong\n"))
        equal(admin.ask("ping -j"), (0, '{"answer":"pong"}'))
        equal(admin.ask("-j ping"), (0, '{"answer":"pong"}'))
        equal(admin.ask("no-such-command")[0], 2)
        equal(admin.ask("ping")[0], 0)
    daemon.stop()


def test_help_lists_every_command_and_each_is_known(daemon):
    daemon.start()
    verbs = daemon.admin_json("help")
    names = [verb["command"] for verb in verbs]
    for name in ("help", "ping", "status", "stats", "workers", "metrics", "reload", "stop",
                 "cache stats", "cache flush", "cache get", "cache purge", "model list",
                 "model import", "model use", "model show", "model unload", "model verify"):
        check(name in names, f"{name} is listed")
    text = daemon.admin("help")[1]
    for verb in verbs:
        contains(text, verb["help"])
        check(verb["role"] in ("reader", "operator", "admin"), verb["role"])
    daemon.stop()


def test_reading_commands_answer_in_both_forms(daemon):
    daemon.start()
    for name in ("status", "workers", "stats", "performance", "controller", "cache stats", "model list", "help"):
        check(daemon.admin_json(name) is not None, name)
        code, text = daemon.admin(name)
        equal(code, 0, f"{name}: {text}")
    contains(daemon.admin("metrics")[1], "# TYPE augury_http_requests_total counter")
    daemon.stop()


def test_errors_have_a_code_a_reason_and_a_json_form(daemon):
    daemon.start()
    code, text = daemon.admin("cache purge")
    equal((code, text), (2, "usage: cache purge KEY"))
    code, text = daemon.admin("cache purge prediction:none -j")
    equal(code, 1)
    equal(json.loads(text)["code"], "not_found")
    code, text = daemon.admin("cache get 'prediction:a \"quoted\" key'")
    equal(code, 1)
    contains(text, 'prediction:a "quoted" key')
    equal(daemon.admin("cache get nonsense")[0], 1)
    code, text = daemon.admin('cache get "open')
    equal(code, 2)
    contains(text, "is not closed")
    equal(daemon.admin(b"ping\0")[0], 2)
    equal(daemon.admin("stop now")[0], 2)
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_flush_says_how_many(daemon):
    daemon.start()
    equal(daemon.admin_json("cache flush")["flushed"], 0)
    daemon.stop()


def test_status_counts_each_model_version_once(daemon):
    source = os.path.abspath(os.path.join(harness.SOURCE, "tests/data/nfl-wp/model.json"))
    daemon.start()
    for version in (1, 2, 3):
        equal(daemon.admin(f"model import wp {source}")[0], 0)
        daemon.get("/api/v1/models/wp")
    wait_for(lambda: daemon.admin_json("status")["model_versions"] == 3, "three versions")
    equal(daemon.admin_json("reload")["reloaded"], True)
    equal(daemon.admin_json("status")["model_versions"], 3)
    daemon.stop()
    daemon.start()
    equal(daemon.admin_json("status")["model_versions"], 3, "known from the start")
    daemon.stop()


def test_reload_answers_with_the_outcome(daemon):
    daemon.expect_error("reload_failed")
    daemon.start()
    equal(daemon.admin_json("reload"), {"reloaded": True, "generation": 2})
    daemon.write_conf(daemon.conf_text() + "nonsense = 1\n")
    code, text = daemon.admin("reload")
    equal(code, 1)
    contains(text, 'unknown option "nonsense"')
    status = daemon.admin("status")[1]
    contains(status, "nonsense")
    daemon.write_conf()
    equal(daemon.admin_json("reload")["reloaded"], True)
    daemon.stop()


def test_a_reload_under_way_holds_up_nobody_and_is_not_taken_for_ones_own(daemon):
    """A reload that began before a command may have read the file of before: the command waits for the next one."""
    daemon.expect_error("reload_failed")
    daemon.options["workers"] = "32"
    daemon.start()
    master = daemon.pid()
    os.kill(master, signal.SIGHUP)
    while not daemon.events("child_start", child="worker 0 gen 2"):
        pass
    with open(daemon.conf_path, "a", encoding="utf-8") as file:
        file.write("wrokers = 1\n")
    with harness.Admin(daemon.socket_path) as asking, harness.Admin(daemon.socket_path) as other:
        asking.send("reload -j")
        equal(other.ask("ping")[0], 0)
        code, text = asking.hear()
    equal(code, 1, text)
    contains(text, "unknown option")
    equal(daemon.admin_json("status")["reloads"]["done"], 1)
    daemon.stop(signal.SIGTERM)


def test_a_reload_that_takes_long_is_answered_when_it_ends(daemon):
    daemon.start()
    master = daemon.pid()
    os.kill(master, signal.SIGSTOP)  # it answers nobody now
    with harness.Admin(daemon.socket_path) as asking, harness.Admin(daemon.socket_path) as other:
        asking.send("reload")
        for _ in range(3):
            equal(other.ask("ping")[0], 0)
        os.kill(master, signal.SIGCONT)
        code, text = asking.hear()
    equal(code, 0, text)
    contains(text, "generation  2")
    daemon.stop()


def test_the_socket_survives_the_supervisor(daemon):
    daemon.start()
    with Admin(daemon.socket_path) as admin:
        equal(admin.ask("ping")[0], 0)
        os.kill(daemon.children()["supervisor"], signal.SIGKILL)
        # A connection made now waits in the master's listener for the next supervisor.
        equal(daemon.admin("ping")[0], 0)
    daemon.stop()


def test_stop_ends_the_daemon(daemon):
    daemon.start()
    pids = daemon.all_pids()
    equal(daemon.admin_json("stop")["stopping"], "after the requests under way")
    daemon.wait_gone(pids)
    daemon.start()
    pids = daemon.all_pids()
    equal(daemon.admin_json("stop fast")["stopping"], "at once")
    daemon.wait_gone(pids)


def test_a_stranger_reads_and_an_operator_operates(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    daemon.sections["admin"] = {"operator_group": '"daemon"'}
    daemon.start()
    equal(os.stat(daemon.socket_path).st_gid, 1, "the operators' socket")
    os.chmod(daemon.socket_path, 0o666)

    def ask_as(uid, gid, *lines):
        """Answers' codes of a process with those ids."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            codes = [daemon.admin(line)[0] for line in lines]
            os.write(write, json.dumps(codes).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        codes = json.loads(os.read(read, 1000))
        os.close(read)
        return codes

    lines = ("ping", "status", "cache flush", "reload", "stop")
    equal(ask_as(65534, 65534, *lines), [0, 0, 4, 4, 4], "a stranger")
    equal(ask_as(65534, 1, *lines), [0, 0, 0, 0, 4], "an operator")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_commands_that_change_something_are_logged_with_who(daemon):
    daemon.start()
    daemon.admin("cache flush")
    line = wait_for(lambda: daemon.events("admin_command", command="cache flush"), "the line")[0]
    equal((line["level"], line["uid"], line["code"]), ("info", str(os.geteuid()), "0"))
    equal(daemon.metrics()["augury_admin_commands_total"] >= 2, True)
    daemon.stop()


harness.run(globals())
