"""Each finding of `tawt check` on triplets and shards is about its own defect: planted, with manifests that vouch for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin.all import graph_of
from tawt.errors import FileError
from tawt.files import write_sealed
from tawt.pipeline.ledger import standing, write_ledger
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.workspace import open_workspace
from tawt.quality.encoded import _mistold
from tawt.seals import sha256_file
from tawt.transforms.identity import CONTENT, arranged

TRIPLETS = "triplets/train/00000.parquet"
SHARD = "dataset/train/00000.arrow"
INDEX = "dataset/train/00000.index.arrow"
VOCABULARY = "vocabulary/vocabulary.parquet"
MANIFEST = "dataset/dataset.json"


def failed(workspace: Path) -> set[str]:
    return {finding.check for finding in tawt.check(workspace) if not finding.ok}


@contextmanager
def vouched(workspace: Path, *files: str) -> Iterator[None]:
    """Change files; the manifests of their stages then say that they were written so."""
    opened = open_workspace(workspace)
    stages = {file.partition("/")[0] for file in files}
    before = {stage: read_manifest(opened, stage) for stage in stages}
    yield
    for file in files:
        path, stage = workspace / file, file.partition("/")[0]
        manifest = before[stage]
        assert manifest is not None
        before[stage] = manifest.model_copy(
            update={
                "files": manifest.files | {file: path.stat().st_size},
                "hashes": manifest.hashes | {file: sha256_file(path)},
            }
        )
    for name in ("vocabulary", "triplets", "dataset"):  # whoever reads them has read them so
        manifest = before.get(name) or read_manifest(opened, name)
        assert manifest is not None
        parts = manifest.components
        read_so = {stage: one.content for stage, one in before.items() if one is not None and stage in parts.inputs}
        parts = parts.model_copy(update={"inputs": parts.inputs | read_so})
        manifest = manifest.model_copy(update={"components": parts})
        write_sealed(opened.manifest(name), manifest.model_dump(mode="json"))
    write_ledger(workspace, standing(opened, graph_of(opened)))


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path, partitioning=None)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def cell(column: str, value: object, row: int = 5) -> Callable[[pa.Table], pa.Table]:
    """A change of one cell."""

    def change(table: pa.Table) -> pa.Table:
        cells = table[column].to_pylist()
        assert cells[row] != value
        cells[row] = value
        field = table.schema.field(column).with_nullable(True)
        return table.set_column(table.column_names.index(column), field, pa.array(cells, field.type))

    return change


def swapped(column: str) -> Callable[[pa.Table], pa.Table]:
    """A change of two rows of one subject, or of two subjects, that are not in order then."""

    def change(table: pa.Table) -> pa.Table:
        subject = table["subject_id"].to_numpy()
        time = table["timestamp"].cast(pa.int64()).fill_null(-(2**62)).to_numpy()
        apart = (
            subject[1:] != subject[:-1]
            if column == "subject_id"
            else (subject[1:] == subject[:-1]) & (time[1:] > time[:-1])
        )
        at = int(np.flatnonzero(apart)[0])
        order = np.arange(len(table))
        order[[at, at + 1]] = order[[at + 1, at]]
        return table.take(pa.array(order))

    return change


TABLES = {
    "two moments of a subject swapped": (TRIPLETS, swapped("timestamp"), "triplets: sorted"),
    "two subjects swapped": (TRIPLETS, swapped("subject_id"), "triplets: sorted"),
    "a data_type below 0": (TRIPLETS, cell("data_type", -1), "triplets: in the vocabulary"),
    "a data_type beyond the vocabulary": (TRIPLETS, cell("data_type", 10_000), "triplets: in the vocabulary"),
    "a token below 0": (TRIPLETS, cell("value_token", -1), "triplets: in the vocabulary"),
    "a token beyond its data_type's": (TRIPLETS, cell("value_token", 10_000), "triplets: in the vocabulary"),
    "a value that is no number": (TRIPLETS, cell("value", float("nan")), "triplets: finite"),
    "a value without end": (TRIPLETS, cell("value", float("-inf")), "triplets: finite"),
    "the first status that is none": (TRIPLETS, cell("value_status", 10), "triplets: statuses"),
    "a vocabulary out of order": (VOCABULARY, cell("data_type", 6, row=5), "vocabulary: index"),
    "another number in the shard": (SHARD, cell("value", 77.5), "dataset: equals triplets"),
    "another subject in the shard": (SHARD, cell("subject_id", 1), "dataset: equals triplets"),
    "another time in the shard": (SHARD, cell("timestamp", 5), "dataset: identities"),
    "another identity in the shard": (SHARD, cell("identity", 7), "dataset: identities"),
    "a null in the shard": (SHARD, cell("timestamp", None), "dataset: nothing null"),
    "an index that starts elsewhere": (INDEX, cell("start", 0, row=1), "dataset: index"),
    "an index that does not reach the end": (INDEX, cell("length", 1, row=-1), "dataset: index"),
}
"""File, change, and the finding that names it; changes of triplets also make the shard another one, those of a shard its identities."""


@pytest.mark.parametrize("name", TABLES)
def test_each_defect_of_a_table_has_its_finding(own_workspace: Path, name: str) -> None:
    """One row that is wrong fails the check that is about it, and beside it only that shards equal their sources."""
    file, change, expected = TABLES[name]
    path = own_workspace / file
    with vouched(own_workspace, file):
        write(path, change(read(path)))
    beside = {
        TRIPLETS: {"dataset: equals triplets"}, VOCABULARY: {"dataset: vocabulary"}, SHARD: {"dataset: identities"},
    }.get(file, set())  # fmt: skip
    found = failed(own_workspace)
    assert expected in found and found - beside == {expected} - beside


def test_the_last_token_of_a_data_type_is_its_own(own_workspace: Path) -> None:
    """As many tokens as bins, OTHER and categories; one more is out of range."""
    vocabulary = {row["data_type"]: row for row in read(own_workspace / VOCABULARY).to_pylist()}
    triplets = read(own_workspace / TRIPLETS)
    for kind, row in {vocabulary[t]["value_kind"]: i for i, t in enumerate(triplets["data_type"].to_pylist())}.items():
        known = vocabulary[triplets["data_type"][row].as_py()]
        last = known["n_bins"] + (len(known["categories"]) + 1 if known["categories"] else 0)
        for token, found in ((last, False), (last + 1, True)):
            with vouched(own_workspace, TRIPLETS):
                changed = triplets.set_column(
                    triplets.column_names.index("value_token"), triplets.schema.field("value_token"),
                    pa.array([token if i == row else t for i, t in enumerate(triplets["value_token"].to_pylist())], pa.int32()),
                )  # fmt: skip
                write(own_workspace / TRIPLETS, changed)
            assert ("triplets: in the vocabulary" in failed(own_workspace)) == found, (kind, token)


def test_a_shard_that_its_list_counts_otherwise_is_found(own_workspace: Path) -> None:
    """The index of a shard covers as many rows as the dataset's list says, no more and no fewer."""
    path = own_workspace / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"][0]["n_triplets"] += 1
    with vouched(own_workspace, MANIFEST):
        write_sealed(path, manifest)
    assert "dataset: index" in failed(own_workspace)


def test_a_split_that_its_list_leaves_out_is_found(own_workspace: Path) -> None:
    """Triplets whose shards the dataset's list does not name are not in it, and a list with a key of its own is no list."""
    path = own_workspace / MANIFEST
    manifest = json.loads(path.read_text())
    assert manifest["splits"].pop("tuning")
    with vouched(own_workspace, MANIFEST):
        write_sealed(path, manifest)
    assert failed(own_workspace) == {"dataset: equals triplets"}
    with vouched(own_workspace, MANIFEST):
        write_sealed(path, manifest | {"clock": "time"})
    with pytest.raises(FileError, match=r"dataset\.json: `clock` does not fit"):
        tawt.check(own_workspace)


def test_equal_rows_may_stand_in_any_order() -> None:
    """Their identities are numbered before they are put in the order of these: each is that of one of them, and another
    one is found."""
    n = 40
    columns = {name: np.repeat(np.arange(2), n // 2) for name in CONTENT} | {"value": np.zeros(n, np.float32)}
    rows = arranged(columns, np.zeros(n, np.bool_))
    assert _mistold(pa.table(rows)) == 0
    rows["identity"][7] += 1
    assert _mistold(pa.table(rows)) == 1
