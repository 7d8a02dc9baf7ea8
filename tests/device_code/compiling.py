"""What nvcc makes of the kernels: PTX, machine code and the host's half; also where a fault is planted."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
_BUILD = _ROOT / "build" / "device_code"  # kept: a second run compiles nothing
NVCC = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"

# Turing, Ampere, Hopper, and Blackwell for workstations.
ARCHITECTURES = (75, 80, 90, 120)
KERNELS = "cuda/kernels.cu"


@dataclass(frozen=True)
class Build:
    """The files of one build of all architectures."""

    folder: Path
    host: Path  # a shared library: host_calls.cu, host_runtime.c and the launches of kernels.cu

    def ptx(self, architecture: int) -> Path:
        """The text that the interpreter runs."""
        return self._made(f"kernels*_{architecture}.ptx")

    def machine_code(self, architecture: int) -> Path:
        """What cuobjdump reads."""
        return self._made(f"kernels*_{architecture}.cubin")

    def _made(self, pattern: str) -> Path:
        (path,) = self.folder.glob(pattern)
        return path


@functools.cache
def build() -> Build:
    """Of the sources as they are."""
    folder = _BUILD / _digest(_sources(_ROOT / "ops"))
    calls, runtime = _HERE / "host_calls.cu", _HERE / "host_runtime.c"
    digest = hashlib.sha256(calls.read_bytes() + runtime.read_bytes()).hexdigest()
    host = folder / f"host_{digest[:16]}.so"
    with _alone(folder):
        if not (folder / "kernels.o").exists():
            _compile_kernels(folder)
        if not host.exists():
            _link_host(folder, calls, runtime, host)
    return Build(folder, host)


def ptx_with(file: str, old: str, new: str, architecture: int) -> Path:
    """The PTX of sources in which `new` takes the place of `old`, which must be in `file` once."""
    sources = _sources(_ROOT / "ops")
    assert sources[file].count(old) == 1, f"{file} has {sources[file].count(old)} times {old!r}, not once"
    changed = {**sources, file: sources[file].replace(old, new)}
    folder = _BUILD / _digest(changed)
    result = folder / f"kernels_{architecture}.ptx"
    with _alone(folder):
        if not result.exists():
            for name, text in changed.items():
                path = folder / "ops" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
            _nvcc(folder / "ops", "-ptx", f"-arch=sm_{architecture}", KERNELS, "-o", result)
    return result


def cubin_with(file: str, old: str, new: str, architecture: int) -> Path:
    """The machine code of such sources."""
    ptx = ptx_with(file, old, new, architecture)
    result = ptx.with_suffix(".cubin")
    with _alone(ptx.parent):
        if not result.exists():
            _nvcc(ptx.parent / "ops", "-cubin", f"-arch=sm_{architecture}", KERNELS, "-o", result)
    return result


def _compile_kernels(folder: Path) -> None:
    """One run of nvcc for all architectures; it leaves what it makes on the way in the folder."""
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    kept = ["-Xcompiler=-fPIC", "--keep", f"--keep-dir={folder}"]
    _nvcc(_ROOT / "ops", "-c", *targets, *kept, KERNELS, "-o", folder / "kernels.o.part")
    for path in folder.iterdir():
        if path.suffix not in {".ptx", ".cubin", ".part"} and path.name != "lock":
            path.unlink()  # megabytes that nothing reads
    (folder / "kernels.o.part").rename(folder / "kernels.o")


def _link_host(folder: Path, calls: Path, runtime: Path, result: Path) -> None:
    objects = [folder / f"{path.stem}.o" for path in (calls, runtime)]
    _nvcc(_ROOT / "ops", "-c", "-Xcompiler=-fPIC", calls, "-o", objects[0])
    _run("cc", "-c", "-fPIC", "-Wall", "-Wextra", "-Werror", runtime, "-o", objects[1])
    part = result.with_suffix(".part")
    _run("c++", "-shared", "-Wl,--no-undefined", folder / "kernels.o", *objects, "-o", part)
    part.rename(result)


def _flags() -> list[str]:
    """The options that decide about bits: CMakeLists.txt is their home."""
    found = re.search(
        r"target_compile_options\(ort_rrelu_cuda PRIVATE ((?:-f\S+ )+)",
        (_ROOT / "CMakeLists.txt").read_text(),
    )
    assert found, "CMakeLists.txt does not say how ort_rrelu_cuda is compiled"
    return ["-std=c++17", *found[1].split()]


def _nvcc(sources: Path, *arguments: str | Path) -> None:
    _run(NVCC, *_flags(), "-I", sources, *(sources / a if a == KERNELS else a for a in arguments))


def _run(*command: str | Path) -> None:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"


def _sources(folder: Path) -> dict[str, str]:
    """What nvcc may read of `ops`, by its path within."""
    files = sorted([*folder.glob("*.h"), *folder.glob("cuda/*.h"), *folder.glob("cuda/*.cu")])
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in files}


def version() -> str:
    """Of nvcc, such as 13.0.88."""
    found = re.search(r", V([\d.]+)", subprocess.check_output([NVCC, "--version"], text=True))
    assert found, f"{NVCC} does not say its version"
    return found[1]


def _digest(sources: Mapping[str, str]) -> str:
    version = subprocess.check_output([NVCC, "--version"], text=True)
    parts = [version, *_flags(), *map(str, ARCHITECTURES), *sources, *sources.values()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: the others find the files that it made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
