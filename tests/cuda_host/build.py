"""The library on a CUDA runtime that only keeps books, and those books."""

from __future__ import annotations

import ctypes
import fcntl
import functools
from dataclasses import dataclass
from pathlib import Path

from tests.cpp.build import fetched_sources, run

_ROOT = Path(__file__).resolve().parents[2]
_BUILD = _ROOT / "build" / "cuda_host"  # kept: a second run compiles nothing

# For one instruction set and one device, as nothing here is about either.
_OPTIONS = (
    "-DORT_RRELU_BUILD_TESTS=ON",
    "-DORT_RRELU_WERROR=ON",
    "-DORT_RRELU_CUDA=ON",
    "-DCMAKE_CUDA_ARCHITECTURES=90-real",
    "-DCMAKE_CXX_FLAGS=-O1 -march=x86-64-v3 -maes -mpclmul -DHWY_COMPILE_ONLY_STATIC",
)


@functools.cache
def path() -> Path:
    """The library, of the sources as they are."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist build one at a time
        run("cmake", "-S", _ROOT, "-B", _BUILD, *_OPTIONS, *fetched_sources())
        run("cmake", "--build", _BUILD, "--parallel", "2", "--target", "cuda_stand_in")
    (library,) = _BUILD.glob("**/libcuda_stand_in.so")
    return library


@dataclass(frozen=True)
class Call:
    """A line of the books: what was called, and how its thread stood."""

    name: str
    device: int
    mode: str
    step: str | None = None
    blocks: int | None = None  # of a launch


def _call(line: str) -> Call:
    words = line.split(" ")
    facts = dict(word.split("=") for word in words if "=" in word)
    name = " ".join(word for word in words if "=" not in word)
    blocks = int(facts["blocks"]) if "blocks" in facts else None
    return Call(name, int(facts["device"]), facts["mode"], facts.get("step"), blocks)


class Books:
    """What the runtime has written down since it was made, and what it is told to do."""

    def __init__(self, library: Path | None = None) -> None:
        """Begin with none. library: a copy of it, for which nothing has happened yet."""
        self.library = ctypes.CDLL(str(library or path()))
        self.library.stand_in_lines.restype = ctypes.c_char_p
        self.library.stand_in_memory.restype = ctypes.c_void_p
        self.library.stand_in_memory.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t)
        self.library.stand_in_capture.argtypes = (ctypes.c_void_p,)
        self.library.stand_in_reset()

    @property
    def calls(self) -> list[Call]:
        """In their order."""
        return [_call(line) for line in self.library.stand_in_lines().decode().splitlines()]

    def steps(self) -> list[str | None]:
        """Of the forward kernels."""
        return [call.step for call in self.calls if call.name == "launch Forward"]

    def contexts(self) -> set[int]:
        """The devices on which there is one."""
        return {device for device in range(2) if self.library.stand_in_has_context(device)}

    def held_contexts(self) -> int:
        """Those that are kept alive."""
        return int(self.library.stand_in_held_contexts())

    def device(self) -> int:
        """Of this thread."""
        return int(self.library.stand_in_device())

    def last_error(self) -> int:
        """What this thread would be told by the next call that asks."""
        return int(self.library.stand_in_last_error())

    def start_thread_on(self, device: int) -> None:
        """This thread has chosen the device before."""
        self.library.stand_in_start_thread_on(device)

    def memory(self, device: int, size: int, *, of_pool: bool = False) -> int:
        """An address of the device."""
        return int(self.library.stand_in_memory(device, of_pool, size))

    def capture(self, stream: int) -> None:
        """Some thread captures the stream."""
        self.library.stand_in_capture(stream)

    def not_loaded(self, device: int) -> int:
        """How many kernels the device would load at their first launch."""
        return int(self.library.stand_in_not_loaded(device))

    def driver_is_for(self, version: int) -> None:
        """Of CUDA, in its numbers; 0: there is none."""
        self.library.stand_in_driver_is_for(version)

    def fail(self, call: str, status: int) -> None:
        """The next call of that name fails."""
        self.library.stand_in_fail(call.encode(), status)

    def sleep_after(self, kernel: str) -> None:
        """The thread that has launched it is slow to go on."""
        self.library.stand_in_sleep_after(kernel.encode())
