"""The README's section on serving, as pasted but for the ports."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.servers.processes import free_ports, running

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(sys.executable).parent


def _blocks() -> tuple[list[str], str]:
    """Shell commands, without comments, and the Python program."""
    text = (_ROOT / "README.md").read_text("utf-8")
    section = text.partition("\n## Serving\n")[2].partition("\n## ")[0]
    kinds = ("sh", "python")
    shell, python = (re.findall(rf"^```{kind}\n(.*?)^```$", section, re.M | re.S) for kind in kinds)
    return [line.partition("#")[0].strip() for line in shell[0].splitlines()], python[0]


def _command(line: str) -> list[str]:
    program, *rest = shlex.split(line)
    return [str(_SCRIPTS / program), *rest]


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_section(tmp_path: Path) -> None:
    (install, train, serve), program = _blocks()
    assert install.startswith("pip install")  # the session has done that
    subprocess.run(_command(train), cwd=_ROOT, check=True, timeout=300)
    http, grpc = map(str, free_ports(2))
    assert "8081" in program
    server = [*_command(serve), "--http-port", http, "--grpc-port", grpc]
    url = f"http://127.0.0.1:{http}/v2/models/digits/ready"
    with running(server, tmp_path / "log", lambda: _is_ready(url)):
        answer = subprocess.run(
            [sys.executable, "-c", program.replace("8081", grpc)],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert answer.returncode == 0, answer.stderr
    (promised,) = re.findall(r"print\(.*\)  # (.*)", program)
    assert answer.stdout.strip() == promised
