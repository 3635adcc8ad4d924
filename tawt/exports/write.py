"""Writes events as a MEDS dataset, file by file, so that what was killed goes on with the files that are left."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tawt.builtin.about import Counted
from tawt.contracts.dataset import SPLITS
from tawt.contracts.meds import ABOUT
from tawt.errors import FileError
from tawt.exports.form import Form
from tawt.files import write_json
from tawt.pipeline.each_shard import each_shard, forget_shards
from tawt.readers import parquet_batches, parquet_schema, read_map, read_parquet
from tawt.seals import sha256_file
from tawt.sources.stage import Input, Tick
from tawt.transforms.columns import dictionary_of, people_of, subjects_by_year, times_of

_CODES, _OF_SUBJECTS = "metadata/codes.parquet", "metadata/subject_splits.parquet"
_COUNTED = ["subject_id", "time", "code", "unit", "value_status"]


def write_dataset(events: Input, folder: Path, form: Form, license: str, threads: int, tick: Tick) -> Counted:
    """Write `data/` and `metadata/` of a dataset, and return its counts; files that are finished stay.

    Args:
        events: Of a workspace.
        folder: Where; what is finished in it is of the same events and the same form.
        form: The form.
        license: Terms of use; empty = not stated.
        threads: Files at a time.
        tick: Hears of every finished file.

    Raises:
        FileError: A file of the events is damaged.
    """
    names = {path.relative_to(events.folder).with_suffix("").as_posix().replace("/", "-"): path for path in events.rows}
    out = {name: folder / path.relative_to(events.folder) for name, path in names.items()}

    def one(name: str) -> dict[str, Any]:
        _hold(events, names[name])
        out[name].parent.mkdir(parents=True, exist_ok=True)
        _write(names[name], out[name], form, events.make_again)
        return _count(names[name], form, events.make_again)

    results = dict(each_shard(folder, {name: [path] for name, path in out.items()}, one, threads, tick))
    _write_metadata(events, folder, form, license, [tuple(pair) for r in results.values() for pair in r["pairs"]])
    forget_shards(folder)
    of_split = {split: [r for name, r in results.items() if names[name].parent.name == split] for split in SPLITS}
    return Counted(
        n_subjects={split: sum(r["n_subjects"] for r in found) for split, found in of_split.items()},
        n_rows={split: sum(r["n_rows"] for r in found) for split, found in of_split.items()},
        people=_summed(results.values(), "people"),
        years={int(year): n for year, n in _summed(results.values(), "years").items()},
        statuses=_summed(results.values(), "statuses"),
    )


def _write(source: Path, target: Path, form: Form, make_again: str) -> None:
    if form.is_kept:
        read_parquet(source, [], make_again)  # that it is one
        shutil.copyfile(source, target)
        return
    schema = form.schema(parquet_schema(source, make_again))
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in parquet_batches(source, hint=make_again):
            writer.write_table(form.rows(pa.Table.from_batches([batch])))


def _count(source: Path, form: Form, make_again: str) -> dict[str, Any]:
    table = read_parquet(source, _COUNTED, make_again, read_dictionary=["code", "unit", "value_status"])
    subject, (code, codes), (unit, units) = (
        table["subject_id"].to_numpy(), dictionary_of(table["code"]), dictionary_of(table["unit"])
    )  # fmt: skip
    all_units = [*units, None]
    found, of_row = np.unique(code * len(all_units) + unit, return_inverse=True)
    pairs = [(codes[i // len(all_units)], all_units[i % len(all_units)]) for i in found.tolist()]
    told = [name if not form.codes_with_units or of is None else f"{name}//{of}" for name, of in pairs]
    names, of_pair = np.unique(np.array(told, dtype=object), return_inverse=True)
    people = people_of(of_pair[of_row], subject, len(names))
    status, statuses = dictionary_of(table["value_status"])
    return {
        "n_rows": len(table),
        "n_subjects": len(np.unique(subject)),
        "people": dict(zip(names.tolist(), people.tolist(), strict=True)),
        "years": {str(year): n for year, n in subjects_by_year(subject, times_of(table["time"])).items()},
        "statuses": dict(zip(statuses, np.bincount(status, minlength=len(statuses)).tolist(), strict=True)),
        "pairs": pairs if form.codes_with_units else [],
    }


def _write_metadata(
    events: Input, folder: Path, form: Form, license: str, pairs: list[tuple[str, str | None]]
) -> None:  # fmt: skip
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    for name in (_CODES, _OF_SUBJECTS, ABOUT):
        _hold(events, events.folder / name)
    known, splits = (read_parquet(events.folder / name, None, events.make_again) for name in (_CODES, _OF_SUBJECTS))
    if form.is_kept:
        for name in (_CODES, _OF_SUBJECTS):
            shutil.copyfile(events.folder / name, folder / name)
    else:
        pq.write_table(form.codes(known, {*pairs}), folder / _CODES)
        pq.write_table(splits.cast(form.schema(splits.schema)), folder / _OF_SUBJECTS)
    write_json(folder / ABOUT, form.about(read_map(events.folder / ABOUT, events.make_again), license))


def _hold(events: Input, path: Path) -> None:
    """Hold a file to what its stage wrote: a bit that flipped would be handed on under a new hash."""
    if sha256_file(path) != events.hashes[path]:
        raise FileError(str(path), "is not as it was written, expected what its stage wrote", events.make_again)


def _summed(results: Iterable[dict[str, Any]], key: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for result in results:
        total.update(result[key])
    return dict(sorted(total.items()))
