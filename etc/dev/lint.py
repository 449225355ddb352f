#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Everything "make lint" runs: clang-format, the house limits, clang-tidy, cppcheck, shellcheck.

usage: lint.py --source DIR --build DIR [--only STEP] [FILE…]     exits 1 on any finding

clang-tidy is the slow one: files are checked in parallel, and a file that was clean is not checked again until it, a
header of ours or the list of checks changes (BUILD/lint-clean keeps their digests).
"""
import argparse
import concurrent.futures
import glob
import hashlib
import os
import platform
import shutil
import subprocess
import sys

FOLDERS = ("include", "src", "tests")
SCRIPTS = ("bootstrap", ".ci/run", "etc/augury.init")
MODULES = ("libxxhash", "lmdb", "yyjson", "msgpack", "libdeflate", "libconfuse", "libevent_core", "hiredis", "libcrypto", "libssl")
# What configure puts on the command line; the values do not matter here.
DEFINES = ["-D_GNU_SOURCE", '-DPACKAGE_NAME="x"', '-DPACKAGE_VERSION="x"', '-DAUGURY_CONF_FILE="x"',
           '-DAUGURY_BUILT_WITH="x"']
# Tests trust what they set up; the path-sensitive analyser is spent on the product.
TEST_CHECKS = "--checks=-clang-analyzer-*"


def run(command, folder):
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def c_files(source):
    found = []
    for folder in FOLDERS:
        for pattern in ("**/*.c", "**/*.h"):
            found += glob.glob(os.path.join(source, folder, pattern), recursive=True)
    return sorted(os.path.relpath(path, source) for path in found)


class Lint:
    def __init__(self, source, build, files):
        self.source, self.build = os.path.abspath(source), os.path.abspath(build)
        self.headers = [path for path in c_files(self.source) if path.endswith(".h")]
        self.files = files or c_files(self.source)
        self.jobs = len(os.sched_getaffinity(0))
        self.failures = 0

    def step(self, name, tool, action):
        if shutil.which(tool) is None:
            print(f"==> {name}: {tool} is not installed (./bootstrap deps installs it)")
            self.failures += 1
            return
        print(f"==> {name}", flush=True)
        self.failures += action() != 0

    def report(self, code, output):
        if code != 0:
            print(output.rstrip())
        return code

    def format(self):
        style = "--style=file:" + os.path.join(self.source, "etc/dev/clang-format")
        return self.report(*run(["clang-format", style, "--dry-run", "--Werror"] + self.files, self.source))

    def limits(self):
        script = os.path.join(self.source, "etc/dev/house_limits.py")
        return self.report(*run([sys.executable, script] + self.files, self.source))

    def flags(self):
        flags = ["-std=gnu11"] + DEFINES + ["-Iinclude", "-include", "src/base/banned.h"]
        for module in MODULES:
            code, output = run(["pkg-config", "--cflags", module], self.source)
            flags += output.split() if code == 0 else []
        return flags

    def digest(self, path, common):
        digest = hashlib.sha256(common)
        with open(os.path.join(self.source, path), "rb") as source:
            digest.update(source.read())
        return digest.hexdigest()

    def common_digest(self):
        digest = hashlib.sha256()
        for path in self.headers + ["etc/dev/analyser.h", "etc/dev/clang-tidy", "etc/dev/lint.py"]:
            with open(os.path.join(self.source, path), "rb") as source:
                digest.update(source.read())
        return digest.digest()

    def tidy_one(self, path, flags):
        checks = [TEST_CHECKS] if path.startswith("tests/") else []
        if path.startswith("src/") and path != "src/base/err.c":
            flags = flags + ["-include", "etc/dev/analyser.h"]
        config = "--config-file=" + os.path.join(self.source, "etc/dev/clang-tidy")
        code, output = run(["clang-tidy", "--quiet", config] + checks + [path, "--"] + flags, self.source)
        # The analyser tells each step of its path; the finding itself is enough here. Run clang-tidy by hand for more.
        found = [line.replace(self.source + os.sep, "") for line in output.splitlines() if ": error:" in line]
        return code, "\n".join(found) or output

    def tidy(self):
        clean = os.path.join(self.build, "lint-clean")
        os.makedirs(clean, exist_ok=True)
        common, flags, worst, waiting = self.common_digest(), self.flags(), 0, {}
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            # What is written for arm64 has headers that this machine lacks.
            here = [path for path in self.files if not path.endswith("_neon.c") or platform.machine() == "aarch64"]
            for path in [path for path in here if path.endswith(".c")]:
                mark = os.path.join(clean, self.digest(path, common))
                if not os.path.exists(mark):
                    waiting[pool.submit(self.tidy_one, path, flags)] = mark
            for future in concurrent.futures.as_completed(waiting):
                code, output = future.result()
                worst = max(worst, self.report(code, output))
                if code == 0:
                    with open(waiting[future], "w", encoding="ascii"):
                        pass
        return worst

    def cppcheck(self):
        state = os.path.join(self.build, "lint-cppcheck")
        os.makedirs(state, exist_ok=True)
        command = ["cppcheck", "--quiet", "--std=c11", "--library=posix", "--enable=warning,performance,portability",
                   "--inline-suppr", "--error-exitcode=1", f"-j{self.jobs}", f"--cppcheck-build-dir={state}",
                   "--suppress=missingIncludeSystem",
                   # It cannot read hexadecimal floating constants and takes them for 0.
                   "--suppress=incorrectLogicOperator",
                   # It thinks that mmap() takes no -1 for "no file".
                   "--suppress=invalidFunctionArg",
                   # Rows and margins are bytes that are numbers of one precision or the other.
                   "--suppress=invalidPointerCast",
                   # readdir_r() is deprecated; a folder is read by one thread.
                   "--suppress=readdirCalled",
                   # It follows calls into other files but not what their arguments were set to.
                   "--suppress=ctuuninitvar", "-D__x86_64__", *DEFINES, "-Iinclude", "--template=gcc"]
        product = [path for path in self.files if path.endswith(".c") and path.startswith("src/")]
        return self.report(*run(command + product, self.source)) if product else 0

    def shellcheck(self):
        scripts = [path for path in SCRIPTS if os.path.exists(os.path.join(self.source, path))]
        return self.report(*run(["shellcheck", "-x"] + scripts, self.source))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", choices=["format", "limits", "tidy", "cppcheck", "shellcheck"])
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    lint = Lint(args.source, args.build, args.files)
    steps = [
        ("format", "format", "clang-format", lint.format),
        ("limits", "limits of the house", "python3", lint.limits),
        ("shellcheck", "shell scripts", "shellcheck", lint.shellcheck),
        ("cppcheck", "cppcheck", "cppcheck", lint.cppcheck),
        ("tidy", "clang-tidy", "clang-tidy", lint.tidy),
    ]
    for key, name, tool, action in steps:
        if args.only in (None, key):
            lint.step(name, tool, action)
    print("lint: clean" if lint.failures == 0 else f"lint: {lint.failures} steps found something")
    return 1 if lint.failures else 0


sys.exit(main())
