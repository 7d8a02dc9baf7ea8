"""The limits of a server: their values, and what a reason repeats of a request."""

from __future__ import annotations

from typing import Any

import pytest

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving import RequestError
from ort_rrelu.serving.errors import shown
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.requests import check_id

NAMES = ["max_bytes", "max_values", "max_rows", "max_pixels", "max_side", "max_connections", "body_timeout"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, True, "8", None, float("nan"), float("inf"), 2**63])
def test_limit_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=rf"{name}=.*: it must be an? \w+ above 0, at most \d+"):
        Limits(**{name: value})


def test_defaults_of_images() -> None:
    assert (Limits().max_side, Limits().max_pixels) == (16_384, 16 * 2**20)


@pytest.mark.parametrize("connections", [1, 2, 4, 256])
def test_some_connections_are_left_for_health_checks(connections: int) -> None:
    limits = Limits(max_connections=connections)
    assert limits.max_requests >= 1
    assert limits.max_requests < connections or connections == 1


@pytest.mark.parametrize("value", ["", "a" * 256, "\u00e9" * 128, "a\r\nb: c"], ids=str.__len__)
def test_id(value: str) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize("value", ["a" * 257, "\u00e9" * 129, "\ud800" * 86, "a" * 2**20], ids=str.__len__)
def test_id_that_is_too_long(value: str) -> None:
    with pytest.raises(RequestError, match=r"it has \d+ bytes, at most 256") as caught:
        check_id(value)
    assert caught.value.status == 400


@pytest.mark.parametrize("value", [None, 5, ["a"], {"a": 1}])
def test_id_that_is_no_string(value: Any) -> None:
    with pytest.raises(RequestError, match="it must be a string"):
        check_id(value)


@pytest.mark.parametrize(
    "value",
    [["a" * 2**20], [[1] * 10**6], [["a" * 10**6] * 10**3], [10**5000], [[10**5000]], [(7,) * 100]],
    ids=["text", "list", "texts", "integer", "integers", "tuple"],
)
def test_reasons_stay_short(value: list[Any]) -> None:
    """gRPC sends them as a header, which clients refuse when it is large."""
    assert len(shown(value[0])) < 1300
    assert len(str(RequestError(f"input {shown(value[0])} and the rest"))) < 700


def test_shown_as_it_is() -> None:
    assert (shown("a"), shown([1, 8]), shown(())) == ("a", "[1, 8]", "[]")
