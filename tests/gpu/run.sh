#!/usr/bin/env bash
# Everything that needs a GPU, in less than 10 minutes and without a network: the C API and torch, ONNX Runtime's
# CUDA provider, compute-sanitizer, the benchmark. Prints a table; exits with 1 when a stage failed.
# usage: tests/gpu/run.sh       after tests/gpu/prepare.sh, which says what has to be brought along.
# OUT: where results go (out/gpu). PARTS: where the parts of onnxruntime-gpu's wheel are (/tmp/parts).
set -uo pipefail
cd "$(dirname "$0")/../.."
OUT=${OUT:-out/gpu} PARTS=${PARTS:-/tmp/parts}
site=$(mktemp -d)
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
python=${PYTHON:-python3}
failed=0
table=()

# stage NAME SECONDS COMMAND...
stage() {
  local name=$1 limit=$2 log="$OUT/$1.log" begin=$SECONDS code
  shift 2
  echo "== $name"
  timeout "$limit" "$@" 2>&1 | tee "$log" | tail -n 15
  code=${PIPESTATUS[0]}
  grep -qE '[0-9]+ skipped' "$log" && code=skipped # nothing may be, here
  [ "$code" = 0 ] || failed=1
  table+=("$(printf '%-24s %4d s  %s' "$name" $((SECONDS - begin)) "$([ "$code" = 0 ] && echo passed || echo "FAILED ($code)")")")
}

install() { $python -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$1" "$2"; }

install_ours() {
  local wheel
  wheel=$(ls .gpu/ort_rrelu-*.whl 2>/dev/null) || { echo "no wheel: run tests/gpu/prepare.sh first"; return 1; }
  install "$site/ours" "$wheel"
}

# The parts, put together again and checked; missing ones leave ONNX Runtime's tests out, and say so.
install_onnxruntime() {
  local name
  name=$(awk '{print $2}' .gpu/onnxruntime.sha256) || return 1
  cat "$PARTS/$name".* >"$site/$name" && (cd "$site" && sha256sum -c -) <.gpu/onnxruntime.sha256 || return 1
  install "$site/onnxruntime" "$site/$name"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >"$OUT/device.csv" ||
  { echo "there is no NVIDIA GPU here"; exit 1; }
cat "$OUT/device.csv"
stage "install" 60 bash -c "$(declare -f install install_ours); python=$python site=$site; install_ours"
export PYTHONPATH=$site/ours
stage "kernels" 180 $python -m pytest -q -p no:cacheprovider tests/gpu/test_kernels.py
stage "torch" 120 $python -m pytest -q -p no:cacheprovider tests/gpu/test_torch.py

if install_onnxruntime; then
  export PYTHONPATH=$site/onnxruntime:$site/ours
  stage "onnxruntime" 90 $python -m pytest -q -p no:cacheprovider tests/gpu/test_onnxruntime.py
else
  table+=("onnxruntime              left out: no onnxruntime-gpu in $PARTS")
fi

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
for tool in memcheck racecheck; do
  stage "$tool" 60 "$sanitizer" --tool $tool --error-exitcode 9 $python -m tests.gpu.sanitized
done
stage "benchmark" 90 $python -m tests.benchmarks.gpu "$OUT/gpu.json"

printf '\n'
printf '%s\n' "${table[@]}"
exit $failed
