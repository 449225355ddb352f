# SPDX-License-Identifier: MIT
"""A daemon for which looking at some files takes long: a shared library, made here and loaded before the others, lets
fstatat() wait when the file's name begins with "slow". Nothing in the daemon knows of it."""
import os
import shutil
import subprocess

import harness

CODE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int fstatat(int at, const char *restrict name, struct stat *restrict status, int flags)
{
    struct timespec pause = {DELAY_MS / 1000, DELAY_MS % 1000 * 1000000L};
    if (strncmp(name, "slow", 4) == 0)
        nanosleep(&pause, 0);
    return (int)syscall(SYS_newfstatat, at, name, status, flags);
}
"""


def start(daemon, delay_ms):
    """As daemon.start(); skips the test where there is no compiler, or a sanitizer that wants to be first."""
    compiler = shutil.which("cc")
    with open(harness.AUGURYD, "rb") as program:
        is_instrumented = b"__asan_init" in (bytes_of := program.read()) or b"__tsan_init" in bytes_of
    if compiler is None or is_instrumented:
        raise harness.Skip("needs cc and a build without sanitizers")
    library = os.path.join(daemon.dir, "slow.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O", f"-DDELAY_MS={delay_ms}", "-x", "c", "-", "-o", library],
                   input=CODE, text=True, check=True)
    os.environ["LD_PRELOAD"] = library
    try:
        return daemon.start()
    finally:
        del os.environ["LD_PRELOAD"]
