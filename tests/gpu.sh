#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: does `--device cuda` agree with the CPU, and how fast is it beside PyTorch?
#
#   tests/gpu.sh [PYTHON]
#
# Needs the driver, CUDA's toolkit (12 or 13, no newer than the driver) with nvcc on the PATH, and what the
# README asks for. PYTHON (default python3) is timed beside this program if it has torch with CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in nvidia-smi nvcc; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: this needs a GPU, its driver and CUDA's toolkit" >&2; exit 1; }
done
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
nvcc --version | tail -n 2

echo; echo "Relative distances of the GPU from the CPU (promised: 1e-4, 1e-4, 1e-3, 1e-3)"
cargo test --release --features cuda --test agreement device -- --nocapture --test-threads 1 |
  grep -E '^ |^(Crate|Vit)|^test '

echo; echo "The same verdicts from the GPU as from the CPU"
cargo run --release --features cuda --bin exp_layerwise -- --device cuda --out target/gpu/layerwise

echo; echo "Seconds of a step (above 1: faster than PyTorch)"
cargo run --release --features cuda --bin bench_vs_pytorch -- --device cuda --out target/gpu/speed --python "${1:-python3}"
