"""Paddle2ONNX in a process of its own, started by conversion.py, for it ends its process where it fails.

It may run in another environment, so it imports nothing of ort_rrelu, and Python 3.9 must understand it.

usage: VERB JSON, a function of this file and its arguments as a JSON object
"""

import json
import sys
from typing import Any

# What it prints when Paddle and Paddle2ONNX are there: what goes wrong later is theirs.
STARTED = "ort_rrelu: Paddle2ONNX is there"


def translate(stem: str, target: str) -> None:
    """The old IR's stem.pdmodel and stem.pdiparams -> target.json and target.pdiparams."""
    import paddle
    import paddle2onnx

    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    with paddle.pir_utils.OldIrGuard():
        old, _, _ = paddle.static.load_inference_model(stem, executor)
    program = paddle.pir.translate_to_pir(old.desc)
    paddle2onnx.load_parameter(program)
    paddle2onnx.save_program(program, target)


def convert(stem: str, target: str, opset_version: int, options: dict[str, Any]) -> None:
    """stem.json and stem.pdiparams, if the model has weights -> the ONNX file target."""
    import paddle2onnx

    # The default optimize_tool, polygraphy, installs packages with pip and folds markers to wrong numbers.
    model = paddle2onnx.export(
        f"{stem}.json",
        f"{stem}.pdiparams",
        None,
        opset_version=opset_version,
        optimize_tool=None,
        **options,
    )
    with open(target, "wb") as file:
        file.write(model)


if __name__ == "__main__":
    import paddle  # noqa: F401
    import paddle2onnx  # noqa: F401

    print(STARTED, flush=True)  # now, for an abort loses what waits to be written
    verb = translate if sys.argv[1] == "translate" else convert
    verb(**json.loads(sys.argv[2]))
