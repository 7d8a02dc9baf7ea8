"""Slopes depend on the place in a batch: a request gets the same bits alone and among others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import numpy as np

import ort_rrelu
from ort_rrelu.arguments import Array
from tests.servers.clients import Client, Endpoint
from tests.servers.servers import Served

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
    assert max(served.noted_rows()[before:]) > 2 * len(ROWS[0]), "no run had more than two requests"
