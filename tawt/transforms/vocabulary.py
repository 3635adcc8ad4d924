"""Counts over train -> the vocabulary: index, kind, statistics, bins and categories of every data_type.

Everything comes from exact counts per (data_type, value), in float64 and in one fixed order, so it does not depend
on threads, on shards or on luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tawt.arrays import Floats, Ints
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.dataset import SPECIAL_CODES

_IQR_OF_A_NORMAL = 1.3489795003921634


@dataclass(frozen=True)
class Counts:
    """What train holds.

    Each table is sorted by its first columns; `code` is the index into `codes`.
    """

    codes: list[str]
    n_rows: Ints
    """Rows per code."""
    n_subjects: Ints
    """Subjects per code."""
    n_value_subjects: Ints
    """Subjects per code that have a number of it."""
    units: list[str | None]
    numbers: pa.Table
    """`code`, `value` float64 ascending, `n`: how often a code has a number."""
    texts: pa.Table
    """`code`, `text`, `n`, `n_subjects`: how often a code has a category, in how many subjects; at least its
    `max_categories` most frequent ones of enough subjects."""
    few: Mapping[str, int] = field(default_factory=dict)
    """Of texts that too few subjects have: `texts`, `rows`, those of any text `all_rows`, and `below` how many."""


@dataclass(frozen=True)
class NumberFit:
    """Statistics of one data_type's numbers."""

    n: int
    mean: float
    std: float
    quantiles: Floats
    """101 nearest-rank percentiles."""
    edges: Floats
    """Inner bin edges, ascending, all above the smallest number."""
    step: float
    """Gap between float32 numbers as large as the largest: what varies by no more is rounded, not measured."""


def fit_numbers(values: Floats, counts: Ints, n_bins: int) -> NumberFit:
    """Fit the statistics of one data_type.

    Args:
        values: `(k,)` distinct numbers, ascending.
        counts: `(k,)` how often each stands in train.
        n_bins: Quantile bins wanted; ties leave fewer.
    """
    n = int(counts.sum())
    mean = float(np.add.reduce(values * counts) / n)
    std = float(np.sqrt(np.add.reduce((values - mean) ** 2 * counts) / n))
    below = np.cumsum(counts)

    def nearest_rank(parts: int) -> Floats:
        # the smallest numbers with at least 0, 1, .. parts of `parts` of the rows at or below them, in integers
        rank = np.maximum(1, (np.arange(parts + 1) * n + parts - 1) // parts)
        return values[np.searchsorted(below, rank)]

    edges = np.unique(nearest_rank(n_bins)[1:-1])
    step = float(np.spacing(np.float32(max(abs(values[0]), abs(values[-1])))))
    return NumberFit(n, mean, std, nearest_rank(100), edges[edges > values[0]], step)


def center_and_scale(fit: NumberFit, normalization: str) -> tuple[float, float]:
    """Return what turns a number into a value; the scale is 1 where the numbers do not vary beyond a float32 step."""
    if normalization == "zscore":
        return fit.mean, fit.std if fit.std > fit.step else 1.0
    if normalization == "robust":
        low, middle, high = fit.quantiles[[25, 50, 75]]
        return float(middle), float((high - low) / _IQR_OF_A_NORMAL) if high - low > fit.step else 1.0
    return 0.0, 1.0


def fit_vocabulary(
    counts: Counts,
    pipeline: PipelineConfig,
    contract: Contract,
    dictionary: dict[str, tuple[str | None, list[str] | None]],
) -> pa.Table:
    """Return the vocabulary: special codes, then the data_types by train count, then by code; `Crowds` counts the rest.

    Args:
        counts: What train holds.
        pipeline: Its `vocabulary` and `data_types` sections.
        contract: Of the vocabulary.
        dictionary: Code -> description and parent codes, as far as the source knows them.
    """
    config = pipeline.vocabulary
    rows = [_row(name, "special") for name in SPECIAL_CODES]
    order = sorted(range(len(counts.codes)), key=lambda i: (-int(counts.n_rows[i]), counts.codes[i]))
    numbers, texts = segments(counts.numbers), segments(counts.texts)
    values, value_counts = counts.numbers["value"].to_numpy(), counts.numbers["n"].to_numpy()
    words, word_counts = counts.texts["text"].to_pylist(), counts.texts["n"].to_numpy()
    word_subjects = counts.texts["n_subjects"].to_numpy()
    for i in order:
        if counts.n_rows[i] < config.min_count or counts.n_subjects[i] < config.min_subjects:
            continue
        code = counts.codes[i]
        known = pipeline.data_types.get(code)
        here, there = numbers.get(i), texts.get(i)
        row = _row(code, {(False, False): "none", (True, False): "numeric", (False, True): "categorical"}.get(
            (here is not None, there is not None), "mixed"
        ))  # fmt: skip
        description, parents = dictionary.get(code, (None, None))
        row |= {
            "n_rows": int(counts.n_rows[i]), "n_subjects": int(counts.n_subjects[i]), "unit": counts.units[i],
            "description": (known.description if known else None) or description, "parents": parents,
        }  # fmt: skip
        if here is not None:
            fit = fit_numbers(values[here], value_counts[here], config.n_bins)
            normalization = (known.normalization if known else None) or config.normalization
            center, scale = center_and_scale(fit, normalization)
            row |= {
                "n_values": fit.n, "n_value_subjects": int(counts.n_value_subjects[i]),
                "mean": fit.mean, "std": fit.std, "quantiles": fit.quantiles.tolist(),
                "normalization": normalization, "center": center, "scale": scale,
                "bin_edges": fit.edges.tolist(), "n_bins": len(fit.edges) + 1,
            }  # fmt: skip
        if there is not None:
            ranked = sorted(range(there.start, there.stop), key=lambda j: (-int(word_counts[j]), words[j]))
            kept = ranked[: config.max_categories]
            row["categories"] = [words[j] for j in kept]
            row["category_subjects"] = [int(word_subjects[j]) for j in kept]
        rows.append(row)
    for index, row in enumerate(rows):
        row["data_type"] = index
    return pa.Table.from_pylist(rows, schema=contract.arrow_schema())


def _row(code: str, kind: str) -> dict[str, object]:
    return {
        "code": code, "value_kind": kind, "n_rows": 0, "n_subjects": 0, "n_values": 0, "unit": None, "mean": None,
        "std": None, "quantiles": None, "normalization": "none", "center": 0.0, "scale": 1.0, "bin_edges": [],
        "categories": [], "n_bins": 0, "description": None, "parents": None,
        "n_value_subjects": 0, "category_subjects": [],
        "bin_subjects": None, "edge_subjects": None, "center_subjects": None, "most_of_one": None,
        "share_of_one": None, "pull_of_one": None,
    }  # fmt: skip


def segments(table: pa.Table) -> dict[int, slice]:
    """Return where each code's rows lie in a table sorted by code."""
    codes, starts = np.unique(table["code"].to_numpy(), return_index=True)
    stops = [*starts[1:].tolist(), len(table)][: len(codes)]
    return {int(code): slice(int(a), int(b)) for code, a, b in zip(codes, starts, stops, strict=True)}
