"""Whole requests by chance: arrays that a model takes, as JSON with binary tensors and as protobuf."""

from __future__ import annotations

import base64
import json
import random
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from ort_rrelu.arguments import Array
from tests.servers.fuzz.models import DATATYPES, Model, image_files
from tests.servers.fuzz.oracle import CONTENTS

_ODD = (0.0, -0.0, 1e-40, -1e-40, 3e38, -65504.0, float("inf"), float("-inf"), float("nan"))
_TEXTS = ("", "a", "\u00fc", "\u732b", "\U0001f642" * 3, "a,b", '"\\', "x" * 70)
_STEPS = (0, 1, 2**31, 2**32, 2**62 + 1, 2**63 - 1, -1, -(2**63))


@dataclass
class Body:
    """JSON before it is written, and the binary tensors behind it."""

    request: dict[str, Any]
    binary: list[bytes] = field(default_factory=list)

    def written(self) -> tuple[bytes, str | None]:
        """The bytes, and Inference-Header-Content-Length."""
        text = json.dumps(self.request).encode()
        return b"".join([text, *self.binary]), str(len(text)) if self.binary else None


def arrays_of(rng: random.Random, model: Model) -> dict[str, Array]:
    """What a request may bring, and now and then an index beyond the table."""
    if model.answer is None:
        return {"image": np.array([rng.choice(image_files())], object)}
    batch = rng.choice((0, 1, 1, 1, 2, 3, 5, 17))
    found = {}
    for name, wanted in model.inputs.items():
        shape = [batch if size is None else size for size in wanted.shape]
        values = [_value(rng, name, wanted.datatype) for _ in range(int(np.prod(shape)))]
        with np.errstate(over="ignore"):
            found[name] = np.array(values, DATATYPES[wanted.datatype]).reshape(shape)
    return found


def _value(rng: random.Random, name: str, datatype: str) -> Any:
    kind = np.dtype(DATATYPES[datatype]).kind
    if name == "at":
        return rng.randint(-8, 7) if rng.random() < 0.995 else rng.choice((8, -9, 77, 2**63 - 1))
    if kind == "f":
        return rng.choice(_ODD) if rng.random() < 0.05 else rng.gauss(0, 2)
    if kind == "b":
        return rng.random() < 0.5
    if kind == "O":
        return rng.choice(_TEXTS)
    limits = np.iinfo(np.dtype(DATATYPES[datatype]))
    odd = [step for step in _STEPS if limits.min <= step <= limits.max]
    return rng.choice(odd) if rng.random() < 0.3 else rng.randint(int(limits.min), int(limits.max))


def body_of(rng: random.Random, model: Model, arrays: dict[str, Array]) -> Body:
    """The arrays as values, nested values or bytes; some outputs, some as bytes; with an id or none."""
    binary: list[bytes] = []
    inputs = []
    for name, array in arrays.items():
        entry: dict[str, Any] = {
            "name": name,
            "datatype": model.inputs[name].datatype,
            "shape": list(array.shape),
        }
        form = rng.choice(("flat", "nested", "binary"))
        if form == "binary":
            binary.append(raw(array))
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = _values(array, nested=form == "nested")
        inputs.append(entry)
    request: dict[str, Any] = {"inputs": inputs}
    if rng.random() < 0.3:
        request["id"] = rng.choice(("", "an id", "\u00e9" * 128, "7"))
    if rng.random() < 0.4:
        names = rng.sample(list(model.outputs), rng.randint(1, len(model.outputs)))
        request["outputs"] = [{"name": name} for name in names]
        for entry in request["outputs"]:
            if rng.random() < 0.4:
                entry["parameters"] = {"binary_data": rng.random() < 0.8}
    if rng.random() < 0.3:
        request["parameters"] = {"binary_data_output": rng.random() < 0.8}
    return Body(request, binary)


def _values(array: Array, *, nested: bool) -> list[Any]:
    """Strings are never nested."""
    if array.dtype == object:
        return [_in_json(value) for value in array.reshape(-1)]
    return list((array if nested else array.reshape(-1)).tolist())


def _in_json(value: str | bytes) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def raw(array: Array) -> bytes:
    """A tensor as the protocol's bytes."""
    if array.dtype != object:
        return array.tobytes()
    texts = [value if isinstance(value, bytes) else value.encode() for value in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def message_of(rng: random.Random, name: str, model: Model, arrays: dict[str, Array]) -> Any:
    """A ModelInferRequest: all tensors raw, or all typed where their datatypes have such contents."""
    message = service_pb2.ModelInferRequest(model_name=name)
    typed = rng.random() < 0.5 and all(wanted.datatype in CONTENTS for wanted in model.inputs.values())
    for key, array in arrays.items():
        datatype = model.inputs[key].datatype
        tensor = message.inputs.add(name=key, datatype=datatype, shape=array.shape)
        if not typed:
            message.raw_input_contents.append(raw(array))
            continue
        values = array.reshape(-1).tolist()
        if datatype == "BYTES":
            values = [value if isinstance(value, bytes) else value.encode() for value in values]
        getattr(tensor.contents, CONTENTS[datatype]).extend(values)
    if rng.random() < 0.3:
        message.id = rng.choice(("an id", "\u00e9" * 128))
    if rng.random() < 0.4:
        for output in rng.sample(list(model.outputs), rng.randint(1, len(model.outputs))):
            message.outputs.add(name=output)
    return message
