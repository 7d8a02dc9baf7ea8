"""Runs a kernel. Threads of the grid that stand at the same instruction run together, the rearmost first.

So threads that part come together again where their ways meet, as they do on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.device_code.arithmetic import Array
from tests.device_code.decoding import (
    SPECIAL,
    Step,
    Threads,
    decoded,
    predicate,
    read_registers,
    written_registers,
)
from tests.device_code.memory import FaultError, Memory
from tests.device_code.ordering import Order
from tests.device_code.ptx import Instruction, Kernel


@dataclass(frozen=True)
class _Block:
    """A basic block, decoded."""

    steps: tuple[tuple[Instruction, Step], ...]
    end: Instruction | None  # a jump, a barrier or a return
    condition: Callable[[Threads], Array] | None
    target: int
    written: frozenset[str]  # what later blocks may read


class Program:
    """A kernel, ready to run."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        kept = _read_across_blocks(kernel)
        self.blocks = [self._block(block.instructions, kept) for block in kernel.blocks]

    def _block(self, instructions: tuple[Instruction, ...], kept: set[str]) -> _Block:
        steps, end, condition, target = [], None, None, -1
        written: set[str] = set()
        for instruction in instructions:
            name = instruction.opcode.split(".")[0]
            if name in {"bra", "ret", "bar"}:
                end = instruction
                if name == "bra":
                    target = self.kernel.labels[instruction.operands[0]]
                    condition = predicate(instruction.predicate) if instruction.predicate else None
                else:
                    assert not instruction.predicate, instruction.text
                continue
            try:
                steps.append((instruction, decoded(instruction, self.kernel)))
            except (AssertionError, KeyError, ValueError) as error:
                raise FaultError(
                    f"line {instruction.line}, {instruction.text!r} cannot be run: {error}"
                ) from error
            written |= written_registers(instruction, self.kernel)
        return _Block(tuple(steps), end, condition, target, frozenset(written & kept))

    def run(self, memory: Memory, blocks: int, threads: int, parameters: bytes) -> None:
        """One launch."""
        memory.begin_launch()
        with np.errstate(all="ignore"):
            _Grid(self, memory, blocks, threads, parameters).run()


def _read_across_blocks(kernel: Kernel) -> set[str]:
    """Registers that some block reads before it writes them."""
    found: set[str] = set()
    for block in kernel.blocks:
        written: set[str] = set()
        for instruction in block.instructions:
            found |= read_registers(instruction, kernel) - written
            written |= written_registers(instruction, kernel)
    return found


class _OwnMemory:
    """Local memory, of each thread, and shared memory, of each block; who wrote shared bytes, and when."""

    def __init__(self, kernel: Kernel, blocks: int, threads: int) -> None:
        self.block_threads = threads
        self.local = np.full((blocks * threads, kernel.local.offset + kernel.local.size), 0xA5, np.uint8)
        self.local_is_set = np.zeros(self.local.shape, np.bool_)
        size = max((place.offset + place.size for place in kernel.shared.values()), default=0)
        self.shared = np.full((blocks, size), 0xA5, np.uint8)
        self.shared_writer = np.full(self.shared.shape, -1)
        self.shared_written_at = np.full(self.shared.shape, -1)
        self.barriers = np.zeros(blocks, np.int64)  # that each block has passed

    def load(self, space: str, addresses: Array, width: int, threads: Array) -> Array:
        row, column = self._places(space, addresses, width, threads)
        if space == "local":
            if not self.local_is_set[row, column].all():
                raise FaultError("a load of local memory that nothing was written to")
            return np.asarray(self.local[row, column])
        writer = self.shared_writer[row, column]
        if (writer == -1).any():
            raise FaultError("a load of shared memory that nothing was written to")
        others = writer != threads[:, None]
        if (others & (self.shared_written_at[row, column] == self.barriers[row])).any():
            raise FaultError("no barrier between a store to shared memory and another thread's load")
        return np.asarray(self.shared[row, column])

    def store(self, space: str, addresses: Array, values: Array, threads: Array) -> None:
        row, column = self._places(space, addresses, values.shape[1], threads)
        if space == "local":
            self.local[row, column] = values
            self.local_is_set[row, column] = True
            return
        self.shared[row, column] = values
        self.shared_writer[row, column] = threads[:, None]
        if (self.shared_writer[row, column] != threads[:, None]).any():
            raise FaultError("two threads write one byte of shared memory")
        self.shared_written_at[row, column] = self.barriers[row]

    def _places(self, space: str, addresses: Array, width: int, threads: Array) -> tuple[Array, Array]:
        if (addresses % np.uint64(width)).any():
            raise FaultError(f"an access of {width} bytes of {space} memory that is not aligned to them")
        size = (self.local if space == "local" else self.shared).shape[1]
        begin = addresses.astype(np.int64)
        if ((begin < 0) | (begin + width > size)).any():
            raise FaultError(f"an access beyond {size} bytes of {space} memory")
        row = threads if space == "local" else threads // self.block_threads
        return row[:, None], begin[:, None] + np.arange(width)


class _Grid:
    """The state of one launch."""

    def __init__(
        self, program: Program, memory: Memory, blocks: int, threads: int, parameters: bytes
    ) -> None:
        assert len(parameters) == program.kernel.parameter_bytes, "not the parameters of this kernel"
        self.program, self.memory, self.parameters = program, memory, parameters
        self.count, self.block_threads = blocks * threads, threads
        self.own = _OwnMemory(program.kernel, blocks, threads)
        self.order = Order(self.count)
        everyone = np.arange(self.count, dtype=np.uint32)
        special = [everyone % threads, everyone // threads, np.full_like(everyone, threads)]
        special.append(np.full_like(everyone, blocks))
        self.registers: dict[str, Array] = dict(zip(SPECIAL, special, strict=True))
        self.is_set: dict[str, Array] = {}  # of registers that only some threads have set
        self.end = len(program.blocks)
        self.at = np.zeros(self.count, np.int64)  # block of instructions
        self.waits = np.zeros(self.count, np.bool_)

    def run(self) -> None:
        """To the end of all threads."""
        while True:
            position = np.where(self.waits, self.end, self.at)
            first = int(position.min())
            if first < self.end:
                index = np.flatnonzero(position == first)
                others = position[position > first]
                self._run_together(index, first, int(others.min()) if others.size else self.end)
            elif self.waits.any():
                self._pass_barriers()
            else:
                return

    def load(self, space: str, addresses: Array, width: int, threads: Array) -> Array:
        """See Spaces."""
        if space in {"global", "volatile"}:
            return self.memory.load(addresses, width, threads, volatile=space == "volatile")
        return self.own.load(space, addresses, width, threads)

    def store(self, space: str, addresses: Array, values: Array, threads: Array) -> None:
        """See Spaces."""
        if space == "volatile":
            self.order.published(threads)
            return self.memory.store(addresses, values, threads, volatile=True)
        if space == "global":
            self.order.stored(threads)
            return self.memory.store(addresses, values, threads)
        return self.own.store(space, addresses, values, threads)

    def update(self, address: int, width: int, change: Callable[[int], int]) -> int:
        """See Spaces."""
        return self.memory.update(address, width, change)

    def claim(self, threads: Array) -> None:
        """See Spaces."""
        self.order.claimed(threads)

    def fence(self, threads: Array) -> None:
        """See Spaces."""
        self.order.fenced(threads)

    def _run_together(self, index: Array, number: int, limit: int) -> None:
        """Until they part, wait, end, or come to where others stand."""
        threads = Threads(index, self.count, self, self._gathered)
        written: set[str] = set()
        while number < limit:
            block = self.program.blocks[number]
            self._run_block(block, threads)
            written |= block.written
            number += 1
            if block.end is None:
                continue
            if block.end.opcode.startswith("ret"):
                self.at[index] = self.end
                return
            if block.end.opcode.startswith("bar"):
                self.waits[index] = True
                break
            if block.condition is None:
                number = block.target
                continue
            jumps = block.condition(threads)
            if jumps.all():
                number = block.target
            elif jumps.any():
                self._keep(threads, written)
                self.at[index] = np.where(jumps, block.target, number)
                return
        self._keep(threads, written)
        self.at[index] = number

    def _run_block(self, block: _Block, threads: Threads) -> None:
        for instruction, step in block.steps:
            try:
                step(threads)
            except FaultError as fault:
                raise FaultError(
                    f"{fault}: {threads.index.size} threads from {threads.index[0]} on, "
                    f"line {instruction.line}: {instruction.text}"
                ) from None

    def _gathered(self, name: str, index: Array) -> Array:
        if name not in self.registers:
            raise FaultError(f"{name} is read before it is set")
        if name in self.is_set and not self.is_set[name][index].all():
            raise FaultError(f"{name} is read before it is set in every thread")
        values = self.registers[name]
        return values if index.size == self.count else values[index]

    def _keep(self, threads: Threads, names: set[str]) -> None:
        """What these threads have computed."""
        index = threads.index
        for name in names:
            if index.size == self.count:
                self.registers[name] = threads[name]
                self.is_set.pop(name, None)
                continue
            if name not in self.registers:
                self.registers[name] = np.zeros(self.count, threads[name].dtype)
                self.is_set[name] = np.zeros(self.count, np.bool_)
            self.registers[name][index] = threads[name]
            if name in self.is_set:
                self.is_set[name][index] = True

    def _pass_barriers(self) -> None:
        waits = self.waits.reshape(-1, self.block_threads)
        at = self.at.reshape(-1, self.block_threads)
        for number in np.flatnonzero(waits.any(axis=1)):
            missing = np.count_nonzero(~waits[number] | (at[number] != at[number, 0]))
            if missing:
                raise FaultError(f"{missing} threads of block {number} do not come to a barrier")
            self.own.barriers[number] += 1
        self.waits[:] = False
