"""Tests that need a CUDA device are skipped, with the reason, where torch finds none: `pytest -m gpu`, anywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent, HERE.parent / "numerics"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import parity  # noqa: E402  # beside this file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` on a machine without one."""
    if torch.cuda.is_available():
        return
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPU only"
    skip = pytest.mark.skip(reason=f"torch {torch.__version__} ({built}) finds no CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def fresh_graphs() -> Iterator[None]:
    """Each test compiles for itself, and one whose function would run uncompiled for want of room fails."""
    parity.forget_graphs()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield


@pytest.fixture
def workspace(tmp_path: Path, write_dataset) -> Path:
    """A workspace of some dozens of invented subjects."""
    write_dataset(tmp_path / "w", {"train": [40, 20], "tuning": [10], "held_out": [10]}, max_static=2)
    return tmp_path / "w"
