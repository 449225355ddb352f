#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Model files, schemas, names and versions that cannot be: refused with a reason, on the command line and through the daemon
alike, and no model is more or less than before."""
import gzip
import json
import os
import pickle
import shutil
import subprocess
import zlib

import harness
from harness import check, equal
from siege import AUGURY, NAMES, NFL, augury, siege

with open(os.path.join(NFL, "model.json"), "rb") as model_file:
    JSON = model_file.read()
with open(os.path.join(NFL, "model.ubj"), "rb") as model_file:
    UBJSON = model_file.read()
FAILED, USAGE = 1, 2


def without(name):
    """The model with one member of `learner` taken out."""
    document = json.loads(JSON)
    del document["learner"][name]
    return json.dumps(document).encode()


def with_tree(member, at, value):
    """The model with one number of its first tree changed."""
    document = json.loads(JSON)
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    tree[member][at] = value
    return json.dumps(document).encode()


# (what the reason says, the file)
FILES = [
    ("the file is empty", b""),
    ("unexpected end of data", b"{"),
    ("the file is empty", b" " * 5000),
    ("gunzip", gzip.compress(JSON)),
    ("executes code", pickle.dumps({"model": 1})),
    ("execute code", zlib.compress(pickle.dumps(1))),
    ("executes code", b"ZF" + bytes(100)),
    ("neither XGBoost JSON nor UBJSON", pickle.dumps({"model": 1}, 0)),
    ("neither XGBoost JSON nor UBJSON", b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    ("no \"max_feature_idx\"", b"tree\nversion=v4\nnum_class=1\n"),
    ("old binary", b"binf" + bytes(1000)),
    ("old binary", bytes.fromhex("0000003f 7e000000 01000000 00000000") + bytes(1000)),
    ("zip", b"PK\x03\x04" + bytes(100)),
    ("neither XGBoost JSON nor UBJSON", bytes(range(256)) * 1000),
    ("byte order mark", b"\xef\xbb\xbf" + JSON),
    ("dump_model()", b"[]"),
    ("dump_model()", b"{}"),
    ("dump_model()", b"[" * 1000000),
    ('"learner"', b'{"learner":null}'),
    ('"learner_model_param"', b'{"learner":{}}'),
    ("nested deeper", b'{"a":' * 100000 + b"1" + b"}" * 100000),
    ("0x00", JSON + b"\0"),
    ("unexpected content", JSON + JSON),
    ("goes beyond", b"{L" + b"\x7f" * 8 + b"a"),
    ("gradient_booster", without("gradient_booster")),
    ("objective", without("objective")),
    ("learner_model_param", without("learner_model_param")),
    ("node 0 is reached twice", with_tree("left_children", 0, 0)),
    ("child 100000 is not one of", with_tree("left_children", 0, 100000)),
    ("left_children", with_tree("left_children", 0, "x")),
    ("splits on feature 11", with_tree("split_indices", 0, 11)),
    ("split_indices", with_tree("split_indices", 0, -1)),
    ("split_conditions", with_tree("split_conditions", 0, None)),
    ("base_score", JSON.replace(b'"base_score":"', b'"base_score":"1e999', 1)),
    ("base_score", JSON.replace(b'"base_score":"', b'"base_score":"x', 1)),
] + [("end", JSON[:len(JSON) * i // 40]) for i in range(1, 40)] + \
    [("", UBJSON[:len(UBJSON) * i // 40 + 1]) for i in range(40)] + [("", JSON[:-1]), ("", UBJSON[:-1])]

# (exit status, what the reason says, the words after the model's file)
WORDS = (
    (FAILED, "lists 2 features, the model has 11", ["--features", "a,b"]),
    (FAILED, "lists 12 features, the model has 11", ["--features", NAMES + ",more"]),
    (FAILED, "the model has 11", ["--features", ""]),
    (FAILED, "features[0]", ["--features", "," * 10]),
    (FAILED, 'both named "down"', ["--features", NAMES.replace("home", "down")]),
    (FAILED, "UTF-8", ["--features", NAMES.replace("home", "h\udcffme")]),
    (USAGE, "a value is missing after --features", ["--features"]),
    (USAGE, "--version is a positive number", ["--version", "0"]),
    (USAGE, "--version is a positive number", ["--version", "-1"]),
    (USAGE, "--version is a positive number", ["--version", "4294967296"]),
    (USAGE, "--version is a positive number", ["--version", "1.5"]),
    (USAGE, "--version is a positive number", ["--version", ""]),
    (FAILED, "version 1 of \"nfl-wp\" is there already; the next is 2", ["--version", "1"]),
    (USAGE, "unknown option --nonsense", ["--nonsense"]),
    (USAGE, "one word too many", ["another.json"]),
)

# (what the reason says, the schema)
SCHEMAS = (
    ("schema, byte 0", b""),
    ("schema, byte 0", b"x"),
    ("schema: ", b"[]"),
    ("schema: ", b"{}"),
    ("schema: ", JSON),
    ("schema: ", b'{"features":{}}'),
    ("the schema lists 0 features, the model has 11", b'{"features":[]}'),
    ("schema, features[0]", json.dumps({"features": [1] * 11}).encode()),
    ("schema, features[0]: \"type\" must be", json.dumps({"features": [{"name": f"f{i}", "type": "decimal"} for i in range(11)]}).encode()),
    ("both named", json.dumps({"features": [{"name": "a"}] * 11}).encode()),
    ("nested deeper", b"[" * 1000 + b"]" * 1000),
)

NAMES_REFUSED = ("a/b", "../x", "", "a b", "nfl-wp@1", "a" * 65, "a" * 300, "ü", ".", "..", "\x01", "a\nb", "%s%n", "/etc/passwd")


def quoted(word):
    """A word of the admin socket's line."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode("utf-8", "surrogateescape")


def listed(daemon):
    return daemon.admin_json("model list")


def both_refuse(daemon, status, words, *command):
    """By the program on the files, and by the daemon."""
    got, out, err = augury(daemon, "model", *command)
    what = f"augury model {command[:1]} {str(command[1:])[:200]}: {got} {err[:300]!r}"
    equal((got, out), (status, ""), what)
    check(err.startswith("augury: ") and words in err and err.count("\n") == 1, what + f", want {words!r}")
    code, text = daemon.admin(b"model " + b" ".join(quoted(word) for word in command))
    check(code == status and words in text, f"the daemon: {code} {text[:300]!r}, want {status} {words!r}")


def put(daemon, name, data):
    path = os.path.join(daemon.dir, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def test_files_that_are_no_model_are_refused_with_what_they_are(daemon):
    with siege(daemon) as target:
        before = listed(daemon)
        for words, data in FILES:
            both_refuse(daemon, FAILED, words, "import", "nfl-wp", put(daemon, "model", data))
        both_refuse(daemon, FAILED, "Is a directory", "import", "nfl-wp", daemon.dir)
        both_refuse(daemon, FAILED, "No such file", "import", "nfl-wp", daemon.dir + "/none")
        both_refuse(daemon, FAILED, "no regular file", "import", "nfl-wp", "/dev/zero")
        os.mkfifo(daemon.dir + "/pipe")
        both_refuse(daemon, FAILED, "no regular file", "import", "nfl-wp", daemon.dir + "/pipe")
        equal(listed(daemon), before)
        target.predict_right()


def test_a_file_that_may_not_be_read_is_said_and_the_program_exits_with_4(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    with siege(daemon):
        path = put(daemon, "secret", JSON)
        os.chmod(path, 0)
        models = os.path.join(daemon.dir, "nobody")
        os.mkdir(models)
        os.chown(models, 65534, 65534)
        program = shutil.copy(AUGURY, daemon.dir)  # the build folder may be closed to others
        done = subprocess.run([program, "-c", daemon.conf_path, "-o", f"models.dir={models}", "model", "import", "a", path],
                              user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False)
        equal((done.returncode, done.stdout, done.stderr), (4, "", f"augury: {path}: Permission denied\n"))


def test_words_of_an_import_that_make_no_sense_are_usage_or_failure(daemon):
    with siege(daemon):
        before = listed(daemon)
        model = os.path.abspath(os.path.join(NFL, "model.json"))
        for status, words, more in WORDS:
            both_refuse(daemon, status, words, "import", "nfl-wp", model, *more)
        for words, data in SCHEMAS:
            both_refuse(daemon, FAILED, words, "import", "nfl-wp", model, "--schema", put(daemon, "schema", data))
        both_refuse(daemon, FAILED, "Is a directory", "import", "nfl-wp", model, "--schema", daemon.dir)
        for name in NAMES_REFUSED:
            both_refuse(daemon, FAILED, "1 to 64 characters", "import", name, model)
        equal(listed(daemon), before)


def test_names_versions_and_labels_that_are_not_there(daemon):
    with siege(daemon):
        before = listed(daemon)
        for verb in ("show", "unload", "verify"):
            both_refuse(daemon, FAILED, "there are: nfl-wp", verb, "nothing")
            both_refuse(daemon, FAILED, "there are: nfl-wp", verb, "x" * 5000)
            both_refuse(daemon, FAILED, "there are: 1 (stable)", verb, "nfl-wp@2")
            both_refuse(daemon, FAILED, "there are: 1 (stable)", verb, "nfl-wp@canary")
            both_refuse(daemon, FAILED, "there are: 1 (stable)", verb, "nfl-wp@0")
            both_refuse(daemon, USAGE, "one word too many", verb, "nfl-wp", "more")
        both_refuse(daemon, FAILED, "there are: 1 (stable)", "use", "nfl-wp", "2")
        both_refuse(daemon, FAILED, "there are: nfl-wp", "use", "nothing", "1")
        for version in ("0", "-1", "4294967296", "1.0", "stable", ""):
            both_refuse(daemon, USAGE, "a version is a positive number", "use", "nfl-wp", version)
        for label in ("a/b", "7", "", "x" * 33, "a b"):
            both_refuse(daemon, FAILED, "a label has 1 to 32 characters", "use", "nfl-wp", "1", label)
        equal(listed(daemon), before)


def test_versions_given_out_are_never_given_again(daemon):
    with siege(daemon) as target:
        model = os.path.abspath(os.path.join(NFL, "model.json"))
        words = ("import", "nfl-wp", model, "--features", NAMES)
        equal(augury(daemon, "model", *words, "--version", "7")[0], 0)
        both_refuse(daemon, FAILED, "version 7", *words, "--version", "7")
        both_refuse(daemon, FAILED, "lies below", *words, "--version", "6")
        equal(daemon.admin("model unload nfl-wp@7")[0], 0)
        both_refuse(daemon, FAILED, "the next is 8", *words, "--version", "7")
        equal(daemon.admin("model import last " + model + " --version 4294967295")[0], 0)
        both_refuse(daemon, FAILED, "no version number is left", "import", "last", model)
        target.predict_right()


harness.run(globals())
