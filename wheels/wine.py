"""Debian's Wine, unpacked and not installed: it runs programs for Windows without a screen."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wheels import debian
from wheels.commands import run


def path_there(path: Path) -> str:
    """How Windows calls a file of this system."""
    return "Z:" + str(path).replace("/", "\\")


class Wine:
    """Windows, as far as the command line needs it. `program` is a script that runs what is behind it."""

    def __init__(self, files: Path, home: Path) -> None:
        programs, libraries = files / "usr" / "lib" / "wine", files / "usr" / "lib" / "x86_64-linux-gnu"
        # It would be taken first, and looks for an installed Wine.
        (programs / "wineserver").unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        self._server = programs / "wineserver64"
        self._environment = {
            "DISPLAY": "",
            "HOME": str(home),
            "LD_LIBRARY_PATH": str(libraries),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
            "WINEPREFIX": str(home / "prefix"),
            "WINESERVER": str(self._server),
        }
        self.program = home / "wine.sh"
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in self._environment.items()
        )
        self.program.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(str(programs / "wine64"))} "$@"\n')
        self.program.chmod(0o755)
        self._make_windows(home / "prefix", files / "usr" / "x86_64-w64-mingw32" / "lib" / "zlib1.dll")

    def _make_windows(self, prefix: Path, compression: Path) -> None:
        """Its folder, which must look like Windows 10 to Node.

        Wine's own libraries, which fill it, need the one for compression.
        """
        system = prefix / "drive_c" / "windows" / "system32"
        system.mkdir(parents=True)
        shutil.copy2(compression, system)
        self.run("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")

    def run(self, *command: str | Path) -> str:
        """What a program prints."""
        return run(self.program, *command)

    def version(self) -> str:
        """Its name and version."""
        return self.run("--version").strip()

    def stop(self) -> None:
        """Wait for the end of what runs in the background, some seconds."""
        run(self._server, "-w", **self._environment)


@contextmanager
def started(folder: Path) -> Iterator[Wine]:
    """Wine, with a home of its own in `folder`."""
    wine = Wine(debian.unpacked("wine"), folder / "wine-home")
    try:
        yield wine
    finally:
        wine.stop()
