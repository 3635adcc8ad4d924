"""Own memory of a whole pretraining against the size of its dataset, beside what a dry run foretells.

    OMP_NUM_THREADS=1 python tests/benchmarks/memory.py [--tokens 2000000 10000000 50000000] [--config pretrain_small] [--dir FOLDER]

Each size is trained on in a process of its own, for as many steps as read the whole dataset up to a limit, with validation, a
checkpoint and the look at the embeddings. Own memory (anonymous pages) is sampled fifty times a second; mapped pages of the dataset
are the kernel's to drop and stand beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shards
from loader import megabytes

from tawt.commands.pretrain import pretrain

STEPS = 40


def train(workspace: Path, config: str) -> dict[str, Any]:
    """Pretrain, and return the most memory that this process held."""
    most, mapped, over = 0.0, 0.0, threading.Event()

    def watch() -> None:
        nonlocal most, mapped
        while not over.wait(0.02):
            most, mapped = max(most, megabytes("RssAnon")), max(mapped, megabytes("RssFile"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    settings = [f"train.max_steps={STEPS}", f"train.validate_every={STEPS // 2}", "train.threads=1"]
    try:
        with tempfile.TemporaryDirectory() as run:
            result = pretrain(workspace, config, device="cpu", settings=settings, out=Path(run) / "run")
    finally:
        over.set()
        watcher.join()
    return {
        "subjects": result.plan.n_subjects, "own": most, "mapped": mapped, "foretold": result.plan.memory_bytes / 1e6,
    }  # fmt: skip


def main() -> None:
    """Print a line per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[2_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--config", default="pretrain_small")
    parser.add_argument("--dir", type=Path, help="keep the invented workspaces here")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        print(json.dumps(train(options.of, options.config)))
        return
    print(f"{'triplets':>12}{'MB on disk':>12}{'subjects':>10}{'own MB':>9}{'mapped MB':>11}{'foretold MB':>13}")
    with tempfile.TemporaryDirectory() as scratch:
        for n in options.tokens:
            workspace = (options.dir or Path(scratch)) / f"pretrain-{n}"
            if not (workspace / "dataset" / "dataset.json").exists():
                sizes = [5_000] * max(1, round(n / 330 / 5_000))
                shards.write_dataset(workspace, {"train": sizes, "tuning": [500]}, median_length=200, n_types=300)
            size = sum(file.stat().st_size for file in workspace.rglob("*.arrow")) / 1e6
            command = [sys.executable, __file__, "--of", str(workspace), "--config", options.config]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            got = json.loads(ended.stdout.splitlines()[-1])
            numbers = f"{got['own']:9,.0f}{got['mapped']:11,.0f}{got['foretold']:13,.0f}"
            print(f"{n:12,}{size:12,.0f}{got['subjects']:10,}{numbers}", flush=True)


if __name__ == "__main__":
    main()
