"""What torch's exporters write, changed afterwards, is what they write with the arguments for it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

import ort_rrelu
from tests.onnx_models import run, session
from tests.torch.arrays import array
from tests.torch.constructs import CONSTRUCTS
from tests.torch.exports import X, both_exporters, export_quietly, train_seeds


@both_exporters
def test_seed_and_step(dynamo: bool) -> None:
    module = CONSTRUCTS["nested modules"]().train()
    later = ort_rrelu.graph.add_step_input(ort_rrelu.graph.seed(export_quietly(module, dynamo=dynamo), 3))
    at_once = export_quietly(module, dynamo=dynamo, seed=3, step_input=True)
    assert train_seeds(later) == train_seeds(at_once)
    step = np.array(5)
    assert (run(session(later), array(X), step)[0] == run(session(at_once), array(X), step)[0]).all()


@both_exporters
def test_lowered_eval_model_is_torchs(dynamo: bool) -> None:
    module = CONSTRUCTS["nested modules"]()
    model = ort_rrelu.graph.set_training(export_quietly(module.train(), dynamo=dynamo), False)
    lowered = ort_rrelu.graph.lower(model)
    onnx.checker.check_model(lowered, full_check=True)
    of = onnxruntime.InferenceSession(lowered.SerializeToString())
    with torch.no_grad():
        expected = module.eval()(X)
    np.testing.assert_allclose(run(of, array(X))[0], array(expected), rtol=1e-6)
