"""One call on a simulated device, with arrays that end where its range does; every result is whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ort_rrelu import library, schema
from tests.bits import assert_same_bits
from tests.device_code.memory import Memory
from tests.device_code.simulated import Device, Range, Source
from tests.draws import Draw, Outputs, by_reference
from tests.onnx_models import Array

_NONE = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class Case:
    """How a call is made, beside its draw."""

    offset: int = 0  # of arrays from an aligned address, in elements; of reserve and steps in bytes
    alone: str = ""  # of x, y and noise the one that has the offset; all have it
    noise: bool = True
    reserve: bool = True
    in_place: bool = False
    processors: int = 132
    begin: int = 0  # x is the elements from here on,
    size: int | None = None  # of a tensor of so many; as many as there are
    numbers_on_device: bool = False  # seed and step
    count: int | None = None  # what a counter on the device stands at, which gives the step


def rows_of(draw: Draw) -> int:
    """Steps of rows in a reserve."""
    return 0 if isinstance(draw.step, int) or len(draw.step) < 2 else len(draw.step)


def forward(path: Path, x: Array, draw: Draw, case: Case | None = None) -> Outputs:
    """Y, noise and reserve; what is not asked for is empty. Of a range that begins later, the bits alone."""
    case = case or Case()
    device, item = Device(path, case.processors), x.itemsize
    memory = device.memory
    elements = Range(case.begin, case.begin + x.size, case.size or case.begin + x.size)
    bits = 64 + 8 * rows_of(draw)
    before = bits + case.begin // 8 if case.begin else 0  # bytes of the reserve that this call leaves alone
    offsets = {name: case.offset * item * (case.alone in {"", name}) for name in ("x", "y", "noise")}
    x_at = memory.put(x, offsets["x"])
    y_at = x_at if case.in_place else memory.room(x.nbytes, offsets["y"])
    noise_at = memory.room(x.nbytes, offsets["noise"]) if case.noise else 0
    reserve_at = memory.room(bits + -(-elements.end // 8) - before, case.offset) if case.reserve else 0
    distances = [case.begin * item] * 3 + [before]
    at = (x_at, y_at, noise_at, reserve_at)
    from_zero = [(a - distance) % 2**64 if a else 0 for a, distance in zip(at, distances, strict=True)]
    asked, source = _source(memory, draw, case)
    steps = None if isinstance(draw.step, int) else (_steps(memory, draw, case), len(draw.step))
    if steps is not None and len(draw.step) == 1:
        source = Source(step=steps[0])  # as the C API does
    device.forward(from_zero, x.dtype, asked, elements, source, steps)
    assert all(memory.written(a).all() for a in at[1:] if a), "a byte of the result was not written"
    if source.counter:
        assert memory.read(source.counter).view(np.uint64)[0] == np.uint64(case.count or 0) + np.uint64(1)
    y, noise = (memory.read(a).view(x.dtype).reshape(x.shape) if a else _NONE for a in at[1:3])
    return Outputs(y, noise, memory.read(reserve_at) if reserve_at else _NONE)


def _steps(memory: Memory, draw: Draw, case: Case) -> int:
    return memory.put(np.asarray(draw.step, np.int64), case.offset)


def _source(memory: Memory, draw: Draw, case: Case) -> tuple[Draw, Source]:
    """What the host is told, and where the device finds what it is not told."""
    if case.count is not None:
        return replace(draw, step=98), Source(
            counter=memory.put(np.array([case.count], np.uint64), shared=8), taken=memory.room(8)
        )
    if case.numbers_on_device:
        seed, step = (memory.put(np.array([n % 2**64], np.uint64)) for n in (draw.seed, draw.step))
        return replace(draw, seed=99, step=98), Source(seed=seed, step=step)
    return draw, Source()


def check_forward(path: Path, x: Array, draw: Draw, case: Case | None = None) -> None:
    """A whole tensor, against the reference."""
    case = case or Case()
    y, noise, reserve = forward(path, x, draw, case)
    expected = by_reference(x, draw)
    assert_same_bits(y, expected.y)
    if case.noise:
        assert_same_bits(noise, expected.noise)
    if case.reserve:
        assert_same_bits(reserve, expected.reserve)


def check_range(path: Path, x: Array, draw: Draw, begin: int, size: int) -> None:
    """x as elements from `begin` on of a tensor of `size`, against the CPU kernels, which take ranges."""
    y, noise, reserve = forward(path, x, draw, Case(begin=begin, size=size))
    expected = np.empty_like(x), np.empty_like(x)
    addresses = [(a.ctypes.data - begin * a.itemsize) % 2**64 for a in (x, *expected)]
    steps = None if isinstance(draw.step, int) else np.ascontiguousarray(draw.step, np.int64)
    params = library.Params(schema.DTYPES[x.dtype], draw.lower, draw.upper, draw.training, draw.seed)
    if steps is None:
        params = params._replace(step=draw.step)
    else:
        params = params._replace(steps=steps.ctypes.data, rows=len(steps))
    library.forward(params, addresses[0], addresses[1], addresses[2], begin, begin + x.size, size=size)
    assert_same_bits(y, expected[0])
    assert_same_bits(noise, expected[1])
    bits = np.packbits(x <= 0, bitorder="little")
    assert_same_bits(reserve[-bits.size :], bits)


def backward(path: Path, dy: Array, noise: Array, offset: int = 0, begin: int = 0, alone: str = "") -> Array:
    """DX from noise. alone: of dy, noise and dx the one that has the offset; all have it."""
    device, item = Device(path), dy.itemsize
    offsets = {name: offset * item * (alone in {"", name}) for name in ("dy", "noise", "dx")}
    dy_at, noise_at = (device.memory.put(a, offsets[name]) for a, name in ((dy, "dy"), (noise, "noise")))
    dx_at = device.memory.room(dy.nbytes, offsets["dx"])
    at = [(a - begin * item) % 2**64 for a in (dy_at, noise_at, dx_at)]
    device.backward(dy.dtype, at[0], at[1], at[2], Range(begin, begin + dy.size, begin + dy.size))
    return _result(device.memory, dx_at, dy)


@dataclass(frozen=True)
class Raised:
    """An ort_rrelu_fault."""

    raised: int
    dtype: int
    size: int
    header: bytes


def backward_reserve(
    path: Path,
    dy: Array,
    reserve: Array,
    offset: int = 0,
    begin: int = 0,
    size: int | None = None,
    fault: Array | None = None,
    alone: str = "",
) -> tuple[Array, Raised]:
    """DX from the whole reserve of a tensor of `size`, of which dy is the elements from `begin` on.

    fault: what was raised before, as bytes. alone: of dy and dx the one that has the offset; both have it.
    """
    device, item = Device(path), dy.itemsize
    memory = device.memory
    offsets = {name: offset * item * (alone in {"", name}) for name in ("dy", "dx")}
    dy_at, reserve_at = memory.put(dy, offsets["dy"]), memory.put(reserve, offset)
    dx_at = memory.room(dy.nbytes, offsets["dx"])
    fault_at = memory.put(np.zeros(80, np.uint8) if fault is None else fault, shared=4)
    elements = Range(begin, begin + dy.size, size or begin + dy.size)
    dy_zero, dx_zero = ((a - begin * item) % 2**64 for a in (dy_at, dx_at))
    device.backward_reserve(dy.dtype, dy_zero, (reserve_at, reserve.size), dx_zero, elements, fault_at)
    found = memory.read(fault_at)
    raised = Raised(
        int(found[:4].view(np.uint32)[0]),
        int(found[4:8].view(np.int32)[0]),
        int(found[8:16].view(np.uint64)[0]),
        found[16:].tobytes(),
    )
    return _result(memory, dx_at, dy), raised


def _result(memory: Memory, address: int, like: Array) -> Array:
    assert memory.written(address).all(), "a byte of the result was not written"
    return memory.read(address).view(like.dtype).reshape(like.shape)
