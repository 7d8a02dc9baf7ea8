"""A runtime for MLServer: adaptive batching behind the check of each request.

In a model-settings.json: "implementation": "ort_rrelu.serving.mlserver.Runtime", "parameters": {"uri":
"net.onnx", "extra": {"seed": 1, "threads": 2}}, "max_batch_size": 32, "max_batch_time": 0.002. In "extra" are
arguments of ServedModel and of Limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from mlserver import MLModel, ModelSettings
from mlserver.batching.adaptive import AdaptiveBatcher
from mlserver.context import model_context
from mlserver.errors import MLServerError
from mlserver.types import (
    Datatype,
    InferenceRequest,
    InferenceResponse,
    MetadataTensor,
    RequestInput,
    ResponseOutput,
    TensorData,
)

from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.file import read_model
from ort_rrelu.serving.admission import Admission
from ort_rrelu.serving.batching import can_batch
from ort_rrelu.serving.errors import RequestError, check_name, fits_header
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.model import ServedModel, inputs_of, outputs_of
from ort_rrelu.serving.requests import Answer, Tensor, TensorSpec, check_id

_BATCH = "max_batch_size"


class Runtime(MLModel):
    """An ONNX model in MLServer; max_batch_size counts requests, and a model that must not batch does not.

    MLServer joins requests before a runtime sees them, so that a bad one would fail its neighbours. That is
    switched off by max_batch_size = 1; the same batcher works behind our check.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        parameters = settings.parameters
        if parameters is None or not parameters.uri:
            raise InvalidValueError(f'model "{settings.name}": parameters.uri must be the model file')
        if not fits_header(check_name(settings.name)):
            raise InvalidValueError(
                f"model name {settings.name!r}: it must be ASCII, without spaces at its ends, since MLServer "
                "puts it into headers"
            )
        self._path = parameters.uri
        model = read_model(self._path)
        self.inputs = _metadata("input", inputs_of(model))
        self.outputs = _metadata("output", outputs_of(model))
        self._can_batch = can_batch(model)
        # A worker process gets these settings from the main one, which was here before.
        parameters.extra = {_BATCH: settings.max_batch_size, **(parameters.extra or {})}
        settings.max_batch_size = 1
        self._extra = dict(parameters.extra)

    async def load(self) -> bool:
        """Make the session."""
        size = self._extra.pop(_BATCH)
        names = {field.name for field in fields(Limits)}
        limits = Limits(**{name: self._extra.pop(name) for name in names & self._extra.keys()})
        self.served = await asyncio.to_thread(ServedModel, self._path, limits=limits, **self._extra)
        self.admission = Admission(self.served)
        self._batcher = None
        if self._can_batch and size > 1 and self.settings.max_batch_time > 0:
            settings = self.settings.model_copy(update={"max_batch_size": size})
            self._batcher = AdaptiveBatcher(_Joined(settings, self.served))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request; MLServerError (400) says what is wrong with one."""
        wanted = [output.name for output in payload.outputs or ()]
        tensors = [_tensor(tensor) for tensor in payload.inputs]
        try:
            _check_id(payload.id)
            answer = await self.answer(sum(map(_size, tensors)), tensors, wanted)
        except RequestError as error:
            raise MLServerError(str(error), error.status) from error
        specs = {spec.name: spec for spec in self.served.outputs}
        outputs = [_output(specs[name], array) for name, array in answer.items()]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    async def answer(self, size: int, tensors: list[Tensor], wanted: Sequence[str]) -> Answer:
        """The outputs that a request of that many bytes wants, all for none; the list of tensors is emptied.

        Raises RequestError that says what is wrong with the request.
        """
        names = self.served.names(wanted)
        async with self.admission.arrays(size, tensors) as arrays:
            answer = await self._answer(arrays)
        return {name: answer[name] for name in names}

    async def _answer(self, arrays: dict[str, Array]) -> Answer:
        if self._batcher is None:
            return await asyncio.to_thread(self.served.run, arrays)
        inputs = [
            # A list of one array: the batcher joins lists, so that a batch is a list of arrays.
            RequestInput(name=name, shape=list(array.shape), datatype=Datatype.FP32, data=TensorData([array]))
            for name, array in arrays.items()
        ]
        try:
            with model_context(self.settings):
                response = await self._batcher.predict(InferenceRequest(inputs=inputs))
        except RequestError:  # a value that only a kernel can refuse, perhaps a neighbour's
            return await asyncio.to_thread(self.served.run, arrays)
        return {
            output.name: np.asarray(output.data.root).reshape(output.shape) for output in response.outputs
        }


class _Joined(MLModel):
    """What the batcher calls: the requests of a batch in one run."""

    def __init__(self, settings: ModelSettings, served: ServedModel) -> None:
        super().__init__(settings)
        self._served = served

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        answer = await asyncio.to_thread(self._run, payload)
        outputs = [
            ResponseOutput(
                name=name, shape=list(array.shape), datatype=Datatype.FP32, data=TensorData(array.reshape(-1))
            )
            for name, array in answer.items()
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    def _run(self, payload: InferenceRequest) -> Answer:
        names = [tensor.name for tensor in payload.inputs]
        requests = zip(*(tensor.data.root for tensor in payload.inputs), strict=True)
        answers = self._served.run_together([dict(zip(names, arrays, strict=True)) for arrays in requests])
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _check_id(value: str | None) -> None:
    if value is not None and not fits_header(check_id(value)):
        raise RequestError(
            f"id {value!r}: it must be ASCII, without spaces at its ends, since MLServer puts it into headers"
        )


def _size(tensor: Tensor) -> int:
    """Bytes, about: of an image's text, or of numbers."""
    if isinstance(tensor.data, bytes):
        return len(tensor.data)
    first = tensor.data[0] if tensor.data else 0
    return len(tensor.data) * (len(first) if isinstance(first, str | bytes | list) else 8)


def _metadata(kind: str, specs: Sequence[TensorSpec]) -> list[MetadataTensor]:
    known = {datatype.value for datatype in Datatype}
    for spec in specs:
        if spec.datatype not in known:
            raise InvalidValueError(
                f'{kind} "{spec.name}" is {spec.datatype}, which MLServer does not carry: it has '
                f"{', '.join(sorted(known))}"
            )
    return [MetadataTensor(name=s.name, datatype=Datatype(s.datatype), shape=s.wire_shape) for s in specs]


def _tensor(tensor: RequestInput) -> Tensor:
    # gRPC's requests are built without validation: datatype is a plain string there.
    datatype = tensor.datatype.value if isinstance(tensor.datatype, Datatype) else str(tensor.datatype)
    data: Any = getattr(tensor.data, "root", tensor.data)
    return Tensor(tensor.name, datatype, tensor.shape, data if isinstance(data, list) else [data])


def _output(spec: TensorSpec, array: Array) -> ResponseOutput:
    return ResponseOutput(
        name=spec.name,
        shape=list(array.shape),
        datatype=Datatype(spec.datatype),
        data=TensorData(array.reshape(-1).tolist()),
    )
