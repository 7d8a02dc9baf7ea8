"""The modules of the package form layers: none imports itself by way of others."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest

from tests.core.modules import imports, module_files


def test_no_circles() -> None:
    found = imports()
    assert "ort_rrelu.graph.nodes" in found["ort_rrelu.graph.portable"] | found["ort_rrelu.graph.embedding"]
    TopologicalSorter(found).prepare()  # raises CycleError, which names the modules of a circle


@pytest.mark.parametrize("name", module_files())
def test_the_first_line_says_what_is_in_it(name: str) -> None:
    first = module_files()[name].read_text().splitlines()[0]
    assert first.startswith('"""')
    assert len(first) > 20


@pytest.mark.parametrize("name", module_files())
def test_a_module_is_not_longer_than_a_sitting(name: str) -> None:
    assert len(module_files()[name].read_text().splitlines()) <= 350
