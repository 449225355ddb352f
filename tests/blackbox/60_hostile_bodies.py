#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hostile bodies, types and names: each is refused with a status, a code, a reason and the place, and nothing else happens."""
import harness
from harness import equal
from siege import PREDICT, siege

MSGPACK = {"Content_Type": "application/msgpack", "Accept": "application/json"}
F = b"\xa8features"
E_ACUTE = "é".encode()

# (status, code, words of the reason, at or None, body)
JSON = (
    # what is no document
    (400, "invalid_request", "the body is empty", "", b""),
    (400, "invalid_json", "empty", "byte 0", b" \r\n\t "),
    (400, "invalid_json", "unexpected end", "byte 1000000", b"[" * 1000000),
    (400, "invalid_json", "unexpected end", "byte 750000", b'{"a":' * 150000),
    (413, "too_deep", "32 levels", "byte 32", b"[" * 100000 + b"]" * 100000),
    (413, "too_deep", "32 levels", "byte 160", b'{"a":' * 100000 + b"1" + b"}" * 100000),
    (413, "too_deep", "32 levels", None, b'{"features":{"down":' + b"[" * 40 + b"]" * 40 + b"}}"),
    (400, "invalid_json", "byte order mark", "byte 0", b'\xef\xbb\xbf{"features":{}}'),
    (400, "invalid_json", "UTF-8", "byte 14", b'{"features":{"\xff":1}}'),
    (400, "invalid_json", "UTF-8", None, b'{"features":{"down":"\xed\xa0\x80"}}'),
    (400, "invalid_json", "UTF-8", None, b'{"features":{"down":"\xc0\x80"}}'),
    (400, "invalid_json", "surrogate", "byte 20", b'{"features":{"\\ud800":1}}'),
    (400, "invalid_json", "surrogate", None, b'{"features":{"down":"\\udc00"}}'),
    (400, "invalid_json", "0x00", "byte 23", b'{"features":{"down":1}}\0'),
    (400, "invalid_json", "control character", "byte 16", b'{"features":{"do\0wn":1}}'),
    (400, "invalid_json", "content after", "byte 16", b'{"features":{}} {}'),
    (400, "invalid_json", "trailing comma", "byte 14", b'{"features":{},}'),
    (400, "invalid_json", "'/'", "byte 14", b'{"features":{}/*x*/}'),
    (400, "invalid_json", "object key", "byte 1", b"{'features':{}}"),
    (400, "invalid_json", "escaped", None, b'{"features":{"\\x":1}}'),
    (400, "invalid_json", '"down" is in the object twice', "byte 22", b'{"features":{"down":1,"down":2}}'),
    (400, "invalid_json", '"features" is in the object twice', "byte 15", b'{"features":{},"features":{}}'),
    (400, "invalid_json", "twice", None, b'{"features":{' + b",".join(b'"k%d":1' % (i % 65535) for i in range(65536)) + b"}}"),
    (400, "invalid_json", "too large for a double", "byte 20", b'{"features":{"down":1e999999}}'),
    (400, "invalid_json", "too large for a double", "byte 20", b'{"features":{"down":-1e309}}'),
    (400, "invalid_json", "too large for a double", "byte 20", b'{"features":{"down":' + b"1" * 1000000 + b"}}"),
    (400, "invalid_json", "", None, b'{"features":{"down":0x10}}'),
    (400, "invalid_json", "", None, b'{"features":{"down":01}}'),
    (400, "invalid_json", "", None, b"PK\x03\x04" + bytes(range(256)) * 100),
    # a document that is no request
    (400, "invalid_request", "got null", "", b"null"),
    (400, "invalid_request", "got a string", "", b'"features"'),
    (400, "invalid_request", "got an array", "", b"[]"),
    (400, "invalid_request", "exactly one of", "", b"{}"),
    (400, "invalid_request", "exactly one of", "", b'{"features":{},"rows":[]}'),
    (400, "invalid_request", "exactly one of", "", b'{"columns":["down"]}'),
    (400, "unknown_option", 'did you mean "outputs"?', "output", b'{"features":{},"output":"margin"}'),
    (400, "unknown_option", "no member", None, b'{"features":{},"' + E_ACUTE * 5000 + b'":1}'),
    (400, "invalid_request", "expected an object, got null", "features", b'{"features":null}'),
    (400, "invalid_request", "expected an object, got an array", "features", b'{"features":[1]}'),
    (400, "invalid_request", "expected an array of objects, got an object", "rows", b'{"rows":{}}'),
    (400, "invalid_request", "got a number", "rows[0]", b'{"rows":[1]}'),
    (400, "invalid_request", "got null", "rows[1]", b'{"rows":[{},null]}'),
    (400, "invalid_request", "expected an array of arrays, got an object", "data", b'{"data":{}}'),
    (400, "invalid_request", "expected an array of values, got an object", "data[0]", b'{"data":[{}]}'),
    (400, "invalid_request", "expected an array of names, got an object", "columns", b'{"columns":{},"data":[[1]]}'),
    (400, "invalid_request", "got a number", "columns[0]", b'{"columns":[1],"data":[[1]]}'),
    (400, "invalid_request", "expected names", "outputs", b'{"features":{},"outputs":1}'),
    (400, "invalid_request", "expected names", "outputs", b'{"features":{},"outputs":[]}'),
    (400, "invalid_request", "expected names", "outputs", b'{"features":{},"outputs":["margin",1]}'),
    (400, "no_such_output", 'no output "x"', "outputs", b'{"features":{},"outputs":["x"]}'),
    (400, "no_such_output", 'no output ""', "outputs", b'{"features":{},"outputs":"margin,"}'),
    (400, "invalid_request", "expected true or false, got a number", "use_cache", b'{"features":{},"use_cache":1}'),
    (400, "invalid_request", "expected true or false, got a string", "ignore_unknown", b'{"features":{},"ignore_unknown":"yes"}'),
    # a request that does not fit the model
    (400, "invalid_shape", "2 values, but there are 11 columns", "data[0]", b'{"data":[[1,2]]}'),
    (400, "invalid_shape", "1 values, but there are 2", "data[1]", b'{"columns":["down","home"],"data":[[1,2],[1]]}'),
    (400, "invalid_shape", "3 values, but there are 2", "data[1]", b'{"columns":["down","home"],"data":[[1,2],[1,2,3]]}'),
    (400, "invalid_shape", "500000 values", "data[0]", b'{"data":[[' + b",".join([b"1"] * 500000) + b"]]}"),
    (400, "duplicate_feature", "named twice", "columns[1]", b'{"columns":["down","down"],"data":[[1,2]]}'),
    (400, "unknown_feature", 'did you mean "down"?', "columns[0]", b'{"columns":["dwon"],"data":[[1]]}'),
    (400, "unknown_feature", '"k0"', "features.k0", b'{"features":{' + b",".join(b'"k%d":1' % i for i in range(65000)) + b"}}"),
    (400, "unknown_feature", "has no feature", None, b'{"features":{"x' + E_ACUTE * 5000 + b'":1}}'),
    (400, "unknown_feature", "has no feature", None, b'{"features":{"down\\u0000":1}}'),
    (400, "invalid_feature", 'expected a number, got "seven"', "rows[3].ydstogo", b'{"rows":[{},{},{},{"ydstogo":"seven"}]}'),
    (400, "invalid_feature", 'expected a number, got "NaN"', "features.down", b'{"features":{"down":"NaN"}}'),
    (400, "invalid_feature", "got an array", "features.down", b'{"features":{"down":[3]}}'),
    (400, "invalid_feature", "got an object", "data[0][10]", b'{"data":[[1,2,3,4,5,6,7,8,9,10,{}]]}'),
    (400, "invalid_feature", "does not fit a float32", "features.down", b'{"features":{"down":1e39}}'),
    (400, "invalid_feature", "does not fit a float32", "features.down", b'{"features":{"down":' + b"9" * 300 + b"}}"),
    (400, "invalid_feature", "expected a number", "features.down", b'{"features":{"down":"x' + E_ACUTE * 5000 + b'"}}'),
    (413, "too_many_rows", "16385 rows", "rows", b'{"rows":[' + b",".join([b"{}"] * 16385) + b"]}"),
    (413, "too_many_rows", "16385 rows", "data", b'{"data":[' + b",".join([b"[]"] * 16385) + b"]}"),
)

PACKED = (
    (400, "invalid_msgpack", "more items than the document has bytes", "byte 4", b"\xdd\xff\xff\xff\xff"),
    (400, "invalid_msgpack", "more items than the document has bytes", "byte 4", b"\xdf\xff\xff\xff\xff"),
    (400, "invalid_msgpack", "more items than the document has bytes", None, b"\x81\xa4rows\xdd\xff\xff\xff\xff"),
    (400, "invalid_msgpack", "ends in the middle", None, b"\xc6\xff\xff\xff\xff"),
    (400, "invalid_msgpack", "ends in the middle", None, b"\xdb\xff\xff\xff\xff" + b"a" * 100000),
    (400, "invalid_msgpack", "ends in the middle", None, b"\x81" + F),
    (400, "invalid_msgpack", "extension", None, b"\xc9\xff\xff\xff\xff\x01"),
    (400, "invalid_msgpack", "extension", "byte 17", b"\x81" + F + b"\x81\xa4down\xd4\x01a"),
    (400, "invalid_msgpack", "timestamps", "byte 17", b"\x81" + F + b"\x81\xa4down\xd6\xff\0\0\0\0"),
    (413, "too_deep", "32 levels", "byte 32", b"\x91" * 10000),
    (413, "too_deep", "32 levels", "byte 32", b"\x91" * 1000000),
    (413, "too_deep", "32 levels", "byte 96", b"\x81\xa1a" * 10000),
    (400, "invalid_msgpack", "0xc1", "byte 0", b"\xc1"),
    (400, "invalid_msgpack", "follow the document", "byte 11", b"\x81" + F + b"\x80\x00"),
    (400, "invalid_msgpack", "key is no str", "byte 2", b"\x81\x01\x02"),
    (400, "invalid_msgpack", "key is no str", None, b"\x81\xc4\x08features\x80"),
    (400, "invalid_msgpack", "twice", "byte 22", b"\x81" + F + b"\x82\xa4down\x01\xa4down\x02"),
    (400, "invalid_msgpack", "UTF-8", None, b"\x81" + F + b"\x81\xa1\xff\x01"),
    (400, "invalid_feature", "got binary data", "features.down", b"\x81" + F + b"\x81\xa4down\xc4\x01a"),
    (400, "invalid_feature", "does not fit a float32", "features.down", b"\x81" + F + b"\x81\xa4down\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"),
    (413, "too_many_rows", "1000000 rows", "rows", b"\x81\xa4rows\xdd\x00\x0f\x42\x40" + b"\x80" * 1000000),
)

# (status, code, words, path)
PATHS = (
    (404, "unknown_route", "nothing is at", "/api/v1/predict/"),
    (404, "unknown_route", "nothing is at", "/api/v1/predict/nfl-wp/x"),
    (404, "unknown_route", "nothing is at", "/api/v1//predict/nfl-wp"),
    (404, "unknown_route", "nothing is at", "/api/v1/predict/../predict/nfl-wp"),
    (404, "unknown_route", "nothing is at", "/API/v1/predict/nfl-wp"),
    (404, "unknown_route", "nothing is at", "/" + "a" * 8000),
    (405, "method_not_allowed", "POST is not possible", "/api/v1/models"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/%00"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/nfl-wp%00"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/%ff%fe"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/a%2fb"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/%zz"),
    (400, "invalid_path", "%-escape", "/api/v1/predict/%2"),
    (400, "invalid_path", "not longer than 512 bytes", "/api/v1/predict/" + "%61" * 2000),
    (404, "model_not_found", "there are: nfl-wp", "/api/v1/predict/" + "a" * 7000),
    (404, "model_not_found", "there are: nfl-wp", "/api/v1/predict/%5B%22%3C"),
    (404, "model_not_found", "there are: nfl-wp", "/api/v1/predict/@1"),
    (404, "version_not_found", "there are: 1 (stable)", PREDICT + "@0"),
    (404, "version_not_found", "there are: 1 (stable)", PREDICT + "@-1"),
    (404, "version_not_found", "there are: 1 (stable)", PREDICT + "@18446744073709551617"),
    (404, "version_not_found", "there are: 1 (stable)", PREDICT + "@x@y"),
)

TYPES = (
    (415, "unsupported_type", "text/csv", {"Content_Type": "text/xml"}),
    (415, "unsupported_type", "accepted are application/json", {"Content_Type": ";"}),
    (415, "unsupported_type", "accepted are application/json", {"Content_Type": "\xff\xe9"}),
    (415, "unsupported_type", "accepted are application/json", {"Content_Type": "x" * 5000}),
    (415, "unsupported_type", "application/jso", {"Content_Type": "application/jso"}),
    (400, "invalid_encoding", "no gzip", {"Content_Encoding": "gzip"}),
    (400, "invalid_encoding", "RFC 1950", {"Content_Encoding": "deflate"}),
    (415, "unsupported_encoding", "content encoding", {"Content_Encoding": "gzip, gzip"}),
    (415, "unsupported_encoding", "content encoding", {"Content_Encoding": "identity, br"}),
)

FINE = (
    {"Content_Type": "", "Accept": "text/html"}, {"Accept": "," * 5000}, {"Accept": "application/json;q=nan"},
    {"Accept": ";;;;q=,,q=1e9"}, {"Accept": "application/msgpack;q=0.0001, */*;q=0.5"}, {"Accept": "\xff/\xff"},
    {"Content_Type": "APPLICATION/JSON ;charset=utf-8"}, {"Expect": "100-Continue"}, {"X_Request_Id": 'a"b'},
    {"Cache_Control": "no-" * 1000}, {"Connection": "," * 3000},
)


def refused_total(daemon):
    return daemon.metrics()["augury_predict_errors_total"]


def each_is_refused(daemon, table, headers):
    with siege(daemon) as target:
        before = refused_total(daemon)
        for status, code, words, at, body in table:
            target.refused(status, code, body, words, at, **headers)
        equal(refused_total(daemon) - before, len(table), "predict errors")


def test_each_hostile_json_body_is_refused_with_its_place(daemon):
    each_is_refused(daemon, JSON, {})


def test_each_hostile_msgpack_body_is_refused_with_its_place(daemon):
    each_is_refused(daemon, PACKED, MSGPACK)


def test_each_odd_path_and_type_is_refused(daemon):
    with siege(daemon) as target:
        for status, code, words, path in PATHS:
            target.refused(status, code, b'{"features":{}}', words, path=path)
        for status, code, words, headers in TYPES:
            target.refused(status, code, b'{"features":{}}', words, **headers)


def test_odd_headers_that_mean_nothing_change_nothing(daemon):
    with siege(daemon) as target:
        want = target.post(b'{"features":{}}')[2]
        for headers in FINE:
            status, names, document = target.post(b'{"features":{}}', **headers)
            equal((status, document), (200, want), headers)
            equal(names.get("X-Request-Id"), None)


def test_a_request_over_its_memory_is_refused_and_gives_it_back(daemon):
    with siege(daemon, request_memory="1MiB") as target:
        for body in (b'{"rows":[' + b",".join([b'{"down":1}'] * 16000) + b"]}", b"[" + b"1," * 400000 + b"1]"):
            for _ in range(20):
                target.refused(413, "request_too_large", body, "limits.request_memory")


harness.run(globals())
