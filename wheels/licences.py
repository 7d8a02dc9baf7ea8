"""The licences of what a wheel contains beside our own code."""

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


def texts(target: Target, native: dict[str, str]) -> dict[str, str]:
    """Licence files of a wheel: name -> text."""
    highway = Path(native["HIGHWAY_SOURCE_DIR"])
    files = {
        "highway/LICENSE": highway / "LICENSE",
        "highway/LICENSE-BSD3": highway / "LICENSE-BSD3",
        "onnxruntime/LICENSE": Path(__file__).parent / "onnxruntime-LICENSE",
        **{
            f"{name}/LICENSE": _ZIG / path for name, path in (_EVERYWHERE | _RUNTIMES[target.runtime]).items()
        },
    }
    return {name: path.read_text("utf-8") for name, path in sorted(files.items())}
