"""Requests of the Open Inference Protocol: what becomes an array, and what is refused with which reason."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ort_rrelu.serving import RequestError
from ort_rrelu.serving.http_protocol import as_bytes, decode
from ort_rrelu.serving.requests import DTYPES, Tensor, TensorSpec, as_arrays

X = TensorSpec("x", "FP32", ("batch", 3))
Z = TensorSpec("z", "INT64", ("batch",))
NUMBERS = sorted(set(DTYPES) - {"BYTES"})


def x(**changes: Any) -> Tensor:
    return Tensor(**{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2.5, -3], **changes})


@pytest.mark.parametrize("data", [[1, 2.5, -3], [[1, 2.5, -3]], np.array([1, 2.5, -3], np.float32).tobytes()])
def test_values_nested_or_flat_or_raw(data: Any) -> None:
    array = as_arrays([X], [x(data=data)])["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2.5, -3]]


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_raw_bytes_round_trip(datatype: str, data: st.DataObject) -> None:
    dtype = DTYPES[datatype]
    if dtype == ml_dtypes.bfloat16:
        shape = (3, 2)
        array = data.draw(hnp.arrays(np.uint16, shape)).view(dtype)
    else:
        array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_side=0, max_dims=3)))
    spec = TensorSpec("x", datatype, tuple(None for _ in array.shape))
    read = as_arrays([spec], [Tensor("x", datatype, array.shape, as_bytes(array))])["x"]
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


@given(texts=st.lists(st.text()))
def test_strings_round_trip(texts: list[str]) -> None:
    spec = TensorSpec("x", "BYTES", ("n",))
    for data in (texts, as_bytes(np.array([*texts, ""], object)[:-1])):
        assert as_arrays([spec], [Tensor("x", "BYTES", [len(texts)], data)])["x"].tolist() == texts


_BAD = {
    "unknown input": ([x(), x(name="y")], 'no input "y": the inputs are "x"'),
    "input twice": ([x(), x()], 'input "x" is given twice'),
    "missing input": ([], 'missing input "x"'),
    "datatype": ([x(datatype="FP64")], 'input "x": datatype FP64, the model takes FP32'),
    "rank": ([x(shape=[3])], 'input "x": shape [3], the model takes [batch, 3]'),
    "size": ([x(shape=[1, 4])], "the model takes [batch, 3]"),
    "negative size": ([x(shape=[-1, 3])], "the model takes [batch, 3]"),
    "count": ([x(data=[1, 2])], "2 values, shape [1, 3] has 3"),
    "huge shape": ([x(shape=[2**62, 3])], f"shape [{2**62}, 3] has {3 * 2**62}"),
    "raw count": ([x(data=bytes(8))], "2 values, shape [1, 3] has 3"),
    "half a value": ([x(data=bytes(11))], "11 bytes are no whole number of FP32 values"),
    "strings": ([x(data=["1", "2", "3"])], "not FP32"),
    "nulls": ([x(data=[None] * 3)], "not FP32"),
    "ragged": ([x(data=[[1], [2, 3]])], "data is no array"),
    "booleans": ([x(data=[True, False, True])], "not FP32"),
}


@pytest.mark.parametrize("name", _BAD)
def test_refused(name: str) -> None:
    tensors, reason = _BAD[name]
    with pytest.raises(RequestError) as caught:
        as_arrays([X], tensors)
    assert reason in str(caught.value)
    assert caught.value.status == 400


def test_inputs_share_named_dimensions() -> None:
    with pytest.raises(RequestError, match='dimension "batch" is 2, another input has 1'):
        as_arrays([X, Z], [x(), Tensor("z", "INT64", [2], [1, 2])])


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63) - 1, "1", 10**400])
def test_what_is_no_int64(value: Any) -> None:
    with pytest.raises(RequestError, match='input "z"'):
        as_arrays([Z], [Tensor("z", "INT64", [1], [value])])


@pytest.mark.parametrize("value", [0, 2**63 - 1, -(2**63)])
def test_every_int64(value: int) -> None:
    assert as_arrays([Z], [Tensor("z", "INT64", [1], [value])])["z"].item() == value


@pytest.mark.parametrize(
    ("body", "length", "reason"),
    [
        (b"", None, "not a request"),
        (b"{", None, "not a request"),
        (b"\xff\xfe", None, "not a request"),
        (b"[]", None, "not a request"),
        (b'{"inputs": 3}', None, "not a request"),
        (b'{"inputs": [{"name": "x"}]}', None, 'neither a list "data"'),
        (b'{"inputs":[{"name":"x","shape":[1.5],"datatype":"FP32","data":[]}]}', None, "no list of integers"),
        (b"{}", "7", "the body has 2 bytes"),
        (b"{}", "-1", "the body has 2 bytes"),
        (b'{"inputs": []}1234', "14", "4 bytes of the body belong to no input"),
        (b"[" * 100_000, None, "not a request"),
        (
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":9}}]}',
            None,
            "binary_data_size 9",
        ),
    ],
)
def test_bodies_refused(body: bytes, length: str | None, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        decode(body, length, [])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "outputs", "name", "shape", "datatype", "data", "parameters"]), inner
        )
    ),
)


@given(value=_JSON)
def test_any_json_is_answered_or_refused(value: Any) -> None:
    try:
        decoded = decode(json.dumps(value).encode(), None, [X])
        as_arrays([X], decoded.tensors)
    except RequestError:
        pass


@given(shape=_JSON, datatype=st.sampled_from(["FP32", "BYTES"]), data=_JSON)
def test_any_tensor_is_answered_or_refused(shape: Any, datatype: str, data: Any) -> None:
    request = {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}
    try:
        decoded = decode(json.dumps(request).encode(), None, [])
        as_arrays([TensorSpec("x", datatype, (None,))], decoded.tensors)
    except RequestError:
        pass


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**70])
@pytest.mark.parametrize("spec", [TensorSpec("x", "FP32", ("n", "m")), TensorSpec("x", "BYTES", ("n", "m"))])
def test_empty_and_too_large_for_numpy(spec: TensorSpec, size: int) -> None:
    with pytest.raises(RequestError, match=rf'input "x": shape \[0, {size}\] is too large'):
        as_arrays([spec], [Tensor("x", spec.datatype, [0, size], [])])


def test_header_length_of_more_digits_than_int_reads() -> None:
    with pytest.raises(RequestError, match="the body has 2 bytes"):
        decode(b"{}", "9" * 5000, [])
