"""Peak of the bytes that a training step of Paddle allocates, with Paddle's RReLU and with ours.

python -m tests.benchmarks.memory_paddle
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle import Tensor, nn

from ort_rrelu.paddle import RReLU

_DEEP = 10
_SIZE = 2**22  # floats of each activation
_FEATURES = 256

Make = Callable[[], nn.Layer]


def _chain(make: Make) -> nn.Layer:
    return nn.Sequential(*(make() for _ in range(_DEEP)))


def _linear(make: Make) -> nn.Layer:
    def linear() -> nn.Layer:
        return nn.Linear(_FEATURES, _FEATURES)

    return nn.Sequential(*(each() for _ in range(_DEEP) for each in (linear, make)))


_NETWORKS = {"a chain of ten RReLUs": _chain, "ten pairs of linear layer and RReLU": _linear}


def peak_bytes(net: nn.Layer, x: Tensor) -> int:
    """The most that a step from x to its gradient has allocated at a time, beside what was there before."""
    core = paddle.base.core
    core.host_memory_stat_reset_peak_value("Allocated", 0)
    before = core.host_memory_stat_current_value("Allocated", 0)
    net(x).sum().backward()
    return int(core.host_memory_stat_peak_value("Allocated", 0) - before)


if __name__ == "__main__":
    paddle.set_device("cpu")
    for name, build in _NETWORKS.items():
        sizes = []
        for kind in (nn.RReLU, RReLU):
            x = paddle.randn([_SIZE // _FEATURES, _FEATURES])
            x.stop_gradient = False
            sizes.append(peak_bytes(build(kind), x))
        theirs, ours = sizes
        print(f"{name}: Paddle {theirs / 2**20:.0f} MiB, ours {ours / 2**20:.0f} MiB, {ours / theirs:.2f}")
