"""What a wheel holds: licences, and of its library the exports, what it needs and the oldest system."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import lief

from wheels import signature
from wheels.commands import ROOT
from wheels.licences import below_cxx
from wheels.targets import GLIBC, Target

_SYSTEM_LIBRARIES = {
    "Linux": r"libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-.*",
    "Windows": r"KERNEL32\.dll|ntdll\.dll|api-ms-win-crt-.*\.dll",
    "Darwin": r"/usr/lib/libSystem\.B\.dylib",
}
_PARTS = {"highway", "onnxruntime", "libc++", "zig"}
_OF_THE_LINKER = {
    "__dso_handle",
    "_mh_dylib_header",
}  # zig's for macOS cannot hide how it calls the file itself
_OLDEST_MACOS = [11, 0, 0]


class WrongContentsError(Exception):
    """A wheel that must not be published."""


def _expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongContentsError(what)


def exports() -> set[str]:
    """The functions of the C API and the one that ONNX Runtime calls."""
    header = (ROOT / "ops" / "rrelu.h").read_text("utf-8")
    functions = re.findall(r"^ORT_RRELU_EXPORT [^;(]*?\b(ort_rrelu_\w+)\(", header, re.M)
    return {*functions, "RegisterCustomOps"}


def inspect(wheel: Path, target: Target) -> dict[str, Any]:
    """Facts for the record; raises WrongContentsError."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        library = archive.read(f"ort_rrelu/{target.library}")
        (bill,) = (
            json.loads(archive.read(name)) for name in names if name.endswith("/sboms/ort-rrelu.cdx.json")
        )
    parts = {part["name"]: part["version"] for part in bill["components"]}
    lacking = {*_PARTS, *below_cxx(target)} - parts.keys()
    _expect(not lacking, f"{wheel}: its bill lacks {sorted(lacking)}")
    _expect(
        parts["libc++abi"] == parts["libc++"], f"{wheel}: libc++ and libc++abi of different versions: {parts}"
    )
    licences = sorted(name.partition("/licenses/")[2] for name in names if "/licenses/" in name)
    _expect("LICENSE" in licences and len(licences) > 1, f"{wheel}: licences {licences}")
    facts = {"Linux": _elf, "Windows": _pe, "Darwin": _mach_o}[target.system](library)
    _expect(
        facts["exports"] == exports(),
        f"{wheel}: exports {sorted(facts['exports'] ^ exports())} too many or too few",
    )
    allowed = _SYSTEM_LIBRARIES[target.system]
    foreign = [name for name in facts["libraries"] if not re.fullmatch(allowed, name)]
    _expect(not foreign, f"{wheel}: it needs {foreign}")
    size = wheel.stat().st_size
    return facts | {"exports": len(facts["exports"]), "licences": licences, "parts": parts, "bytes": size}


def _elf(library: bytes) -> dict[str, Any]:
    binary = lief.ELF.parse(list(library))
    assert binary is not None
    versions = {
        tuple(map(int, version.name.removeprefix("GLIBC_").split(".")))
        for needed in binary.symbols_version_requirement
        for version in needed.get_auxiliary_symbols()
        if version.name.startswith("GLIBC_")
    }
    _expect(max(versions) <= GLIBC, f"it needs glibc {max(versions)}")
    return {
        "exports": {symbol.name for symbol in binary.exported_symbols},
        "libraries": sorted(binary.libraries),
        "newest symbol of glibc": ".".join(map(str, max(versions))),
    }


def _pe(library: bytes) -> dict[str, Any]:
    binary = lief.PE.parse(list(library))
    assert binary is not None
    return {
        "exports": {entry.name for entry in binary.get_export().entries},
        "libraries": sorted(entry.name for entry in binary.imports),
    }


def _mach_o(library: bytes) -> dict[str, Any]:
    binaries = lief.MachO.parse(list(library))
    assert binaries is not None
    binary = binaries.at(0)
    (identity,) = (
        command for command in binary.commands if command.command == lief.MachO.LoadCommand.TYPE.ID_DYLIB
    )
    _expect(identity.name == "@rpath/libort_rrelu.dylib", f"its install name is {identity.name}")
    oldest = list(binary.build_version.minos)
    _expect(oldest == _OLDEST_MACOS, f"it needs macOS {oldest}")
    signed = binary.code_signature
    # zig signs where macOS demands it.
    _expect(signed or binary.header.cpu_type == lief.MachO.Header.CPU_TYPE.X86_64, "it is not signed")
    if signed:
        signature.check(library, signed.data_offset, signed.data_size)
    others = {entry.name for entry in binary.libraries} - {identity.name}
    return {
        "exports": {symbol.name.removeprefix("_") for symbol in binary.exported_symbols} - _OF_THE_LINKER,
        "libraries": sorted(others),
        "install name": identity.name,
        "oldest macOS": ".".join(map(str, oldest[:2])),
    }
