"""fuse: RReLU as other exporters write it, in standard operators with random slopes, becomes RRelu.

What tf2onnx leaves of it in eval mode becomes LeakyRelu.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, MissingPackageError
from ort_rrelu.graph.check import attributes, check_model
from ort_rrelu.graph.edit import prune, replace_node
from ort_rrelu.graph.embedding import is_portable
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import (
    Container,
    all_nodes,
    function_nodes,
    is_standard,
    name_of,
    our_nodes,
    set_attribute,
    subgraphs,
)
from ort_rrelu.graph.portable import portable as made_portable
from ort_rrelu.graph.transposes import move_before_transposes
from ort_rrelu.graph.value_types import declare_call_types
from ort_rrelu.node_attributes import FreeSeeds
from ort_rrelu.reference import derive_seed

if TYPE_CHECKING:
    from ort_rrelu.graph.fusing.matches import Match, Replacement


_DRAWS = {"RandomUniform", "RandomUniformLike"}
_CANDIDATES = {*_DRAWS, "LeakyRelu"}
_SUM, _LEAKY_NOW = "Add of products with masks", "now a LeakyRelu"
_UNTYPED = (
    "in a body inside of a function, where ONNX Runtime does not infer the type of a custom op: "
    "portable=True fuses it"
)


@dataclass(frozen=True)
class Finding:
    """What `fuse` did with a node, or why it left it.

    Args:
        node: the name of the new node, or of the one that stays (a draw of uniform numbers, a LeakyRelu, what
            ends a form); where it has none, that of its first output.
        fused: whether there is a new node: an RRelu, or with `leaky` a LeakyRelu, as the reason says.
        reason: one line.
    """

    node: str
    fused: bool
    reason: str


def fuse(
    model: onnx.ModelProto | str | os.PathLike[str],
    *,
    report: Callable[[Finding], None] | None = None,
    portable: bool = True,
    leaky: bool = False,
) -> onnx.ModelProto:
    """Turn RReLU in train mode, written with RandomUniform or RandomUniformLike, into RRelu nodes.

    Forms: PRelu(x, r); Where(x < 0, x * r, x); x * Where(x < 0, r, 1); and tf2onnx's sum of products with
    masks, Cast(x >= 0) * x + Cast(x < 0) * x * r; with <=, > and >=, negated, with the operands in any order,
    through Cast, Identity, and sums and products of r with constants; in the graph, in bodies of control flow
    and in functions. r must be drawn for each element of x, with constant bounds that
    RRelu takes, and nothing else may read r or what is computed from it before the result. Then the slopes
    have the same distribution, except for rounding, but the drawn numbers differ. At x == 0, where the result
    is 0 in any case, RRelu's noise is the slope.

    A seed is carried over: the integer part of the float if that is from 0 to 2^63 - 1 (ONNX Runtime also
    takes it), else the float's 32 bits. If another node has this seed already, the node gets one derived from
    it. Nodes without a seed get distinct negative ones, which means fresh entropy for each session; 0.0 is no
    seed in a model that names tf2onnx as its producer.

    A LeakyRelu stays: nothing in it shows that it was an RReLU in eval mode. The sum of products with masks
    becomes one if it has a constant in place of r (`leaky`). In such a sum infinities give NaN; in the new
    node they do not. The new node goes before a Transpose that only it reads.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.
        report: called with a Finding for each new RRelu, then for each new LeakyRelu, for each draw that
            stays, for each LeakyRelu, and for each sum that stays, in the order of the nodes. None: they are
            logged, new nodes at level INFO, the rest at DEBUG.
        portable: embed the functions with which the model also runs where the library is not registered
            (`ort_rrelu.graph.portable`), in opset 18 or newer. False: the opset stays, and so do forms in a
            body inside of a function. If functions then have RRelu nodes, the outputs of their calls get
            types, because ONNX Runtime refuses the model without them.
        leaky: also turn sums with a constant slope into LeakyRelu, which has the same bits unless the sum
            gives NaN. Nothing tells the bounds, so it is not called RRelu.

    Returns:
        A new model. One in which nothing is fused is a copy, to the byte.

    Raises:
        MissingPackageError: onnxscript is not installed.
        ModelFileError, InvalidValueError, InvalidTypeError: not a model, an invalid RRelu node in it, what
            onnx cannot read, what `portable` refuses, or without it a call of a function with RRelu nodes
            whose type onnx cannot infer.
    """
    for name, value in {"portable": portable, "leaky": leaky}.items():
        if not isinstance(value, bool):
            raise InvalidTypeError(f"{name}={value!r}: it must be True or False")
    made = new_model(model)
    try:
        import onnxscript  # noqa: F401  # here, since importing ort_rrelu must not import it
    except ImportError as error:
        raise MissingPackageError(f"{error.name} is not installed: pip install 'ort-rrelu[fuse]'") from error
    return _fused(made, report or _log, portable, leaky, None)


def fuse_numbered(
    model: onnx.ModelProto, seeds: Mapping[int, int | None], report: Callable[[Finding], None]
) -> onnx.ModelProto:
    """fuse(model, report=report, portable=False, leaky=True), where each draw is known to be its own.

    Args:
        model: a model, which is not changed. The seed attribute of each of its draws of uniform numbers is a
            number of its own.
        seeds: for each such number, the seed that the draw really has, exactly; None for no seed.
        report: as that of `fuse`.
    """
    return _fused(new_model(model), report, False, True, seeds)


def _fused(
    made: onnx.ModelProto,
    tell: Callable[[Finding], None],
    portable: bool,
    leaky: bool,
    seeds_of_draws: Mapping[int, int | None] | None,
) -> onnx.ModelProto:
    if not _has_candidates(made):
        return made
    from ort_rrelu.graph.fusing.matches import find_matches  # needs onnxscript

    check_model(made)
    found = find_matches(made, seeds_of_draws)
    seeds = _Seeds(made)
    bare = not portable and not is_portable(made)
    matches, untyped = _parted(made, found.matches) if bare else (found.matches, [])
    said = [_seeded(match, seeds) for match in matches]
    sums = [Finding(name_of(each.node), leaky, _of_sum(each, leaky)) for each in found.leaky]
    said += sums if leaky else []
    said += [Finding(name_of(match.node), False, _UNTYPED) for match in untyped]
    said += [Finding(name_of(left.node), False, left.reason) for left in found.left]
    said += [Finding(name_of(left.node), False, left.reason) for left in found.left_leaky] if leaky else sums
    _edit([*matches, *(found.leaky if leaky else [])])
    if matches:
        made = _finished(made, portable)
    for finding in said:
        tell(finding)
    return made


def _has_candidates(model: onnx.ModelProto) -> bool:
    """Is there a draw, a LeakyRelu, or a sum of products with what a Cast gives?"""
    casts: set[str] = set()
    products: set[str] = set()
    for node in all_nodes(model):
        if not is_standard(node.domain):
            continue
        if node.op_type in _CANDIDATES or (node.op_type == "Add" and products.issuperset(node.input)):
            return True
        identity = node.op_type == "Identity"
        if node.op_type == "Cast" or (identity and casts.issuperset(node.input)):
            casts.update(node.output)
        elif (node.op_type == "Mul" and casts.intersection(node.input)) or (
            identity and products.issuperset(node.input)
        ):
            products.update(node.output)
    return False


def _of_sum(each: Replacement, leaky: bool) -> str:
    alpha = helper.get_node_attr_value(each.replacement, "alpha")
    if leaky:
        return f"{_SUM} with the constant slope {alpha:g}, {_LEAKY_NOW}; infinities gave NaN"
    return f"{_SUM} with the constant slope {alpha:g}; infinities give NaN: leaky=True makes it a LeakyRelu"


class _Seeds:
    """Of the new nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._free = FreeSeeds(int(attributes(node)["seed"]) for node in our_nodes(model))
        self._candidates: dict[int | None, Iterator[int]] = {None: itertools.count(-1, -1)}

    def take(self, own: int | None) -> int:
        """The draw's own one or, where that is taken, one derived from it; None for a negative one."""
        return self._free.first(self._candidates.setdefault(own, _seed_and_derived(own or 0)))


def _seed_and_derived(own: int) -> Iterator[int]:
    yield own
    yield from (derive_seed(own, position) for position in itertools.count())


def _seeded(match: Match, seeds: _Seeds) -> Finding:
    """Give the new node its seed; what to say of it."""
    values = attributes(match.replacement)
    own = values["seed"] if values["seed"] >= 0 else None
    seed = seeds.take(own)
    set_attribute(match.replacement, "seed", seed)
    if own is None:
        origin = "fresh entropy in each session" + (f": {match.no_seed}" if match.no_seed else "")
    else:
        origin = "carried over" if seed == own else f"derived from {own}, which is taken"
    return Finding(
        name_of(match.node),
        True,
        f"{match.form} with a slope from {match.draw}: bounds {values['lower']:g} and {values['upper']:g}, "
        + "; ".join((f"seed {seed} ({origin})", *match.remarks)),
    )


def _parted(model: onnx.ModelProto, matches: list[Match]) -> tuple[list[Match], list[Match]]:
    """Those that may be RRelu in a model without its function, and those in bodies inside of functions."""
    bodies = [body for f in model.functions for node in function_nodes(f) for body in subgraphs(node)]
    inside = {id(body) for body in bodies}
    untyped = [match for match in matches if id(match.container) in inside]
    return [match for match in matches if id(match.container) not in inside], untyped


def _edit(replacements: list[Replacement]) -> None:
    """Put the new nodes in, in place, and remove what was there for the old ones alone."""
    changed: dict[int, tuple[Container, set[str], list[onnx.NodeProto]]] = {}
    for each in replacements:
        _, names, moving = changed.setdefault(id(each.container), (each.container, set(), []))
        names |= replace_node(each.node, each.replacement)
        if each.moves:
            moving.append(each.node)
    for container, names, moving in changed.values():
        prune(container, names)
        if moving:
            move_before_transposes(container, moving)


def _finished(model: onnx.ModelProto, portable: bool) -> onnx.ModelProto:
    """The edited model with what its new nodes need."""
    functions = [f for f in model.functions if any(n.domain == schema.DOMAIN for n in function_nodes(f))]
    importers: list[onnx.ModelProto | onnx.FunctionProto] = [model, *functions]
    for importer in importers:
        if all(entry.domain != schema.DOMAIN for entry in importer.opset_import):
            importer.opset_import.append(schema.opset_import())
    # A function that is there already has to fit the new nodes, too.
    if not portable and not is_portable(model):
        declare_call_types(model)
        return model
    try:
        return made_portable(model)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{error}; portable=False makes a model that runs only where the library is registered"
        ) from error


def _log(finding: Finding) -> None:
    level = logging.INFO if finding.fused else logging.DEBUG
    made = "LeakyRelu" if _LEAKY_NOW in finding.reason else schema.RRELU
    verb = f"is {made} now" if finding.fused else "stays"
    logging.getLogger(__name__).log(level, "%s %s: %s", finding.node, verb, finding.reason)
