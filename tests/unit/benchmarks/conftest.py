"""The benchmarks are scripts: their folders are put on the path while one is tested."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def time_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `rules` and `learn` importable."""
    _importable(monkeypatch, "time_tasks", "rules", "learn")


@pytest.fixture
def physionet2012(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `stays`, `recipes`, `steps` and `table` importable."""
    _importable(monkeypatch, "physionet2012", "stays", "recipes", "steps", "table")


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `trainer` importable."""
    _importable(monkeypatch, "", "trainer")


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `jobs`, `venvs` and `extract` importable."""
    _importable(monkeypatch, "race", "jobs", "venvs")
    _importable(monkeypatch, "", "extract")


def _importable(monkeypatch: pytest.MonkeyPatch, folder: str, *modules: str) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    for name in modules:  # what is imported meanwhile goes again
        monkeypatch.delitem(sys.modules, name, raising=False)
