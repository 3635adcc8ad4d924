#!/usr/bin/env bash
# Installs tawt into .venv and runs everything on an invented hospital: bash scripts/demo.sh [OPTIONS OF tawt demo]
set -euo pipefail
bash "$(dirname "$0")/setup.sh"
echo "tawt is in .venv/bin; to type its commands: . .venv/bin/activate" >&2
exec "$(dirname "$0")/../.venv/bin/tawt" demo "$@"
