#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Start and stop: the command's promise, the pidfile, the signals, the titles, the log."""
import os
import signal
import socket
import subprocess
import threading

import harness
from harness import check, contains, equal, wait_for


def test_the_command_returns_when_the_workers_serve(daemon):
    daemon.start()
    equal(daemon.get("/ping")[0], 200)
    equal(len(daemon.children("worker")), 2)
    equal(len(daemon.children("supervisor")), 1)
    daemon.stop()
    check(not os.path.exists(daemon.pid_path), "the pidfile is removed")
    check(not os.path.exists(daemon.socket_path), "the socket is removed")


def test_in_the_foreground_term_ends_it_with_0(daemon):
    daemon.start_foreground()
    equal(daemon.pid(), daemon.foreground.pid)
    daemon.stop(signal.SIGTERM)
    equal(daemon.foreground.returncode, 0)


def test_int_is_a_fast_stop_as_well(daemon):
    daemon.start_foreground()
    daemon.stop(signal.SIGINT)
    equal(daemon.foreground.returncode, 0)


def test_titles_tell_who_is_who(daemon):
    daemon.start()

    def title(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0").decode()

    equal(title(daemon.pid()), "auguryd: master gen 1")
    equal(title(daemon.children()["supervisor"]), "auguryd: supervisor")
    equal(title(daemon.children()["worker 1 gen 1"]), "auguryd: worker 1 gen 1")
    daemon.stop()


def test_a_second_daemon_is_refused_and_the_first_goes_on(daemon):
    daemon.start()
    second = daemon.command()
    equal(second.returncode, 1)
    contains(second.stderr, f"held by process {daemon.pid()}")
    equal(daemon.get("/ping")[0], 200)
    check(os.path.exists(daemon.socket_path), "the socket stays")
    daemon.expect_error("start_failed")
    daemon.stop()


def test_two_daemons_never_share_a_cache(daemon):
    """Each would take itself for the only writer."""
    daemon.start()
    other = os.path.join(daemon.dir, "other.conf")
    with open(other, "w", encoding="utf-8") as file:
        file.write(daemon.conf_text().replace("auguryd.pid", "other.pid").replace("admin.sock", "other.sock")
                   .replace(daemon.log_path, daemon.log_path + ".other"))
    done = subprocess.run([harness.AUGURYD, "-c", other], capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 1)
    contains(done.stderr, "another daemon uses it")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()
    daemon.start()  # the lock went with the master
    daemon.stop()


def test_a_supervisor_that_outlives_its_master_keeps_the_cache(daemon):
    """It would go on writing beside the next one's."""
    daemon.start()
    supervisor = daemon.children()["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    daemon.send(signal.SIGKILL)
    try:
        done = daemon.command()
        equal(done.returncode, 1)
        contains(done.stderr, "another daemon uses it")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    daemon.start()  # at once: it waits for the old one's end
    for event in ("master_died", "start_failed"):
        daemon.expect_error(event)
    daemon.stop()


def test_a_folder_under_two_names_is_refused(daemon):
    """The cache would make the file of the models anew."""
    os.makedirs(os.path.join(daemon.dir, "models"))
    os.symlink("models", os.path.join(daemon.dir, "cache"))
    daemon.write_conf()
    done = daemon.command()
    equal(done.returncode, 1)
    contains(done.stderr, "are the same folder")
    daemon.expect_error("start_failed")


def test_an_address_in_use_is_told_to_whoever_started_it(daemon):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        daemon.listeners["public"] = f"127.0.0.1:{other.getsockname()[1]}"
        daemon.write_conf()
        done = daemon.command()
    equal(done.returncode, 1)
    contains(done.stderr, "in use")
    check(not os.path.exists(daemon.pid_path), "no pidfile stays")
    daemon.expect_error("start_failed")


def test_a_child_that_cannot_start_is_told_with_its_reason(daemon):
    # A file where the environment of the models should be made.
    os.mkdir(os.path.join(daemon.dir, "models"))
    os.mkdir(os.path.join(daemon.dir, "models", "data.mdb"))
    daemon.write_conf()
    done = daemon.command()
    equal(done.returncode, 1)
    contains(done.stderr, "supervisor: ")
    daemon.expect_error("start_failed")
    daemon.expect_error("child_start_failed")
    daemon.wait_gone()


def test_a_graceful_stop_answers_what_is_under_way(daemon):
    daemon.start()
    with socket.create_connection(("127.0.0.1", daemon.port()), timeout=10) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        pids = daemon.all_pids()
        # The head is not complete: some worker holds the connection when the drain begins.
        wait_for(lambda: daemon.metrics()["augury_http_connections"] == 1, "connection accepted")
        daemon.send(signal.SIGQUIT)
        daemon.wait_event("drain", process="master")
        client.sendall(b"\r\n")
        answer = client.recv(65536)
        check(answer.startswith(b"HTTP/1.1 200 "), f"answered: {answer[:60]!r}")
        daemon.wait_gone(pids)


def test_a_graceful_stop_resets_nobody_who_has_connected(daemon):
    """More connections than a worker takes in passing wait in the kernel when the stop comes, and one request is not whole."""
    daemon.options["workers"] = "1"
    daemon.start()
    port = daemon.port()
    held = socket.create_connection(("127.0.0.1", port), timeout=10)
    held.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
    wait_for(lambda: daemon.metrics()["augury_http_connections"] == 1, "connection accepted")
    worker = daemon.children()["worker 0 gen 1"]
    pids = daemon.all_pids()
    os.kill(worker, signal.SIGSTOP)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(500)]
    for client in clients:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
    daemon.send(signal.SIGQUIT)
    daemon.wait_event("drain", process="master")
    os.kill(worker, signal.SIGCONT)
    for client in clients:
        answer = client.recv(65536)
        check(answer.startswith(b"HTTP/1.1 200 "), f"answered: {answer[:60]!r}")
        client.close()
    # The held request keeps the daemon alive; nobody new is let in to wait for its end.
    daemon.wait_event("listen_end")
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        raise harness.Failure("a connection that nobody will accept")
    except ConnectionRefusedError:
        pass
    held.sendall(b"\r\n")
    check(held.recv(65536).startswith(b"HTTP/1.1 200 "), "what was under way is answered")
    held.close()
    daemon.wait_gone(pids)


def test_a_graceful_stop_ends_at_its_limit(daemon):
    daemon.sections["limits"]["drain_timeout"] = "300ms"
    daemon.start()
    with socket.create_connection(("127.0.0.1", daemon.port()), timeout=10) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        wait_for(lambda: daemon.metrics()["augury_http_connections"] == 1, "connection accepted")
        daemon.stop()
        check(client.recv(100)[:12] != b"HTTP/1.1 200", "cut without an answer")


def test_a_stopped_child_is_killed_when_it_does_not_go(daemon):
    daemon.start()
    os.kill(daemon.children()["worker 0 gen 1"], signal.SIGSTOP)
    daemon.stop(signal.SIGTERM)


def test_children_end_when_the_master_is_killed(daemon):
    daemon.expect_error("master_died")
    daemon.start()
    pids = daemon.all_pids()
    os.kill(daemon.pid(), signal.SIGKILL)
    daemon.wait_gone(pids)
    # The lock died with the master: the next start takes the files over.
    daemon.start()
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_usr1_makes_every_process_open_the_log_anew(daemon):
    daemon.start()
    pids = daemon.all_pids()
    os.rename(daemon.log_path, daemon.log_path + ".1")
    daemon.send(signal.SIGUSR1)
    daemon.wait_event("log_reopened")

    wait_for(lambda: all(daemon.log_files(pid) == [daemon.log_path] for pid in pids), "all have the new file")
    daemon.send(signal.SIGQUIT)
    daemon.wait_gone(pids)


def test_usr1_reaches_children_that_are_only_starting(daemon):
    daemon.options["workers"] = "32"
    daemon.start()
    master, pids = daemon.pid(), daemon.all_pids()
    os.kill(master, signal.SIGHUP)
    while not daemon.events("child_start", child="worker 0 gen 2"):
        pass
    os.rename(daemon.log_path, daemon.log_path + ".1")
    os.kill(master, signal.SIGUSR1)
    wait_for(lambda: daemon.admin_json("status")["generation"] == 2, "the reload is over")
    children = [int(entry["pid"]) for entry in daemon.admin_json("workers")]
    wait_for(lambda: all(daemon.log_files(pid) in ([daemon.log_path], []) for pid in children
                         if harness.is_alive(pid)), "all have the new file")
    daemon.send(signal.SIGTERM)
    daemon.wait_gone(pids + children)


def test_usr2_does_not_end_the_daemon(daemon):
    daemon.start()
    daemon.send(signal.SIGUSR2)
    daemon.send(signal.SIGUSR1)
    daemon.wait_event("log_reopened")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_started_by_root_the_children_run_as_the_user(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    daemon.options["user"] = '"nobody"'
    daemon.start()

    def uid(pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return [line.split()[1:] for line in file if line.startswith("Uid:")][0]

    equal(uid(daemon.pid())[0], "0")
    for pid in daemon.children().values():
        equal(uid(pid), ["65534"] * 4, "all four ids")
    equal(daemon.get("/ping")[0], 200)
    # The command pipe reaches a master that the supervisor may not signal, and the log is theirs to open.
    code, text = daemon.admin("reload")
    equal(code, 0, text)
    daemon.send(signal.SIGUSR1)
    daemon.wait_event("log_reopened")
    daemon.stop()


def test_a_rotated_log_keeps_the_group_that_it_was_given(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    daemon.options["user"] = '"nobody"'
    daemon.start()
    os.rename(daemon.log_path, daemon.log_path + ".1")
    with open(daemon.log_path, "w", encoding="utf-8") as file:
        os.fchown(file.fileno(), 65534, 4)
    daemon.send(signal.SIGUSR1)
    daemon.wait_event("log_reopened")
    stat = os.stat(daemon.log_path)
    equal((stat.st_uid, stat.st_gid), (65534, 4))
    daemon.stop()


def test_models_of_another_user_are_named_with_who_may_not_open_them(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    daemon.start()
    daemon.stop()
    daemon.options["user"] = '"nobody"'
    daemon.write_conf()
    daemon.expect_error("start_failed")
    daemon.expect_error("child_start_failed")
    done = daemon.command()
    equal(done.returncode, 1)
    equal(done.stderr, f"supervisor: {daemon.dir}/models/data.mdb: Permission denied\n")
    daemon.wait_gone()


def test_sockets_and_data_are_private(daemon):
    daemon.start()
    equal(os.stat(daemon.socket_path).st_mode & 0o777, 0o660)
    for name in ("models", "cache"):
        equal(os.stat(os.path.join(daemon.dir, name)).st_mode & 0o777, 0o700)
    equal(os.stat(daemon.pid_path).st_mode & 0o777, 0o644)
    daemon.stop()


def test_no_worker_has_what_it_does_not_need(daemon):
    daemon.start()
    worker = daemon.children()["worker 0 gen 1"]
    targets = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
    check(daemon.pid_path not in targets, "the pidfile, and its lock, stay with the master")
    check(not [name for name in targets if "signalfd" in name], "so does the signal descriptor")
    daemon.stop()


def test_requests_from_many_threads_reach_all_workers(daemon):
    daemon.start()
    failures = []

    def ask():
        for _ in range(20):
            if daemon.get("/ping")[0] != 200:
                failures.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])
    equal(daemon.metrics()['augury_http_requests_total{status="2xx"}'], 80)
    daemon.stop()


harness.run(globals())
