"""Names that are free in a model."""

from __future__ import annotations

import bisect
import itertools

import onnx

from ort_rrelu.graph.nodes import all_nodes, subgraphs

__all__ = ["Names"]


class Names:
    """The names of all values and nodes, in bodies and functions too.

    A value in a body would hide an outer one of its name, and converters know a node by its name alone.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graphs = [model.graph, *(body for node in all_nodes(model) for body in subgraphs(node))]
        self._taken = {v.name for g in graphs for v in (*g.input, *g.initializer, *g.output)}
        self._taken |= {name for node in all_nodes(model) for name in (node.name, *node.input, *node.output)}
        self._taken |= {name for f in model.functions for name in (*f.input, *f.output)}
        self._sorted = sorted(self._taken)

    def new(self, name: str) -> str:
        """`name`, or with a number at its end."""
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        free = next(each for each in itertools.chain([name], numbered) if each not in self._taken)
        self._take(free)
        return free

    def prefix(self, name: str) -> str:
        """`name`, or with a number at its end: a beginning that no other name has."""
        numbered = (f"{name}_{number}_" for number in itertools.count(1))
        candidates = itertools.chain([f"{name}_"], numbered)
        free = next(each for each in candidates if not self._begins_one(each))
        self._take(free)
        return free

    def _take(self, name: str) -> None:
        self._taken.add(name)
        bisect.insort(self._sorted, name)

    def _begins_one(self, beginning: str) -> bool:
        """Names with one beginning stand together, behind the beginning itself."""
        place = bisect.bisect_left(self._sorted, beginning)
        return place < len(self._sorted) and self._sorted[place].startswith(beginning)
