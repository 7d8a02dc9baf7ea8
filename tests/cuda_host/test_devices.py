"""The C API on several devices: work goes to that of the arrays, and no other device gets a context."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from ort_rrelu import library
from tests.cuda_host.build import Books, path
from tests.onnx_models import DTYPES, FLOAT

_PARAMS = library.Params(FLOAT, training=True)


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    """The package calls the library on the books' runtime."""
    monkeypatch.setattr(library, "get_library_path", lambda: str(path()))
    loaded = library._load.__wrapped__()
    monkeypatch.setattr(library, "_load", lambda: loaded)
    return Books()


def _forward(books: Books, device: int, *, of_pool: bool = False) -> None:
    x, y = (books.memory(device, 64, of_pool=of_pool) for _ in range(2))
    library.cuda_forward(_PARAMS, library.CudaCall(), x, y, None, 0, 16)


@pytest.mark.parametrize("of_pool", [False, True])
def test_a_process_that_uses_one_device_gets_a_context_on_no_other(books: Books, of_pool: bool) -> None:
    _forward(books, 1, of_pool=of_pool)
    assert [(call.name, call.device) for call in books.calls] == [("launch Forward", 1)]
    assert books.contexts() == {1}
    assert books.device() == 0
    assert books.held_contexts() == 0


def test_the_threads_own_device_is_used_as_it_is(books: Books) -> None:
    _forward(books, 0)
    assert books.contexts() == {0}
    assert books.held_contexts() == 0


def test_all_kernels_are_loaded_before_the_first_launch(books: Books) -> None:
    """Also where the first call is captured: a launch that loads a kernel may end the capture."""
    books.capture(0x77)
    for dtype in DTYPES:
        x, y = (books.memory(1, 256) for _ in range(2))
        params = library.Params(dtype, training=True)
        library.cuda_forward(params, library.CudaCall(stream=0x77), x, y, None, 0, 16)
    assert books.not_loaded(1) == 0


@pytest.mark.parametrize("of_pool", [False, True])
def test_the_device_comes_back_after_an_error(books: Books, of_pool: bool) -> None:
    for call in ("cuCtxPushCurrent", "cudaLaunchKernel"):
        books.fail(call, 1)
        with pytest.raises(OSError, match=r"^CUDA: "):
            _forward(books, 1, of_pool=of_pool)
        assert books.device() == 0
        assert books.held_contexts() == 0
    _forward(books, 1, of_pool=of_pool)


def test_memory_of_the_host_is_refused(books: Books) -> None:
    x = ctypes.create_string_buffer(64)
    address = ctypes.addressof(x)
    with pytest.raises(OSError, match=r"^x is not the address of CUDA device memory"):
        library.cuda_forward(_PARAMS, library.CudaCall(), address, address, None, 0, 16)
    assert books.contexts() == set()


def _refuses(name: str) -> Any:
    return pytest.raises(OSError, match=rf"^{name} is not the address of memory that CUDA knows$")


@pytest.mark.parametrize("name", ["y", "noise", "reserve", "cuda.seed", "cuda.step"])
def test_memory_that_cuda_does_not_know_is_refused_in_a_forward(books: Books, name: str) -> None:
    """A kernel would end all work of the process on its device."""
    unknown = ctypes.create_string_buffer(256)
    names = ("x", "y", "noise", "reserve", "cuda.seed", "cuda.step")
    at = {n: ctypes.addressof(unknown) + 64 if n == name else books.memory(1, 128) for n in names}
    at[name] -= at[name] % 64
    call = library.CudaCall(seed=at["cuda.seed"], step=at["cuda.step"])
    arrays = at["x"], at["y"], at["noise"], 0, 16
    with _refuses(name):
        library.cuda_forward(_PARAMS, call, *arrays, reserve=at["reserve"])
    assert books.calls == []


@pytest.mark.parametrize("name", ["noise", "dx", "cuda.fault"])
def test_memory_that_cuda_does_not_know_is_refused_in_a_backward(books: Books, name: str) -> None:
    unknown = ctypes.create_string_buffer(256)
    names = ("dy", "noise", "reserve", "dx", "cuda.fault")
    at = {n: ctypes.addressof(unknown) + 64 if n == name else books.memory(1, 128) for n in names}
    at[name] -= at[name] % 64
    call = library.CudaCall(fault=at["cuda.fault"])
    with _refuses(name):
        if name == "noise":
            library.cuda_backward(_PARAMS, call, at["dy"], at["noise"], at["dx"], 0, 16)
        else:
            library.cuda_backward_reserve(_PARAMS, call, at["dy"], at["reserve"], 66, at["dx"], 16, 0, 16)
    assert books.calls == []


@pytest.mark.parametrize(("size", "blocks"), [(16, 1), (300_000, 74), (2**40 + 2**36, 132 * 32)])
def test_a_launch_has_as_many_blocks_as_keep_the_device_busy(books: Books, size: int, blocks: int) -> None:
    """Also where threads that had something to do would be more than 32 bits count."""
    x = books.memory(0, 64)
    library.cuda_forward(_PARAMS, library.CudaCall(), x, x, None, 0, size)
    assert [call.blocks for call in books.calls] == [blocks]
