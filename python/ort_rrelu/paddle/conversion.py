"""Paddle2ONNX in a process of its own, which it ends where it fails, and a search for the operator at fault.

Its messages do not name that operator: parts of the program are tried.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from ort_rrelu.errors import ConversionError, MissingPackageError
from ort_rrelu.paddle.child import STARTED
from ort_rrelu.paddle.document import Json, bodies, check_weights, name, top_level

PYTHON_VARIABLE = "ORT_RRELU_PADDLE2ONNX_PYTHON"
_INSTALL = (
    "pip install --no-deps paddle2onnx==2.1.0 in this environment, or name the Python of another one that "
    f"has Paddle and Paddle2ONNX in the environment variable {PYTHON_VARIABLE}"
)
_LAST_LINES = 12


def translate(stem: Path, target: str, folder: Path) -> None:
    """Rewrite `stem`.pdmodel and .pdiparams, the old format, as `folder`/`target`.json and .pdiparams.

    Raises MissingPackageError, ConversionError with what Paddle said, or what check_weights raises.
    """
    weights = Path(f"{stem}.pdiparams")
    if weights.exists():
        check_weights(weights)
    done = _run("translate", folder, stem=str(stem.absolute()), target=target)
    if done.returncode:
        if weights.name in done.stderr:
            check_weights(weights)
        raise ConversionError(f"{stem}.pdmodel: Paddle cannot read it: {_explanation(done)}")


def convert(stem: str, folder: Path, opset_version: int, options: dict[str, Any]) -> bytes:
    """The ONNX model of `folder`/`stem`.json and .pdiparams.

    Raises MissingPackageError, or ConversionError that names the operator at fault.
    """
    document = json.loads((folder / f"{stem}.json").read_text("utf-8"))
    done = _convert(stem, folder, opset_version, options)
    if done.returncode:

        def converts(part: Json) -> bool:
            (folder / f"{stem}.json").write_text(json.dumps(part), "utf-8")
            return _convert(stem, folder, opset_version, options).returncode == 0

        culprit = find_culprit(document, converts)
        where = f"operator {culprit}" if culprit else "the model"
        raise ConversionError(f"Paddle2ONNX cannot convert {where}: {_explanation(done)}")
    return (folder / f"{stem}.onnx").read_bytes()


def _convert(
    stem: str, folder: Path, opset_version: int, options: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    return _run(
        "convert", folder, stem=stem, target=f"{stem}.onnx", opset_version=opset_version, options=options
    )


def _run(verb: str, folder: Path, **arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a verb of child.py; what Paddle2ONNX leaves behind lands in `folder`.

    Raises MissingPackageError unless the process came so far as to import Paddle2ONNX.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    python = named or sys.executable
    code = resources.files(__package__).joinpath("child.py").read_text("utf-8")
    try:
        done = subprocess.run(
            [python, "-c", code, verb, json.dumps(arguments)],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise MissingPackageError(f"{PYTHON_VARIABLE}={python}: it cannot be run ({error})") from error
    if STARTED not in done.stdout.splitlines():
        where = f"{PYTHON_VARIABLE}={named}" if named else python
        if missing := re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", done.stderr):
            raise MissingPackageError(f"{where}: {missing[1]} is not installed there: {_INSTALL}")
        raise MissingPackageError(
            f"{where}: it ended with status {done.returncode} before it came to Paddle2ONNX "
            f"({_explanation(done)}): {_INSTALL}"
        )
    return done


def _explanation(done: subprocess.CompletedProcess[str]) -> str:
    """The lines of its output that say what went wrong."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if "[ERROR]" in line or re.match(r"\w+(\.\w+)*Error: ", line)]
    telling = [line for line in telling if not line.startswith("FatalError: `Process abort")]
    return "\n".join(telling or lines[-_LAST_LINES:]) or "no output"


def find_culprit(document: Json, converts: Callable[[Json], bool]) -> str | None:
    """The first operator that cannot be converted, and what it is in the body of.

    Without the operators from some place on a program still converts, up to the place that is looked for.

    Args:
        document: a program that cannot be converted; it is another one afterwards.
        converts: whether Paddle2ONNX converts a program.

    Returns:
        What messages call it; None where no operator is at fault, but all of them together.
    """
    operators = top_level(document)
    everything = list(operators)

    def first_failing(start: int) -> int:
        """Its place; len(everything) where there is none. Those before `start` convert."""
        good, bad = start, len(everything) + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            operators[:] = everything[:middle]
            if converts(document):
                good = middle
            else:
                bad = middle
        return bad - 1

    place = first_failing(0)
    # The last is a fetch.
    if place >= len(everything) - 1:
        return None
    culprit = everything[place]
    everything[place:] = _inlined(culprit, {})
    inner = first_failing(place)
    if inner == len(everything):
        return name(culprit)
    return f"{name(everything[inner])} in a body of {name(culprit)}"


def _inlined(op: Json, known: dict[int, int]) -> Iterator[Json]:
    """The operators of an operator's bodies, in order, as they would stand in its place.

    Args:
        op: an If or While.
        known: a value of the bodies -> what it is outside of them; those of the outputs of `op` are added.
    """
    for body in bodies(op):
        _, *given = [known.get(value["%"], value["%"]) for value in op["I"]]
        known |= {argument["#"]: value for argument, value in zip(body.get("args", ()), given, strict=False)}
        for each in body["ops"]:
            if name(each) == "yield":
                ends = [known.get(value["%"], value["%"]) for value in each["I"]]
                outputs = [value["%"] for value in op["O"]]
                # The first that a While's body ends with is its condition.
                known |= zip(outputs, ends[len(ends) - len(outputs) :], strict=True)
            elif list(bodies(each)):
                yield from _inlined(each, known)
            else:
                moved = copy.deepcopy(each)
                for value in moved["I"]:
                    value["%"] = known.get(value["%"], value["%"])
                yield moved
