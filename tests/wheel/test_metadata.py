"""What the wheel says about itself: its README, its licences, its bill of materials."""

from __future__ import annotations

import os
import re
import zipfile
from email.message import Message
from email.parser import Parser

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from readme_renderer import markdown


@pytest.fixture(scope="module")
def information() -> dict[str, str]:
    """The files of .dist-info."""
    with zipfile.ZipFile(os.environ["ORT_RRELU_WHEEL"]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" in name]
        return {name.partition(".dist-info/")[2]: wheel.read(name).decode() for name in names}


@pytest.fixture
def metadata(information: dict[str, str]) -> Message:
    return Parser().parsestr(information["METADATA"])


def test_the_readme_renders(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(str(metadata.get_payload()))
    assert page
    targets = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(targets) > 20
    assert not [target for target in targets if not re.match(r"https://|#", target)]
    assert '/docs/rrelu.png"' in page


def test_licences_come_along(metadata: Message, information: dict[str, str]) -> None:
    names = metadata.get_all("License-File")
    assert names
    assert {"LICENSE", "third_party/highway/LICENSE", "third_party/onnxruntime/LICENSE"} <= set(names)
    assert all(information[f"licenses/{name}"] for name in names)


def test_the_bill_of_materials_is_valid(information: dict[str, str]) -> None:
    bill = information["sboms/ort-rrelu.cdx.json"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
