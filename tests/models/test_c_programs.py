"""C and C++ programs of others: they find the library with CMake or pkg-config, and get Python's bits."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import ort_rrelu
from models.digits.exports import exporters_advice_hidden
from models.digits.network import build as build_network
from ort_rrelu.arguments import Array
from tests.cpp.build import fetched_sources, run

_ROOT = Path(__file__).resolve().parents[2]
_STEP = 2**40 + 3


def _runtime_library(folder: Path) -> Path:
    """ONNX Runtime's library of the Python package, under the name with which programs ask for it."""
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    return folder / "libonnxruntime.so"


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of models/cpp, built as its CMakeLists.txt says."""
    folder = tmp_path_factory.mktemp("classify")
    settings = {
        "ort_rrelu_DIR": ort_rrelu.get_cmake_dir(),
        "ONNXRUNTIME_LIBRARY": _runtime_library(folder),
    }
    defines = [f"-D{name}={value}" for name, value in settings.items()]
    defines += fetched_sources("ONNXRUNTIME_INCLUDE_DIR")  # elsewhere the program finds an installed copy
    run("cmake", "-S", _ROOT / "models" / "cpp", "-B", folder / "build", *defines)
    run("cmake", "--build", folder / "build")
    return folder / "build" / "classify"


@pytest.fixture(scope="module")
def images() -> Array:
    return np.random.default_rng(0).random((3, 1, 8, 8), np.float32)


def _export(folder: Path, *, training: bool) -> Path:
    model = folder / "digits.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    example = (torch.zeros(2, 1, 8, 8),)
    with exporters_advice_hidden():
        ort_rrelu.torch.export(
            build_network().train(training),
            example,
            model,
            step_input=training,
            dynamic_shapes=batch,
            verbose=False,
        )
    return model


def _call(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_cpp_program_gives_pythons_bits(
    classify: Path, images: Array, tmp_path: Path, training: bool
) -> None:
    model = _export(tmp_path, training=training)
    images.tofile(tmp_path / "images")
    result = _call(classify, model, tmp_path / "images", tmp_path / "logits", *[_STEP] * training)
    assert result.returncode == 0, result.stderr

    session = ort_rrelu.InferenceSession(model, lower_eval=False)
    image_name, *step_name = (value.name for value in session.get_inputs())
    feeds = {image_name: images} | dict.fromkeys(step_name, np.array(_STEP))
    (logits,) = session.run(None, feeds)
    assert np.fromfile(tmp_path / "logits", np.float32).tobytes() == logits.tobytes()
    assert result.stdout.split() == [str(label) for label in logits.argmax(1)]


def test_cpp_program_uses_the_kernel(classify: Path, tmp_path: Path) -> None:
    """Without functions in the model it runs only where the library is registered."""
    model = tmp_path / "kernel.onnx"
    text = '<ir_version: 8, opset_import: ["": 17, "ort_rrelu": 1]> net (float[n, 2] x) => (float[n, 2] y)'
    node = "{ y = ort_rrelu.RRelu <training = 1, seed = 7> (x) }"
    model.write_bytes(onnx.parser.parse_model(text + node).SerializeToString())
    x = np.full((4, 2), -1, np.float32)
    x.tofile(tmp_path / "x")
    result = _call(classify, model, tmp_path / "x", tmp_path / "y")
    assert result.returncode == 0, result.stderr
    expected = ort_rrelu.rrelu(x, training=True, seed=7)
    assert np.fromfile(tmp_path / "y", np.float32).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [(64 + 1, "65 values are no images of 64"), (0, "not a file of float32 values")],
)
def test_cpp_program_refuses_what_is_no_image(
    classify: Path, tmp_path: Path, values: int, message: str
) -> None:
    np.zeros(values, np.float32).tofile(tmp_path / "images")
    model = _export(tmp_path, training=False)
    result = _call(classify, model, tmp_path / "images", tmp_path / "logits")
    assert result.returncode == 1
    assert message in result.stderr
    assert not (tmp_path / "logits").exists()


@pytest.mark.parametrize(
    ("body", "step", "message"),
    [
        ("(float x) => (float y) { y = ort_rrelu.RRelu (x) }", [], "first input is a scalar"),
        (
            "(float[n,2] x) => (int64[n] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }",
            [],
            "y: not an output of float",
        ),
        (
            "(float[n,2] x) => (float[n,2] y) { y = ort_rrelu.RRelu (x) }",
            ["5x"],
            "step 5x: not a whole number",
        ),
    ],
)
def test_cpp_program_refuses_what_it_cannot_do(
    classify: Path, tmp_path: Path, body: str, step: list[str], message: str
) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17, "ort_rrelu": 1]> net {body}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    np.zeros(2, np.float32).tofile(tmp_path / "x")
    result = _call(classify, tmp_path / "m.onnx", tmp_path / "x", tmp_path / "y", *step)
    assert result.returncode == 1
    assert message in result.stderr
    assert not (tmp_path / "y").exists()


def _pkgconf(*arguments: str) -> list[str]:
    program = Path(sysconfig.get_path("scripts")) / "pkgconf"
    path = {"PKG_CONFIG_PATH": ort_rrelu.get_pkgconfig_dir()}
    return subprocess.check_output([program, *arguments], text=True, env=os.environ | path).split()


def test_pkgconfig_names_the_library() -> None:
    (library,) = _pkgconf("--variable=library", "ort_rrelu")
    assert Path(library).samefile(ort_rrelu.get_library_path())
    assert _pkgconf("--modversion", "ort_rrelu") == [ort_rrelu.__version__]


def test_c_program_gives_numpys_bits(tmp_path: Path) -> None:
    flags = _pkgconf("--cflags", "--libs", "ort_rrelu")
    rpath = f"-Wl,-rpath,{Path(ort_rrelu.get_library_path()).parent}"
    program = tmp_path / "program"
    subprocess.check_call(
        ["cc", "-Wall", "-Werror", _ROOT / "tests/models/c_program.c", *flags, rpath, "-o", program]
    )
    y = [float.fromhex(line) for line in subprocess.check_output([program], text=True).split()]
    x = np.array([-1, -2, -3, 4], np.float32)
    assert y == ort_rrelu.rrelu(x, 0.125, 0.25, training=True, seed=7, step=5).tolist()
