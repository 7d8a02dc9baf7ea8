"""python -m tests.mutation: plants bugs one at a time, runs the tests, and tells which bugs none of them saw.

A copy of the installed package gets the bug and is put before the installed one, so that nothing else
changes. Bugs in C++ are built in a folder of their own. Tests that need Paddle, onnxruntime-training or a
server run in the environments of nox, and are left out where `nox` has not made them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import ort_rrelu
from tests.mutation import cpp_mutants, python_mutants
from tests.mutation.python_mutants import Mutant

_ROOT = Path(__file__).resolve().parents[2]
_SERVER = ("--server", "mlserver")

_COMPILER = "the compiler"  # caught no bug of a test's: such a one is not counted

_FILES_OF_CPP_TESTS = ("tests/known_answers.txt", "tests/benchmarks/instruction_sets.cc")

# Suite -> the environment of nox that it needs, "" for the one that runs this; pytest's arguments.
_SUITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "core": ("", ("tests/core", "tests/rows", "tests/statistics")),
    "fuse": ("", ("tests/fuse",)),
    "commands": ("", ("tests/commands",)),
    "serving": ("", ("tests/serving",)),
    "torch": ("", ("tests/torch",)),
    "training": ("", ("tests/training",)),
    "models": ("", ("tests/models",)),
    "paddle": ("paddle", ("tests/paddle",)),
    "onnxruntime_training": ("training", ("tests/onnxruntime_training",)),
    "servers": ("serving", (*_SERVER, "tests/servers")),
}
_EVERYWHERE = ("core", "torch", "fuse", "commands", "serving", "training", "models")
# Room -> the suites that are likely to see a bug in it; the others follow.
_LIKELY: dict[str, tuple[str, ...]] = {
    "commands": ("commands",),
    "graph/fus": ("fuse",),
    "paddle": ("paddle",),
    "graph/rows": ("core", "serving"),
    "serving": ("serving", "servers"),
    "torch": ("torch",),
    "training/artifacts": ("onnxruntime_training",),
    "training/preparation": ("onnxruntime_training",),
    "training/session": ("onnxruntime_training",),
    "training": ("training",),
}


@dataclass
class Result:
    """A bug, and the suite that caught it, "" for none.

    survived: of one that no test caught: why nobody can see it, or which test sees it now. Written by hand.
    """

    file: str
    line: int
    what: str
    before: str
    after: str
    caught_by: str
    seconds: float
    survived: str = ""

    @property
    def place(self) -> tuple[str, int, str, str]:
        """What tells it from other bugs."""
        return self.file, self.line, self.before, self.after


def _drawn(
    files: list[Path], find: Callable[[str], Iterator[Mutant]], count: int, generator: random.Random
) -> list[tuple[Path, Mutant]]:
    """`count` bugs, each in another file as long as there are files; drawn by their numbers of places."""
    places = {file: list(find(file.read_text())) for file in files}
    drawn: list[tuple[Path, Mutant]] = []
    while len(drawn) < count:
        left = [file for file in files if places[file] and file not in {f for f, _ in drawn[-len(files) :]}]
        left = left or [file for file in files if places[file]]
        file = generator.choices(left, [len(places[f]) for f in left])[0]
        drawn.append((file, places[file].pop(generator.randrange(len(places[file])))))
    return drawn


def _python_of(environment: str) -> str | None:
    python = _ROOT / ".nox" / environment / "bin" / "python"
    return str(python) if python.exists() else None


def _caught_by(package: Path, suites: list[str], seconds: float) -> str:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    for suite in suites:
        nox, arguments = _SUITES[suite]
        python = _python_of(nox) if nox else sys.executable
        if python is None:
            print(f"  without {suite}: run nox -s {nox} first")
            continue
        command = [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
        if not nox:
            command[4:4] = ["-n", "auto"]
        try:
            done = subprocess.run(
                command, cwd=_ROOT, env=environment, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{suite} (no end)"
        if done.returncode:
            return suite
    return ""


def _suites_for(room: str) -> list[str]:
    likely = next((suites for prefix, suites in _LIKELY.items() if room.startswith(prefix)), ())
    return [*likely, *(suite for suite in _EVERYWHERE if suite not in likely)]


def _with_python_bug(folder: Path, file: Path, mutant: Mutant, seconds: float) -> str:
    package = folder / "ort_rrelu"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(Path(ort_rrelu.__file__).parent, package)
    room = str(file.relative_to(_ROOT / "python" / "ort_rrelu"))
    (package / room).write_text(mutant.applied(file.read_text()))
    return _caught_by(package, _suites_for(room), seconds)


def _with_cpp_bug(folder: Path, file: Path, mutant: Mutant, seconds: float) -> str:
    """The C++ tests first, then the Python tests with the built library."""
    tree = folder / "tree"
    if not tree.exists():
        for name in ("cmake", "ops", "python", "tests/cpp"):
            shutil.copytree(_ROOT / name, tree / name)
        (tree / "tests" / "benchmarks").mkdir()
        for name in ("CMakeLists.txt", "LICENSE", "pyproject.toml", *_FILES_OF_CPP_TESTS):
            shutil.copy(_ROOT / name, tree / name)
    source, copy = file.read_text(), tree / file.relative_to(_ROOT)
    copy.write_text(mutant.applied(source))
    try:
        return _caught_in_cpp(folder, tree, seconds)
    finally:
        copy.write_text(source)  # now, so that the next build sees it change


def _caught_in_cpp(folder: Path, tree: Path, seconds: float) -> str:
    build, package = folder / "build", folder / "ort_rrelu"
    settings = ("-DORT_RRELU_BUILD_TESTS=ON", "-DORT_RRELU_CUDA=OFF", "-DCMAKE_BUILD_TYPE=Release")
    subprocess.run(["cmake", "-S", str(tree), "-B", str(build), *settings], check=True, capture_output=True)
    if not _run("cmake", "--build", str(build), "-j", "2"):
        return _COMPILER
    if not _run(
        "ctest", "--test-dir", str(build), "--no-tests=error", "--stop-on-failure", "--timeout", "300"
    ):
        return "cpp"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(Path(ort_rrelu.__file__).parent, package)
    name = Path(ort_rrelu.get_library_path()).name
    (built,) = (path for path in build.rglob(name) if path.is_file())
    shutil.copy(built, next(package.rglob(name)))
    return _caught_by(package, ["core", "torch", "commands"], seconds)


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Draw, plant, test, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", type=int, default=40, help="bugs in python/")
    parser.add_argument("--cpp", type=int, default=20, help="bugs in ops/, those of CUDA left out")
    parser.add_argument("--seed", type=int, default=0)
    limit = "of a suite: a bug may make a loop endless, and what takes longer is caught"
    parser.add_argument("--seconds", type=float, default=900, help=limit)
    parser.add_argument("--resume", action="store_true", help="keep what is in the output already")
    parser.add_argument("--folder", type=Path, default=_ROOT / "build" / "mutation")
    parser.add_argument("--output", type=Path, default=_ROOT / "tests" / "mutation" / "result.json")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    python = sorted((_ROOT / "python").rglob("*.py"))
    cpp = sorted(p for p in (_ROOT / "ops").rglob("*") if p.suffix in {".h", ".cc"} and "cuda" not in str(p))
    python_bugs = _drawn(python, python_mutants.mutants, arguments.python, random.Random(arguments.seed))
    cpp_bugs = _drawn(cpp, cpp_mutants.mutants, arguments.cpp, random.Random(arguments.seed))
    planted = [(_with_python_bug, *bug) for bug in python_bugs] + [(_with_cpp_bug, *bug) for bug in cpp_bugs]
    results: list[Result] = []
    if arguments.resume:
        results = [Result(**result) for result in json.loads(arguments.output.read_text())]
    known = {result.place for result in results}
    for test, file, mutant in planted:
        before = file.read_text()[mutant.start : mutant.end]
        result = Result(str(file.relative_to(_ROOT)), mutant.line, mutant.what, before, mutant.text, "", 0)
        if result.place in known:
            continue
        start = time.monotonic()
        result.caught_by = test(arguments.folder, file, mutant, arguments.seconds)
        result.seconds = round(time.monotonic() - start)
        results.append(result)
        print(f"{result.caught_by or 'NOT CAUGHT':20} {result.seconds:4.0f} s  {result}", flush=True)
        arguments.output.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    counted = [result.caught_by for result in results if result.caught_by != _COMPILER]
    print(f"{sum(map(bool, counted))} of {len(counted)} bugs caught")


if __name__ == "__main__":
    main()
