# SPDX-License-Identifier: MIT
"""nginx and HAProxy in front of a daemon, each with connections to it that live on."""
import json
import os
import re
import shutil
import socket
import subprocess

from harness import Skip, check, wait_for

NGINX = """
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx.error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    log_format told '$upstream_status';
    access_log {dir}/nginx.access.log told;
    ignore_invalid_headers off;
    upstream augury {{ server 127.0.0.1:{port}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://augury;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
            {options}
        }}
    }}
}}
"""

HAPROXY = """
global
    stats socket {dir}/haproxy.sock mode 600
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    retries 0
    option accept-invalid-http-request
frontend front
    bind 127.0.0.1:{front}
    default_backend augury
backend augury
    http-reuse always
    server one 127.0.0.1:{port} pool-max-conn 1
"""


class Proxy:
    """A proxy in front of a daemon, both on loopback."""

    def __init__(self, daemon, name, conf, arguments, **options):
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if program is None:
            raise Skip(f"{name} is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.dir = daemon.dir
        path = os.path.join(self.dir, f"{name}.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(conf.format(dir=self.dir, port=daemon.port(), front=self.port, **options))
        with open(os.path.join(self.dir, f"{name}.out"), "wb") as out:
            self.process = subprocess.Popen([program, *arguments, path], stdout=out, stderr=out)

    def __enter__(self):
        wait_for(lambda: self.process.poll() is not None or self.is_open(), "the proxy serves")
        check(self.process.poll() is None, "the proxy ended at once")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)

    def is_open(self):
        try:
            self.connect().close()
            return True
        except ConnectionRefusedError:
            return False

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


class Nginx(Proxy):
    def __init__(self, daemon, options=""):
        super().__init__(daemon, "nginx", NGINX, ["-e", os.path.join(daemon.dir, "nginx.start.log"), "-c"],
                         options=options)

    def answered(self):
        """How many answers it has had of augury."""
        with open(os.path.join(self.dir, "nginx.access.log"), encoding="ascii") as file:
            return sum(line.strip() != "-" for line in file)


class Haproxy(Proxy):
    def __init__(self, daemon):
        super().__init__(daemon, "haproxy", HAPROXY, ["-db", "-f"])

    def answered(self):
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(os.path.join(self.dir, "haproxy.sock"))
            stats.sendall(b"show stat json\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        rows = json.loads(text)
        return sum(field["value"]["value"] for row in rows for field in row
                   if row[0]["objType"] == "Server" and re.fullmatch(r"hrsp_([1-5]xx|other)", field["field"]["name"]))
