"""What forked processes draw, with what was made before: a program, since only small ones should fork."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from tests.onnx_models import rrelu_model, run, session

Draw = Callable[[], bytes]

_X = -np.ones(64, np.float32)


def _in_session(model: onnx.ModelProto, seed: int | None = None) -> Draw:
    of = session(model, seed=seed)
    return lambda: run(of, _X)[1].tobytes()


def _in_evaluator(model: onnx.ModelProto) -> Draw:
    of = ReferenceEvaluator(model, new_ops=ort_rrelu.evaluator.OPS)

    def draw() -> bytes:
        (noise,) = of.run(["noise"], {"x": _X})
        return np.asarray(noise).tobytes()

    return draw


def _made() -> dict[str, Draw]:
    unseeded, seeded = rrelu_model(training=1), rrelu_model(training=1, seed=7)
    made = {
        "session": _in_session(unseeded),
        "session that ran": _in_session(unseeded),
        "evaluator": _in_evaluator(unseeded),
        "NumPy": lambda: ort_rrelu.rrelu(_X, training=True).tobytes(),
        "seeded node": _in_session(seeded),
        "seeded session": _in_session(unseeded, seed=7),
        "seeded node in evaluator": _in_evaluator(seeded),
    }
    made["session that ran"]()
    return made


def _draws_of(made: dict[str, Draw]) -> list[dict[str, str]]:
    return [{name: draw().hex() for name, draw in made.items()}]


def _in_child(work: Callable[[], list[dict[str, str]]]) -> list[dict[str, str]]:
    """What `work` returns in a forked child."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    drawn: list[dict[str, str]] = json.loads(text)
    return drawn


def _family(made: dict[str, Draw]) -> list[dict[str, str]]:
    """Of two children, a grandchild whose parent drew nothing, a child and its child, the process itself."""
    return [
        *_in_child(lambda: _draws_of(made)),
        *_in_child(lambda: _draws_of(made)),
        *_in_child(lambda: _in_child(lambda: _draws_of(made))),
        *_in_child(lambda: _draws_of(made) + _in_child(lambda: _draws_of(made))),
        *_draws_of(made),
    ]


if __name__ == "__main__":
    print(json.dumps(_family(_made())))
