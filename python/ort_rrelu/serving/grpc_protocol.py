"""Messages of the Open Inference Protocol over gRPC, in tritonclient's protobuf."""

from __future__ import annotations

import sys
from typing import Any

from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.http_protocol import as_bytes, metadata
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Answer, Tensor

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
    """The tensors of a ModelInferRequest, raw or typed. Raises RequestError."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    return [
        Tensor(t.name, t.datatype, tuple(t.shape), raw[i] if raw else _typed(t))
        for i, t in enumerate(request.inputs)
    ]


def _typed(tensor: Any) -> list[Any]:
    if tensor.datatype not in _FIELDS:
        raise RequestError(f'input "{tensor.name}": {tensor.datatype} comes as raw_input_contents only')
    return list(getattr(tensor.contents, _FIELDS[tensor.datatype]))


def answer_message(name: str, request: Any, served: ServedModel, answer: Answer) -> Any:
    """A ModelInferResponse, its tensors raw."""
    datatypes = {spec.name: spec.datatype for spec in served.outputs}
    message = service_pb2.ModelInferResponse(model_name=name, model_version="1", id=request.id)
    for output, array in answer.items():
        message.outputs.add(name=output, datatype=datatypes[output], shape=array.shape)
        message.raw_output_contents.append(as_bytes(array))
    return message


def metadata_message(name: str, served: ServedModel) -> Any:
    """A ModelMetadataResponse."""
    return service_pb2.ModelMetadataResponse(**metadata(name, served.inputs, served.outputs))
