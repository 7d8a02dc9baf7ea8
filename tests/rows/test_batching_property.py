"""Where requests may share a run, each row of a batch is the row that it is alone: on random graphs."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest

from ort_rrelu.serving import can_batch
from tests.rows.grown import for_grown_models
from tests.rows.runs import check_rows

_CASES = 300


def test_random_graphs(pytestconfig: pytest.Config) -> None:
    """`--cases N` for more; a share of the graphs must batch, and another must not. Some that batch draw."""
    cases = pytestconfig.getoption("--cases") or _CASES
    seen: Counter[str] = Counter()

    def check(model: onnx.ModelProto, seed: int) -> None:
        batches = can_batch(model)
        seen["batch" if batches else "do not"] += 1
        if batches:
            seen["batch, with three nodes or more"] += len(model.graph.node) > 2
            seen["batch, with draws"] += check_rows(model, seed) > 0

    for_grown_models(check, cases)
    print(f"\nof {cases} random graphs {dict(seen)}")
    assert min(seen["batch, with three nodes or more"], seen["do not"]) > cases / 6
    assert seen["batch, with draws"] > cases / 30
