#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds every #include against the table of rooms (rooms.py) and every room's README against its fixed headings."""
import os
import re
import sys
import tempfile

from rooms import README_HEADINGS, ROOMS, SYSTEM_FOLDERS, SYSTEM_HEADERS, room_of_header

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
SOURCES = (".c", ".h", ".def", ".inc")


def files_below(folder):
    for path, folders, names in sorted(os.walk(folder)):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SOURCES):
                yield os.path.join(path, name)


def includes_of(path):
    """Yields (line, is_system, name) of each include."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1) == "<", match.group(2)


def library_owner(name):
    for room, (_, _, libraries) in ROOMS.items():
        if any(name == library or (library.endswith("/") and name.startswith(library)) for library in libraries):
            return room
    return None


def fault_of_system(room, name):
    owner = library_owner(name)
    if owner is not None:
        return None if owner == room else f"<{name}> belongs to the room {owner}"
    if name in SYSTEM_HEADERS or name.startswith(SYSTEM_FOLDERS):
        return None
    return f"<{name}> is neither libc's nor listed for a room in tests/layers/rooms.py"


def fault_of_public(room, name):
    header = name[len("augury/"):]
    owner = room_of_header(header)
    if owner is None:
        return f'"{name}" belongs to no room in tests/layers/rooms.py'
    if owner == room or ROOMS[owner][0] < ROOMS[room][0]:
        return None
    return f"{room} (floor {ROOMS[room][0]}) may not use {owner} (floor {ROOMS[owner][0]})"


def fault_of_private(folder, path, name):
    target = os.path.realpath(os.path.join(os.path.dirname(path), name))
    if not target.startswith(os.path.realpath(folder) + os.sep):
        return f'"{name}" is outside the room'
    return None if os.path.exists(target) else f'"{name}" is not in the room'


def faults_of_room(root, room):
    """Every include of the room's sources and public headers that breaks a rule, as lines of text."""
    folder = os.path.join(root, "src", room)
    public = [os.path.join(root, "include", "augury", name) for name in ROOMS[room][1]]
    for path in list(files_below(folder)) + public:
        for line, is_system, name in includes_of(path):
            if is_system:
                fault = fault_of_system(room, name)
                if fault is None and path in public and library_owner(name) is not None:
                    fault = f"<{name}>: a library stays out of public headers"
            elif name.startswith("augury/"):
                fault = fault_of_public(room, name)
            else:
                fault = fault_of_private(folder, path, name)
            if fault is not None:
                yield f"{os.path.relpath(path, root)}:{line}: {fault}"


def faults_of_tests(root, room):
    """Unit tests of a room see what the room may see, and the private headers of that room alone."""
    tests = os.path.join(root, "tests")
    folder = os.path.join(tests, "unit", room)
    for path in files_below(folder):
        for line, is_system, name in includes_of(path):
            fault = None
            if not is_system and name.startswith("augury/"):
                fault = fault_of_public(room, name)
            elif not is_system:
                fault = fault_of_private(tests, path, name)
                if fault is not None:
                    fault = fault_of_private(os.path.join(root, "src", room), path, name)
            if fault is not None:
                yield f"{os.path.relpath(path, root)}:{line}: {fault}"


def faults_of_folders(root):
    found = {name for name in os.listdir(os.path.join(root, "src")) if os.path.isdir(os.path.join(root, "src", name))}
    headers = set(os.listdir(os.path.join(root, "include", "augury")))
    listed = {name for room in ROOMS for name in ROOMS[room][1]}
    for name in sorted(found - set(ROOMS)):
        yield f"src/{name} is not in the table of rooms"
    for name in sorted(headers - listed):
        yield f"include/augury/{name} belongs to no room"


def faults_of_readme(root, room):
    path = os.path.join(root, "src", room, "README.md")
    if not os.path.exists(path):
        yield f"src/{room}/README.md is missing"
        return
    with open(path, encoding="utf-8") as readme:
        headings = re.findall(r"^#+[ \t]+(.+?)[ \t]*$", readme.read(), re.M)
    wanted = [heading for heading in headings if heading in README_HEADINGS]
    if wanted != README_HEADINGS:
        yield f"src/{room}/README.md: the headings are {wanted}, want {README_HEADINGS}"


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def faults_of_planted_tree():
    """The checks over a small tree with known faults; the answer is what they find."""
    with tempfile.TemporaryDirectory() as root:
        for room in ROOMS:
            for header in ROOMS[room][1]:
                write(root, f"include/augury/{header}", "#pragma once\n")
            write(root, f"src/{room}/{room}.c", '#include <string.h>\n#include "augury/base.h"\n')
        write(root, "src/net/private.h", "#pragma once\n")
        write(root, "src/net/good.c", '#include "augury/http.h"\n#include "private.h"\n#include <event2/event.h>\n')
        write(root, "src/net/up.c", '#include "augury/predict.h"\n')
        write(root, "src/net/beside.c", '#include "augury/cache.h"\n')
        write(root, "src/net/foreign.c", "#include <lmdb.h>\n")
        write(root, "src/net/unknown.c", "#include <curl/curl.h>\n")
        write(root, "src/net/absent.c", '#include "config.h"\n')
        write(root, "src/model/peek.c", '#include "../net/private.h"\n')
        write(root, "include/augury/wire.h", "#include <yyjson.h>\n")
        return sorted(
            fault.split(":")[0] for room in ROOMS for fault in faults_of_room(root, room)
        )


PLANTED = [
    "include/augury/wire.h",
    "src/model/peek.c",
    "src/net/absent.c",
    "src/net/beside.c",
    "src/net/foreign.c",
    "src/net/unknown.c",
    "src/net/up.c",
]


def main():
    root = os.environ.get("AUGURY_SOURCE", ".")
    results = []

    def report(name, faults):
        results.append(not faults)
        for fault in faults:
            print(f"# {fault}")
        print(f"{'not ok' if faults else 'ok'} {len(results)} - {name}")

    found = faults_of_planted_tree()
    report("the check finds each planted fault and no other",
           [] if found == PLANTED else [f"found {found}", f"want  {PLANTED}"])
    report("every folder of src and every public header belongs to a room", list(faults_of_folders(root)))
    for room in ROOMS:
        report(f"{room} includes lower floors and itself only", list(faults_of_room(root, room)))
        report(f"the tests of {room} include what {room} may", list(faults_of_tests(root, room)))
        report(f"the README of {room} has the fixed headings", list(faults_of_readme(root, room)))
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
