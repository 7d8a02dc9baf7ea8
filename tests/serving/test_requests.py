"""Requests of the Open Inference Protocol: what becomes an array, and what is refused with which reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ort_rrelu.serving import RequestError
from ort_rrelu.serving.http_protocol import HEADER_LENGTH, as_bytes, decode, encode
from ort_rrelu.serving.limits import Limits
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


def _nested(depth: int) -> list[Any]:
    found: list[Any] = [1.5]
    for _ in range(depth):
        found = [found]
    return found


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
    "a boolean among numbers": ([x(data=[1.5, True, 2])], "not FP32"),
    "a boolean in a row": ([x(data=[[1.5, 2, False]])], "not FP32"),
    "lists beyond any rank": ([x(shape=[1, 3], data=_nested(500))], "1 values, shape [1, 3] has 3"),
    "as many lists as values": ([x(shape=[1, 3], data=[_nested(500), 1, 2])], "data is no array"),
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


@pytest.mark.parametrize(("rows", "steps"), [(2, 3), (2, 1), (1, 2), (0, 1)])
def test_one_step_for_each_row(rows: int, steps: int) -> None:
    """In whichever order they come."""
    tensors = [x(shape=[rows, 3], data=[1.0] * 3 * rows), Tensor("z", "INT64", [steps], [7] * steps)]
    for given_in_order in (tensors, tensors[::-1]):
        with pytest.raises(RequestError, match=f'dimension "batch" is {steps}, another input has {rows}'):
            as_arrays([X, Z], given_in_order)


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63) - 1, "1", 10**400])
def test_what_is_no_int64(value: Any) -> None:
    with pytest.raises(RequestError, match='input "z"'):
        as_arrays([Z], [Tensor("z", "INT64", [1], [value])])


@pytest.mark.parametrize("data", [["a", "\ud800"], [b"a", b"\xff"], ["a\udfff", "b"]])
def test_strings_that_are_no_utf8(data: Any) -> None:
    with pytest.raises(RequestError, match='input "x": strings are UTF-8'):
        as_arrays([TensorSpec("x", "BYTES", ("n",))], [Tensor("x", "BYTES", [2], data)])


@pytest.mark.parametrize("data", [[1, 2**63, 2**64 - 1], [[0, 2**64 - 1, 2**53 + 1]]])
def test_large_integers_beside_small_ones(data: Any) -> None:
    """NumPy makes floats of these lists."""
    spec = TensorSpec("z", "UINT64", ("n", 3))
    found = as_arrays([spec], [Tensor("z", "UINT64", [1, 3], data)])["z"]
    assert found.ravel().tolist() == np.ravel(np.array(data, object)).tolist()
    with pytest.raises(RequestError, match='input "z": a number in data is out of the range of INT64'):
        as_arrays([TensorSpec("z", "INT64", ("n", 3))], [Tensor("z", "INT64", [1, 3], data)])


@pytest.mark.parametrize("data", [[-1, 0, 2**63], [1, 2, 2**64], [1.5, 2**63, 1], [True, 2**63, 1]])
def test_what_is_no_list_of_uint64(data: Any) -> None:
    with pytest.raises(RequestError, match='input "z"'):
        as_arrays([TensorSpec("z", "UINT64", ("n", 3))], [Tensor("z", "UINT64", [1, 3], data)])


def test_a_float_that_is_written_as_an_integer() -> None:
    """JavaScript writes the digits of numbers up to 1e21."""
    data = [100000000000000000000, 10**30, -2.5]
    assert as_arrays([X], [x(data=data)])["x"].tolist() == [[float(np.float32(value)) for value in data]]
    with pytest.raises(RequestError, match='input "x": data is no array'):
        as_arrays([X], [x(data=[10**400, 1, 2])])


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


# Of the protocol's extension for binary tensors: what an output says goes before what the request says.
_FORMS: dict[str, tuple[str, set[str]]] = {
    "nothing": ("{}", set()),
    "all": ('{"parameters": {"binary_data_output": true}}', {"y", "z"}),
    "one": ('{"outputs": [{"name": "y", "parameters": {"binary_data": true}}, {"name": "z"}]}', {"y"}),
    "all but one": (
        """{"outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": false}}],
            "parameters": {"binary_data_output": true}}""",
        {"y"},
    ),
    "all of those": ('{"outputs": [{"name": "z"}], "parameters": {"binary_data_output": true}}', {"z"}),
}


@pytest.mark.parametrize("form", _FORMS)
def test_outputs_come_as_bytes_or_in_json(form: str) -> None:
    more, binary = _FORMS[form]
    body = json.dumps({"inputs": []} | json.loads(more)).encode()
    specs = [TensorSpec(name, "FP32", (2,)) for name in ("y", "z")]
    request = decode(body, None, specs)
    assert request.binary == binary
    answer = {name: np.ones(2, np.float32) for name in request.outputs or ("y", "z")}
    headers, content = encode("m", None, request, specs, answer)
    length = int(headers.get(HEADER_LENGTH, len(content)))
    told = json.loads(content[:length])
    assert told.keys() == {"model_name", "outputs"}
    assert {output["name"] for output in told["outputs"] if "data" not in output} == binary
    assert content[length:] == np.ones(2 * len(binary), np.float32).tobytes()


@pytest.mark.parametrize("value", ['"false"', "1", "[]"])
@pytest.mark.parametrize("place", ["binary_data_output", "binary_data"])
def test_flags_are_true_or_false(place: str, value: str) -> None:
    parameters = f'"parameters": {{"{place}": {value}}}'
    more = parameters if place == "binary_data_output" else f'"outputs": [{{"name": "y", {parameters}}}]'
    with pytest.raises(RequestError, match=f"parameter {place} is .*: it must be true or false"):
        decode(f'{{"inputs": [], {more}}}'.encode(), None, [])


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


def _json(shape: str, data: str, more: str = "") -> bytes:
    tensor = f'{{"name": "x", "shape": {shape}, "datatype": "FP32", "data": {data}}}'
    return f'{{"inputs": [{tensor}]{more}}}'.encode()


MILLION = 2**20
_NUMBERS = f"[{'1.5,' * 99_999}1.5]"
_MANY: dict[str, tuple[bytes, int]] = {
    "more than the shape": (_json("[1, 4]", _NUMBERS), 400),
    "nested": (_json("[1, 4]", f"[{'[1],' * 99_999}[1]]"), 400),
    "more than the limit": (_json("[400000, 4]", f"[{'1,' * 16 * 10**5}1]"), 413),
    "in a parameter": (_json("[1, 4]", "[1, 2, 3, 4]", f', "parameters": {{"a": {_NUMBERS}}}'), 400),
    "inputs": (b'{"inputs": [' + b'{"name":"x","shape":[1],"datatype":"FP32","data":[1]},' * MILLION, 413),
    "wide letters": (_json("[1, 4]", "[1, 2, 3, 4]", f', "id": "\U0001f642{"a" * 2**24}"'), 413),
}


@pytest.mark.parametrize("name", _MANY)
def test_values_are_counted_before_they_are_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def unexpected(*_: Any) -> None:
        raise AssertionError("it reads the JSON")

    monkeypatch.setattr("ort_rrelu.serving.http_protocol.json.loads", unexpected)
    body, status = _MANY[name]
    with pytest.raises(RequestError) as caught:
        decode(body, None, [])
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("shape", "data"),
    [("[25000, 4]", _NUMBERS), ("[ 25000 , 4 ]", f"[{'[1,2,3,4],' * 24_999}[1,2,3,4]]"), ("[]", "[1]")],
)
def test_right_numbers_pass_the_count(shape: str, data: str) -> None:
    (tensor,) = decode(_json(shape, data), None, []).tensors
    assert list(tensor.shape) == json.loads(shape)


def test_limit_of_values() -> None:
    spec, limits = TensorSpec("x", "FP32", (None,)), Limits(max_values=10)
    assert as_arrays([spec], [Tensor("x", "FP32", [10], [1.0] * 10)], limits)["x"].size == 10
    for many in (
        Tensor("x", "FP32", [11], [1.0] * 11),
        Tensor("x", "BYTES", [11], ["a"] * 11),
        Tensor("x", "BYTES", [11], as_bytes(np.array(["a"] * 11, object))),
    ):
        with pytest.raises(RequestError, match="more than 10 strings") as caught:
            as_arrays([TensorSpec("x", many.datatype, (None,))], [many], limits)
        assert caught.value.status == 413
    raw = Tensor("x", "FP32", [11], bytes(44))
    assert as_arrays([spec], [raw], limits)["x"].size == 11


@pytest.mark.parametrize(
    "tensor",
    [
        x(data=[1.0] * 10**5),
        x(data=[[1.0]] * 10**5),
        x(data=[[1.0, 2.0], [3.0, 4.0]]),
        Tensor("x", "BYTES", [1, 3], ["a"] * 10**5),
        Tensor("x", "BYTES", [1, 3], as_bytes(np.array([""] * 10**5, object))),
    ],
    ids=["flat", "nested", "one more", "strings", "raw strings"],
)
def test_values_are_counted_before_they_are_converted(
    monkeypatch: pytest.MonkeyPatch, tensor: Tensor
) -> None:
    def unexpected(*_: Any) -> None:
        raise AssertionError("it converts the values")

    monkeypatch.setattr("ort_rrelu.serving.requests._from_values", unexpected)
    with pytest.raises(RequestError, match=r"(more than 3|4) values, shape \[1, 3\] has 3"):
        as_arrays([TensorSpec("x", tensor.datatype, ("batch", 3))], [tensor])


def test_sizes_of_more_digits_than_python_prints() -> None:
    huge = 10**4000
    with pytest.raises(RequestError, match="an integer of"):
        as_arrays([TensorSpec("x", "FP32", ("n", "m"))], [x(shape=[huge, huge])])


def test_body_that_is_no_text_is_not_repeated() -> None:
    with pytest.raises(RequestError) as caught:
        decode(b"\xff" + b"a" * 10**6, None, [])
    assert len(str(caught.value)) < 700


def test_image_of_many_pieces_of_base64() -> None:
    spec = TensorSpec("x", "BYTES", (1,), image=True)
    data = np.random.default_rng(0).bytes(10**6)
    text = base64.b64encode(data).decode()
    assert as_arrays([spec], [Tensor("x", "BYTES", [1], [text])])["x"].item() == data
    for wrong in (text[:-1], text[:999] + "=" + text[1000:], text + "=", "\u00e9" * 8):
        with pytest.raises(RequestError, match="as base64"):
            as_arrays([spec], [Tensor("x", "BYTES", [1], [wrong])])


@given(values=hnp.arrays(np.float32, st.integers(0, 40_000), elements=st.integers(-3, 3)))
def test_answers_in_json(values: Any) -> None:
    spec, request = TensorSpec("y", "FP32", ("n",)), decode(b'{"inputs": [], "id": "\\u00e9"}', None, [])
    headers, body = encode("m", "7", request, [spec], {"y": values})
    assert headers == {"content-type": "application/json"}
    told = json.loads(body)
    (output,) = told["outputs"]
    assert (told["id"], told["model_name"], told["model_version"]) == ("\u00e9", "m", "7")
    assert output["shape"] == [len(values)]
    assert output["data"] == values.tolist()
