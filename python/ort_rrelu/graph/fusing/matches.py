"""find_matches: the nodes of a model that end a form of RReLU, and those that stay, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
import onnx_ir as ir
from onnx import helper
from onnxscript.rewriter import MatchingTracer, MatchResult, MatchStatus
from onnxscript.rewriter.pattern import RewriteRule

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.fusing.forms import Leak, leak_of
from ort_rrelu.graph.fusing.leaky import leaky_of
from ort_rrelu.graph.fusing.slopes import Left, used_elsewhere
from ort_rrelu.graph.fusing.tf2onnx import PRODUCER, has_no_seed, has_seed_of_zero, mark
from ort_rrelu.graph.fusing.values import described, read_besides
from ort_rrelu.graph.nodes import Container, is_standard, subgraphs
from ort_rrelu.graph.onnx_tools import inferred

_LEAKY = "nothing in a LeakyRelu tells that it was an RReLU in eval mode"


@dataclass(frozen=True)
class Replacement:
    """A node of the model, and the one that computes the same; `moves` if it may go before a Transpose."""

    container: Container
    node: onnx.NodeProto
    replacement: onnx.NodeProto
    moves: bool


@dataclass(frozen=True)
class Match(Replacement):
    """A node that ends a form of RReLU in train mode, and an RRelu node.

    `remarks` tell what else is different now, and `no_seed` why a node has none, if that is not plain.
    """

    form: str
    draw: str
    no_seed: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftNode:
    """A draw, a LeakyRelu, or what ends nearly the form of one, that stays."""

    node: onnx.NodeProto
    reason: str


@dataclass(frozen=True)
class Matches:
    """All of a model, each in the order of its nodes; `leaky` are those that a LeakyRelu may replace."""

    matches: list[Match]
    leaky: list[Replacement]
    left: list[LeftNode]
    left_leaky: list[LeftNode]


def find_matches(model: onnx.ModelProto, seeds: Mapping[int, int | None] | None = None) -> Matches:
    """Try every rule at every node: of the graph, of bodies, of functions but ours.

    `seeds` are those of draws that are numbered, as `tf2onnx.mark` takes them.

    Raises InvalidValueError when onnx or onnx_ir cannot read the model.
    """
    twin = _with_types(model)
    mark(twin, seeds)
    search = _Search(twin)
    for container, values in _containers(model, twin):
        search.visit(container, values)
    return search.result()


def _with_types(model: onnx.ModelProto) -> ir.Model:
    """The model in onnx_ir's form, with the types and shapes that onnx infers."""
    typed = inferred(model)
    try:
        twin = ir.from_proto(typed)
    except Exception as error:  # whatever it raises, of several types
        raise InvalidValueError(f"the model cannot be read by onnx_ir: {error}") from error
    return twin


@dataclass(frozen=True)
class _Found:
    """A match, and what it was made of: `root` is the node that the match replaces."""

    match: Match
    leak: Leak
    root: ir.Node

    @property
    def draw(self) -> ir.Node:
        return self.leak.slope.node


def _containers(model: onnx.ModelProto, twin: ir.Model) -> Iterator[tuple[Container, ir.Graph | ir.Function]]:
    yield from _with_bodies(model.graph, twin.graph)
    for function in model.functions:
        if function.domain != schema.DOMAIN:
            yield from _with_bodies(
                function, twin.functions[function.domain, function.name, function.overload]
            )


def _with_bodies(
    container: Container, twin: ir.Graph | ir.Function
) -> Iterator[tuple[Container, ir.Graph | ir.Function]]:
    yield container, twin
    for node, its_twin in zip(container.node, twin, strict=True):
        for body, inner in zip(subgraphs(node), _bodies(its_twin), strict=True):
            yield from _with_bodies(body, inner)


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


class _Search(MatchingTracer):
    """What was found so far. The rules' tracer, since they tell it why they do not apply."""

    def __init__(self, model: ir.Model) -> None:
        super().__init__()
        self._model = model
        self._found: list[_Found] = []
        self._draws: list[tuple[ir.Node, onnx.NodeProto]] = []
        self._leaky: list[Replacement] = []
        self._left_leaky: list[LeftNode] = []
        self._stays: list[LeftNode] = []
        self._taken: set[ir.Node] = set()
        self._reasons: dict[ir.Node, str] = {}

    def log(
        self,
        rule: RewriteRule,
        container: ir.Graph | ir.Function,
        node: ir.Node,
        match_result: MatchResult,
        status: MatchStatus,
    ) -> None:
        """As a rule calls it; it failed at a draw if a form did not fit."""
        for place in match_result.failure_nodes_and_values:
            if status == MatchStatus.CONDITION_FAILED and isinstance(place, ir.Node):
                self._reasons.setdefault(place, match_result.reason)

    def visit(self, container: Container, twin: ir.Graph | ir.Function) -> None:
        """All nodes but those of bodies, the last first: a form takes the Cast after it along if it can."""
        pairs = list(zip(container.node, twin, strict=True))
        found = [self._match(container, twin, proto, node) for proto, node in reversed(pairs)]
        self._found += [each for each in reversed(found) if each is not None]
        for proto, node in pairs:
            if is_standard(node.domain) and node.op_type in {"RandomUniform", "RandomUniformLike"}:
                self._draws.append((node, proto))
            elif is_standard(node.domain) and node.op_type == "LeakyRelu":
                self._stays.append(LeftNode(proto, _LEAKY))
            elif node not in self._taken:
                self._look_for_leaky(container, proto, node)

    def _look_for_leaky(self, container: Container, proto: onnx.NodeProto, node: ir.Node) -> None:
        try:
            leaky = leaky_of(node)
        except Left as left:
            self._left_leaky.append(LeftNode(proto, left.reason))
            return
        if leaky is not None:
            made = helper.make_node("LeakyRelu", [str(leaky.x.name)], list(proto.output), alpha=leaky.alpha)
            self._leaky.append(Replacement(container, proto, made, moves=True))

    def _match(
        self, container: Container, twin: ir.Graph | ir.Function, proto: onnx.NodeProto, node: ir.Node
    ) -> _Found | None:
        for rule in RULES:
            made = rule.try_rewrite(self._model, twin, node, tracer=self)
            if made is None:
                continue
            leak = leak_of(node)
            assert leak is not None
            if leak.node in self._taken:
                return None
            self._taken.add(leak.node)
            (replacement,) = made.new_nodes
            replacement.outputs[0].name = node.outputs[0].name
            return _Found(_match_of(container, proto, ir.to_proto(replacement), leak), leak, node)
        return None

    def result(self) -> Matches:
        """With a reason for each draw that no rule took."""
        sharing: dict[ir.Node, list[_Found]] = {}
        for found in self._found:
            sharing.setdefault(found.draw, []).append(found)
        for draw, those in list(sharing.items()):
            if (value := _read_elsewhere(those)) is not None:
                self._reasons.setdefault(draw, used_elsewhere(value))
                del sharing[draw]
        matches = [
            _with_share(found.match, len(sharing[found.draw]))
            for found in self._found
            if found.draw in sharing
        ]
        left = [
            LeftNode(proto, self._reasons.get(node) or _no_form(node))
            for node, proto in self._draws
            if node not in sharing
        ]
        return Matches(matches, self._leaky, left + self._stays, self._left_leaky)


def _match_of(container: Container, node: onnx.NodeProto, replacement: onnx.NodeProto, leak: Leak) -> Match:
    draw = leak.slope.node
    remarks = ["infinities gave NaN"] if leak.selects else []
    if leak.selects and has_seed_of_zero(draw) and not has_no_seed(draw):
        remarks.append(f"seed=0.0 would mean none if the model named {PRODUCER} as its producer")
    return Match(
        container,
        node,
        replacement,
        leak.selects,
        "Add of products with masks" if leak.selects else node.op_type,
        draw.op_type,
        f"{PRODUCER} writes seed=0.0 for none" if has_no_seed(draw) else "",
        tuple(remarks),
    )


def _read_elsewhere(sharing: list[_Found]) -> ir.Value | None:
    """A value between a draw and its slopes that something besides these forms reads."""
    inside = {node for found in sharing for node in (found.root, *found.leak.slope.nodes())}
    values = (value for found in sharing for value in found.leak.slope.drawn)
    return next((value for value in values if read_besides(value, inside)), None)


def _with_share(match: Match, count: int) -> Match:
    if count == 1:
        return match
    shared = f"its draw served {count} layers, since {PRODUCER} merges those that are written alike"
    return replace(match, remarks=(*match.remarks, shared))


def _no_form(draw: ir.Node) -> str:
    readers = sorted({described(use.node) for use in draw.outputs[0].uses()})
    return f"no form of RReLU that is known here: read by {', '.join(readers) or 'nobody'}"


def _root(values: dict[str, ir.Value]) -> ir.Node:
    node = values["y"].producer()
    assert node is not None
    return node


def _check(_context: Any, **values: ir.Value) -> bool | MatchResult:
    try:
        leak = leak_of(_root(values))
        if leak is not None:
            leak.slope.bounds(leak.x)
            leak.slope.seed()
    except Left as left:
        return MatchResult().fail(left.reason, left.node)
    return leak is not None


def _rrelu(op: Any, **values: ir.Value) -> Any:
    leak = leak_of(_root(values))
    assert leak is not None
    lower, upper = leak.slope.bounds(leak.x)
    seed = leak.slope.seed()
    return op.RRelu(
        leak.x,
        _domain=schema.DOMAIN,
        lower=lower,
        upper=upper,
        training=1,
        seed=-1 if seed is None else seed,
    )


def _prelu(op: Any, x: Any, slope: Any) -> Any:
    return op.PRelu(x, slope, _outputs=["y"])


def _where(op: Any, mask: Any, one: Any, other: Any) -> Any:
    return op.Where(mask, one, other, _outputs=["y"])


def _add(op: Any, one: Any, other: Any) -> Any:
    return op.Add(one, other, _outputs=["y"])


def _mul(op: Any, one: Any, other: Any) -> Any:
    return op.Mul(one, other, _outputs=["y"])


def _cast(op: Any, x: Any) -> Any:
    return op.Cast(x, _outputs=["y"])


def _cast_like(op: Any, x: Any, like: Any) -> Any:
    return op.CastLike(x, like, _outputs=["y"])


# The node that a form ends with. `forms` follows what it reads as far as need be, through any number of Cast
# and Identity nodes and constants, which no pattern could, and gives the reason where it does not fit.
RULES = tuple(
    RewriteRule(pattern, _rrelu, _check, name=pattern.__name__)
    for pattern in (_prelu, _where, _mul, _add, _cast, _cast_like)
)
