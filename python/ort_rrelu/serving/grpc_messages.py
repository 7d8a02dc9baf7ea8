"""Messages of the Open Inference Protocol over gRPC, of any package that generated them.

MLServer and tritonclient have each its own, of which a process can have only one: none is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ort_rrelu.serving.errors import RequestError, shown
from ort_rrelu.serving.http_protocol import as_bytes
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Answer, Tensor, check_id

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def tensors_of(request: Any) -> list[Tensor]:
    """The tensors of a ModelInferRequest, raw or typed; typed values are not converted yet.

    Raises RequestError for them, and for an id that is too long.
    """
    check_id(request.id)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    return [
        Tensor(t.name, t.datatype, tuple(t.shape), raw[i] if raw else _typed(t))
        for i, t in enumerate(request.inputs)
    ]


def _typed(tensor: Any) -> Sequence[Any]:
    if tensor.datatype not in _FIELDS:
        raise RequestError(
            f'input "{shown(tensor.name)}": {shown(tensor.datatype)} comes as raw_input_contents only'
        )
    values: Sequence[Any] = getattr(tensor.contents, _FIELDS[tensor.datatype])
    return values


def fill_answer(message: Any, served: ServedModel, answer: Answer, typed: bool) -> Any:
    """Fill in and return a ModelInferResponse that has its id, name and version.

    typed: tensors come as typed contents where their datatype has such, not as raw_output_contents. Without
    it, and where one output has none, all of them come raw.
    """
    datatypes = {spec.name: spec.datatype for spec in served.outputs}
    typed = typed and all(datatypes[output] in _FIELDS for output in answer)
    for output, array in answer.items():
        datatype = datatypes[output]
        tensor = message.outputs.add(name=output, datatype=datatype, shape=array.shape)
        if not typed:
            message.raw_output_contents.append(as_bytes(array))
            continue
        values = [str(text).encode() for text in np.ravel(array)] if datatype == "BYTES" else np.ravel(array)
        getattr(tensor.contents, _FIELDS[datatype]).extend(values)
    return message
