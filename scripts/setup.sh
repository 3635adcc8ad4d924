#!/usr/bin/env bash
# Makes .venv in this checkout and installs tawt into it: bash scripts/setup.sh [EXTRA]
# TAWT_PYTHON names another Python than the one that is found.
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:+[$1]}"

# The first Python from 3.11 on that has a CUDA build of torch, else the first one at all.
has_cuda='import torch, sys; sys.exit(torch.version.cuda is None)'
python="" cuda=""
for name in ${TAWT_PYTHON:-python3.11 python3 python python3.12 python3.13 python3.14}; do
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    found="$("$name" -c 'import sys; print(sys.executable)')"
    python="${python:-$found}"
    if "$found" -c "$has_cuda" 2>/dev/null; then
        python="$found" cuda=yes
        break
    fi
done
if [ -z "$python" ]; then
    printf 'error: python3: none from 3.11 on is on the PATH\n\nhint: install one, or name it: TAWT_PYTHON=/path/to/python3.11 bash scripts/demo.sh\n' >&2
    exit 1
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "making .venv with $python" >&2
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        # Debian and Ubuntu keep venv in a package of its own, named after the version
        version="$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')"
        if ! command -v apt-get >/dev/null; then
            printf 'error: %s: has no working venv module\n\nhint: install the one of %s\n' "$python" "$version" >&2
            exit 1
        fi
        echo "installing $version-venv with apt-get" >&2
        root=""
        [ "$(id -u)" = 0 ] || root=sudo
        $root apt-get update -qq
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$version-venv" >/dev/null
        rm -rf .venv
        "$python" -m venv .venv
    fi
    if [ -n "$cuda" ]; then
        # a .pth file also reaches a torch that lives in another virtual environment, where --system-site-packages would not
        "$python" -c 'import sys; print(*(p for p in sys.path if p.endswith(("site-packages", "dist-packages"))), sep="\n")' \
            >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch_of_this_machine.pth"
    fi
fi

constraints=constraints.txt
if .venv/bin/python -c "$has_cuda" 2>/dev/null; then
    echo "torch: the CUDA build that is there" >&2
    constraints="$(mktemp)"
    trap 'rm -f "$constraints"' EXIT
    sed '/^# torch and what it needs/,$d' constraints.txt >"$constraints"
else
    # by its exact name and before all else, so that no range picks another build
    .venv/bin/python -m pip install -q -c constraints.txt "$(grep '^torch==' constraints.txt)"
fi
.venv/bin/python -m pip install -q -c "$constraints" -e ".$extra"
