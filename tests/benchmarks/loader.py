"""Speed of the loader in one process, how full its batches are, and what memory it takes.

    python tests/benchmarks/loader.py [--tokens 10000000] [--budget 8192] [--dir FOLDER]

The floor is the copy alone: the same rows of the same columns laid end to end, as they are on disk. Times are CPU
seconds of this process with the files in the page cache, the best of three rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shards

from tawt.batching.augment import AUGMENT, altered
from tawt.batching.batch import PackedBatch
from tawt.batching.cut import cut
from tawt.batching.host import HostBatch
from tawt.batching.left import Cutter
from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, draw_masks, hide, may_lose
from tawt.config.augment import AugmentConfig
from tawt.config.batching import BatchingConfig
from tawt.config.objective import ContrastiveConfig, ForecastConfig, MaskedConfig
from tawt.dataset.reader import open_dataset

COLUMNS = ("timestamp", "data_type", "value", "value_token", "value_status")


def best_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the fewest CPU seconds of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def spend(make: Callable[[int], object], n: int) -> None:
    """Make `n` batches and let each go, as training does."""
    for step in range(n):
        make(step)


def megabytes(field: str) -> float:
    """Return a field of this process's memory, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def open_loader(workspace: Path, budget: int) -> PackedLoader:
    """Return the training loader of a workspace."""
    dataset = open_dataset(workspace)
    return PackedLoader(dataset.split("train"), dataset.vocabulary, BatchingConfig(tokens_per_batch=budget))


Work = tuple[Callable[[], PackedLoader], Callable[[HostBatch, int], object]]


def prepared(loader: PackedLoader) -> dict[str, Work]:
    """Return what is done with a batch before training, each by itself on top of loading; views and cut with masks.

    Where documents are cut, planning is part of it.
    """
    vocabulary, losable = loader.vocabulary, may_lose(loader.vocabulary)
    plain, views, none = MaskedConfig(), ContrastiveConfig().views, AugmentConfig()
    rich = MaskedConfig(spans=2, variables=0.2)
    columns = np.arange(4, min(132, len(vocabulary)))
    ahead, salts = ForecastConfig(), (TRAINING, 0)
    cutters = {
        "augment": Cutter(None, views, None, salts), "cut": Cutter(ahead, none, None, salts),
        "views": Cutter(None, none, views, salts),
    }  # fmt: skip

    def hidden(batch: HostBatch, step: int, config: MaskedConfig = plain) -> PackedBatch:
        return hide(batch, draw_masks(batch, config, losable, TRAINING, 0, step)).tensors()

    def thinned(name: str) -> Callable[[HostBatch, int], object]:
        def make(batch: HostBatch, step: int) -> object:
            batch = cutters[name].thin(batch, batch.packing or 0)
            return hidden(altered(batch, views, vocabulary, AUGMENT, 0, step), step)

        return make

    def forecast(batch: HostBatch, step: int) -> object:
        batch, coming = cut(batch, ahead, columns)
        return hidden(batch, step), coming

    def cutting(name: str) -> Callable[[], PackedLoader]:
        return lambda: PackedLoader(
            loader.split, vocabulary, loader.config, with_available=name == "cut", cutter=cutters[name]
        )

    return {
        "+ masks": (lambda: loader, hidden),
        "+ spans, variables": (lambda: loader, lambda batch, step: hidden(batch, step, rich)),
        "+ augment, masks": (cutting("augment"), thinned("augment")),
        "+ cut, masks": (cutting("cut"), forecast),
        "+ two views, masks": (cutting("views"), thinned("views")),
    }


def epoch_of(work: Work) -> None:
    """Make all batches of an epoch."""
    opened, make = work
    loader = opened()
    spend(lambda step: make(loader.batch(step), step), loader.n_batches(0))


def speed(workspace: Path, budget: int) -> None:
    """Print tokens per second of planning, of copying alone and of whole batches."""
    loader = open_loader(workspace, budget)
    np.ones(3_000_000)  # let go at once: from then on the C library keeps what is freed, as it does in any training
    plan = best_seconds(lambda: open_loader(workspace, budget).n_batches(0), 1)
    n = loader.n_batches(0)
    loader.batch(n - 1)
    whole = best_seconds(lambda: spend(lambda step: loader.batch(step).tensors(), n))
    work = prepared(loader)
    loader.batch(n - 1)
    seconds = {name: best_seconds(lambda one=one: epoch_of(one)) for name, one in work.items()}
    reaching = {name: opened().n_left(0) for name, (opened, _) in work.items()}

    split = loader.split
    runs = []
    for step in range(n):
        ids = loader.batch(step).subject_id
        numbers = np.searchsorted(split.subject_ids, ids)  # invented ids ascend through the shards
        lengths = np.minimum(split.lengths[numbers], loader.config.max_length)
        runs.append([(split.shards[split.shard[i]], split.starts[i], k) for i, k in zip(numbers, lengths, strict=True)])

    def copy() -> None:
        for rows in runs:
            for name in COLUMNS:
                np.concatenate([getattr(columns, name)[a : a + k] for columns, a, k in rows])

    floor = best_seconds(copy)
    tokens = loader.n_tokens
    print(f"budget {budget}: {n} batches of {tokens} tokens, {100 * tokens / (n * budget):.2f} % full")
    print(f"  planning an epoch   {tokens / plan / 1e6:8.1f} M tokens/s")
    print(f"  whole batches       {tokens / whole / 1e6:8.1f} M tokens/s   (windows, copy, gaps, tensors)")
    for name, spent in seconds.items():
        print(f"  {name:20s}{reaching[name] / spent / 1e6:8.1f} M tokens/s that reach the model")
    spent = seconds["+ masks"] + plan
    print(f"  + masks + planning  {tokens / spent / 1e6:8.1f} M tokens/s")
    print(f"  floor: copy alone   {tokens / floor / 1e6:8.1f} M tokens/s   whole / floor = {whole / floor:.1f}")

    start = time.perf_counter()
    stream = loader.stream()
    for _ in range(n):
        next(stream)
    wall = time.perf_counter() - start
    stream.close()
    print(
        f"  stream, wall clock  {tokens / wall / 1e6:8.1f} M tokens/s   (one thread ahead, nothing done with a batch)"
    )


def memory(workspace: Path, budget: int) -> None:
    """Print what one epoch adds to this process's own memory."""
    before = megabytes("RssAnon")
    loader = open_loader(workspace, budget)
    for step in range(loader.n_batches(0)):
        loader.batch(step)
    size = sum(file.stat().st_size for file in workspace.rglob("*.arrow")) / 1e6
    print(
        f"  {size:8.1f} MB on disk, {loader.split.n_subjects:7d} subjects: own memory "
        f"+{megabytes('RssAnon') - before:.1f} MB, mapped pages {megabytes('RssFile'):.0f} MB (the kernel's to drop)",
        flush=True,
    )


def make(workspace: Path, n_tokens: int) -> Path:
    """Invent a workspace of about `n_tokens` triplets, unless it is there already."""
    if not (workspace / "dataset" / "dataset.json").exists():
        per_shard = 5_000
        n_shards = max(1, round(n_tokens / 330 / per_shard))
        shards.write_dataset(workspace, {"train": [per_shard] * n_shards}, median_length=200, n_types=2_000)
    return workspace


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--budget", type=int, action="append", help="tokens per batch; default 8192 and 65536")
    parser.add_argument("--dir", type=Path, help="keep the invented workspaces here")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    budgets = options.budget or [8192, 65536]
    if options.memory_of:
        memory(options.memory_of, budgets[0])
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.dir or Path(scratch)
        large = make(folder / f"{options.tokens}", options.tokens)
        small = make(folder / f"{options.tokens // 5}", options.tokens // 5)
        for budget in budgets:
            speed(large, budget)
        print("memory of a process that reads one epoch")
        for workspace in (small, large):
            command = [sys.executable, __file__, "--budget", str(budgets[0]), "--memory-of", str(workspace)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
