"""Programs that Paddle saved as .json (PIR): their operators, what their rrelus say of themselves, weights.

An operator is {"#": "1.relu", "A": attributes, "I": inputs, "O": outputs, "OA": attributes of outputs,
"regions": bodies}, where "1" is the dialect pd_op; a weight is {"#": "p", ...} with fields of its own.

A tag is what an rrelu says of itself beyond its attributes. Paddle sets is_test on saving, and of foreign
attributes a saved program keeps only `struct_name`, the path of layers that an op was called through. So tags
are appended to it: "/Net/RReLU/#ort_rrelu:training=1".

A marker is an elu with an alpha of its own, which each rrelu becomes for Paddle2ONNX to convert. Not
leaky_relu: Paddle 3.3.1 stores its slope as float64, and Paddle2ONNX 2.1.0 takes the bits for a float32. A
user's own leaky_relu is rewritten to float32 here for that reason.

Weight files are checked, for Paddle and Paddle2ONNX take some truncated ones for whole, without a word.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import paddle
from google.protobuf.message import DecodeError
from paddle.base.proto.framework_pb2 import VarType

from ort_rrelu.errors import InvalidValueError, ModelFileError

Json = dict[str, Any]

_WEIGHT = "p"


def read_document(path: Path) -> Json:
    """Raise InvalidValueError unless the file holds a program in the PIR format."""
    try:
        document: Json = json.loads(path.read_text("utf-8"))
        top_level(document)
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidValueError(
            f"{path}: not a program that Paddle saved, or a damaged one ({type(error).__name__}: {error})"
        ) from error
    return document


def top_level(document: Json) -> list[Json]:
    """The operators outside every body."""
    (region,) = document["program"]["regions"]
    (block,) = region["blocks"]
    ops: list[Json] = block["ops"]
    return ops


def attributes_of(op: Json) -> Json:
    """Name -> value; empty for a weight."""
    if op["#"] == _WEIGHT:
        return {}
    return {attribute["N"]: attribute["AT"].get("D") for attribute in op["A"]}


def bodies(op: Json) -> Iterator[Json]:
    """Of an If or While: {"args": what a While gives it, "ops": its operators}."""
    for region in op.get("regions", ()):
        yield from region["blocks"]


def name(op: Json) -> str:
    """The operator's name without its dialect."""
    return str(op["#"]).split(".", 1)[-1]


def _walk(ops: list[Json], outer: str) -> Iterator[tuple[Json, str]]:
    for op in ops:
        scope = Tags.read(attributes_of(op).get("struct_name") or "").scope or outer
        yield op, scope
        for body in bodies(op):
            yield from _walk(body["ops"], scope)


def operators(document: Json) -> Iterator[tuple[Json, str]]:
    """Every operator, in order, and the layers around it; in bodies, where Paddle writes none, the body's."""
    return _walk(top_level(document), "")


def count_weights(document: Json) -> int:
    """How many tensors the program reads from its .pdiparams file; with none it has no such file.

    Buffers that are not persistable, such as an LSTM's dropout state, stand in the program alone; the first
    of a weight's output attributes tells.
    """
    return sum(op["#"] == _WEIGHT and bool(op["OA"][0]) for op in top_level(document))


_ATTRIBUTE = "struct_name"
_MARK = "#ort_rrelu:"


@dataclass(frozen=True)
class Tags:
    """What a struct_name says.

    scope: the layers around the op, outermost first, without the numbers that Paddle counts up from one
        trace to the next; "" where Paddle wrote none.
    training: the op's own mode, None where it was not carried.
    seed: the seed of an ort_rrelu.paddle.RReLU, None for any other op.
    """

    scope: str = ""
    training: bool | None = None
    seed: int | None = None

    @staticmethod
    def read(struct_name: str) -> Tags:
        """The tags in a struct_name."""
        path, *tags = struct_name.split(_MARK)
        values = dict(tag.split("=") for tag in tags)
        layers = [re.sub(r"_\d+$", "", layer) for layer in path.split("/") if layer]
        return Tags(
            "/".join(layers),
            bool(int(values["training"])) if "training" in values else None,
            int(values["seed"]) if "seed" in values else None,
        )


def _append(op: Any, path: str, **values: int) -> None:
    op.set_str_attr(_ATTRIBUTE, path + "".join(f"{_MARK}{name}={value}" for name, value in values.items()))


def set_seed(y: Any, seed: int) -> None:
    """Tag the rrelu op that gives `y`, a value of the program that is being traced, with a seed."""
    # Paddle writes the path when the layer returns, but not over a struct_name that is there already.
    _append(y.get_defining_op(), paddle.base.framework._full_name_struct(), seed=seed)


def _rrelus(block: Any) -> Iterator[Any]:
    for op in block.ops:
        if op.name() == "pd_op.rrelu":
            yield op
        for body in op.blocks():
            yield from _rrelus(body)


@contextmanager
def carrying_modes(program: Any) -> Iterator[None]:
    """In the block each rrelu of `program`, and so of the copy that Paddle saves, is tagged with its mode."""
    before = []
    for op in _rrelus(program.global_block()):
        attributes = op.attrs()
        before.append((op, attributes.get(_ATTRIBUTE)))
        _append(op, attributes.get(_ATTRIBUTE) or "", training=int(not attributes["is_test"]))
    try:
        yield
    finally:
        for op, path in before:
            if path is None:
                op.erase_attr(_ATTRIBUTE)
            else:
                op.set_str_attr(_ATTRIBUTE, path)


# Markers are -(_BASE + 1), -(_BASE + 2), ...: exact in float32 below 2^24, and no slope anyone would choose.
_BASE = 4_000_000
_RRELU, _ELU, _LEAKY_RELU = ".rrelu", ".elu", ".leaky_relu"


@dataclass(frozen=True)
class Mark:
    """What stands behind one marker: the bounds of an rrelu, and what its tags say."""

    lower: float
    upper: float
    tags: Tags


def mark(document: Json) -> dict[float, Mark]:
    """Put markers, in place, for the rrelus of a saved program.

    Args:
        document: the contents of the .json file.

    Returns:
        alpha of the elu -> what stands behind it, in program order.

    Raises:
        InvalidValueError: an rrelu's Noise output is read, or an elu of the model has a marker for its alpha.
    """
    marks: dict[float, Mark] = {}
    taken: set[float] = set()
    noises: dict[int, str] = {}
    read: set[int] = set()
    for op, scope in list(operators(document)):
        read |= {value["%"] for value in op.get("I", ()) if isinstance(value, dict) and "%" in value}
        if op["#"].endswith(_ELU):
            taken.add(attributes_of(op)["alpha"])
        elif op["#"].endswith(_LEAKY_RELU):
            _store_slope_as_float32(op)
        elif op["#"].endswith(_RRELU):
            alpha = -float(_BASE + len(marks) + 1)
            noises[op["O"][1]["%"]] = scope
            marks[alpha] = _replace(op, alpha, scope)
    if consumed := noises.keys() & read:
        where = ", ".join(sorted(noises[value] or "the top level" for value in consumed))
        raise InvalidValueError(
            f"rrelu in {where}: its Noise output is read, which Paddle2ONNX cannot convert: only Out may be"
        )
    if clash := taken & marks.keys():
        first, last = -_BASE - 1, -_BASE - len(marks)
        raise InvalidValueError(
            f"the model has an elu with alpha={clash.pop():.0f}, which the exporter needs as a marker: "
            f"any alpha but {first if first == last else f'{first} to {last}'} is allowed"
        )
    return marks


def _store_slope_as_float32(op: Json) -> None:
    for attribute in op["A"]:
        kind = attribute["AT"]
        kind["#"] = kind["#"].replace("a_f64", "a_f32")


def _replace(op: Json, alpha: float, scope: str) -> Mark:
    values = attributes_of(op)
    tags = Tags.read(values.get("struct_name") or "")
    op["#"] = op["#"].removesuffix(_RRELU) + _ELU
    op["A"] = [{"AT": {"#": "0.a_f32", "D": alpha}, "N": "alpha"}]
    del op["O"][1:]
    for attribute in op.get("OA", ()):
        if isinstance(listed := attribute["AT"].get("D"), list):
            del listed[1:]
    return Mark(values["lower"], values["upper"], Tags(scope, tags.training, tags.seed))


_BYTES = {
    **dict.fromkeys([VarType.BOOL, VarType.UINT8, VarType.INT8], 1),
    **dict.fromkeys([VarType.INT16, VarType.FP16, VarType.BF16], 2),
    **dict.fromkeys([VarType.INT32, VarType.FP32], 4),
    **dict.fromkeys([VarType.INT64, VarType.FP64, VarType.COMPLEX64], 8),
    VarType.COMPLEX128: 16,
}


def check_weights(path: Path, count: int | None = None) -> None:
    """Check that a .pdiparams file is there and whole.

    Args:
        path: the file, a row of tensors as paddle/phi/core/framework/dense_tensor_serialize.cc writes them.
        count: how many tensors there must be, or None.

    Raises:
        ModelFileError: there is no such file.
        InvalidValueError: the file is damaged, or has another number of tensors.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no file {path} with the model's weights")
    size = path.stat().st_size
    found = 0
    try:
        with path.open("rb") as file:
            while file.tell() < size:
                _skip_tensor(file)
                found += 1
            whole = file.tell() == size
    except (struct.error, DecodeError, KeyError, OSError, OverflowError, ValueError) as error:
        raise InvalidValueError(
            f"{path}: damaged, or no weights of Paddle's ({type(error).__name__} in tensor {found})"
        ) from error
    if not whole or (count is not None and found != count):
        wanted = "a whole number" if count is None else count
        raise InvalidValueError(
            f"{path}: damaged: {size} bytes, {found} tensors begun, where {wanted} must be"
        )


def _skip_tensor(file: BinaryIO) -> None:
    def number(code: str) -> int:
        (value,) = struct.unpack(f"<{code}", file.read(struct.calcsize(code)))
        return int(value)

    number("I")  # version
    for _ in range(number("Q")):
        file.seek(number("Q"), 1)  # a level of details
    number("I")  # version
    description = VarType.TensorDesc.FromString(file.read(max(0, number("i"))))
    file.seek(_BYTES[description.data_type] * math.prod(description.dims), 1)
