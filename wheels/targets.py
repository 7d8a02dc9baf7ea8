"""The platforms that have a wheel: how zig, CMake and pip call each of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One platform."""

    tag: str  # pip's
    zig: str
    system: str  # CMake's
    processor: str
    library: str
    runtime: str  # whose C runtime is partly linked in; a key of licences.py
    older_tags: tuple[str, ...] = ()  # other names of the same system

    @property
    def host_platform(self) -> str:
        """As Python's sysconfig would call the platform there, but for the dots in versions."""
        machine = "x86_64" if self.tag.endswith("x86_64") else self.tag.rpartition("_")[2]
        return f"{self.tag.removesuffix('_' + machine)}-{machine}"


# The lowest glibc for which zig links what the code calls, and the oldest macOS on arm64.
GLIBC = (2, 17)
_GLIBC = ".".join(map(str, GLIBC))
_MANYLINUX = f"manylinux_{GLIBC[0]}_{GLIBC[1]}"

LINUX_X86_64 = Target(
    f"{_MANYLINUX}_x86_64",
    f"x86_64-linux-gnu.{_GLIBC}",
    "Linux",
    "x86_64",
    "libort_rrelu.so",
    "glibc",
    ("manylinux2014_x86_64",),
)
LINUX_AARCH64 = Target(
    f"{_MANYLINUX}_aarch64",
    f"aarch64-linux-gnu.{_GLIBC}",
    "Linux",
    "aarch64",
    "libort_rrelu.so",
    "glibc",
    ("manylinux2014_aarch64",),
)
WINDOWS = Target("win_amd64", "x86_64-windows-gnu", "Windows", "AMD64", "ort_rrelu.dll", "mingw")
MACOS_ARM64 = Target(
    "macosx_11_0_arm64", "aarch64-macos.11.0", "Darwin", "arm64", "libort_rrelu.dylib", "macos"
)
MACOS_X86_64 = Target(
    "macosx_11_0_x86_64", "x86_64-macos.11.0", "Darwin", "x86_64", "libort_rrelu.dylib", "macos"
)
TARGETS = (LINUX_X86_64, LINUX_AARCH64, WINDOWS, MACOS_ARM64, MACOS_X86_64)
