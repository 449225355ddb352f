#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Documents that repeat what the code knows: the options in the man page and in docs/configuration.md are those of
conf's table, the routes in docs/protocol.md those of the table of routes; links between documents lead somewhere; the manual pages are clean.

With --write ("make update-docs") it rewrites the parts between the markers instead of comparing them.
"""
import os
import re
import shutil
import subprocess
import sys

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", ".")
GENERATED = [
    ("docs/man/augury.conf.5", ["put_conf", "mdoc"], '.\\" options: begin\n', '.\\" options: end\n'),
    ("docs/configuration.md", ["put_conf", "markdown"], "<!-- options: begin -->\n", "<!-- options: end -->\n"),
    ("docs/protocol.md", ["put_routes"], "<!-- routes: begin -->\n", "<!-- routes: end -->\n"),
]
PAGES = ["docs/man/auguryd.8", "docs/man/augury.1", "docs/man/augury.conf.5", "docs/man/libaugury.3"]


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as document:
        return document.read()


def table(program, *words):
    return subprocess.run([os.path.join(BUILD, "tests/docs", program), *words], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def with_table(path, command, begin, end):
    """The document as it should be."""
    head, rest = read(path).split(begin)
    return head + begin + table(*command) + end + rest.split(end)[1]


def faults_of_table(path, command, begin, end):
    if read(path) != with_table(path, command, begin, end):
        yield f"{path} is not what the table says: make update-docs"


def faults_of_links():
    documents = ["README.md"]
    for folder, _, names in os.walk(os.path.join(SOURCE, "docs")):
        documents += [os.path.relpath(os.path.join(folder, name), SOURCE) for name in names if name.endswith(".md")]
    for path in sorted(documents):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(path)):
            if "://" not in target and not os.path.exists(os.path.join(SOURCE, os.path.dirname(path), target)):
                yield f"{path}: {target} does not exist"


def faults_of_page(path):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(SOURCE, path)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.splitlines()


def main():
    if "--write" in sys.argv:
        for path, command, begin, end in GENERATED:
            text = with_table(path, command, begin, end)
            with open(os.path.join(SOURCE, path), "w", encoding="utf-8") as document:
                document.write(text)
        return 0
    results = []

    def report(name, faults):
        results.append(not faults)
        for fault in faults:
            print(f"# {fault}")
        print(f"{'not ok' if faults else 'ok'} {len(results)} - {name}")

    for path, command, begin, end in GENERATED:
        report(f"what {path} lists is the table's", list(faults_of_table(path, command, begin, end)))
    report("links between documents lead to files", list(faults_of_links()))
    for path in PAGES:
        if shutil.which("mandoc") is None:
            results.append(True)
            print(f"ok {len(results)} - {path} is clean # SKIP mandoc is not installed")
        else:
            report(f"{path} is clean", faults_of_page(path))
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
