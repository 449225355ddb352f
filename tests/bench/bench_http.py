#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Cached and uncached predictions over HTTP against the servers that people use, in one run on one machine.

usage: bench_http.py [--seconds S] [--rounds N] [--connections C] [--only WORD]
Environment: AUGURY_SOURCE, AUGURY_BUILD. Prints one TSV line a figure:
name, ours, unit, peer, peer's figure, ratio. Each server has one worker on CPU 0, the client runs on CPU 1;
targets alternate within each round and the medians of all rounds are compared.
nginx answers from proxy_cache in its best configuration: sendfile off, no access log, keyed by the body, Vary not
looked at; `return 200` is nginx that discards the body and sends a constant of the size of our answer, the floor of a
web server. Varnish hashes the body with vmod_bodyaccess and logs nothing. The origin of both is the augury that is
measured; a run in which more than one request in a hundred went through to it is no run.
"""
import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
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
OIP_PATH = "/v2/models/nfl-wp/infer"
SERVER_CPU, CLIENT_CPU, BOTH_CPUS = "0", "1", "0,1"
FEATURE_VALUES = dict(zip(FEATURES.split(","), ROW))
KEYS = 100000
IDLE = 10000
ALL_KEYS = 1000000  # in turn: a row comes back when it is long forgotten
OBJECT = "/api/v1/objects/bench"

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
    proxy_cache_path {dir}/cache keys_zone=hits:64m max_size=2g inactive=1h use_temp_path=off;
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
            proxy_ignore_headers Cache-Control Expires Vary;
        }}
    }}
}}
"""

NGINX_RETURN_CONF = """
worker_processes 1;
daemon off;
pid {dir}/return.pid;
error_log {dir}/return.error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 15000; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 300;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{text}'; }} }}
}}
"""

VARNISH_VCL = """
vcl 4.1;
import std;
import bodyaccess;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{
    if (req.method == "POST") {{
        std.cache_req_body(64KB);
        set req.http.X-Method = "POST";
    }}
    return (hash);
}}
sub vcl_hash {{ bodyaccess.hash_req_body(); }}
sub vcl_backend_fetch {{
    if (bereq.http.X-Method == "POST") {{ set bereq.method = "POST"; }}
}}
sub vcl_backend_response {{
    set beresp.ttl = 1h;
    unset beresp.http.Vary;
}}
"""

AUGURY_CONF = """
workers = {workers}
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "512MiB" class "prediction" {{ ttl = "1h" }} class "object" {{ writable = yes }} }}
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


def start(command, cpus=SERVER_CPU, **kwargs):
    return subprocess.Popen(["taskset", "-c", cpus] + command, **kwargs)


def start_augury(folder, more="", workers=1):
    port = free_port()
    conf = os.path.join(folder, "augury.conf")
    with open(conf, "w") as f:
        f.write(AUGURY_CONF.format(dir=folder, port=port, workers=workers) + more)
    subprocess.run([os.path.join(BUILD, "augury"), "-c", conf, "model", "import", "nfl-wp", MODEL, "--features", FEATURES],
                   check=True, stdout=subprocess.DEVNULL)
    process = start([os.path.join(BUILD, "auguryd"), "-f", "-c", conf], SERVER_CPU if workers == 1 else BOTH_CPUS)
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


def start_return(folder, text):
    port = free_port()
    conf = os.path.join(folder, "return.conf")
    with open(conf, "w") as f:
        f.write(NGINX_RETURN_CONF.format(dir=folder, port=port, text=text))
    os.chmod(folder, 0o755)
    process = start(["nginx", "-c", conf, "-p", folder, "-e", os.path.join(folder, "return.start.log")])
    wait_for(port, process)
    return process, port


def start_varnish(folder, origin):
    port = free_port()
    vcl = os.path.join(folder, "bench.vcl")
    with open(vcl, "w") as f:
        f.write(VARNISH_VCL.format(origin=origin))
    process = start(["varnishd", "-F", "-j", "none", "-n", os.path.join(folder, "varnish"), "-a", f"127.0.0.1:{port}",
                     "-f", vcl, "-s", "malloc,1g", "-p", "thread_pools=1", "-p", "vsl_mask=-ReqHeader,-RespHeader"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def put(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "text/plain"}, method="PUT")
    urllib.request.urlopen(request, timeout=10).read()


class Target:
    """What is asked of whom: a port, the process that works, and the client's options."""

    def __init__(self, name, port, pid, path, body=None, depth=1, keys=0, options=()):
        self.name, self.port, self.pid = name, port, pid
        self.options = ["-p", path, "-d", str(depth), *options]
        if body is not None:
            self.options += ["-b", body]
        if keys:
            self.options += ["-k", str(keys)]
        self.keys = keys

    def blast(self, args, *options):
        """What the client measured: requests a second, the server's CPU time a request; an error ends the run."""
        run = subprocess.run(["taskset", "-c", CLIENT_CPU, os.path.join(BUILD, "tests/bench/blast"), "-c",
                              str(args.connections), "-t", str(args.seconds), "-P", str(self.pid), *self.options, *options,
                              "127.0.0.1", str(self.port)], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"bench_http: {self.name}: {run.stdout}{run.stderr}")
        return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", run.stdout)}

    def warm(self, args):
        """Every key in turn until it is cached: augury keeps what it has seen twice, and looks for one in eight only while
        nothing repeats, as in the first turn."""
        if self.keys:
            seconds = args.seconds
            args.seconds = max(4.0, seconds)
            asked = 0
            while asked < 8 * self.keys:
                asked += self.blast(args)["requests"]
            args.seconds = seconds

    def measure(self, args):
        return self.blast(args, *(["-z", "0.99"] if self.keys else []))


def origin_misses(port):
    """Requests that the augury behind everything could not answer from rendered answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = dict(re.findall(r"^(augury_\S+) (\d+)$", text, re.M))
    asked = int(found["augury_predict_requests_total"])
    return asked, asked - int(found['augury_cache_hits_total{class="response",tier="memory"}'])


def compare(name, ours, peer, args):
    runs = {ours: [], peer: []}
    for turn in range(args.rounds):
        for target in (ours, peer) if turn % 2 == 0 else (peer, ours):
            runs[target].append(target.measure(args))
    rate = {target: statistics.median(run["rps"] for run in runs[target]) for target in runs}
    cpu = {target: statistics.median(run["server_cpu_us"] for run in runs[target]) for target in runs}
    print(f"{name}\t{rate[ours]:.0f}\trequests/s\t{peer.name}\t{rate[peer]:.0f}\t{rate[ours] / rate[peer]:.2f}")
    print(f"{name}_cpu\t{cpu[ours]:.2f}\tus/request\t{peer.name}\t{cpu[peer]:.2f}\t{cpu[peer] / cpu[ours]:.2f}",
          flush=True)


def children(pid, word):
    """The children of pid whose command line has the word: nginx and augury work in children."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = []
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            for child in f.read().split():
                with open(f"/proc/{child}/cmdline", "rb") as g:
                    found += [int(child)] if word in g.read() else []
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"bench_http: process {pid} has no child called {word}")


def working_child(pid, word):
    return children(pid, word)[0]


def private_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Private_Dirty:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024


def dial(port):
    """A connection that has asked once and been answered."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: bench\r\n\r\n")
    client.recv(4096)
    return client


def sockets_by_process(port):
    """Of each process that has accepted connections on the port, what it has received on each: bytes by peer."""
    text = subprocess.run(["ss", "-tniHpO", "state", "established", "sport", "=", f":{port}"], capture_output=True, text=True,
                          check=True).stdout
    found = {}
    for line in text.splitlines():
        pid, received = re.search(r"pid=(\d+)", line), re.search(r"bytes_received:(\d+)", line)
        if pid and received:
            found.setdefault(int(pid.group(1)), {})[line.split()[3]] = int(received.group(1))
    return found


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder, self.servers = args, folder, []
        self.hit = self.body_file("hit.json", {"features": FEATURE_VALUES})
        # Anything but the one body of the hot key; half_seconds_remaining takes the number of the key.
        self.many = self.body_file("many.json", {"features": dict(FEATURE_VALUES, half_seconds_remaining=0)})
        with open(self.many, "r+") as f:
            text = f.read().replace('"half_seconds_remaining":0', '"half_seconds_remaining":@@@@@@@')
            f.seek(0)
            f.write(text)
        self.miss = self.body_file("row.json", {"features": FEATURE_VALUES, "use_cache": False})

        self.make_tensors()

    def make_tensors(self):
        """The row as a tensor in JSON and in bytes; the number of the key stands in it as a number, or as bytes of two."""
        tensor = {"name": "rows", "shape": [1, len(ROW)], "datatype": "FP32"}
        document = json.dumps({"inputs": [dict(tensor, data=ROW)]}, separators=(",", ":")).replace("912", "@@@@@@@", 1)
        self.oip_json = self.raw_file("oip.json", document.encode())
        values = struct.pack(f"<{len(ROW)}f", *ROW)
        head = json.dumps({"inputs": [dict(tensor, parameters={"binary_data_size": len(values)})],
                           "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}]}).encode()
        self.oip_head_bytes = len(head)
        self.oip_binary = self.raw_file("oip.bin", head + values[:8] + b"@@@@@@@" + values[15:])

    def raw_file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def body_file(self, name, body):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            json.dump(body, f, separators=(",", ":"))
        return path

    def start(self, server, *words):
        process, port = server(*words)
        self.servers.append(process)
        return process.pid, port

    def wants(self, name):
        return self.args.only is None or self.args.only in name

    def run(self):
        augury_pid, augury_port = self.start(start_augury, self.folder)
        augury_pid = working_child(augury_pid, b"worker")
        self.augury = augury_port, augury_pid
        body = open(self.hit, "rb").read()
        put(augury_port, OBJECT, b"x" * 600)
        ours = post(augury_port, PATH, body)["predictions"][0]["prediction"]
        for peer, program, server, child in (("nginx", "nginx", start_nginx, b"worker"),
                                             ("varnish", "varnishd", start_varnish, b"")):
            if not self.wants(peer):
                continue
            if shutil.which(program) is None:
                print(f"bench_http: {peer} is not installed", file=sys.stderr)
                continue
            pid, port = self.start(server, self.folder, augury_port)
            pid = working_child(pid, child)
            assert post(port, PATH, body)["predictions"][0]["prediction"] == ours
            self.compare_hits(peer, port, pid)
            self.compare_gets(peer, port, pid)
        if self.wants("depth16"):
            self.measure_depth()
        if self.wants("row_vs_return200"):
            self.compare_return()
        if self.wants("explained_batched"):
            self.compare_batches()
        if self.wants("idle_connection_bytes"):
            self.measure_idle()
        if self.wants("accept_fairness"):
            self.measure_fairness()
        if self.wants("fastapi"):
            pid, port = self.start(start_fastapi)
            assert abs(post(port, "/predict", body)["prediction"] - ours) < 1e-6
            self.compare_fastapi(port, pid)

    def compare_hits(self, peer, port, pid):
        for name, body, keys in (("post_hit", self.hit, 0), ("post_hit_zipf", self.many, KEYS)):
            if peer == "varnish" and keys:
                continue
            ours = Target("augury", *self.augury, PATH, body, keys=keys)
            theirs = Target(f"{peer} hit", port, pid, PATH, body, keys=keys)
            ours.warm(self.args)
            theirs.warm(self.args)
            asked, missed = origin_misses(self.augury[0])
            compare(f"http.{name}_vs_{peer}", ours, theirs, self.args)
            self.check_misses(asked, missed)

    def compare_gets(self, peer, port, pid):
        compare(f"http.get_hit_vs_{peer}", Target("augury", *self.augury, OBJECT),
                Target(f"{peer} hit", port, pid, OBJECT), self.args)

    def check_misses(self, asked, missed):
        asked_now, missed_now = origin_misses(self.augury[0])
        if (missed_now - missed) * 100 > asked_now - asked:
            sys.exit(f"bench_http: {missed_now - missed} of {asked_now - asked} requests were no hits")

    def new_rows(self, path, body, *options):
        """A row with each request that nobody has asked for before: nothing is found, all is made."""
        target = Target("augury", *self.augury, path, body, keys=ALL_KEYS, options=options)
        target.measure = target.blast
        return target

    def compare_fastapi(self, port, pid):
        compare("http.post_hit_vs_fastapi", Target("augury", *self.augury, PATH, self.hit),
                Target("FastAPI + dict hit", port, pid, "/predict", self.hit), self.args)
        theirs = Target("FastAPI + xgboost", port, pid, "/predict", self.miss)
        compare("http.row_vs_fastapi", self.new_rows(PATH, self.many), theirs, self.args)
        compare("http.oip_json_vs_fastapi", self.new_rows(OIP_PATH, self.oip_json), theirs, self.args)
        compare("http.oip_binary_vs_fastapi",
                self.new_rows(OIP_PATH, self.oip_binary, "-T", "application/octet-stream", "-H",
                              f"Inference-Header-Content-Length: {self.oip_head_bytes}"), theirs, self.args)

    def compare_return(self):
        """A row that nobody has asked for before, against the floor of a web server."""
        answer = json.dumps(post(self.augury[0], PATH, open(self.hit, "rb").read()), separators=(",", ":"))
        pid, port = self.start(start_return, self.folder, answer)
        pid = working_child(pid, b"worker")
        compare("http.row_vs_return200", self.new_rows(PATH, self.many), Target("nginx return 200", port, pid, PATH, self.hit),
                self.args)

    def compare_batches(self):
        """Rows with contributions, evaluated beside those of other connections, against each alone."""
        body = self.raw_file("explained.json", open(self.many, "rb").read()[:-1] + b',"outputs":["contributions"]}')
        folder = os.path.join(self.folder, "alone")
        os.mkdir(folder)
        pid, port = self.start(start_augury, folder, "predict { batching = no }\n")
        alone = Target("predict.batching = no", port, working_child(pid, b"worker"), PATH, body, keys=ALL_KEYS)
        alone.measure = alone.blast
        compare("http.explained_batched", self.new_rows(PATH, body), alone, self.args)

    def measure_idle(self):
        """Memory of the worker for each of many idle keep-alive connections, each of which has asked once."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit[1] < IDLE + 100:
            print(f"bench_http: {IDLE} connections need more descriptors than {limit[1]}", file=sys.stderr)
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        bytes_each = {}
        for name, (pid, port) in (("ours", self.start_idle_augury()), ("nginx", self.start_idle_nginx())):
            for client in [dial(port) for _ in range(200)]:  # what it takes once
                client.close()
            before = private_bytes(pid)
            clients = [dial(port) for _ in range(IDLE)]
            bytes_each[name] = (private_bytes(pid) - before) / IDLE
            for client in clients:
                client.close()
        print(f"http.idle_connection_bytes\t{bytes_each['ours']:.0f}\tbytes\tnginx return 200\t{bytes_each['nginx']:.0f}"
              f"\t{bytes_each['nginx'] / bytes_each['ours']:.2f}", flush=True)

    def start_idle_augury(self):
        folder = os.path.join(self.folder, "idle")
        os.mkdir(folder)
        pid, port = self.start(start_augury, folder, 'limits { connections = 20000 keepalive_timeout = "10min" }\n')
        return working_child(pid, b"worker"), port

    def start_idle_nginx(self):
        pid, port = self.start(start_return, self.folder, "{}")
        return working_child(pid, b"worker"), port

    def measure_fairness(self):
        """How four workers of one listener divide connections and requests: the worst of them against the mean."""
        folder = os.path.join(self.folder, "fair")
        os.mkdir(folder)
        pid, port = self.start(start_augury, folder, "", 4)
        workers = children(pid, b"worker")
        worst = {"connections": [], "requests": []}
        seconds = 2 * self.args.seconds
        while len(worst["requests"]) < self.args.rounds:
            load = subprocess.Popen([os.path.join(BUILD, "tests/bench/blast"), "-c", "64", "-t", str(seconds),
                                     "-p", PATH, "-b", self.hit, "127.0.0.1", str(port)], stdout=subprocess.DEVNULL)
            time.sleep(seconds / 4)
            before = sockets_by_process(port)
            time.sleep(seconds / 2)
            after = sockets_by_process(port)
            if load.wait() != 0 or not before or not after:
                sys.exit("bench_http: the load ended too soon to see who bears it")
            counts = {"connections": [len(after.get(worker, {})) for worker in workers],
                      "requests": [sum(received - before.get(worker, {}).get(peer, 0)
                                       for peer, received in after.get(worker, {}).items()) for worker in workers]}
            for what, of_workers in counts.items():
                mean = sum(of_workers) / len(of_workers)
                worst[what].append(max(abs(count - mean) / mean for count in of_workers))
        for what, figures in worst.items():
            spread = statistics.median(figures)
            print(f"http.accept_fairness_{what}\t{spread:.2f}\tpart of the mean\tgoal\t0.20\t"
                  f"{0.2 / max(spread, 0.01):.2f}", flush=True)

    def measure_depth(self):
        target = Target("augury", *self.augury, PATH, self.hit, depth=16)
        runs = [target.measure(self.args) for _ in range(self.args.rounds)]
        rate = statistics.median(run["rps"] for run in runs)
        cpu = statistics.median(run["server_cpu_us"] for run in runs)
        print(f"http.depth16_post_hits\t{rate:.0f}\trequests/s\t\t\t")
        print(f"http.depth16_post_hits_cpu\t{cpu:.3f}\tus/request\t\t\t")

    def stop(self):
        for process in reversed(self.servers):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.servers:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="augury-bench-", dir="/dev/shm")
    bench = Bench(args, folder)
    try:
        bench.run()
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
