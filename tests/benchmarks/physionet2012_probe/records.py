"""The stays: ingested by tawt, who is labelled and tested in which draw, and summary features of their triplets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import tawt
from tawt.arrays import Floats, Ints
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.files import write_text

N_DRAWS = 10
LABELLED = 0.1
FEWEST_TRIPLETS = 6
"""Stays with fewer are left out, as STraTS does."""
LENGTH_HOURS, EDGE_HOURS = 48.0, 12.0
US_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Draw:
    """The labels that are given in one draw; positions in `Stays.subject_id`."""

    fit: Ints
    """Whose labels every method learns from."""
    stop: Ints
    """Whose labels decide when boosting stops; nothing else sees them."""
    test: Ints
    """Whose labels it is measured on."""


@dataclass(frozen=True)
class Stays:
    """The stays that count, sorted by subject."""

    dataset: TripletDataset
    """All of them, as tawt wrote them."""
    subject_id: Ints
    """`(s,)`."""
    died: NDArray[np.bool_]
    """`(s,)`."""
    set_name: NDArray[np.str_]
    """`(s,)`, a, b or c."""
    listed: Ints
    """`(s,)`, place in the outcome files, b before c before a."""
    on_last_fifth: bool = False
    """Whether the test is on the fifth of b and c that is for validation, as STraTS cuts it."""

    @property
    def has_test_set(self) -> bool:
        """Whether set-a was laid beside the others."""
        return bool((self.set_name == "a").any())

    @cached_property
    def draws(self) -> list[Draw]:
        """Ten windows of the stays of b and c, each with a tenth of their labels.

        Source: the split of STraTS (Tipirneni and Reddy, 2022): shuffled with seed 123, 80 % to fit and 20 % to validate.
        Without set-a, the test is on all stays of b and c whose label was not given. The last fifth, where that is
        asked for, has the labels in it that decide when boosting stops.
        """
        pool = np.flatnonzero(self.set_name != "a")
        pool = pool[np.argsort(self.listed[pool])]
        np.random.RandomState(123).shuffle(pool)
        n_train = int(0.8 * len(pool))
        parts = [_windows(part) for part in (pool[:n_train], pool[n_train:])]
        test = np.flatnonzero(self.set_name == "a")
        if self.on_last_fifth:
            return [Draw(fit, stop, pool[n_train:]) for fit, stop in zip(*parts, strict=True)]
        return [
            Draw(fit, stop, test if len(test) else np.setdiff1d(pool, np.concatenate((fit, stop))))
            for fit, stop in zip(*parts, strict=True)
        ]


def _windows(part: Ints) -> list[Ints]:
    k = int(LABELLED * len(part))
    return [part[a : a + k] for a in np.linspace(0, len(part) - k, N_DRAWS).astype(int)]


def prepare(data: Path, work: Path) -> Stays:
    """Ingest the sets that are there and fit the vocabulary; sets b and c train, set-a is held out."""
    outcomes = _outcomes(data)
    work.mkdir(parents=True, exist_ok=True)
    splits = work / "splits.csv"
    rows = [f"{subject},{'held_out' if name == 'a' else 'train'}" for subject, (name, _, _) in sorted(outcomes.items())]
    text = "\n".join(["subject_id,split", *rows, ""])
    if not splits.exists() or splits.read_text() != text:
        write_text(splits, text)
    workspace = work / "workspace"
    tawt.ingest(data, "physionet2012", workspace, settings=(f"splits.file={splits.resolve()}",))
    tawt.build_vocab(workspace)
    dataset = open_dataset(workspace)
    found, n_triplets = [], []
    for name in dataset.split_names:
        split = dataset.split(name)
        found.append(split.subject_ids)
        n_triplets.append(split.lengths)
    subject = np.concatenate(found)
    subject = np.sort(subject[np.concatenate(n_triplets) >= FEWEST_TRIPLETS])
    listed = [outcomes[int(i)] for i in subject]
    return Stays(
        dataset, subject, np.array([died for _, died, _ in listed]), np.array([name for name, _, _ in listed]),
        np.array([place for _, _, place in listed]),
    )  # fmt: skip


def _outcomes(data: Path) -> dict[int, tuple[str, bool, int]]:
    """Set, outcome and place of each stay, from the files themselves: they alone say which set a stay is of."""
    found: dict[int, tuple[str, bool, int]] = {}
    for name in "bca":
        path = data / f"Outcomes-{name}.txt"
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    found[int(row["RecordID"])] = (name, row["In-hospital_death"] == "1", len(found))
    return found


def embeddings_of(path: Path, stays: Stays) -> Floats:
    """`(s, d_embedding)` from the file that `tawt embed` wrote."""
    table = pq.read_table(path, columns=["subject_id", "embedding"])
    rows = np.searchsorted(table["subject_id"].to_numpy(), stays.subject_id)
    matrix = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return matrix[rows].astype(np.float64)


def summaries(stays: Stays) -> Floats:
    """`(s, f)` summary features, NaN where a variable was not measured.

    Twelve of each numeric variable that is not static: mean, smallest, largest, standard deviation, first, last, count, time of last
    and first, slope from first to last, mean of the first and of the last 12 hours. The one number of a static
    variable, and one column per category.
    """
    vocabulary, columns = stays.dataset.vocabulary, []
    subject, data_type, hours, value, token, status = _triplets(stays)
    n = len(stays.subject_id)
    for index, kind in enumerate(vocabulary.value_kind):
        of = data_type == index
        if kind == "categorical":
            n_categories = int(vocabulary.n_categories[index])
            classes = np.zeros((n, n_categories))
            chosen = of & (status == ValueStatus.CATEGORY)
            classes[subject[chosen], token[chosen] - vocabulary.n_bins[index] - 1] = 1
            columns += list(classes[:, 1:].T)
        elif kind == "numeric":
            chosen = of & np.isin(status, HAS_NUMBER)
            timed = chosen & ~np.isnan(hours)
            if timed.any():
                columns += _numeric(n, subject[timed], hours[timed], value[timed].astype(np.float64))
            else:
                column = np.full(n, np.nan)
                column[subject[chosen]] = value[chosen]
                columns.append(column)
    return np.stack(columns, 1)


def _triplets(stays: Stays) -> tuple[np.ndarray, ...]:
    """Every triplet that counts: row of its stay, data_type, hours (NaN where static), value, token, status; by stay and time."""
    parts: list[tuple[np.ndarray, ...]] = []
    for name in stays.dataset.split_names:
        split = stays.dataset.split(name)
        for i, subject in enumerate(split.subject_ids):
            row = int(np.searchsorted(stays.subject_id, subject))
            if row == len(stays.subject_id) or stays.subject_id[row] != subject:
                continue
            c = split.columns(i)
            hours = c.timestamp / US_PER_HOUR
            hours[: split.n_static[i]] = np.nan
            parts.append((np.full(len(hours), row), c.data_type, hours, c.value, c.value_token, c.value_status))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _numeric(n: int, row: Ints, hours: Floats, value: Floats) -> list[Floats]:
    """Twelve features of one variable; its numbers come by stay and time."""
    at, start, count = np.unique(row, return_index=True, return_counts=True)
    last = start + count - 1

    def column(values: Floats) -> Floats:
        out = np.full(n, np.nan)
        out[at] = values
        return out

    def mean(of: NDArray[np.bool_]) -> Floats:
        total, number = np.add.reduceat(np.where(of, value, 0.0), start), np.add.reduceat(of.astype(float), start)
        return np.divide(total, number, out=np.full(len(at), np.nan), where=number > 0)

    everything = np.ones(len(value), dtype=bool)
    middle = mean(everything)
    spread = np.sqrt(np.add.reduceat((value - middle.repeat(count)) ** 2, start) / count)
    apart = hours[last] - hours[start]
    slope = np.divide(value[last] - value[start], apart, out=np.zeros(len(at)), where=apart > 0)
    counts = np.zeros(n)
    counts[at] = count
    return [
        column(middle), column(np.minimum.reduceat(value, start)), column(np.maximum.reduceat(value, start)), column(spread),
        column(value[start]), column(value[last]), counts, column(hours[last]), column(hours[start]), column(slope),
        column(mean(hours < EDGE_HOURS)), column(mean(hours >= LENGTH_HOURS - EDGE_HOURS)),
    ]  # fmt: skip
