# SPDX-License-Identifier: MIT
"""Room wire against codecs that others wrote: Python's json, python3-msgpack, numpy's shortest floats, and the JSON and
UBJSON that libxgboost writes of one model. Speaks TAP. The random documents are the same in every run."""
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

CONVERT = os.path.join(os.environ.get("AUGURY_BUILD", "."), "tests/unit/wire/convert")
number = 0
failures = 0


def report(name, problems):
    global number, failures
    number += 1
    for problem in problems[:5]:
        print("#", problem.encode("ascii", "backslashreplace").decode())
    failures += bool(problems)
    print("%sok %d - %s" % ("not " if problems else "", number, name), flush=True)


def skip(name, reason):
    global number
    number += 1
    print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)


def convert(source, target, documents):
    """[(was it read, document or error)]"""
    frames = b"".join(struct.pack("<I", len(d)) + d for d in documents)
    out = subprocess.run([CONVERT, source, target], input=frames, stdout=subprocess.PIPE, check=True).stdout
    answers, at = [], 0
    while at < len(out):
        status, size = struct.unpack_from("<BI", out, at)
        answers.append((status == 0, out[at + 5:at + 5 + size]))
        at += 5 + size
    assert len(answers) == len(documents)
    return answers


def random_text(rng):
    alphabet = 'abcXYZ 019_"\\/\n\t\x00\x1f\x7fäß€漢\U0001f3c8\u2028'
    return "".join(rng.choice(alphabet) for _ in range(rng.choice((0, 1, 3, 8, 40, 300))))


def random_scalar(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice((0, 1, -1, 127, 128, -33, 255, 256, 2**31, -2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -2**63))
    if kind == 2:
        return rng.randrange(-10**rng.randrange(1, 18), 10**rng.randrange(1, 18))
    if kind in (3, 4):
        return rng.choice((0.1, 1.0, -0.0, 1e22, 5e-324, 1.7976931348623157e308, rng.uniform(-1, 1), rng.gauss(0, 1e6)))
    if kind == 5:
        bits = rng.getrandbits(64)
        value = struct.unpack("<d", struct.pack("<Q", bits))[0]
        return value if math.isfinite(value) else 0.5
    return random_text(rng)


def random_document(rng, depth=0):
    kind = rng.randrange(4) if depth < 5 else 3
    if depth == 0 or kind < 2:
        count = rng.choice((0, 1, 2, 5, 20)) if depth < 3 else rng.randrange(3)
        if rng.random() < 0.5:
            return [random_document(rng, depth + 1) for _ in range(count)]
        return {random_text(rng)[:20] + str(i): random_document(rng, depth + 1) for i in range(count)}
    return random_scalar(rng)


def same(a, b):
    """Equal in value, type and the sign of zero."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def json_is_read_as_python_reads_it(documents):
    import msgpack
    spellings = (dict(), dict(ensure_ascii=False), dict(indent=1), dict(separators=(",", ":")))
    texts = [json.dumps(d, **spellings[i % 4]).encode() for i, d in enumerate(documents)]
    problems = []
    for text, document, (fine, out) in zip(texts, documents, convert("json", "msgpack", texts)):
        if not fine or not same(msgpack.unpackb(out, strict_map_key=False), document):
            problems.append("%r gave %r" % (text[:200], out[:200]))
    return problems


def without_infinities(value):
    """As JSON has them: null. Doubles that were packed as floats may have become infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_infinities(item) for item in value]
    if isinstance(value, dict):
        return {key: without_infinities(item) for key, item in value.items()}
    return value


def msgpack_is_read_as_python_reads_it(documents):
    import msgpack
    packed = [msgpack.packb(d, use_single_float=i % 4 == 0) for i, d in enumerate(documents)]
    problems = []
    for data, (fine, out) in zip(packed, convert("msgpack", "json", packed)):
        want = without_infinities(msgpack.unpackb(data))
        got = json.loads(out) if fine else out
        if not fine or not same(got, want):
            problems.append("%r gave %r" % (data[:200], out[:200]))
    return problems


def python_reads(text):
    """(verdict, value): what Python's json makes of it, held to RFC 8259 and to our rule against double keys."""
    def pairs(items):
        if len(dict(items)) != len(items):
            raise ValueError("a key twice")
        return dict(items)

    def constant(name):
        raise ValueError(name)

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")  # no lone surrogates, no 1e999
        return True, value
    except (ValueError, RecursionError):
        return False, None


def damaged_json_is_judged_as_python_judges_it(rng, documents):
    import msgpack
    texts = []
    for document in documents * 8:
        text = bytearray(json.dumps(document, ensure_ascii=rng.random() < 0.5)[:400].encode())
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(len(text))
            text[at:at + rng.randrange(2)] = bytes([rng.choice(b'{}[]",:\\0123456789eE+-.tfnul \n\x00\xc3\xff')])
        texts.append(bytes(text[:-1] if rng.random() < 0.05 else text))
    problems, accepted = [], 0
    for text, (fine, out) in zip(texts, convert("json", "msgpack", texts)):
        verdict, value = python_reads(text)
        if fine != verdict:
            problems.append("%r: we %s, Python %s: %r" % (text, fine, verdict, out))
        elif fine:
            accepted += 1
            got = msgpack.unpackb(out, strict_map_key=False)
            if not same_but_for_huge_integers(got, value):
                problems.append("%r gave %r" % (text, got))
    print("# %d damaged texts, %d of them still JSON" % (len(texts), accepted))
    return problems


def same_but_for_huge_integers(a, b):
    """Integers beyond 64 bits are doubles with us."""
    if isinstance(b, int) and not isinstance(b, bool) and isinstance(a, float):
        return not -2**63 <= b < 2**64 and a == float(b)
    if isinstance(a, float) and a == 0 and b == 0:
        return True  # -0 without a point is an integer to Python
    if isinstance(b, list):
        return isinstance(a, list) and len(a) == len(b) and all(map(same_but_for_huge_integers, a, b))
    if isinstance(b, dict):
        return isinstance(a, dict) and list(a) == list(b) and all(same_but_for_huge_integers(a[k], b[k]) for k in b)
    return same(a, b)


def digits(text):
    return len(text.split("e")[0].replace(".", "").replace("-", "").strip("0"))


def floats_have_the_digits_of_numpy():
    import numpy
    rng = numpy.random.default_rng(7)
    bits = numpy.concatenate([
        rng.integers(1, 0x7f800000, 8000), numpy.arange(1, 255) << 23, (numpy.arange(1, 255) << 23) - 1,
        numpy.arange(1, 200), 0x7f7fffff - numpy.arange(100),
        numpy.round(rng.random(4000) * 1000, 2).astype(numpy.float32).view(numpy.uint32)]).astype(numpy.uint32)
    bits = bits[bits > 0]
    problems = []
    answers = convert("f32", "text", [struct.pack("<I", int(b)) for b in bits])
    for value, (_, out) in zip(bits.view(numpy.float32), answers):
        text = out.decode()
        want = numpy.format_float_scientific(value, unique=True, trim="-")
        if numpy.float32(text) != value or digits(text) != digits(want):
            problems.append("%s, numpy %s" % (text, want))
    return problems


def same_model(a, b):
    """JSON has the shortest digits of floats, UBJSON their bits."""
    if isinstance(a, bool) or isinstance(b, bool):
        return int(a) == int(b)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return struct.pack("<f", a) == struct.pack("<f", b) if isinstance(a, float) or isinstance(b, float) else a == b
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_model, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_model(a[k], b[k]) for k in a)
    return a == b


def the_two_forms_of_a_model_are_one_document(xgboost):
    import numpy
    rng = numpy.random.default_rng(3)
    rows = rng.normal(size=(300, 5)).astype(numpy.float32)
    rows[rng.random(rows.shape) < 0.1] = numpy.nan
    matrix = xgboost.DMatrix(rows, label=(rows[:, 0] > 0.3).astype(float), feature_names=list("abcde"))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, matrix, 8)
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("m.json", "m.ubj"):
            booster.save_model(os.path.join(folder, name))
        with open(os.path.join(folder, "m.ubj"), "rb") as file:
            fine, out = convert("ubjson", "json", [file.read()])[0]
        with open(os.path.join(folder, "m.json")) as file:
            want = json.load(file)
    if not fine:
        problems.append(out.decode())
    elif not same_model(json.loads(out), want):
        problems.append("the documents differ")
    return problems


def main():
    rng = random.Random(20)
    documents = [random_document(rng) for _ in range(600)]
    try:
        import msgpack  # noqa: F401
    except ImportError:
        print("1..0 # SKIP no python3-msgpack")
        return 0
    report("JSON is read as Python reads it", json_is_read_as_python_reads_it(documents))
    report("MessagePack is read as Python reads it", msgpack_is_read_as_python_reads_it(documents))
    report("damaged JSON is judged as Python judges it", damaged_json_is_judged_as_python_judges_it(rng, documents))
    try:
        report("floats have the digits of numpy", floats_have_the_digits_of_numpy())
    except ImportError:
        skip("floats have the digits of numpy", "no numpy")
    try:
        import xgboost
        report("a model's JSON and UBJSON are one document", the_two_forms_of_a_model_are_one_document(xgboost))
    except ImportError:
        skip("a model's JSON and UBJSON are one document", "no xgboost")
    print("1..%d" % number)
    return 1 if failures else 0


sys.exit(main())
