"""Random reads from mapped shards: codes, values and times of every subject of train, each summed, in one random order.

    OMP_NUM_THREADS=1 python tests/benchmarks/reads.py [--workspace FOLDER] [--subjects 20000] [--rounds 5]

Without a workspace one is invented: lognormal lengths, 200 in the middle. CPU seconds of this process with the files in
the page cache, the best of some rounds; beside it the reads without sums, and the sums of what is read already, which
no reader is below.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from loader import best_seconds

from tawt.dataset.reader import Split, open_dataset
from tawt.dataset.shard import Columns

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shards


def summed(columns: Columns) -> float:
    """Return the sums of the columns that every model reads."""
    return float(columns.data_type.sum() + columns.value.sum() + columns.timestamp.sum())


def read(split: Split, order: list[int]) -> None:
    """Cut the columns of each subject out of its shard, and sum none."""
    for i in order:
        split.columns(i)


def read_and_sum(split: Split, order: list[int]) -> None:
    """Read each subject and sum its columns."""
    for i in order:
        summed(split.columns(i))


def main() -> None:
    """Print subjects and triplets per CPU second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="read this one")
    parser.add_argument("--subjects", type=int, default=20_000, help="of the invented one")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = options.workspace or Path(scratch)
        if options.workspace is None:
            sizes = [5_000] * -(-options.subjects // 5_000)
            shards.write_dataset(workspace, {"train": sizes}, median_length=200, n_types=2_000)
        split = open_dataset(workspace).split("train")
        order = np.random.default_rng(0).permutation(split.n_subjects).tolist()
        held = [split.columns(i) for i in order]
        jobs = {
            "read and summed": lambda: read_and_sum(split, order),
            "read alone": lambda: read(split, order),
            "summed alone": lambda: [summed(columns) for columns in held],
        }
        for name, job in jobs.items():
            job()
            seconds = best_seconds(job, options.rounds)
            print(
                f"{name:16s} {len(order) / seconds:12,.0f} subjects/CPU s {split.n_triplets / seconds / 1e6:8.1f} M triplets/CPU s"
            )


if __name__ == "__main__":
    main()
