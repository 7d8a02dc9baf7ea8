"""The bill of materials that comes with the package."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution

import ort_rrelu.library


def test_it_names_what_is_in_the_library() -> None:
    package = distribution("ort-rrelu")
    text = package.read_text("sboms/ort-rrelu.cdx.json")
    assert text
    bill = json.loads(text)
    parts = {part["name"]: part["version"] for part in bill["components"]}
    assert {"highway", "onnxruntime"} <= set(parts)
    assert bill["metadata"]["component"]["version"] == package.version
    assert all(re.fullmatch(r"\d+(\.\d+)*", version) for version in parts.values())
    if "gcc" in str(ort_rrelu.library.build_info()["compiler"]):
        assert "libstdc++" in parts
