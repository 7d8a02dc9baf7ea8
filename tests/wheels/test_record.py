"""The record of `make wheels` and the page that follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wheels import aarch64, page
from wheels.commands import ROOT
from wheels.targets import TARGETS

_RECORD = ROOT / "wheels" / "result.json"


@pytest.fixture
def record() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(_RECORD.read_text("utf-8"))
    return facts


def test_page_has_the_table_of_the_record(record: dict[str, Any]) -> None:
    assert page.shown() == page.table(record)


def test_there_is_a_wheel_for_each_platform(record: dict[str, Any]) -> None:
    assert len(record["wheels"]) == len(TARGETS)
    for target in TARGETS:
        assert [name for name in record["wheels"] if target.tag in name], target
        assert target.tag in page.PAGE.read_text("utf-8")


def test_tests_passed_on_each_instruction_set_and_runtime(record: dict[str, Any]) -> None:
    linux, arm = record["tests"]["manylinux x86_64"], record["tests"]["manylinux aarch64"]
    assert all(count > 0 for facts in (linux, arm) for count in facts["core's tests passed"].values())
    assert set(arm["core's tests passed"]) == set(aarch64.PROCESSORS)
    assert linux["time beside gcc"] <= 1.05
