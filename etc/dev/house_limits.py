#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds C files to the sizes of the house: 70 lines a function, 800 a file, 100 columns, nesting of 4, the licence line.

usage: house_limits.py FILE…     prints path:line: what is over, exits 1 if anything is

It relies on the format that clang-format enforces: a function's braces stand alone in column 0 and a block is
indented by four spaces. A function that is one switch or table may be longer when a comment within the five lines above
it says so with the word "long:" and the reason. The rows of a table that clang-format leaves alone may be wider.
"""
import re
import sys

FUNCTION_LINES, FILE_LINES, COLUMNS, NESTING = 70, 800, 100, 4
BLOCK = re.compile(r"^( +)(?:\} else )?(?:if|for|while|switch|do|else)\b.*\{$")
LICENCE = "/* SPDX-License-Identifier: MIT */"


def functions(lines):
    """Yields (first line, last line) of each body, counted from 1."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number
            start = None


def name_of(lines, start):
    """The name of the function whose body opens at line start: the first word of the line after the return type."""
    for line in reversed(lines[max(0, start - 12):start - 1]):
        match = re.match(r"^(\w+)\(", line)
        if match:
            return match.group(1)
    return "function"


def may_be_long(lines, start):
    return any("long:" in line for line in lines[max(0, start - 8):start])


def nesting(line):
    match = BLOCK.match(line)
    return len(match.group(1)) // 4 if match else 0


def faults(path):
    with open(path, encoding="utf-8") as source:
        lines = source.read().split("\n")
    if lines[0] != LICENCE:
        yield 1, f"the first line is not {LICENCE}"
    if len(lines) - 1 > FILE_LINES:
        yield FILE_LINES, f"{len(lines) - 1} lines in one file (limit {FILE_LINES})"
    in_table = False
    for number, line in enumerate(lines, 1):
        in_table = "clang-format off" in line or (in_table and "clang-format on" not in line)
        if len(line) > COLUMNS and not in_table:
            yield number, f"{len(line)} columns (limit {COLUMNS})"
    for start, end in functions(lines):
        if end - start + 1 > FUNCTION_LINES and not may_be_long(lines, start):
            yield start, f"{name_of(lines, start)}() has {end - start + 1} lines (limit {FUNCTION_LINES})"
        deepest = max((nesting(line) for line in lines[start:end]), default=0)
        if deepest > NESTING:
            yield start, f"{name_of(lines, start)}() nests {deepest} deep (limit {NESTING})"


def main():
    count = 0
    for path in sys.argv[1:]:
        for number, fault in faults(path):
            print(f"{path}:{number}: {fault}")
            count += 1
    return 1 if count else 0


sys.exit(main())
