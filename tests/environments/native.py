"""The native code: sanitizers, clang-tidy, a fuzzer, other compilers and processors."""

from __future__ import annotations

import json
from pathlib import Path

import nox

from tests.documentation import ROOT
from tests.environments.cmake import CTEST, configure, ctest, fetched, native_sources
from tests.environments.install import FEW_TESTS, PYTEST, build_settings, install, run_tests

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
    install(session, "cmake", "ninja")
    flags = f"{_ONE_INSTRUCTION_SET} {_SANITIZERS[sanitizer]}"
    options = f"-DCMAKE_CXX_FLAGS={flags} -fsanitize={sanitizer} -fno-sanitize-recover=all"
    build = f"{Path(session.create_tmp()).resolve()}/build"
    ctest(session, build, options, "-DCMAKE_BUILD_TYPE=Debug")
    if sanitizer == "thread":
        install(session, "onnx", "onnxruntime")
        session.run("python", "-m", "tests.sessions", f"{build}/tests/sessions/sessions_in_threads")


@nox.session(tags=["first"])
def tidy(session: nox.Session) -> None:
    """What clang-tidy finds in ops/ (.clang-tidy)."""
    install(session, "clang-tidy", "cmake", "ninja")
    build = f"{Path(session.create_tmp()).resolve()}/build"
    configure(session, build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    session.run("cmake", "--build", build, "--target", "generated/schema.h", silent=True)
    units = json.loads(Path(build, "compile_commands.json").read_text())
    files = [unit["file"] for unit in units if unit["file"].startswith(f"{ROOT}/ops/")]
    session.run("clang-tidy", "-p", build, "--quiet", *files)


@nox.session(tags=["first"])
def fuzz(session: nox.Session) -> None:
    """libFuzzer, ASan and UBSan on the C API and an oracle of it, two minutes or as many as `--` says."""
    install(session, "cmake", "ninja")
    clang = fetched(session, "clang") / "usr"
    libraries = f"{clang}/lib/x86_64-linux-gnu:{clang}/lib/llvm-19/lib"
    env = {"CXX": f"{clang}/lib/llvm-19/bin/clang++", "LD_LIBRARY_PATH": libraries}
    flags = f"{_ONE_INSTRUCTION_SET} -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
    folder = Path(session.create_tmp()).resolve()
    build = f"{folder}/build"
    configure(session, build, f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Debug", env=env)
    session.run("cmake", "--build", build, "--target", "fuzz_c_api", env=env)
    minutes = session.posargs[0] if session.posargs else "2"
    if not minutes.isdecimal() or int(minutes) == 0:
        session.error(f"{minutes} minutes: it must be a whole number, 1 or more")
    limits = ("-max_len=800", f"-max_total_time={60 * int(minutes)}", f"-artifact_prefix={folder}/")
    output = ("-print_final_stats=1", "-verbosity=0")
    (folder / "corpus").mkdir(exist_ok=True)
    corpora = (f"{folder}/corpus", "tests/fuzz/corpus")  # what is found goes into the first
    session.run(f"{build}/tests/fuzz/fuzz_c_api", *limits, *output, *corpora, external=True)


# Clang for several systems, as a Python package: whether it compiles and links. Without optimization that
# takes a tenth of the time, but Highway's bfloat16 then needs what MinGW lacks. make wheels builds what runs.
_CROSS_TARGETS = {
    "aarch64-macos": ("Darwin", "aarch64", "Debug"),
    "x86_64-windows-gnu": ("Windows", "x86_64", "Release"),
}


def _clang(session: nox.Session, target: str) -> dict[str, str]:
    # The program itself: pip's isolated builds hide the module.
    (program,) = Path(session.virtualenv.location).glob("lib/python*/site-packages/ziglang/zig")
    return {"CXX": f"{program} c++ -target {target}"}


@nox.session(tags=["first"])
def clang(session: nox.Session) -> None:
    """The library by clang instead of gcc: the core's tests here, a build for each other system."""
    install(session, "ziglang", "cmake", "ninja", "onnxruntime", "numpy", *PYTEST)
    folder = Path(session.create_tmp()).resolve()
    settings = build_settings(build_dir=f"{folder}/own", ORT_RRELU_WERROR="ON", ORT_RRELU_CUDA="OFF")
    install(session, *settings, ".", env=_clang(session, "native"))
    session.run("python", "-c", "import ort_rrelu.library as l; assert 'clang' in l.build_info()['compiler']")
    run_tests(session, *FEW_TESTS)
    for target in _CROSS_TARGETS:
        session.run("cmake", "--build", _cross_configured(session, folder, target))


def _cross_configured(session: nox.Session, folder: Path, target: str) -> str:
    """A build for another system; returns its folder."""
    system, processor, build_type = _CROSS_TARGETS[target]
    build = f"{folder}/{target}"
    session.run(
        *("cmake", "-G", "Ninja", "-S", ".", "-B", build, *native_sources(session)),
        *(f"-DCMAKE_SYSTEM_NAME={system}", f"-DCMAKE_SYSTEM_PROCESSOR={processor}"),
        *("-DORT_RRELU_WERROR=ON", "-DORT_RRELU_CUDA=OFF", f"-DCMAKE_BUILD_TYPE={build_type}"),
        env=_clang(session, target),
    )
    return build


@nox.session(tags=["first"])
def aarch64(session: nox.Session) -> None:
    """The C++ tests on NEON and all SVE there is: cross-compiled by clang, run under QEMU."""
    install(session, "ziglang", "cmake", "ninja")
    emulator = fetched(session, "qemu") / "usr" / "bin" / "qemu-aarch64"
    build = f"{Path(session.create_tmp()).resolve()}/build"
    ctest(
        session,
        build,
        *("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DORT_RRELU_WERROR=ON"),
        f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator}",
        env=_clang(session, "aarch64-linux-musl"),  # musl: programs that need no system to run in
        but="^(arguments|cuda_grid)$",  # integers, the same everywhere; minutes in an emulator
    )
    # Highway has targets of their own for vectors of 256 and 128 bits; QEMU's first choice has longer ones.
    for processor in ("neoverse-v1", "neoverse-n2"):
        session.run("ctest", "--test-dir", build, *CTEST, "-R", "^targets$", env={"QEMU_CPU": processor})
