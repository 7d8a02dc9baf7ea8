"""Requests over HTTP: whole, with one tree or body changed, and broken in their framing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.servers.fuzz.models import Model
from tests.servers.fuzz.mutations import changed_bytes, mutated_tree
from tests.servers.fuzz.oracle import Judgement, judge_body
from tests.servers.fuzz.whole import arrays_of, body_of

_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class HttpCase:
    """The bytes of a request and what it must get.

    broken: HTTP itself may be, so that it may get any refusal, or none and the connection is closed.
    """

    kind: str
    request: bytes
    judgement: Judgement
    broken: bool = False


def http_case(rng: random.Random, name: str, model: Model) -> HttpCase:
    """One by chance, for the server of the model of that name."""
    kind = rng.choice(list(_KINDS))
    return _KINDS[kind](rng, name, model)


def _post(name: str, body: bytes, *headers: tuple[str, str], path: str | None = None) -> bytes:
    lines = [f"POST {path or f'/v2/models/{name}/infer'} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _case(kind: str, name: str, model: Model, body: bytes, length: str | None) -> HttpCase:
    headers = () if length is None else ((_LENGTH, length),)
    return HttpCase(kind, _post(name, body, *headers), judge_body(model, body, length))


def _whole(rng: random.Random, name: str, model: Model) -> HttpCase:
    return _case("whole", name, model, *body_of(rng, model, arrays_of(rng, model)).written())


def _tree(rng: random.Random, name: str, model: Model) -> HttpCase:
    body = body_of(rng, model, arrays_of(rng, model))
    body.request = mutated_tree(rng, model, body.request)
    return _case("tree", name, model, *body.written())


def _bytes(rng: random.Random, name: str, model: Model) -> HttpCase:
    """A body whose bytes are changed, and often the length of its JSON with them."""
    data, length = body_of(rng, model, arrays_of(rng, model)).written()
    data = changed_bytes(rng, data)
    if length is not None and rng.random() < 0.5:
        odd = ("", "-1", "1.0", "0", "\u0663", "9" * 30, "0" * 30 + length, str(len(data)), "a")
        length = rng.choice((str(int(length) + rng.choice((-8, -1, 1, 8))), *odd[:4], *odd[5:]))
    return _case("bytes", name, model, data, length)


def _written_otherwise(rng: random.Random, name: str, model: Model) -> HttpCase:
    """JSON in other encodings, with spaces, large numbers or deep lists."""
    body = body_of(rng, model, arrays_of(rng, model))
    text = json.dumps(body.request, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5)
    numbers = ("1e999", "-1e999", "1" * 400, "1" * 5000, "1.0000000000000000000000001", "0x10", "1_0", "NaN")
    deep = rng.choice((50, 300, 600, 100_000))
    match rng.randrange(5):
        case 0:
            data = text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le")))
        case 1:
            data = text.replace("1", rng.choice(numbers), 1).encode()
        case 2:
            data = text.replace("[", "[" * deep, 1).encode()
        case 3:
            data = (text + rng.choice((" ", "\n\t", "\0", "{}", ","))).encode()
        case _:
            data = b'{"inputs": [], ' + text.encode()[1:]  # the last of two equal keys counts
    length = str(len(data)) if body.binary else None
    return _case("text", name, model, data + b"".join(body.binary), length)


def _large(rng: random.Random, name: str, model: Model) -> HttpCase:
    """Near the limits of bytes and of values."""
    body = body_of(rng, model, arrays_of(rng, model))
    match rng.randrange(3):
        case 0:
            body.request["more"] = "m" * rng.choice((2**18, 2**17, 2**18 - 1000))
        case 1:
            body.request["more"] = [1] * rng.choice((900, 1100, 6000))
        case _:
            body.binary.append(bytes(rng.choice((2**16, 2**18))))
    return _case("large", name, model, *body.written())


def _framing(rng: random.Random, name: str, model: Model) -> HttpCase:
    """A whole body in a head that is wrong, odd, or only looks it."""
    body, length = body_of(rng, model, arrays_of(rng, model)).written()
    headers = () if length is None else ((_LENGTH, length),)
    right = judge_body(model, body, length)
    request = _post(name, body, *headers)
    head, _, _ = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    chunked = [line for line in lines if not line.startswith(b"Content-Length")]
    match rng.randrange(10):
        case 0:
            pieces = _chunks(rng, body)
            return HttpCase("framing", _joined([*chunked, b"Transfer-Encoding: chunked"], pieces), right)
        case 1:
            pieces = changed_bytes(rng, _chunks(rng, body))
            return HttpCase(
                "framing", _joined([*chunked, b"Transfer-Encoding: chunked"], pieces), None, broken=True
            )
        case 2:
            sizes = ("-1", "0", "1", "99999999999999999999", "a", "", "1e3", str(len(body) + 1), str(2**63))
            line = f"Content-Length: {rng.choice(sizes)}".encode()
            return HttpCase("framing", _joined([*chunked, line], body), None, broken=True)
        case 3:
            more = [f"X-{i}: {'v' * rng.choice((0, 10, 200))}".encode() for i in range(rng.choice((3, 50)))]
            return HttpCase("framing", _joined([*lines, *more], body), right)
        case 4:
            line = rng.choice((b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"))
            return HttpCase("framing", _joined([*lines, line], body), None, broken=True)
        case 5:
            lines[0] = rng.choice(_FIRST_LINES).replace(b"NAME", name.encode())
            return HttpCase("framing", _joined(lines, body), None, broken=True)
        case 6:
            line = rng.choice(_MORE_LINES)
            return HttpCase("framing", _joined([*lines, line], body), None, broken=True)
        case 7:
            line = b"X: " + b"v" * rng.choice((70_000, 200_000))
            return HttpCase("framing", _joined([*lines, line], body), None, broken=True)
        case 8:
            return HttpCase("framing", rng.randbytes(rng.choice((1, 40, 3000))), None, broken=True)
        case _:
            return HttpCase("framing", changed_bytes(rng, request), None, broken=True)


_MORE_LINES = (b"Content-Encoding: gzip", b"Content-Encoding: br, gzip", b"Expect: 100-continue")
_FIRST_LINES = (
    b"GET /v2/models/NAME/infer HTTP/1.1",
    b"PUT /v2/models/NAME/infer HTTP/1.1",
    b"POST /v2/models/NAME/infer HTTP/1.0",
    b"POST /v2/models/NAME/infer HTTP/9.9",
    b"POST /v2/models/NAME/infer",
    b"POST /v2/models/NAME/infer?a=b&c=%00 HTTP/1.1",
    b"POST /v2/models/NAME/versions/1/infer HTTP/1.1",
    b"POST /v2/models/%2e%2e/infer HTTP/1.1",
    b"POST /v2/models/\xc3\xa9/infer HTTP/1.1",
    b"POST /v2/models/NAME/infer/../infer HTTP/1.1",
    b"POST /v2/models/" + b"m" * 5000 + b"/infer HTTP/1.1",
    b"POST /v2/models/other/infer HTTP/1.1",
    b"POST /v2/models/NAME/infer_stream HTTP/1.1",
    b"POST /v2/models/NAME HTTP/1.1",
    b"POST /v2/repository/index HTTP/1.1",
    b"POST /v2/repository/models/NAME/load HTTP/1.1",
    b"POST /v2/repository/models/NAME/unload HTTP/1.1",
    b"DELETE / HTTP/1.1",
    b"GET /v2/docs HTTP/1.1",
    b"GET /v2/models/NAME/docs/dataplane.json HTTP/1.1",
    b"GET /v2/health/ready HTTP/1.1",
    b"GET /v2/models/NAME/ready HTTP/1.1",
    b"GET /v2/models/other/ready HTTP/1.1",
    b"GET /v2/models/NAME/versions/7 HTTP/1.1",
    b"GET /metrics HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"PRI * HTTP/2.0",
)


def _joined(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""]) + body


def _chunks(rng: random.Random, body: bytes) -> bytes:
    found = []
    while body:
        size = rng.randint(1, len(body))
        found.append(b"%x\r\n%s\r\n" % (size, body[:size]))
        body = body[size:]
    return b"".join([*found, b"0\r\n\r\n"])


_KINDS: dict[str, Callable[[random.Random, str, Model], HttpCase]] = {
    "whole": _whole,
    "tree": _tree,
    "more trees": _tree,
    "bytes": _bytes,
    "text": _written_otherwise,
    "large": _large,
    "framing": _framing,
}
