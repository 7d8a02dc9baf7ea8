"""The signature of the ops, read from schema.json, and its onnx OpSchemas.

Importing this module registers the schemas with onnx, so that onnx.checker, onnx.shape_inference and
onnxscript know the ops (a misspelt attribute is then an error there); Python's exit takes them out again. The
C++ build reads the same file. The layout of a reserve, which is an output of RRelu, is here too.
"""

from __future__ import annotations

import atexit
import json
import math
from importlib import resources
from typing import Any

import numpy as np
import onnx
from onnx.defs import OpSchema

_SPEC: dict[str, Any] = json.loads(resources.files(__package__).joinpath("schema.json").read_text("utf-8"))

DOMAIN: str = _SPEC["domain"]
VERSION: int = _SPEC["version"]
RRELU, RRELU_GRAD = _SPEC["ops"]
_RESERVE = [value["name"] for value in _SPEC["ops"][RRELU]["outputs"]].index("reserve")
_STEP = [value["name"] for value in _SPEC["ops"][RRELU]["inputs"]].index("step")
_VARIABLES = {"T": "The element types.", "S": "T for noise, uint8 for a reserve."}

# NumPy's dtype for each element type -> ONNX's TensorProto.DataType, which the C API numbers alike.
_ELEMENTS = [onnx.TensorProto.DataType.Value(name.upper()) for name in _SPEC["types"]["T"]]
DTYPES: dict[np.dtype[Any], int] = {onnx.helper.tensor_dtype_to_np_dtype(e): e for e in _ELEMENTS}


def default(attribute: str) -> float | int:
    """The default of an RRelu attribute."""
    value: float | int = next(
        a["default"] for a in _SPEC["ops"][RRELU]["attributes"] if a["name"] == attribute
    )
    return value


LOWER = float(default("lower"))
UPPER = float(default("upper"))


def opset_import() -> onnx.OperatorSetIdProto:
    """The entry that a model's opset_import needs."""
    return onnx.helper.make_opsetid(DOMAIN, VERSION)


def _type_name(kind: str) -> str:
    return kind if kind in _SPEC["types"] else f"tensor({kind})"


def _parameter(spec: dict[str, Any]) -> OpSchema.FormalParameter:
    option = OpSchema.FormalParameterOption
    return OpSchema.FormalParameter(
        spec["name"],
        _type_name(spec["type"]),
        spec["doc"],
        param_option=option.Optional if spec.get("optional") else option.Single,
    )


def _attribute(spec: dict[str, Any]) -> OpSchema.Attribute:
    return OpSchema.Attribute(
        spec["name"], onnx.helper.make_attribute(spec["name"], spec["default"]), spec["doc"]
    )


def _kinds(variable: str) -> list[str]:
    """The element types of a type variable; one that is listed among them stands for its own."""
    kinds: dict[str, list[str]] = _SPEC["types"]
    return [kind for name in kinds[variable] for kind in (_kinds(name) if name in kinds else [name])]


def _constraints(spec: dict[str, Any]) -> list[tuple[str, list[str], str]]:
    used = {value["type"] for value in (*spec["inputs"], *spec["outputs"])}
    return [
        (variable, [f"tensor({kind})" for kind in _kinds(variable)], doc)
        for variable, doc in _VARIABLES.items()
        if variable in used
    ]


def _size(value: onnx.TypeProto) -> int | None:
    """The number of elements, where every dimension is known."""
    dimensions = value.tensor_type.shape.dim
    if not value.tensor_type.HasField("shape") or not all(d.HasField("dim_value") for d in dimensions):
        return None
    # One that no tensor has, which a malformed model may declare, is as good as none.
    size = math.prod(d.dim_value for d in dimensions)
    return size if 0 <= size < 2**63 else None


def _reserve_type(context: Any, x: onnx.TypeProto) -> onnx.TypeProto:
    """uint8, in one dimension, whose size is known where x's shape and the number of steps are."""
    size = _size(x)
    steps: int | None = 1
    if context.get_num_inputs() > _STEP:
        step = context.get_input_type(_STEP)
        steps = None if step is None else _size(step)
    length = None if size is None or steps is None else reserve_bytes(size, steps)
    return onnx.helper.make_tensor_type_proto(onnx.TensorProto.UINT8, [length])


def _pass_types_on(context: Any) -> None:
    """Every output has the type and shape of input 0, but for the reserve."""
    # Without an input in a function that is called with too few.
    if not context.get_num_inputs() or (value := context.get_input_type(0)) is None:
        return
    for index in range(context.get_num_outputs()):
        context.set_output_type(index, _reserve_type(context, value) if index == _RESERVE else value)


def _schema(name: str) -> OpSchema:
    spec = _SPEC["ops"][name]
    schema = OpSchema(
        name,
        DOMAIN,
        VERSION,
        spec["doc"],
        inputs=[_parameter(s) for s in spec["inputs"]],
        outputs=[_parameter(s) for s in spec["outputs"]],
        type_constraints=_constraints(spec),
        attributes=[_attribute(s) for s in spec["attributes"]],
    )
    schema.set_type_and_shape_inference_function(_pass_types_on)
    return schema


def schemas() -> dict[str, OpSchema]:
    """The OpSchema of each op, by name, as registered with onnx."""
    return {name: onnx.defs.get_schema(name, VERSION, DOMAIN) for name in _SPEC["ops"]}


def _register() -> None:
    for name in _SPEC["ops"]:
        if not onnx.defs.has(name, VERSION, DOMAIN):
            onnx.defs.register_schema(_schema(name))
            atexit.register(_deregister, name)


def _deregister(name: str) -> None:
    """At exit, unless somebody has put another schema in its place.

    onnx keeps schemas until its library is unloaded, which is after Python's end. Its releases before 1.23
    then let go of a shape inference that is a Python function: a segmentation fault, or an exit that never
    ends.
    """
    if not onnx.defs.has(name, VERSION, DOMAIN):
        return
    if onnx.defs.get_schema(name, VERSION, DOMAIN).doc == _SPEC["ops"][name]["doc"]:
        onnx.defs.deregister_schema(name, VERSION, DOMAIN)


_register()


# A reserve is this header, the steps of rows that have some of their own, then bit i % 8 of byte i / 8 =
# (x[i] <= 0); ops/reserve.h says it for the kernels.
RESERVE_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("dtype", "<u4"),  # ONNX's number
        ("training", "<u4"),
        ("lower", "<f4"),
        ("upper", "<f4"),
        ("seed", "<u8"),
        ("step", "<u8"),
        ("size", "<u8"),  # elements
        ("rows", "<u8"),  # with steps of their own: 0 in version 1, 2 or more in version 2
        ("zero", "<u8"),
    ]
)
RESERVE_MAGIC = int.from_bytes(b"rrel", "little")
RESERVE_VERSION = 1
RESERVE_ROWS_VERSION = 2  # with steps of rows


def reserve_bytes(size: int, rows: int = 0) -> int:
    """Bytes of the reserve of a tensor of `size` elements, of which `rows` rows have steps of their own."""
    steps = rows if rows > 1 else 0  # one row is drawn as all of x is
    return RESERVE_HEADER.itemsize + 8 * steps + -(-size // 8)
