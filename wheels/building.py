"""A wheel of one platform, cross-compiled by zig, with the same bytes wherever it is built."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import ziglang

from wheels import finishing, licences, sources
from wheels.commands import run
from wheels.targets import Target

ZIG = Path(ziglang.__file__).parent / "zig"
_TOOLS = ("cmake", "ninja", "scikit-build-core", "ziglang")


def environment(target: Target, cache: Path) -> dict[str, str]:
    """Where a build finds its compiler. Of what was compiled before, zig takes its own libraries alone."""
    return {
        "CXX": f"{ZIG} c++ -target {target.zig}",
        "SOURCE_DATE_EPOCH": sources.date(),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "_PYTHON_HOST_PLATFORM": target.host_platform,
    }


def cmake_settings(target: Target, native: dict[str, str]) -> dict[str, str]:
    """CMake's variables; `native` says where ONNX Runtime's headers and Highway's sources are."""
    return {
        **native,
        "CMAKE_CXX_FLAGS": "-g0",  # zig would write down where the sources are
        "CMAKE_SYSTEM_NAME": target.system,
        "CMAKE_SYSTEM_PROCESSOR": target.processor,
        "ORT_RRELU_CUDA": "OFF",
        "ORT_RRELU_MORE_PARTS": ";".join(licences.parts(target)),
        "ORT_RRELU_WERROR": "ON",
    }


def _hidden_new(target: Target, folder: Path) -> Path:
    """An object with libc++'s new and delete, which the library does not export then.

    zig's linker for macOS takes no list of exports.
    """
    library = ZIG.parent / "lib"
    includes = (f"-I{library}/libcxxabi/include", f"-I{library}/libcxx/src")
    options = ("-std=c++23", "-D_LIBCPP_BUILDING_LIBRARY", "-D_LIBCXXABI_BUILDING_LIBRARY", *includes)
    hidden = ("-fvisibility=hidden", "-fvisibility-global-new-delete=force-hidden")
    source = library / "libcxxabi" / "src" / "stdlib_new_delete.cpp"
    return _compiled("c++", target, source, folder / "new.o", *options, *hidden)


def _unloading(target: Target, folder: Path) -> Path:
    """The object of unloading.c."""
    source = Path(__file__).with_name("unloading.c")
    return _compiled("cc", target, source, folder / "unloading.o", "-Wall", "-Wextra", "-Werror")


# What is linked in beside the project's own objects.
_MORE_OBJECTS = {"Darwin": _hidden_new, "Linux": _unloading}


def _compiled(language: str, target: Target, source: Path, made: Path, *options: str) -> Path:
    run(ZIG, language, "-target", target.zig, "-O2", "-g0", "-fPIC", *options, "-c", source, "-o", made)
    return made


def build(target: Target, folder: Path, native: dict[str, str]) -> Path:
    """The wheel, built from a copy of the sources in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    defines = cmake_settings(target, sources.copied(native, folder))
    more = [str(_MORE_OBJECTS[target.system](target, folder))] if target.system in _MORE_OBJECTS else []
    defines["CMAKE_SHARED_LINKER_FLAGS"] = " ".join([*more, "-s"])
    settings = [f"-Ccmake.define.{name}={value}" for name, value in defines.items()]
    options = ("--wheel", "--no-isolation", "--outdir", str(folder), *settings, f"-Cbuild-dir={folder}/build")
    run(sys.executable, "-m", "build", *options, sources.own(folder), **environment(target, folder / "cache"))
    (wheel,) = folder.glob("*.whl")
    (folder / "digest").write_text(sources.digest(folder, _TOOLS))
    return finishing.finish(wheel, target, licences.texts(target), int(sources.date()))
