"""Counts the machine code of the tile loops: `python -m tests.device_code.machine_code` prints a table.

A warp takes a tile in a round of the loop: it reads 2 KiB of x and writes as much of y. Ways that only some
lanes go are counted with the others, and loops within as one round. `limits` as an argument prints
machine_code_limits.txt, `markdown` the table of docs/cuda.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.device_code import compiling
from tests.device_code.ptx import short_name

_TILE_BYTES, _LOADS = 2048, 4

# Assumed of an H200: its highest clock, a copy that reads and writes 4.3 TB/s together, and what a processor
# begins in a cycle, in instructions of a warp, by the unit that they run in.
_PROCESSORS, _CLOCK, _COPY = 132, 1.98e9, 4.3e12
_RATES = {"all": 4.0, "integer": 2.0, "double": 2.0, "memory": 1.0, "slow conversion": 0.5}
_UNITS = {
    "integer": (
        *("BMSK", "F2FP", "FLO", "FMNMX", "FSEL", "FSETP", "I2FP", "I2IP", "IABS", "IADD3", "IMNMX", "ISETP"),
        *("LEA", "LOP3", "P2R", "PLOP3", "PRMT", "R2P", "SEL", "SGXT", "SHF", "VIADD", "VIMNMX"),
    ),
    "double": ("DADD", "DFMA", "DMUL", "DSETP"),
    "memory": ("LDG", "LDL", "LDS", "SHFL", "STG", "STL", "STS"),
    "slow conversion": ("F2F", "F2I", "I2F", "MUFU"),
}


@dataclass(frozen=True)
class Loop:
    """What a warp does for a tile."""

    instructions: Counter[str]  # by name with modifiers

    @property
    def count(self) -> int:
        """Of all instructions."""
        return self.instructions.total()

    @property
    def local_bytes(self) -> int:
        """Of local memory, that a thread reads and writes."""
        return sum(_width(name) * n for name, n in self.instructions.items() if name[:3] in {"LDL", "STL"})

    @property
    def widths(self) -> set[int]:
        """Bytes of loads and stores of global memory."""
        return {_width(name) for name in self.instructions if name[:3] in {"LDG", "STG"}}

    @property
    def share_of_copy(self) -> float:
        """Predicted: its time on an H200, by its arithmetic alone, over the time of a copy of x to y."""
        units = {"all": self.count} | {
            unit: sum(n for name, n in self.instructions.items() if name.split(".")[0] in names)
            for unit, names in _UNITS.items()
        }
        cycles = max(count / _RATES[unit] for unit, count in units.items())
        return cycles / (2 * _TILE_BYTES * _PROCESSORS * _CLOCK / _COPY)


def _width(name: str) -> int:
    words = set(name.split("."))
    return next((n for word, n in _WIDTHS.items() if word in words), 4)


_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);", re.MULTILINE)
_JUMP = re.compile(r"0x([0-9a-f]+)\s*$")


def tile_loops(cubin: Path) -> dict[str, list[Loop]]:
    """Of every kernel, by its name in words; the kernel from a reserve has one for each mode."""
    found = {}
    for text in _disassembled(cubin).split("Function : ")[1:]:
        loops = list(_tile_loops(text))
        if loops:
            found[words(text.split(None, 1)[0])] = loops
    return found


def words(name: str) -> str:
    """Such as "train with rows float", or "reserve double" for the kernel of a gradient."""
    kernel = re.search(r"(Forward|Multiply|Reserve)Kernel", name)
    assert kernel, name
    modes = {"Forward": ["train", "eval"], "Reserve": ["reserve"], "Multiply": ["noise"]}[kernel[1]]
    mode = re.search(r"4ModeE(\d)", name)
    layout = re.search(r"6LayoutE(\d)", name)
    types = {"6__half": "half", "13__nv_bfloat16": "bfloat16", "d": "double", "f": "float"}
    kind = re.search(r"(?:KernelI|6LayoutE\dE(?:Lb[01]E)?)(6__half|13__nv_bfloat16|d|f)E", short_name(name))
    assert kind, name
    parts = [modes[int(mode[1]) if mode else 0], "with noise and reserve" if "ELb0E" in name else ""]
    parts += [("", "rows of blocks", "rows")[int(layout[1])] if layout else "", types[kind[1]]]
    return " ".join(part for part in parts if part)


def _tile_loops(text: str) -> Iterator[Loop]:
    """The smallest loops that have all 16-byte loads of a tile. Loops within count as one round of theirs."""
    code = [(int(address, 16), name, rest) for address, name, rest in _INSTRUCTION.findall(text)]
    loops: dict[tuple[int, int], Counter[str]] = {}
    for address, name, rest in code:
        target = _JUMP.search(rest)
        if not name.startswith("BRA") or not target or int(target[1], 16) >= address:
            continue
        begin = int(target[1], 16)
        names = Counter(n for at, n, _ in code if begin <= at <= address and n != "NOP")
        if sum(count for n, count in names.items() if n.startswith("LDG.") and "128" in n) >= _LOADS:
            loops[begin, address] = names
    for (begin, end), names in sorted(loops.items()):
        if not any(begin <= b and e <= end and (b, e) != (begin, end) for b, e in loops):
            yield Loop(names)


def _disassembled(cubin: Path) -> str:
    folder = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    path = os.pathsep.join([str(folder), os.environ.get("PATH", ""), str(Path(compiling.NVCC).parent)])
    program = shutil.which("cuobjdump", path=path)
    assert program, "cuobjdump is not here: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm"
    return subprocess.run(
        [program, "-sass", str(cubin)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    ).stdout


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    kernel: str
    loops: dict[int, list[Loop]]  # of each architecture

    def counts(self) -> list[str]:
        """Of each architecture: instructions of each loop, with `+` bytes of local memory where there are."""
        return ["/".join(_count(loop) for loop in loops) for loops in self.loops.values()]

    @property
    def share_of_copy(self) -> float:
        """Of the slowest loop, on an H200."""
        return max(loop.share_of_copy for loop in self.loops[90])


def _count(loop: Loop) -> str:
    return f"{loop.count}+{loop.local_bytes}" if loop.local_bytes else str(loop.count)


def table() -> list[Row]:
    """Of the kernels as they are."""
    build = compiling.build()
    loops = {a: tile_loops(build.machine_code(a)) for a in compiling.ARCHITECTURES}
    return [Row(name, {a: found[name] for a, found in loops.items()}) for name in sorted(loops[90])]


_ROWS_OF_BLOCKS, _ROWS = ", rows of a multiple of 8 elements", ", rows of any size"
_TRAIN, _ALL = "RRelu, train mode", ", with noise and reserve"
_KINDS = {
    "eval": "RRelu, eval mode",
    "eval with noise and reserve": f"RRelu, eval mode{_ALL}",
    "train": _TRAIN,
    "train with noise and reserve": _TRAIN + _ALL,
    "train rows of blocks": _TRAIN + _ROWS_OF_BLOCKS,
    "train with noise and reserve rows of blocks": _TRAIN + _ALL + _ROWS_OF_BLOCKS,
    "train rows": _TRAIN + _ROWS,
    "train with noise and reserve rows": _TRAIN + _ALL + _ROWS,
    "noise": "RReluGrad from noise",
    "reserve": "RReluGrad from reserve",
    "reserve rows of blocks": f"RReluGrad from reserve{_ROWS_OF_BLOCKS}",
    "reserve rows": f"RReluGrad from reserve{_ROWS}",
}
COMPILER_LINE = "# nvcc "
_COLUMNS = [*(f"sm_{a}" for a in compiling.ARCHITECTURES), "share"]


def markdown(rows: Sequence[Row]) -> str:
    """The table of docs/cuda.md: instructions of the slowest loop for an H200, its share of a copy's time."""
    types = ("float", "double", "half", "bfloat16")
    by_name = {row.kernel: row for row in rows}
    kinds = sorted({row.kernel.rsplit(" ", 1)[0] for row in rows}, key=list(_KINDS).index)
    lines = [f"| | {' | '.join(types)} |", f"|---{'|---' * len(types)}|"]
    for kind in kinds:
        found = [by_name[f"{kind} {name}"] for name in types]
        cells = [f"{max(loop.count for loop in r.loops[90])}, {r.share_of_copy:.2f}" for r in found]
        lines.append(f"| {_KINDS[kind]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _main(arguments: Sequence[str]) -> None:
    rows = table()
    if "markdown" in arguments:
        print(markdown(rows))
        return
    if "limits" in arguments:
        print(
            "# What test_machine_code.py allows. machine_code.py says what the numbers are, and prints them."
        )
        print(COMPILER_LINE + compiling.version())
    print(f"{'# kernel':56} {' '.join(f'{name:>12}' for name in _COLUMNS)}")
    for row in rows:
        counts = " ".join(f"{count:>12}" for count in row.counts())
        print(f"{row.kernel:56} {counts} {row.share_of_copy:12.2f}")


if __name__ == "__main__":
    _main(sys.argv[1:])
