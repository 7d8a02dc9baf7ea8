"""Writes a wheel's bill of materials (CycloneDX, JSON): what the library is made of beside our own code.

usage: sbom.py FILE NAME VERSION LICENSE [NAME VERSION LICENSE ...]; the first one is the package itself
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

_PURLS = {
    "ort-rrelu": "pkg:pypi/ort-rrelu",
    "highway": "pkg:github/google/highway",
}


def component(name: str, version: str, licence: str) -> dict[str, Any]:
    """A part of the library; `licence` is an SPDX expression, or the name of a licence that SPDX has not."""
    kind = "name" if licence.startswith("NVIDIA") else "expression"
    spdx = {"license": {"name": licence}} if kind == "name" else {"expression": licence}
    entry = {"type": "library", "bom-ref": name, "name": name, "version": version, "licenses": [spdx]}
    if name in _PURLS:
        entry["purl"] = f"{_PURLS[name]}@{version}"
    return entry


def bill(package: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The document. It has no date and no serial number, so that equal builds have equal bytes."""
    references = [part["bom-ref"] for part in parts]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": package},
        "components": parts,
        "dependencies": [
            {"ref": package["bom-ref"], "dependsOn": references},
            *({"ref": reference} for reference in references),
        ],
    }


if __name__ == "__main__":
    path, *words = sys.argv[1:]
    first, *others = itertools.starmap(component, zip(*[iter(words)] * 3, strict=True))
    Path(path).write_text(json.dumps(bill(first, others), indent=2) + "\n", "utf-8")
