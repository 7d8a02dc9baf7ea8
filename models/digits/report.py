"""What a demo prints in the end: a table of comparisons, the files, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.digits.comparison import Comparison


def _table(subject: str, framework: str, how: str, rows: Sequence[tuple[str, str, Comparison]]) -> Table:
    caption = (
        "Largest difference: between logits; convolutions round differently. Bit-equal: RRelu nodes whose "
        f"output in ONNX Runtime is, bit for bit, the {framework} module's for the same input, seed and step."
    )
    title = f"{subject} on digits: {framework} and ONNX Runtime"
    table = Table(title=title, caption=caption, caption_justify="left")
    table.add_column("mode")
    table.add_column(how)
    for heading in (
        f"accuracy\n{framework}, ONNX",
        "largest\ndifference",
        "bit-equal\nRReLUs",
        f"1000 images/s\n{framework}, ONNX",
    ):
        table.add_column(heading, justify="right")
    for mode, exporter, c in rows:
        table.add_row(
            mode,
            exporter,
            f"{c.framework_accuracy:.1%}  {c.onnx_accuracy:.1%}",
            f"{c.difference:.0e}",
            f"{c.equal_nodes} of {c.nodes}",
            f"{c.framework_speed / 1000:.0f}  {c.onnx_speed / 1000:.0f}",
        )
    return table


def report(
    console: Console,
    framework: str,
    how: str,
    rows: Sequence[tuple[str, str, Comparison]],
    files: Sequence[Path],
    *,
    subject: str = "RReLU",
) -> int:
    """Print it; exit status 0 when every RRelu node equals its layer and the logits agree to 1e-3.

    Args:
        console: where to.
        framework: its name.
        how: the heading of what tells exports in one mode apart.
        rows: mode, that, and the comparison.
        files: the written ones.
        subject: what the title says is on digits.
    """
    console.print(_table(subject, framework, how, rows))
    console.print("Written:", *(f"\n  {path}" for path in files), highlight=False)
    agree = all(c.nodes and c.equal_nodes == c.nodes and c.difference < 1e-3 for _, _, c in rows)
    console.print(
        f"[green]{framework} and ONNX Runtime agree[/green]"
        if agree
        else f"[red]ONNX Runtime and {framework} disagree[/red]"
    )
    return 0 if agree else 1
