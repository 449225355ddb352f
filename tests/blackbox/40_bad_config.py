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
