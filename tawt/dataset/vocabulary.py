"""The vocabulary as the trainer sees it: arrays by data_type, and where each category's row lies."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tawt.config.vocabulary import MAX_BINS
from tawt.contracts.contract import check_schema, own_contract
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.errors import ContractError, DatasetError
from tawt.readers import AGAIN, reading, table_of

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """One entry per data_type, in index order; `v` is their number."""

    codes: tuple[str, ...]
    """Codes in events; the first four are `SPECIAL_CODES`."""
    value_kind: tuple[str, ...]
    """special, none, numeric, categorical or mixed."""
    n_rows: NDArray[np.int64]
    """`(v,)`, rows in train."""
    center: NDArray[np.float64]
    """`(v,)`, value = (number - center) / scale."""
    scale: NDArray[np.float64]
    """`(v,)`, see center."""
    mean: NDArray[np.float64]
    """`(v,)`, of the numbers in the canonical unit; NaN where there are none."""
    std: NDArray[np.float64]
    """`(v,)`, as mean."""
    n_bins: NDArray[np.int32]
    """`(v,)`, quantile bins; 0 for a data_type without numbers."""
    categories: tuple[tuple[str, ...], ...]
    """The texts of each data_type, OTHER not among them."""
    sha256: str
    """Hash of the file: shards, runs and checkpoints name their vocabulary by it."""
    bin_edges: tuple[NDArray[np.float32], ...] = ()
    """Inner edges of each data_type's quantile bins, ascending, normalized as its values are; () = not known."""
    content: bytes = b""
    """The file as it was read: what a run keeps beside its weights, whatever lies under the path by then."""

    def table(self) -> pa.Table:
        """Return all columns of the file."""
        return table_of(self.content)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def max_bins(self) -> int:
        """The most bins that a data_type has."""
        return int(self.n_bins.max(initial=0))

    @cached_property
    def n_categories(self) -> NDArray[np.int64]:
        """`(v,)`, rows of the flat category table that a data_type has: OTHER and its categories, or 0."""
        return np.array([1 + len(texts) if texts else 0 for texts in self.categories], dtype=np.int64)

    @cached_property
    def category_offset(self) -> NDArray[np.int64]:
        """`(v,)`, row of OTHER in the flat table: a token above n_bins lies at `offset + token - n_bins - 1`.

        Row 0 is the OTHER of every data_type without a dictionary: a text that train never saw has a row too.
        """
        ends = np.cumsum(self.n_categories)
        return np.where(self.n_categories > 0, 1 + ends - self.n_categories, 0)

    @cached_property
    def _edge_table(self) -> NDArray[np.float32]:
        """`(v, k)`, edges side by side, inf where there is none; `k + 1` is a power of two."""
        width = (1 << max(len(edges) for edges in self.bin_edges).bit_length()) - 1
        table = np.full((len(self), width), np.inf, dtype=np.float32)
        for row, edges in zip(table, self.bin_edges, strict=True):
            row[: len(edges)] = edges
        return table

    def bins(self, data_type: NDArray[np.integer], value: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the bin token of normalized numbers, 1 + the edges at or below each; 0 for a data_type without bins.

        One binary search for all at once; needs `bin_edges`.

        Args:
            data_type: `(k,)`.
            value: `(k,)`.
        """
        table = self._edge_table
        width = table.shape[1]
        edges, row = table.reshape(-1), data_type * width
        below = np.zeros(len(value), dtype=np.int64)
        step = (width + 1) // 2
        while step:
            below += step * (edges[row + below + (step - 1)] <= value)
            step //= 2
        return np.minimum(below + 1, self.n_bins[data_type])  # an endless number is in the last bin

    @cached_property
    def rank_lines(self) -> tuple[NDArray[np.float32], ...]:
        """What makes a quantile rank of a number in a bin, four tables `(v, 1 + max_bins)`: low, per_unit, base, step.

        `rank = base + step * clip((value - low) * per_unit, 0, 1)`: straight from one edge of the bin to the next.
        Ranks run from -sqrt(3) to sqrt(3), of variance 1; where many numbers are equal there are few bins, and it is
        less. An outer bin, which has no end, is taken to be as wide as the one beside it; where edges are not known,
        all lies in the middle of its bin. Column 0 stands for no bin, with rank 0.
        """
        places = np.arange(1 + self.max_bins)
        low = np.zeros((len(self), len(places)), dtype=np.float32)
        per_unit = np.zeros_like(low)
        n_bins = np.maximum(self.n_bins, 1)[:, None]
        step = np.where(places > 0, 2 * math.sqrt(3) / n_bins, 0.0).astype(np.float32)
        base = np.where(places > 0, ((2 * places - 1) / n_bins - 1) * math.sqrt(3), 0.0)
        for i, edges in enumerate(self.bin_edges):
            if len(edges) > 1 and len(edges) + 1 == self.n_bins[i] and np.isfinite(edges).all():
                # edges that are one number in float32 have no bin between them
                apart = np.maximum(np.diff(edges), np.float32(1e-30))
                own = slice(1, len(edges) + 2)
                low[i, own] = np.concatenate([edges[:1] - apart[:1], edges])
                per_unit[i, own] = 1 / np.concatenate([apart[:1], apart, apart[-1:]])
                base[i, own] -= math.sqrt(3) / self.n_bins[i]  # from the middle of the bin to its lower edge
        return low, per_unit, base.astype(np.float32), step

    def ranks(
        self, data_type: NDArray[np.integer], value: NDArray[np.float32], token: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """Return the quantile ranks of normalized numbers among those of their data_type; see `rank_lines`.

        Args:
            data_type: `(k,)`.
            value: `(k,)`; what is not finite has the rank NaN.
            token: `(k,)`, their bins, as a shard has them; None = they are looked for, at several times the cost.
        """
        low, per_unit, base, step = (table.reshape(-1) for table in self.rank_lines)
        at = data_type * (1 + self.max_bins) + (self.bins(data_type, value) if token is None else token)
        rank = value - low.take(at)
        with np.errstate(invalid="ignore", over="ignore"):  # endless numbers, and bins that have no width
            rank *= per_unit.take(at)
        np.clip(rank, 0, 1, out=rank)
        rank *= step.take(at)
        rank += base.take(at)
        rank[~np.isfinite(value)] = np.nan
        return rank

    @property
    def n_category_rows(self) -> int:
        """Rows of the flat category table."""
        return 1 + int(self.n_categories.sum())


def read_vocabulary(path: Path, hint: str = AGAIN) -> Vocabulary:
    """Read `vocabulary.parquet`; the hint of its errors says what mends it.

    Raises:
        DatasetError: The file is absent, is not Parquet, or breaks `schemas/vocabulary.json`.
    """
    contract = own_contract("vocabulary")
    with reading(path, "a vocabulary", hint, DatasetError):
        content = path.read_bytes()
        table = table_of(content)
        table.validate(full=True)  # its texts too; names are bytes until somebody asks
        _names = table.schema.names
    try:
        check_schema(contract, table.schema, str(path))
    except ContractError as error:
        raise DatasetError(error.where, error.what, hint) from None
    for column in contract.columns:
        if not column.nullable and table.column(column.name).null_count:
            raise DatasetError(str(path), f"column `{column.name}` has a null, expected none", hint)
    for name in ("bin_edges", "categories", "quantiles"):
        if pc.list_flatten(table.column(name)).null_count:
            raise DatasetError(str(path), f"column `{name}` has a null in a list, expected none", hint)
    if any(row is not None and len(row) < 2 for row in table.column("quantiles").to_pylist()):
        raise DatasetError(str(path), "has fewer than 2 quantiles of a data_type, expected those from 0 to 1", hint)
    columns = {name: table.column(name).to_pylist() for name in ("code", "value_kind", "categories")}
    if not np.array_equal(table.column("data_type").to_numpy(), np.arange(len(table))):
        raise DatasetError(str(path), "data_type does not count from 0, expected the row's number", hint)
    if tuple(columns["code"][: len(SPECIAL_CODES)]) != SPECIAL_CODES:
        raise DatasetError(str(path), f"starts with other codes, expected {' '.join(SPECIAL_CODES)}", hint)

    def numbers(name: str, dtype: type[Number]) -> NDArray[Number]:
        return np.asarray(table.column(name).to_numpy()).astype(dtype)

    n_bins = numbers("n_bins", np.int32)
    if n_bins.min() < 0 or n_bins.max() > MAX_BINS:
        raise DatasetError(str(path), f"n_bins is out of range, expected 0 to {MAX_BINS}", hint)
    return Vocabulary(
        codes=tuple(columns["code"]),
        value_kind=tuple(columns["value_kind"]),
        n_rows=numbers("n_rows", np.int64),
        center=numbers("center", np.float64),
        scale=numbers("scale", np.float64),
        mean=numbers("mean", np.float64),
        std=numbers("std", np.float64),
        n_bins=n_bins,
        categories=tuple(tuple(texts) for texts in columns["categories"]),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
        bin_edges=tuple(_normalized_edges(row) for row in table.select(_OF_EDGES).to_pylist()),
    )


_OF_EDGES = ["bin_edges", "normalization", "center", "scale", "quantiles"]


def _normalized_edges(row: dict[str, Any]) -> NDArray[np.float32]:
    """Return a data_type's bin edges as the values of numbers that lie on them.

    An edge is a number of train. Normalized and rounded as such, it falls on the very value that this number has.
    """
    edges = np.array(row["bin_edges"], dtype=np.float64)
    if row["normalization"] == "quantile" and row["quantiles"] is None:
        return np.empty(0, dtype=np.float32)  # a shared model withholds them: where the edges lie is not known
    if row["normalization"] == "quantile" and len(edges):
        quantiles = np.array(row["quantiles"])
        low, high = np.searchsorted(quantiles, edges, "left"), np.searchsorted(quantiles, edges, "right")
        place = np.where(high > low, (low + high - 1) / 2, np.interp(edges, quantiles, np.arange(len(quantiles))))
        return ((place / (len(quantiles) - 1) - 0.5) * np.sqrt(12)).astype(np.float32)
    with np.errstate(over="ignore"):
        return ((edges - row["center"]) / row["scale"]).astype(np.float32)
