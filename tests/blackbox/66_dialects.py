#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The protocols of other servers: the same rows give the same numbers through each of them, missing values in each
spelling, binary tensors both ways, documents and errors in the shapes that their clients read. Expected predictions are
XGBoost's own; the shapes are those of the Open Inference Protocol, TensorFlow Serving's REST and MLflow's scoring server."""
import json
import math
import struct

import harness
from harness import check, contains, equal
from served import CARD, NAMES, send, serving, table


def ask(daemon, path, body, headers=None):
    status, _, content = send(daemon, "POST", path, body, headers)
    equal(status, 200, f"{path}: {content[:300]}")
    return json.loads(content)


def near(got, want, text):
    equal(len(got), len(want), text)
    for one, other in zip(got, want):
        check(abs(one - other) <= 1e-6, f"{text}: {one} is not {other}")


def tensor(rows, **more):
    return {"name": "input-0", "shape": [len(rows), len(NAMES)], "datatype": "FP32", **more}


def flat(rows):
    return [cell for row in rows for cell in row]


def raw(rows):
    return b"".join(struct.pack("<f", math.nan if cell is None else cell) for cell in flat(rows))


# ---- the same numbers ------------------------------------------------------------------------------------------------

def as_float32(numbers):
    return [struct.unpack("<f", struct.pack("<f", number))[0] for number in numbers]


def test_every_protocol_gives_the_same_numbers_and_they_are_those_published(daemon):
    serving(daemon)
    rows, want = table()
    infer = "/v2/models/nfl-wp/infer"
    named = [dict(zip(NAMES, row)) for row in rows]
    native = [row["prediction"] for row in ask(daemon, "/api/v1/predict/nfl-wp", {"rows": named})["predictions"]]
    near(native, want, "native")
    columns = [{"name": name, "shape": [len(rows)], "datatype": "FP64", "data": [row[i] for row in rows]}
               for i, name in enumerate(NAMES)]
    for text, document in (("nested", {"inputs": [tensor(rows, data=rows)]}),
                           ("flat", {"inputs": [tensor(rows, data=flat(rows))]}),
                           ("columns", {"inputs": columns}),
                           ("pandas", {"parameters": {"content_type": "pd"}, "inputs": columns[::-1]})):
        answer = ask(daemon, infer, {"id": "q-1", **document})
        equal((answer["model_name"], answer["model_version"], answer["id"]), ("nfl-wp", "1", "q-1"))
        output = answer["outputs"][0]
        equal((output["name"], output["datatype"], output["shape"]), ("predict", "FP32", [len(rows), 1]))
        equal(output["data"], native, text)
    one = {"name": "x", "shape": [11], "datatype": "FP32", "data": rows[0]}
    equal(ask(daemon, "/v2/models/nfl-wp/versions/1/infer", {"inputs": [one]})["outputs"][0]["data"], native[:1], "a row")
    split = {"columns": NAMES, "index": list(range(len(rows))), "data": rows}
    by_name = {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}
    for path, document in (("/v1/models/nfl-wp:predict", {"instances": rows}),
                           ("/v1/models/nfl-wp/versions/1:predict", {"instances": named}),
                           ("/v1/models/nfl-wp/labels/stable:predict", {"instances": rows}),
                           ("/invocations", {"dataframe_split": split}),
                           ("/invocations", {"dataframe_records": named}),
                           ("/invocations", {"instances": rows, "unknown": 1}),
                           ("/models/nfl-wp/invocations", {"inputs": by_name})):
        equal(ask(daemon, path, document)["predictions"], native, path)
    equal(ask(daemon, "/v1/models/nfl-wp:predict", {"inputs": by_name})["outputs"], native, "columns of v1")
    lines = [",".join(NAMES)] + [",".join("" if cell is None else repr(cell) for cell in row) for row in rows]
    text = "\n".join(lines).encode()
    equal(ask(daemon, "/invocations", text, {"Content-Type": "text/csv"})["predictions"], native, "csv of MLflow")
    for accept, read in (("text/csv", lambda got: [float(line) for line in got.decode().splitlines()[1:]]),
                         ("application/x-npy", lambda got: list(struct.unpack(f"<{len(rows)}f", got[-4 * len(rows):])))):
        status, headers, got = send(daemon, "POST", "/api/v1/predict/nfl-wp", text,
                                    {"Content-Type": "text/csv", "Accept": accept})
        equal((status, headers["Content-Type"]), (200, accept))
        equal(as_float32(read(got)), as_float32(native), accept)
    _, headers, got = send(daemon, "POST", infer, {"inputs": [tensor(rows, data=rows)],
                                                   "parameters": {"binary_data_output": True}})
    equal(list(struct.unpack(f"<{len(rows)}f", got[int(headers["Inference-Header-Content-Length"]):])),
          as_float32(native), "binary")
    daemon.stop()


def test_missing_values_have_three_spellings(daemon):
    serving(daemon)
    rows, want = table()
    holes = next(i for i, row in enumerate(rows) if None in row)
    for word in ("null", "NaN"):
        body = json.dumps({"instances": [rows[holes]]}).replace("null", word).encode()
        near(ask(daemon, "/v1/models/nfl-wp:predict", body)["predictions"], [want[holes]], word)
        near(ask(daemon, "/invocations", body)["predictions"], [want[holes]], word)
    headers = {"Inference-Header-Content-Length": "0"}
    status, told, content = send(daemon, "POST", "/v2/models/nfl-wp/infer", raw([rows[holes]]), headers)
    equal(status, 200, content[:200])
    length = int(told["Inference-Header-Content-Length"])
    near(struct.unpack("<f", content[length:]), [want[holes]], "a raw request")
    daemon.stop()


def test_binary_tensors_go_both_ways(daemon):
    serving(daemon, ("card", CARD))
    rows, want = table()
    for outputs, size in (({"parameters": {"binary_data_output": True}}, None),
                          ({"outputs": [{"name": "output__0", "parameters": {"binary_data": True}},
                                        {"name": "margin"}]}, None)):
        document = json.dumps({"inputs": [tensor(rows, parameters={"binary_data_size": 44 * len(rows)})],
                               **outputs}).encode()
        status, headers, content = send(daemon, "POST", "/v2/models/nfl-wp/infer", document + raw(rows),
                                        {"Inference-Header-Content-Length": str(len(document)),
                                         "Content-Type": "application/octet-stream"})
        equal((status, headers["Content-Type"]), (200, "application/octet-stream"), content[:200])
        size = int(headers["Inference-Header-Content-Length"])
        answer = json.loads(content[:size])
        equal(answer["outputs"][0]["parameters"], {"binary_data_size": 4 * len(rows)})
        check("data" not in answer["outputs"][0], "data beside binary data")
        near(struct.unpack(f"<{len(rows)}f", content[size:]), want, "binary")
        if "outputs" in outputs:
            near([1 / (1 + math.exp(-margin)) for margin in answer["outputs"][1]["data"]], want, "margins")
    texts = ["rent", "own", "free"]
    ages = struct.pack("<3q", 20, 50, 30)
    homes = b"".join(struct.pack("<I", len(text)) + text.encode() for text in texts)
    half = struct.pack("<3e", 1.0, 0.0, 0.0)
    document = json.dumps({"inputs": [
        {"name": "age", "shape": [3, 1], "datatype": "INT64", "parameters": {"binary_data_size": len(ages)}},
        {"name": "home", "shape": [3, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(homes)}},
        {"name": "debt", "shape": [3], "datatype": "FP16", "parameters": {"binary_data_size": len(half)}}]}).encode()
    answer = ask(daemon, "/v2/models/card/infer", document + ages + homes + half,
                 {"Inference-Header-Content-Length": str(len(document))})
    native = ask(daemon, "/api/v1/predict/card", {"rows": [
        {"age": age, "home": home, "debt": debt} for age, home, debt in zip((20, 50, 30), texts, (1, 0, 0))]})
    near(answer["outputs"][0]["data"], [row["prediction"] for row in native["predictions"]], "typed columns")
    daemon.stop()


# ---- documents -------------------------------------------------------------------------------------------------------

def test_documents_have_what_clients_look_for(daemon):
    serving(daemon, ("card", CARD))

    def get(path, method="GET"):
        status, _, content = send(daemon, method, path)
        equal(status, 200, path)
        return json.loads(content)

    for path in ("/v2", "/v2/"):
        server = get(path)
        equal((server["name"], "binary_tensor_data" in server["extensions"]), ("augury", True))
    equal(get("/v2/health/live"), {"live": True})
    ready = get("/v2/health/ready")
    equal((ready["live"], ready["ready"]), (True, True))
    model = get("/v2/models/nfl-wp")
    equal((model["name"], model["versions"]), ("nfl-wp", ["1"]))
    equal(model["inputs"], [{"name": "input-0", "datatype": "FP32", "shape": [-1, 11]}])
    equal(model["outputs"][0], {"name": "predict", "datatype": "FP32", "shape": [-1, 1]})
    equal([tensor["name"] for tensor in get("/v2/models/card")["inputs"]][:3], ["age", "home", "debt"])
    config = get("/v2/models/nfl-wp/versions/1/config")
    equal(config["input"], [{"name": "input-0", "data_type": "TYPE_FP32", "dims": [11]}])
    equal((config["output"][0], config["max_batch_size"]),
          ({"name": "predict", "data_type": "TYPE_FP32", "dims": [1]}, 16384))
    check("TYPE_STRING" in [one["data_type"] for one in get("/v2/models/card/config")["input"]], "no texts")
    equal(get("/v2/models/nfl-wp/versions/1/ready"), {"name": "nfl-wp", "ready": True})
    equal(get("/v2/models")["models"], ["card", "nfl-wp"])
    equal(get("/v1/models")["models"], ["card", "nfl-wp"])
    equal([(entry["name"], entry["version"], entry["state"]) for entry in get("/v2/repository/index", "POST")],
          [("card", "1", "READY"), ("nfl-wp", "1", "READY")])
    equal(get("/v1/models/nfl-wp")["model_version_status"],
          [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}])
    status, _, content = send(daemon, "GET", "/version")
    equal(status, 200)
    check(content.decode()[0].isdigit(), content)
    daemon.stop()


def test_statistics_count_what_was_answered(daemon):
    serving(daemon, ("card", CARD))
    rows, _ = table()

    def figures(path):
        status, _, content = send(daemon, "GET", path)
        equal(status, 200, path)
        return {(one["name"], one["version"]): one for one in json.loads(content)["model_stats"]}

    for row in rows[:10] + 5 * rows[:2]:
        ask(daemon, "/v2/models/nfl-wp/infer", {"inputs": [tensor([row], data=row)]})
        ask(daemon, "/v1/models/nfl-wp:predict", {"instances": [row]})
        ask(daemon, "/models/nfl-wp/invocations", {"inputs": [row]})
    for document in ({}, {"inputs": [tensor([[0]], data=[0])]}):
        equal(send(daemon, "POST", "/v2/models/nfl-wp/infer", document)[0], 400)
    every = figures("/v2/models/stats")
    equal(sorted(every), [("card", "1"), ("nfl-wp", "1")])
    one = figures("/v2/models/nfl-wp/stats")
    equal(one, {("nfl-wp", "1"): every["nfl-wp", "1"]})
    equal(figures("/v2/models/nfl-wp/versions/stable/stats"), one)
    one = one["nfl-wp", "1"]
    counts = {name: duration["count"] for name, duration in one["inference_stats"].items()}
    equal((counts["success"], counts["queue"], counts["fail"]), (60, 60, 2))
    equal(counts["cache_hit"] + one["execution_count"], 60)
    equal({counts[f"compute_{part}"] for part in ("input", "infer", "output")}, {one["execution_count"]})
    equal(one["inference_count"], one["execution_count"], "one row a request")
    check(one["inference_count"] >= 10, "ten rows were new")
    for part in ("success", "fail", "compute_input", "compute_infer", "compute_output"):
        check(one["inference_stats"][part]["ns"] > 0, f"{part} takes time")
    check(one["last_inference"] > 1.6e12, "milliseconds since 1970")
    check(one["memory_usage"][0]["byte_size"] > 10000, one["memory_usage"])
    equal(every["card", "1"]["inference_stats"]["success"], {"count": 0, "ns": 0})
    equal(send(daemon, "GET", "/v2/models/nobody/stats")[0], 404)
    check("statistics" in json.loads(send(daemon, "GET", "/v2")[2])["extensions"], "not announced")
    daemon.stop()


def test_loading_asks_and_unloading_is_refused(daemon):
    serving(daemon)
    path = "/v2/repository/models/nfl-wp/"
    for body in (None, {}, {"parameters": {}}):
        status, _, content = send(daemon, "POST", path + "load", body)
        equal((status, json.loads(content)), (200, {"name": "nfl-wp", "load": True}))
    for target, body, want in ((path + "load", {"parameters": {"config": "{}"}}, (400, "unsupported_parameter")),
                               (path + "load", b"{", (400, "invalid_json")),
                               (path + "unload", {"parameters": {"unload_dependents": True}}, (403, "not_writable")),
                               (path.replace("nfl-wp", "none") + "load", None, (404, "model_not_found")),
                               (path.replace("nfl-wp", "none") + "unload", None, (404, "model_not_found"))):
        status, _, content = send(daemon, "POST", target, body)
        answer = json.loads(content)
        equal((status, answer["code"], isinstance(answer["error"], str)), (*want, True), target)
    equal(send(daemon, "GET", "/v2/models/nfl-wp/ready")[0], 200)
    daemon.stop()


def test_tensors_have_the_names_that_are_configured(daemon):
    plain = daemon.conf_text
    daemon.conf_text = lambda: plain() + 'dialect "nfl-wp" { input = "float_input" output = "score" }\n'
    serving(daemon, ("card", CARD))
    rows, want = table()
    model = json.loads(send(daemon, "GET", "/v2/models/nfl-wp")[2])
    equal((model["inputs"][0]["name"], model["outputs"][0]["name"]), ("float_input", "score"))
    for outputs, name in (([], "score"), ([{"name": "score"}], "score"), ([{"name": "output__0"}], "output__0")):
        body = {"inputs": [tensor(rows, data=rows)], "outputs": outputs}
        output = ask(daemon, "/v2/models/nfl-wp/infer", body)["outputs"][0]
        equal(output["name"], name)
        near(output["data"], want, name)
    status, _, content = send(daemon, "POST", "/v2/models/card/infer", {
        "inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 1, 1]}], "outputs": [{"name": "score"}]})
    equal((status, json.loads(content)["code"]), (400, "no_such_output"))
    equal(json.loads(send(daemon, "GET", "/v2/models/card")[2])["outputs"][0]["name"], "predict")
    daemon.stop()


def test_params_choose_outputs(daemon):
    serving(daemon)
    rows, want = table()
    answer = ask(daemon, "/invocations", {"instances": rows[:2], "params": {"outputs": ["prediction", "margin"],
                                                                           "temperature": 1}})
    near([row["prediction"] for row in answer["predictions"]], want[:2], "records")
    daemon.stop()


# ---- what is wrong ---------------------------------------------------------------------------------------------------

def test_errors_are_named_in_each_protocols_shape(daemon):
    serving(daemon, ("card", CARD))
    good = tensor([[0] * 11], data=[0] * 11)
    infer = "/v2/models/nfl-wp/infer"
    for document, code, at in (
            ({}, "invalid_request", "inputs"),
            ({"inputs": []}, "invalid_request", "inputs"),
            ({"inputs": [{**good, "datatype": "FP8"}]}, "invalid_datatype", "inputs[0].datatype"),
            ({"inputs": [{**good, "shape": [1, -1]}]}, "invalid_shape", "inputs[0].shape[1]"),
            ({"inputs": [{**good, "shape": [1 << 33, 1 << 33]}]}, "invalid_shape", "inputs[0].shape[0]"),
            ({"inputs": [{**good, "shape": [2, 11]}]}, "invalid_shape", "inputs[0].data"),
            ({"inputs": [{**good, "data": [0] * 12}]}, "invalid_shape", "inputs[0].data"),
            ({"inputs": [{**good, "data": ["7"] + [0] * 10}]}, "invalid_value", "inputs[0].data"),
            ({"inputs": [{**good, "shape": [1, 1, 11]}]}, "invalid_shape", "inputs[0].shape"),
            ({"inputs": [good], "outputs": [{"name": "nothing"}]}, "no_such_output", "outputs[0].name"),
            ({"inputs": [good], "outputs": [{"name": "margin"}, {"name": "margin"}]}, "invalid_request",
             "outputs[1].name"),
            ({"inputs": [good], "id": 7}, "invalid_request", "id")):
        status, _, content = send(daemon, "POST", infer, document)
        answer = json.loads(content)
        equal((status, answer["code"], answer["at"]), (400, code, at), str(document)[:100])
        check(isinstance(answer["error"], str), "error is a text")
    status, _, content = send(daemon, "POST", infer, {"inputs": [tensor([[0] * 11] * 2, data=[[1] * 12, [2] * 10])]})
    equal((status, json.loads(content)["code"]), (400, "invalid_shape"), "rows of other lengths than the shape says")
    for kind, value in (("UINT8", 300), ("UINT8", -1), ("INT8", 10**10), ("BOOL", 7), ("INT64", 1.5)):
        status, _, content = send(daemon, "POST", infer, {"inputs": [{**good, "datatype": kind, "data": [value] * 11}]})
        equal((status, json.loads(content)["code"]), (400, "invalid_value"), f"{value} of {kind}")
    for length in ("x", "-1", "999999"):
        status, _, content = send(daemon, "POST", infer, {"inputs": [good]},
                                  {"Inference-Header-Content-Length": length})
        equal((status, json.loads(content)["code"]), (400, "invalid_request"), length)
    status, _, content = send(daemon, "POST", infer, json.dumps({"inputs": [good]}).encode() + b"1234",
                              {"Inference-Header-Content-Length": str(len(json.dumps({"inputs": [good]})))})
    equal(status, 400)
    contains(content.decode(), "4 bytes follow")
    for path in ("/v2/models/nobody/infer", "/v1/models/nobody:predict"):
        equal(send(daemon, "POST", path, {"inputs": [good], "instances": [[0]]})[0] in (400, 404), True, path)
    equal(send(daemon, "GET", "/v2/models/nobody")[0], 404)
    equal(send(daemon, "GET", "/v2/models/nfl-wp/versions/9/ready")[0], 404)
    status, headers, _ = send(daemon, "GET", infer)
    equal((status, "POST" in headers["Allow"]), (405, True))
    equal(send(daemon, "POST", "/v1/models/nfl-wp:explain", {})[0], 405)
    for document, words in (({}, "exactly one"), ({"inputs": [[0]], "instances": [[0]]}, "exactly one"), ([], "object"),
                            ({"dataframe_split": {"columns": NAMES}}, "dataframe_split"),
                            ({"inputs": {"a": [1], "b": [1, 2]}}, "as many values")):
        status, _, content = send(daemon, "POST", "/models/nfl-wp/invocations", document)
        answer = json.loads(content)
        equal((status, answer["error_code"]), (400, "BAD_REQUEST"), str(document))
        contains(answer["message"], words)
    status, headers, content = send(daemon, "GET", "/invocations")
    equal((status, json.loads(content)["error_code"], "POST" in headers["Allow"]), (405, "BAD_REQUEST", True))
    status, _, content = send(daemon, "POST", "/invocations", {"inputs": [[0]]})
    equal((status, json.loads(content)["error_code"]), (404, "RESOURCE_DOES_NOT_EXIST"))
    contains(json.loads(content)["message"], "/models/NAME/invocations")
    daemon.stop()


harness.run(globals())
