"""What is true of tf2onnx's models alone: a seed of 0.0 is none, and layers may share one draw.

Unless the draws are numbered: then each stands for itself, and its seed is known from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ort_rrelu.graph.nodes import is_standard

PRODUCER = "tf2onnx"
_NO_SEED, _MERGED, _SEED = "ort_rrelu.no_seed", "ort_rrelu.merged", "ort_rrelu.seed"


def mark(model: ir.Model, seeds: Mapping[int, int | None] | None = None) -> None:
    """Note at each draw of such a model what it means there; other models are left as they are.

    Args:
        model: any model.
        seeds: what stands for the number that each draw has as its seed; None: they are not numbered.
    """
    if seeds is None and model.producer_name != PRODUCER:
        return
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if not is_standard(node.domain) or node.op_type not in {"RandomUniform", "RandomUniformLike"}:
            continue
        if seeds is not None:
            node.meta[_SEED] = seeds[int(node.attributes["seed"].as_float())]
        else:
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


def is_numbered(draw: ir.Node) -> bool:
    """Is its seed a number, in place of which `known_seed` stands?"""
    return _SEED in draw.meta


def known_seed(draw: ir.Node) -> int | None:
    """The seed of a draw that is numbered."""
    seed: int | None = draw.meta[_SEED]
    return seed


def may_be_merged(draw: ir.Node) -> bool:
    """May it stand for several draws? tf2onnx makes one node of those that are written alike."""
    return bool(draw.meta.get(_MERGED, False))
