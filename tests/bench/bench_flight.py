#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long clients wait who all ask at once for what nobody has made: one fetch that takes a while, and everybody's
answer after it. Against nginx with proxy_cache_lock, in one run, over the same slow file.

usage: bench_flight.py [--clients N] [--delay MS] [--rounds R]
Environment: AUGURY_SOURCE, AUGURY_BUILD. Prints one TSV line a figure: name, ours, unit, peer, peer's figure, ratio.
Ours: two workers, an object whose file takes the delay. nginx: two workers, its upstream an augury of its own with the
same folder, whose fetches are counted. An answer's time is the kernel's stamp of its arrival (SO_TIMESTAMPNS), and they
are read when all of them must have come, so that the client takes no processor from the servers meanwhile; the first
one tells when the fetch had ended.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
sys.path.insert(0, os.path.join(SOURCE, "tests", "blackbox"))
import harness  # noqa: E402
import slowfiles  # noqa: E402

SO_TIMESTAMPNS = 35
QUIET_S = 1.0  # nginx looks at its lock every 0.5 s
PATH = "/api/v1/objects/players/"
NGINX_CONF = """
worker_processes 2;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    proxy_cache_path {dir}/cache keys_zone=hits:8m use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache hits;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
        }}
    }}
}}
"""


def daemon_with_files(names, delay_ms):
    daemon = harness.Daemon()
    folder = os.path.join(daemon.dir, "players")
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x" * 600)
    plain = daemon.conf_text
    daemon.conf_text = lambda: plain() + f'object "players" {{ folder = "{folder}" ttl = 1h }}\n'
    slowfiles.start(daemon, delay_ms)
    return daemon


def fetches(daemon):
    return int(sum(value for name, value in daemon.metrics().items()
                   if name.startswith("augury_object_fetches_total")))


def nginx_start(directory, origin):
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(NGINX_CONF.format(dir=directory, origin=origin, port=number))
    process = subprocess.Popen(["nginx", "-c", path, "-p", directory], stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", number)).close()
            return process, number
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError("nginx does not listen")


def arrival_ns(client):
    data, extra, _, _ = client.recvmsg(65536, 256)
    if not data.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"not answered: {data[:200]}")
    for _, kind, stamp in extra:
        if kind == SO_TIMESTAMPNS:
            seconds, nanos = struct.unpack("qq", stamp[:16])
            return seconds * 1000000000 + nanos
    return time.time_ns()


def ask_all(port, name, count, delay_ms):
    """Milliseconds from the first request sent to each answer's arrival, in order."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        client.settimeout(20)
    request = f"GET {PATH}{name} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    begin = time.time_ns()
    for client in clients:
        client.sendall(request)
    time.sleep(delay_ms / 1000 + QUIET_S)
    times = [(arrival_ns(client) - begin) / 1e6 for client in clients]
    for client in clients:
        client.close()
    return sorted(times)


def figures(rounds):
    """Medians over the rounds: the first answer, and how much later the median and the last one came."""
    return {
        "first": statistics.median(times[0] for times in rounds),
        "median waiter after the first": statistics.median(times[len(times) // 2] - times[0] for times in rounds),
        "last waiter after the first": statistics.median(times[-1] - times[0] for times in rounds),
        "last waiter of all rounds": max(times[-1] - times[0] for times in rounds),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--delay", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.exit("bench_flight: nginx is not installed")
    names = [f"slow-{i}" for i in range(options.rounds)]
    ours = daemon_with_files(names, options.delay)
    origin = daemon_with_files(names, options.delay)
    nginx, nginx_port = nginx_start(origin.dir, origin.port())
    try:
        mine, theirs = [], []
        for name in names:
            mine.append(ask_all(ours.port(), name, options.clients, options.delay))
            theirs.append(ask_all(nginx_port, name, options.clients, options.delay))
        peers = figures(theirs)
        for name, value in figures(mine).items():
            print(f"flight {options.clients} clients: {name}\t{value:.3f}\tms\tnginx proxy_cache_lock\t"
                  f"{peers[name]:.3f}\t{peers[name] / value:.1f}")
        print(f"flight {options.clients} clients: fetches a round\t{fetches(ours) / options.rounds:.2f}\tfetches\t"
              f"nginx proxy_cache_lock\t{fetches(origin) / options.rounds:.2f}\t"
              f"{fetches(origin) / fetches(ours):.1f}")
    finally:
        nginx.send_signal(signal.SIGTERM)
        nginx.wait()
        for daemon in (ours, origin):
            daemon.stop()
            daemon.close(False)


if __name__ == "__main__":
    main()
