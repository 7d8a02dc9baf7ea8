"""tritonclient over each transport, with one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from ort_rrelu.arguments import Array

_REFUSED = {
    **dict.fromkeys(("400", "422", "StatusCode.INVALID_ARGUMENT"), "invalid"),
    **dict.fromkeys(("404", "StatusCode.NOT_FOUND"), "not found"),
    **dict.fromkeys(("413", "StatusCode.RESOURCE_EXHAUSTED"), "too large"),
}


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served. headers: gRPC metadata that route to it."""

    name: str
    http: str
    grpc: str
    headers: dict[str, str] = field(default_factory=dict)


class Client:
    """One connection. transport: "json", "binary" or "grpc"."""

    def __init__(self, endpoint: Endpoint, transport: str) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._module: Any = tritonclient.grpc if transport == "grpc" else tritonclient.http
        url = endpoint.grpc if transport == "grpc" else endpoint.http
        timeouts = {} if transport == "grpc" else {"connection_timeout": 60, "network_timeout": 60}
        self.raw = self._module.InferenceServerClient(url, **timeouts)
        self.headers = endpoint.headers if transport == "grpc" else {}

    def infer(
        self, arrays: dict[str, tuple[str, Array]], outputs: Sequence[str] = (), name: str | None = None
    ) -> dict[str, Array]:
        """arrays: name -> (datatype, array); outputs: those asked for, none for all."""
        inputs = []
        for key, (datatype, array) in arrays.items():
            tensor = self._module.InferInput(key, array.shape, datatype)
            binary = {} if self._transport == "grpc" else {"binary_data": self._transport == "binary"}
            tensor.set_data_from_numpy(array, **binary)
            inputs.append(tensor)
        more: dict[str, Any] = {"headers": self.headers}
        if outputs and self._transport == "grpc":
            more["outputs"] = [self._module.InferRequestedOutput(o) for o in outputs]
        elif outputs:
            binary_data = self._transport == "binary"
            more["outputs"] = [self._module.InferRequestedOutput(o, binary_data=binary_data) for o in outputs]
        result = self.raw.infer(name or self._endpoint.name, inputs, **more)
        response = result.get_response()
        listed = response.outputs if self._transport == "grpc" else response["outputs"]
        names = [o.name if self._transport == "grpc" else o["name"] for o in listed]
        return {o: np.asarray(result.as_numpy(o)) for o in names}

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()


def refusal(error: InferenceServerException) -> str:
    """How a request was refused: "invalid", "not found" or "too large"; nothing else is a refusal."""
    assert error.message(), "without a reason"
    assert error.status() in _REFUSED, f"{error.status()}: {error.message()}"
    return _REFUSED[error.status()]
