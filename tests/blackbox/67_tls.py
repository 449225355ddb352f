#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS as Python's ssl and openssl's command line speak it: versions, ciphers, ALPN, sessions across workers, certificates
that a reload renews, clients' certificates, bodies larger than records, and connections that never end their handshake."""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import harness
from harness import Skip, check, contains, equal, wait_for


def openssl(*words, folder):
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)


def authority(daemon):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2", folder=daemon.dir)


def certificate(daemon, name, subject, kind="ec"):
    """name.pem and name.key, signed by the test's authority."""
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-newkey", "rsa:2048"]
    openssl("req", *words, "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", f"/CN={subject}",
            folder=daemon.dir)
    with open(os.path.join(daemon.dir, "san"), "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san", "-out", name + ".pem", folder=daemon.dir)
    os.chmod(os.path.join(daemon.dir, name + ".key"), 0o600)


def conf(daemon, name="server", more=""):
    listen = (f'listen "public" {{ address = "127.0.0.1:0"\n tls_certificate = "{daemon.dir}/{name}.pem"\n '
              f'tls_key = "{daemon.dir}/{name}.key"\n {more} }}')
    return daemon.conf_text().replace('listen "public" { address = "127.0.0.1:0" }', listen)


def serving(daemon, more="", kind="ec"):
    authority(daemon)
    certificate(daemon, "server", "server one", kind)
    daemon.options["workers"] = 2
    text = conf(daemon, more=more)
    daemon.conf_text = lambda: text
    daemon.start()
    return daemon.port()


def context(daemon, **options):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(os.path.join(daemon.dir, "ca.pem"))
    for name, value in options.items():
        setattr(made, name, value)
    return made


def reach(port, made, session=None):
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return made.wrap_socket(plain, server_hostname="localhost", session=session)
    except BaseException:
        plain.close()
        raise


def get(tls, path="/api/v1/health", method="GET", body=b""):
    tls.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = http.client.HTTPResponse(tls, method=method)
    answer.begin()
    return answer.status, answer.read()


def next_body(reader):
    """Of one of several answers that come behind each other."""
    equal(reader.readline(), b"HTTP/1.1 200 OK\r\n")
    length = 0
    while (line := reader.readline()) != b"\r\n":
        name, value = line.split(b":", 1)
        length = int(value) if name.lower() == b"content-length" else length
    return reader.read(length)


def refused(port, made):
    try:
        with reach(port, made) as tls:
            get(tls)
    except (ssl.SSLError, ConnectionError, http.client.HTTPException, TimeoutError):
        return True
    return False


def test_versions_ciphers_and_protocols(daemon):
    port = serving(daemon, kind="rsa")
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        made = context(daemon, maximum_version=version, minimum_version=version)
        made.set_alpn_protocols(["h2", "http/1.1"])
        with reach(port, made) as tls:
            equal((tls.version(), tls.selected_alpn_protocol()), (name, "http/1.1"))
            equal(get(tls)[0], 200)
            equal(get(tls)[0], 200)
    made = context(daemon)
    made.set_alpn_protocols(["h2"])
    check(refused(port, made), "a client that speaks h2 alone")
    old = context(daemon)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    check(refused(port, old), "TLS 1.1")
    for cipher in ("AES128-SHA", "ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256"):
        weak = context(daemon, maximum_version=ssl.TLSVersion.TLSv1_2)
        weak.set_ciphers(cipher)
        check(refused(port, weak), cipher)
    before = daemon.metrics()["augury_tls_failures_total"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            check(not plain.recv(100).startswith(b"HTTP"), "plain HTTP was answered")
        except ConnectionResetError:
            pass
    wait_for(lambda: daemon.metrics()["augury_tls_failures_total"] > before, "the failure is counted")
    daemon.stop()


def test_a_session_goes_on_with_another_worker(daemon):
    port = serving(daemon)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = context(daemon, maximum_version=version)
        with reach(port, made) as tls:
            get(tls)
            session = tls.session
        for _ in range(20):
            with reach(port, made, session) as tls:
                get(tls)
                check(tls.session_reused, f"{version}: began anew")
                # Clients use a ticket of 1.3 once (RFC 8446 C.4): each session needs a new one.
                check(version != ssl.TLSVersion.TLSv1_3 or tls.session.id != session.id, "no new ticket")
                session = tls.session
    check(daemon.metrics()['augury_tls_handshakes_total{kind="resumed"}'] >= 40, "resumed sessions are counted")
    daemon.stop()


def test_a_session_and_an_open_connection_go_on_after_a_reload(daemon):
    port = serving(daemon)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = context(daemon, maximum_version=version)
        with reach(port, made) as tls:
            get(tls)
            session = tls.session
            code, text = daemon.admin("reload")
            equal(code, 0, text)
            equal(get(tls)[0], 200, "the request after the reload is answered by the worker that has the connection")
        for _ in range(4):
            with reach(port, made, session) as tls:
                get(tls)
                check(tls.session_reused, f"{version}: began anew with a worker of the next generation")
                session = tls.session
    daemon.stop()


def test_bodies_larger_than_records_pass_both_ways(daemon):
    port = serving(daemon)
    with reach(port, context(daemon)) as tls:
        body = b'{"features":{"x":"' + b"y" * 900000 + b'"}}'
        status, answer = get(tls, "/api/v1/predict/nobody", "POST", body)
        equal((status, json.loads(answer)["code"]), (404, "model_not_found"))
        request = b"GET /api/v1/performance HTTP/1.1\r\nHost: x\r\n\r\n"
        reader = tls.makefile("rb")
        tls.sendall(request * 400)
        for _ in range(400):
            check(isinstance(json.loads(next_body(reader)), dict), "a pipelined answer")
        for byte in request:
            tls.sendall(bytes([byte]))
        check(isinstance(json.loads(next_body(reader)), dict), "a request a byte a record")
    daemon.stop()


def test_a_reload_takes_a_renewed_certificate_and_refuses_a_wrong_one(daemon):
    port = serving(daemon)
    made = context(daemon)

    def subject():
        with reach(port, made) as tls:
            return dict(pair[0] for pair in tls.getpeercert()["subject"])["commonName"]

    equal(subject(), "server one")
    certificate(daemon, "server", "server two")
    code, text = daemon.admin("reload")
    equal(code, 0, text)
    wait_for(lambda: subject() == "server two", "the new certificate")
    os.rename(os.path.join(daemon.dir, "server.key"), os.path.join(daemon.dir, "kept.key"))
    certificate(daemon, "other", "another")
    shutil.copy(os.path.join(daemon.dir, "other.key"), os.path.join(daemon.dir, "server.key"))
    daemon.expect_error("reload_failed")
    code, text = daemon.admin("reload")
    check(code != 0, text)
    contains(text, "private key")
    equal(subject(), "server two")
    daemon.stop()


def test_clients_show_a_certificate_where_one_is_wanted(daemon):
    port = serving(daemon, more=f'tls_client_ca = "{daemon.dir}/ca.pem"')
    check(refused(port, context(daemon)), "a client without a certificate")
    certificate(daemon, "client", "a client")
    made = context(daemon)
    made.load_cert_chain(os.path.join(daemon.dir, "client.pem"), os.path.join(daemon.dir, "client.key"))
    with reach(port, made) as tls:
        equal(get(tls)[0], 200)
    os.mkdir(os.path.join(daemon.dir, "foreign"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "f.key", "-out",
            "f.pem", "-subj", "/CN=stranger", "-days", "2", folder=os.path.join(daemon.dir, "foreign"))
    made = context(daemon)
    made.load_cert_chain(os.path.join(daemon.dir, "foreign", "f.pem"), os.path.join(daemon.dir, "foreign", "f.key"))
    check(refused(port, made), "a stranger's certificate")
    daemon.stop()


def test_half_a_handshake_is_cut_in_time_and_nobody_waits(daemon):
    daemon.sections["limits"] = {"header_timeout": "1s"}
    port = serving(daemon)
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(50)]
    for number, one in enumerate(silent):
        if number % 2:
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
    begin = time.monotonic()
    with reach(port, context(daemon)) as tls:
        equal(get(tls)[0], 200)
    check(time.monotonic() - begin < 1, "others waited")
    for one in silent:
        one.settimeout(10)
        try:
            equal(one.recv(100), b"")
        except ConnectionError:
            pass
        one.close()
    check(time.monotonic() - begin < 8, "cut late")
    daemon.stop()


def test_the_check_names_what_is_wrong(daemon):
    authority(daemon)
    certificate(daemon, "server", "server one")
    certificate(daemon, "other", "another")
    base = daemon.conf_text()
    listen = 'listen "public" { address = "127.0.0.1:0" }'
    for words, reason in (
            (f'tls_certificate = "{daemon.dir}/server.pem"', "tls_certificate and tls_key, both"),
            (f'tls_certificate = "{daemon.dir}/server.pem"\n tls_key = "{daemon.dir}/other.key"',
             "mismatch"),
            (f'tls_certificate = "{daemon.dir}/server.key"\n tls_key = "{daemon.dir}/server.key"', "the certificate"),
            (f'tls_certificate = "{daemon.dir}/server.pem"\n tls_key = "{daemon.dir}/server.pem"', "chmod o-r"),
            (f'tls_certificate = "{daemon.dir}/nothing.pem"\n tls_key = "{daemon.dir}/server.key"', "nothing.pem"),
            (f'tls_certificate = "{daemon.dir}/server.pem"\n tls_key = "{daemon.dir}/server.key"\n tls_min = "1.1"',
             "1.2, 1.3")):
        daemon.write_conf(base.replace(listen, f'listen "public" {{ address = "127.0.0.1:0"\n {words}\n }}'))
        done = daemon.command("-t")
        check(done.returncode != 0, words)
        contains(done.stdout + done.stderr, reason)
    os.chmod(os.path.join(daemon.dir, "server.key"), 0o644)
    daemon.write_conf(conf(daemon))
    done = daemon.command("-t")
    contains(done.stdout + done.stderr, "chmod o-r")


harness.run(globals())
