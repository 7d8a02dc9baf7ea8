"""Turns: never more than the total at a time, in order, and nobody lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ort_rrelu.serving import RequestError
from ort_rrelu.serving.admission import Turns


@given(amounts=st.lists(st.integers(1, 12), max_size=20), cancelled=st.sets(st.integers(0, 19)))
def test_total_and_order(amounts: list[int], cancelled: set[int]) -> None:
    """Some are cancelled while they wait or work; the others all get their turn, in the order of asking."""
    total, started = 8, []

    async def run() -> None:
        turns, used = Turns(total, len(amounts)), 0

        async def work(index: int, amount: int) -> None:
            nonlocal used
            async with turns.take(amount):
                started.append(index)
                used += min(amount, total)
                assert used <= total
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                finally:
                    used -= min(amount, total)

        tasks = [asyncio.create_task(work(i, amount)) for i, amount in enumerate(amounts)]
        await asyncio.sleep(0)
        for index in cancelled & set(range(len(tasks))):
            tasks[index].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
        async with turns.take(total):  # nothing is left taken
            assert used == 0

    asyncio.run(run())
    assert started == sorted(started)
    assert set(range(len(amounts))) - cancelled <= set(started)


def test_full_queue() -> None:
    async def run() -> None:
        turns = Turns(1, 1)
        async with turns.take(1):
            waiting = asyncio.create_task(turns.take(1).__aenter__())
            await asyncio.sleep(0)
            with pytest.raises(RequestError, match="busy") as caught:
                async with turns.take(1):
                    pass
            assert caught.value.status == 503
        await waiting

    asyncio.run(run())
