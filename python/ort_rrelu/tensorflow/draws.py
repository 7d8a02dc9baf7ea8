"""The draws of a model on their way through tf2onnx: each keeps its own node, and its seed to the last digit.

tf2onnx makes one node of two that are written alike, draws included, and a float of a seed. So each draw gets
a number as its seed before that, and its own one back in the file.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper
from tf2onnx.utils import combine_seeds

from ort_rrelu.errors import ConversionError
from ort_rrelu.graph.nodes import all_nodes, is_standard_op, set_attribute

_WITH_A_SEED = ("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "RandomNormal", "Multinomial")
_REWRITTEN = ("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike")
_IN_FILES = (*_REWRITTEN, "Multinomial")
_FIRST = 2**23 + 1  # up to 2^24 float has each number, and few seeds of users are there
NO_GLOBAL_SEED = (
    87654321  # what TensorFlow writes beside the seed of a draw where tf.random.set_seed gave none
)


@dataclass(frozen=True)
class Draw:
    """A TensorFlow op that draws. `seed` is written in it, by seed= or tf.random.set_seed; None: none is."""

    op: str
    name: str
    seed: int | None

    def __str__(self) -> str:
        return f'TensorFlow op {self.op} "{self.name}"'


@dataclass(frozen=True)
class _Graph:
    """What one graph of tf2onnx has: the numbers of its draws, and how often it names each function."""

    draws: list[int]
    calls: Counter[str]


class Draws:
    """The draws of one conversion. `number` sees each graph of it, that of the model last."""

    def __init__(self) -> None:
        self._numbers, self._numbers_of_shuffles = itertools.count(_FIRST), itertools.count(1)
        self._draws: dict[int, Draw] = {}
        self._graphs: dict[str, _Graph] = {}
        self._last = ""

    def number(self, graph: Any, _nodes: Any) -> Any:
        """Give each draw of a graph a number as its seed, as a rewriter of tf2onnx.

        Nodes that no output needs are removed, as tf2onnx does right after its rewriters.
        """
        graph.delete_unused_nodes(graph.outputs)
        nodes = list(_with_bodies(graph))
        numbers = [number for node in nodes if (number := self._numbered(node)) is not None]
        self._graphs[graph.graph_name] = _Graph(numbers, Counter(text for n in nodes for text in _texts(n)))
        self._last = graph.graph_name
        return graph.get_nodes()

    def _numbered(self, node: Any) -> int | None:
        """The number that the node gets, None where it does not draw."""
        seed, seed2 = (node.get_attr_value(name, 0) for name in ("seed", "seed2"))
        own = None
        if node.type in _WITH_A_SEED and "seed2" in node.attr:
            number = next(self._numbers)
            node.set_attr("seed", number)  # which Multinomial reads
            node.set_attr("seed2", number)
            if seed or seed2:
                own = _own(seed, seed2)
        elif node.type == "RandomShuffle":
            small = next(self._numbers_of_shuffles)
            node.set_attr("seed", 0)
            node.set_attr("seed2", small)
            number = _combined(small)
            if seed or seed2:
                own = int(combine_seeds(seed, seed2))
        elif node.type in _REWRITTEN:  # by a rewriter of tf2onnx
            number = next(self._numbers)
            node.set_attr("seed", float(number))
            if seed:
                own = int(seed) % 2**63
        else:
            return None
        self._draws[number] = Draw(node.type, node.name, own)
        return number

    def frozen(self, needed: Iterable[Any]) -> Any:
        """Of the draws that a trace needs, one of which tf2onnx made a constant; None: of none.

        It does so where logits are constant.
        """
        return self._absent([n for n in needed if n.op == "Multinomial"], {"Multinomial"}, lambda _: True)

    def without_seed(self, needed: Iterable[Any]) -> Any:
        """One that has a seed of its own, which tf2onnx dropped; None: none is.

        Its rewriters for TensorFlow 1 do so, before `number` sees the draw.
        """
        if not any(draw.op in _REWRITTEN and draw.seed is None for draw in self._draws.values()):
            return None
        seeded = [n for n in needed if n.op in _WITH_A_SEED and (n.attr["seed"].i or n.attr["seed2"].i)]
        return self._absent(seeded, set(_WITH_A_SEED), lambda draw: draw.seed is not None)

    def _absent(self, needed: list[Any], ops: set[str], counts: Callable[[Draw], bool]) -> Any:
        """One of the nodes that are not among the draws; functions that are inlined add to names in front."""
        seen = [draw.name for draw in self._draws.values() if draw.op in ops and counts(draw)]
        if len(seen) >= len(needed):
            return None
        return next((n for n in needed if not any(name.endswith(n.name) for name in seen)), needed[0])

    def numbered_in(self, model: onnx.ModelProto) -> dict[int, Draw]:
        """Give each draw of the file, in place, a number that no other has; what they are.

        Raises ConversionError that names a draw that the model needs, and that is not in the file as often.
        """
        made: dict[int, Draw] = {}
        found: Counter[int] = Counter()
        for number, node in enumerate(_draws_in(model), 1):
            of_graph = int(_seed_of(node) or 0)
            found[of_graph] += 1
            made[number] = self._draws.get(of_graph) or Draw(node.op_type, node.name, of_graph or None)
            set_attribute(node, "seed", float(number))
        for number, count in self._needed(self._last).items():
            if found[number] < count:
                raise ConversionError(
                    f"{self._draws[number]}: tf2onnx wrote {found[number]} of {count} draws; it merges what "
                    "is written alike, also calls of one function and branches: call a function of its own "
                    "in each place"
                )
        return made

    def _needed(self, name: str) -> Counter[int]:
        """How often each draw is in a graph when each function stands where it is named."""
        graph = self._graphs[name]
        needed = Counter(graph.draws)
        for function, count in graph.calls.items():
            if function in self._graphs and function != name:
                for number, times in self._needed(function).items():
                    needed[number] += times * count
        return needed


def _own(seed: int, seed2: int) -> int:
    """Of what TensorFlow draws with: the seed of tf.random.set_seed counts too, where there was one."""
    return (seed2 if seed in (0, NO_GLOBAL_SEED) else (seed << 32) ^ seed2) % 2**63


def _combined(seed2: int) -> int:
    """What tf2onnx makes of such a seed of a shuffle."""
    return int(combine_seeds(0, seed2))


def _with_bodies(graph: Any) -> Iterator[Any]:
    for node in graph.get_nodes():
        yield node
        for body in (node.get_body_graphs() or {}).values():
            yield from _with_bodies(body)


def _texts(node: Any) -> Iterator[str]:
    """What is written in attributes, the names of functions among it."""
    for attribute in node.attr.values():
        yield from (text.decode(errors="replace") for text in (attribute.s, *attribute.strings) if text)


def _draws_in(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in all_nodes(model) if is_standard_op(node, *_IN_FILES)]


def _seed_of(node: onnx.NodeProto) -> float | None:
    return next((float(helper.get_attribute_value(a)) for a in node.attribute if a.name == "seed"), None)


def restored(model: onnx.ModelProto, numbered: dict[int, Draw]) -> list[tuple[onnx.NodeProto, Draw]]:
    """The draws that are still in a model; in place they get their own seeds, as floats."""
    left = [(node, numbered[int(_seed_of(node) or 0)]) for node in _draws_in(model)]
    for node, draw in left:
        if draw.seed is None:
            del node.attribute[[attribute.name for attribute in node.attribute].index("seed")]
        else:
            set_attribute(node, "seed", float(draw.seed))
    return left
