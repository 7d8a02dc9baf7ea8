"""tritonclient's protobuf of the Open Inference Protocol, as Ray Serve needs it."""

from __future__ import annotations

import sys
from typing import Any

from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server as add_GRPCInferenceServiceServicer_to_server,
)

from ort_rrelu.serving.http_protocol import metadata
from ort_rrelu.serving.model import ServedModel

# Ray Serve pickles messages on their way to a replica. Their classes name the module that they were generated
# as, which is not where tritonclient has it. Serve's proxy gets here by importing add_..._to_server.
sys.modules.setdefault("grpc_service_pb2", service_pb2)


def metadata_message(name: str, served: ServedModel) -> Any:
    """A ModelMetadataResponse."""
    return service_pb2.ModelMetadataResponse(**metadata(name, served.inputs, served.outputs))
