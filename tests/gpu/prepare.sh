#!/usr/bin/env bash
# Gathers in .gpu what a GPU machine without a network needs, in pieces that travel one by one: a wheel of ours
# with CUDA kernels, and onnxruntime-gpu's wheel cut into parts of at most 48 MiB.
# usage: tests/gpu/prepare.sh [ARCHITECTURES]        (90-real: H100 and H200)
set -euo pipefail
cd "$(dirname "$0")/../.."
architectures=${1:-90-real}
onnxruntime=onnxruntime-gpu==1.31.1 # needs CUDA 13, as the machine's torch brings it
python=${PYTHON:-python3}

exclude=$(git rev-parse --git-path info/exclude)
grep -qxF /.gpu/ "$exclude" || echo /.gpu/ >>"$exclude"
rm -rf .gpu
mkdir -p .gpu/parts
$python -m pip wheel -q --no-deps -C build-dir=build/cuda -C cmake.define.ORT_RRELU_CUDA=ON \
  -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$architectures" -w .gpu .

platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64)
$python -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  "${platforms[@]}" -d .gpu/whole "$onnxruntime"
wheel=$(basename .gpu/whole/*.whl)
split -b 48M -d ".gpu/whole/$wheel" ".gpu/parts/$wheel."
(cd .gpu/whole && sha256sum "$wheel") >.gpu/onnxruntime.sha256
rm -r .gpu/whole

echo "Bring to a copy of this repository on the GPU machine, then run there: bash tests/gpu/run.sh"
echo "  .gpu/$(basename .gpu/ort_rrelu-*.whl) and .gpu/onnxruntime.sha256, at their places"
echo "  .gpu/parts/*, to /tmp/parts"
