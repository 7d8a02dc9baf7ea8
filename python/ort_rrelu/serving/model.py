"""A model as a server holds it: session, inputs and outputs, and whether requests share runs.

At the end what its process needs: onnxruntime-extensions without its side effect, memory given back.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError, MissingPackageError
from ort_rrelu.graph.file import read_model
from ort_rrelu.graph.nodes import fed_inputs
from ort_rrelu.serving.batching import obstacles
from ort_rrelu.serving.errors import RequestError, shown
from ort_rrelu.serving.image_guard import (
    EXTENSIONS_DOMAINS,
    ImageFile,
    decoded_image,
    image_inputs,
    read_image,
)
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.requests import DTYPES, Answer, Tensor, TensorSpec, as_arrays
from ort_rrelu.tensors import as_array, as_ort_value, declared_shape

_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


def inputs_of(model: onnx.ModelProto, *, guarded: bool = True) -> tuple[TensorSpec, ...]:
    """The inputs of a request. Raises InvalidValueError for one that the protocol cannot carry.

    guarded: an input that the model decodes as an image is BYTES, which image_guard checks, else UINT8.
    """
    images = image_inputs(model) if guarded else set()
    return tuple(
        TensorSpec(value.name, "BYTES", (1,), image=True) if value.name in images else _spec("input", value)
        for value in fed_inputs(model)
    )


def outputs_of(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The outputs. Raises InvalidValueError for one that the protocol cannot carry."""
    return tuple(_spec("output", value) for value in model.graph.output)


def _spec(kind: str, value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise InvalidValueError(f'{kind} "{value.name}" is no tensor with a shape: it cannot be served')
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype not in _DATATYPES:
        raise InvalidValueError(f'{kind} "{value.name}" is {dtype}: the protocol carries {", ".join(DTYPES)}')
    return TensorSpec(value.name, _DATATYPES[dtype], declared_shape(tensor))


@dataclass(frozen=True)
class Unpacked:
    """A request's arrays without its images, and the headers of these."""

    arrays: dict[str, Array]
    images: dict[str, ImageFile]

    @property
    def pixels(self) -> int:
        """Of all images."""
        return sum(image.pixels for image in self.images.values())


class ServedModel:
    """A model with its session, ready to answer requests from several threads at once.

    Args:
        path: the model file. Nodes of onnxruntime-extensions are registered too.
        seed: as in ort_rrelu.register.
        threads: of ONNX Runtime for one run; None leaves the number to it.
        providers: as in onnxruntime.InferenceSession.
        limits: what a request may have at most; None for the defaults.

    Raises:
        ModelFileError, InvalidValueError: as ort_rrelu.InferenceSession; also for an input or output that the
            Open Inference Protocol cannot carry.
        MissingPackageError: onnxruntime-extensions is needed and missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        seed: int | None = None,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        model = read_model(path)
        self.limits = limits or Limits()
        self.inputs = inputs_of(model)
        self.outputs = outputs_of(model)
        self.obstacles = tuple(obstacles(model))
        # NumPy's interface of ONNX Runtime lacks bfloat16, OrtValues lack strings.
        datatypes = {spec.datatype for spec in (*self.inputs, *self.outputs)}
        self._by_value = "BF16" in datatypes
        if self._by_value and any(spec.datatype == "BYTES" and not spec.image for spec in self.inputs):
            raise InvalidValueError("a model with strings and bfloat16 among its inputs cannot be served")
        self._session = ort_rrelu.InferenceSession(
            os.fspath(Path(path)), _options(model, seed, threads), list(providers or ["CPUExecutionProvider"])
        )

    @property
    def batches(self) -> bool:
        """Whether requests may share a run."""
        return not self.obstacles

    def arrays(self, tensors: Iterable[Tensor]) -> dict[str, Array]:
        """A request's tensors as the model takes them. Raises RequestError."""
        return self.decoded(self.unpacked(tensors))

    def unpacked(self, tensors: Iterable[Tensor]) -> Unpacked:
        """The same, of the images only the headers. Raises RequestError."""
        arrays = as_arrays(self.inputs, tensors, self.limits)
        images = [spec.name for spec in self.inputs if spec.image]
        return Unpacked(arrays, {name: read_image(arrays.pop(name).item(), self.limits) for name in images})

    def decoded(self, request: Unpacked) -> dict[str, Array]:
        """What `unpacked` gave, its images decoded. Raises RequestError."""
        images = {name: decoded_image(file) for name, file in request.images.items()}
        return request.arrays | {name: np.frombuffer(image, np.uint8) for name, image in images.items()}

    def names(self, wanted: Sequence[str]) -> list[str]:
        """The outputs that a request gets: those that it names, else all. Raises RequestError."""
        names = [spec.name for spec in self.outputs]
        for count, name in enumerate(wanted):
            if name not in names:
                raise RequestError(f'there is no output "{shown(name)}": the outputs are {", ".join(names)}')
            if name in wanted[:count]:
                raise RequestError(f'output "{name}" is asked for twice')
        return list(wanted) or names

    def run(self, arrays: dict[str, Array]) -> Answer:
        """The outputs by name. Raises RequestError when ONNX Runtime refuses the inputs."""
        names = [spec.name for spec in self.outputs]
        try:
            values = self._run(names, arrays)
        except Exception as error:  # ONNX Runtime's have no other base class
            raise RequestError(f"ONNX Runtime refused these inputs: {error}") from error
        return dict(zip(names, values, strict=True))

    def _run(self, names: list[str], arrays: dict[str, Array]) -> list[Array]:
        if not self._by_value:
            return [np.asarray(array) for array in self._session.run(names, arrays)]
        feeds = {name: as_ort_value(array) for name, array in arrays.items()}
        values = map(as_array, self._session.run_with_ort_values(names, feeds))
        return [array for array in values if array is not None]

    def run_together(self, requests: Sequence[dict[str, Array]]) -> list[Answer]:
        """Several requests in a run, or in as many as limits.max_rows asks for; an answer for each."""
        return [answer for shared in self._shared(requests) for answer in self._joined(shared)]

    def _shared(self, requests: Sequence[dict[str, Array]]) -> Iterator[list[dict[str, Array]]]:
        """The requests of each run, in order."""
        shared: list[dict[str, Array]] = []
        rows = 0
        for request in requests:
            more = _rows(request)
            if shared and rows + more > self.limits.max_rows:
                yield shared
                shared, rows = [], 0
            shared.append(request)
            rows += more
        yield shared

    def _joined(self, requests: Sequence[dict[str, Array]]) -> list[Answer]:
        """One run: joined along the first dimension, and taken apart again."""
        if len(requests) == 1:
            return [self.run(requests[0])]
        joined = {name: np.concatenate([r[name] for r in requests]) for name in requests[0]}
        ends = list(accumulate(map(_rows, requests)))
        answer = self.run(joined)
        return [
            {name: array[begin:end] for name, array in answer.items()}
            for begin, end in zip([0, *ends], ends, strict=False)
        ]


def _rows(request: dict[str, Array]) -> int:
    """Of a request whose inputs all begin with the batch."""
    return len(next(iter(request.values())))


def _options(model: onnx.ModelProto, seed: int | None, threads: int | None) -> Any:
    options = ort_rrelu.register(seed=seed)
    options.add_session_config_entry("ort_rrelu.one_model", "1")
    options.log_severity_level = 4  # errors come as exceptions, too
    if image_inputs(model):  # an arena would keep what the largest image took
        options.enable_cpu_mem_arena = False
    if threads is not None:
        options.intra_op_num_threads = threads
    if any(opset.domain in EXTENSIONS_DOMAINS for opset in model.opset_import):
        options.register_custom_ops_library(import_extensions().get_library_path())
    return options


# 0.15 sets it for protobuf, which has read it by then; processes that are started later would read it, and
# their messages would take a hundred times as long.
_VARIABLE = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


def import_extensions(module: str = "onnxruntime_extensions") -> Any:
    """The package, or a module of it; the environment stays as it is.

    Raises MissingPackageError when it is not installed.
    """
    before = os.environ.get(_VARIABLE)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            "onnxruntime-extensions, which images need, is not installed: pip install onnxruntime-extensions"
        ) from error
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


_M_MMAP_THRESHOLD = -3  # of malloc.h


_LARGE = 2**20


def return_large_blocks() -> bool:
    """Whether blocks of 1 MiB and more are now mapped one by one, for the whole process.

    glibc raises its own limit to 32 MiB with use, and then keeps what every thread has ever needed: a server
    with a dozen threads keeps hundreds of MiB of requests that were answered long ago.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))
