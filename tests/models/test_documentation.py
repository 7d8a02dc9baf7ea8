"""README.md and docs/: their Python runs as printed, their links lead somewhere, the index has all pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ort_rrelu
from models.activations import registry
from models.digits.exports import exporters_advice_hidden
from tests.documentation import ROOT, blocks, text

_PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "ops/*.md", "models/*/*.md")
    for path in ROOT.glob(pattern)
)
_ARGUMENTS = (torch.linspace(-1, 1, 8).reshape(2, 4),)


def _nothing() -> None:
    pass


def _ours() -> None:
    """net.onnx, an export of ours."""
    with exporters_advice_hidden():
        options = {"seed": 1, "step_input": True, "verbose": False}
        ort_rrelu.torch.export(torch.nn.RReLU(), _ARGUMENTS, "net.onnx", **options)  # type: ignore[arg-type]


def _stock() -> None:
    """stock.onnx, of torch's TorchScript exporter in train mode."""
    options = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with exporters_advice_hidden():
        torch.onnx.export(torch.nn.RReLU(), _ARGUMENTS, "stock.onnx", **options)  # type: ignore[arg-type]


# Page -> what is there before its first block. Pages that need servers, Paddle or onnxruntime-training have
# their tests where these are.
_EXAMPLES: dict[str, Callable[[], None]] = {
    "README.md": _nothing,
    "docs/export.md": _nothing,
    "docs/fuse.md": _stock,
    "docs/portable.md": _ours,
    "docs/python.md": _nothing,
    "docs/training.md": _nothing,
    "docs/uncertainty.md": _nothing,
    "models/activations/README.md": _nothing,
}


@pytest.mark.parametrize("page", _EXAMPLES)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))  # a page registers a type
    _EXAMPLES[page]()
    examples = blocks(page, "python")
    assert examples
    names: dict[str, object] = {}
    with exporters_advice_hidden():
        for example in examples:
            exec(compile(example, page, "exec"), names)


def test_training_in_several_processes_runs_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts it."""
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    (example,) = blocks("docs/distributed.md", "python")
    names: dict[str, Any] = {}
    exec(compile(example, "docs/distributed.md", "exec"), names)
    assert names["loss"] < 1


def test_fuse_prints_what_its_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _stock()
    (example,) = blocks("docs/fuse.md", "python")
    exec(example)
    (promised,) = re.findall(r"^# (Finding.*) \.\.\.$", example, re.M)
    assert promised in capsys.readouterr().out


def _anchors(page: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings: list[str] = re.findall(r"^#+ (.*)$", text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in _anchors(str(path.relative_to(ROOT))), target


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", text("docs/README.md")))
    assert linked | {"README.md"} == {path.name for path in (ROOT / "docs").glob("*.md")}
