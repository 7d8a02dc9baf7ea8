"""PTX as text: the kernels of a file, their parameters and registers, their instructions in basic blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

BYTES = {"pred": 1} | {f"{k}{8 * n}": n for n in (1, 2, 4, 8) for k in "usb"} | {"f32": 4, "f64": 8}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a kernel."""

    line: int  # of the file
    text: str
    predicate: str  # "%p1", "!%p1", or "" where it is done always
    opcode: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a parameter or a shared variable lies."""

    offset: int
    size: int


@dataclass(frozen=True)
class Block:
    """Instructions that run in a row; only the last may go elsewhere."""

    instructions: tuple[Instruction, ...]


@dataclass
class Kernel:
    """One `.entry`."""

    name: str
    parameters: dict[str, Place]
    shared: Mapping[str, Place]
    local: Place = Place(0, 0)
    local_name: str = ""
    registers: dict[str, str] = field(default_factory=dict)  # "%rd" -> "b64"
    blocks: list[Block] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # -> its block

    @cached_property
    def parameter_bytes(self) -> int:
        """Of all parameters together."""
        return max((place.offset + place.size for place in self.parameters.values()), default=0)

    def kind(self, register: str) -> str | None:
        """The type it was declared with; None of what is no register."""
        return self.registers.get(register.rstrip("0123456789")) or self.registers.get(register)


# What follows a jump is another block, and so is what follows a wait for others.
_ENDS = ("bra", "ret", "bar", "exit", "brx", "trap", "call")
_OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")
# Inline assembly may have a brace on a line of its own: the last one is followed by what stands outside.
_ENTRY = re.compile(
    r"^\.entry (\S+)\((.*?)\)([^{]*)\{(.*?)\n\}\n(?=\s*(?:\.entry|\.func|\.shared|\Z))",
    re.DOTALL | re.MULTILINE,
)
_PARAMETER = re.compile(
    r"\.param (?:\.align (\d+) )?\.(\w+) (?:\.ptr (?:\.align \d+ )?)?([^\s,.\[]+)(?:\[(\d+)\])?"
)
_VARIABLE = re.compile(r"\.(shared|local) \.align (\d+) \.(\w+)\s+([^\s\[;]+)(?:\[(\d+)\])?;")
_REGISTERS = re.compile(r"\.reg \.(\w+)\s+([^<;]+)(?:<\d+>)?;")


def short_name(name: str) -> str:
    """Without what nvcc adds for an anonymous namespace: another compilation does not repeat it."""
    return re.sub(r"\d+_GLOBAL__N__[0-9a-f]+_\d+_\w+?_cu_[0-9a-f]{8}(?:_[0-9a-f]+)?(?=\d)", "", name)


def kernels(path: Path) -> dict[str, Kernel]:
    """All kernels of a file, by short name."""
    text = re.sub(r"//.*", "", path.read_text("utf-8"))
    shared = dict(_placed(m for m in _VARIABLE.finditer(text) if m[1] == "shared"))
    found = {}
    for entry in _ENTRY.finditer(text):
        kernel = Kernel(entry[1], dict(_parameters(entry[2])), shared)
        _read_body(kernel, entry[4], 1 + text.count("\n", 0, entry.start(4)))
        found[short_name(entry[1])] = kernel
    assert len(found) == text.count("\n.entry "), f"{path}: not every kernel was read"
    return found


def _parameters(text: str) -> Iterator[tuple[str, Place]]:
    end = 0
    for alignment, kind, name, count in _PARAMETER.findall(text):
        size = BYTES[kind] * int(count or 1)
        begin = -(-end // int(alignment or size)) * int(alignment or size)
        end = begin + size
        yield name, Place(begin, size)


def _placed(variables: Iterator[re.Match[str]]) -> Iterator[tuple[str, Place]]:
    end = 0
    for variable in variables:
        alignment, size = int(variable[2]), BYTES[variable[3]] * int(variable[5] or 1)
        begin = -(-end // alignment) * alignment
        end = begin + size
        yield variable[4], Place(begin, size)


def _read_body(kernel: Kernel, text: str, first_line: int) -> None:
    current: list[Instruction] = []

    def close() -> None:
        if current:
            kernel.blocks.append(Block(tuple(current)))
            current.clear()

    for number, line in enumerate(text.split("\n"), first_line):
        for statement in _statements(line):
            if statement.startswith("."):
                _declare(kernel, statement)
            elif statement.endswith(":"):
                close()
                kernel.labels[statement[:-1]] = len(kernel.blocks)
            else:
                current.append(_instruction(number, statement))
                if current[-1].opcode.split(".")[0] in _ENDS:
                    close()
    close()


def _statements(line: str) -> Iterator[str]:
    """Without the braces around inline assembly, whose lines may have one of them."""
    for part in line.split(";"):
        statement = part.strip()
        if statement.count("{") > statement.count("}"):
            statement = statement.removeprefix("{").strip()
        if statement.count("}") > statement.count("{"):
            statement = statement.removesuffix("}").strip()
        if statement not in {"", "{", "}"}:
            yield statement


def _declare(kernel: Kernel, statement: str) -> None:
    if match := _REGISTERS.fullmatch(f"{statement};"):
        kernel.registers |= {name.strip(): match[1] for name in match[2].split(",")}
    elif match := _VARIABLE.fullmatch(f"{statement};"):
        assert match[1] == "local", statement
        assert not kernel.local_name, f"{kernel.name} has two local variables"
        kernel.local_name, kernel.local = next(_placed(iter([match])))
    else:
        assert statement.startswith(".pragma"), f"not a known declaration: {statement}"


def _instruction(line: int, statement: str) -> Instruction:
    predicate = ""
    rest = statement
    if rest.startswith("@"):
        predicate, rest = rest[1:].split(None, 1)
    opcode, _, operands = rest.replace("\t", " ").partition(" ")
    return Instruction(line, statement, predicate, opcode, tuple(_OPERAND.findall(operands)))
