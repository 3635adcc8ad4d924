"""A synthetic set, whoever made it, as records in one vocabulary: a workspace of ours, or any MEDS dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tawt.arrays import Ints
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import BIRTH, DATASET, VOCABULARY
from tawt.contracts.value_status import STATUS_NAMES
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.dataset.records import OfSplit, Records, in_order
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError
from tawt.readers import parquet_schema, read_parquet
from tawt.seals import sha256_file
from tawt.synthesis.written import data_files
from tawt.transforms.columns import NO_TIME, times_of
from tawt.transforms.shards import NOWHERE, to_dataset
from tawt.transforms.triplets import Coder, to_triplets

_HINT = "give a folder of `tawt generate`, a workspace, or a MEDS dataset: it has data/**/*.parquet"
_REQUIRED = ("subject_id", "time", "code")
_OPTIONAL = {"numeric_value": pa.float64(), "text_value": pa.string(), "unit": pa.string(), "value_status": pa.string()}


@dataclass(frozen=True, eq=False)
class OfDataset:
    """All subjects of a workspace as a cohort."""

    splits: tuple[OfSplit, ...]
    """Its splits."""
    n_unknown: int = 0
    """Rows of codes that the vocabulary does not have; they are read as [UNK]."""
    n_unknown_unit: int = 0
    """Numbers in another unit than the vocabulary's; they are read as `unit_unknown`."""

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return sum(split.n_subjects for split in self.splits)

    def parts(self) -> Iterator[Records]:
        """Give the records, split after split."""
        for split in self.splits:
            yield from split.parts()


@dataclass(frozen=True, eq=False)
class OfMeds:
    """All subjects of a MEDS dataset as a cohort; a file is read at a time."""

    files: tuple[Path, ...]
    """Those of its rows."""
    vocabulary: Vocabulary
    """What they are read into."""
    time_origin: str
    """What times count from: birth, first_event or anchor."""
    anchor: int | None
    """The anchor, us since 1970-01-01; None = they count from something else."""
    n_subjects: int
    """Number of subjects."""
    n_unknown: int
    """See `OfDataset`."""
    n_unknown_unit: int
    """See `OfDataset`."""

    def parts(self) -> Iterator[Records]:
        """Give the records, file by file."""
        coder = Coder.of(self.vocabulary.table())
        for path in self.files:
            yield self._records(_events(path, coder, self.vocabulary)[0], coder)

    def _records(self, events: pa.Table, coder: Coder) -> Records:
        pipeline = PipelineConfig(name="synthetic", source="meds")
        triplets, _ = to_triplets(events, coder, pipeline, own_contract("triplets"))
        codes = self.vocabulary.codes
        birth = (codes.index(BIRTH) if BIRTH in codes else NOWHERE) if self.time_origin == "birth" else None
        rows, index, _ = to_dataset(
            triplets, own_contract("dataset"), own_contract("dataset_index"), birth, self.anchor
        )
        length, n_static = (index[name].to_numpy().astype(np.int64) for name in ("length", "n_static"))
        subject = np.repeat(np.arange(len(index)), length)
        bounds = np.concatenate([[0], np.cumsum(length)])
        is_static = np.arange(bounds[-1]) - bounds[:-1][subject] < n_static[subject]
        columns = {
            "time": rows["timestamp"].to_numpy(),
            **{name: rows[name].to_numpy() for name in ("data_type", "value", "value_token", "value_status")},
        }
        order = in_order(subject, is_static, columns["time"], columns["data_type"])
        return Records(
            index["subject_id"].to_numpy(), index["origin"].to_numpy(), bounds, is_static[order],
            **{name: column[order] for name, column in columns.items()},
        )  # fmt: skip


def read_synthetic(path: str | Path, dataset: TripletDataset) -> OfDataset | OfMeds:
    """Read a synthetic set into the vocabulary of real records, its times counting from what theirs do.

    Args:
        path: What `tawt generate` wrote, a workspace, or the root of a MEDS dataset of any other generator.
        dataset: The real records which it is held beside.

    Raises:
        DatasetError: It is none of these, or breaks what MEDS says.
    """
    root, vocabulary = Path(path).expanduser(), dataset.vocabulary
    own = root / "vocabulary" / VOCABULARY
    if (root / "dataset" / DATASET).is_file() and own.is_file() and sha256_file(own) == vocabulary.sha256:
        return of_dataset(open_dataset(root))
    files = data_files(root) or data_files(root / "events")
    if not files:
        raise DatasetError(str(root), "has no data/**/*.parquet, expected a set of records", _HINT)
    coder, subjects, unknown, units = Coder.of(vocabulary.table()), [], 0, 0
    for file in files:
        events, n_units = _events(file, coder, vocabulary)
        subjects.append(np.unique(events["subject_id"].to_numpy()))
        unknown += sum(code not in coder.index for code in events["code"].to_pylist())
        units += n_units
    everyone, n = np.unique(np.concatenate(subjects), return_counts=True)
    if (n > 1).any():
        raise DatasetError(str(root), "has subjects in several files, expected each in one, as MEDS says", _HINT)
    anchor = _anchor(dataset) if dataset.time_origin == "anchor" else None
    return OfMeds(tuple(files), vocabulary, dataset.time_origin, anchor, len(everyone), unknown, units)


def _anchor(dataset: TripletDataset) -> int:
    origins = (dataset.split(name).origins for name in dataset.split_names)
    return next((int(of[0]) for of in origins if len(of)), 0)


def of_dataset(dataset: TripletDataset) -> OfDataset:
    """Return all subjects of a dataset as a cohort."""
    splits = [dataset.split(name) for name in dataset.split_names]
    return OfDataset(tuple(OfSplit(one, np.arange(one.n_subjects)) for one in splits if one.n_subjects))


def _events(path: Path, coder: Coder, vocabulary: Vocabulary) -> tuple[pa.Table, int]:
    """Return a file's rows as events of ours, in the order of MEDS, and how many numbers have another unit."""
    names = parquet_schema(path, _HINT, DatasetError).names
    if lacking := [name for name in _REQUIRED if name not in names]:
        raise DatasetError(str(path), f"has no column `{lacking[0]}`, expected a file of MEDS", _HINT)
    there = [name for name in _OPTIONAL if name in names]
    table = read_parquet(path, [*_REQUIRED, *there], _HINT, DatasetError)
    try:
        columns = {"subject_id": table["subject_id"].cast(pa.int64()), "time": table["time"].cast(pa.timestamp("us")),
                   "code": table["code"].cast(pa.string())}  # fmt: skip
        for name, kind in _OPTIONAL.items():
            columns[name] = table[name].cast(kind) if name in there else pa.nulls(len(table), kind)
    except pa.ArrowException:
        raise DatasetError(str(path), "has a column of another type, expected those of MEDS", _HINT) from None
    if columns["subject_id"].null_count or columns["code"].null_count:
        raise DatasetError(str(path), "has a row without a subject_id or code, expected both", _HINT)
    number = np.array(columns["numeric_value"].to_numpy(zero_copy_only=False), dtype=np.float64)
    there_is, texts = np.isfinite(number), columns["text_value"].is_valid().to_numpy(zero_copy_only=False)
    stated = np.array(columns["value_status"].to_pylist(), dtype=object)
    status = np.where(there_is, "numeric", np.where(texts, "category", "none")).astype(object)
    kept = there_is & np.isin(stated, ("censored_low", "censored_high"))
    kept |= ~there_is & np.isin(stated, [name for name in STATUS_NAMES if name not in _OF_VALUES])
    status[kept] = stated[kept]
    own = dict(zip(vocabulary.codes, vocabulary.table()["unit"].to_pylist(), strict=True))
    codes, units = columns["code"].to_pylist(), columns["unit"].to_pylist()
    pairs = zip(codes, units, strict=True)
    differs = [unit is not None and own.get(code) not in (None, unit) for code, unit in pairs]
    other = there_is & np.array(differs, dtype=np.bool_)
    status[other], number[other] = "unit_unknown", np.nan
    events = pa.table({
        "subject_id": columns["subject_id"], "time": columns["time"], "code": columns["code"],
        "numeric_value": pa.array(number, mask=np.isnan(number)), "text_value": columns["text_value"],
        "available_time": columns["time"], "value_status": pa.array(status, pa.string()),
    })  # fmt: skip
    subject, time = events["subject_id"].to_numpy(), times_of(events["time"])
    order: Ints = np.lexsort((np.where(time == NO_TIME, np.iinfo(np.int64).min, time), subject))
    return events.take(pa.array(order)), int(other.sum())


_OF_VALUES = ("none", "numeric", "category", "censored_low", "censored_high")
