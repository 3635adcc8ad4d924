"""Records as a MEDS dataset: codes, numbers in their units, texts and moments, part by part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.dataset import SPLITS
from tawt.contracts.meds import ABOUT, MEDS_TYPES, MEDS_VERSION, NAME, SYNTHETIC_NAME
from tawt.contracts.synthetic import DATA
from tawt.contracts.value_status import STATUS_NAMES
from tawt.dataset.records import Records
from tawt.files import write_json, write_parquet
from tawt.machine import version_of
from tawt.synthesis.values import Meanings
from tawt.transforms.subject_hash import assign_splits

SYNTHETIC = {b"synthetic": b"true"}
"""Metadata of every file of a synthetic dataset."""
_BASE = 10**12
SCHEMA = pa.schema(
    [
        *(pa.field(name, kind, name not in ("subject_id", "code")) for name, kind in MEDS_TYPES.items()),
        pa.field("unit", pa.string()),
        pa.field("value_status", pa.string(), False),
    ],
    metadata=SYNTHETIC,
)


def first_id(real: Ints, most: int) -> int:
    """Return the id of the record of number 0: none of the numbers up to `most` then has the id of a real subject."""
    base = _BASE
    while bool(((real >= base) & (real <= base + most)).any()):
        base += max(_BASE, most + 1)
    return base


def write_part(
    folder: Path, name: str, records: Records, meanings: Meanings, shares: tuple[float, float, float], seed: int
) -> dict[str, list[int]]:
    """Write some records, by subject, into `data/SPLIT/NAME.parquet`, and return the subjects of each split.

    Args:
        folder: Of the dataset.
        name: Of the part.
        records: Their ids are those that are written, ascending.
        meanings: What their values stand for.
        shares: Of the splits.
        seed: Of the splits, which are by the hash of the subject.
    """
    split = assign_splits(records.subject_id, shares, seed)
    subjects = {}
    for number, of in enumerate(SPLITS):
        own = np.flatnonzero(split == number)
        subjects[of] = records.subject_id[own].tolist()
        if len(own):
            write_parquet(folder / DATA / of / f"{name}.parquet", as_events(records.take(own), meanings))
    return subjects


def as_events(records: Records, meanings: Meanings) -> pa.Table:
    """Return records as rows of MEDS, in their order."""
    kind, status = records.data_type, records.value_status
    number = meanings.numbers(kind, records.value, status).astype(np.float32)
    moment = pa.array(records.origin[records.subject] + records.time, mask=records.is_static)
    columns: dict[str, Any] = {
        "subject_id": records.subject_id[records.subject],
        "time": moment.cast(pa.timestamp("us")),
        "code": meanings.codes(kind),
        "numeric_value": pa.array(number, mask=np.isnan(number)),
        "text_value": meanings.texts(kind, records.value_token, status),
        "unit": meanings.units(kind, status),
        "value_status": np.array(STATUS_NAMES, dtype=object)[status],
    }
    return pa.table([pa.array(columns[one.name], one.type) for one in SCHEMA], schema=SCHEMA)


def write_about(folder: Path, subjects: dict[str, list[int]], data_types: Iterable[int], meanings: Meanings) -> None:
    """Write `metadata/`: the split of each subject, what each code is, and who made the dataset.

    Args:
        folder: Of the dataset.
        subjects: Of each split.
        data_types: That its events have.
        meanings: Whose codes, descriptions, units and parents they are.
    """
    metadata = folder / "metadata"
    ids = np.array([one for of in SPLITS for one in subjects[of]], dtype=np.int64)
    split: NDArray[np.object_] = np.repeat(np.array(SPLITS, dtype=object), [len(subjects[of]) for of in SPLITS])
    order = np.argsort(ids)
    fields = [pa.field("subject_id", pa.int64(), False), pa.field("split", pa.string(), False)]
    _write(metadata / "subject_splits.parquet", [ids[order], split[order]], pa.schema(fields))
    table = meanings.vocabulary.table().take(
        pa.array(sorted(data_types, key=lambda i: meanings.vocabulary.codes[i]), pa.int64())
    )
    fields = [
        pa.field("code", pa.string(), False), pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())), pa.field("unit", pa.string()),
    ]  # fmt: skip
    columns = [table[name].to_pylist() for name in ("code", "description", "parents", "unit")]
    _write(metadata / "codes.parquet", columns, pa.schema(fields))
    extensions = [name for name in SCHEMA.names if name not in MEDS_TYPES]
    about = {
        NAME: SYNTHETIC_NAME, "dataset_version": "1", "etl_name": "tawt generate",
        "etl_version": version_of("tawt"), "meds_version": MEDS_VERSION, "other_extension_columns": extensions,
    }  # fmt: skip
    write_json(folder / ABOUT, about)


def _write(path: Path, columns: list[Any], schema: pa.Schema) -> None:
    arrays = [pa.array(column, one.type) for column, one in zip(columns, schema, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, pa.table(arrays, schema=schema.with_metadata(SYNTHETIC)))


def data_files(folder: Path) -> list[Path]:
    """Return the files of a dataset's rows, in their order."""
    return sorted(path for path in (folder / DATA).rglob("*.parquet") if not path.name.startswith("."))


def rows_of(files: Iterable[Path]) -> int:
    """Return the rows of some files."""
    return sum(pq.read_metadata(path).num_rows for path in files)
