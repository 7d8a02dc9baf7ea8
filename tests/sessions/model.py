"""The model of sessions.cc: each way to draw, and each gradient."""

from __future__ import annotations

from pathlib import Path

import onnx.parser

# Of bounds that a float has exactly; `given`, `rows` and `counted` have one seed.
_MODEL = """<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1]>
sessions (float[r,c] x, int64[1] step, int64[r] steps)
    => (float[r,c] given, float[r,c] rows, float[r,c] counted, float[r,c] session, float[r,c] averaged,
        float[r,c] by_noise, float[r,c] by_reserve, float[r,c] by_rows) {
    given, noise, reserve = ort_rrelu.RRelu <lower = 0.125, upper = 0.5, training = 1, seed = 7> (x, step)
    rows, n, of_rows = ort_rrelu.RRelu <lower = 0.125, upper = 0.5, training = 1, seed = 7> (x, steps)
    counted = ort_rrelu.RRelu <lower = 0.125, upper = 0.5, training = 1, seed = 7> (x)
    session = ort_rrelu.RRelu <lower = 0.125, upper = 0.5, training = 1, seed = -1> (x)
    averaged = ort_rrelu.RRelu <lower = 0.125, upper = 0.5, training = 0, seed = -1> (x)
    by_noise = ort_rrelu.RReluGrad (x, noise)
    by_reserve = ort_rrelu.RReluGrad (x, reserve)
    by_rows = ort_rrelu.RReluGrad (x, of_rows)
}"""


def write(path: Path) -> None:
    onnx.save(onnx.parser.parse_model(_MODEL), str(path))
