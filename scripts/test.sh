#!/usr/bin/env bash
# Installs tawt and its test tools into .venv, then runs every check, even after one that failed:
# bash scripts/test.sh [OPTIONS OF pytest]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bash scripts/setup.sh dev || exit 1
export PATH="$PWD/.venv/bin:$PATH"

failed=""
ruff check . || failed="$failed, ruff check"
ruff format --check . || failed="$failed, ruff format"
mypy || failed="$failed, mypy"
pytest "$@" || failed="$failed, pytest"
if [ -n "$failed" ]; then
    echo "error: scripts/test.sh: failed: ${failed#, }" >&2
    exit 1
fi
