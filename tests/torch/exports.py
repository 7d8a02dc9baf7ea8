"""Exported models, made once for each construct, exporter and mode."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import onnx
import pytest
import torch
from onnx import helper
from torch import nn

import ort_rrelu.torch
from ort_rrelu.graph.nodes import our_nodes
from tests.onnx_models import Array
from tests.torch.arrays import array, normal
from tests.torch.constructs import CONSTRUCTS, DrawsOfReference

BASE_SEED = 11
X = normal(2, 3, 7)
X[0, 0, :2] = torch.tensor([0.0, -0.0])

both_exporters = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])


def export_quietly(model: Any, args: tuple[Any, ...] = (X,), **kw: Any) -> onnx.ModelProto:
    """ort_rrelu.torch.export without the advice that torch prints and warns of."""
    if kw.get("dynamo", True):
        kw = {"verbose": False} | kw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ort_rrelu.torch.export(model, args, **kw)


@functools.cache
def exported(construct: str, *, dynamo: bool, training: bool) -> onnx.ModelProto:
    """A construct with BASE_SEED; shared by the tests, so it must not be changed."""
    return export_quietly(CONSTRUCTS[construct]().train(training), seed=BASE_SEED, dynamo=dynamo)


def node_attributes(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """The attributes that stand on each RRelu node, without any default."""
    return [{a.name: helper.get_attribute_value(a) for a in node.attribute} for node in our_nodes(model)]


def train_seeds(model: onnx.ModelProto) -> list[int]:
    """The seeds of the train nodes, in order."""
    return [node["seed"] for node in node_attributes(model) if node["training"]]


def outputs_of(module: nn.Module, *args: torch.Tensor) -> list[Array]:
    """What torch computes, of copies of args."""
    with torch.no_grad():
        outputs = module(*(a.clone() for a in args))
    return [array(y) for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def drawn_by_torch(module: nn.Module, seeds: list[int], step: int, *args: torch.Tensor) -> list[Array]:
    """What torch computes when its i-th rrelu draws the reference's slopes of the i-th seed."""
    with DrawsOfReference(seeds, step):
        return outputs_of(module, *args)
