"""What is measured: RReLU in ONNX Runtime by us and by what exporters write today, torch, and a memory copy.

Each contender makes, for a case, a function that runs once on arrays that are there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

import ort_rrelu
import ort_rrelu.torch
from ort_rrelu import schema
from tests.onnx_models import make_model

ALL_THREADS = torch.get_num_threads()
_SIZES = (10, 100, 1_000, 10_000, 2**17, 2**20, 2**24, 10**8)
_SIZES_OF_OTHER_DTYPES = (1_000, 2**17, 2**24)
_DTYPES: dict[str, tuple[torch.dtype, int]] = {
    "float": (torch.float32, onnx.TensorProto.FLOAT),
    "double": (torch.float64, onnx.TensorProto.DOUBLE),
    "float16": (torch.float16, onnx.TensorProto.FLOAT16),
    "bfloat16": (torch.bfloat16, onnx.TensorProto.BFLOAT16),
}

Run = Callable[[], object]
Inputs = dict[str, tuple[torch.Tensor, int]]  # name -> values, ONNX element type


@dataclass(frozen=True)
class Case:
    """One measurement: seconds of one run of `contender` on `size` elements."""

    mode: str  # train, eval, backward
    contender: str
    dtype: str
    size: int
    threads: int

    def __str__(self) -> str:
        """As pytest names it."""
        return f"{self.mode}-{self.contender}-{self.dtype}-{self.size}-{self.threads}"


def _tensor(case: Case) -> torch.Tensor:
    generator = torch.Generator().manual_seed(case.size)
    return torch.randn(case.size, generator=generator).to(_DTYPES[case.dtype][0])


def _ort_value(tensor: torch.Tensor, element: int) -> Any:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(tensor.numpy(), element)


def _session(model: onnx.ModelProto, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort_rrelu.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], lower_eval=False
    )


def _floats(size: int, past_line: int) -> np.ndarray[Any, Any]:
    """Zeros that begin `past_line` bytes after the beginning of a cache line."""
    floats = np.zeros(size + 32, np.float32)
    first = (past_line - floats.ctypes.data) % 64 // floats.itemsize
    return floats[first : first + size]


def _run(
    case: Case, nodes: list[onnx.NodeProto], inputs: Inputs, output: str, past_line: int | None = None
) -> Run:
    """The nodes in a session, with inputs and output bound, so that nothing is allocated or copied.

    The output begins `past_line` bytes after the beginning of a cache line, or where ONNX Runtime puts it.
    """
    element = _DTYPES[case.dtype][1]
    values = [helper.make_tensor_value_info(name, kind, ["n"]) for name, (_, kind) in inputs.items()]
    outputs = [helper.make_tensor_value_info(output, element, ["m"])]
    session = _session(make_model(nodes, values, outputs), case.threads)
    binding = session.io_binding()
    for name, (tensor, kind) in inputs.items():
        binding.bind_ortvalue_input(name, _ort_value(tensor, kind))
    if past_line is None:
        result = onnxruntime.OrtValue.ortvalue_from_shape_and_type([case.size], element)
    else:
        result = onnxruntime.OrtValue.ortvalue_from_numpy(_floats(case.size, past_line))
    binding.bind_ortvalue_output(output, result)
    return lambda: session.run_with_iobinding(binding)


def _forward(case: Case, *nodes: onnx.NodeProto) -> Run:
    return _run(case, list(nodes), {"x": (_tensor(case), _DTYPES[case.dtype][1])}, "y")


def _rrelu(outputs: list[str], training: int) -> onnx.NodeProto:
    return helper.make_node(
        schema.RRELU,
        ["x"],
        outputs,
        domain=schema.DOMAIN,
        training=training,
        seed=1,
        lower=0.125,
        upper=1 / 3,
    )


def _ours(case: Case) -> Run:
    return _forward(case, _rrelu(["y"], int(case.mode == "train")))


def _ours_past_line(case: Case) -> Run:
    """As NumPy's large arrays begin."""
    node = _rrelu(["y"], int(case.mode == "train"))
    return _run(case, [node], {"x": (_tensor(case), _DTYPES[case.dtype][1])}, "y", past_line=16)


def _ours_with_noise(case: Case) -> Run:
    return _forward(case, _rrelu(["y", "noise"], 1))


def _ours_with_reserve(case: Case) -> Run:
    return _forward(case, _rrelu(["y", "", "reserve"], 1))


def _backward(case: Case, *, reserve: bool) -> Run:
    element = _DTYPES[case.dtype][1]
    x = _tensor(case)
    array = x.view(torch.uint16).numpy().view(_bfloat16()) if case.dtype == "bfloat16" else x.numpy()
    _, noise, bits = ort_rrelu.rrelu(array, training=True, seed=1, return_noise=True, return_reserve=True)
    saved = torch.from_numpy(bits) if reserve else torch.from_numpy(_plain(noise)).view(x.dtype)
    kind = onnx.TensorProto.UINT8 if reserve else element
    node = helper.make_node(schema.RRELU_GRAD, ["dy", "saved"], ["dx"], domain=schema.DOMAIN)
    return _run(case, [node], {"dy": (x, element), "saved": (saved, kind)}, "dx")


def _bfloat16() -> Any:
    return helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.view(np.uint16) if array.dtype == _bfloat16() else array


def _decomposed(case: Case) -> Run:
    """What torch's TorchScript exporter writes for a train-mode rrelu."""
    return _forward(
        case,
        helper.make_node("RandomUniformLike", ["x"], ["slope"], low=0.125, high=1 / 3),
        helper.make_node("PRelu", ["x", "slope"], ["y"]),
    )


def _leaky_relu(case: Case) -> Run:
    return _forward(case, helper.make_node("LeakyRelu", ["x"], ["y"], alpha=11 / 48))


def _in_torch(case: Case, run: Run) -> Run:
    def with_threads() -> object:
        torch.set_num_threads(case.threads)
        return run()

    return with_threads


def _torch(case: Case) -> Run:
    x = _tensor(case)
    if case.mode == "backward":
        noise = torch.rand_like(x)
        return _in_torch(
            case, lambda: torch.ops.aten.rrelu_with_noise_backward(x, x, noise, 0.125, 1 / 3, True, False)
        )
    training = case.mode == "train"
    return _in_torch(case, lambda: torch.nn.functional.rrelu(x, training=training))


def _our_module(case: Case) -> Run:
    x = _tensor(case)
    module = ort_rrelu.torch.RReLU().train(case.mode == "train")
    return _in_torch(case, lambda: module(x))


def _copy(case: Case) -> Run:
    x = _tensor(case)
    y = torch.zeros_like(x)
    return _in_torch(case, lambda: y.copy_(x))


# (mode, contender) -> how, and the dtypes that it can.
_EVERY = tuple(_DTYPES)
_CONTENDERS: dict[tuple[str, str], tuple[Callable[[Case], Run], tuple[str, ...]]] = {
    ("train", "ours"): (_ours, _EVERY),
    ("train", "ours, y 16 bytes past a line"): (_ours_past_line, ("float",)),
    ("train", "ours with noise"): (_ours_with_noise, _EVERY),
    ("train", "ours with reserve"): (_ours_with_reserve, _EVERY),
    ("train", "ONNX Runtime decomposed"): (_decomposed, ("float",)),
    ("train", "torch"): (_torch, ("float", "double")),
    ("train", "our torch module"): (_our_module, ("float",)),
    ("eval", "ours"): (_ours, _EVERY),
    ("eval", "ours, y 16 bytes past a line"): (_ours_past_line, ("float",)),
    ("eval", "ONNX Runtime LeakyRelu"): (_leaky_relu, ("float",)),
    ("eval", "torch"): (_torch, _EVERY),
    ("eval", "our torch module"): (_our_module, ("float",)),
    ("backward", "ours from noise"): (lambda case: _backward(case, reserve=False), _EVERY),
    ("backward", "ours from reserve"): (lambda case: _backward(case, reserve=True), _EVERY),
    ("backward", "torch"): (_torch, ("float", "double")),
    ("copy", "memory copy"): (_copy, _EVERY),
}


def cases() -> Iterator[Case]:
    """All of them: contenders of one case follow each other, so that a noisy minute meets them alike."""
    for dtype in _DTYPES:
        for size in _SIZES if dtype == "float" else _SIZES_OF_OTHER_DTYPES:
            for threads in sorted({1, ALL_THREADS}):
                for (mode, contender), (_, dtypes) in _CONTENDERS.items():
                    if dtype in dtypes:
                        yield Case(mode, contender, dtype, size, threads)


def prepare(case: Case) -> Run:
    """The function to measure."""
    return _CONTENDERS[case.mode, case.contender][0](case)
