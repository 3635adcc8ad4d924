"""Tokens per second of the packed training step on CPU, beside what it replaces and what bounds it.

    OMP_NUM_THREADS=1 python tests/benchmarks/trainer.py [--documents 40] [--rounds 3] [--threads]

Every variant trains the same model on the same documents (lognormal lengths, median 200, sigma 1, 8 to 4096 tokens), forward,
loss and backward, in one process; rounds go through the variants forward and backward in turn, and the median of the CPU
time counts. Ratios of one run hold; absolute figures are those of the machine.

    packed          the trainer as it is: best-fit batches, tile kernel
    packed, learned the same with learned slopes
    reference       the same batches, plain attention per document, differentiated by autograd
    padded          random documents padded to the longest, at most 8192 cells a batch, SDPA with a dense additive bias
    padded, learned the same with learned slopes, where SDPA falls back to its slow path
    padded, sorted  documents sorted by length before they are batched: hardly any padding, batches of one length
    no attention    the packed model with all its matrices, but each token keeps its own value: the ceiling
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shards

from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, draw_masks, hide, may_lose
from tawt.config.batching import BatchingConfig
from tawt.config.model import DecayConfig, ModelConfig
from tawt.config.train import MaskedConfig
from tawt.dataset.reader import open_dataset
from tawt.models import encoder as encoder_module
from tawt.models.attention import Geometry, reference_attention
from tawt.models.build import PretrainModel, build_model
from tawt.objectives.masked import Targets, loss_sums, make_targets

BUDGET, LONGEST = 8192, 4096


@dataclass
class Case:
    """One batch ready to train on; `index` finds the real tokens among the cells of a padded batch."""

    batch: PackedBatch
    targets: Targets
    index: Tensor | None
    n_tokens: int


def documents(batch: PackedBatch) -> list[dict[str, Tensor]]:
    """The columns of each document of a packed batch."""
    names = [f.name for f in fields(batch) if len(np.shape(getattr(batch, f.name))) and f.name != "cu_seqlens"]
    per_token = [name for name in names if len(getattr(batch, name)) == batch.n_tokens]
    bounds = batch.cu_seqlens.tolist()
    return [{n: getattr(batch, n)[a:b] for n in per_token} for a, b in pairwise(bounds)]


def padded(batch: PackedBatch, group: list[dict[str, Tensor]]) -> tuple[PackedBatch, Tensor]:
    """Documents as rows of one length, and the cells that hold their tokens."""
    lengths = [len(part["hours"]) for part in group]
    longest = max(lengths)
    cells = {
        name: torch.stack(
            [torch.nn.functional.pad(part[name], (0, longest - n)) for part, n in zip(group, lengths, strict=True)]
        ).view(-1)
        for name in group[0]
    }
    index = torch.cat([i * longest + torch.arange(n) for i, n in enumerate(lengths)])
    bounds = torch.arange(len(group) + 1, dtype=torch.int32) * longest
    return replace(batch, **cells, cu_seqlens=bounds, max_seqlen=longest), index


def packed_again(batch: PackedBatch, group: list[dict[str, Tensor]]) -> PackedBatch:
    """Documents end to end."""
    lengths = [len(part["hours"]) for part in group]
    cells = {name: torch.cat([part[name] for part in group]) for name in group[0]}
    bounds = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    return replace(batch, **cells, cu_seqlens=bounds, max_seqlen=max(lengths))


def groups_of(parts: list[dict[str, Tensor]]) -> list[list[dict[str, Tensor]]]:
    """Documents in the given order, as many to a batch as fit when padded."""
    groups: list[list[dict[str, Tensor]]] = [[]]
    longest = 0
    for part in parts:
        longest = max(longest, len(part["hours"]))
        if groups[-1] and longest * (len(groups[-1]) + 1) > BUDGET:
            groups.append([])
            longest = len(part["hours"])
        groups[-1].append(part)
    return groups


def padded_attention(real: dict[str, Tensor]) -> Callable[..., Tensor]:
    """SDPA over rows of one length with decay and padding as one dense bias, made once per batch as the packed distances are."""

    def attend(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, where: Geometry) -> Tensor:
        n_heads, n, d_head = q.shape
        rows = len(where.spans)
        q, k, v = (x.view(n_heads, rows, n // rows, d_head).transpose(0, 1) for x in (q, k, v))
        assert where.distances is not None and slopes is not None
        bias = -slopes[:, None, None] * torch.stack(where.distances)[:, None]
        bias = bias.masked_fill(~real["cells"].view(rows, 1, 1, -1), -1e4)
        out = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.transpose(0, 1).reshape(n_heads, n, d_head)

    return attend


def no_attention(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, where: Geometry) -> Tensor:
    """Each token keeps its own value; queries and keys stay in the graph."""
    return v + 0 * (q + k)


def make_step(model: PretrainModel, attend: Callable[..., Tensor] | None) -> Callable[[Case], None]:
    """Forward, loss and backward of one batch."""

    def step(case: Case) -> None:
        model.zero_grad(set_to_none=True)
        states = model.encoder(case.batch)
        states = states if case.index is None else states[case.index]
        sum(loss_sums(model, states, case.targets).values()).backward()

    if attend is None:
        return step

    def patched(case: Case) -> None:
        with mock.patch.object(encoder_module, "packed_attention", attend):
            step(case)

    return patched


def main() -> None:
    """Print a table per model."""
    options = argparse.ArgumentParser()
    options.add_argument("--documents", type=int, default=40)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", action="store_true", help="compare wall time of 1 and 2 threads instead")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(200), 1.0, chosen.documents), 8, LONGEST).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        shards.write_dataset(Path(folder), {"train": [len(lengths)]}, lengths=lengths.tolist(), n_types=300)
        dataset = open_dataset(Path(folder))
        vocabulary = dataset.vocabulary
        batching = BatchingConfig(tokens_per_batch=BUDGET, max_length=LONGEST)
        loader = PackedLoader(dataset.split("train"), vocabulary, batching, 0)
        batches = [loader.batch(i) for i in range(loader.n_batches(0))]
    n = sum(b.n_tokens for b in batches)
    print(
        f"{len(lengths)} documents, {n} tokens, {len(batches)} packed batches, sum L^2 / n = {(lengths**2).sum() / n:.0f}"
    )

    losable, objective = may_lose(vocabulary), MaskedConfig()

    def case(batch: PackedBatch, index: Tensor | None = None, cells: PackedBatch | None = None) -> Case:
        masks = draw_masks(batch, objective, losable, TRAINING, 0, 0)
        targets = make_targets(batch, masks, vocabulary, objective)
        seen = hide(batch, masks)
        if cells is not None and index is not None:
            wide = {
                f.name: getattr(cells, f.name).index_copy(0, index, getattr(seen, f.name))
                for f in fields(seen)
                if len(np.shape(getattr(seen, f.name)))
                and len(getattr(seen, f.name)) == batch.n_tokens
                and f.name not in ("cu_seqlens", "subject_id", "end_hours", "end_time")
            }
            seen = replace(cells, **wide)
        return Case(seen, targets, index, batch.n_tokens)

    parts = [part for batch in batches for part in documents(batch)]
    by_length = sorted(parts, key=lambda part: len(part["hours"]))

    def padded_cases(order: list[dict[str, Tensor]]) -> list[Case]:
        made = []
        for group in groups_of(order):
            cells, index = padded(batches[0], group)
            made.append(case(packed_again(batches[0], group), index, cells))
        return made

    packed = [case(batch) for batch in batches]
    mixed = [parts[i] for i in rng.permutation(len(parts))]
    random, ordered = padded_cases(mixed), padded_cases(by_length)
    for name, cases in (("random", random), ("sorted", ordered)):
        cells = sum(c.batch.n_tokens for c in cases)
        print(f"padded, {name}: {len(cases)} batches, {n / cells:.0%} of the cells hold a token")

    for d_model, n_layers in ((128, 2), (64, 4)):
        shape = {"d_model": d_model, "n_layers": n_layers, "n_heads": 4, "d_ffn": 4 * d_model, "dropout": 0.0}
        fixed = build_model(ModelConfig(**shape), vocabulary, 0)
        learned = build_model(ModelConfig(**shape, decay=DecayConfig(learned=True)), vocabulary, 0)
        real: dict[str, Tensor] = {}

        def on_padded(model: PretrainModel, real: dict[str, Tensor] = real) -> Callable[[Case], None]:
            step = make_step(model, padded_attention(real))

            def run(c: Case) -> None:
                real["cells"] = torch.zeros(c.batch.n_tokens, dtype=torch.bool).index_fill(0, c.index, True)
                step(c)

            return run

        variants: dict[str, tuple[Callable[[Case], None], list[Case]]] = {
            "packed": (make_step(fixed, None), packed),
            "packed, learned": (make_step(learned, None), packed),
            "reference": (make_step(fixed, reference_attention), packed),
            "padded": (on_padded(fixed), random),
            "padded, learned": (on_padded(learned), random),
            "padded, sorted": (on_padded(fixed), ordered),
            "no attention": (make_step(fixed, no_attention), packed),
        }
        print(f"\nd {d_model} x {n_layers} layers, 4 heads")
        if chosen.threads:
            compare_threads(variants["packed"], variants["no attention"], n, chosen.rounds)
        else:
            compare(variants, n, chosen.rounds)


def compare(variants: dict[str, tuple[Callable[[Case], None], list[Case]]], n: int, rounds: int) -> None:
    """Print CPU tokens per second of each variant and the ratio to `packed`."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for step, cases in variants.values():
        step(min(cases, key=lambda c: c.batch.n_tokens))  # first calls choose kernels and fill caches
    for i in range(rounds):
        for name in list(variants)[:: 1 if i % 2 == 0 else -1]:
            step, cases = variants[name]
            began = time.process_time()
            for c in cases:
                step(c)
            seconds[name].append(time.process_time() - began)
    best = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"{'variant':18}{'tokens/s':>10}{'packed is':>12}{'spread':>9}")
    for name, taken in best.items():
        spread = (max(seconds[name]) - min(seconds[name])) / taken
        print(f"{name:18}{n / taken:10.0f}{taken / best['packed']:11.2f}x{spread:9.0%}")


def compare_threads(
    packed: tuple[Callable[[Case], None], list[Case]],
    none: tuple[Callable[[Case], None], list[Case]],
    n: int,
    rounds: int,
) -> None:
    """Print wall tokens per second with 1 and 2 threads."""
    for name, (step, cases) in (("packed", packed), ("no attention", none)):
        wall: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for threads in wall:
                torch.set_num_threads(threads)
                step(cases[-1])
                began = time.perf_counter()
                for c in cases:
                    step(c)
                wall[threads].append(time.perf_counter() - began)
        one, two = (n / statistics.median(wall[threads]) for threads in (1, 2))
        print(f"{name:18}1 thread {one:8.0f} tokens/s, 2 threads {two:8.0f} tokens/s: {two / one:.2f}x")
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
