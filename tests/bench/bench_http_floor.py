# SPDX-License-Identifier: MIT
"""The HTTP layer alone against nginx `return 200`, both with one worker on CPU 0, the client on CPU 1.

POST of 700 bytes, answer of 600 bytes, 64 connections, rounds in turn, medians. One TSV line a figure:
name, ours, unit, peer, peer's figure, ratio (over 1: we are better). The CPU time a request is the figure that
a shared machine disturbs least. Then how four workers that share a listener divide 64 connections.
"""
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("AUGURY_BUILD", ".")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = os.environ.get("SECONDS_EACH", "2")
NGINX_CONF = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; default_type application/json;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{body}'; }} }} }}
"""


def on_cpu(cpu, command, **more):
    return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), text=True, **more)


def blast(port, pids, more):
    command = [f"{BUILD}/tests/bench/blast", "-t", SECONDS, *more]
    for pid in pids:
        command += ["-P", str(pid)]
    run = on_cpu(1, [*command, "127.0.0.1", str(port)], stdout=subprocess.PIPE)
    text = run.communicate()[0]
    if run.returncode != 0:
        sys.exit(f"blast failed: {text}")
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", text)}


def start_floor(body, workers, cpus):
    floor = subprocess.Popen([f"{BUILD}/tests/bench/http_floor", "127.0.0.1:0", body, str(workers)], text=True,
                             stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    words = floor.stdout.readline().split()
    return floor, int(words[0].rsplit(":", 1)[1]), [int(word) for word in words[1:]]


def compare(folder, nginx_port):
    body = f"{folder}/request.json"
    floor, port, pids = start_floor(f"{folder}/answer.json", 1, {0})
    nginx = on_cpu(0, ["nginx", "-c", f"{folder}/nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    for name, more in (("post", ["-b", body]), ("get", []), ("post_d16", ["-b", body, "-d", "16"])):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(blast(port, pids, more))
            theirs.append(blast(nginx_port, [nginx.pid], more))
        rps = [statistics.median(run["rps"] for run in runs) for runs in (ours, theirs)]
        cpu = [statistics.median(run["server_cpu_us"] for run in runs) for runs in (ours, theirs)]
        print(f"http.floor_{name}_rps\t{rps[0]:.0f}\trequests/s\tnginx return 200\t{rps[1]:.0f}\t{rps[0] / rps[1]:.2f}")
        print(f"http.floor_{name}_cpu\t{cpu[0]:.2f}\tus\tnginx return 200\t{cpu[1]:.2f}\t{cpu[1] / cpu[0]:.2f}",
              flush=True)
    nginx.terminate()
    floor.terminate()
    nginx.wait()
    floor.wait()


def fairness(folder):
    worst = []
    for _ in range(ROUNDS):
        floor, port, pids = start_floor(f"{folder}/answer.json", 4, {0, 1})
        load = subprocess.Popen([f"{BUILD}/tests/bench/blast", "-t", "1.5", "-b", f"{folder}/request.json", "127.0.0.1",
                                 str(port)], stdout=subprocess.DEVNULL)
        time.sleep(1)
        counts = []
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)
            counts.append(int(floor.stdout.readline().rsplit("=", 1)[1]))
        load.wait()
        floor.terminate()
        floor.wait()
        print("# connections of four workers:", *counts)
        worst.append(max(abs(count - 16) / 16 for count in counts))
    print(f"http.accept_unfairness\t{statistics.median(worst):.2f}\tpart of the mean\tgoal\t0.25\t"
          f"{0.25 / max(statistics.median(worst), 0.01):.2f}")


def main():
    folder = tempfile.mkdtemp(prefix="augury-bench-")
    nginx_port = 18099
    try:
        answer = '{"predictions":[' + ",".join(f"0.{i:06d}" for i in range(64)) + "]}"
        answer = answer[:600] if len(answer) > 600 else answer + " " * (600 - len(answer))
        with open(f"{folder}/answer.json", "w") as file:
            file.write(answer)
        with open(f"{folder}/request.json", "w") as file:
            file.write(('{"features":{' + ",".join(f'"feature_{i}":{i}.5' for i in range(36))).ljust(698, " ") + "}}")
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(NGINX_CONF.format(dir=folder, port=nginx_port, body=answer))
        if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") is not None:
            os.environ["PATH"] += ":/usr/sbin"
            compare(folder, nginx_port)
        fairness(folder)
    finally:
        shutil.rmtree(folder)


main()
