"""Nodes of sessions: how runs are counted, what errors tell, memory while a stream is captured."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.cuda_host.build import Books, path
from tests.draws import Draw, by_reference, normal
from tests.onnx_models import DTYPES, FLOAT, grad_model, rrelu_model

_NO_KERNEL_IMAGE = 209
_SIZES = pytest.mark.parametrize("size", [16, 300_000], ids=["one block", "many blocks"])


@pytest.fixture
def books() -> Books:
    return Books()


def _copy(folder: Path) -> Path:
    """The library once more, which has found no driver yet and loaded no kernels."""
    return Path(shutil.copy(path(), folder))


def _session(model: onnx.ModelProto, library: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library or path()))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def _run(session: Any, size: int) -> None:
    session.run(None, {"x": np.zeros(size, np.float32)})


def _counting(library: Path | None = None) -> Any:
    return _session(rrelu_model(training=1, seed=42, outputs=["y"], name="relu"), library)


@_SIZES
def test_runs_count_from_0(books: Books, size: int) -> None:
    session = _counting()
    for _ in range(3):
        _run(session, size)
    assert books.steps() == ["0", "1", "2"]


@_SIZES
def test_concurrent_runs_on_one_stream_take_every_step_once(books: Books, size: int) -> None:
    """A thread that is slow between counting and drawing must not get the step of the next."""
    session, runs = _counting(), 8
    books.sleep_after("Advance")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _run(session, size), range(runs)))
    assert books.steps() == [str(step) for step in range(runs)]


def test_a_step_that_is_given_is_not_counted(books: Books) -> None:
    session = _session(rrelu_model(training=1, seed=42, with_step=True, outputs=["y"]))
    session.run(None, {"x": np.zeros(16, np.float32), "step": np.array([7])})
    assert books.steps() == ["7"]
    assert "cudaMalloc" not in [call.name for call in books.calls]


@pytest.mark.parametrize("stream", [0, 0x77], ids=["this stream", "another stream"])
def test_memory_is_taken_and_given_back_while_a_stream_is_captured(books: Books, stream: int) -> None:
    """Each such call says that it knows; else it is an error, and the capture is lost."""
    books.capture(stream)
    forward = _counting()
    _run(forward, 16)
    backward = _session(grad_model(FLOAT, saved="reserve"))
    del forward, backward
    memory = {call.name: call.mode for call in books.calls if not call.name.startswith("launch")}
    assert memory == dict.fromkeys(
        ("cudaMalloc", "cudaStreamCreate", "cudaHostAlloc", "cudaFree", "cudaFreeHost"), "relaxed"
    )


def test_a_session_on_another_device_goes_without_touching_the_first(books: Books) -> None:
    """ONNX Runtime makes a session and runs it on its device; it may be let go of on any thread."""
    with ThreadPoolExecutor(1, initializer=lambda: books.start_thread_on(1)) as pool:
        sessions = [pool.submit(_counting).result()]
        sessions.append(pool.submit(_session, grad_model(FLOAT, saved="reserve")).result())
        pool.submit(_run, sessions[0], 16).result()
    assert books.contexts() == {1}
    sessions.clear()
    assert [c.device for c in books.calls if c.name in {"cudaFree", "cudaFreeHost"}] == [1, 1]
    assert books.contexts() == {1}
    assert books.device() == 0


def test_a_session_loads_its_kernels_when_it_is_made(books: Books) -> None:
    """So that no run of it, which may be captured, does."""
    for dtype in DTYPES:
        _session(rrelu_model(dtype, training=1, seed=42, outputs=["y"]))
    assert books.not_loaded(0) == 0


def test_a_device_that_the_build_has_no_code_for_is_named(books: Books) -> None:
    session = _counting()
    books.fail("cudaLaunchKernel", _NO_KERNEL_IMAGE)
    with pytest.raises(Exception, match=r'RRelu node "relu": CUDA: cudaErrorNoKernelImage') as error:
        _run(session, 16)
    assert "the device has compute capability 8.6, and this ort_rrelu was built for 9.0" in str(error.value)
    assert "CMAKE_CUDA_ARCHITECTURES=86" in str(error.value)


def test_a_device_without_code_fails_the_making_of_a_session_with_the_same_words(tmp_path: Path) -> None:
    """There kernels are loaded first. Another device may be there by then."""
    library = _copy(tmp_path)
    books = Books(library)
    books.fail("cudaFuncGetAttributes", _NO_KERNEL_IMAGE)
    with pytest.raises(Exception, match=r'RRelu node "relu": CUDA: .* was built for 9\.0: build it where'):
        _counting(library)
    session = _counting(library)
    _run(session, 16)
    assert books.steps() == ["0"]


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (
            12080,
            r"the NVIDIA driver here is for CUDA 12\.8: .* need driver 580\.65\.06 or newer; the CPU kernels",
        ),
        (0, r"there is no NVIDIA driver here: .* need driver 580\.65\.06 or newer; the CPU kernels"),
    ],
)
def test_a_driver_that_is_too_old_is_named(tmp_path: Path, version: int, says: str) -> None:
    """And looked for again: it may be there by then."""
    library = _copy(tmp_path)
    books = Books(library)
    books.driver_is_for(version)
    with pytest.raises(Exception, match=f'RRelu node "relu": {says}'):
        _counting(library)
    books.driver_is_for(13000)
    _run(_counting(library), 16)
    assert books.steps() == ["0"]


def test_after_an_error_the_session_goes_on(books: Books) -> None:
    """Nothing is left for the next caller of CUDA in the session to trip over."""
    session = _counting()
    _run(session, 16)
    books.fail("cudaLaunchKernel", _NO_KERNEL_IMAGE)
    with pytest.raises(Exception, match="relu"):
        _run(session, 16)
    assert books.last_error() == 0
    _run(session, 16)
    assert books.steps() == ["0", "1"]


def test_a_reserve_of_another_tensor_fails_the_next_run_alone(books: Books) -> None:
    session = _session(grad_model(FLOAT, saved="reserve", name="back"))
    dy, good, other = (
        normal((8,), FLOAT),
        *(by_reference(normal((n,), FLOAT), Draw()).reserve for n in (8, 7)),
    )
    feeds = dict(zip((i.name for i in session.get_inputs()), (dy, good), strict=True))
    wrong = {**feeds, session.get_inputs()[1].name: other}
    session.run(None, wrong)  # of as many bytes: only the device can see it
    with pytest.raises(
        Exception, match=r'RReluGrad node "back": in an earlier run, .*reserve is of 7 elements'
    ):
        session.run(None, feeds)
    session.run(None, feeds)
    assert [call.name for call in books.calls if call.name.startswith("launch")] == ["launch Reserve"] * 2
