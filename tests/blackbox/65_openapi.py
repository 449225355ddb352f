#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The interface's description of itself: a valid OpenAPI 3.1 document (by the schema that the OpenAPI Initiative
publishes), whose every path is there, whose answers look as it says, and beside which there is nothing: other methods
are refused with exactly the methods that it has."""
import json
import os
import re

import harness
from harness import SOURCE, check, equal
from served import send, serving

try:
    import jsonschema
except ImportError:
    jsonschema = None

META = os.path.join(SOURCE, "tests", "data", "openapi", "schema-3.1.json")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
ROW = [[0] * 11]
TENSOR = {"inputs": [{"name": "x", "shape": [1, 11], "datatype": "FP32", "data": ROW}]}
VALUES = {"model": "nfl-wp", "version": "1", "label": "stable", "name": "a/b.json"}
# What an operation is asked with, by the schema of its body.
BODIES = {"PredictRequest": {"data": ROW}, "OipInferRequest": TENSOR, "V1Request": {"instances": ROW},
          "InvocationsRequest": {"inputs": ROW}, "MgetRequest": {"names": ["a"]}, "OipIndexRequest": {"ready": True},
          "OipLoadRequest": {}}


def document_of(daemon):
    status, headers, content = send(daemon, "GET", "/openapi.json")
    equal((status, headers["Content-Type"]), (200, "application/json"))
    check(headers["ETag"], "no ETag")
    return json.loads(content)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def refs(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for member in value.values():
            yield from refs(member)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


def resolve(document, ref):
    value = document
    for part in ref.removeprefix("#/").split("/"):
        value = value[part]
    return value


def concrete(path):
    return re.sub(r"\{(\w+)\}", lambda match: VALUES[match[1]], path)


def methods_of(document, path):
    """Of every template that the path fits: a parameter is a segment, or the rest of the path for names of objects."""
    found = set()
    for template, item in document["paths"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda match: ".+" if match[1] == "name" else "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found |= {method.upper() for method in item}
    return found


def body_of(document, operation):
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        check(name in BODIES, f"no body of {name} to ask with")
        return name, json.dumps(BODIES[name]).encode()
    return None, (b"x" if content else None)


def valid(document, name, value, text):
    if jsonschema is not None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        faults = [fault.message for fault in jsonschema.Draft202012Validator(schema).iter_errors(value)]
        equal(faults, [], text)


def test_the_document_is_valid_openapi(daemon):
    if jsonschema is None:
        raise harness.Skip("python3-jsonschema is not installed")
    serving(daemon)
    document = document_of(daemon)
    with open(META, encoding="utf-8") as file:
        faults = jsonschema.Draft202012Validator(json.load(file)).iter_errors(document)
    equal([f"{fault.json_path}: {fault.message[:200]}" for fault in faults], [])
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        check(any(ref.endswith(f"/{name}") for ref in refs(document)), f"nothing uses the schema {name}")
    daemon.stop()


def test_the_document_is_whole(daemon):
    serving(daemon)
    document = document_of(daemon)
    for ref in refs(document):
        check(resolve(document, ref), ref)
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    equal(len(ids), len(set(ids)), "operationIds are unique")
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        named = [resolve(document, parameter["$ref"]) for parameter in operation["parameters"]]
        equal({parameter["name"] for parameter in named if parameter["in"] == "path"},
              set(re.findall(r"\{(\w+)\}", path)), path)
        check(set(operation["tags"]) <= tags, f"{path}: {operation['tags']}")
        for scheme, roles in (pair for one in operation.get("security", []) for pair in one.items()):
            check(scheme in document["components"]["securitySchemes"], scheme)
            check(set(roles) <= {"predict", "read", "write"}, f"{path}: {roles}")
        equal("security" in operation, not {"health", "docs"} & set(operation["tags"]) and path not in ("/v2", "/v2/"), path)
        answer = operation["responses"].get("200", {}).get("content", {})
        if "application/json" in answer and path != "/openapi.json":
            check("schema" in answer["application/json"], f"{method} {path} is not described")
    listed = json.loads(send(daemon, "GET", "/api/v1")[2])["resources"]
    equal(sorted((entry["method"], entry["path"].replace("*", "")) for entry in listed),
          sorted((method, path) for path, method, _ in operations(document)))
    daemon.stop()


def test_every_operation_answers_as_described(daemon):
    plain = daemon.conf_text
    daemon.conf_text = lambda: plain().replace("size = 16MiB", 'size = 16MiB\n class "object" { writable = yes }')
    serving(daemon)
    document = document_of(daemon)
    for path, method, operation in sorted(operations(document), key=lambda one: METHODS.index(one[1]) != 2):
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
            continue  # it has no end
        name, body = body_of(document, operation)
        if name is not None:
            valid(document, name, BODIES[name], f"the request of {path}")
        status, headers, content = send(daemon, method, concrete(path), body)
        answer = operation["responses"].get(str(status), operation["responses"]["default"])
        check(("$ref" in answer) == path.endswith("/unload"), f"{method} {path}: {status} {content[:300]}")
        answer = (resolve(document, answer["$ref"]) if "$ref" in answer else answer).get("content", {})
        kind = (headers["Content-Type"] or "").partition(";")[0]
        if answer and "application/octet-stream" not in answer:
            check(kind in answer, f"{method} {path}: {kind} is none of {list(answer)}")
        schema = answer.get(kind, {}).get("schema")
        if schema is not None:
            valid(document, schema["$ref"].rsplit("/", 1)[1], json.loads(content), f"{method} {path}")
    daemon.stop()


OPTIONS = {"outputs": "margin", "level": "0.8", "top_k": "2", "use_cache": "false", "ignore_unknown": "true",
           "include_uncertainty": "false", "include_feature_importance": "false"}


def test_options_of_tables_are_described(daemon):
    serving(daemon)
    document = document_of(daemon)
    for path in ("/api/v1/predict/{model}", "/models/{model}/invocations"):
        named = [resolve(document, one["$ref"]) for one in document["paths"][path]["post"]["parameters"]]
        equal({one["name"] for one in named if one["in"] == "query"}, set(OPTIONS), path)
        for name, value in OPTIONS.items():
            status, _, content = send(daemon, "POST", f"{concrete(path)}?{name}={value}", b"down\n3\n",
                                      {"Content-Type": "text/csv"})
            equal(status, 200, f"{path} {name}: {content[:200]}")
        status, _, content = send(daemon, "POST", concrete(path) + "?nothing=1", b"down\n3\n",
                                  {"Content-Type": "text/csv"})
        equal((status, json.loads(content)["at"]), (400, "nothing"))
        told = json.loads(content).get("error") or json.loads(content)["message"]
        equal(set(told.partition("it has ")[2].split(", ")), set(OPTIONS), "there is no other")
    daemon.stop()


def test_other_methods_are_refused_with_those_there_are(daemon):
    serving(daemon)
    document = document_of(daemon)
    for path in map(concrete, document["paths"]):
        there = methods_of(document, path)
        want = there | {"OPTIONS"} | ({"HEAD"} if "GET" in there else set())
        for method in METHODS:
            if method not in there:
                status, headers, content = send(daemon, method, path)
                equal((status, json.loads(content)["code"]), (405, "method_not_allowed"), f"{method} {path}")
                equal(set(headers["Allow"].split(", ")), want, f"{method} {path}")
        status, headers, _ = send(daemon, "OPTIONS", path)
        equal((status, set(headers["Allow"].split(", "))), (204, want), f"OPTIONS {path}")
    equal(send(daemon, "GET", "/api/v1/nothing")[0], 404)
    daemon.stop()


harness.run(globals())
