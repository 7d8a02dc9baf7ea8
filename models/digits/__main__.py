"""make demo: train, export with both of torch's exporters, run in ONNX Runtime, compare."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from models.digits import network as digits
from models.digits.exports import compare_exports, exporters_advice_hidden
from models.digits.picture import draw
from models.digits.report import report
from models.digits.train import train

_OUT = Path("out/digits")


def main() -> int:
    """Exit status 0 when every RRelu node equals its torch module and the logits agree to 1e-3."""
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    with exporters_advice_hidden():
        rows, files = compare_exports(network, data, _OUT, console)
    picture = _OUT / "rrelu.png"
    draw(picture)
    return report(console, "torch", "exporter", rows, [*files, picture])


if __name__ == "__main__":
    raise SystemExit(main())
