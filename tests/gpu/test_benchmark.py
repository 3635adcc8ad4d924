"""`tests/benchmarks/gpu.py` runs to its end wherever it is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
BARE = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"duckdb", "polars", "pytest"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_gpu_benchmark_runs_on_cpu_with_the_trainers_packages_alone(tmp_path):
    """All four parts run at toy size without duckdb, polars or pytest, and write what they print."""
    out = tmp_path / "gpu.json"
    words = [sys.executable, "-W", "ignore", "-c", BARE, str(SCRIPT), "--device", "cpu", "--quick", "--out", str(out)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    parts = json.loads(out.read_text())["parts"]
    assert set(parts) == {"kernels", "models", "speed", "presets"}
    assert all("error" not in one for some in parts.values() for one in some)
    assert {"tokens_per_s", "mfu", "peak_gb", "making_batches_of_step"} <= set(parts["presets"][0])


def test_a_variant_that_fails_does_not_end_the_rest(tmp_path):
    """An error is printed by its kind, the other variants run, and the exit code is 1."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import gpu; "
        "gpu.parity.KERNELS['flex'] = None; "
        "sys.exit(gpu.main(['--device', 'cpu', '--quick', '--only', 'kernels']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1 and "TypeError" in ended.stdout and "packed, all" in ended.stdout
