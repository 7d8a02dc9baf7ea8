"""What is shipped: the wheel alone, the source archive, the wheels for five platforms."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import nox

from tests.environments.cmake import native_sources
from tests.environments.install import (
    BETWEEN,
    FEW_TESTS,
    KERNELS,
    PYTEST,
    RUN_TESTS,
    built_wheel,
    example_of,
    install,
)
from tests.environments.portable import NODE, ONNX_RUNTIMES_OF_NODE


@nox.session(tags=["alone"])
def wheel(session: nox.Session) -> None:
    """The wheel and onnxruntime alone run the example of docs/python.md; what it says of itself is right."""
    install(session, f"{built_wheel(session)}[cpu]")
    example = example_of(session, "docs/python.md", "python")
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", example)
    install(session, "cyclonedx-python-lib[json-validation]", "pytest", "readme-renderer[md]", "twine")
    session.run("twine", "check", "--strict", built_wheel(session))
    session.run("python", "-m", "pytest", "-q", "tests/wheel", env={"ORT_RRELU_WHEEL": built_wheel(session)})


# A command that sees no network.
_ALONE = ("unshare", "--map-root-user", "--net")


@nox.session(tags=["first"])
def sdist(session: nox.Session) -> None:
    """The source archive builds and runs without a network; it says what it lacks."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    install(session, "cmake", "ninja", "scikit-build-core", "uv", "onnx", "onnxruntime", *PYTEST)
    native = [f"-Ccmake.define.{option.removeprefix('-D')}" for option in native_sources(session)]
    session.run("uv", "build", "-q", "--sdist", *native, "--out-dir", str(folder), ".")
    (archive,) = folder.glob("ort_rrelu-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    source = folder / "unpacked" / archive.name.removesuffix(".tar.gz")
    options = ("-q", "--offline", "--no-deps", "--no-build-isolation", "--reinstall")
    session.run(*_ALONE, "uv", "pip", "install", *options, *KERNELS["cpu"], str(source), external=True)
    tests = session.posargs or ("tests/sdist", *FEW_TESTS)
    env = {"OMP_NUM_THREADS": "1", "ORT_RRELU_SDIST": str(archive)}
    session.run(*_ALONE, *RUN_TESTS, *tests, env=env, external=True)


@nox.session(default=False, tags=["wheels"])
def wheels(session: nox.Session) -> None:
    """Wheels for five platforms, with zig; those for Linux and Windows are run. `make wheels`."""
    builders = ("build", "cmake", "ninja", "scikit-build-core", "uv", "ziglang")
    readers = ("check-wheel-contents", "lief", "numpy", "pip", "twine", NODE)
    install(session, *builders, *readers)
    folder = Path(session.create_tmp()).resolve()
    options = ["--folder", str(folder), *native_sources(session)]
    session.run("python", "-m", "wheels", "build", *options)
    (ours,) = Path("dist", "wheels").glob("*manylinux*_x86_64.whl")
    install(session, f"{ours}[cpu]")
    for version, more in BETWEEN.items():
        options += ["--onnxruntime", " ".join([f"onnxruntime=={version}", *more])]
    for version in ONNX_RUNTIMES_OF_NODE:
        options += ["--node", version]
    session.run("python", "-m", "wheels", "test", "--gcc", built_wheel(session), *options)
