#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Configuration errors: each with its line, all at once, and a daemon that does not start."""
import os
import subprocess

import harness
from harness import check, contains, equal

BAD = """\
workers = many
wrokers = 4
cache {
    size = 12parsecs
    class "prediction" {
        ttl = never
    }
}
listen "public" {
    adress = "127.0.0.1:1"
    address = "nowhere"
}
limits {
    header_timeout = 10
    rows = 0
}
"""


def auguryd(*args, env=None):
    return subprocess.run([harness.AUGURYD, *args], capture_output=True, text=True, timeout=60,
                          check=False, env=env)


def test_every_error_is_shown_with_its_line(daemon):
    daemon.write_conf(BAD)
    for args in (["-t"], ["-T"], []):
        done = daemon.command(*args)
        equal(done.returncode, 1, str(args))
        for line, words in ((1, "workers: expected a whole number"), (2, 'did you mean "workers"'),
                            (4, "size: expected a size"), (6, "ttl: expected a time"),
                            (10, 'did you mean "address"'), (11, "address: expected an address"),
                            (14, "with its unit"), (15, "rows: 0 is outside 1 to")):
            found = [text for text in done.stderr.splitlines()
                     if f"{daemon.conf_path}:{line}: " in text]
            equal(len(found), 1, f"errors of line {line}: {done.stderr}")
            contains(found[0], words)
        equal(len(done.stderr.splitlines()), 8)
    check(not os.path.exists(daemon.log_path), "nothing was started")


def errors_of(daemon, text):
    """What -t says of this file, with the folders a daemon of the tests has; by line, 0: none."""
    daemon.write_conf(text + f"""
pidfile = "{daemon.dir}/auguryd.pid"
models {{ dir = "{daemon.dir}/models" }}
admin {{ socket = "{daemon.dir}/admin.sock" }}
log {{ file = "{daemon.dir}/augury.log" }}
""")
    done = daemon.command("-t")
    found = {}
    for line in done.stderr.splitlines():
        words = line.removeprefix("auguryd: ").removeprefix(daemon.conf_path)
        number, reason = words.lstrip(":").split(":", 1) if words.startswith(":") else ("0", words)
        found[int(number) if number.isdigit() else 0] = reason
    return found


def test_what_contradicts_something_else_is_told_with_a_line(daemon):
    cache = f'cache {{ dir = "{daemon.dir}/cache" }}\n'
    public = 'listen "public" { address = "127.0.0.1:0" }\n'
    for line, text, words in (
            (2, 'access {\n open = "predict, gates"\n}\n', "areas of predict"),
            (2, 'access {\n client_rate = "5/w"\n}\n', "a rate of 1 to 1000000"),
            (2, 'access {\n client_burst = 5\n}\n', "needs a client_rate"),
            (3, 'cors {\n\n origins = "nowhere"\n}\n', "origins as browsers send them"),
            (2, 'limits {\n buffered = 1MiB\n}\n', "refused for ever"),
            (1, 'supervisor { grow_above = 20\n shrink_below = 50 }\n', "grow_above must be more"),
            (3, 'object "mget" {\n ttl = 5s\n folder = "none"\n}\n', "this name is taken"),
            (2, 'object "x" {\n folder = "/no/such/folder"\n}\n', "No such file"),
            (2, 'redis { address = "127.0.0.1:1"\n password_file = "/no/such/file"\n}\n', "No such file"),
            (1, 'user = "no-such-user"\n', 'user: user "no-such-user" does not exist')):
        found = errors_of(daemon, text + cache + public)
        equal(list(found), [line], text)
        contains(found[line], words)
    two = 'listen "a" { address = "%s" }\nlisten "b" {\n backlog = 9\n address = "%s"\n}\n'
    for one, other in (("*:18960", "127.0.0.1:18960"), ("127.0.0.1:18960", "*:18960"), ("[::]:18960", "0.0.0.0:18960"),
                       ("0.0.0.0:18960", "127.0.0.1:18960"), ("127.0.0.1:18960", "127.0.0.1:18960")):
        found = errors_of(daemon, two % (one, other) + cache)
        contains(found.get(4, str(found)), 'listen "a" and "b"')
    equal(list(errors_of(daemon, two % ("*:0", "127.0.0.1:0") + cache)), [0], "ports of their own")
    found = errors_of(daemon, 'listen "a" {\n address = "127.0.0.1:0"\n proxy_protocol = yes\n}\n' + cache)
    contains(found.get(3, str(found)), "who the proxies are")
    found = errors_of(daemon, f'listen "a" {{\n address = "unix:/{"x" * 120}"\n}}\n' + cache)
    contains(found.get(2, str(found)), "a socket's path has at most")
    found = errors_of(daemon, 'listen "a" {\n address = "127.0.0.1:0"\n tls_certificate = "/no/such/file"\n'
                      ' tls_key = "/no/such/file"\n}\n' + cache)
    contains(found.get(2, str(found)), "/no/such/file")


def test_a_right_file_is_right_and_quiet_on_request(daemon):
    daemon.write_conf()
    done = daemon.command("-t")
    equal((done.returncode, done.stdout), (0, ""))
    contains(done.stderr, "is right")
    done = daemon.command("-t", "-q")
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""))


def test_the_check_makes_nothing(daemon):
    daemon.write_conf()
    daemon.command("-t")
    equal(os.listdir(daemon.dir), ["augury.conf"])


def test_the_check_tries_the_machine_and_tells_all(daemon):
    daemon.options["user"] = '"no-such-user"'
    daemon.sections["cache"]["dir"] = '"/dev/null/cache"'
    daemon.sections["log"] = {"file": f'"{daemon.dir}"'}
    daemon.listeners["far"] = "192.0.2.1:80"
    daemon.listeners["unknown"] = "no-such-host.invalid:80"
    daemon.write_conf()
    done = daemon.command("-t")
    equal(done.returncode, 1)
    for words in ('user: user "no-such-user" does not exist', "cache.dir: ", "log.file: ",
                  'listen "far": ', 'listen "unknown": '):
        contains(done.stderr, words)


def test_the_check_looks_at_the_keys_that_signatures_need(daemon):
    keys = os.path.join(daemon.dir, "keys")
    daemon.sections["models"] = {"keys": f'"{keys}"', "require_signature": '"yes"'}
    daemon.write_conf()
    contains(daemon.command("-t").stderr, "models.keys: ")
    os.mkdir(keys)
    os.chmod(keys, 0o755)
    contains(daemon.command("-t").stderr, "holds no key")
    key = os.path.join(keys, "ops.pem")
    with open(key, "w", encoding="ascii") as file:
        file.write("-----BEGIN PUBLIC KEY-----\n"
                   "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                   "-----END PUBLIC KEY-----\n")
    os.chmod(key, 0o644)
    equal(daemon.command("-t").returncode, 0)
    os.chmod(key, 0o666)
    contains(daemon.command("-t").stderr, "chmod o-w")
    daemon.sections["models"]["require_signature"] = '"warn"'
    daemon.write_conf()
    equal(daemon.command("-t").returncode, 0, "nobody needs the keys")


def test_the_check_sees_with_the_eyes_of_the_children(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    daemon.options["user"] = '"nobody"'
    os.mkdir(os.path.join(daemon.dir, "models"), 0o700)
    daemon.write_conf()
    done = daemon.command("-t")
    equal(done.returncode, 1)
    contains(done.stderr, "models.dir: folder")
    contains(done.stderr, "Permission denied")
    os.rmdir(os.path.join(daemon.dir, "models"))
    equal(daemon.command("-t").returncode, 0, "the master would make it")


def test_the_check_of_a_running_daemons_file_is_right(daemon):
    daemon.start()
    daemon.listeners["public"] = f"127.0.0.1:{daemon.port()}"
    daemon.write_conf()
    done = daemon.command("-t")
    equal(done.returncode, 0, done.stderr)
    equal(daemon.get("/ping")[0], 200)
    equal(daemon.admin("ping")[0], 0)
    daemon.stop()


def test_the_effective_configuration_shows_origins_and_can_be_read_again(daemon):
    daemon.write_conf()
    env = dict(os.environ, AUGURY_LIMITS_ROWS="77", PREDICTION_CACHE_TTL="90")
    done = auguryd("-c", daemon.conf_path, "-T", "-o", "log.level=warn", env=env)
    equal(done.returncode, 0, done.stderr)
    contains(done.stdout, f"workers = 2  # {daemon.conf_path}:2")
    contains(done.stdout, "rows = 77  # environment")
    contains(done.stdout, "ttl = 90s  # environment")
    contains(done.stdout, 'level = "warn"  # command line')
    contains(done.stdout, "headers = 100  # default")
    values = [line.split("  # ")[0] for line in done.stdout.splitlines()]
    daemon.write_conf(done.stdout)
    again = daemon.command("-T")
    equal(again.returncode, 0, again.stderr)
    equal([line.split("  # ")[0] for line in again.stdout.splitlines()], values)


def test_the_sample_file_is_the_one_in_etc(daemon):
    done = auguryd("--sample-config")
    equal(done.returncode, 0)
    with open(os.path.join(harness.SOURCE, "etc", "augury.conf"), encoding="utf-8") as file:
        equal(done.stdout, file.read())
    daemon.write_conf(done.stdout)
    equal(daemon.command("-T").stdout.count("# default") > 20, True)


def test_a_missing_file_is_named(daemon):
    done = auguryd("-c", os.path.join(daemon.dir, "absent.conf"), "-t")
    equal(done.returncode, 1)
    contains(done.stderr, "absent.conf: cannot read the configuration: No such file")


def test_a_wrong_command_line_is_status_2(daemon):
    for args in (["--no-such-option"], ["word"], ["-c"]):
        done = auguryd(*args)
        equal(done.returncode, 2, str(args))
        contains(done.stderr, "Try 'auguryd --help'")
    daemon.write_conf()
    equal(daemon.command("-t", "-o", "cache.sise=1G").returncode, 1)


def test_help_and_versions(_daemon):
    done = auguryd("--help")
    equal(done.returncode, 0)
    contains(done.stdout, "--foreground")
    done = auguryd("--version")
    equal((done.returncode, done.stdout.split()[0]), (0, "auguryd"))
    done = auguryd("-V")
    contains(done.stdout, "libevent")
    contains(done.stdout, "running with: ")


harness.run(globals())
