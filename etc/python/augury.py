# SPDX-License-Identifier: MIT
"""Client of an augury server: one file, the standard library alone (msgpack is used where it is installed).

    from augury import Client
    with Client("http://127.0.0.1:8080") as client:
        answer = client.predict("nfl-wp", {"down": 3, "ydstogo": 7, ...})       # one row
        answer = client.predict("nfl-wp@stable", frame, outputs=["prediction", "interval"])  # pandas, numpy, lists
        answer.values()                                                          # [0.731, ...]
        answer.cache                                                             # "HIT", "MISS", "BYPASS"
        client.predict_array("nfl-wp", array)                                    # numpy in, numpy out
        client.put_object("players/12.json", {"name": "Tom"}, ttl=3600)         # bytes, text or a document
        client.get_object("players/12.json").value                               # {"name": "Tom"}, or None for no object

A Client may be shared by threads: each request takes a kept-alive connection out of a pool and puts it back. A request
that a connection lost before its answer began is sent once more on a new one (it changes nothing, or the same); one with
a condition is not, as the first might have met it.
Rows: a dict is one row; a list of dicts several; a pandas DataFrame, a two-dimensional numpy array or a list of lists is
columns and data. A one-dimensional array or a flat list of numbers is one row in the order of the model's features.
NaN, None and pandas' NA are missing values.
"""
from __future__ import annotations

import base64
import dataclasses
import http.client
import io
import json
import socket
import threading
import urllib.parse
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple, Union

try:
    import msgpack
except ImportError:  # JSON does as well
    msgpack = None

__all__ = ["Client", "Predictions", "Object", "AuguryError", "Refused", "Unreachable"]

JSON, MSGPACK, NPY = "application/json", "application/msgpack", "application/x-npy"
KEEP_CONNECTIONS = 32
NAMES_A_REQUEST = 1000  # of get_objects(): what the server takes at most


class AuguryError(Exception):
    """What every error of this module is."""


class Unreachable(AuguryError):
    """No answer: refused, reset or timed out."""


class Refused(AuguryError):
    """The server's error answer. status: of HTTP; code: a word for programs ("unknown_feature"); at: the place in
    the request ("rows[3].down") or None; retry_after: seconds, or None."""

    def __init__(self, status: int, document: Any, retry_after: Optional[float] = None):
        document = document if isinstance(document, dict) else {}
        self.status = status
        self.reason = str(document.get("error", f"status {status}"))
        self.code = document.get("code")
        self.at = document.get("at")
        self.retry_after = retry_after
        place = f" at {self.at}" if self.at else ""
        super().__init__(f"{self.reason} ({self.code or status}{place})")


class Predictions(Sequence):
    """The answer to predict(): a sequence of one dict a row, output's name → value.

    model, version: what answered. cache: the X-Cache header. request_id: X-Request-Id, to find the request in a log."""

    def __init__(self, document: Mapping[str, Any], headers: Mapping[str, str]):
        self.model: str = document["model"]
        self.version: str = document["version"]
        self.rows: list = document["predictions"]
        self.cache: Optional[str] = headers.get("X-Cache")
        self.request_id: Optional[str] = headers.get("X-Request-Id")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __iter__(self) -> Iterator[dict]:
        return iter(self.rows)

    def values(self, output: str = "prediction") -> list:
        """One output of every row; KeyError when it was not asked for."""
        return [row[output] for row in self.rows]

    def __repr__(self) -> str:
        return f"Predictions({self.model}@{self.version}, {len(self.rows)} rows, cache={self.cache})"


@dataclasses.dataclass(frozen=True)
class Object:
    """An object of the server's. value: the document of what is JSON, the text of what is text/…, else bytes."""

    name: str
    value: Any
    content_type: str
    etag: str
    age: int  # seconds since it was put or read

    @staticmethod
    def kind(content_type: str) -> str:
        """What its value is: "json", "text" or "bytes"."""
        plain = content_type.partition(";")[0].strip().lower()
        if plain == JSON or plain.endswith("+json"):
            return "json"
        return "text" if plain.startswith("text/") else "bytes"


Rows = Union[Mapping[str, Any], Sequence[Any], Any]


def _plain(cell: Any) -> Any:
    """A cell as JSON and MessagePack know it: numpy's scalars as Python's, every kind of missing as None."""
    if cell is None or isinstance(cell, (bool, int, str)):
        return cell
    if hasattr(cell, "item") and not hasattr(cell, "__len__"):
        cell = cell.item()
    try:
        is_missing = bool(cell != cell)  # noqa: PLR0124: NaN and NaT differ from themselves
    except TypeError:  # pandas.NA has no truth
        is_missing = True
    return None if is_missing else cell


def _is_row(rows: Any) -> bool:
    return not any(isinstance(cell, (list, tuple, dict, Mapping)) or hasattr(cell, "__len__") and
                   not isinstance(cell, str) for cell in rows)


def _question(rows: Rows) -> dict:
    """The member or members of a request that say what to predict."""
    if isinstance(rows, Mapping):
        return {"features": {name: _plain(cell) for name, cell in rows.items()}}
    if hasattr(rows, "columns") and hasattr(rows, "itertuples"):  # a DataFrame
        data = [[_plain(cell) for cell in row] for row in rows.itertuples(index=False, name=None)]
        return {"columns": [str(name) for name in rows.columns], "data": data}
    if hasattr(rows, "to_dict") and hasattr(rows, "index"):  # a Series: one row
        return {"features": {str(name): _plain(cell) for name, cell in rows.to_dict().items()}}
    if hasattr(rows, "tolist"):  # an array
        if getattr(rows, "ndim", 2) > 2:
            raise ValueError(f"expected an array of one or two dimensions, got {rows.ndim}")
        rows = rows.tolist()
    rows = list(rows)
    if rows and all(isinstance(row, Mapping) for row in rows):
        return {"rows": [{name: _plain(cell) for name, cell in row.items()} for row in rows]}
    rows = [rows] if rows and _is_row(rows) else rows
    return {"data": [[_plain(cell) for cell in row] for row in rows]}


class Client:
    """A server. address: "http://host:port", "host:port" or "unix:/path/to/socket". timeout: seconds for connecting
    and for each wait for bytes. encoding: "json", "msgpack", or "auto": msgpack where it is installed. headers: sent
    with every request (an API key)."""

    def __init__(self, address: str = "http://127.0.0.1:8080", timeout: float = 30.0, encoding: str = "auto",
                 headers: Optional[Mapping[str, str]] = None):
        if encoding not in ("auto", "json", "msgpack"):
            raise ValueError(f"encoding: expected auto, json or msgpack, got {encoding!r}")
        if encoding == "msgpack" and msgpack is None:
            raise ValueError("encoding msgpack: the package msgpack is not installed")
        self._form = JSON if encoding == "json" or msgpack is None else MSGPACK
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._lock = threading.Lock()
        self._idle: list = []
        self._path = address[5:] if address.startswith("unix:") else None
        parts = urllib.parse.urlsplit(address if "//" in address or self._path else "http://" + address)
        if self._path is None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"address: expected http://host:port or unix:/path, got {address!r}")
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        if self._path is not None:
            self._base = ""

    # ---- predictions ------------------------------------------------------------------------------------------

    def predict(self, model: str, rows: Rows, *, outputs: Optional[Sequence[str]] = None,
                include_uncertainty: Optional[bool] = None, include_feature_importance: Optional[bool] = None,
                level: Optional[float] = None, top_k: Optional[int] = None, use_cache: Optional[bool] = None,
                ignore_unknown: Optional[bool] = None, request_id: Optional[str] = None) -> Predictions:
        """Predicts rows. model: "name", "name@version" or "name@label". Refused says what was wrong and where."""
        question = _question(rows)
        options = {"outputs": None if outputs is None else list(outputs), "include_uncertainty": include_uncertainty,
                   "include_feature_importance": include_feature_importance, "level": level, "top_k": top_k,
                   "use_cache": use_cache, "ignore_unknown": ignore_unknown}
        question.update({name: value for name, value in options.items() if value is not None})
        headers = {} if request_id is None else {"X-Request-Id": request_id}
        path = "/api/v1/predict/" + urllib.parse.quote(model, safe="@")
        document, answer = self._exchange("POST", path, question, headers)
        return Predictions(document, answer)

    def predict_array(self, model: str, array: Any, *, outputs: Optional[Sequence[str]] = None,
                      level: Optional[float] = None, use_cache: Optional[bool] = None,
                      request_id: Optional[str] = None) -> Any:
        """Predicts an array of numpy's, its columns the model's features in order, and gives one: (rows,), or with
        several columns (rows, columns). No number becomes text on the way."""
        import numpy  # only here: the rest needs no package

        file = io.BytesIO()
        numpy.save(file, numpy.asarray(array), allow_pickle=False)
        options = {"outputs": None if outputs is None else ",".join(outputs), "level": level,
                   "use_cache": None if use_cache is None else str(use_cache).lower()}
        query = urllib.parse.urlencode({name: value for name, value in options.items() if value is not None})
        headers = {"Content-Type": NPY, "Accept": NPY}
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        path = "/api/v1/predict/" + urllib.parse.quote(model, safe="@") + ("?" + query if query else "")
        status, answer, content = self._send("POST", path, file.getvalue(), headers)
        self._check(status, answer, content)
        return numpy.load(io.BytesIO(content), allow_pickle=False)

    # ---- objects ----------------------------------------------------------------------------------------------

    def get_object(self, name: str) -> Optional[Object]:
        """The object of that name; None: there is none."""
        status, answer, content = self._send("GET", self._object_path(name), None, {})
        if status == 404 and self._code(answer, content) == "object_not_found":
            return None
        self._check(status, answer, content)
        form = answer.get("Content-Type", "")
        try:
            value = {"json": json.loads, "text": bytes.decode, "bytes": bytes}[Object.kind(form)](content)
        except ValueError:  # its type says more than it holds
            value = content
        return Object(name, value, form, answer.get("ETag", ""), int(answer.get("Age", "0")))

    def get_objects(self, names: Iterable[str]) -> Dict[str, Object]:
        """Those of many objects that there are, by name; asked for a thousand at a time."""
        names = list(names)
        found: Dict[str, Object] = {}
        for begin in range(0, len(names), NAMES_A_REQUEST):
            question = {"names": names[begin:begin + NAMES_A_REQUEST]}
            document, _ = self._exchange("POST", "/api/v1/objects/mget", question)
            for name, one in document["objects"].items():
                form, value = one.get("content_type", ""), one["value"]
                if isinstance(value, str) and Object.kind(form) == "bytes":
                    value = base64.b64decode(value)
                found[name] = Object(name, value, form, one["etag"], int(one.get("age", 0)))
        return found

    def put_object(self, name: str, value: Any, *, content_type: Optional[str] = None, ttl: Optional[float] = None,
                   if_match: Optional[str] = None, only_new: bool = False) -> str:
        """Puts bytes or text as they are, anything else as JSON; returns the ETag. content_type: without one, the
        extension of the name says it of bytes. ttl: seconds that it lives. if_match: the ETag that it has to have
        now; only_new: it must not be there. Refused with status 412 when that is otherwise."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            body = bytes(value)
        elif isinstance(value, str):
            body, content_type = value.encode(), content_type or "text/plain; charset=utf-8"
        else:
            body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
            content_type = content_type or JSON
        headers = {"Content-Type": content_type, "If-Match": if_match, "If-None-Match": "*" if only_new else None}
        query = "" if ttl is None else f"?ttl={max(1, round(ttl))}s"
        status, answer, content = self._send("PUT", self._object_path(name) + query, body,
                                             {key: text for key, text in headers.items() if text is not None})
        self._check(status, answer, content)
        return answer.get("ETag", "")

    def delete_object(self, name: str, *, if_match: Optional[str] = None) -> bool:
        """Whether there was one. if_match: as of put_object()."""
        headers = {} if if_match is None else {"If-Match": if_match}
        status, answer, content = self._send("DELETE", self._object_path(name), None, headers)
        if status == 404 and self._code(answer, content) == "object_not_found":
            return False
        self._check(status, answer, content)
        return True

    @staticmethod
    def _object_path(name: str) -> str:
        return "/api/v1/objects/" + urllib.parse.quote(name, safe="/:~")

    # ---- what the server says of itself -----------------------------------------------------------------------

    def models(self) -> list:
        """Every version of every model: one dict each."""
        return self._exchange("GET", "/api/v1/models")[0]["models"]

    def model(self, name: str) -> dict:
        """One model: schema, outputs, versions, labels, digests. name: as in predict()."""
        return self._exchange("GET", "/api/v1/models/" + urllib.parse.quote(name, safe="@"))[0]

    def is_healthy(self) -> bool:
        """Whether the server can answer; False also when it cannot be reached."""
        try:
            self._exchange("GET", "/api/v1/health")
        except AuguryError:
            return False
        return True

    def health(self) -> dict:
        """The health document, of an unhealthy server too: {"status", "reasons"…}."""
        status, answer, content = self._send("GET", "/api/v1/health", None, {})
        document = self._decode(answer.get("Content-Type", ""), content)
        if not isinstance(document, dict):
            raise Refused(status, document)
        return document

    def status(self) -> dict:
        """Processes, memory, generation, reloads."""
        return self._exchange("GET", "/api/v1/status")[0]

    def performance(self) -> dict:
        """Rates, latencies, hit ratios, evictions."""
        return self._exchange("GET", "/api/v1/performance")[0]

    # ---- connections ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the idle connections; the client may be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _connection(self, is_new: bool):
        """A connection, and whether it was used before."""
        with self._lock:
            if self._idle and not is_new:
                return self._idle.pop(), True
        if self._path is not None:
            return _UnixConnection(self._path, self._timeout), False
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout), False

    def _keep(self, connection) -> None:
        with self._lock:
            if len(self._idle) < KEEP_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _encode(self, document: Any) -> bytes:
        if self._form == MSGPACK:
            return msgpack.packb(document)
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    @staticmethod
    def _decode(form: str, body: bytes) -> Any:
        try:
            if form.startswith(MSGPACK) and msgpack is not None:
                return msgpack.unpackb(body, strict_map_key=False)
            return json.loads(body) if form.startswith(JSON) else body.decode()
        except ValueError:
            return None

    def _once(self, connection, method: str, path: str, body: Optional[bytes], headers: Mapping[str, str]):
        connection.request(method, self._base + path, body, dict(headers))
        if connection.sock is not None and connection.sock.family != socket.AF_UNIX:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = connection.getresponse()
        return answer, answer.read()

    def _send(self, method: str, path: str, body: Optional[bytes],
              headers: Mapping[str, str]) -> Tuple[int, Mapping[str, str], bytes]:
        """Status, headers and content of the answer."""
        whole = {**self._headers, "Accept": self._form, **headers}
        is_conditional = "If-Match" in headers or "If-None-Match" in headers
        while True:
            connection, was_used = self._connection(is_conditional)
            try:
                answer, content = self._once(connection, method, path, body, whole)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A kept connection that the server closed meanwhile says nothing about the server.
                if was_used and not isinstance(error, TimeoutError):
                    continue
                raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
            if answer.will_close:
                connection.close()
            else:
                self._keep(connection)
            return answer.status, answer.headers, content

    def _check(self, status: int, answer: Mapping[str, str], content: bytes) -> None:
        if status >= 400:
            wait = answer.get("Retry-After", "")
            raise Refused(status, self._decode(answer.get("Content-Type", ""), content),
                          float(wait) if wait.isdigit() else None)

    def _code(self, answer: Mapping[str, str], content: bytes) -> Optional[str]:
        document = self._decode(answer.get("Content-Type", ""), content)
        return document.get("code") if isinstance(document, dict) else None

    def _exchange(self, method: str, path: str, question: Any = None, headers: Optional[Mapping[str, str]] = None):
        """Document and headers of an answer; Refused for an error."""
        whole = dict(headers or {})
        body = None
        if question is not None:
            body = self._encode(question)
            whole["Content-Type"] = self._form
        status, answer, content = self._send(method, path, body, whole)
        self._check(status, answer, content)
        return self._decode(answer.get("Content-Type", ""), content), answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
