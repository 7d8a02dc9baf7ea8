"""python -m wheels build|test: five wheels in dist/wheels, and what is known of them in wheels/result.json.

`make wheels` runs both in an environment that nox makes; between them the wheel of this machine is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wheels import building, contents, indexes, page, sources, testing
from wheels.commands import ROOT
from wheels.targets import TARGETS, Target

WHEELS = ROOT / "dist" / "wheels"
RESULT = Path(__file__).with_name("result.json")


def _build(only: list[str] | None, native: dict[str, str], folder: Path) -> None:
    """Build wheels, as many at once as there are cores, and look into them."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}

    def one(target: Target) -> None:
        for old in WHEELS.glob(f"*{target.tag}*.whl"):
            old.unlink()
        shutil.copy2(building.build(target, folder / target.tag, native), WHEELS)
        facts = _facts(target, folder)
        contents.inspect(_wheel(target), target)
        print(_compared(before.get("wheels", {}).get(_wheel(target).name), facts, target.tag))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for built in [pool.submit(one, target) for target in TARGETS if not only or target.tag in only]:
            built.result()


def _wheel(target: Target) -> Path:
    (wheel,) = WHEELS.glob(f"*{target.tag}*.whl")
    return wheel


def _facts(target: Target, folder: Path) -> dict[str, str]:
    return {
        "sha256": hashlib.sha256(_wheel(target).read_bytes()).hexdigest(),
        "of sources": (folder / target.tag / "digest").read_text(),
    }


def _compared(before: dict[str, str] | None, now: dict[str, str], tag: str) -> str:
    """A wheel of the same sources must have the same bytes as in the record."""
    if not before or before["of sources"] != now["of sources"]:
        return f"{tag}: built; the record has none of the same sources to compare with"
    if before["sha256"] != now["sha256"]:
        raise SystemExit(f"{tag}: the bytes are not those of the record, and the sources are the same")
    return f"{tag}: built, with the bytes that the record has"


def _test(arguments: argparse.Namespace) -> None:
    folder = arguments.folder
    wheels = {target: _wheel(target) for target in TARGETS}
    found = {
        wheel.name: {**_facts(target, folder), **contents.inspect(wheel, target)}
        for target, wheel in wheels.items()
    }
    downloads = indexes.check(WHEELS, folder / "downloads")
    plan = testing.Plan(
        wheels,
        folder,
        sources.native_copies(folder / TARGETS[0].tag)["ONNXRUNTIME_INCLUDE_DIR"],
        arguments.gcc,
        arguments.onnxruntime,
        arguments.node,
    )
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "make wheels",
        "wheels": found,
        "pip downloads": downloads,
        "tests": testing.run_all(plan),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    page.write(record)
    print(f"wheels: all passed; see {RESULT.relative_to(ROOT)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wheels", description=__doc__)
    parser.add_argument("step", choices=("build", "test"))
    parser.add_argument("--folder", type=Path, help="for builds and what is fetched; kept")
    parser.add_argument(
        "--only", action="append", choices=[target.tag for target in TARGETS], help="one wheel"
    )
    parser.add_argument(
        "-D", action="append", default=[], metavar="NAME=FOLDER", help="native sources, for build"
    )
    parser.add_argument("--gcc", type=Path, help="a wheel of gcc's, to compare speed")
    parser.add_argument("--onnxruntime", action="append", help="requirements of an environment to test in")
    parser.add_argument("--node", action="append", help="versions of onnxruntime-node")
    return parser


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    if arguments.step == "build":
        native = dict(setting.split("=", 1) for setting in arguments.D)
        return _build(arguments.only, native, arguments.folder)
    return _test(arguments)


if __name__ == "__main__":
    main()
