"""The kernel of our own: through Triton's interpreter on CPU, and compiled for cards that are not there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton, which comes with torch for CUDA, is not installed", allow_module_level=True)


def _said(script: str, *arguments: str) -> Any:
    """What a script beside this file prints, in a process of its own."""
    clean = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, HERE / script, *arguments], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """What `interpreted.py` found."""
    if torch.cuda.is_available():
        pytest.skip("tests/gpu runs the kernel itself")
    older = tuple(map(int, version("triton").split(".")[:2])) < (3, 7)
    if older and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip(f"the interpreter of Triton {version('triton')} does not run with numpy {np.__version__}")
    return _said("interpreted.py")


@pytest.mark.parametrize(
    ("case", "may"),
    [("no terms", 3e-6), ("every term, padded heads", 3e-6), ("linear decay", 3e-5), ("fp16", 8e-3), ("causal", 3e-6)],
)
def test_it_equals_the_definition(interpreted, case, may):
    """Output and all gradients of a padded pack are the definition's; `causal`, that of scores masked past each token."""
    assert interpreted[case] < may


def test_a_layer_through_it_is_one_graph(interpreted):
    """A layer gives the definition's states and gradients, compiled or not, and other documents make no new graph."""
    off, n_graphs = interpreted["layer"]
    assert off < 1e-5 and n_graphs == 1


def test_the_gate_equals_its_definition(interpreted):
    """Output and gradient of SwiGLU's gate."""
    assert interpreted["gate"] < 1e-6


def test_the_operator_keeps_to_what_torch_expects(interpreted):
    """Schema, shapes without data and the registered gradient agree with what the operator does."""
    assert interpreted["operator"] == ["SUCCESS"]


@pytest.mark.parametrize("capability", [80, 86, 90])
def test_compiled_it_fits_the_cards(capability):
    """For heads of 64 in bf16, no kernel needs more than 99 KB, keeps more than 64 bytes outside of registers, or adds by
    atomics."""
    kernels = _said("compiled.py", str(capability))
    assert set(kernels) == {"turn", "forward", "to_queries", "to_keys"}
    for name, uses in kernels.items():
        assert uses["shared_bytes"] <= 99 * 1024 and uses["stack_bytes"] <= 64 and not uses["atomics"], (name, uses)
