"""The code in README.md and docs/, for the tests that run it.

`python -m tests.documentation PAGE LANGUAGE` prints the first block of that language, for other programs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def text(page: str) -> str:
    """A page by its path from the root, such as docs/export.md."""
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The page's blocks of code in a language, in their order."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.M | re.S)
    return found


if __name__ == "__main__":
    sys.stdout.write(blocks(*sys.argv[1:])[0])
