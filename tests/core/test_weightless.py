"""Models read without their large weights: what is left out, what comes back, and what is read whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import ort_rrelu
from ort_rrelu.graph.weightless import InFile, InMemory, Weightless, read_weightless, write_with_weights
from tests.bits import assert_same_bits
from tests.draws import normal
from tests.onnx_models import FLOAT, Array, parsed, run

_SIZE, _COUNT = 2**15, 40  # weights of 128 KiB
_X = normal((3, _SIZE), FLOAT)


def _model(training: int = 0, *, weights: int = _COUNT) -> onnx.ModelProto:
    """Some large weights, some small, in raw bytes and in floats; 5 MiB."""
    nodes = " ".join(f"a{i + 1} = Add (a{i}, w{i})" for i in range(weights))
    model = parsed(f"""net (float[n,{_SIZE}] a0) => (float[n,{_SIZE}] y) {{ {nodes}
        b = Mul (a{weights}, small) y = ort_rrelu.RRelu <training = {training}, seed = 1> (b) }}""")
    for place in range(weights):
        tensor = numpy_helper.from_array(normal((_SIZE,), FLOAT, seed=place), f"w{place}")
        if place == 1:
            floats = numpy_helper.to_array(tensor).tolist()
            tensor = onnx.helper.make_tensor(f"w{place}", FLOAT, [_SIZE], floats)
        tensor.doc_string = f"number {place}"
        model.graph.initializer.append(tensor)
    model.graph.initializer.insert(1, numpy_helper.from_array(np.array([2], np.float32), "small"))
    model.doc_string = "kept"
    return model


def _read(data: bytes) -> Weightless:
    read = read_weightless(InMemory(data))
    assert read is not None
    return read


def _in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Initializers by their names: they may come back in another order."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(tensors)
    return copy


def test_all_comes_back() -> None:
    data = _model().SerializeToString()
    read = _read(data)
    assert list(read.weights) == [f"w{place}" for place in range(_COUNT)]
    assert read.model.ByteSize() < 200 * _COUNT
    tensors = {tensor.name: tensor for tensor in read.model.graph.initializer}
    assert (tensors["w3"].data_type, list(tensors["w3"].dims)) == (FLOAT, [_SIZE])
    assert tensors["w3"].doc_string == "number 3"
    written = write_with_weights(read.model, read.weights, InMemory(data))
    assert written is not None
    assert _in_order(onnx.ModelProto.FromString(written)) == _in_order(_model())


def test_an_initializer_that_is_gone_stays_away() -> None:
    data = _model().SerializeToString()
    read = _read(data)
    place = next(i for i, tensor in enumerate(read.model.graph.initializer) if tensor.name == "w5")
    del read.model.graph.initializer[place]
    written = write_with_weights(read.model, read.weights, InMemory(data))
    assert written is not None
    names = {tensor.name for tensor in onnx.ModelProto.FromString(written).graph.initializer}
    assert names == {"small", *(f"w{place}" for place in range(_COUNT) if place != 5)}


def test_a_file_is_read_as_bytes_are(tmp_path: Path) -> None:
    data = _model().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with path.open("rb") as file:
        read = read_weightless(InFile(file))
        assert read == _read(data)
        assert read is not None
        written = write_with_weights(read.model, read.weights, InFile(file))
    other = _read(data)
    assert written == write_with_weights(other.model, other.weights, InMemory(data))


def _field(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


_DATA = _model(weights=2).SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(_DATA[:-1], id="cut short"),
        pytest.param(_DATA[: len(_DATA) // 2], id="cut in a weight"),
        pytest.param(_DATA + b"\x0b", id="a group"),
        pytest.param(_DATA + b"\xff" * 11, id="a number without an end"),
        pytest.param(_DATA + b"\x00\x00", id="field 0"),
        pytest.param(_DATA + _field(7, b""), id="two graphs"),
        pytest.param(_DATA + b"\x38\x01", id="a graph that is a number"),
        pytest.param(_DATA.replace(b"w1", b"w0"), id="two of one name"),
        pytest.param(_DATA.replace(b"\x03Add", b"\x7fAdd", 1), id="damaged in a node"),
        pytest.param(onnx.ModelProto(graph=onnx.GraphProto()).SerializeToString(), id="no IR version"),
    ],
)
def test_what_is_read_whole(data: bytes) -> None:
    assert read_weightless(InMemory(data)) is None


def test_a_model_of_many_small_nodes_is_read_whole() -> None:
    model = _model(weights=2)
    assert read_weightless(InMemory(model.SerializeToString())) is not None
    model.graph.node.extend(onnx.NodeProto(op_type="Nothing") for _ in range(100))
    assert read_weightless(InMemory(model.SerializeToString())) is None


def test_any_byte_may_be_wrong() -> None:
    """What protobuf reads is the same model, or it is read whole."""
    generator = np.random.default_rng(0)
    small = _model(weights=1)
    del small.graph.initializer[1]
    original = small.SerializeToString()
    weight = original.index(numpy_helper.to_array(_model(weights=1).graph.initializer[0]).tobytes())
    for _ in range(2000):
        data = bytearray(original)
        place = int(generator.integers(len(data) - 4 * _SIZE))
        place += 4 * _SIZE if place >= weight else 0
        data[place] = generator.integers(256)
        read = read_weightless(InMemory(bytes(data)))
        if read is None:
            continue
        written = write_with_weights(read.model, read.weights, InMemory(bytes(data)))
        assert written is not None
        expected = onnx.ModelProto.FromString(bytes(data))
        assert _in_order(onnx.ModelProto.FromString(written)) == _in_order(expected)


def test_a_model_beyond_two_gib() -> None:
    class Endless:
        size = 2**32

        def read(self, begin: int, end: int) -> bytes:
            raise AssertionError(begin, end)

    model = parsed("net (float[n] x) => (float[n] y) { y = Add (x, w) }")
    model.graph.initializer.append(onnx.TensorProto(name="w", data_type=FLOAT))
    assert write_with_weights(model, {"w": (0, 2**31 - 1)}, Endless()) is None


@pytest.mark.parametrize("form", ["path", "bytes"])
@pytest.mark.parametrize("training", [0, 1], ids=["lowered", "kept"])
def test_sessions_of_large_models(form: str, training: int, tmp_path: Path) -> None:
    onnx.save(_model(training), tmp_path / "m.onnx")
    source: Any = tmp_path / "m.onnx" if form == "path" else _model(training).SerializeToString()
    (y,) = run(ort_rrelu.InferenceSession(source), _X)
    (expected,) = run(ort_rrelu.InferenceSession(source, lower_eval=False), _X)
    assert_same_bits(y, expected)
    assert_same_bits(y, _expected(training))


def _expected(training: int) -> Array:
    total = _X
    for place in range(_COUNT):
        total = total + normal((_SIZE,), FLOAT, seed=place)
    return np.asarray(ort_rrelu.rrelu(total * np.float32(2), training=bool(training), seed=1))


@pytest.mark.parametrize("form", ["path", "bytes"])
@pytest.mark.parametrize(("training", "copies"), [(1, 0), (0, 1)], ids=["kept", "lowered"])
def test_copies_of_the_weights(form: str, training: int, copies: int, tmp_path: Path) -> None:
    """Python's own; those of ONNX Runtime are its own."""
    model = _model(training, weights=64)
    size = model.ByteSize()
    onnx.save(model, tmp_path / "m.onnx")
    source: Any = str(tmp_path / "m.onnx") if form == "path" else model.SerializeToString()
    del model
    ort_rrelu.InferenceSession(source)
    tracemalloc.start()
    try:
        ort_rrelu.InferenceSession(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (copies + 0.25) * size
