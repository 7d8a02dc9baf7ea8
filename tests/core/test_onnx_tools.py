"""onnx's own tools do not see large weights: the model that they get has them again, and so has the copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph import onnx_tools

_WEIGHTS = np.arange(1000, dtype=np.float32)

_TOOLS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "inlined": lambda model: onnx_tools.inlined(model, [("own", "f")]),
    "converted": lambda model: onnx_tools.converted(model, 19),
}


def _model(body: str = "b = Neg (a)") -> onnx.ModelProto:
    """One that calls its own function, with weights that are large enough to be taken out."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18, "own": 1]>
        net (float[1000] x) => (float[1000] y) {{ z = own.f (x) y = Add (z, w) }}
        <domain: "own", opset_import: ["": 18]> f (a) => (b) {{ {body} }}""")
    model.graph.initializer.append(numpy_helper.from_array(_WEIGHTS, "w"))
    return model


@pytest.mark.parametrize("name", _TOOLS)
def test_model_and_copy_have_the_weights(name: str) -> None:
    model = _model()
    before = model.SerializeToString()
    made = _TOOLS[name](model)
    assert model.SerializeToString() == before
    assert made.SerializeToString() != before
    (weights,) = made.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weights), _WEIGHTS)


@pytest.mark.parametrize("name", _TOOLS)
def test_a_model_that_onnx_refuses_keeps_its_weights(name: str) -> None:
    model = _model()
    model.graph.node[0].input[0] = "nowhere"
    model.functions[0].opset_import[0].version = 17  # which would have to be converted
    before = model.SerializeToString()
    with pytest.raises(InvalidValueError, match="onnx cannot"):
        _TOOLS[name](model)
    assert model.SerializeToString() == before
