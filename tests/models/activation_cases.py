"""Every activation with the arguments that make a difference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.activations import build_activation
from ort_rrelu.torch import RReLU
from tests.torch.arrays import normal

Cfg = dict[str, Any]

CASES: dict[str, Cfg] = {
    "ReLU": {"type": "ReLU"},
    "ReLU in place": {"type": "ReLU", "inplace": True},
    "LeakyReLU": {"type": "LeakyReLU", "negative_slope": 0.1},
    "LeakyReLU in place": {"type": "LeakyReLU", "negative_slope": 0.1, "inplace": True},
    "PaperLeakyReLU": {"type": "PaperLeakyReLU", "a": 5.5},
    "PaperLeakyReLU in place": {"type": "PaperLeakyReLU", "a": 5.3, "inplace": True},
    "PReLU": {"type": "PReLU"},
    "PReLU of feature maps": {"type": "PReLU", "num_parameters": 3, "init": [0.5, 0.0, 0.25]},
    "PReLU in place": {"type": "PReLU", "num_parameters": 3, "init": (0.5, 0.0, 0.25), "inplace": True},
    "RReLU": {"type": "RReLU", "seed": 3},
    "RReLU in place": {"type": "RReLU", "inplace": True, "seed": 3},
    "PaperRReLU": {"type": "PaperRReLU", "seed": 3},
    "PaperRReLU in place": {"type": "PaperRReLU", "inplace": True, "seed": 3},
    "Softplus": {"type": "Softplus"},
    "Softplus of beta": {"type": "Softplus", "beta": 2.3},
    "SoftplusFunction": {"type": "SoftplusFunction"},
    "SoftplusFunction of beta": {"type": "SoftplusFunction", "beta": 2.3},
    "LearnableClip": {"type": "LearnableClip", "t1": 1.0, "t2": 0.5},
    "MyReLU": {"type": "MyReLU"},
}
INPLACE_CASES = [case for case, cfg in CASES.items() if cfg.get("inplace")]
TRAIN_CASES = [case for case, cfg in CASES.items() if "RReLU" in cfg["type"]]

every_case = pytest.mark.parametrize("case", CASES)


def activation_input(batch: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """(batch, 3, 8), both signs, from tiny to large."""
    x = normal(batch, 3, 8, dtype=torch.float64)
    x[:, 0] = torch.tensor([0.0, -0.0, 1.0, 80.0, -80.0, 1e-5, -1e-5, -16.7])
    return x.to(dtype)


def rewound(
    case: str, *, training: bool = False, dtype: torch.dtype = torch.float32, **changed: Any
) -> nn.Module:
    """The module of a case, some arguments changed; its every call draws what the first one would."""
    module = build_activation(CASES[case] | changed).train(training).to(dtype)

    def rewind(*_: Any) -> None:
        for part in module.modules():
            if isinstance(part, RReLU):
                part.reset_parameters()

    module.register_forward_pre_hook(rewind)
    return module
