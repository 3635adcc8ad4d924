#!/usr/bin/env bash
# Installs tawt and its test tools into .venv, then runs every check, even after one that failed:
# bash scripts/test.sh [OPTIONS OF pytest]
# The tests are shared out among as many workers as there are cores, with 1 GB each; `-n 0` runs them in one process.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bash scripts/setup.sh dev || exit 1
# CI also holds what is written to tools of others, which come while the code is read
peers=""
if [ -n "${CI:-}" ]; then
    bash scripts/peers.sh &
    peers=$!
fi
export PATH="$PWD/.venv/bin:$PATH"
unset PYTHONDONTWRITEBYTECODE # each worker, and each process that a test starts, would compile all modules anew

failed=""
ruff check . || failed="$failed, ruff check"
ruff format --check . || failed="$failed, ruff format"
mypy || failed="$failed, mypy"
[ -z "$peers" ] || wait "$peers" || echo "note: the tools of others could not be installed: tests/peers are skipped" >&2
workers="$(python -c 'from tawt.machine import available_bytes, usable_cpus
print(max(1, min(usable_cpus(), available_bytes() >> 30)))')"
pytest -n "$workers" --dist worksteal "$@" || failed="$failed, pytest"
if [ -n "$failed" ]; then
    echo "error: scripts/test.sh: failed: ${failed#, }" >&2
    exit 1
fi
