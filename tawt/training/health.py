"""Whether embeddings are worth anything, without labels: how many directions they use, how they spread, and what a
linear probe reads of age and sex. Numbers over many subjects only, never of one."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Floats
from tawt.batching.batch import PackedBatch
from tawt.batching.example import Example
from tawt.batching.loader import PackedLoader
from tawt.chance import draw
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.latent import ACTIVE
from tawt.objectives.pretrain_model import PretrainModel
from tawt.training.device import Compute

LEAST_SUBJECTS = 50
"""A probe of fewer subjects is not reported."""
_HALVES = 0x4EA17  # salt of the halves that a probe is fitted and tested on
_RIDGE = 10.0 ** np.arange(-4, 5)
_HOURS_PER_YEAR = 8766.0
_BIRTH = ("MEDS_BIRTH",)
_AGE = ("age",)
_SEX = ("gender", "sex")


def embedding_health(
    model: Any, loader: PackedLoader, compute: Compute, vocabulary: Vocabulary, max_subjects: int = 2000
) -> dict[str, float]:
    """Embed the first document of each of a split's first subjects, and describe the embeddings.

    Keys: `n_subjects`, those of `spread`, and of `probe` as far as age and sex are there for enough subjects.

    Args:
        model: Has an `encoder`, whose `embed(batch)` gives `(d, d_embedding)`; its mode is put back.
        loader: Of the split, usually `tuning`.
        compute: Device and precision.
        vocabulary: Of the split.
        max_subjects: The cost is theirs: one forward pass each, and all pairs of them.
    """
    vectors, subjects = _embed(model, loader, compute, max_subjects)
    out: dict[str, float] = {"n_subjects": len(vectors)}
    if len(vectors) > SMALL_CELL and np.isfinite(vectors).all():
        out |= spread(vectors)
        out |= probe(vectors, targets_of(loader.split, vocabulary, subjects), subjects)
    return out


def latent_health(model: PretrainModel, examples: Sequence[Example], compute: Compute) -> dict[str, float]:
    """Say how much latents tell of records: nothing where there are none.

    Keys: `kl_record`, nats of a record; `active_kl` and `active_units`, how many numbers have a divergence, or a mean
    that varies, above `ACTIVE`.

    Args:
        model: In evaluation.
        examples: On its device.
        compute: Device and precision.
    """
    if model.latent is None:
        return {}
    with torch.no_grad(), compute.autocast():
        read = [model.latent(example.latent.whole) for example in examples if example.latent is not None]
    each = torch.cat([one.divergence() for one in read]).double().mean(0)
    varies = torch.cat([one.mean for one in read]).double().var(0, correction=0)
    active = {"active_kl": each, "active_units": varies}
    return {"kl_record": float(each.sum()), **{name: int((x > ACTIVE).sum()) for name, x in active.items()}}


def spread(vectors: Floats) -> dict[str, float]:
    """Describe how `(s, d)` embeddings fill their space.

    - `effective_rank`: exp of the entropy of the singular values of the centred matrix, 1 to d.
    - `participation_ratio`: (sum of variances)^2 / sum of squared variances along its axes, 1 to d; the strictest.
    - `uniformity`: log of the mean of exp(-2 |x - y|^2) over pairs on the unit sphere; 0 = all in one point.
    - `mean_norm`: mean length of an embedding. `common_share`: share of squared length that all have in common.
    - `dead_share`: share of dimensions that vary by less than 1 % of the typical one.

    Source:
        Roy and Vetterli, The effective rank, 2007; Wang and Isola, Alignment and uniformity, 2020.
    """
    centre = vectors.mean(0)
    centred = vectors - centre
    singular = np.linalg.svd(centred, compute_uv=False)
    share = singular / max(singular.sum(), 1e-300)
    variance = singular**2
    norms = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(norms, 1e-12)[:, None]
    squared = np.clip(2 - 2 * (unit @ unit.T), 0, None)[np.triu_indices(len(unit), 1)]
    std = vectors.std(0)
    return {
        "effective_rank": float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())),
        "participation_ratio": float(variance.sum() ** 2 / max((variance**2).sum(), 1e-300)),
        "uniformity": float(np.log(np.exp(-2 * squared).mean())),
        "mean_norm": float(norms.mean()),
        "common_share": float((centre**2).sum() / max((norms**2).mean(), 1e-300)),
        "dead_share": float((std <= 0.01 * math.sqrt((std**2).mean())).mean()),
    }


@dataclass(frozen=True)
class Targets:
    """What a probe is to read from embeddings of `s` subjects; NaN and -1 where a subject does not have it."""

    age: Floats
    """`(s,)`, years at the end of the record, or the number under a code Age in its normalized unit."""
    sex: NDArray[np.int64]
    """`(s,)`, class."""


def targets_of(split: Split, vocabulary: Vocabulary, subjects: NDArray[np.int64]) -> Targets:
    """Find age and sex of subjects by the names of codes.

    Age is the number of the code `Age` (or `.../AGE`); without such a code, the years from an event `MEDS_BIRTH` at
    the origin to the last one. Sex is the category of a code `Gender` or `Sex`, or the code `GENDER//...` itself.

    Args:
        split: Where they are.
        vocabulary: Its codes.
        subjects: `(s,)`, their numbers in the split.
    """
    names = [code.lower().replace("/", " ").split() for code in vocabulary.codes]
    has_numbers = vocabulary.n_bins > 0
    is_age = np.array([bool(n) and n[-1] in _AGE for n in names]) & has_numbers
    is_sex = np.array([bool(n) and n[0] in _SEX for n in names])
    is_birth = np.isin(np.array(vocabulary.codes), _BIRTH)
    age, sex = np.full(len(subjects), np.nan), np.full(len(subjects), -1, dtype=np.int64)
    if not (is_age.any() or is_sex.any() or is_birth.any()):
        return Targets(age, sex)
    width = int(vocabulary.n_category_rows) + 1
    for i, number in enumerate(subjects.tolist()):
        rows = split.columns(number)
        kind = np.asarray(rows.data_type)
        at = np.flatnonzero(is_age[kind])
        at = at[HAS_NUMBER_OF[np.asarray(rows.value_status)[at]]]
        if len(at):
            age[i] = rows.value[at[0]]
        elif not is_age.any():
            born = np.flatnonzero(is_birth[kind])
            if len(born) and rows.timestamp[born[0]] == 0:
                age[i] = rows.timestamp[-1] / US_PER_HOUR / _HOURS_PER_YEAR
        at = np.flatnonzero(is_sex[kind])
        if len(at):
            sex[i] = int(kind[at[0]]) * width + int(rows.value_token[at[0]])
    return Targets(age, sex)


def probe(vectors: Floats, targets: Targets, subjects: NDArray[np.int64]) -> dict[str, float]:
    """Fit ridge regressions on one half of the subjects and test them on the other.

    Keys, each only where enough subjects have it: `age_r2` (share of variance explained; 0 = nothing), `age_n`,
    `sex_auroc` (of the two most frequent classes; 0.5 = nothing), `sex_n`. The halves follow from the subjects'
    numbers alone; the strength of the ridge is chosen on the first half, each subject left out once.
    """
    first = (draw(subjects, _HALVES) & np.uint64(1)).astype(bool)
    out: dict[str, float] = {}
    known = np.isfinite(targets.age)
    fit, test = known & first, known & ~first
    if known.sum() >= LEAST_SUBJECTS and min(fit.sum(), test.sum()) > SMALL_CELL and np.ptp(targets.age[test]) > 0:
        error = targets.age[test] - _ridge(vectors[fit], targets.age[fit], vectors[test])
        of_mean = targets.age[test] - targets.age[fit].mean()
        out |= {"age_r2": float(1 - (error**2).sum() / (of_mean**2).sum()), "age_n": int(known.sum())}
    classes, counts = np.unique(targets.sex[targets.sex >= 0], return_counts=True)
    if len(classes) >= 2:
        common = classes[np.argsort(-counts, kind="stable")[:2]]
        known, is_first = np.isin(targets.sex, common), targets.sex == common[0]
        cells = [(known & (is_first == c) & (first == h)).sum() for c in (True, False) for h in (True, False)]
        if known.sum() >= LEAST_SUBJECTS and min(cells) > SMALL_CELL:
            fit, test = known & first, known & ~first
            score = _ridge(vectors[fit], is_first[fit].astype(np.float64), vectors[test])
            out |= {"sex_auroc": auroc(score, is_first[test]), "sex_n": int(known.sum())}
    return out


def _ridge(x: Floats, y: Floats, x_test: Floats) -> Floats:
    """Predictions of a ridge regression on standardized columns, its strength chosen by leaving each row out once."""
    centre, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, np.inf)
    z, target = (x - centre) / scale, y - y.mean()
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    projected = u.T @ target

    def left_out(strength: float) -> float:
        shrink = s**2 / (s**2 + strength * len(y))
        leverage = (u**2 * shrink).sum(1) + 1 / len(y)
        error = (target - u @ (shrink * projected)) / np.maximum(1 - leverage, 1e-9)
        return float((error**2).sum())

    best = min(_RIDGE.tolist(), key=left_out)
    weights = vt.T @ (s / (s**2 + best * len(y)) * projected)
    predicted: Floats = (x_test - centre) / scale @ weights + y.mean()
    return predicted


def auroc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive scores above a negative, ties counted half."""
    _, rank, n = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(n) - (n - 1) / 2
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    return float((middle[rank][positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def _embed(model: Any, loader: PackedLoader, compute: Compute, max_subjects: int) -> tuple[Floats, NDArray[np.int64]]:
    """`(s, d_embedding)` and the subjects' numbers in the split."""
    batches: Generator[PackedBatch, None, None] = loader.sequential()
    vectors: list[Floats] = []
    ids: list[NDArray[np.int64]] = []
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                with compute.autocast():
                    embedded = model.encoder.embed(batch.to(compute.device))
                vectors.append(embedded.float().cpu().numpy().astype(np.float64))
                ids.append(batch.subject_id.cpu().numpy())
                if sum(map(len, vectors)) >= max_subjects:
                    break
    finally:
        batches.close()
        model.train(was_training)
    # the documents of a task are of prediction times: of some subjects there are several, of others none
    said = np.concatenate(ids)
    first = np.sort(np.unique(said, return_index=True)[1])[:max_subjects]
    order = np.argsort(loader.split.subject_ids)
    subjects = order[np.searchsorted(loader.split.subject_ids, said[first], sorter=order)]
    return np.concatenate(vectors)[first], subjects
