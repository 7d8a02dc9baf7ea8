"""From an instruction of PTX to a function that does it, for all threads that run together."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from tests.device_code.arithmetic import DTYPES, OPERATIONS, Array, Operation
from tests.device_code.memory import WARP, FaultError
from tests.device_code.ptx import Instruction, Kernel


class Spaces(Protocol):
    """The memories of a running grid. Addresses: one for each thread; values: a row of bytes for each.

    Spaces are `global`, `local`, `shared`, and `volatile`, which is global memory for all to see at once.
    """

    def load(self, space: str, addresses: Array, width: int, threads: Array) -> Array:
        """Bytes of a space."""

    def store(self, space: str, addresses: Array, values: Array, threads: Array) -> None:
        """The other way round."""

    def update(self, address: int, width: int, change: Callable[[int], int]) -> int:
        """What was there before an atomic operation."""

    def claim(self, threads: Array) -> None:
        """They have done an atomic operation that the host sees."""

    def fence(self, threads: Array) -> None:
        """What they did before is seen before what they do next."""

    @property
    def parameters(self) -> bytes:
        """Of the launch."""


class Threads(dict[str, Array]):
    """Registers of threads that run together, by name. What is missing comes from the grid."""

    def __init__(
        self, index: Array, count: int, spaces: Spaces, missing: Callable[[str, Array], Array]
    ) -> None:
        super().__init__()
        self.index = index  # in ascending order
        self.count = count  # of the grid
        self.spaces = spaces
        self._missing = missing

    def __missing__(self, name: str) -> Array:
        values = self[name] = self._missing(name, self.index)
        return values


Step = Callable[[Threads], None]
_Read = Callable[[Threads], Array]
_Put = Callable[[Threads, Array], None]

SPECIAL = {"%tid.x": "u32", "%ctaid.x": "u32", "%ntid.x": "u32", "%nctaid.x": "u32"}
_FLOAT = re.compile(r"0[fF]([0-9A-Fa-f]{8})|0[dD]([0-9A-Fa-f]{16})")
_ADDRESS = re.compile(r"\[([^\s+\]]+)(?:\+(-?\d+))?\]")


def decoded(instruction: Instruction, kernel: Kernel) -> Step:
    """The function of an instruction that goes nowhere else."""
    assert not instruction.predicate, "only jumps may have a predicate"
    opcode, operands = instruction.opcode, instruction.operands
    if opcode.startswith(("ld.", "st.")):
        return _access(opcode, operands, kernel)
    if opcode.startswith("mov.") and any(operand.startswith("{") for operand in operands):
        return _pack(opcode, operands, kernel)
    if opcode == "shfl.sync.bfly.b32":
        return _exchange(operands, kernel)
    if opcode == "atom.global.add.u64":
        return _atomic("u64", operands, kernel, _sum)
    if opcode == "atom.global.sys.cas.b32":
        return _claim(_atomic("u32", operands, kernel, _swapped))
    if opcode == "membar.sys":
        return lambda threads: threads.spaces.fence(threads.index)
    assert opcode in OPERATIONS, f"{opcode} is not an instruction that kernels may use"
    return _operation(OPERATIONS[opcode], operands, kernel)


def predicate(text: str) -> Callable[[Threads], Array]:
    """Which threads go."""
    name = text.lstrip("!")
    if text.startswith("!"):
        return lambda threads: ~threads[name]
    return lambda threads: threads[name]


def read_registers(instruction: Instruction, kernel: Kernel) -> set[str]:
    """The names that it reads."""
    operands = instruction.operands
    given = operands if _has_no_result(instruction) else operands[1:]
    if instruction.predicate:
        given = (*given, instruction.predicate.lstrip("!"))
    return _registers(given, kernel)


def written_registers(instruction: Instruction, kernel: Kernel) -> set[str]:
    """The names that it sets."""
    return set() if _has_no_result(instruction) else _registers(instruction.operands[:1], kernel)


def _has_no_result(instruction: Instruction) -> bool:
    return instruction.opcode.split(".")[0] in {"st", "bra", "bar", "ret", "membar"}


def _registers(operands: Iterable[str], kernel: Kernel) -> set[str]:
    names = (name for operand in operands for name in re.findall(r"[%\w.$]+", operand))
    return {name for name in names if kernel.kind(name) is not None or name in SPECIAL}


def _operation(operation: Operation, operands: tuple[str, ...], kernel: Kernel) -> Step:
    target, *sources = operands
    assert len(sources) == len(operation.arguments), "not as many operands as it takes"
    put = _put(target, operation.result, kernel)
    reads = [_read(source, kind, kernel) for source, kind in zip(sources, operation.arguments, strict=True)]
    compute = operation.compute
    if len(reads) == 2:
        first, second = reads
        return lambda threads: put(threads, compute(first(threads), second(threads)))
    return lambda threads: put(threads, compute(*[read(threads) for read in reads]))


def _read(operand: str, kind: str, kernel: Kernel) -> _Read:
    dtype = DTYPES[kind]
    declared = SPECIAL.get(operand) or kernel.kind(operand)
    if declared is None:
        value = _immediate(operand, dtype, kernel)
        return lambda threads: value
    stored = _stored(declared)
    if stored == dtype:
        return lambda threads: threads[operand]
    if stored.itemsize == dtype.itemsize:
        return lambda threads: threads[operand].view(dtype)
    assert stored.itemsize > dtype.itemsize, f"{operand} has fewer bits than {kind}"
    narrow = np.dtype(f"u{dtype.itemsize}")
    return lambda threads: threads[operand].astype(narrow).view(dtype)


def _stored(kind: str) -> np.dtype[np.generic]:
    """Registers hold bits."""
    return DTYPES[kind] if kind == "pred" else np.dtype(f"u{DTYPES[kind].itemsize}")


def _immediate(operand: str, dtype: np.dtype[np.generic], kernel: Kernel) -> Array:
    if match := _FLOAT.fullmatch(operand):
        word = np.uint32(int(match[1], 16)) if match[1] else np.uint64(int(match[2], 16))
        return np.asarray(word).view(f"f{word.itemsize}").astype(dtype)
    if operand == kernel.local_name:
        return np.zeros((), dtype)
    bits = 8 * dtype.itemsize
    return np.asarray(int(operand.rstrip("U"), 0) % 2**bits).astype(f"u{dtype.itemsize}").view(dtype)


def _put(target: str, kind: str, kernel: Kernel) -> _Put:
    declared = kernel.kind(target)
    assert declared is not None, f"{target} is no register"
    stored = _stored(declared)
    assert stored.itemsize >= DTYPES[kind].itemsize, f"{target} has fewer bits than {kind}"
    same_size = stored.itemsize == DTYPES[kind].itemsize

    def put(threads: Threads, value: Array) -> None:
        if value.ndim == 0:
            value = np.full(threads.index.size, value)
        threads[target] = value.view(stored) if same_size else value.astype(stored)

    return put


def _address(operand: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(operand)
    assert match, f"{operand} is no address"
    return match[1], int(match[2] or 0)


def _list(operand: str) -> list[str]:
    return [name.strip() for name in operand.strip("{}").split(",")]


def _access(opcode: str, operands: tuple[str, ...], kernel: Kernel) -> Step:
    verb, *words, kind = opcode.split(".")
    (space,) = (word for word in words if word in {"global", "local", "shared", "param"})
    count = next((int(word[1]) for word in words if re.fullmatch(r"v[248]", word)), 1)
    unknown = set(words) - {space, f"v{count}", "volatile", "wb", "nc"}
    assert not unknown, f"{opcode}: {unknown} is not known"
    if "volatile" in words:
        assert space == "global", f"{opcode} is not known"
        space = "volatile"
    address, values = operands if verb == "st" else operands[::-1]
    name, offset = _address(address)
    width = DTYPES[kind].itemsize
    if space == "param":
        return _load_parameter(_list(values), kind, kernel.parameters[name].offset + offset, kernel)
    if name in kernel.shared:
        place = np.uint64(kernel.shared[name].offset + offset)
        at: _Read = lambda threads: np.full(threads.index.size, place)  # noqa: E731
    else:
        base, distance = _read(name, "u64", kernel), np.uint64(offset % 2**64)
        at = lambda threads: base(threads) + distance  # noqa: E731
    if verb == "ld":
        return _load(space, at, count * width, [_put(v, kind, kernel) for v in _list(values)], kind)
    return _store(space, at, [_read(v, kind, kernel) for v in _list(values)])


def _load_parameter(targets: list[str], kind: str, offset: int, kernel: Kernel) -> Step:
    puts = [_put(target, kind, kernel) for target in targets]

    def step(threads: Threads) -> None:
        values = np.frombuffer(threads.spaces.parameters, DTYPES[kind], len(puts), offset)
        for put, value in zip(puts, values, strict=True):
            put(threads, np.asarray(value))

    return step


def _load(space: str, at: _Read, width: int, puts: list[_Put], kind: str) -> Step:
    def step(threads: Threads) -> None:
        raw = threads.spaces.load(space, at(threads), width, threads.index)
        values = raw.view(DTYPES[kind])
        for place, put in enumerate(puts):
            put(threads, np.ascontiguousarray(values[:, place]))

    return step


def _store(space: str, at: _Read, reads: list[_Read]) -> Step:
    def step(threads: Threads) -> None:
        columns = [np.broadcast_to(read(threads), threads.index.shape) for read in reads]
        raw = np.ascontiguousarray(np.stack(columns, axis=1)).view(np.uint8)
        threads.spaces.store(space, at(threads), raw, threads.index)

    return step


def _pack(opcode: str, operands: tuple[str, ...], kernel: Kernel) -> Step:
    """`mov` between one register and parts of it, the low one first."""
    kind = opcode.removeprefix("mov.")
    whole = DTYPES[kind].itemsize
    parts = _list(next(operand for operand in operands if operand.startswith("{")))
    part = f"u{8 * whole // len(parts)}"
    target, source = operands
    if target.startswith("{"):
        read, puts = _read(source, f"u{8 * whole}", kernel), [_put(name, part, kernel) for name in parts]

        def split(threads: Threads) -> None:
            values = read(threads)[:, None].view(DTYPES[part])
            for place, put in enumerate(puts):
                put(threads, np.ascontiguousarray(values[:, place]))

        return split
    reads, put_whole = [_read(name, part, kernel) for name in parts], _put(target, f"u{8 * whole}", kernel)

    def join(threads: Threads) -> None:
        columns = [np.broadcast_to(read(threads), threads.index.shape) for read in reads]
        put_whole(threads, np.ascontiguousarray(np.stack(columns, axis=1)).view(f"u{whole}")[:, 0])

    return join


def _exchange(operands: tuple[str, ...], kernel: Kernel) -> Step:
    """`shfl.sync.bfly`: of whole warps alone, which all lanes must reach together."""
    target, *sources = operands
    value, distance, clamp, mask = (_read(source, "u32", kernel) for source in sources)
    result, _, inside = target.partition("|")
    put = _put(result, "u32", kernel)
    put_inside = _put(inside, "pred", kernel) if inside else None

    def step(threads: Threads) -> None:
        index = threads.index
        if (clamp(threads) != WARP - 1).any() or (mask(threads) != 2**32 - 1).any():
            raise FaultError("a shuffle of a part of a warp")
        warps, here = np.unique(index // WARP, return_counts=True)
        if (here != WARP).any():
            raise FaultError(
                f"{WARP - here.min()} lanes are missing at a shuffle of warp {warps[here.argmin()]}"
            )
        given = np.zeros(threads.count, np.uint32)
        given[index] = value(threads)
        partner = (index % WARP) ^ distance(threads).astype(np.int64)
        if (partner >= WARP).any():
            raise FaultError("a shuffle from a lane that a warp does not have")
        put(threads, given[index - index % WARP + partner])
        if put_inside:
            put_inside(threads, np.asarray(True))

    return step


def _atomic(
    kind: str, operands: tuple[str, ...], kernel: Kernel, change: Callable[[Sequence[int], int], int]
) -> Step:
    """change(the operands after the address, what is there): what is left there."""
    target, address, *others = operands
    name, offset = _address(address)
    base, put = _read(name, "u64", kernel), _put(target, kind, kernel)
    values = [_read(other, kind, kernel) for other in others]
    width = DTYPES[kind].itemsize

    def step(threads: Threads) -> None:
        rows = np.stack([np.broadcast_to(v(threads), threads.index.shape) for v in values], axis=1)
        before = [
            threads.spaces.update(int(at) + offset, width, functools.partial(change, row.tolist()))
            for at, row in zip(base(threads), rows, strict=True)
        ]
        put(threads, np.array(before, DTYPES[kind]))

    return step


def _claim(step: Step) -> Step:
    def claim(threads: Threads) -> None:
        step(threads)
        threads.spaces.claim(threads.index)

    return claim


def _sum(given: Sequence[int], before: int) -> int:
    return before + given[0]


def _swapped(given: Sequence[int], before: int) -> int:
    expected, new = given
    return new if before == expected else before
