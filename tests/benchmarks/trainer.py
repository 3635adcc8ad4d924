"""Tokens per second of the packed training step on CPU, beside what it replaces and what bounds it.

    OMP_NUM_THREADS=1 python tests/benchmarks/trainer.py [--documents 40] [--rounds 3]
    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/trainer.py --threads

Every variant trains the same encoder on the same documents (lognormal lengths, median 200, sigma 1, 8 to 4096 tokens) to
name the data_type of every seventh token: forward, loss and backward, in one process; rounds go through the variants forward
and backward in turn, and the median of the CPU time counts. Ratios of one run hold; absolute figures are those of the machine.

    packed          the trainer as it is: best-fit batches, tile kernel, rotary and fixed decay
    packed, learned the same with learned slopes
    packed, bucket  rotary and a learned bias per bucket of the gap
    packed, cosine  rotary and cosines of the gap, as channels
    reference       the same batches, plain attention per document, differentiated by autograd
    padded          random documents padded to the longest, at most 8192 cells a batch, SDPA with a dense additive bias
    padded, learned the same with learned slopes, where SDPA falls back to its slow path
    padded, sorted  documents sorted by length before they are batched: hardly any padding, batches of one length
    no attention    the packed model with all its matrices, but each token keeps its own value: the ceiling

Before that it prints how full batches are, and which share of a step the loader takes.
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
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shards

from tawt.batching.batch import PackedBatch, make_layout
from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, draw_masks, hide, may_lose
from tawt.config.batching import BatchingConfig
from tawt.config.model import DecayConfig, ModelConfig
from tawt.config.objective import MaskedConfig
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.attention import Geometry, Terms, layer
from tawt.models.encoder import Encoder

BUDGET, LONGEST, EVERY = 8192, 4096, 7
SHAPES = ((128, 2), (64, 4))
Step = Callable[["Case"], None]


@dataclass
class Case:
    """One batch ready to train on; `index` finds the real tokens among the cells of a padded batch."""

    batch: PackedBatch
    n_tokens: int
    index: Tensor | None = None


class Model(nn.Module):
    """The encoder and one linear head."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = Encoder(config, vocabulary)
        self.head = nn.Linear(config.d_model, len(vocabulary))


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
    ends = torch.stack([part["hours"].max() for part in group])  # nothing here asks who or when
    ids = torch.arange(len(group))
    whose = {"subject_id": ids, "clock_hours": torch.zeros_like(ends), "end_hours": ends, "end_time": ids}
    return replace(batch, **cells, **whose, cu_seqlens=bounds, max_seqlen=longest), index


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
    """SDPA over rows of one length with decay and padding as one dense bias; the distances are made once per batch, as the
    packed ones are."""

    def attend(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry, *dropout: float) -> Tensor:
        n_heads, n, d_head = q.shape
        rows = len(where.spans)
        q, k, v = (x.view(n_heads, rows, n // rows, d_head).transpose(0, 1) for x in (q, k, v))
        assert where.fades is not None and terms.slopes is not None
        bias = -terms.slopes[:, None, None] * torch.stack(where.fades)[:, None]
        bias = bias.masked_fill(~real["cells"].view(rows, 1, 1, -1), -1e4)
        out = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.transpose(0, 1).reshape(n_heads, n, d_head)

    return attend


def no_attention(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry, *dropout: float) -> Tensor:
    """Each token keeps its own value; queries and keys stay in the graph."""
    return v + 0 * (q + k)


def make_step(model: Model, attend: Callable[..., Tensor] | None = None) -> Step:
    """Forward, loss and backward of one batch."""

    def step(case: Case) -> None:
        model.zero_grad(set_to_none=True)
        states, wanted = model.encoder.states(case.batch), case.batch.data_type
        if case.index is not None:
            states, wanted = states.index_select(0, case.index), wanted[case.index]
        cross_entropy(model.head(states[::EVERY]), wanted[::EVERY]).backward()

    def patched(case: Case) -> None:
        with mock.patch.object(layer, "packed_attention", attend):
            step(case)

    return step if attend is None else patched


def on_padded(model: Model) -> Step:
    """The step on batches of padded rows."""
    real: dict[str, Tensor] = {}
    step = make_step(model, padded_attention(real))

    def run(case: Case) -> None:
        assert case.index is not None
        real["cells"] = torch.zeros(case.batch.n_tokens, dtype=torch.bool).index_fill(0, case.index, True)
        step(case)

    return run


def batches_of(lengths: list[int], folder: Path) -> tuple[PackedLoader, Vocabulary]:
    """A loader over an invented dataset of documents of these lengths."""
    shards.write_dataset(folder, {"train": [len(lengths)]}, lengths=lengths, n_types=300)
    dataset = open_dataset(folder)
    batching = BatchingConfig(tokens_per_batch=BUDGET, max_length=LONGEST)
    return PackedLoader(dataset.split("train"), dataset.vocabulary, batching, 0), dataset.vocabulary


def loader_seconds_per_token(loader: PackedLoader, vocabulary: Vocabulary) -> float:
    """CPU time of reading, packing, masking and laying out, and how full the batches are, printed."""
    n_batches, losable, n = loader.n_batches(0), may_lose(vocabulary), 0
    loader.batch(0)
    began = time.process_time()
    for i in range(n_batches):
        batch = loader.batch(i)
        make_layout(hide(batch, draw_masks(batch, MaskedConfig(), losable, TRAINING, 0, i)).tensors())
        n += batch.n_tokens
    taken = time.process_time() - began
    print(
        f"{n_batches} batches of {BUDGET} are full to {n / n_batches / BUDGET:.2%}; loader {n / taken / 1e6:.1f} M tokens/s"
    )
    return taken / n


def main() -> None:
    """Print a table per model."""
    options = argparse.ArgumentParser()
    options.add_argument("--documents", type=int, default=40)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", action="store_true", help="compare wall time of 1 and 2 threads instead")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def lengths_of(n: int) -> list[int]:
        return np.clip(rng.lognormal(np.log(200), 1.0, n), 8, LONGEST).astype(int).tolist()

    lengths = lengths_of(chosen.documents)
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        loader, vocabulary = batches_of(lengths, Path(few))
        batches = [loader.batch(i).tensors() for i in range(loader.n_batches(0))]
        loading = loader_seconds_per_token(*batches_of(lengths_of(2000), Path(many)))
    n = sum(lengths)
    area = sum(length**2 for length in lengths) / n
    print(f"{len(lengths)} documents, {n} tokens, {len(batches)} packed batches, sum L^2 / n = {area:.0f}")
    parts = [part for batch in batches for part in documents(batch)]

    def padded_cases(order: list[dict[str, Tensor]]) -> list[Case]:
        made = []
        for group in groups_of(order):
            cells, index = padded(batches[0], group)
            made.append(Case(cells, len(index), index))
        return made

    packed = [Case(batch, batch.n_tokens) for batch in batches]
    random = padded_cases([parts[i] for i in rng.permutation(len(parts))])
    ordered = padded_cases(sorted(parts, key=lambda part: len(part["hours"])))
    for name, cases in (("random", random), ("sorted", ordered)):
        cells = sum(c.batch.n_tokens for c in cases)
        print(f"padded, {name}: {len(cases)} batches, {n / cells:.0%} of the cells hold a token")

    for d_model, n_layers in SHAPES:

        def model(d_model: int = d_model, n_layers: int = n_layers, **more: object) -> Model:
            shape = {"d_model": d_model, "n_layers": n_layers, "n_heads": 4, "d_ffn": 4 * d_model, "dropout": 0.0}
            return Model(ModelConfig(**(shape | more)), vocabulary)

        fixed, learned = model(), model(decay=DecayConfig(learned=True))
        variants: dict[str, tuple[Step, list[Case]]] = {
            "packed": (make_step(fixed), packed),
            "packed, learned": (make_step(learned), packed),
            "packed, bucket": (make_step(model(attention=("rotary", "bucket"))), packed),
            "packed, cosine": (make_step(model(attention=("rotary", "cosine"))), packed),
            "reference": (make_step(model(kernel="reference")), packed),
            "padded": (on_padded(fixed), random),
            "padded, learned": (on_padded(learned), random),
            "padded, sorted": (on_padded(fixed), ordered),
            "no attention": (make_step(fixed, no_attention), packed),
        }
        print(f"\nd {d_model} x {n_layers} layers, 4 heads")
        if chosen.threads:
            compare_threads(variants["packed"], variants["no attention"], n, chosen.rounds)
        else:
            step_seconds = compare(variants, n, chosen.rounds)
            print(f"the loader takes {loading * n / step_seconds:.2%} of the packed step")


def compare(variants: dict[str, tuple[Step, list[Case]]], n: int, rounds: int) -> float:
    """Print CPU tokens per second of each variant and the ratio to `packed`; return the CPU seconds of `packed`."""
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
    return best["packed"]


def compare_threads(packed: tuple[Step, list[Case]], none: tuple[Step, list[Case]], n: int, rounds: int) -> None:
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
