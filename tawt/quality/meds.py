"""A whole-dataset validator for anybody's MEDS dataset: what no check of a single table can see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.dataset import SPLITS
from tawt.contracts.meds import meds_types
from tawt.errors import SourceError
from tawt.quality.finding import Finding
from tawt.readers import parquet_schema, read_parquet
from tawt.transforms.columns import out_of_order, times_of

_COPY = "copy it again"
_REQUIRED = ("subject_id", "time", "code")


def check_meds(path: str | Path) -> list[Finding]:
    """Check a MEDS dataset: schema, order, contiguity, one shard per subject, codes and splits complete.

    Args:
        path: Its root, with `data/` and `metadata/`.

    Returns:
        One finding per check.

    Raises:
        SourceError: There is no `data/` with Parquet files, or one is not Parquet.

    Source:
        MEDS 0.4 and 0.3.3 schemas; the rules on order and shards stand there as comments only.
    """
    root = Path(path).expanduser()
    files = sorted((root / "data").rglob("*.parquet"))
    if not files:
        raise SourceError(str(path), "has no data/**/*.parquet, expected a MEDS dataset", "give its root")
    schema_errors: list[str] = []
    null_keys, unsorted, torn, n_rows = 0, 0, 0, 0
    subjects: list[npt.NDArray[np.int64]] = []
    splits: list[tuple[str, npt.NDArray[np.int64]]] = []
    codes: set[str] = set()
    types = meds_types(root)
    for file in files:
        name = file.relative_to(root).as_posix()
        schema = parquet_schema(file, _COPY, SourceError, name)
        wrong = _schema_errors(schema, types)
        schema_errors += [f"{name}: {text}" for text in wrong]
        if _schema_errors(schema, {name: types[name] for name in _REQUIRED}):
            continue  # its rows cannot be read as what they should be
        table = read_parquet(file, _REQUIRED, _COPY, SourceError, name)
        n_rows += len(table)
        null_keys += table["subject_id"].null_count + table["code"].null_count
        codes.update(pc.unique(table["code"]).drop_null().to_pylist())
        subject = table["subject_id"].fill_null(-1).to_numpy()
        time = times_of(table["time"])
        changes = (
            np.flatnonzero(np.concatenate([[True], subject[1:] != subject[:-1]])) if len(subject) else np.array([], int)
        )
        runs = subject[changes]
        unique = np.unique(runs)
        torn += len(runs) - len(unique)
        unsorted += out_of_order(subject, time, ascending=False)
        subjects.append(unique)
        first = file.relative_to(root / "data").parts[0]
        splits.append((first if first in SPLITS else "", unique))
    everyone, times_seen = (
        np.unique(np.concatenate(subjects), return_counts=True) if subjects else (np.array([]), np.array([]))
    )
    shared = int(np.count_nonzero(times_seen > 1))
    return [
        Finding(
            "schema", not schema_errors, schema_errors[0] if schema_errors else f"{len(files):,} files, {n_rows:,} rows"
        ),
        Finding("keys", null_keys == 0, f"{null_keys:,} null subject_id or code"),
        Finding("sorted by time", unsorted == 0, f"{unsorted:,} rows before an earlier one of their subject"),
        Finding("subjects contiguous", torn == 0, f"{torn:,} subjects torn apart within a file"),
        Finding("one shard per subject", shared == 0, f"{shared:,} of {len(everyone):,} subjects in several files"),
        _codes_complete(root, codes),
        *_splits_complete(root, everyone, splits),
    ]


def _schema_errors(schema: pa.Schema, types: Mapping[str, pa.DataType]) -> list[str]:
    errors = [f"column `{name}` is missing" for name in _REQUIRED if name not in schema.names]
    for name, kind in types.items():
        if name in schema.names and schema.field(name).type != kind:
            errors.append(f"column `{name}` is {schema.field(name).type}, expected {kind}")
    return errors


def _codes_complete(root: Path, codes: set[str]) -> Finding:
    name = "metadata/codes.parquet"
    path = root / name
    if not path.is_file():
        return Finding("codes complete", False, f"{name} is absent")
    if "code" not in parquet_schema(path, _COPY, SourceError, name).names:
        return Finding("codes complete", False, f"{name} has no column `code`")
    known = set(read_parquet(path, ["code"], _COPY, SourceError, name)["code"].to_pylist())
    return Finding(
        "codes complete", codes <= known, f"{len(codes - known):,} of {len(codes):,} codes are not described"
    )


def _splits_complete(
    root: Path, everyone: npt.NDArray[np.int64], by_folder: list[tuple[str, npt.NDArray[np.int64]]]
) -> list[Finding]:
    name = "metadata/subject_splits.parquet"
    path = root / name
    if not path.is_file():
        return [Finding("splits complete", False, f"{name} is absent")]
    table = read_parquet(path, None, _COPY, SourceError, name)
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    if "split" not in types or types.get("subject_id") != pa.int64():
        return [Finding("splits complete", False, f"{name} lacks subject_id (int64) or split")]
    ids = table["subject_id"].to_numpy()
    names = np.array(table["split"].to_pylist())
    without = len(np.setdiff1d(everyone, ids))
    twice = len(ids) - len(np.unique(ids))
    misplaced = 0
    for split, unique in by_folder:
        if split:
            misplaced += int(np.count_nonzero(~np.isin(unique, ids[names == split])))
    return [
        Finding("splits complete", without == 0, f"{without:,} of {len(everyone):,} subjects have no split"),
        Finding("splits disjoint", twice == 0, f"{twice:,} subjects are listed again"),
        Finding("splits as stored", misplaced == 0, f"{misplaced:,} subjects lie in the folder of another split"),
    ]
