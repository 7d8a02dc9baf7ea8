"""The file that docs/ray.md deploys is one that Ray Serve and our application take."""

from __future__ import annotations

import pytest
import yaml  # type: ignore[import-untyped]  # Ray brings it
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from ort_rrelu.serving.ray import Arguments, app
from tests.documentation import blocks


def test_file_to_deploy() -> None:
    (block,) = blocks("docs/ray.md", "yaml")
    config = ServeDeploySchema(**yaml.safe_load(block))
    (application,) = config.applications
    assert application.import_path == f"{app.__module__}:{app.__name__}"
    assert Arguments(**application.args).threads == 1
    assert [deployment.name for deployment in application.deployments] == ["Served"]


def test_misspelt_argument() -> None:
    with pytest.raises(ValidationError, match="max_batchsize"):
        app({"model": "net.onnx", "max_batchsize": 3})
