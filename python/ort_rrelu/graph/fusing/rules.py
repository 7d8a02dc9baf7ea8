"""RULES: onnxscript's rewrite rules, a node of standard operators -> RRelu."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRule

from ort_rrelu import schema
from ort_rrelu.graph.fusing.forms import leak_of
from ort_rrelu.graph.fusing.left import Left

__all__ = ["RULES"]


def _root(values: dict[str, ir.Value]) -> ir.Node:
    node = values["y"].producer()
    assert node is not None
    return node


def _check(_context: Any, **values: ir.Value) -> bool | MatchResult:
    try:
        leak = leak_of(_root(values))
        if leak is not None:
            leak.draw.bounds(leak.x)
            leak.draw.seed()
    except Left as left:
        return MatchResult().fail(left.reason, left.draw)
    return leak is not None


def _rrelu(op: Any, **values: ir.Value) -> Any:
    leak = leak_of(_root(values))
    assert leak is not None
    lower, upper = leak.draw.bounds(leak.x)
    seed = leak.draw.seed()
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
    for pattern in (_prelu, _where, _mul, _cast, _cast_like)
)
