"""The core on other releases of ONNX Runtime, onnx, NumPy and Python, and with CUDA kernels."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

from tests.environments.install import (
    FEW_TESTS,
    NEWEST,
    NUMPY_1,
    OLDEST,
    PYTEST,
    built_wheel,
    install,
    pinned,
    run_tests,
)

_OLDEST_ONNX = "1.19.0"
_TOO_OLD = "1.16.3"


@nox.session(tags=["alone"])
def onnxruntime(session: nox.Session) -> None:
    """The core's tests on the oldest ONNX Runtime."""
    install(session, built_wheel(session), f"onnxruntime=={OLDEST}", *NUMPY_1, *PYTEST)
    run_tests(session, "tests/core")


@nox.session(tags=["alone"])
def onnx(session: nox.Session) -> None:
    """The core's tests on the oldest onnx."""
    install(session, f"{built_wheel(session)}[cpu]", f"onnx=={_OLDEST_ONNX}", *PYTEST)
    run_tests(session, "tests/core")


# `make matrix`: each minor release that is allowed, with the newest of the others; and other Pythons.
_MATRIX: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        f"onnxruntime {version}": ("3.11", (f"onnxruntime=={version}", *others))
        for version, others in {
            OLDEST: NUMPY_1,
            "1.18.1": NUMPY_1,
            **dict.fromkeys(
                ("1.19.2", "1.20.1", "1.21.1", "1.22.1", "1.23.2", "1.24.4", "1.25.1", "1.26.0"), ()
            ),
            **dict.fromkeys(("1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.1", NEWEST), ()),
        }.items()
    },
    **{
        f"onnx {version}": ("3.11", (f"onnx=={version}", "onnxruntime"))
        for version in (_OLDEST_ONNX, "1.20.1", "1.21.0", "1.22.0", "1.23.2")
    },
    "numpy 1.26.4": ("3.11", ("onnxruntime", *NUMPY_1)),
    **{
        f"numpy {version}": ("3.11", (f"numpy=={version}", "onnxruntime"))
        for version in ("2.0.2", "2.1.3", "2.2.6", "2.3.5", "2.4.6")
    },
    **{f"Python {version}": (version, ("onnxruntime",)) for version in ("3.12", "3.13")},
}


@nox.session(default=False, tags=["matrix"])
@nox.parametrize("versions", list(_MATRIX))
def matrix(session: nox.Session, versions: str) -> None:
    """The core's tests on one release of one package, or of Python."""
    python, packages = _MATRIX[versions]
    if not shutil.which(f"python{python}"):
        session.skip(f"there is no Python {python} here")
    folder = Path(session.create_tmp()).resolve() / versions.replace(" ", "-")
    session.run("uv", "venv", "-q", "--clear", "--python", python, str(folder))
    wanted = (built_wheel(session), *packages, *PYTEST)
    session.run("uv", "pip", "install", "--python", f"{folder}/bin/python", *pinned(session, wanted))
    options = ("-q", "-n", "auto", "--dist", "worksteal", "--disable-warnings")
    session.run(
        f"{folder}/bin/python",
        "-m",
        "pytest",
        *options,
        "tests/core",
        env={"OMP_NUM_THREADS": "1"},
        external=True,
    )
    shutil.rmtree(folder)


@nox.session(default=False, tags=["matrix"])
@nox.parametrize("version", ["0.6.2", "0.7.2"])
def onnxscript(session: nox.Session, version: str) -> None:
    """The tests of exports and of fuse on one release of onnxscript."""
    install(session, f"{built_wheel(session)}[test]", f"onnxscript=={version}")
    run_tests(session, "tests/fuse", "tests/torch/test_export.py", "tests/torch/test_export_nodes.py")


@nox.session(tags=["alone"])
def onnxruntime_gpu(session: nox.Session) -> None:
    """CUDA kernels: their device code, interpreted; with onnxruntime-gpu they harm nothing without a GPU."""
    if not (shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists()):
        session.skip("there is no nvcc here")
    # Its newest release is often behind onnxruntime's.
    disassembler = ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm")
    install(session, built_wheel(session, "cuda"), "onnxruntime-gpu==1.31.1", "cmake", *disassembler, *PYTEST)
    # Of the core's tests, those that meet the library's other code; CPU kernels and tools are the same.
    core = [f"tests/core/test_{name}.py" for name in ("library", "session", "exit", "fork", "concurrency")]
    tests = ("tests/core/onnxruntime_without_gpu.py", *FEW_TESTS, *core)
    run_tests(session, *tests, "tests/cuda_host", "tests/device_code")


@nox.session(tags=["alone"])
def too_old(session: nox.Session) -> None:
    """The last release that does not work says so."""
    install(session, built_wheel(session), f"onnxruntime=={_TOO_OLD}", *NUMPY_1, "pytest")
    session.run("python", "-m", "pytest", "-q", "tests/core/onnxruntime_too_old.py")
