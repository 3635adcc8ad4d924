"""Where the real data lies, on a machine that has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that `TAWT_SHARED_DATA` names, else `../shared/data` beside the repository."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("TAWT_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}: set TAWT_SHARED_DATA to a folder with physionet2012, mimic_iv_demo, ..."
        )
    return folder
