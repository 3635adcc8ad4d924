"""The stage `content_events`: which events have a content, on the clock of the dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.account import Account
from tawt.contracts.dataset import SPLITS
from tawt.contracts.layers import layer_of
from tawt.modalities.contents import INDEX, NO_TIME, drop_embeddings, write_events
from tawt.readers import read_parquet, reading
from tawt.sources.stage import Bound, BuiltIn, Input, StageResult, Tick
from tawt.transforms.columns import NO_TIME as NULL
from tawt.transforms.columns import times_of

_READ = ["subject_id", "time", "available_time", "code", "source", "source_row"]


def run_content_events(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """List what reached events of the records that have a content: nothing that was dropped or quarantined."""
    contents, events, dataset = (bound.inputs[name] for name in ("contents", "events", "dataset"))
    known = pa.concat_tables([read_parquet(file, ["record", "sha256"], contents.make_again) for file in contents.rows])
    known = known.filter(pc.is_valid(known["sha256"]))
    parts = pa.array([name for name in bound.inputs if layer_of(name).measured], pa.string())
    found = []
    for n, file in enumerate(events.rows):
        table = read_parquet(file, _READ, events.make_again)
        table = table.filter(pc.is_in(table["source"], parts))
        place = pc.index_in(table["source_row"], known["record"].combine_chunks())
        table = table.append_column("sha256", known["sha256"].take(place)).filter(pc.is_valid(place))
        found.append(_timed(table, _origins(dataset, file), bound.pipeline.clock))
        tick(n + 1, len(events.rows))
    rows = pa.concat_tables(found).sort_by([(name, "ascending") for name in bound.stage.contract.sorted_by])
    write_events(folder / INDEX, rows)
    drop_embeddings(bound.root, {*rows["sha256"].unique().to_pylist()})
    n_subjects = pc.count_distinct(rows["subject_id"]).as_py()
    account = Account(
        driving="events", whole=False, n_records_in=len(rows), n_records_kept=len(rows), n_rows_out=len(rows)
    )
    return StageResult((account,), {"n_subjects": n_subjects, "n_contents": pc.count_distinct(rows["sha256"]).as_py()})


def _origins(dataset: Input, file: Path) -> pa.Table:
    """Return the subjects of a shard of events and what the time of each is counted from."""
    split, name = file.parent.name, f"{file.stem}.index.arrow"
    assert split in SPLITS, split
    index = next(one for one in dataset.files if one.parent.name == split and one.name == name)
    with reading(index, "an Arrow file", dataset.make_again), pa.memory_map(str(index)) as mapped:
        return pa.ipc.open_file(mapped).read_all().select(["subject_id", "origin"]).combine_chunks()


def _timed(table: pa.Table, origins: pa.Table, clock: str) -> pa.Table:
    """Return rows of events as the dataset has their times: its clock, counted from each subject's origin."""
    subject = table["subject_id"].to_numpy()
    time, available = times_of(table["time"]), times_of(table["available_time"])
    available = np.where(available == NULL, time, available)
    time = time if clock == "time" else np.where(time == NULL, NULL, available)
    origin = origins["origin"].to_numpy()[np.searchsorted(origins["subject_id"].to_numpy(), subject)]
    return pa.table(
        {
            "subject_id": subject,
            "time": np.where(time == NULL, NO_TIME, time - origin),
            "available_time": np.where(available == NULL, NO_TIME, available - origin),
            "code": table["code"].cast(pa.string()),
            "sha256": table["sha256"],
        }
    )


CONTENT_EVENTS = BuiltIn(
    "content_events", ("contents", "event_parts", "events", "dataset"), ("content_events",),
    "One row is one event that has a content.", ("pipeline.clock",), run_content_events, of="contents",
)  # fmt: skip
