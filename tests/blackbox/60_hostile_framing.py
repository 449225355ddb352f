#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Bytes that are no HTTP, or HTTP that another server could read in another way: one clear refusal, and the connection ends;
nothing behind the refused bytes is ever answered."""
import random

import harness
from harness import check, equal
from siege import PREDICT, read_answer, siege

BODY = b'{"features":{}}'
LINE = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\n"
HEAD = LINE + b"Host: x\r\n"
GOOD = HEAD + b"Content-Length: 15\r\n\r\n" + BODY
# What a smuggler would like to have answered.
SECOND = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def head(*fields):
    return HEAD + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
# (status, code, bytes)
REFUSED = (
    # other protocols
    (400, "bad_request_line", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
    (505, "bad_version", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (400, "bad_request_line", b"SSH-2.0-OpenSSH_9.2\r\n"),
    (400, "bad_request_line", b"\0" * 1000000),
    (400, "bad_request_line", b"get / http/1.1\r\n\r\n"),
    (400, "bad_request_line", b"GET /\r\n\r\n"),
    (400, "bad_request_line", b"\r\n\r\n\r\n" + GOOD),
    (400, "bad_request_line", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_request_line", b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_request_line", b"GET / HTTP/1.1 x\r\nHost: x\r\n\r\n"),
    (505, "bad_version", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    (505, "bad_version", b"GET / HTTP/3\r\nHost: x\r\n\r\n"),
    (501, "unknown_method", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    (501, "unknown_method", b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (501, "unknown_method", b"A" * 20 + b" / HTTP/1.1\r\nHost: x\r\n\r\n"),
    # targets
    (400, "bad_target", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_target", b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_target", b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_target", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "bad_target", b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
    (414, "target_too_long", b"GET /" + b"a" * 10000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    # Host
    (400, "bad_host", b"GET / HTTP/1.1\r\n\r\n"),
    (400, "bad_host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, "bad_host", b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "duplicate_field", head(b"Host: x")),
    # field lines
    (400, "bad_field", head(b"Content-Length : 15")),
    (400, "bad_field", head(b"X: a", b" folded")),
    (400, "bad_field", head(b": empty")),
    (400, "bad_field", head(b"no colon")),
    (400, "bad_field", head(b"X: a\0b")),
    (400, "bad_field", head(b"X: a\rContent-Length: 3")),
    (400, "bad_line_end", HEAD + b"X: a\nContent-Length: 3\r\n\r\n"),
    (400, "bad_line_end", LINE[:-2] + b"\nHost: x\n\n"),
    (431, "head_too_large", HEAD + b"X: " + b"a" * 10000000),
    (431, "too_many_fields", HEAD + b"X: a\r\n" * 1000000),
    (431, "too_many_fields", head(*[b"X: a"] * 200)),
    # two ways to read where the body ends
    (400, "bad_framing", head(b"Content-Length: 15", CHUNKED) + b"0\r\n\r\n" + SECOND),
    (400, "bad_framing", head(CHUNKED, b"Content-Length: 15") + b"0\r\n\r\n" + SECOND),
    (400, "duplicate_field", head(b"Content-Length: 15", b"Content-Length: 15") + BODY),
    (400, "duplicate_field", head(b"Content-Length: 15", b"content-length: 0") + BODY + SECOND),
    (400, "bad_framing", head(b"Content-Length: 15, 15") + BODY),
    (400, "bad_framing", head(b"Content-Length: +15") + BODY),
    (400, "bad_framing", head(b"Content-Length: -15") + BODY),
    (400, "bad_framing", head(b"Content-Length: 0x0f") + BODY),
    (400, "bad_framing", head(b"Content-Length: 15 0") + BODY),
    (400, "bad_framing", head(b"Content-Length:") + BODY),
    (400, "bad_framing", head(b"Content-Length: 18446744073709551631") + BODY),
    (413, "body_too_large", head(b"Content-Length: 18446744073709551615") + BODY),
    (413, "body_too_large", head(b"Content-Length: 10000000") + b"[" * 10000000),
    (400, "duplicate_field", head(CHUNKED, CHUNKED) + b"0\r\n\r\n" + SECOND),
    (501, "unknown_transfer_coding", head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n"),
    (501, "unknown_transfer_coding", head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    (400, "bad_framing", head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + SECOND),
    (400, "bad_framing", head(b"Transfer-Encoding: identity") + BODY),
    (400, "bad_framing", head(b"Transfer-Encoding: \x0bchunked".replace(b"\x0b", b"\"")) + b"0\r\n\r\n"),
    (400, "bad_field", head(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n" + SECOND),
    (400, "bad_framing", b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n"),
    # chunks
    (400, "bad_chunk", head(CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"+5\r\nhello\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"\r\nhello\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"5 \r\nhello\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"5\nhello\n0\n\n" + SECOND),
    (400, "bad_chunk", head(CHUNKED) + b"5\r\nhelloX\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    (400, "bad_chunk", head(CHUNKED) + b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n"),
    (413, "body_too_large", head(CHUNKED) + b"ffffffffffffffff\r\n" + b"a" * 1000),
    (413, "body_too_large", head(CHUNKED) + (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 160),
    (413, "body_too_large", head(CHUNKED) + b"1\r\na\r\n" * 1100000),
    (431, "trailers_too_large", head(CHUNKED) + b"0\r\n" + b"X: a\r\n" * 100000),
    (431, "trailers_too_large", head(CHUNKED) + (b"1;" + b"a" * 250 + b"\r\nx\r\n") * 1000),
    (400, "bad_field", head(CHUNKED) + b"0\r\nX : a\r\n\r\n" + SECOND),
    # expectations
    (417, "bad_expectation", head(b"Content-Length: 15", b"Expect: 200-ok") + BODY),
    (413, "body_too_large", head(b"Content-Length: 10000000", b"Expect: 100-continue")),
)


def refused_total(daemon):
    return sum(value for name, value in daemon.metrics().items() if name.startswith("augury_http_refused_total"))


def test_each_form_is_refused_and_nothing_behind_it_is_answered(daemon):
    with siege(daemon) as target:
        before = refused_total(daemon)
        for status, code, data in REFUSED:
            target.refused_raw(status, code, data)
        equal(refused_total(daemon) - before, len(REFUSED), "refused requests")


def test_after_a_refusal_the_connection_is_silent(daemon):
    with siege(daemon) as target:
        for _, _, data in REFUSED:
            if not data.endswith(SECOND):
                continue
            with target.connect() as connection:
                connection.sendall(data)
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                equal(answer.count(b"HTTP/1.1 "), 1, data)
                check(b"augury_http" not in answer, data)


def test_a_head_cut_into_bytes_is_the_same_head(daemon):
    with siege(daemon) as target:
        with target.connect() as connection:
            for i in range(len(GOOD)):
                connection.sendall(GOOD[i:i + 1])
            equal(read_answer(connection)[0], 200)
            connection.sendall(head(CHUNKED) + b"0;a=\"b\"\r\nTrailer: x\r\n\r\n")
            equal(read_answer(connection)[0], 400)  # an empty body, well framed: the connection goes on
            connection.sendall(b"\r\n" + GOOD)  # RFC 9112 2.2: one empty line before a request
            equal(read_answer(connection)[0], 200)


def test_garbage_of_every_kind_ends_in_a_refusal(daemon):
    """A megabyte of random bytes, and good requests with some bytes changed."""
    numbers = random.Random(20261120)
    with siege(daemon) as target:
        for seed in range(8):
            first = bytes([seed * 29 + 1])
            answer = target.raw(first + numbers.randbytes(1000000))
            check(answer is None or 400 <= answer[0] <= 505, answer)
        statuses = set()
        for _ in range(600):
            data = bytearray(GOOD)
            for _ in range(numbers.randint(1, 4)):
                data[numbers.randrange(len(data))] = numbers.choice(b"\0\r\n :;,/\xff0159azAZ\"{}[]")
            answer = target.raw(bytes(data), shut=True)
            if answer is not None:
                statuses.add(answer[0])
        check({200, 400, 404, 501} <= statuses <= {200, 400, 404, 405, 413, 414, 415, 417, 501, 505}, statuses)


harness.run(globals())
