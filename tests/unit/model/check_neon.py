#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiles test_batch.c and the kernels for arm64 and runs it under qemu's user emulation.

Usage: check_neon.py SOURCES. Skips, with the reason, where the cross compiler or qemu is not there.
Only what a compiled model needs is linked: no importer, no registry, no library but libc.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

PARTS = """
    batch_check batch_plain batch_plan blob_check blob_compile blob_parts calibration
    contributions_plan kernel_batch kernel_batch_neon kernel_batch_plain kernel_choice
    kernel_dense kernel_inputs kernel_linear kernel_list_arm64 kernel_pack8 kernel_scorecard
    kernel_row_plain kernel_wide kernel_wide8 model neutral neutral_parts rank_check
    rank_plan rank_row walk_check walk_plan walk_sums
""".split()
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-funroll-loops", "-ffp-contract=off",
         "-Wall", "-Wextra", "-static"]


def skip(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(0)


def main():
    top = sys.argv[1]
    compiler = os.environ.get("CC_ARM64") or shutil.which("aarch64-linux-gnu-gcc")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not compiler:
        skip("no aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)")
    if not emulator:
        skip("no qemu-aarch64 (Debian: qemu-user-static)")
    sources = [os.path.join(top, "tests/unit/model/test_batch.c")]
    sources += [os.path.join(top, "src/model", part + ".c") for part in PARTS]
    sources += sorted(glob.glob(os.path.join(top, "src/base/*.c")))
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "test_batch")
        subprocess.run([compiler, *FLAGS, "-I" + os.path.join(top, "include"), "-o", program,
                        *sources, "-lm"], check=True)
        sys.exit(subprocess.run([emulator, program], check=False).returncode)


if __name__ == "__main__":
    main()
