"""What we aim for, as ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.contenders import ALL_THREADS, Case
from tests.benchmarks.results import Results, network_key

_HUGE, _BIG, _MEDIUM, _SMALL = 10**8, 2**24, 2**20, 1_000
_IN_CACHE_OF_TWO = 2**17


@dataclass(frozen=True)
class Ratio:
    """One line of the table: `value`, and what it should be."""

    what: str
    value: float
    sign: Literal["<=", ">=", ""]
    target: float

    @property
    def met(self) -> bool:
        """Is it as it should be? Without a sign it is only told."""
        return {"<=": self.value <= self.target, ">=": self.value >= self.target, "": True}[self.sign]


Time = Callable[..., float]


def _time(results: Results) -> Time:
    def of(mode: str, contender: str, size: int, *, dtype: str = "float", threads: int = 1) -> float:
        return results.seconds[Case(mode, contender, dtype, size, threads)]

    return of


def _forward(t: Time, widest: str) -> Iterator[Ratio]:
    copy, ours, threads = "memory copy", "ours", ALL_THREADS
    yield Ratio(
        "train, 16 M elements, 1 thread: time of a copy",
        t("train", ours, _BIG) / t("copy", copy, _BIG),
        "<=",
        1.2 if widest == "AVX3" else 1.7,
    )
    yield Ratio(
        f"train, 16 M elements, {threads} threads: time of a copy",
        t("train", ours, _BIG, threads=threads) / t("copy", copy, _BIG, threads=threads),
        "<=",
        1.15,
    )
    yield Ratio(
        "train, 16 M elements: speed over ONNX Runtime's decomposition",
        t("train", "ONNX Runtime decomposed", _BIG) / t("train", ours, _BIG),
        ">=",
        25,
    )
    yield Ratio(
        "train, 16 M elements: speed over torch",
        t("train", "torch", _BIG) / t("train", ours, _BIG),
        ">=",
        12,
    )
    yield Ratio(
        "eval, 1 M elements: speed over LeakyRelu",
        t("eval", "ONNX Runtime LeakyRelu", _MEDIUM) / t("eval", ours, _MEDIUM),
        ">=",
        1.2,
    )
    yield Ratio(
        f"train, 128 K elements: speed of {threads} threads over 1",
        t("train", ours, _IN_CACHE_OF_TWO) / t("train", ours, _IN_CACHE_OF_TWO, threads=threads),
        ">=",
        1.8,
    )
    yield Ratio(
        "train, 1,000 elements: time of LeakyRelu",
        t("train", ours, _SMALL) / t("eval", "ONNX Runtime LeakyRelu", _SMALL),
        "<=",
        1.2,
    )


def _large(t: Time) -> Iterator[Ratio]:
    """Float, where the memory is the limit, and wherever in a cache line y begins."""
    for size, name in ((_BIG, "16 M"), (_HUGE, "100 M")):
        for threads in sorted({1, ALL_THREADS}):
            leaky_relu = t("eval", "ONNX Runtime LeakyRelu", size, threads=threads)
            for mode, wanted in (("eval", 0.85 if threads == 1 else 0.95), ("train", 1.15)):
                for ours in ("ours", "ours, y 16 bytes past a line"):
                    yield Ratio(
                        f"{mode}{ours.removeprefix('ours')}, {name} elements, {threads} thread(s): "
                        "time of LeakyRelu",
                        t(mode, ours, size, threads=threads) / leaky_relu,
                        "<=",
                        wanted,
                    )


def _backward_and_dtypes(t: Time) -> Iterator[Ratio]:
    yield Ratio(
        "backward from reserve, 16 M elements: speed over torch",
        t("backward", "torch", _BIG) / t("backward", "ours from reserve", _BIG),
        ">=",
        1,
    )
    yield Ratio("saved for backward: memory of noise over reserve, float", 32 * _BIG / (_BIG + 512), "", 32)
    for dtype, wanted in (("float16", 0.9), ("bfloat16", 0.8)):
        for threads in (1, ALL_THREADS):
            yield Ratio(
                f"train, 16 M elements, {threads} thread(s): speed of {dtype} over float",
                t("train", "ours", _BIG, threads=threads)
                / t("train", "ours", _BIG, dtype=dtype, threads=threads),
                ">=",
                wanted if threads == 1 else 1,
            )


# Elements of a row with a step of its own -> its rate over that of one step.
_ROWS = {65_536: 0.97, 4_096: 0.97, 512: 0.9, 64: 0.75, 100: 0.7, 10: 0.45}


def _rows(results: Results, widest: str) -> Iterator[Ratio]:
    for size, wanted in _ROWS.items():
        value = results.instruction_sets[widest][f"rows of {size}"]
        yield Ratio(
            f"train, a step for each row of {size:,} elements: speed over one step", value, ">=", wanted
        )


def _instruction_sets(results: Results) -> Iterator[Ratio]:
    rates = results.instruction_sets
    for name, wider in rates.items():
        yield Ratio(
            f"in cache, {name}: time of the bare generator",
            wider["generator"] / wider["train float"],
            "<=",
            1.25,
        )
    lanes = {"AVX3": 16, "AVX2": 8}
    for name in [name for name in rates if name in lanes and "SSE4" in rates]:
        ratio = rates[name]["train float"] / rates["SSE4"]["train float"]
        yield Ratio(f"in cache: speed of {name} over SSE4", ratio, ">=", 0.7 * lanes[name] / 4)


def _networks(results: Results) -> Iterator[Ratio]:
    def of(mode: str, slower: str, faster: str) -> float:
        times = (results.networks[network_key(name, mode, ALL_THREADS)] for name in (slower, faster))
        return next(times) / next(times)

    yield Ratio(
        "network of four convolutions, train: speed over today's export",
        of("train", "today's", "ours"),
        "",
        1,
    )
    for network, mode in (("network of four convolutions", "eval"), ("resnet18", "resnet18, eval")):
        over_today = of(mode, "today's", "ours")
        yield Ratio(f"{network}, eval: speed over today's export", over_today, ">=", 0.98)
        over_kernel = of(mode, "kernel", "ours")
        yield Ratio(f"{network}, eval: speed of lower_eval over the kernel", over_kernel, "", 1)


def _opening(results: Results) -> Iterator[Ratio]:
    def seconds(name: str, mode: str) -> float:
        return results.networks[network_key(name, mode, 1)]

    def of(mode: str, name: str, other: str) -> float:
        return seconds(name, mode) / seconds(other, mode)

    folded = of("constant part", "ours", "LeakyRelu")
    yield Ratio("constant part of a graph, eval: time of LeakyRelu", folded, "<=", 1.1)
    for mode in ("train", "eval"):
        one = of(f"one-node session, {mode}", "ours", "by hand")
        yield Ratio(f"session of one node, {mode}: time of one registered by hand", one, "<=", 1.3)
    for mode, what, wanted in (("train", "nothing", 1.6), ("eval", "eight nodes", 2.2)):
        large = of("session of 128 MiB", mode, "stock")
        yield Ratio(f"session of 128 MiB, {what} lowered: time of a stock session", large, "<=", wanted)
    for mode in ("train", "eval"):
        microseconds = seconds("NumPy", mode) * 1e6
        yield Ratio(f"rrelu on 1,000 elements of NumPy, {mode}: microseconds", microseconds, "<=", 10)


def _training(results: Results) -> Iterator[Ratio]:
    seconds = {
        name: results.networks[network_key(name, "training step", 1)]
        for name in ("road B", "torch", "torch, fused Adam")
    }
    for name, wanted in (("torch", 1.0), ("torch, fused Adam", 1.0)):
        yield Ratio(
            f"training step of the digits network: speed over {name}",
            seconds[name] / seconds["road B"],
            ">=",
            wanted,
        )


# Our module and torch.nn.RReLU, one thread: (work, elements, seeded) -> the most time, the least speed.
_TIMES = {
    ("forward", 1_000, False): 2.5,
    ("forward", 1_000, True): 3.2,
    ("forward and backward", 1_000, False): 2.2,
    ("forward and backward", 1_000, True): 2.6,
    ("eval", 1_000, False): 0.7,
}
_SPEEDS = {
    ("forward", 100_000, False): 8,
    ("forward", 1_000_000, False): 8,
    ("forward and backward", 100_000, False): 4,
    ("forward and backward", 1_000_000, False): 8,
}
_PEAKS = {
    "a chain of ten RReLUs": 0.2,
    "ten pairs of convolution and RReLU": 0.45,
    "ten pairs of linear layer and RReLU in place": 0.6,
    "ten pairs of convolution and RReLU in place": 0.6,
}
_SPEEDS_OF_DIGITS = {"ours": 0.97, "ours, seeded": 0.92}


def _modules(results: Results) -> Iterator[Ratio]:
    def time_of(work: str, size: int, seeded: bool) -> float:
        name = "our seeded module" if seeded else "our module"
        ours, theirs = (
            results.networks[network_key(each, f"{work}, {size} elements", 1)]
            for each in (name, "torch.nn.RReLU")
        )
        return ours / theirs

    for (work, size, seeded), most in _TIMES.items():
        name = f"torch module{', seeded' if seeded else ''}, {work}, {size:,} elements"
        yield Ratio(f"{name}: time of torch.nn.RReLU", time_of(work, size, seeded), "<=", most)
    for (work, size, seeded), least in _SPEEDS.items():
        name = f"torch module, {work}, {size:,} elements"
        yield Ratio(f"{name}: speed over torch.nn.RReLU", 1 / time_of(work, size, seeded), ">=", least)
    for network, peak in _PEAKS.items():
        what = f"training step, {network}: peak of memory over torch.nn.RReLU's"
        yield Ratio(what, results.memory[network], "<=", peak)
    for whose, wanted in _SPEEDS_OF_DIGITS.items():
        what = f"training step of the digits network in torch, batch 16, {whose}: speed over torch.nn.RReLU"
        yield Ratio(what, results.digits[whose], ">=", wanted)


def ratios(results: Results) -> list[Ratio]:
    """The table."""
    t = _time(results)
    widest = next(iter(results.instruction_sets))
    return [
        *_forward(t, widest),
        *_large(t),
        *_backward_and_dtypes(t),
        *_rows(results, widest),
        *_instruction_sets(results),
        *_networks(results),
        *_opening(results),
        *_training(results),
        *_modules(results),
    ]
