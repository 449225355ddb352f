#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Cached and uncached predictions over HTTP against the servers that people use, in one run on one machine.

usage: bench_http.py [--seconds S] [--rounds N] [--connections C]
Environment: AUGURY_SOURCE, AUGURY_BUILD. Prints one TSV line a figure:
name, ours, unit, peer, peer's figure, ratio. Each server has one worker on CPU 0, the client runs on CPU 1;
targets alternate within each round and the medians of all rounds are compared.
nginx answers from proxy_cache in its best configuration: sendfile off, no access log, keyed by the body.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", os.path.join(SOURCE, "build"))
MODEL = os.path.join(SOURCE, "tests/data/nfl-wp/model.json")
FEATURES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
            "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
ROW = [0, 1, 912, 912, 1.645, 3, 3, 7, 48, 3, 2]
PATH = "/api/v1/predict/nfl-wp"
SERVER_CPU, CLIENT_CPU = "0", "1"

NGINX_CONF = """
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile off;
    tcp_nodelay on;
    keepalive_timeout 300;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    proxy_cache_path {dir}/cache keys_zone=hits:64m max_size=1g inactive=1h use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache hits;
            proxy_cache_methods GET HEAD POST;
            proxy_cache_key "$request_uri|$request_body";
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires;
        }}
    }}
}}
"""

AUGURY_CONF = """
workers = 1
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "256MiB" class "prediction" {{ ttl = "1h" }} }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"bench_http: {process.args[3]} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"bench_http: nothing answers on port {port}")


def start(command, **kwargs):
    return subprocess.Popen(["taskset", "-c", SERVER_CPU] + command, **kwargs)


def start_augury(folder):
    port = free_port()
    conf = os.path.join(folder, "augury.conf")
    with open(conf, "w") as f:
        f.write(AUGURY_CONF.format(dir=folder, port=port))
    subprocess.run([os.path.join(BUILD, "augury"), "-c", conf, "model", "import", "nfl-wp", MODEL, "--features", FEATURES],
                   check=True, stdout=subprocess.DEVNULL)
    process = start([os.path.join(BUILD, "auguryd"), "-f", "-c", conf])
    wait_for(port, process)
    return process, port


def start_nginx(folder, origin):
    port = free_port()
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w") as f:
        f.write(NGINX_CONF.format(dir=folder, port=port, origin=origin))
    os.chmod(folder, 0o755)
    process = start(["nginx", "-c", conf, "-p", folder, "-e", os.path.join(folder, "start.log")])
    wait_for(port, process)
    return process, port


def start_fastapi():
    port = free_port()
    env = dict(os.environ, PEER_MODEL=MODEL, PEER_FEATURES=FEATURES, OMP_NUM_THREADS="1")
    process = start(["/usr/bin/python3", "-m", "uvicorn", "peer_fastapi:app", "--port", str(port), "--workers", "1",
                     "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"],
                    cwd=os.path.join(SOURCE, "tests/bench"), env=env)
    wait_for(port, process)
    return process, port


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def blast(target, args):
    """What the client measured: requests a second and the server's CPU time a request; an error ends the run."""
    port, path, body_file, pid = target
    run = subprocess.run(["taskset", "-c", CLIENT_CPU, os.path.join(BUILD, "tests/bench/blast"), "-c", str(args.connections),
                          "-t", str(args.seconds), "-b", body_file, "-p", path, "-P", str(pid), "127.0.0.1", str(port)],
                         capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"bench_http: port {port}: {run.stdout}{run.stderr}")
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", run.stdout)}


def compare(name, ours, peer_name, peer, args):
    """ours and peer: (port, path, body file, pid of the process that works)."""
    runs = {"ours": [], "peer": []}
    for turn in range(args.rounds):
        order = (("ours", ours), ("peer", peer)) if turn % 2 == 0 else (("peer", peer), ("ours", ours))
        for side, target in order:
            runs[side].append(blast(target, args))
    rate = {side: statistics.median(run["rps"] for run in runs[side]) for side in runs}
    cpu = {side: statistics.median(run["server_cpu_us"] for run in runs[side]) for side in runs}
    print(f"{name}\t{rate['ours']:.0f}\trequests/s\t{peer_name}\t{rate['peer']:.0f}\t{rate['ours'] / rate['peer']:.2f}")
    print(f"{name}_cpu\t{cpu['ours']:.2f}\tus/request\t{peer_name}\t{cpu['peer']:.2f}\t{cpu['peer'] / cpu['ours']:.2f}",
          flush=True)


def working_child(pid, word):
    """The child of pid whose command line has the word: nginx and augury work in children."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            for child in f.read().split():
                with open(f"/proc/{child}/cmdline", "rb") as g:
                    if word in g.read():
                        return int(child)
        time.sleep(0.05)
    sys.exit(f"bench_http: process {pid} has no child called {word}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="augury-bench-", dir="/dev/shm")
    servers = []
    try:
        features = dict(zip(FEATURES.split(","), ROW))
        hit = os.path.join(folder, "hit.json")
        miss = os.path.join(folder, "row.json")
        for path, body in ((hit, {"features": features}), (miss, {"features": features, "use_cache": False})):
            with open(path, "w") as f:
                json.dump(body, f, separators=(",", ":"))
        augury, augury_port = start_augury(folder)
        servers.append(augury)
        nginx, nginx_port = start_nginx(folder, augury_port)
        servers.append(nginx)
        fastapi, fastapi_port = start_fastapi()
        servers.append(fastapi)
        body = open(hit, "rb").read()
        ours = post(augury_port, PATH, body)["predictions"][0]["prediction"]
        assert post(nginx_port, PATH, body)["predictions"][0]["prediction"] == ours
        assert abs(post(fastapi_port, "/predict", body)["prediction"] - ours) < 1e-6
        time.sleep(0.3)  # the supervisor commits the first answer
        augury_pid, nginx_pid = working_child(augury.pid, b"worker"), working_child(nginx.pid, b"worker")
        hits = (augury_port, PATH, hit, augury_pid)
        rows = (augury_port, PATH, miss, augury_pid)
        compare("http.post_hit_vs_nginx", hits, "nginx proxy_cache hit", (nginx_port, PATH, hit, nginx_pid), args)
        compare("http.post_hit_vs_fastapi", hits, "FastAPI + dict hit", (fastapi_port, "/predict", hit, fastapi.pid), args)
        compare("http.row_vs_fastapi", rows, "FastAPI + xgboost", (fastapi_port, "/predict", miss, fastapi.pid), args)
    finally:
        for process in servers:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in servers:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
