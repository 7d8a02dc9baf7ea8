"""Networks as exporters write them: their requests share runs, and each row is the row that it is alone."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ort_rrelu.torch
from models.activations.network import build as activations
from models.digits.network import build as digits
from models.digits_training.rectifiers import build as rectified
from ort_rrelu.serving import obstacles
from tests.rows.runs import check_rows
from tests.torch.exports import both_exporters


class _Residual(nn.Module):
    """Two convolutions, and what they are added to."""

    def __init__(self, channels: int, more: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, more, 3, stride, 1), nn.BatchNorm2d(more), nn.RReLU())
        self.second = nn.Sequential(nn.Conv2d(more, more, 3, 1, 1), nn.BatchNorm2d(more))
        self.beside = nn.Conv2d(channels, more, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.beside(x))


def _residual_network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.MaxPool2d(3, 2, 1), _Residual(8, 8, 1), _Residual(8, 16, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
    )


class _VisionTransformer(nn.Module):
    """Patches, a class token that is expanded to the batch, a block of torch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        self.block = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        all_patches = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1) + self.places
        y: Tensor = self.last(self.block(all_patches)[:, 0])
        return y


class _Attention(nn.Module):
    """Attention as many write it, by the batch's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.parts, self.last = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        parts = self.parts(self.norm(x)).reshape(rows, length, 3, 4, 4).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(*parts.unbind(0))
        return x + self.last(y.transpose(1, 2).reshape(rows, length, width))  # type: ignore[no-any-return]


class _Recurrent(nn.Module):
    """A recurrent layer that has the batch first, and the last of its steps."""

    def __init__(self, kind: Callable[..., nn.Module], *, both: bool = False) -> None:
        super().__init__()
        self.layer = kind(4, 6, num_layers=2, batch_first=True, bidirectional=both)
        self.last = nn.Linear(12 if both else 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.layer(x)[0][:, -1])
        return y


class _Resized(nn.Module):
    """Images that grow, are padded, shuffled and multiplied."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        smooth = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        nearest = functional.interpolate(x, scale_factor=2.0)
        wide = functional.pad(nearest, (1, 1, 1, 1), mode="reflect")
        joined = torch.cat([functional.pad(smooth, (1, 1, 1, 1)), wide], 1)[:, :4]
        return functional.pixel_shuffle(joined, 2), torch.einsum("bchw,bdhw->bcd", smooth, nearest)


class _Folded(nn.Module):
    """Images of a film, their time folded into the batch and unfolded again; attention with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4))
        self.places = nn.Embedding(10, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        rows, length = x.shape[:2]
        y = self.layers(x.reshape(rows * length, 3, 8, 8)).mean((2, 3)).view(rows, length, 4)
        y = y + self.places(torch.arange(length))
        later = torch.ones(length, length).triu(1).bool()
        weights = torch.softmax((y @ y.transpose(1, 2)).masked_fill(later, float("-inf")), -1)
        stacked = torch.stack([y, y], 1).view(rows, -1)
        return (weights @ y).max(1).values, y.chunk(2, -1)[0], stacked, y.new_zeros(rows, 3)


_DIGIT, _IMAGE, _SEQUENCE = (1, 8, 8), (3, 16, 16), (7, 4)

_NETWORKS: dict[str, tuple[Callable[[], nn.Module], Sequence[int]]] = {
    "models.digits": (digits, _DIGIT),
    "models.activations": (activations, _DIGIT),
    "models.digits_training": (functools.partial(rectified, {"type": "PaperRReLU"}, 0), _DIGIT),
    "residual network": (_residual_network, (3, 32, 32)),
    "vision transformer": (_VisionTransformer, _IMAGE),
    "attention": (_Attention, (5, 16)),
    "LSTM": (lambda: _Recurrent(nn.LSTM), _SEQUENCE),
    "GRU in both directions": (lambda: _Recurrent(nn.GRU, both=True), _SEQUENCE),
    "resized images": (_Resized, (2, 8, 8)),
    "time folded into the batch": (_Folded, (2, 3, 8, 8)),
}


def _exported(name: str, *, dynamo: bool, portable: bool) -> onnx.ModelProto:
    build, shape = _NETWORKS[name]
    torch.manual_seed(0)
    module, x = build().eval(), torch.randn(2, *shape)
    options: dict[str, Any] = {"dynamo": dynamo, "portable": portable}
    if dynamo:
        options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    else:
        outputs = module(x)
        names = ["x", *(f"y{i}" for i in range(len(outputs) if isinstance(outputs, tuple) else 1))]
        options |= {"input_names": names[:1], "output_names": names[1:]}
        options["dynamic_axes"] = {value: {0: "batch"} for value in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ort_rrelu.torch.export(module, (x,), **options)


@both_exporters
@pytest.mark.parametrize("name", _NETWORKS)
def test_networks_batch(name: str, dynamo: bool) -> None:
    model = _exported(name, dynamo=dynamo, portable=name.startswith("models"))
    assert list(obstacles(model)) == []
    check_rows(model, seed=1)
