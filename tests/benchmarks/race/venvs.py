"""Peers, each in an environment of its own from the package index; one that cannot be had is left out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
READERS = Path(os.environ.get("TAWT_PEERS") or ROOT / ".venv-peers" / "bin" / "python")
"""meds-torch-data and meds_reader are those of tests/peers."""


@dataclass(frozen=True)
class Peer:
    """What is installed where, and the command that is then there."""

    command: str
    requirements: tuple[str, ...] = ()
    """None: of `scripts/peers.sh`."""


PEERS = {
    "MEDS-extract": Peer("meds-extract-run", ("MEDS-extract==0.7.1", "MEDS-transforms==0.7.0", "polars==1.44.2")),
    "meds_etl": Peer("meds_etl_sort", ("meds_etl[cpp]==0.3.11", "meds_etl_cpp==0.3.4", "polars==2.1.0")),
    "meds-torch-data": Peer("MTD_preprocess"),
    "meds_reader": Peer("meds_reader_convert"),
}


def find(names: set[str], venvs: Path) -> dict[str, Path]:
    """Return the command of each peer that is there or could be installed, and say which could not."""
    found = {}
    for name in sorted(names):
        peer = PEERS[name]
        command = (venvs / name / "bin" if peer.requirements else READERS.parent) / peer.command
        error = "" if command.is_file() else _install(peer, venvs / name)
        if command.is_file():
            found[name] = command.absolute()
        else:
            print(f"{name} is left out: {error or f'no {command}'}", file=sys.stderr)
    return found


def _install(peer: Peer, venv: Path) -> str:
    """Make the environment of a peer; return why it is not there."""
    print(f"installing {' '.join(peer.requirements) or 'the peers of tests/peers'}", file=sys.stderr, flush=True)
    lines = [[sys.executable, "-m", "venv", str(venv)], [f"{venv}/bin/python", "-m", "pip", "install", "-q", *peer.requirements]]  # fmt: skip
    if not peer.requirements:
        lines = [["bash", str(ROOT / "scripts" / "peers.sh")]]
    for line in lines:
        try:
            subprocess.run(line, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return " ".join((getattr(error, "stderr", None) or str(error)).split())[-300:]
    return ""


def environment(command: Path | None, threads: int) -> dict[str, str]:
    """Return the variables of a job: as many threads as the others have, and of a peer its own commands first."""
    own = os.environ | {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": "1"}
    if command is not None:
        own.pop("PYTHONPATH", None)
        own["PATH"] = f"{command.parent}:{own['PATH']}"
    return own
