#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs orlop-init in the fuzzer's kernel (tests/native/fuzz_target.c) for FUZZ_SECONDS. What it finds
# stays in build/fuzz/found, what it learnt in build/fuzz/corpus, where the next run goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh fuzz
mkdir -p build/fuzz/corpus build/fuzz/found
.venv/bin/python -m tests.native.seeds build/fuzz/seeds
target=$(.venv/bin/python -c 'from tests.native.build import fuzz_target; print(fuzz_target(clang="clang-14"))')
exec env ASAN_OPTIONS=detect_leaks=0 "$target" -max_total_time="${FUZZ_SECONDS:-300}" -max_len=8192 \
    -print_final_stats=1 -artifact_prefix=build/fuzz/found/ build/fuzz/corpus build/fuzz/seeds
