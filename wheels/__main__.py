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
from typing import Any

from wheels import building, contents, indexes, page, testing
from wheels.commands import ROOT
from wheels.targets import TARGETS, Target

WHEELS = ROOT / "dist" / "wheels"
RESULT = Path(__file__).with_name("result.json")
_BUILT = "built.json"


def _build(native: dict[str, str], folder: Path) -> None:
    """Build all wheels, as many at once as there are cores, and look into them."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    began = time.monotonic()

    def one(target: Target) -> tuple[str, dict[str, Any]]:
        wheel = building.build(target, folder / target.tag, native)
        shutil.copy2(wheel, WHEELS)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return wheel.name, {"sha256": digest, **contents.inspect(wheel, target)}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(pool.map(one, TARGETS))
    facts = {"sources": building.sources(), "wheels": found, "minutes": _minutes(began)}
    _compare(facts)
    facts["pip downloads"] = indexes.check(WHEELS, folder / "downloads")
    (folder / _BUILT).write_text(json.dumps(facts))


def _compare(facts: dict[str, Any]) -> None:
    """The wheels of the same sources must have the same bytes as in the run that the record is of."""
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    if before.get("sources") != facts["sources"]:
        print("wheels: the record is of other sources, so bytes are not compared")
        return
    for name, fact in facts["wheels"].items():
        if before["wheels"][name]["sha256"] != fact["sha256"]:
            raise SystemExit(f"{name} has other bytes than on {before['date']}, of the same sources")
    print(f"wheels: the same bytes as on {before['date']}")


def _test(arguments: argparse.Namespace, native: dict[str, str]) -> None:
    began = time.monotonic()
    folder = arguments.folder
    built = json.loads((folder / _BUILT).read_text())
    wheels = {target: next(WHEELS.glob(f"*{target.tag}*.whl")) for target in TARGETS}
    plan = testing.Plan(
        wheels,
        folder,
        native["ONNXRUNTIME_INCLUDE_DIR"],
        arguments.gcc,
        arguments.onnxruntime,
        arguments.node,
    )
    tests = testing.run_all(plan)
    minutes = {"building": built.pop("minutes"), "testing": _minutes(began)}
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "make wheels",
        "minutes": minutes,
        **built,
        "tests": tests,
    }
    RESULT.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    page.write(facts)
    print(f"wheels: all passed; see {RESULT.relative_to(ROOT)}")


def _minutes(began: float) -> float:
    return round((time.monotonic() - began) / 60, 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wheels", description=__doc__)
    parser.add_argument("step", choices=("build", "test"))
    parser.add_argument("--folder", type=Path, help="for builds and what is fetched; kept")
    parser.add_argument("-D", action="append", default=[], metavar="NAME=FOLDER", help="native sources")
    parser.add_argument("--gcc", type=Path, help="a wheel of gcc's, to compare speed")
    parser.add_argument("--onnxruntime", action="append", help="requirements of an environment to test in")
    parser.add_argument("--node", action="append", help="versions of onnxruntime-node")
    return parser


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    native = dict(setting.split("=", 1) for setting in arguments.D)
    if arguments.step == "build":
        return _build(native, arguments.folder)
    return _test(arguments, native)


if __name__ == "__main__":
    main()
