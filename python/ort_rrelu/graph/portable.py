"""portable: a model that runs where the library is not registered, and faster where it is."""

from __future__ import annotations

import os

import onnx

from ort_rrelu.graph.embedding import embed_functions
from ort_rrelu.graph.file import new_model


def portable(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """Embed RRelu and RReluGrad as functions in standard operators.

    Where the library is registered, its kernels run; elsewhere the functions do. With a seed and a step a
    train-mode node gives the same bits either way. Without one of them a function draws anew in each run: it
    cannot count runs or keep a seed for the session.

    All RRelu nodes of the result list the same inputs and outputs, and the functions have just these. If you
    change them, or the bounds (for speed), make the model portable again. You may change `training` and
    `seed`.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.

    Returns:
        A new model, of opset 18 or newer and with the oldest IR version that its contents allow. A model
        without RRelu and RReluGrad is returned as it is, copied.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, one whose X is known to be of a type
            that RRelu does not take, an opset that cannot be converted, a train node without `step` beside a
            node with one, or a reserve that more than RReluGrad reads.
    """
    embedded = new_model(model)
    embed_functions(embedded)
    return embedded
