"""What is true of tf2onnx's models alone: a seed of 0.0 is none, and layers may share one draw."""

from __future__ import annotations

import onnx_ir as ir

from ort_rrelu.graph.nodes import is_standard

PRODUCER = "tf2onnx"
_NO_SEED, _MERGED = "ort_rrelu.no_seed", "ort_rrelu.merged"


def mark(model: ir.Model) -> None:
    """Note at each draw of such a model what it means there; other models are left as they are."""
    if model.producer_name != PRODUCER:
        return
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if is_standard(node.domain) and node.op_type in {"RandomUniform", "RandomUniformLike"}:
            node.meta[_NO_SEED] = has_seed_of_zero(node)
            node.meta[_MERGED] = True


def has_seed_of_zero(draw: ir.Node) -> bool:
    """Is its seed written as 0.0?"""
    seed = draw.attributes.get("seed")
    if seed is None or seed.is_ref() or seed.type != ir.AttributeType.FLOAT:
        return False
    return float(seed.as_float()) == 0


def has_no_seed(draw: ir.Node) -> bool:
    """Does its seed of 0.0 mean that it has none?"""
    return bool(draw.meta.get(_NO_SEED, False))


def may_be_merged(draw: ir.Node) -> bool:
    """May it stand for several draws? tf2onnx makes one node of those that are written alike."""
    return bool(draw.meta.get(_MERGED, False))
