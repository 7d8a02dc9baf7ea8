"""Where an installation has the shared library and the files for C++, and whether the library is whole."""

from __future__ import annotations

import functools
import os
import struct
import sys
from pathlib import Path

from ort_rrelu import schema
from ort_rrelu.errors import LibraryError

_NAMES = {"linux": "libort_rrelu.so", "win32": "ort_rrelu.dll", "darwin": "libort_rrelu.dylib"}
REMEDY = (
    "install ort-rrelu again here, its wheel for this system with `pip install --force-reinstall` or its "
    "sources with `pip install .`"
)


def get_library_path() -> str:
    """Absolute path of the shared library with the custom ops, for `register_custom_ops_library`.

    Raises LibraryError when the installation has none: the package is imported from its sources without
    having been built, or was installed for another system. Or it has one that is cut off.
    """
    return _library(_NAMES.get(sys.platform, _NAMES["linux"]))


def get_cmake_dir() -> str:
    """Absolute path of the folder with which CMake's find_package(ort_rrelu) works, as `ort_rrelu_DIR`.

    Its target ort_rrelu::ort_rrelu has the library's file and the header of its C API, ort_rrelu/rrelu.h.
    Raises LibraryError when the installation has no such folder.
    """
    return _installed("share/cmake/ort_rrelu")


def get_pkgconfig_dir() -> str:
    """Absolute path of the folder that holds ort_rrelu.pc, for PKG_CONFIG_PATH.

    Its variable `library` is the library's file. Raises LibraryError as `get_cmake_dir` does.
    """
    return _installed("share/pkgconfig")


@functools.cache
def _installed(name: str) -> str:
    # An editable installation has two folders: the sources, and what was built.
    for folder in sys.modules[schema.__package__].__path__:
        path = Path(folder).resolve() / name
        if path.exists():
            return os.fspath(path)
    for other in _NAMES.values():
        if path.with_name(other).exists():
            raise LibraryError(
                f"{path} does not exist, but {other}: the package was installed for another system; install "
                "ort-rrelu again here, with the pip of this Python and without --platform"
            )
    raise LibraryError(f"{path} does not exist: {REMEDY}")


@functools.cache
def _library(name: str) -> str:
    path = _installed(name)
    needed, size = _bytes_to_load(path), Path(path).stat().st_size
    if size < needed:
        raise LibraryError(f"{path} is cut off: it has {size} bytes of at least {needed}; {REMEDY}")
    return path


# Of ELF with 64 bits, little-endian: where the table of segments is, an entry's size, how many there are.
_ELF = b"\x7fELF\x02\x01"
_HEADER_BYTES = 64
_TABLE = struct.Struct("<32x Q 14x HH 6x")
# Of a segment: its place in the file and its bytes there.
_SEGMENT = struct.Struct("<8x Q 16x Q 16x")


def _bytes_to_load(path: str) -> int:
    """How many bytes of a file Linux's loader maps; 0 for other files, which loaders refuse themselves.

    The loader does not compare it with the file: Python would end with a bus error.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if not header.startswith(_ELF) or len(header) < _HEADER_BYTES:
            return 0
        begin, entry, count = _TABLE.unpack(header)
        file.seek(begin)
        table = file.read(entry * count)
    places = range(0, len(table) - _SEGMENT.size + 1, max(entry, _SEGMENT.size))
    last: int = max([begin + entry * count, *(sum(_SEGMENT.unpack_from(table, at)) for at in places)])
    return last
