#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Links each room's whole archive with the rooms below it alone: a call upwards, which links in the program, fails here.

One TAP line a room. The recipes are in src/<room>/room.am (tests_layers_link_<room>).
"""
import os
import subprocess
import sys

from rooms import ROOMS

PROGRAMS = ("app", "cli")  # floor 5: linked as programs, not archives


def make(target):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run([os.environ.get("MAKE", "make"), "-s", "--no-print-directory", target],
                          cwd=os.environ.get("AUGURY_BUILD", "."), env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def main():
    rooms = [room for room in ROOMS if room not in PROGRAMS]
    failures = 0
    print(f"1..{len(rooms)}")
    for number, room in enumerate(rooms, 1):
        target = f"tests/layers/link_{room}"
        path = os.path.join(os.environ.get("AUGURY_BUILD", "."), target)
        if os.path.exists(path):
            os.unlink(path)
        code, output = make(target)
        for line in output.splitlines() if code != 0 else []:
            print(f"# {line}")
        failures += code != 0
        print(f"{'ok' if code == 0 else 'not ok'} {number} - {room} links with the rooms below it alone", flush=True)
    return 1 if failures else 0


sys.exit(main())
