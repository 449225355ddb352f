# SPDX-License-Identifier: MIT
"""Tests of a program that needs no daemon: functions marked @test, each called with a temporary folder of its own.

A script imports test, Skip and run_tests, and ends with sys.exit(run_tests()). One function is one TAP line.
"""
import tempfile

tests = []


class Skip(Exception):
    """What the test needs is not here; the text says what."""


def test(function):
    tests.append(function)
    return function


def run_tests():
    """Prints TAP for every test; 1 when one failed."""
    failures = 0
    print(f"1..{len(tests)}", flush=True)
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(folder)
                print(f"ok {number} - {name}", flush=True)
            except Skip as reason:
                print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                failures += 1
                print(f"# {type(error).__name__}: {str(error)[:700]!r}")
                print(f"not ok {number} - {name}", flush=True)
    return 1 if failures else 0
