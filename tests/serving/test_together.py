"""Requests that share a run of a model in a process: what each gets, and how many rows a run has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.serving import RequestError
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.model import ServedModel
from tests.serving_models import MODELS

_MOST = 8


class _Noting(ServedModel):
    """Keeps the number of rows of each run."""

    rows: list[int]

    def run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        self.rows.append(len(arrays["x"]))
        return super().run(arrays)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> _Noting:
    path = tmp_path_factory.mktemp("together") / "steps.onnx"
    onnx.save(MODELS["steps"], path)
    return _loaded(path)


def _loaded(path: Path) -> _Noting:
    model = _Noting(path, threads=1, limits=Limits(max_rows=_MOST))
    model.rows = []
    return model


def _request(rows: int, seed: int) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {
        "x": generator.standard_normal((rows, 8)).astype(np.float32),
        "at": generator.integers(0, 8, rows),
        "step": generator.choice(np.array([5, 5, -1, 2**40, -(2**63), 2**63 - 1]), rows),
    }


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2**32)), min_size=1, max_size=12))
def test_joined_is_alone(served: _Noting, sizes: list[tuple[int, int]]) -> None:
    """Bit for bit, whoever stands beside a request."""
    assert served.batches, served.obstacles
    requests = [_request(*size) for size in sizes]
    served.rows.clear()
    answers = served.run_together(requests)
    runs = list(served.rows)
    assert sum(runs) == sum(rows for rows, _ in sizes)
    alone = [served.run(request) for request in requests]
    for request, answer, single in zip(requests, answers, alone, strict=True):
        expected = ort_rrelu.rrelu(request["x"], training=True, seed=7, step=request["step"])
        assert answer["y"].tobytes() == expected.tobytes()
        for name in ("y", "noise", "found"):
            assert answer[name].tobytes() == single[name].tobytes()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12))
def test_rows_of_a_run(served: _Noting, sizes: list[int]) -> None:
    """A run beyond the limit is that of one large request, and no two runs that follow would fit in one."""
    served.rows.clear()
    served.run_together([_request(rows, 0) for rows in sizes])
    assert all(rows <= _MOST or rows in sizes for rows in served.rows)
    assert len(served.rows) <= len(sizes)
    if sum(sizes) <= _MOST:
        assert served.rows == [sum(sizes)]


def test_as_many_requests_as_the_limit_allows(served: _Noting) -> None:
    served.rows.clear()
    served.run_together([_request(rows, 0) for rows in (3, 5, 4, 9, 1, 7, 1)])
    assert served.rows == [8, 4, 9, 8, 1]


def test_wrong_request_is_found_alone(served: _Noting) -> None:
    wrong = _request(2, 1) | {"at": np.array([1, 77])}
    with pytest.raises(RequestError, match="idx=77"):
        served.run_together([_request(1, 0), wrong])
    with pytest.raises(RequestError, match="idx=77"):
        served.run(wrong)
    assert len(served.run(_request(1, 0))["y"]) == 1
