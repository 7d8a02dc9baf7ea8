"""A request gets the same bits alone and among others, whether its slopes belong to places or to rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

import ort_rrelu
from ort_rrelu.arguments import Array
from tests.servers.clients import Client, Endpoint, refusal
from tests.servers.servers import MAX_ROWS, Served

OTHERS = 31
ROWS = np.random.default_rng(1).standard_normal((OTHERS + 1, 2, 8)).astype(np.float32)


def at_once(
    endpoint: Endpoint, transport: str, ask: Callable[[Client, int], dict[str, Array]]
) -> list[dict[str, Array]]:
    """The answers to 32 clients that ask at the same time."""
    barrier = Barrier(OTHERS + 1)

    def one(index: int) -> dict[str, Array]:
        # In the thread that uses it: tritonclient's HTTP is gevent's.
        with closing(Client(endpoint, transport)) as client:
            barrier.wait(60)
            return ask(client, index)

    with ThreadPoolExecutor(OTHERS + 1) as pool:
        return list(pool.map(one, range(OTHERS + 1)))


def test_train_request_alone_and_among_others(served: Served, transport: str) -> None:
    def ask(client: Client, index: int) -> dict[str, Array]:
        return client.infer({"x": ("FP32", ROWS[index]), "step": ("INT64", np.array(5))})

    with closing(Client(served.endpoints["train"], transport)) as client:
        alone = ask(client, 0)
    together = at_once(served.endpoints["train"], transport, ask)
    assert together[0]["y"].tobytes() == alone["y"].tobytes()
    for rows, answer in zip(ROWS, together, strict=True):
        assert answer["y"].tobytes() == ort_rrelu.rrelu(rows, training=True, seed=7, step=5).tobytes()
        assert (answer["sharing"] == len(rows)).all(), "it shared its run"


STEPS = np.random.default_rng(2).integers(-(2**63), 2**63, (OTHERS + 1, 3))


def _with_steps(index: int, at: int = 0) -> dict[str, tuple[str, Array]]:
    """A request of one, two or three rows."""
    x = np.concatenate([ROWS[index], ROWS[-1 - index]])[: 1 + index % 3]
    steps = STEPS[index, : len(x)]
    return {"x": ("FP32", x), "at": ("INT64", np.full(len(x), at)), "step": ("INT64", steps)}


def _check_draws(request: dict[str, tuple[str, Array]], answer: dict[str, Array]) -> None:
    x, step = request["x"][1], request["step"][1]
    y, noise = ort_rrelu.rrelu(x, training=True, seed=7, step=step, return_noise=True)
    assert answer["y"].tobytes() == y.tobytes()
    assert answer["noise"].tobytes() == noise.tobytes()


def test_train_requests_that_bring_their_steps_share_runs(served: Served, transport: str) -> None:
    """Each gets the slopes that it gets alone, and gets them again with the same steps."""
    endpoint = served.endpoints["steps"]

    def ask(client: Client, index: int) -> dict[str, Array]:
        return client.infer(_with_steps(index))

    before = len(served.noted_rows())
    rounds = [at_once(endpoint, transport, ask) for _ in range(3)]
    assert 3 < max(served.noted_rows()[before:]) <= MAX_ROWS, "more than one request, and not too many rows"
    with closing(Client(endpoint, transport)) as client:
        alone = [ask(client, index) for index in range(OTHERS + 1)]
    for answers in (alone, *rounds):
        for index, answer in enumerate(answers):
            _check_draws(_with_steps(index), answer)


def test_retries_repeat_their_steps(served: Served, transport: str) -> None:
    """A neighbour that a kernel refuses fails the run that they share: each then runs alone."""

    def ask(client: Client, index: int) -> dict[str, Array]:
        if index % 8:
            return client.infer(_with_steps(index))
        with pytest.raises(InferenceServerException) as caught:
            client.infer(_with_steps(index, at=77))
        assert refusal(caught.value) == "invalid"
        return {}

    for index, answer in enumerate(at_once(served.endpoints["steps"], transport, ask)):
        if answer:
            _check_draws(_with_steps(index), answer)


def test_wrong_steps_fail_no_neighbour(served: Served, transport: str) -> None:
    """None, too many, too few, one for all, of another shape: refused alone, before a run."""
    two = _with_steps(1)
    wrong = [
        {name: two[name] for name in ("x", "at")},
        {**two, "step": ("INT64", np.arange(3))},
        {**two, "step": ("INT64", np.arange(1))},
        {**two, "step": ("INT64", np.array(5))},
        {**two, "step": ("INT64", np.zeros((2, 1), np.int64))},
        {**two, "x": ("FP32", ROWS[0][:1])},
    ]

    def ask(client: Client, index: int) -> dict[str, Array]:
        if index % 4:
            return client.infer(_with_steps(index))
        with pytest.raises(InferenceServerException, match=r"step|batch") as caught:
            client.infer(wrong[index // 4 % len(wrong)])
        assert refusal(caught.value) == "invalid"
        return {}

    for index, answer in enumerate(at_once(served.endpoints["steps"], transport, ask)):
        if answer:
            _check_draws(_with_steps(index), answer)


def test_eval_model_whose_rows_see_each_other(served: Served, transport: str) -> None:
    def ask(client: Client, index: int) -> dict[str, Array]:
        return client.infer({"x": ("FP32", ROWS[index])})

    with closing(Client(served.endpoints["centred"], transport)) as client:
        alone = [ask(client, index)["y"].tobytes() for index in range(OTHERS + 1)]
    assert [answer["y"].tobytes() for answer in at_once(served.endpoints["centred"], transport, ask)] == alone


def test_eval_requests_share_runs(served: Served, transport: str) -> None:
    """The other side: here, where the bits allow it, batching is on, and each gets its own rows back."""

    def ask(client: Client, index: int) -> dict[str, Array]:
        return client.infer({"x": ("FP32", ROWS[index])})

    before = len(served.noted_rows())
    for _ in range(5):
        together = at_once(served.endpoints["eval"], transport, ask)
        for rows, answer in zip(ROWS, together, strict=True):
            assert answer["y"].tobytes() == ort_rrelu.rrelu(rows).tobytes()
    runs = served.noted_rows()[before:]
    assert max(runs) > 2 * len(ROWS[0]), "no run had more than two requests"
    assert max(runs) <= MAX_ROWS
