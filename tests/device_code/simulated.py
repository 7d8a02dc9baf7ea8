"""A simulated device: the host's half of the kernels launches them, the interpreter runs them."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ort_rrelu import schema
from tests.device_code import compiling, ptx
from tests.device_code.grid import Program
from tests.device_code.memory import Memory
from tests.draws import Draw

_PROCESSORS = 132

_Handler = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p)
)


class _Params(ctypes.Structure):
    """ort_rrelu_params of ops/rrelu.h."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("dtype", ctypes.c_int32),
        ("lower", ctypes.c_float),
        ("upper", ctypes.c_float),
        ("training", ctypes.c_int32),
        ("num_threads", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("step", ctypes.c_uint64),
        ("steps", ctypes.c_void_p),
        ("rows", ctypes.c_uint64),
    )


class _Source(ctypes.Structure):
    """cuda::Source of ops/cuda/kernels.h."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("seed", "step", "counter", "taken"))


@functools.cache
def _host() -> ctypes.CDLL:
    library = ctypes.CDLL(str(compiling.build().host))
    pointer, number = ctypes.c_void_p, ctypes.c_uint64
    params = ctypes.POINTER(_Params)
    library.launch_forward.argtypes = [params, ctypes.POINTER(_Source), *[pointer] * 4, *[number] * 3]
    library.launch_backward.argtypes = [params, *[pointer] * 3, *[number] * 2]
    library.launch_backward_reserve.argtypes = [params, *[pointer] * 3, number, pointer, *[number] * 3]
    for function in (library.launch_forward, library.launch_backward, library.launch_backward_reserve):
        function.restype = None
    return library


@functools.cache
def _programs(path: Path) -> dict[str, ptx.Kernel]:
    return ptx.kernels(path)


@functools.cache
def _program(path: Path, name: str) -> Program:
    return Program(_programs(path)[name])


@dataclass(frozen=True)
class Range:
    """Elements [begin, end) of a tensor of `size`."""

    begin: int
    end: int
    size: int


@dataclass(frozen=True)
class Source:
    """Addresses of what a run reads on the device."""

    seed: int | None = None
    step: int | None = None
    counter: int | None = None
    taken: int | None = None


class Device:
    """Arrays and launches of one test."""

    def __init__(self, path: Path, processors: int = _PROCESSORS) -> None:
        self.memory = Memory()
        self.launched: list[tuple[str, int]] = []  # kernels and how many blocks
        self._path, self._processors = path, processors

    def forward(
        self,
        arrays: Sequence[int],
        dtype: np.dtype[Any],
        draw: Draw,
        elements: Range,
        source: Source | None = None,
        steps: tuple[int, int] | None = None,
    ) -> None:
        """arrays: addresses of element 0 of x, y, noise, and of the reserve. steps: address and count."""
        params = self._params(dtype, draw)
        if steps is not None:
            params.steps, params.rows = steps
        given = source or Source()
        c_source = _Source(given.seed, given.step, given.counter, given.taken)
        with self._launches():
            _host().launch_forward(params, c_source, *arrays, elements.size, elements.begin, elements.end)

    def backward(self, dtype: np.dtype[Any], dy: int, noise: int, dx: int, elements: Range) -> None:
        """From noise."""
        with self._launches():
            _host().launch_backward(self._params(dtype, Draw()), dy, noise, dx, elements.begin, elements.end)

    def backward_reserve(
        self,
        dtype: np.dtype[Any],
        dy: int,
        reserve: tuple[int, int],
        dx: int,
        elements: Range,
        fault: int | None = None,
    ) -> None:
        """From a reserve: its address, and its bytes."""
        ends = elements.size, elements.begin, elements.end
        with self._launches():
            _host().launch_backward_reserve(self._params(dtype, Draw()), fault, dy, *reserve, dx, *ends)

    def _params(self, dtype: np.dtype[Any], draw: Draw) -> _Params:
        step = draw.step if isinstance(draw.step, int) else 0
        return _Params(
            ctypes.sizeof(_Params),
            schema.DTYPES[dtype],
            draw.lower,
            draw.upper,
            draw.training,
            0,
            draw.seed,
            step % 2**64,
        )

    @contextmanager
    def _launches(self) -> Iterator[None]:
        """What the host launches meanwhile runs afterwards."""
        queue: list[tuple[Program, int, int, bytes]] = []
        problems: list[Exception] = []

        def handle(name: bytes, blocks: int, threads: int, arguments: Any) -> None:
            try:
                short = ptx.short_name(name.decode())
                program = _program(self._path, short)
                queue.append((program, blocks, threads, _gathered(program.kernel, arguments)))
                self.launched.append((short, blocks))
            except Exception as error:  # noqa: BLE001 - raised below: ctypes would only print it
                problems.append(error)

        handler = _Handler(handle)
        _host().device_has_processors(self._processors)
        _host().device_launches_by(handler)
        yield
        if problems:
            raise problems[0]
        for program, blocks, threads, parameters in queue:
            program.run(self.memory, blocks, threads, parameters)


def _gathered(kernel: ptx.Kernel, arguments: Any) -> bytes:
    """The parameters of a launch, each from its own address on the host, as the device lays them out."""
    laid_out = bytearray(kernel.parameter_bytes)
    for number, place in enumerate(kernel.parameters.values()):
        laid_out[place.offset : place.offset + place.size] = ctypes.string_at(arguments[number], place.size)
    return bytes(laid_out)
