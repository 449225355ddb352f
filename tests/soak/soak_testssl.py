#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What testssl.sh, a program that looks for all that is known to be wrong with a server's TLS, says of a listener: once with
an ECDSA and once with an RSA certificate. Whatever it rates below good fails the test, but for what is the
certificate's (the test signs it itself) or a web site's (HSTS, headers for browsers).

usage: soak_testssl.py
Environment: AUGURY_SOURCE, AUGURY_BUILD. Speaks TAP. Some minutes."""
import json
import os
import shutil
import subprocess
import sys

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
sys.path.insert(0, os.path.join(SOURCE, "tests", "blackbox"))
import harness  # noqa: E402
from harness import Skip, check, equal  # noqa: E402

GOOD = ("OK", "INFO", "DEBUG")
NOT_OURS = ("cert_chain_of_trust", "cert_revocation", "cert_caIssuers", "DNS_CAArecord", "HSTS", "HSTS_time", "security_headers",
            "engine_problem", "banner_server", "banner_application", "HTTP_status_code", "scanTime")
WANTED = {"SSLv2": "OK", "SSLv3": "OK", "TLS1": "INFO", "TLS1_1": "INFO", "TLS1_2": "OK", "TLS1_3": "OK", "FS": "OK"}


def start(daemon, kind):
    key = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-keyout", "key", "-out", "pem", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-addext", "extendedKeyUsage=serverAuth", "-days", "80"],
                   cwd=daemon.dir, check=True, capture_output=True)
    os.chmod(os.path.join(daemon.dir, "key"), 0o600)
    text = daemon.conf_text().replace('address = "127.0.0.1:0"', f'address = "127.0.0.1:0"\n tls_certificate = '
                                      f'"{daemon.dir}/pem"\n tls_key = "{daemon.dir}/key"')
    daemon.conf_text = lambda: text
    daemon.start()


def findings(daemon, program):
    """What is ours to answer for, all that is rated below good, and all there is."""
    path = os.path.join(daemon.dir, "found.json")
    if os.path.exists(path):
        os.unlink(path)
    subprocess.run([program, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--jsonfile", path,
                    f"https://localhost:{daemon.port()}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL, timeout=1800, check=False)
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    check(len(found) > 50, f"{len(found)} findings: the run broke off")
    return [one for one in found if one["severity"] not in GOOD and one["id"].split(" ")[0] not in NOT_OURS], found


def look(daemon, kind):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        raise Skip("testssl.sh is not installed")
    start(daemon, kind)
    bad, found = findings(daemon, program)
    if [one for one in bad if one["severity"] == "WARN"]:  # it could not look, on a busy machine for example
        bad, found = findings(daemon, program)
    equal([f"{one['severity']} {one['id']}: {one['finding']}" for one in bad], [])
    ids = {one["id"]: one["severity"] for one in found}
    equal({name: ids[name] for name in WANTED if name in ids}, {name: WANTED[name] for name in WANTED if name in ids})
    daemon.stop()


def test_testssl_finds_nothing_with_an_ecdsa_certificate(daemon):
    look(daemon, "ec")


def test_testssl_finds_nothing_with_an_rsa_certificate(daemon):
    look(daemon, "rsa")


if __name__ == "__main__":
    harness.run(globals())
