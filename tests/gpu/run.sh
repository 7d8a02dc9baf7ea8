#!/usr/bin/env bash
# Everything that needs a GPU, in less than five minutes and without a network: the C API, ONNX Runtime's CUDA
# provider, torch, compute-sanitizer, the benchmark. Exits with 1 where a part failed or was left out: a test that
# was skipped is left out, and so is a part for which no time was left.
# usage: tests/gpu/run.sh       after tests/gpu/prepare.sh, which says what to bring.
# PYTHON: the one that has torch, numpy and onnx. OUT: where results go (out/gpu): device.csv; gpu.json, the
# benchmark; log.txt, the end of what each part printed; summary.txt. LIMIT: seconds in all (285).
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-out/gpu} limit=${LIMIT:-285} python=${PYTHON:-python3}
most_files=8 most_mib=16
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
mkdir -p "$out"
rm -f "$out"/{device.csv,gpu.json,log.txt,summary.txt}
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
failed=0

# row NAME SECONDS RESULT
row() {
  printf '%-24s %4d s  %s\n' "$@" | tee -a "$out/summary.txt"
  [ "$3" = passed ] || failed=1
}

# part NAME SECONDS COMMAND...: at most as many seconds, and no more than are left of all.
part() {
  local name=$1 most=$2 log=$site/log begin=$SECONDS left=$((limit - SECONDS)) code
  shift 2
  if [ "$left" -le 0 ]; then
    row "$name" 0 "LEFT OUT: no time was left"
    return
  fi
  # A file and not a pipe, which a process that outlives its parent would keep open.
  timeout -k 2 $((most < left ? most : left)) "$@" >"$log" 2>&1 </dev/null
  code=$?
  { echo "== $name" && tail -c 1M "$log"; } >>"$out/log.txt"
  if [ "$code" = 124 ] || [ "$code" = 137 ]; then
    code="FAILED: it took too long"
  elif [ "$code" != 0 ]; then
    code="FAILED: exit code $code"
  elif grep -qE '(^|[ ,])[1-9][0-9]* skipped' "$log"; then
    code="LEFT OUT: tests were skipped"
  else
    code=passed
  fi
  [ "$code" = passed ] || tail -n 15 "$log"
  row "$name" $((SECONDS - begin)) "$code"
}

tests() { # NAME SECONDS FILES...
  part "$1" "$2" "$python" -m pytest -q -p no:cacheprovider "${@:3}"
}

benchmark() { # NAME SECONDS MODULE
  part "$1" "$2" "$python" -m "tests.benchmarks.$3" "$out/gpu.json"
}

install() { # NAME WHEEL
  part "install $1" 30 "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
    --target "$site/$1" .gpu/$2
  export PYTHONPATH=$site/$1${PYTHONPATH:+:$PYTHONPATH}
}

sanitizer() { # TOOL: of our kernels, and each array in memory of its own, so that what lies beside it is nobody's
  part "$1" 60 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
    "$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)" --tool "$1" \
    --kernel-name kns=ort_rrelu --error-exitcode 9 "$python" -m tests.gpu.sanitized
}

if ! nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >"$out/device.csv"; then
  echo "there is no NVIDIA GPU here" | tee "$out/summary.txt"
  exit 1
fi
cat "$out/device.csv"
part "what was brought" 20 bash -c 'sha256sum --quiet -c .gpu/sources && cd .gpu && sha256sum -c sha256'
install ort_rrelu "ort_rrelu-*.whl"
install onnxruntime "onnxruntime_gpu-*.whl" # which every test imports
install beside "*-none-any.whl"
tests "kernels" 60 tests/gpu/test_kernels.py tests/gpu/test_devices.py
benchmark "benchmark" 40 gpu
tests "onnxruntime" 60 tests/gpu/test_onnxruntime.py
tests "torch" 40 tests/gpu/test_torch.py
benchmark "benchmark, onnxruntime" 40 gpu_onnxruntime
tests "compile" 60 tests/gpu/test_compile.py
sanitizer memcheck
sanitizer synccheck

# What comes back: few files, and none large.
large=$(find "$out" -type f -size "+$((most_mib * 1024 * 1024))c")
files=$(find "$out" -type f | wc -l)
[ -s "$out/gpu.json" ] || row "gpu.json" 0 "LEFT OUT: the benchmark wrote nothing"
[ -z "$large" ] || row "files" 0 "FAILED: more than $most_mib MiB: $large"
[ "$files" -le $most_files ] || row "files" 0 "FAILED: $files files, and $most_files is the most"
exit $failed
