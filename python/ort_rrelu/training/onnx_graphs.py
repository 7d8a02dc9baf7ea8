"""Traced steps -> ONNX models, by torch's exporter; what a training cannot repeat is refused."""

from __future__ import annotations

import re
from typing import Any

import onnx
import torch
from onnx_ir.passes.common import IdentityEliminationPass

from ort_rrelu.errors import ConversionError
from ort_rrelu.exporting import BATCH
from ort_rrelu.graph.edit import remove_unused_outputs
from ort_rrelu.graph.nodes import RANDOM_OPS
from ort_rrelu.graph.opset import lower_ir_version
from ort_rrelu.torch.export import patched
from ort_rrelu.torch.translation import translation_table
from ort_rrelu.training.decompositions import translations
from ort_rrelu.training.step_model import OPSET
from ort_rrelu.training.tracing import Traced


def to_onnx(traced: Traced, seed: int, first_of_batch: int | None) -> onnx.ModelProto:
    """The model, with the names that `traced` gives.

    Not optimized: torch's optimizer takes a sum with 1e-8 for one with 0; ONNX Runtime has its own.

    Raises ConversionError that names an operator without translation.
    """
    table = translation_table(seed) | translations()
    try:
        with patched(None), torch.no_grad():
            program = torch.onnx.export(
                traced.graph,
                traced.arguments,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=OPSET,
                custom_translation_table=table,
                input_names=traced.inputs,
                output_names=traced.outputs,
                dynamic_shapes=_dynamic_shapes(traced, first_of_batch),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ConversionError(_reason(error)) from error
    assert program is not None
    IdentityEliminationPass()(program.model)
    model = program.model_proto
    _refuse_other_random_numbers(model)
    remove_unused_outputs(model)
    lower_ir_version(model)
    return model


def _dynamic_shapes(traced: Traced, first_of_batch: int | None) -> tuple[dict[int, Any], ...] | None:
    if first_of_batch is None:
        return None
    batch = torch.export.Dim(BATCH)
    return tuple(
        {0: batch} if position >= first_of_batch and tensor.dim() else {}
        for position, tensor in enumerate(traced.arguments)
    )


def _reason(error: BaseException) -> str:
    innermost = error
    cause: BaseException | None = error
    while cause is not None:
        if missing := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(cause)):
            return f"operator {missing[1]}, of the forward or backward pass, has no translation to ONNX"
        innermost, cause = cause, cause.__cause__
    reason = str(innermost).strip().partition("\n")[0]
    return f"torch cannot export the step: {type(innermost).__name__}: {reason}"


def _refuse_other_random_numbers(model: onnx.ModelProto) -> None:
    """A session keeps their state to itself: no checkpoint could have it."""
    for node in model.graph.node:
        if node.op_type in RANDOM_OPS and not node.domain:
            raise ConversionError(
                f"the step draws random numbers by {node.op_type}, which a resumed training would not "
                "repeat: RReLU, dropout, rand_like and bernoulli can be trained"
            )
