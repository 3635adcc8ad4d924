"""What is encoded of events, counted again: vocabulary, triplets and dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tawt.arrays import Words
from tawt.contracts.dataset import DATASET, DatasetManifest
from tawt.contracts.layers import VOCABULARY_STAGES
from tawt.contracts.value_status import STATUS_NAMES
from tawt.quality.finding import Finding
from tawt.readers import read_parquet, read_record
from tawt.seals import sha256_file
from tawt.sources.stage import Input
from tawt.transforms.columns import out_of_order, times_of
from tawt.transforms.identity import CONTENT, identities

_OF_BOTH = ("subject_id", "data_type", "value", "value_token", "value_status")
"""Columns that triplets and dataset share as they are."""


def check_encoded(read: Mapping[str, Input]) -> list[Finding]:
    """Count vocabulary, triplets and dataset again, as far as they are here."""
    fitted, triplets, dataset = (read.get(name) for name in VOCABULARY_STAGES[:3])
    if fitted is None:
        return []
    return [*_triplets(fitted, triplets), *(_dataset(fitted, triplets, dataset) if dataset is not None else ())]


def _triplets(fitted: Input, triplets: Input | None) -> list[Finding]:
    vocabulary = read_parquet(fitted.rows[0])
    n_types = len(vocabulary)
    n_bins = vocabulary["n_bins"].to_numpy()
    n_categories = np.array([len(row) for row in vocabulary["categories"].to_pylist()])
    n_tokens = n_bins + np.where(n_categories > 0, n_categories + 1, 0)
    unsorted = out_of_range = not_finite = bad_status = 0
    for path in triplets.rows if triplets is not None else ():
        table = read_parquet(path)
        subject, time = table["subject_id"].to_numpy(), times_of(table["timestamp"])
        data_type, token = table["data_type"].to_numpy(), table["value_token"].to_numpy()
        inside = (data_type >= 0) & (data_type < n_types)
        out_of_range += int(np.count_nonzero(~inside))
        known = data_type[inside]
        out_of_range += int(np.count_nonzero((token[inside] < 0) | (token[inside] > n_tokens[known])))
        unsorted += out_of_order(subject, time)
        not_finite += int(np.count_nonzero(~np.isfinite(table["value"].to_numpy())))
        bad_status += int(np.count_nonzero(table["value_status"].to_numpy() >= len(STATUS_NAMES)))
    index_ok = bool((vocabulary["data_type"].to_numpy() == np.arange(n_types)).all())
    found = [Finding("vocabulary: index", index_ok, f"{n_types:,} rows, numbered in order")]
    return (
        found
        if triplets is None
        else [
            *found,
            Finding("triplets: sorted", unsorted == 0, f"{unsorted:,} rows out of order"),
            Finding(
                "triplets: in the vocabulary", out_of_range == 0, f"{out_of_range:,} indices or tokens out of range"
            ),
            Finding("triplets: finite", not_finite == 0, f"{not_finite:,} values are not finite"),
            Finding("triplets: statuses", bad_status == 0, f"{bad_status:,} unknown statuses"),
        ]
    )


def _dataset(fitted: Input, encoded: Input | None, dataset: Input) -> list[Finding]:
    folder = dataset.folder
    manifest = read_record(folder / DATASET, DatasetManifest, dataset.make_again, sealed=True)
    same_vocabulary = manifest.vocabulary == sha256_file(fitted.rows[0])
    listed = {(split, shard.shard) for split, shards in manifest.splits.items() for shard in shards}
    different = len({(path.parent.name, path.stem) for path in encoded.rows} - listed) if encoded is not None else 0
    torn = nulls = mistold = 0
    for split, shards in manifest.splits.items():
        for shard in shards:
            with pa.memory_map(str(folder / split / f"{shard.shard}.arrow")) as source:
                rows = pa.ipc.open_file(source).read_all()
                nulls += sum(column.null_count for column in rows.columns)
                if encoded is not None:
                    triplets = read_parquet(encoded.folder / split / f"{shard.shard}.parquet")
                    ours, theirs = (np.sort(_rows(table, _OF_BOTH)) for table in (rows, triplets))
                    different += not np.array_equal(ours, theirs)
                mistold += _mistold(rows)
            with pa.memory_map(str(folder / split / f"{shard.shard}.index.arrow")) as source:
                index = pa.ipc.open_file(source).read_all()
                start, length = index["start"].to_numpy(), index["length"].to_numpy()
                expected = np.concatenate([[0], np.cumsum(length)])
                torn += 0 if (start == expected[:-1]).all() and expected[-1] == shard.n_triplets else 1
    return [
        Finding(
            "dataset: vocabulary",
            same_vocabulary,
            "is the one it was made with" if same_vocabulary else "is another one",
        ),
        *([Finding("dataset: equals triplets", different == 0, f"{different:,} shards differ")] if encoded else []),
        Finding("dataset: identities", mistold == 0, f"{mistold:,} rows whose identity is not theirs"),
        Finding("dataset: index", torn == 0, f"{torn:,} shards whose index does not cover them"),
        Finding("dataset: nothing null", nulls == 0, f"{nulls:,} nulls"),
    ]


def _mistold(rows: pa.Table) -> int:
    """Count the rows that do not have the identity of what they hold; of equal rows each may have that of another."""
    own, told = _rows(rows, CONTENT) >> np.uint64(32), rows["identity"].to_numpy()
    other = np.flatnonzero(own != told)
    own, told, content = own[other], told[other], [rows[name].to_numpy()[other] for name in CONTENT]
    return int(np.count_nonzero(own[np.lexsort((own, *content))] != told[np.lexsort((told, *content))]))


def _rows(table: pa.Table, names: tuple[str, ...]) -> Words:
    """Return a number for each row, of what some columns hold; no two are alike, equal rows neither."""
    return identities(*(table[name].fill_null(0).to_numpy() for name in names))
