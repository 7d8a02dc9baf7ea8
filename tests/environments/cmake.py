"""How sessions use CMake: native sources, found once for all; the build, and its tests."""

from __future__ import annotations

import re
from pathlib import Path

import nox

from tests.documentation import ROOT

# CMake's variable for what the build needs -> its name there, and a file of it.
_NATIVE = {
    "ONNXRUNTIME_INCLUDE_DIR": ("onnxruntime", "onnxruntime_c_api.h"),
    "HIGHWAY_SOURCE_DIR": ("highway", "hwy/targets.cc"),
}


def found_by_cmake(build: Path) -> dict[str, str]:
    """Where a build found its native sources, as far as they are still there."""
    cache = build / "CMakeCache.txt"
    text = cache.read_text("utf-8") if cache.exists() else ""
    found = {}
    for variable, (name, file) in _NATIVE.items():
        place = re.search(rf"^ORT_RRELU_FOUND_{name}:INTERNAL=(.+)$", text, re.M)
        if place and Path(place[1], file).exists():
            found[variable] = place[1]
    return found


def native_sources(session: nox.Session) -> list[str]:
    """ONNX Runtime's headers and Highway's sources, found once for all sessions, as CMake arguments."""
    build = ROOT / "build" / "native"
    if len(found_by_cmake(build)) < len(_NATIVE):
        session.run("cmake", "-S", ".", "-B", str(build), "-DORT_RRELU_CUDA=OFF", silent=True)
    found = found_by_cmake(build)
    for variable in _NATIVE.keys() - found.keys():
        session.error(f"CMake found nothing for {variable}: see {build}/CMakeCache.txt")
    return [f"-D{variable}={place}" for variable, place in found.items()]


def fetched(session: nox.Session, name: str) -> Path:
    """The folder of what cmake/fetch_debian.sh fetches, once for all sessions."""
    folder = ROOT / "build" / "native"
    if not (folder / name).is_dir():
        session.run("bash", "cmake/fetch_debian.sh", name, str(folder), external=True)
    return folder / name


def configure(session: nox.Session, build: str, *options: str, env: dict[str, str] | None = None) -> None:
    settings = ("-DORT_RRELU_BUILD_TESTS=ON", "-DORT_RRELU_CUDA=OFF", *native_sources(session))
    session.run("cmake", "-G", "Ninja", "-S", ".", "-B", build, *settings, *options, env=env, silent=True)


CTEST = ("--no-tests=error", "--output-on-failure")


def ctest(
    session: nox.Session, build: str, *options: str, env: dict[str, str] | None = None, but: str = "^$"
) -> None:
    """Build the C++ tests and run them, but not those whose names match."""
    configure(session, build, *options, env=env)
    session.run("cmake", "--build", build)
    session.run("ctest", "--test-dir", build, *CTEST, "-E", but)
