"""The file that docs/serving.md deploys is one that Ray Serve and our application take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # Ray brings it
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from ort_rrelu.serving.ray import Arguments, app

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text("utf-8")


def test_file_to_deploy() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", _TEXT, re.M | re.S)
    config = ServeDeploySchema(**yaml.safe_load(block))
    (application,) = config.applications
    assert application.import_path == f"{app.__module__}:{app.__name__}"
    assert Arguments(**application.args).threads == 1
    assert [deployment.name for deployment in application.deployments] == ["Served"]


def test_misspelt_argument() -> None:
    with pytest.raises(ValidationError, match="max_batchsize"):
        app({"model": "net.onnx", "max_batchsize": 3})
