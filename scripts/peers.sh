#!/usr/bin/env bash
# Makes .venv-peers in this checkout, with the tools of others that tests/peers hold what tawt writes to: ACES,
# meds_reader and meds-torch-data, and s3fs with a server that stands for S3. They want other versions than tawt; torch and all else that fits they take from
# .venv, which scripts/setup.sh makes.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    printf 'error: .venv: is not there, expected it\n\nhint: bash scripts/setup.sh dev\n' >&2
    exit 1
fi
if ! .venv-peers/bin/python -m pip --version >/dev/null 2>&1; then
    echo "making .venv-peers" >&2
    rm -rf .venv-peers
    .venv/bin/python -m venv .venv-peers
    # a .pth file leads to the packages of .venv, behind those that are here
    .venv/bin/python -c 'import sys; print(*(p for p in sys.path if p.endswith(("site-packages", "dist-packages"))), sep="\n")' \
        >"$(.venv-peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/of_tawt.pth"
fi
ours="$(mktemp)"
trap 'rm -f "$ours"' EXIT
grep -v '^polars\|^python-dateutil' constraints.txt >"$ours"
.venv-peers/bin/python -m pip install -q -c "$ours" -c constraints-peers.txt es-aces meds-reader meds-torch-data \
    s3fs "moto[s3]" flask flask-cors
