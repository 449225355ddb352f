#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS against nginx, in one run, with the same certificate, versions, ciphers and groups: sessions made in full, sessions
resumed by a ticket (one request each), and requests on connections that are kept.

usage: bench_tls.py [--seconds S] [--rounds N] [--connections C]
Environment: AUGURY_SOURCE, AUGURY_BUILD. Prints one TSV line a figure: name, ours, unit, peer, peer's figure, ratio.
Each server has one worker on CPU 0, the client runs on CPU 1 and works as hard for a session as the server does, so
`_cpu`, the server's time on a processor, says more than the rate. augury answers an object of 600 bytes from its cache;
nginx returns 600 bytes that stand in its configuration.
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
sys.path.insert(0, os.path.join(SOURCE, "tests", "bench"))
import bench_http  # noqa: E402

BUILD = bench_http.BUILD
PATH = "/api/v1/objects/bench"
AUGURY_CONF = """
workers = 1
pidfile = "{dir}/auguryd.pid"
listen "plain" {{ address = "127.0.0.1:{plain}" }}
listen "tls" {{ address = "127.0.0.1:{port}" tls_certificate = "{dir}/pem" tls_key = "{dir}/key" }}
models {{ dir = "{dir}/models" map = "64MiB" }}
cache {{ dir = "{dir}/cache" size = "16MiB" class "object" {{ writable = yes }} }}
supervisor {{ auto = no }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" }}
"""
NGINX_CONF = """
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {dir}/pem;
        ssl_certificate_key {dir}/key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305;
        ssl_prefer_server_ciphers off;
        ssl_ecdh_curve X25519:P-256:P-384;
        ssl_session_timeout 1h;
        ssl_session_tickets on;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "key", "-out", "pem", "-subj", "/CN=localhost", "-days", "2"], cwd=folder, check=True,
                   capture_output=True)
    os.chmod(os.path.join(folder, "key"), 0o600)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def start_augury(folder):
    port, plain = bench_http.free_port(), bench_http.free_port()
    conf = write(folder, "augury.conf", AUGURY_CONF.format(dir=folder, port=port, plain=plain))
    process = bench_http.start([os.path.join(BUILD, "auguryd"), "-f", "-c", conf])
    bench_http.wait_for(plain, process)
    bench_http.put(plain, PATH, b"x" * 600)
    return process, port


def start_nginx(folder):
    port = bench_http.free_port()
    conf = write(folder, "nginx.conf", NGINX_CONF.format(dir=folder, port=port, body="x" * 600))
    process = bench_http.start(["nginx", "-c", conf, "-p", folder, "-e", os.path.join(folder, "start.log")])
    bench_http.wait_for(port, process)
    return process, port


def measure(args, server, mode, version):
    pid, port = server
    run = subprocess.run(["taskset", "-c", bench_http.CLIENT_CPU, os.path.join(BUILD, "tests/bench/tls_client"), "-m", mode,
                          "-v", version, "-c", str(args.connections), "-t", str(args.seconds), "-P", str(pid), "-p", PATH,
                          str(port)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"bench_tls: {mode}: {run.stdout}{run.stderr}")
    got = {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", run.stdout)}
    if mode == "resumed" and got["resumed"] < got["requests"] - 2 * args.connections:
        sys.exit(f"bench_tls: port {port}: {got['resumed']:.0f} of {got['requests']:.0f} sessions were resumed")
    return got


def compare(args, name, ours, peer, mode, version):
    runs = {ours: [], peer: []}
    for turn in range(args.rounds):
        for server in (ours, peer) if turn % 2 == 0 else (peer, ours):
            runs[server].append(measure(args, server, mode, version))
    unit = "requests" if mode == "kept" else "handshakes"
    rate = {server: statistics.median(run["rps"] for run in runs[server]) for server in runs}
    cpu = {server: statistics.median(run["server_cpu_us"] for run in runs[server]) for server in runs}
    print(f"tls.{name}\t{rate[ours]:.0f}\t{unit}/s\tnginx\t{rate[peer]:.0f}\t{rate[ours] / rate[peer]:.2f}")
    print(f"tls.{name}_cpu\t{cpu[ours]:.2f}\tus\tnginx\t{cpu[peer]:.2f}\t{cpu[peer] / cpu[ours]:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    if shutil.which("nginx") is None and shutil.which("nginx", path="/usr/sbin") is None:
        sys.exit("bench_tls: nginx is not installed")
    folder = tempfile.mkdtemp(prefix="augury-bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    servers = []
    try:
        make_certificate(folder)
        for server in (start_augury, start_nginx):
            servers.append(server(folder))
        ours, peer = ((bench_http.working_child(process.pid, b"worker"), port) for process, port in servers)
        for name, mode, version in (("full_13", "full", "3"), ("resumed_13", "resumed", "3"), ("full_12", "full", "2"),
                                    ("resumed_12", "resumed", "2"), ("kept_13", "kept", "3")):
            compare(args, name, ours, peer, mode, version)
    finally:
        for process, _ in reversed(servers):
            process.terminate()
        for process, _ in servers:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
