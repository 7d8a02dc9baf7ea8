"""Messages of the Open Inference Protocol over gRPC, in tritonclient's protobuf."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from ort_rrelu.serving.errors import RequestError, shown
from ort_rrelu.serving.http_protocol import as_bytes, metadata
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Answer, Tensor, check_id

__all__ = [
    "add_GRPCInferenceServiceServicer_to_server",
    "answer_message",
    "metadata_message",
    "tensors_of",
]

# Ray Serve pickles messages on their way to a replica. Their classes name the module that they were generated
# as, which is not where tritonclient has it. Serve's proxy gets here by importing add_..._to_server.
sys.modules.setdefault("grpc_service_pb2", service_pb2)

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


def answer_message(message: Any, request: Any, served: ServedModel, answer: Answer, *, typed: bool) -> Any:
    """Fill in and return a ModelInferResponse that has name and version.

    typed: tensors come as typed contents where their datatype has such, not as raw_output_contents. Without
    it, and where one output has none, all of them come raw.
    """
    datatypes = {spec.name: spec.datatype for spec in served.outputs}
    message.id = request.id
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


def metadata_message(name: str, served: ServedModel) -> Any:
    """A ModelMetadataResponse."""
    return service_pb2.ModelMetadataResponse(**metadata(name, served.inputs, served.outputs))
