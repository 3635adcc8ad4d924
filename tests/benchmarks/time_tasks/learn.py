"""Train tawt's encoder with a linear head on one rule, and measure it on records it has not seen."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from rules import CODES, N_TYPES, Record, Rule, draw_record
from torch import nn

from tawt.batching.batch import PackedBatch
from tawt.batching.host import HostBatch
from tawt.config.model import ModelConfig
from tawt.contracts.dataset import SPECIAL_CODES, US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.encoder import Encoder

N_SPECIAL = len(SPECIAL_CODES)


def vocabulary() -> Vocabulary:
    """The invented events, each with a number."""
    n = N_SPECIAL + N_TYPES
    return Vocabulary(
        codes=(*SPECIAL_CODES, *CODES),
        value_kind=("special",) * N_SPECIAL + ("numeric",) * N_TYPES,
        n_rows=np.ones(n, np.int64),
        center=np.zeros(n),
        scale=np.ones(n),
        mean=np.zeros(n),
        std=np.ones(n),
        n_bins=np.zeros(n, np.int32),
        categories=((),) * n,
        sha256=hashlib.sha256(b"time tasks").hexdigest(),
    )


def pack(records: list[Record]) -> PackedBatch:
    """Lay records end to end."""
    lengths = np.array([len(record.hours) for record in records])
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    hours = np.concatenate([record.hours for record in records])
    time = np.rint(hours * US_PER_HOUR).astype(np.int64)
    data_type = N_SPECIAL + np.concatenate([record.events for record in records])
    n_records = len(records)
    return HostBatch(
        data_type=data_type,
        value=np.concatenate([record.values for record in records]).astype(np.float32),
        value_token=np.zeros_like(data_type),
        value_status=np.full_like(data_type, ValueStatus.NUMERIC),
        time=time,
        available=None,
        identity=np.zeros(len(time), np.uint32),
        bounds=bounds,
        n_static=np.zeros(n_records, np.int64),
        subject_id=np.arange(n_records),
        origin=np.rint([record.origin * US_PER_HOUR for record in records]).astype(np.int64),
        end=time[bounds[1:] - 1],
        n_cut=0,
    ).tensors()


def labels(records: list[Record]) -> torch.Tensor:
    """`(d,)` float32."""
    return torch.tensor([float(record.label) for record in records])


def auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """Chance that a record of label 1 scores above one of label 0; ties count half."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n_true, n_false = truth.sum(), (~truth).sum()
    return float((rank[truth].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))


def learn(
    rule: Rule, config: ModelConfig, seed: int, *, n_steps: int, n_documents: int, lr: float, n_test: int
) -> float:
    """Train on fresh records in every step, and return the AUROC on `n_test` further ones."""
    rng = np.random.default_rng([seed, 1])
    unseen = [draw_record(rule, np.random.default_rng([seed, 2, i])) for i in range(n_test)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(config, vocabulary())
        head = nn.Linear(config.d_model, 1)
        nn.init.zeros_(head.weight)
        parameters = [*encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
        for step in range(n_steps):
            for group in optimizer.param_groups:
                group["lr"] = (
                    lr * min(1, (step + 1) / 20) * (0.05 + 0.95 * (1 + math.cos(math.pi * step / n_steps)) / 2)
                )
            records = [draw_record(rule, rng) for _ in range(n_documents)]
            logits = head(encoder.embed(pack(records)))[:, 0]
            optimizer.zero_grad(set_to_none=True)
            nn.functional.binary_cross_entropy_with_logits(logits, labels(records)).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        encoder.eval()
        with torch.no_grad():
            scores = [head(encoder.embed(pack(unseen[i : i + 256])))[:, 0] for i in range(0, n_test, 256)]
    return auroc(torch.cat(scores).double().numpy(), labels(unseen).numpy() > 0.5)
