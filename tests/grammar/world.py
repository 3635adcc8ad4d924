"""An invented world whose every chance is known: an automaton over data_types, with gaps, values, death and an end.

`World(seed, permuted)` with `permuted` has the same data_types, gaps and values, each as often, in other transitions:
a model that learned nothing but how often things are cannot tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shards

from tawt.batching.host import HostBatch
from tawt.config.train import PretrainConfig

HOUR = 3_600_000_000
SUBJECTS, STEPS = 700, 200
"""Whom the tests' decoder learns from, and for how long."""
MINUTE = 60_000_000
N = 7
"""Data_types besides death."""
DEATH = N
SPECIAL = len(shards.SPECIAL)
ALPHA = 0.8
"""How much of a number's distance from its mean stays to the next of its data_type."""


@dataclass
class World:
    """The automaton."""

    seed: int = 0
    permuted: bool = False

    def __post_init__(self) -> None:
        # a ring with two chords: each data_type has three that may follow it
        step = np.zeros((N, N))
        for i in range(N):
            for hop, share in ((1, 0.6), (3, 0.3), (5, 0.1)):
                step[i, (i + hop) % N] = share
        if self.permuted:  # the same ring walked backwards: columns sum alike, no transition is shared
            step = step.T.copy()
        self.transitions = step
        self.gap_hours = np.array([0.5, 1.0, 2.0, 3.0, 0.7, 1.5, 6.0])
        """Median hours after each data_type."""
        self.hazard = np.array([0.004, 0.004, 0.08, 0.004, 0.004, 0.02, 0.004])
        """Chance that death is what follows."""
        self.ends = 0.02
        """Chance that nothing follows."""

    def records(self, n: int, seed: int, start: int | None = None, hours: float = 1e9, most: int = 10_000):
        """Walk `n` times: lists of (us, data_type, number); from a data_type on, up to a horizon, if these are given."""
        rng = np.random.default_rng([self.seed, seed])
        return [self._walk(rng, start, hours, most) for _ in range(n)]

    def _walk(self, rng, start, hours, most):
        now = int(rng.integers(N)) if start is None else start
        time, found, last = 0, [], {}
        if start is None:
            found.append(self._event(rng, 0, now, last))
        for _ in range(most):
            if rng.random() < self.ends:
                break
            gap = max(1, round(self.gap_hours[now] * np.exp(0.4 * rng.standard_normal()) * 60)) * MINUTE
            time += gap
            if time > hours * HOUR:
                break
            if rng.random() < self.hazard[now]:
                found.append((time, DEATH, None))
                break
            now = int(rng.choice(N, p=self.transitions[now]))
            found.append(self._event(rng, time, now, last))
        return found

    def _event(self, rng, time, kind, last):
        if shards.KINDS[kind % len(shards.KINDS)] not in ("numeric", "mixed"):
            return time, kind, None
        number = ALPHA * last.get(kind, rng.standard_normal()) + (1 - ALPHA**2) ** 0.5 * rng.standard_normal()
        last[kind] = number
        return time, kind, number

    def risk(self, start: int, hours: float, n: int, seed: int) -> float:
        """Return the chance of death within so many hours of an event of a data_type, from `n` walks."""
        walks = self.records(n, seed, start, hours)
        return float(np.mean([bool(walk) and walk[-1][1] == DEATH for walk in walks]))

    def allowed(self, before: int, kind: int) -> bool:
        """Return whether one may follow the other."""
        return kind == DEATH or (before != DEATH and self.transitions[before, kind] > 0)


def write(workspace: Path, world: World, n: int, seed: int = 0) -> None:
    """Write a workspace of `n` subjects of train and a tenth as many of tuning."""
    hashed = shards.write_vocabulary(workspace, N + 1)
    splits, first = {}, 1
    for split, size in (("train", n), ("tuning", max(10, n // 10))):
        walks = world.records(size, seed + first)
        columns, index = _columns(walks, first)
        splits[split] = [shards.write_shard(workspace / "dataset" / split, "00000", columns, index)]
        first += size
    shards.write_manifest(workspace, hashed, splits)


def _columns(walks, first):
    flat = [event for walk in walks for event in walk]
    lengths = np.array([len(walk) for walk in walks])
    kind = np.array([kind for _, kind, _ in flat])
    number = np.array([np.nan if x is None else x for _, _, x in flat])
    has = np.isfinite(number)
    texts = np.isin(kind % len(shards.KINDS), [2]) & (kind != DEATH)
    bins = np.where(np.isin(kind % len(shards.KINDS), [0, 3, 4]), shards.N_BINS, 0)
    token = np.where(has, 1 + np.searchsorted(shards.EDGES, np.nan_to_num(number), side="right"), 0)
    token = np.where(texts, bins + 2 + np.arange(len(kind)) % 2, token)
    ids = np.arange(first, first + len(walks))
    time = np.array([time for time, _, _ in flat])
    columns = {
        "subject_id": np.repeat(ids, lengths), "timestamp": time, "data_type": (kind + SPECIAL).astype(np.int32),
        "value": np.where(has, number, 0).astype(np.float32), "value_token": token.astype(np.int32),
        "value_status": np.where(has, 1, np.where(texts, 2, 0)).astype(np.uint8), "available_time": time,
    }  # fmt: skip
    index = {
        "subject_id": ids, "start": np.cumsum(lengths) - lengths, "length": lengths,
        "n_static": np.zeros(len(ids), np.int32), "origin": np.zeros(len(ids), np.int64),
    }  # fmt: skip
    return columns, index


COLUMNS = (
    "data_type", "value", "value_token", "value_status", "time", "identity", "n_static", "subject_id", "origin",
    "begins", "ends",
)  # fmt: skip


def first_events(batch: HostBatch) -> HostBatch:
    """Return one record for each data_type, of which only its first event is known, at that moment."""
    first = batch.select(np.arange(batch.n_tokens) == batch.bounds[:-1][batch.document])
    chosen = np.array([np.flatnonzero(first.data_type - SPECIAL == kind)[0] for kind in range(N)])
    columns = {name: getattr(first, name)[chosen] for name in COLUMNS}
    return replace(first, **columns, end=columns["time"], bounds=np.arange(N + 1))


def config(steps: int) -> PretrainConfig:
    """Return a small decoder."""
    return PretrainConfig.model_validate({
        "model": {
            "d_model": 32, "n_layers": 1, "n_heads": 2, "d_ffn": 64, "causal": True, "dropout": 0.0, "time": ["delta"],
        },
        "objective": {"masked": {"weight": 0.0}, "next": {"weight": 1.0}},
        "batching": {"tokens_per_batch": 2048, "max_length": 512, "order": "by_type"},
        "train": {
            "max_steps": steps, "lr": 5e-3, "warmup_steps": 10, "validate_every": steps, "checkpoint_every": steps,
            "threads": 1,
        },
    })  # fmt: skip
