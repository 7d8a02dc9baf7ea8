"""What is done to a request by chance: to a tree of JSON, to a message of protobuf, to bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.servers.fuzz.models import DATATYPES, Model

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 8, 2**31, 2**63, -(2**63) - 1, 2**64, 10**30, 0.5, 1e308, float("nan")),
    *("", "x", "\u732b", "\ud800", "a\r\nb: c", "\0", "n" * 5000, [], [[]], [1, [2]], {}, {"a": 1}, [None]),
)
SIZES = (-(2**63), -8, -1, 0, 1, 2, 7, 8, 9, 1001, 2**31, 2**32, 2**62, 2**63 - 1)
TEXTS = (
    "",
    " ",
    "x",
    "y",
    "X",
    "\u00e9",
    "a,b",
    "a\r\nb: c",
    "%s%n",
    "../..",
    "x" * 300,
    "\U0001f642" * 2000,
)

Tree = dict[str, Any]
_INTEGERS = [name for name in DATATYPES if "INT" in name]


def mutated_tree(rng: random.Random, model: Model, request: Tree) -> Tree:
    """A few changes of one request; some of them leave it whole."""
    request = copy.deepcopy(request)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(_CHANGES)
        change(rng, model, request)
    return request


def _entry(rng: random.Random, request: Tree) -> Tree:
    """One of the inputs, or something to change without effect where none is left."""
    inputs = request.get("inputs")
    entries = [entry for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, list) else []
    return rng.choice(entries) if entries else {}


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    found = [(node, key) for key in keys]
    return found + [place for key in keys for place in _places(node[key])]


def _replace(rng: random.Random, model: Model, request: Tree) -> None:
    if places := _places(request):
        container, key = rng.choice(places)
        container[key] = rng.choice(JUNK)


def _delete(rng: random.Random, model: Model, request: Tree) -> None:
    if places := _places(request):
        container, key = rng.choice(places)
        del container[key]


def _repeat(rng: random.Random, model: Model, request: Tree) -> None:
    lists = [node[key] for node, key in _places(request) if isinstance(node[key], list) and node[key]]
    if lists:
        values = rng.choice(lists)
        values.insert(rng.randrange(len(values) + 1), copy.deepcopy(rng.choice(values)))


def _shuffle(rng: random.Random, model: Model, request: Tree) -> None:
    """Inputs in another order; a right request stays one, if no tensor is binary."""
    if isinstance(request.get("inputs"), list):
        rng.shuffle(request["inputs"])


def _shape(rng: random.Random, model: Model, request: Tree) -> None:
    shape = _entry(rng, request).get("shape")
    if not isinstance(shape, list):
        return
    where = rng.randrange(len(shape) + 1)
    if where == len(shape) or rng.random() < 0.3:
        shape.insert(where, rng.choice(SIZES))
    elif rng.random() < 0.2:
        del shape[where]
    else:
        shape[where] = rng.choice((*SIZES, 10**30, 1.0, "1", True, None))


def _datatype(rng: random.Random, model: Model, request: Tree) -> None:
    _entry(rng, request)["datatype"] = rng.choice((*DATATYPES, "BF16", "fp32", "FP31", *JUNK))


def _name(rng: random.Random, model: Model, request: Tree) -> None:
    _entry(rng, request)["name"] = rng.choice((*model.inputs, *TEXTS, *JUNK))


def _count(rng: random.Random, model: Model, request: Tree) -> None:
    data = _entry(rng, request).get("data")
    if not isinstance(data, list):
        return
    for _ in range(rng.choice((1, 1, 8, 1000))):
        if data and rng.random() < 0.4:
            data.pop()
        else:
            data.append(data[-1] if data else 1)


def _value(rng: random.Random, model: Model, request: Tree) -> None:
    data = _entry(rng, request).get("data")
    if isinstance(data, list) and data:
        data[rng.randrange(len(data))] = rng.choice(JUNK)


def _limit(rng: random.Random, model: Model, request: Tree) -> None:
    """An integer at the limits of its datatype, on either side."""
    inputs = request.get("inputs")
    entries = [entry for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, list) else []
    found = [
        entry
        for entry in entries
        if str(entry.get("datatype")) in _INTEGERS and isinstance(entry.get("data"), list)
    ]
    if found and (entry := rng.choice(found))["data"]:
        limits = np.iinfo(str(entry["datatype"]).lower())
        limit = rng.choice((int(limits.min), int(limits.max)))
        data = entry["data"]
        data[rng.randrange(len(data))] = limit + rng.choice((-1, 0, 1))


def _binary(rng: random.Random, model: Model, request: Tree) -> None:
    entry = _entry(rng, request)
    parameters = entry.setdefault("parameters", {})
    if isinstance(parameters, dict):
        size = parameters.get("binary_data_size", 0)
        near = [size + 1, size - 1, 2 * size] if isinstance(size, int) else []
        parameters["binary_data_size"] = rng.choice((*near, *SIZES, *JUNK))


def _outputs(rng: random.Random, model: Model, request: Tree) -> None:
    names = rng.choices((*model.outputs, *TEXTS), k=rng.choice((1, 2, 3)))
    request["outputs"] = [{"name": name} for name in names]


def _identifier(rng: random.Random, model: Model, request: Tree) -> None:
    request["id"] = rng.choice((*TEXTS, *JUNK, "i" * 256, "i" * 257))


def _more(rng: random.Random, model: Model, request: Tree) -> None:
    """A key that the protocol does not know is left out of account."""
    rng.choice((request, _entry(rng, request)))[rng.choice(("more", "\u732b", ""))] = rng.choice(JUNK)


_CHANGES: tuple[Callable[[random.Random, Model, Tree], None], ...] = (
    *(_replace, _replace, _delete, _repeat, _shuffle, _shape, _shape, _datatype, _name),
    *(_count, _value, _value, _limit, _limit, _binary, _outputs, _identifier, _more),
)


def mutated_message(rng: random.Random, model: Model, message: Any) -> None:
    """One to three changes of a ModelInferRequest, in place."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_MESSAGE_CHANGES)(rng, model, message)


def _tensor(rng: random.Random, message: Any) -> Any:
    return rng.choice(message.inputs) if message.inputs else message.inputs.add()


def _message_text(rng: random.Random, model: Model, message: Any) -> None:
    owner, name = rng.choice(
        (
            (message, "id"),
            (message, "model_name"),
            (message, "model_version"),
            (_tensor(rng, message), "name"),
        )
    )
    setattr(owner, name, rng.choice((*TEXTS, *model.inputs)))


def _message_datatype(rng: random.Random, model: Model, message: Any) -> None:
    _tensor(rng, message).datatype = rng.choice((*DATATYPES, "BF16", "fp32", *TEXTS))


def _message_shape(rng: random.Random, model: Model, message: Any) -> None:
    shape = _tensor(rng, message).shape
    if shape and rng.random() < 0.7:
        shape[rng.randrange(len(shape))] = rng.choice(SIZES)
    elif shape and rng.random() < 0.5:
        del shape[rng.randrange(len(shape))]
    else:
        shape.extend(rng.choices(SIZES, k=rng.choice((1, 1, 70))))


def _message_inputs(rng: random.Random, model: Model, message: Any) -> None:
    if rng.random() < 0.5 and message.inputs:
        del message.inputs[rng.randrange(len(message.inputs))]
    else:
        message.inputs.add().CopyFrom(_tensor(rng, message))


def _message_raw(rng: random.Random, model: Model, message: Any) -> None:
    raw = message.raw_input_contents
    if not raw or rng.random() < 0.2:
        raw.append(rng.randbytes(rng.choice((0, 1, 4, 32))))
    elif rng.random() < 0.2:
        raw.pop()
    else:
        raw[rng.randrange(len(raw))] = changed_bytes(rng, rng.choice(raw))


def _message_typed(rng: random.Random, model: Model, message: Any) -> None:
    contents = _tensor(rng, message).contents
    fields = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64")
    name = f"{rng.choice(fields)}_contents"
    count = rng.choice((0, 1, 8, 1001))
    if rng.random() < 0.3:
        contents.bytes_contents.extend([rng.randbytes(3)] * count)
    elif rng.random() < 0.5:
        contents.Clear()
    else:
        getattr(contents, name).extend([rng.choice((0, 1, 200))] * count)


def _message_limit(rng: random.Random, model: Model, message: Any) -> None:
    """Integers of 8 and 16 bits come in fields of 32."""
    contents = _tensor(rng, message).contents
    for values in (contents.int_contents, contents.uint_contents):
        if values:
            limit = rng.choice((2**7, 2**8, 2**15, 2**16, 2**31 - 1)) - rng.choice((0, 1))
            values[rng.randrange(len(values))] = limit


def _message_outputs(rng: random.Random, model: Model, message: Any) -> None:
    message.outputs.add(name=rng.choice((*model.outputs, *TEXTS)))


_MESSAGE_CHANGES: tuple[Callable[[random.Random, Model, Any], None], ...] = (
    *(_message_text, _message_datatype, _message_shape, _message_shape),
    *(_message_inputs, _message_raw, _message_raw, _message_typed, _message_limit, _message_outputs),
)


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits turned; bytes put in, taken out, doubled; an end cut off or put on."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            case 2:
                del changed[at : at + rng.choice((1, 2, 8))]
            case 3:
                changed[at:at] = changed[at : at + rng.choice((1, 16, 64))]
            case 4:
                del changed[at:]
            case _:
                changed += rng.randbytes(rng.choice((1, 16)))
    return bytes(changed)
