"""The first example of docs/serving.md, as pasted except for the ports."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.documentation import ROOT, blocks
from tests.servers.processes import free_ports, running

_SCRIPTS = Path(sys.executable).parent


def _blocks() -> tuple[list[str], str]:
    """Shell commands, without comments, and the Python program."""
    (shell,), (python, *_) = (blocks("docs/serving.md", language) for language in ("sh", "python"))
    return [line.partition("#")[0].strip() for line in shell.splitlines()], python


def _command(line: str) -> list[str]:
    program, *rest = shlex.split(line)
    return [str(_SCRIPTS / program), *rest]


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_example(tmp_path: Path) -> None:
    (install, train, serve), program = _blocks()
    assert install.startswith("pip install")  # the session has done that
    subprocess.run(_command(train), cwd=ROOT, check=True, timeout=300)
    http, grpc = map(str, free_ports(2))
    assert "8081" in program
    server = [*_command(serve), "--http-port", http, "--grpc-port", grpc]
    url = f"http://127.0.0.1:{http}/v2/models/digits/ready"
    with running(server, tmp_path / "log", lambda: _is_ready(url)):
        answer = subprocess.run(
            [sys.executable, "-c", program.replace("8081", grpc)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert answer.returncode == 0, answer.stderr
    (promised,) = re.findall(r"print\(.*\)  # (.*)", program)
    assert answer.stdout.strip() == promised
