"""Models written to files: all of it or nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

import ort_rrelu
from ort_rrelu.graph.file import read_model, write_model
from tests.bits import assert_same_bits
from tests.onnx_models import rrelu_model, run, session
from tests.torch.arrays import array, normal
from tests.torch.exports import X, both_exporters, export_quietly

_OLD = b"what was there before"


@pytest.fixture
def weighty() -> onnx.ModelProto:
    """4 kB of weights; external data begins at 1 kB."""
    model = rrelu_model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(array(normal(1000)), "w"))
    return model


def _listing(folder: Path) -> dict[str, bytes | None]:
    return {
        os.fspath(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")
    }


_UNWRITABLE: dict[str, tuple[str, type[OSError]]] = {
    "missing folder": ("missing/model.onnx", FileNotFoundError),
    "folder": ("folder", IsADirectoryError),
    "file as a folder": ("file/model.onnx", OSError),
    "name too long": ("m" * 300, OSError),
}


@pytest.mark.parametrize(("target", "kind"), _UNWRITABLE.values(), ids=_UNWRITABLE)
@pytest.mark.parametrize("external_data", [False, True])
def test_unwritable_path_leaves_nothing_behind(
    target: str, kind: type[OSError], external_data: bool, weighty: onnx.ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(_OLD)
    before = _listing(tmp_path)
    with pytest.raises(kind):
        write_model(weighty, tmp_path / target, external_data=external_data)
    assert _listing(tmp_path) == before


@both_exporters
@pytest.mark.parametrize(("target", "kind"), _UNWRITABLE.values(), ids=_UNWRITABLE)
def test_export_to_an_unwritable_path_leaves_nothing_behind(
    target: str, kind: type[OSError], dynamo: bool, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(_OLD)
    before = _listing(tmp_path)
    with pytest.raises(kind):
        export_quietly(nn.RReLU(), f=tmp_path / target, dynamo=dynamo)
    assert _listing(tmp_path) == before


def test_unwritable_path_is_found_before_the_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("the model was exported"))
    for f in (tmp_path, tmp_path / "missing" / "model.onnx"):
        with pytest.raises(OSError, match="folder"):
            ort_rrelu.torch.export(nn.RReLU(), (X,), f)


def _half_written(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("old", [None, _OLD], ids=["new file", "existing file"])
def test_disk_error_in_the_middle_leaves_all_as_it_was(
    old: bytes | None, weighty: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if old is not None:
        (tmp_path / "model.onnx").write_bytes(old)
    before = _listing(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", _half_written)
    with pytest.raises(OSError, match="No space left"):
        write_model(weighty, tmp_path / "model.onnx")
    assert _listing(tmp_path) == before


@pytest.mark.parametrize("old", [None, _OLD], ids=["new file", "existing file"])
def test_disk_error_after_the_weights_leaves_all_as_it_was(
    old: bytes | None, weighty: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if old is not None:
        (tmp_path / "model.onnx").write_bytes(old)
        (tmp_path / "model.onnx.data").write_bytes(old)
    before = _listing(tmp_path)

    def without_the_model(_: onnx.ModelProto, path: Path, **__: Any) -> None:
        path.with_name("model.onnx.data").write_bytes(b"weights")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(onnx, "save_model", without_the_model)
    with pytest.raises(OSError, match="No space left"):
        write_model(weighty, tmp_path / "model.onnx", external_data=True)
    assert _listing(tmp_path) == before


def test_model_replaces_a_file_and_nothing_else_stays(weighty: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(_OLD)
    write_model(weighty, tmp_path / "model.onnx")
    assert _listing(tmp_path) == {"model.onnx": weighty.SerializeToString()}


@pytest.mark.parametrize("as_given", [str, Path], ids=["str", "Path"])
def test_relative_path(
    as_given: type, weighty: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(weighty, as_given("model.onnx"))
    assert read_model(as_given("model.onnx")) == weighty


def test_external_data(weighty: onnx.ModelProto, tmp_path: Path) -> None:
    before = weighty.SerializeToString()
    write_model(weighty, tmp_path / "model.onnx", external_data=True)
    assert weighty.SerializeToString() == before
    assert sorted(_listing(tmp_path)) == ["model.onnx", "model.onnx.data"]
    assert (tmp_path / "model.onnx").stat().st_size < 1000 < (tmp_path / "model.onnx.data").stat().st_size
    (tmp_path / "elsewhere").mkdir()
    for file in ("model.onnx", "model.onnx.data"):
        (tmp_path / file).rename(tmp_path / "elsewhere" / file)
    read = read_model(tmp_path / "elsewhere" / "model.onnx", external_data=True)
    assert_same_bits(
        onnx.numpy_helper.to_array(read.graph.initializer[0]),
        onnx.numpy_helper.to_array(weighty.graph.initializer[0]),
    )


@both_exporters
@pytest.mark.parametrize("external_data", [None, True])
def test_exported_file_runs_as_the_model(external_data: bool | None, dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 100), nn.RReLU(), nn.Linear(100, 7)).train()
    path = tmp_path / "model.onnx"
    model = export_quietly(module, seed=11, f=path, dynamo=dynamo, external_data=external_data)
    assert (tmp_path / "model.onnx.data").exists() == bool(external_data)
    of = ort_rrelu.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert_same_bits(run(of, array(X))[0], run(session(model), array(X))[0])


@both_exporters
def test_verify_is_refused(dynamo: bool, tmp_path: Path) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"verify=True: .*ort_rrelu\.InferenceSession"):
        export_quietly(nn.RReLU(), f=tmp_path / "model.onnx", verify=True, dynamo=dynamo)
    assert not _listing(tmp_path)


def test_exported_program_is_refused_by_torchscript(tmp_path: Path) -> None:
    program = torch.export.export(nn.RReLU(), (X,))
    with pytest.raises(ort_rrelu.Error, match=r"dynamo=False: .* ExportedProgram"):
        export_quietly(program, f=tmp_path / "model.onnx", dynamo=False)
    assert not _listing(tmp_path)


def test_failed_export_leaves_nothing_behind(tmp_path: Path) -> None:
    for dynamo in (True, False):
        with pytest.raises(ort_rrelu.Error, match="lower"):
            export_quietly(nn.RReLU(0.5, 0.2), f=tmp_path / "model.onnx", dynamo=dynamo)
    assert not _listing(tmp_path)


_UNREADABLE: dict[str, tuple[Any, type[Exception], str]] = {
    "no file": ("missing.onnx", FileNotFoundError, r"no model file .*missing\.onnx"),
    "folder": (".", FileNotFoundError, "no model file"),
    "text": (b"not a model", ValueError, "not an ONNX model"),
    "empty": (b"", ValueError, "not an ONNX model"),
    "cut short": (rrelu_model().SerializeToString()[:-9], ValueError, "not an ONNX model"),
    "another message": (onnx.TensorProto().SerializeToString(), ValueError, "not an ONNX model"),
}


@pytest.mark.parametrize(("given", "kind", "message"), _UNREADABLE.values(), ids=_UNREADABLE)
def test_what_cannot_be_read(
    given: Any, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message) as caught:
        read_model(given)
    assert isinstance(caught.value, ort_rrelu.Error)


# weights that are in other files already


def _weights_elsewhere(folder: Path, location: str) -> onnx.ModelProto:
    model = rrelu_model()
    tensor = model.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    data = folder / location
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(b"weights!")
    return model


@pytest.mark.parametrize("location", ["net.data", "a/b/net.data"])
def test_weights_are_carried_along(location: str, tmp_path: Path) -> None:
    model = _weights_elsewhere(tmp_path / "here", location)
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "made.onnx"
    for _ in range(2):  # what is there already is the same
        write_model(model, target, weights_from=tmp_path / "here")
        files = {name: data for name, data in _listing(target.parent).items() if data is not None}
        assert files == {"made.onnx": model.SerializeToString(), location: b"weights!"}
    assert not (target.parent / location).samefile(tmp_path / "here" / location)


def test_weights_stay_where_the_model_stays(tmp_path: Path) -> None:
    model = _weights_elsewhere(tmp_path, "net.data")
    write_model(model, tmp_path / "net.onnx", weights_from=tmp_path)
    assert _listing(tmp_path) == {"net.onnx": model.SerializeToString(), "net.data": b"weights!"}


def _disk_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


_UNCARRIED: dict[str, tuple[str, str, bytes | None, type[Exception], str]] = {
    "another file is there": ("net.data", "made.onnx", b"others!!", FileExistsError, "not the same as"),
    "a folder is there": ("net.data", "net.data/made.onnx", None, FileNotFoundError, "no folder"),
    "outside of the folder": ("../net.data", "made.onnx", None, ValueError, "tensor 'w'.*'../net.data'"),
    "name of the model": ("made.onnx", "made.onnx", None, ValueError, "has weights in 'made.onnx'"),
    "name of its own weights": ("made.onnx.data", "made.onnx", None, ValueError, "'made.onnx.data'"),
}


@pytest.mark.parametrize(("location", "name", "old", "kind", "message"), _UNCARRIED.values(), ids=_UNCARRIED)
def test_weights_that_cannot_be_carried(
    location: str, name: str, old: bytes | None, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    model = _weights_elsewhere(tmp_path / "here", location)
    there = tmp_path / "there"
    there.mkdir()
    if old is not None:
        (there / location).write_bytes(old)
    before = _listing(tmp_path)
    with pytest.raises(kind, match=message):
        write_model(model, there / name, weights_from=tmp_path / "here", external_data=True)
    assert _listing(tmp_path) == before


@pytest.mark.parametrize("key", ["offset", "length"])
def test_a_place_of_weights_that_is_no_number_is_refused(key: str, tmp_path: Path) -> None:
    model = _weights_elsewhere(tmp_path / "here", "net.data")
    model.graph.initializer[0].external_data.add(key=key, value="net.data")
    before = _listing(tmp_path)
    with pytest.raises(
        ort_rrelu.errors.InvalidValueError, match=r"tensor 'w': .* must be integers: .*'net\.data'"
    ):
        write_model(model, tmp_path / "made.onnx", weights_from=tmp_path / "here")
    assert _listing(tmp_path) == before


def test_model_does_not_go_where_its_weights_are(tmp_path: Path) -> None:
    model = _weights_elsewhere(tmp_path, "a/net.data")
    before = _listing(tmp_path)
    with pytest.raises(ort_rrelu.Error, match=r"a/net\.data holds weights of the model"):
        write_model(model, tmp_path / "a" / "net.data", weights_from=tmp_path)
    assert _listing(tmp_path) == before


def test_missing_weights(tmp_path: Path) -> None:
    model = _weights_elsewhere(tmp_path / "here", "net.data")
    (tmp_path / "here" / "net.data").unlink()
    with pytest.raises(ort_rrelu.Error, match=r"tensor 'w': there is no file .*net\.data"):
        write_model(model, tmp_path / "made.onnx", weights_from=tmp_path / "here")
    assert _listing(tmp_path) == {"here": None}


def test_carried_weights_go_when_the_model_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = _weights_elsewhere(tmp_path / "here", "a/b/net.data")
    (tmp_path / "there").mkdir()
    before = _listing(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", _disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_model(model, tmp_path / "there" / "made.onnx", weights_from=tmp_path / "here")
    assert _listing(tmp_path) == before
