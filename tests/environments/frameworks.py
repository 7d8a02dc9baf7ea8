"""Paddle, TensorFlow, training in ONNX Runtime, torch's own tests."""

from __future__ import annotations

from pathlib import Path

import nox

from tests.environments.install import BETWEEN, PYTEST, another_python, built_wheel, install, run_tests
from tests.environments.portable import run_portable

_PADDLE2ONNX = "paddle2onnx==2.1.0"


def _paddle2onnx_by_itself(session: nox.Session, paddle: str) -> str:
    """The Python of an environment that has Paddle2ONNX as it wants to be installed."""
    packages = [f"paddlepaddle=={paddle}", _PADDLE2ONNX, "onnx==1.17.0", "packaging", "setuptools"]
    return another_python(session, Path(session.create_tmp()).resolve() / "paddle2onnx", *packages)


def _install_paddle(session: nox.Session, version: str) -> None:
    packages = [f"paddlepaddle=={version}", *PYTEST, "setuptools"]
    install(session, f"{built_wheel(session)}[demo-paddle]", *packages)


@nox.session(tags=["beside"])
def paddle(session: nox.Session) -> None:
    """The newest Paddle: layer, export and demo, with Paddle2ONNX beside everything else."""
    _install_paddle(session, "3.3.1")
    session.install("-q", "--no-deps", _PADDLE2ONNX)
    run_tests(session, "tests/paddle")
    run_portable(session, "paddle")


@nox.session(default=False, tags=["long"])
def paddle_oldest(session: nox.Session) -> None:
    """The oldest Paddle, with Paddle2ONNX by itself and the onnx that it pins. `make test-long`."""
    version = "3.0.0"
    _install_paddle(session, version)
    run_tests(session, "tests/paddle", ORT_RRELU_PADDLE2ONNX_PYTHON=_paddle2onnx_by_itself(session, version))


@nox.session(tags=["first"])
def tensorflow(session: nox.Session) -> None:
    """TensorFlow with Keras 3: export of live models, and of Keras on torch."""
    packages = ("tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "scikit-learn", *PYTEST)
    install(session, f"{built_wheel(session)}[cpu,torch]", *packages)
    # No search for GPUs, and none of what TensorFlow says of the processor.
    run_tests(session, "tests/tensorflow", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")


@nox.session(tags=["beside"])
def training(session: nox.Session) -> None:
    """Road A of ort_rrelu.training: onnxruntime-training's last release, which takes onnxruntime's place."""
    install(session, f"{built_wheel(session)}[demo-training]", "pytest")
    session.run("python", "-m", "pytest", "-q", "tests/onnxruntime_training", *session.posargs)


@nox.session(default=False, tags=["long"])
def training_long(session: nox.Session) -> None:
    """Road B: more kinds of layers, accuracies over seeds; the oldest ONNX Runtime. `make test-long`."""
    install(session, f"{built_wheel(session)}[demo]", "pytest")
    session.run("python", "-m", "pytest", "-q", "-s", "tests/training/long.py", *session.posargs)
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "tests.training.run", "make", str(folder))
    for version, more in BETWEEN.items():
        packages = [f"{built_wheel(session)}[training]", f"onnxruntime=={version}", *more]
        python = another_python(session, folder / version, *packages)
        session.run(python, "tests/training/run.py", "run", str(folder), external=True)


@nox.session(tags=["alone"])
def torch_opinfo(session: nox.Session) -> None:
    """All of torch's own samples and checks of nn.functional.rrelu, with our module in its place."""
    install(session, f"{built_wheel(session)}[cpu,torch]", "expecttest", *PYTEST)
    run_tests(session, "tests/torch/opinfo_all.py")
