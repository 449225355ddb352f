#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Signed imports and files that others may write to: manifests signed by openssl(1) and by augury,
each checked by the other. Speaks TAP."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import harness
from foldertests import Skip, run_tests, test

SOURCE = os.path.abspath(os.environ.get("AUGURY_SOURCE", "."))
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
STUMP = os.path.join(SOURCE, "tests", "data", "models", "stump.json")
TWO_TREES = os.path.join(SOURCE, "tests", "data", "models", "two-trees.json")


def openssl(*words):
    if shutil.which("openssl") is None:
        raise Skip("no openssl program")
    done = subprocess.run(["openssl", *words], capture_output=True, check=False)
    return done


class Place:
    """A folder with a model, a key pair, a folder of trusted keys and a registry."""

    def __init__(self, folder):
        self.folder = folder
        self.model = self.path("model.json")
        self.manifest = self.path("manifest")
        self.secret = self.path("secret.pem")
        self.keys = self.path("keys")
        shutil.copyfile(STUMP, self.model)
        os.mkdir(self.keys, 0o755)
        self.make_key(self.secret, "ops")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def make_key(self, secret, name):
        assert openssl("genpkey", "-algorithm", "ed25519", "-out", secret).returncode == 0
        os.chmod(secret, 0o600)
        public = os.path.join(self.keys, name + ".pem")
        assert openssl("pkey", "-in", secret, "-pubout", "-out", public).returncode == 0
        os.chmod(public, 0o644)

    def augury(self, *words, require="no", json_answer=True):
        command = [AUGURY, "-c", "/dev/null", "-o", f"models.dir={self.path('models')}",
                   "-o", "models.map=64MiB", "-o", f"models.keys={self.keys}",
                   "-o", f"models.require_signature={require}", *(["-j"] if json_answer else [])]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    def run(self, *words, require="no"):
        done = self.augury(*words, require=require)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    def refused(self, *words, require="no"):
        done = self.augury(*words, require=require)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def sign_with_openssl(self, manifest=None, secret=None):
        manifest = manifest or self.manifest
        done = openssl("pkeyutl", "-sign", "-rawin", "-inkey", secret or self.secret,
                       "-in", manifest, "-out", manifest + ".sig")
        assert done.returncode == 0, done.stderr

    def write_manifest(self, *words):
        self.run("model", "manifest", self.model, "--out", self.manifest, *words)

    def import_signed(self, *words, name="stump"):
        return ["model", "import", name, self.model, "--manifest", self.manifest, *words]


@test
def a_manifest_says_what_sha256sum_says(folder):
    place = Place(folder)
    with open(place.model, "rb") as file:
        content = file.read()
    words = ["--model", "stump", "--version", "4", "--expires", "2099-01-01"]
    lines = place.run("model", "manifest", place.model, *words).splitlines()
    assert lines[0] == "augury-manifest: 1"
    assert lines[1:3] == ["model: stump", "version: 4"], lines
    assert lines[3].startswith("created: 20"), lines
    assert lines[4] == "expires: 2099-01-01T00:00:00Z"
    assert lines[5] == f"file: {hashlib.sha256(content).hexdigest()} {len(content)} model.json"


@test
def what_openssl_signed_is_imported_and_shown(folder):
    place = Place(folder)
    place.write_manifest("--model", "stump", "--version", "4")
    place.sign_with_openssl()
    answer = place.run(*place.import_signed(), require="yes")
    der = openssl("pkey", "-in", place.secret, "-pubout", "-outform", "DER").stdout
    with open(place.manifest, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    wanted = {"signer": "ops", "key_id": hashlib.sha256(der).hexdigest()[:16],
              "manifest_sha256": digest}
    assert answer["signature"] == wanted, answer["signature"]
    assert answer["version"] == "4" and answer["golden"] is None
    assert place.run("model", "show", "stump")["signature"] == wanted
    text = place.augury("model", "show", "stump", json_answer=False).stdout
    assert "signer" in text and "ops" in text, text


@test
def openssl_verifies_what_augury_signed(folder):
    place = Place(folder)
    place.write_manifest()
    assert place.run("model", "sign", place.manifest, "--key", place.secret) == ""
    public = os.path.join(place.keys, "ops.pem")
    done = openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public,
                   "-in", place.manifest, "-sigfile", place.manifest + ".sig")
    assert done.returncode == 0, done.stdout + done.stderr
    with open(place.manifest + ".sig", "rb") as file:
        ours = file.read()
    place.sign_with_openssl()
    with open(place.manifest + ".sig", "rb") as file:
        assert file.read() == ours  # Ed25519 signatures are deterministic
    assert place.run(*place.import_signed(), require="yes")["signature"]["signer"] == "ops"


@test
def an_unsigned_model_is_refused_told_or_taken_as_the_option_says(folder):
    place = Place(folder)
    words = ["model", "import", "stump", place.model]
    assert "require_signature" in place.refused(*words, require="yes")
    assert "warning" not in place.run(*words, require="no")
    answer = place.run(*words, require="warn")
    assert "signed" in answer["warning"] and answer["signature"] is None, answer


@test
def a_changed_model_manifest_or_signature_is_refused(folder):
    place = Place(folder)
    place.write_manifest()
    place.sign_with_openssl()
    shutil.copyfile(TWO_TREES, place.model)
    said = place.refused(*place.import_signed())
    assert "is not the file that was signed" in said and "under its name" in said, said
    shutil.copyfile(STUMP, place.model)
    with open(place.manifest, "rb+") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"N")
    assert "none of the 1 keys" in place.refused(*place.import_signed())
    place.write_manifest()
    place.sign_with_openssl()
    with open(place.manifest + ".sig", "rb+") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    assert "none of the 1 keys" in place.refused(*place.import_signed())
    with open(place.manifest + ".sig", "ab") as file:
        file.write(b"\n")
    assert "65 bytes" in place.refused(*place.import_signed())
    os.unlink(place.manifest + ".sig")
    assert "manifest.sig: No such file" in place.refused(*place.import_signed())
    assert place.run("model", "list") == {"models": []}


@test
def a_key_that_is_not_trusted_signs_in_vain(folder):
    place = Place(folder)
    other = place.path("other.pem")
    place.write_manifest()
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", other).returncode == 0
    place.sign_with_openssl(secret=other)
    assert "none of the 1 keys" in place.refused(*place.import_signed())
    public = os.path.join(place.keys, "new.pem")
    assert openssl("pkey", "-in", other, "-pubout", "-out", public).returncode == 0
    os.chmod(public, 0o644)
    assert place.run(*place.import_signed())["signature"]["signer"] == "new"


@test
def a_manifest_for_another_name_version_or_time_is_refused(folder):
    place = Place(folder)
    place.write_manifest("--model", "other")
    place.sign_with_openssl()
    assert 'the model "other", not for "stump"' in place.refused(*place.import_signed())
    place.write_manifest("--version", "3")
    place.sign_with_openssl()
    assert "version 3, not for 5" in place.refused(*place.import_signed("--version", "5"))
    place.write_manifest("--expires", "2020-01-31")
    place.sign_with_openssl()
    assert "expired at 2020-01-31T00:00:00" in place.refused(*place.import_signed())
    place.write_manifest()
    place.sign_with_openssl()
    said = place.refused(*place.import_signed("--features", "a"))
    assert "--features is covered by no signature" in said, said


@test
def a_schema_has_to_be_listed_too(folder):
    place = Place(folder)
    features = len(place.run("model", "import", "probe", place.model)["features"])
    schema = place.path("schema.json")
    with open(schema, "w", encoding="ascii") as file:
        json.dump({"features": [{"name": f"n{i}"} for i in range(features)]}, file)
    place.write_manifest()
    place.sign_with_openssl()
    said = place.refused(*place.import_signed("--schema", schema))
    assert "schema.json" in said and "does not list it" in said, said
    place.run("model", "manifest", place.model, schema, "--out", place.manifest)
    place.sign_with_openssl()
    answer = place.run(*place.import_signed("--schema", schema), require="yes")
    assert answer["features"][0]["name"] == "n0"


@test
def files_that_others_may_write_to_are_refused(folder):
    place = Place(folder)
    place.write_manifest()
    place.sign_with_openssl()
    places = [(place.model, 0o644), (place.manifest, 0o644), (place.manifest + ".sig", 0o644),
              (place.keys, 0o755), (os.path.join(place.keys, "ops.pem"), 0o644)]
    for path, mode in places:
        os.chmod(path, mode | 0o002)
        said = place.refused(*place.import_signed())
        assert path in said and "may be written to by everybody; chmod o-w" in said, said
        os.chmod(path, mode)
    for path, mode in places[3:]:
        os.chmod(path, mode | 0o020)
        assert "chmod g-w" in place.refused(*place.import_signed())
        os.chmod(path, mode)
    os.chmod(place.model, 0o664)  # of a group of one's own, as a umask of 002 makes it
    place.run(*place.import_signed())
    if os.geteuid() == 0:
        os.chown(place.model, 0, 54321)
        assert "written to by its group; chmod g-w" in place.refused(*place.import_signed())


@test
def a_private_key_that_others_may_read_signs_nothing(folder):
    place = Place(folder)
    place.write_manifest()
    os.chmod(place.secret, 0o640)
    assert "chmod 600" in place.refused("model", "sign", place.manifest, "--key", place.secret)
    os.chmod(place.secret, 0o600)
    said = place.refused("model", "sign", place.model, "--key", place.secret)
    assert place.model in said and "augury-manifest: 1" in said, said
    assert not os.path.exists(place.model + ".sig")
    rsa = place.path("rsa.pem")
    openssl("genpkey", "-algorithm", "rsa", "-out", rsa)
    os.chmod(rsa, 0o600)
    said = place.refused("model", "sign", place.manifest, "--key", rsa)
    assert "kind RSA, expected ED25519" in said, said


@test
def a_folder_of_keys_that_is_not_in_order_is_named(folder):
    place = Place(folder)
    place.write_manifest()
    place.sign_with_openssl()
    with open(os.path.join(place.keys, "README"), "w", encoding="ascii") as file:
        file.write("other files do not matter\n")
    place.run(*place.import_signed())
    broken = os.path.join(place.keys, "zz.pem")
    with open(broken, "w", encoding="ascii") as file:
        file.write("no key\n")
    said = place.refused(*place.import_signed())
    assert "zz.pem" in said and "PUBLIC KEY" in said, said
    os.unlink(broken)
    os.unlink(os.path.join(place.keys, "ops.pem"))
    assert "holds no key" in place.refused(*place.import_signed())
    shutil.rmtree(place.keys)
    assert "models.keys" in place.refused(*place.import_signed())


@test
def the_daemon_asks_for_signatures_too(folder):
    place = Place(folder)
    place.write_manifest()
    place.sign_with_openssl()
    daemon = harness.Daemon()
    try:
        daemon.sections["models"] = {"keys": f'"{place.keys}"', "require_signature": "yes"}
        daemon.start()
        code, text = daemon.admin(f"model import stump {place.model}")
        assert code != 0 and "require_signature" in text, (code, text)
        answer = daemon.admin_json(f"model import stump {place.model} --manifest {place.manifest}")
        assert answer["signature"]["signer"] == "ops"
        status, body = daemon.get("/api/v1/models/stump")
        assert status == 200 and json.loads(body)["signature"] == answer["signature"]
        os.chmod(place.model, 0o646)
        code, text = daemon.admin(f"model import stump {place.model} --manifest {place.manifest}")
        assert code != 0 and "chmod o-w" in text, (code, text)
        daemon.stop()
    except Exception:
        daemon.close(True)
        raise
    daemon.close(False)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(run_tests())
