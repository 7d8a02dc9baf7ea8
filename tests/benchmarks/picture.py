"""Elements a second against size, for the three modes."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from ort_rrelu.files import replacing
from tests.benchmarks.contenders import ALL_THREADS
from tests.benchmarks.results import Results

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLORS = {
    "ours": "tab:orange",
    "ours from noise": "tab:red",
    "ours from reserve": "tab:orange",
    "ONNX Runtime decomposed": "tab:blue",
    "ONNX Runtime LeakyRelu": "tab:blue",
    "our torch module": "tab:purple",
    "torch": "tab:green",
    "memory copy": "0.4",
}
_TITLES = {"train": "training=1", "eval": "training=0", "backward": "backward"}


def draw(results: Results, path: Path) -> None:
    """A PNG: one panel for each mode, float, all threads."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True, layout="constrained")
    for panel, (mode, title) in zip(panels, _TITLES.items(), strict=True):
        for contender, color in _COLORS.items():
            wanted = "copy" if contender == "memory copy" else mode
            points = sorted(
                (case.size, case.size / seconds / 1e9)
                for case, seconds in results.seconds.items()
                if (case.mode, case.contender, case.dtype, case.threads)
                == (wanted, contender, "float", ALL_THREADS)
            )
            if points:
                style = "--" if wanted == "copy" else "-"
                panel.plot(
                    *zip(*points, strict=True), style, color=color, marker="o", markersize=3, label=contender
                )
        panel.set(xscale="log", yscale="log", xlabel="elements", title=title)
        panel.grid(color="0.9")
    panels[0].set_ylabel("G elements/s")
    drawn = {line.get_label(): line for panel in panels for line in panel.get_lines()}
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=4, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
