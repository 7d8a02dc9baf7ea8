"""GitHub's workflows and pre-commit do what `make` does."""

from __future__ import annotations

import re

from tests.documentation import ROOT, text

_WORKFLOWS = sorted(path.name for path in (ROOT / ".github/workflows").glob("*.yml"))

# Workflow -> its job that runs on each system.
_ON_EACH_SYSTEM = {"test.yml": "native", "wheels.yml": "installed"}


def test_workflows_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.M))
    commands = [
        command
        for name in _WORKFLOWS
        for command in re.findall(r"- run: (.*)", text(f".github/workflows/{name}"))
    ]
    assert len(commands) >= 5
    for command in commands:
        # No variables of GitHub's: whoever names a tag or a branch would write the command.
        make = re.fullmatch(r"make ([\w-]+)( PYTHON=python)?", command)
        assert command == "bash .ci/run" or (make and make[1] in targets), command


def _jobs(workflow: str) -> dict[str, str]:
    parts = re.split(
        r"^  (\w+):$", text(f".github/workflows/{workflow}").partition("\njobs:\n")[2], flags=re.M
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_release_waits_for_its_tag_all_tests_and_the_wheels() -> None:
    jobs = _jobs("release.yml")
    assert list(jobs) == ["check", "tests", "wheels", "publish"]
    assert "make release-check" in jobs["check"]
    assert "BRANCH: origin/main" in jobs["check"]
    for name, workflow in {"tests": "test.yml", "wheels": "wheels.yml"}.items():
        assert "needs: check\n" in jobs[name]
        assert f"uses: ./.github/workflows/{workflow} " in jobs[name]
        assert "\n  workflow_call:\n" in text(f".github/workflows/{workflow}")
    assert "needs: [tests, wheels]" in jobs["publish"]


def test_the_published_wheels_are_those_of_make_wheels() -> None:
    jobs = _jobs("wheels.yml")
    assert "make wheels\n" in jobs["build"]
    assert "fetch-depth: 0" in jobs["build"]
    assert "needs: build\n" in jobs["installed"]
    assert "make test-wheel" in jobs["installed"]
    published = re.findall(
        r"name: (release-\w+)\n +path: (\S+)", "".join(jobs[n] for n in ("build", "sdist"))
    )
    assert published == [("release-wheels", "dist/wheels/*.whl"), ("release-sdist", "dist/sdist/*.tar.gz")]
    assert "upload-artifact" not in text(".github/workflows/test.yml")


def test_a_wheel_meets_the_tests_of_a_native_build() -> None:
    setting = re.search(r'^test-command = "python (.*)"$', text("pyproject.toml"), re.M)
    assert setting
    rule = text("Makefile").split("\ntest-wheel:", 1)[1].split("\n\n", 1)[0]
    assert rule.endswith(f"/python {setting[1].replace('{project}/', '')}")
    systems = {re.search(r"system: \[.*\]", _jobs(w)[j])[0] for w, j in _ON_EACH_SYSTEM.items()}  # type: ignore[index]
    assert len(systems) == 1


def test_pre_commit_has_the_linters_of_make_lint() -> None:
    rule = text("Makefile").split("\nlint:", 1)[1].split("\n\n", 1)[0]
    linters = set(re.findall(r"\$\(BIN\)/([\w-]+(?: check| format)?)", rule)) - {"pre-commit"}
    hooks = set(re.findall(r"entry: \.venv/bin/([\w-]+(?: check| format)?)", text(".pre-commit-config.yaml")))
    assert hooks == linters
    assert len(hooks) == 6


def test_pre_commit_formats_the_files_of_make_lint() -> None:
    rule = re.search(r"^CPP := \$\(shell find ([\w ]+?) (-name .*)\)$", text("Makefile"), re.M)
    assert rule
    hook = text(".pre-commit-config.yaml").split("id: clang-format", 1)[1].split("- id:", 1)[0]
    files = re.search(r"files: \^\(([\w|]+)\)/\.\*\\\.\(([\w|]+)\)\$", hook)
    assert files
    assert files[1].split("|") == rule[1].split()
    assert files[2].split("|") == re.findall(r"'\*\.(\w+)'", rule[2])
