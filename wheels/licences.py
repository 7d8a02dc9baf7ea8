"""The licences of what zig links into a wheel."""

from __future__ import annotations

from pathlib import Path

import ziglang

from wheels.targets import Target

_ZIG = Path(ziglang.__file__).parent
# The C++ library and the compiler's own functions, which zig links in.
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
