"""One shard of events -> triplets: vocabulary index, normalized value, token, status; nothing is imputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.config.pipeline import Panel, PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.dataset import UNKNOWN
from tawt.contracts.value_status import HAS_NUMBER, STATUS_NAMES, ValueStatus
from tawt.files import digest
from tawt.transforms.columns import NO_TIME, dictionary_of, encoded, times_of
from tawt.transforms.missingness import not_measured

EVENT_COLUMNS = ["subject_id", "time", "code", "numeric_value", "text_value", "available_time", "value_status"]
_LARGEST = float(np.finfo(np.float32).max)
_UNIT_VARIANCE = float(np.sqrt(12))
"""A uniform rank in [0, 1] has variance 1/12."""


@dataclass(frozen=True)
class Coder:
    """The vocabulary as arrays that columns are looked up in."""

    index: dict[str, int]
    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    by_rank: npt.NDArray[np.bool_]
    fitted: npt.NDArray[np.bool_]
    """Whether numbers of a data_type can be normalized: train had some, and what they were fitted to is told."""
    n_bins: npt.NDArray[np.int64]
    edges: npt.NDArray[np.float64]
    """All edges, data_type after data_type."""
    edge_start: npt.NDArray[np.int64]
    """`(n_data_types + 1,)`."""
    quantiles: dict[int, npt.NDArray[np.float64]]
    categories: list[dict[str, int]]
    """Per data_type, the token of each category."""
    convert: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Code -> the factor and offset that lead to the unit of the vocabulary, where it is of another place."""
    refused: frozenset[str] = frozenset()
    """Codes whose numbers are in a unit that nothing leads from."""

    @classmethod
    def of(cls, vocabulary: pa.Table) -> Coder:
        """Read the vocabulary table."""
        column = {name: vocabulary[name].to_pylist() for name in vocabulary.column_names}
        edges = column["bin_edges"]
        known = np.array([row is not None for row in column["quantiles"]])
        by_rank = np.array([name == "quantile" for name in column["normalization"]]) & known
        # a shared model tells neither its rows nor its quantiles, but how many people its numbers are of
        people = np.array([n or 0 for n in column.get("n_value_subjects") or [0] * len(known)])
        told = (np.array(column["n_bins"]) > 0) & (people > 0)
        told &= by_rank | np.array([name != "quantile" for name in column["normalization"]])
        return cls(
            index={code: i for i, code in enumerate(column["code"])},
            center=np.array(column["center"]), scale=np.array(column["scale"]), by_rank=by_rank,
            fitted=(np.array(column["n_values"]) > 0) | told, n_bins=np.array(column["n_bins"]),
            edges=np.array([edge for row in edges for edge in row], dtype=np.float64),
            edge_start=np.concatenate([[0], np.cumsum([len(row) for row in edges])]).astype(np.int64),
            quantiles={i: np.array(column["quantiles"][i]) for i in np.flatnonzero(by_rank).tolist()},
            categories=[
                {text: n + 2 + place for place, text in enumerate(row)}
                for row, n in zip(column["categories"], column["n_bins"], strict=True)
            ],
        )  # fmt: skip

    @property
    def known(self) -> str:
        """What it is known by: all that a triplet hangs on, and no count beside it."""
        told = (getattr(self, one.name) for one in fields(self))
        return digest([one.tolist() if isinstance(one, np.ndarray) else _plain(one) for one in told])

    @property
    def binned(self) -> npt.NDArray[np.bool_]:
        """Whether the edges of a data_type's bins are told."""
        return np.diff(self.edge_start) + 1 == self.n_bins

    def carried(self, codes: pa.Table) -> Coder:
        """Return it for codes of another place, as `tawt.transforms.carry` tells what each is read as."""
        rows = codes.to_pylist()
        known = [row for row in rows if row["way"] is not None]
        return replace(
            self, index=self.index | {row["code"]: row["data_type"] for row in known},
            convert={r["code"]: (r["factor"], r["offset"]) for r in known if (r["factor"], r["offset"]) != (1.0, 0.0)},
            refused=frozenset(row["code"] for row in known if row["refused"]),
        )  # fmt: skip

    @cached_property
    def _known_codes(self) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
        return pa.array(self.index, pa.string()), np.array([*self.index.values()], dtype=np.int64)

    def data_types(self, codes: pa.StringArray) -> npt.NDArray[np.int64]:
        """Return the data_type of each code; `UNKNOWN` of one that train does not have."""
        known, data_types = self._known_codes
        place = pc.index_in(codes, known)
        return np.where(place.is_valid(), data_types[place.fill_null(0)], UNKNOWN)

    def is_refused(self, codes: pa.StringArray) -> npt.NDArray[np.bool_]:
        """Return whether the numbers of each code are in a unit that nothing leads from."""
        found: npt.NDArray[np.bool_] = pc.is_in(codes, pa.array(self.refused, pa.string())).to_numpy(
            zero_copy_only=False
        )
        return found

    def bins(self, data_type: npt.NDArray[np.int64], number: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return 1 + how many of the data_type's edges are <= the number."""
        return edges_below(self.edges, self.edge_start, data_type, number) + 1

    def normalize(self, data_type: npt.NDArray[np.int64], number: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the normalized value of each number."""
        with np.errstate(over="ignore"):
            value = (number - self.center[data_type]) / self.scale[data_type]
        for i, quantiles in self.quantiles.items():
            rows = data_type == i
            # a tie spans several percentiles: its rank is the middle of them
            low = np.searchsorted(quantiles, number[rows], side="left")
            high = np.searchsorted(quantiles, number[rows], side="right")
            between = np.interp(number[rows], quantiles, np.arange(len(quantiles)))
            rank = np.where(high > low, (low + high - 1) / 2, between) / (len(quantiles) - 1)
            value[rows] = (rank - 0.5) * _UNIT_VARIANCE
        # a number far beyond all of train stays a number, however small the scale
        return np.clip(value, -_LARGEST, _LARGEST).astype(np.float32)


def _plain(told: Any) -> Any:
    """Return a lookup as JSON holds it."""
    if isinstance(told, frozenset):
        return sorted(told)
    if isinstance(told, Mapping):
        return sorted([key, of.tolist() if isinstance(of, np.ndarray) else of] for key, of in told.items())
    return told


def edges_below(
    edges: npt.NDArray[np.float64],
    start: npt.NDArray[np.int64],
    data_type: npt.NDArray[np.int64],
    number: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Return how many of its data_type's edges are <= each number: one binary search for all rows at once.

    Args:
        edges: All edges, data_type after data_type, ascending in each.
        start: `(n_data_types + 1,)` where those of each begin.
        data_type: `(n,)`.
        number: `(n,)`; none is above NaN.
    """
    first, end = start[data_type], start[data_type + 1]
    low = first.copy()
    step = 1 << int(np.diff(start).max(initial=0)).bit_length() >> 1
    while step:
        to = low + step
        to[to > end] = 0
        low += step * ((to > 0) & (edges[to - 1] <= number))
        step >>= 1
    return low - first


@dataclass(frozen=True)
class TripletCounts:
    """What is not as it was in events."""

    n_unknown_code: int
    """Rows whose code train does not have: [UNK], their values are left out."""
    n_without_statistics: int
    """Numbers of a data_type that has none in train: the value is left out."""
    n_other: int
    """Texts that are not among their data_type's categories: OTHER."""
    n_not_measured: dict[str, int]
    """Panel -> triplets added by rule."""


def to_triplets(
    events: pa.Table, coder: Coder, pipeline: PipelineConfig, contract: Contract
) -> tuple[pa.Table, TripletCounts]:
    """Turn one shard of events into triplets, in the same order unless the other clock or a panel asks for another.

    Args:
        events: `EVENT_COLUMNS` of one shard, in the order of events.
        coder: The vocabulary.
        pipeline: Its `clock` and `panels`.
        contract: Of triplets.
    """
    subject = events["subject_id"].to_numpy()
    time, available = times_of(events["time"]), times_of(events["available_time"])
    # a record whose source does not say when it could be read was readable when it happened
    available = np.where(available == NO_TIME, time, available)
    of_row = encoded(events["code"])
    code, codes = of_row.indices.to_numpy(), of_row.dictionary.cast(pa.string())
    data_type = coder.data_types(codes)[code]
    name, names = dictionary_of(events["value_status"])
    status = np.array([STATUS_NAMES.index(text) for text in names], dtype=np.uint8)[name]
    unknown = data_type == UNKNOWN
    has_number = np.isin(status, np.array(HAS_NUMBER, dtype=np.uint8))
    unfitted = has_number & ~unknown & ~coder.fitted[data_type]
    refused = has_number & ~unknown & ~unfitted & coder.is_refused(codes)[code]
    usable = has_number & ~unknown & ~unfitted & ~refused
    value = np.zeros(len(events), dtype=np.float32)
    token = np.zeros(len(events), dtype=np.int64)
    rows = np.flatnonzero(usable)
    number = events["numeric_value"].to_numpy()[rows].astype(np.float64)
    if coder.convert:
        rules = np.array([coder.convert.get(text, (1.0, 0.0)) for text in codes.to_pylist()])[code[rows]]
        number = number * rules[:, 0] + rules[:, 1]
    value[rows] = coder.normalize(data_type[rows], number)
    token[rows] = np.where(coder.binned[data_type[rows]], coder.bins(data_type[rows], number), 0)
    rows = np.flatnonzero((status == ValueStatus.CATEGORY) & ~unknown)
    token[rows], n_other = _category_tokens(events["text_value"], rows, data_type, coder)
    status[unknown | unfitted] = ValueStatus.NONE
    status[refused] = ValueStatus.UNIT_UNKNOWN
    clock = time if pipeline.clock == "time" else np.where(time == NO_TIME, NO_TIME, available)
    columns = {
        "subject_id": subject, "timestamp": clock, "data_type": data_type, "value": value, "value_token": token,
        "value_status": status, "available_time": available,
    }  # fmt: skip
    columns, added = _with_panels(columns, codes, code, coder, pipeline.panels)
    if added or pipeline.clock != "time":
        # stable, so that the total order of events settles what is left
        order = np.lexsort((columns["timestamp"], columns["subject_id"]))
        columns = {key: column[order] for key, column in columns.items()}
    arrays = []
    for one in contract.arrow_schema():
        column = columns[one.name]
        if pa.types.is_timestamp(one.type):
            arrays.append(pa.array(column, mask=column == NO_TIME).cast(one.type))
        else:
            arrays.append(pa.array(column).cast(one.type))
    table = pa.Table.from_arrays(arrays, schema=contract.arrow_schema())
    return table, TripletCounts(int(unknown.sum()), int(unfitted.sum()), n_other, added)


def _category_tokens(
    texts: pa.ChunkedArray, rows: npt.NDArray[np.int64], data_type: npt.NDArray[np.int64], coder: Coder
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the token of each row's text; a text that train did not keep is OTHER."""
    text, words = dictionary_of(texts.take(pa.array(rows)))
    types = data_type[rows]
    pairs, inverse = np.unique(types * (len(words) + 1) + text, return_inverse=True)
    tokens = np.empty(len(pairs), dtype=np.int64)
    known = np.zeros(len(pairs), dtype=np.bool_)
    for i, pair in enumerate(pairs.tolist()):
        type_, word = divmod(pair, len(words) + 1)
        place = coder.categories[type_].get(words[word]) if word < len(words) else None
        known[i] = place is not None
        # a data_type without categories in train has no token for any text, not even OTHER
        other = int(coder.n_bins[type_]) + 1 if coder.categories[type_] else 0
        tokens[i] = other if place is None else place
    return tokens[inverse], int(np.count_nonzero(~known[inverse]))


def _with_panels(
    columns: dict[str, np.ndarray],
    codes: pa.StringArray,
    code: npt.NDArray[np.int64],
    coder: Coder,
    panels: tuple[Panel, ...],
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    counts: dict[str, int] = {}
    for panel in panels:
        expected = np.array([coder.index[c] for c in panel.data_types if c in coder.index], dtype=np.int64)
        starts = None
        if panel.start != "first_event":
            opens = pc.starts_with(codes, panel.start).to_numpy(zero_copy_only=False)[code]
            starts = np.flatnonzero(opens & (columns["timestamp"][: len(code)] != NO_TIME))
        n = len(code)
        added = not_measured({key: column[:n] for key, column in columns.items()}, expected, panel, starts)
        if len(added["subject_id"]):
            counts[panel.name] = len(added["subject_id"])
            columns = {key: np.concatenate([columns[key], added[key]]) for key in columns}
    return columns, counts
