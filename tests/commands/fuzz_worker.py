"""The process in which the tools meet damaged models: it may hang or die, and its parent then says where.

Reads cases on stdin; writes a line for each stage that it enters, each finding, and the end of a case.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

import ort_rrelu
from ort_rrelu import graph, serving
from ort_rrelu.commands import app
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.drawing import drawing_in, mixing
from ort_rrelu.graph.file import new_model
from ort_rrelu.row_session import row_model
from ort_rrelu.tensors import as_ort_value, element_dtype
from tests.commands.command_line import RUNNER

RUNTIME = "onnxruntime"  # the stage in which ONNX Runtime is alone with the model
_MEMORY = 16 << 30  # of addresses; what asks for more gets a MemoryError
_FILE = "damaged.onnx"

# Verbs that run a model come after ONNX Runtime alone has taken it, or has died of it.
VERBS = [
    *(
        "info",
        "info --json",
        "portable -o out.onnx -f",
        "fuse --leaky -o out.onnx -f",
        "lower -o out.onnx -f",
    ),
    *("lower --exact -o out.onnx -f", "set-training --train --seed 3 --step-input -o out.onnx -f"),
    *("set-training --eval -o out.onnx -f --json", "run", "bench --repeat 1 --threads 1"),
    *("compare --reference", "compare --without-library"),
]

_TOOLS: dict[str, Callable[[Any], object]] = {
    "lower": graph.lower,
    "lower, exact": lambda model: graph.lower(model, exact=True),
    "fuse": graph.fuse,
    "fuse, not portable": lambda model: graph.fuse(model, portable=False),
    "fuse, leaky": lambda model: graph.fuse(model, leaky=True),
    "set_training, on": lambda model: graph.set_training(model, True),
    "set_training, off": lambda model: graph.set_training(model, False, names="a*"),
    "seed": lambda model: graph.seed(model, 5),
    "add_step_input": graph.add_step_input,
    "portable": graph.portable,
    "lower of a file": lambda model: graph.lower(_FILE),
    "can_batch": serving.can_batch,
    "drawing": lambda model: _look(new_model(model)),
    "obstacles": lambda model: list(serving.obstacles(model)),
}


def _look(model: onnx.ModelProto) -> None:
    """What is looked up in the model of a session, of which few open here."""
    check_model(model)
    drawing_in(model)
    mixing(model, [value.name for value in model.graph.input])


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def _is_allowed(error: BaseException) -> bool:
    """Ours, the file system's, or raised by ONNX Runtime itself."""
    if isinstance(error, ort_rrelu.Error | OSError):
        return True
    if isinstance(error, MemoryError) or type(error).__module__.startswith("onnxruntime"):
        return type(error).__module__.startswith("onnxruntime")
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.sep}onnxruntime{os.sep}" in last.filename


def _finding(stage: str, error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((f for f in reversed(frames) if f"{os.sep}ort_rrelu{os.sep}" in f.filename), frames[-1])
    return {
        "stage": stage,
        "error": f"{type(error).__name__}: {str(error)[:300]}",
        "where": f"{Path(ours.filename).name}:{ours.lineno} {ours.name}",
        "traceback": "".join(traceback.format_exception(error)[-8:]),
    }


def _attempt(stage: str, call: Callable[[], object]) -> Iterator[dict[str, str]]:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # of any kind is what is looked for
        if not _is_allowed(error):
            yield _finding(stage, error)


def _verb(command: str) -> None:
    verb, *rest = command.split()
    result = RUNNER.invoke(app, [verb, _FILE, *rest])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception


def _alone(data: bytes) -> None:
    """ONNX Runtime without our checks, with the library and without: what it dies of is its own fault."""
    for library in (True, False):
        options = _options()
        if library:
            ort_rrelu.register(options)
        for _ in _attempt(RUNTIME, lambda options=options: _run_alone(data, options)):  # type: ignore[misc]
            pass


def _run_alone(data: bytes, options: onnxruntime.SessionOptions) -> None:
    session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    feeds: dict[str, Any] = {}
    for value in session.get_inputs():
        dims = [d if isinstance(d, int) else 1 for d in value.shape]
        dtype = element_dtype(value.type)
        if dtype is not None and len(dims) < 9 and 0 <= np.prod(dims, dtype=float) < 1e5:
            feeds[value.name] = as_ort_value(np.ones(dims, dtype))
    session.run_with_ort_values(None, feeds)


def _findings(data: bytes, command: str, enter: Callable[[str], None]) -> Iterator[dict[str, str]]:
    Path(_FILE).write_bytes(data)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        model = None
    for name, tool in _TOOLS.items() if model is not None else ():
        enter(name)
        yield from _attempt(name, lambda tool=tool: tool(model))  # type: ignore[misc]
    if (
        model is not None
        and model.SerializeToString() != onnx.ModelProto.FromString(data).SerializeToString()
    ):
        yield {"stage": "tools", "error": "a tool changed its model", "where": "", "traceback": ""}
    if command.split()[0] in {"run", "bench", "compare"}:
        enter(RUNTIME)
        _alone(data)
    enter(command)
    yield from _attempt(command, lambda: _verb(command))
    enter(RUNTIME)
    for _ in _attempt(RUNTIME, lambda: onnxruntime.InferenceSession(data, _options())):
        pass
    enter("InferenceSession")
    yield from _attempt("InferenceSession", lambda: row_model(ort_rrelu.InferenceSession(data, _options())))


def _cases(source: BinaryIO) -> Iterator[tuple[str, bytes]]:
    while header := source.read(8):
        command, size = struct.unpack("<II", header)
        yield VERBS[command], source.read(size)


def main() -> None:
    """Until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what C++ prints is no answer

    def answer(key: str, value: object) -> None:
        answers.write(json.dumps({key: value}) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("weights.bin").write_bytes(bytes(36))
        for command, data in _cases(sys.stdin.buffer):
            for finding in _findings(data, command, partial(answer, "stage")):
                answer("finding", finding)  # at once: the next stage may end the process
            answer("done", True)


if __name__ == "__main__":
    main()
