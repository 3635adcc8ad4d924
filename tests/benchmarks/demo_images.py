"""How near to the best that can be told runs come that look at records, at images and at both: `tawt demo --images`.

    OMP_NUM_THREADS=1 python tests/benchmarks/demo_images.py --out FOLDER [--seeds 1] [--subjects 3000]

All of it on one thread; told is the CPU time of the whole demo. A seed is another hospital, with other people.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tawt.commands.demo_images import demo_images


def main() -> None:
    """Run the demo once per seed and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subjects", type=int, default=8000)
    given = parser.parse_args()
    for seed in range(given.seeds):
        start = time.process_time()
        made = demo_images(
            given.out / str(seed), given.subjects, seed, "cpu", 1, lambda event: None, lambda event: None,
            ("train.threads=1",),
        )  # fmt: skip
        spent = time.process_time() - start
        print(f"seed {seed}: {made.n_asked:,} people asked, {spent:.0f} CPU seconds, {made.seconds:.0f} in all")
        print("\n".join(" | ".join(row) for row in made.rows()), flush=True)
        assert made.evaluation.fewer is not None
        fewer = ((row.name, row.metrics["auroc"].value) for row in made.evaluation.fewer.rows)
        print(", ".join(f"{name} {value:.3f}" for name, value in fewer), flush=True)


if __name__ == "__main__":
    main()
