"""GitHub's workflows and pre-commit do what `make` does."""

from __future__ import annotations

import re

from tests.documentation import ROOT, text

_WORKFLOWS = sorted(path.name for path in (ROOT / ".github/workflows").glob("*.yml"))


def test_workflows_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.M))
    commands = [
        command
        for name in _WORKFLOWS
        for command in re.findall(r"- run: (.*)", text(f".github/workflows/{name}"))
    ]
    assert len(commands) >= 5
    for command in commands:
        make = re.fullmatch(r"make ([\w-]+)( PYTHON=python)?( TAG=\"\$GITHUB_REF_NAME\")?", command)
        assert command == "bash .ci/run" or (make and make[1] in targets), command


def test_a_release_waits_for_the_check_of_its_tag() -> None:
    jobs = re.split(r"^  (?=\w+:$)", text(".github/workflows/release.yml"), flags=re.M)
    check, wheels, publish = jobs[-3:]
    assert "make release-check" in check
    assert "needs: check" in wheels
    assert "needs: wheels" in publish


def test_pre_commit_has_the_linters_of_make_lint() -> None:
    rule = text("Makefile").split("\nlint:", 1)[1].split("\n\n", 1)[0]
    linters = set(re.findall(r"\$\(BIN\)/([\w-]+(?: check| format)?)", rule)) - {"pre-commit"}
    hooks = set(re.findall(r"entry: \.venv/bin/([\w-]+(?: check| format)?)", text(".pre-commit-config.yaml")))
    assert hooks == linters
    assert len(hooks) == 6
