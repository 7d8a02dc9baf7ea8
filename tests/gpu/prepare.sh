#!/usr/bin/env bash
# Gathers in .gpu what a GPU machine without a network needs beside this repository: a wheel of ours with CUDA
# kernels, one of onnxruntime-gpu with the code of one architecture, and what the tests import that is not there
# with torch, numpy and onnx. Fails where all is more than 60 MiB.
# usage: tests/gpu/prepare.sh [ARCHITECTURE]        (90: H100 and H200)
# PYTHON: the one that builds here. WHOLE=1: onnxruntime-gpu's wheel as it is published, however large.
set -euo pipefail
cd "$(dirname "$0")/../.."
architecture=${1:-90}
onnxruntime=onnxruntime-gpu==1.31.1 # needs CUDA 13, as the machine's torch brings it
machine_python=3.12
beside=(onnxscript onnx-ir packaging pytest iniconfig pluggy pygments) # without what these need: it is there
most=$((60 * 1024 * 1024))
python=${PYTHON:-python3}
published=build/gpu # kept: a second run downloads nothing

rm -rf .gpu
mkdir -p .gpu "$published"
$python -m pip wheel -q --no-deps -C build-dir=build/cuda -C cmake.define.ORT_RRELU_CUDA=ON \
  -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$architecture-real" -w .gpu .

wheel=$(find "$published" -name "onnxruntime_gpu-${onnxruntime##*==}-cp${machine_python/./}-*.whl")
if [ -z "$wheel" ]; then
  platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64)
  $python -m pip download -q --no-deps --only-binary=:all: --python-version "$machine_python" \
    --implementation cp "${platforms[@]}" -d "$published" "$onnxruntime"
  wheel=$(find "$published" -name "onnxruntime_gpu-${onnxruntime##*==}-cp${machine_python/./}-*.whl")
fi
if [ ! -d "$published/beside" ]; then
  $python -m pip download -q --no-deps --only-binary=:all: --python-version "$machine_python" \
    -c constraints.txt -d "$published/part" "${beside[@]}"
  mv "$published/part" "$published/beside"
fi
cp "$published"/beside/*.whl .gpu/
if [ "${WHOLE:-}" = 1 ]; then
  cp "$wheel" .gpu/
else
  $python -m tests.gpu.thin_wheel "$wheel" ".gpu/$(basename "$wheel")" "$architecture"
fi
(cd .gpu && sha256sum ./*.whl >sha256)
# What our wheel was made of: beside another version of it the wheel would be tested in its place.
git ls-files -z CMakeLists.txt pyproject.toml cmake ops python | xargs -0 sha256sum >.gpu/sources

bytes=$( (git ls-files -z && find .gpu -type f -print0) | du -cb --files0-from=- | tail -n 1 | cut -f 1)
echo "Bring to the GPU machine, and run there: bash tests/gpu/run.sh"
echo "  this repository, and .gpu in it: $((bytes / 1024 / 1024 + 1)) MiB in all"
du -b .gpu/* | sed 's/^/  /'
if [ "$bytes" -gt "$most" ] && [ "${WHOLE:-}" != 1 ]; then
  echo "That is more than $((most / 1024 / 1024)) MiB" >&2
  exit 1
fi
