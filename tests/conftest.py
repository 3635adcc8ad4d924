"""Fixtures that several folders of tests share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def shards() -> ModuleType:
    """The module `tests/shards.py`, which invents datasets in the trainer's format."""
    path = Path(__file__).with_name("shards.py")
    spec = importlib.util.spec_from_file_location("tawt_tests_shards", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_dataset(shards: ModuleType):
    """`write_dataset(workspace, splits={"train": [30, 20], ...}, ...)`: see `tests/shards.py`."""
    return shards.write_dataset
