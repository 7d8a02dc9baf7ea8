"""What zig links into a wheel beside our objects: its licences, and its lines in the bill of materials."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import ziglang

from wheels.targets import GLIBC, Target

_ZIG = Path(ziglang.__file__).parent
# The C++ library with what it stands on, and the compiler's own functions, which zig links in.
_EVERYWHERE = {"llvm": "lib/libcxx/LICENSE.TXT", "zig": "LICENSE"}
# Of each C runtime, what is linked in and not found on the system.
_RUNTIMES = {
    "glibc": {"glibc": "lib/libc/glibc/LICENSES"},
    "mingw": {"mingw-w64": "lib/libc/mingw/COPYING"},
    "macos": {},
}


def texts(target: Target) -> dict[str, str]:
    """Licence files of a wheel beside those of third_party/, which every build brings: name -> text."""
    files = _EVERYWHERE | _RUNTIMES[target.runtime]
    return {f"{name}/LICENSE": (_ZIG / path).read_text("utf-8") for name, path in sorted(files.items())}


def parts(target: Target) -> list[str]:
    """Name, version and SPDX licence of each part; CMake adds the C++ library itself."""
    found = ["zig", metadata.version("ziglang"), "MIT"]
    for name in below_cxx(target):
        found += [name, _llvm_version(), "Apache-2.0 WITH LLVM-exception"]
    if target.runtime == "glibc":
        found += ["glibc", ".".join(map(str, GLIBC)), "LGPL-2.1-or-later"]
    if target.runtime == "mingw":
        found += ["mingw-w64", _mingw_version(), "ZPL-2.1"]
    return found


def below_cxx(target: Target) -> list[str]:
    """What libc++ stands on and brings along; macOS has an unwinder of its own."""
    return ["libc++abi"] if target.runtime == "macos" else ["libc++abi", "libunwind"]


def _llvm_version() -> str:
    """That of libc++, beside which zig has its other parts."""
    header = _ZIG / "lib" / "libcxx" / "include" / "__config"
    found = re.search(r"define _LIBCPP_VERSION (\d+)(\d\d)(\d\d)\n", header.read_text("utf-8"))
    if not found:
        raise ValueError(f"{header} does not say which version libc++ has")
    return ".".join(str(int(number)) for number in found.groups())


def _mingw_version() -> str:
    header = _ZIG / "lib" / "libc" / "include" / "any-windows-any" / "_mingw_mac.h"
    names = ("MAJOR", "MINOR", "BUGFIX")
    text = header.read_text("utf-8")
    return ".".join(re.findall(rf"define __MINGW64_VERSION_{name} +(\d+)", text)[0] for name in names)
