"""What tawt writes as MEDS is read whole by meds_reader, meds-torch-data and ACES."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.project import asset
from tests.peers.conftest import Run, rows_of


@pytest.mark.parametrize("version", ["0.4", "0.3.3"])
def test_meds_reader_reads_every_event(peer: Run, place: Path, tmp_path: Path, version: str) -> None:
    """Of either version it has the same events of each subject in the same order, with all that they hold."""
    tawt.export(place, tmp_path / "out", version=version, threads=1)
    read = peer("meds_reader", tmp_path / "out")
    own = rows_of(tmp_path / "out").select(read.column_names)
    order = [("subject_id", "ascending")]  # which keeps the rows of one as they are
    for name in read.column_names:
        one, other = (table.take(pa.compute.sort_indices(table, order))[name] for table in (own, read))
        assert one.cast(other.type).to_pylist() == other.to_pylist(), name
    assert len(read) > 5_000 and read["text_value"].null_count < len(read)


def test_meds_torch_data_loads_every_event(peer: Run, place: Path, tmp_path: Path) -> None:
    """Its loader has the codes of each subject of train, timed and static, as often as they are there."""
    tawt.export(place, tmp_path / "out", threads=1)
    read = peer("meds_torch_data", tmp_path / "out")
    own = rows_of(tmp_path / "out", "train")
    kinds = ["static" if time is None else "timed" for time in own["time"].to_pylist()]
    told = Counter(zip(own["subject_id"].to_pylist(), kinds, own["code"].to_pylist(), strict=True))
    assert {"static", "timed"} == {*kinds}
    assert Counter(map(tuple, zip(*(read[name].to_pylist() for name in read.column_names), strict=True))) == told


@pytest.mark.parametrize("task", ["in_hospital_mortality_24h", "icu_mortality_24h", "readmission_30d"])
def test_aces_gives_the_labels_of_tawt(peer: Run, place: Path, task: str) -> None:
    """A ready task is an ACES file: asked by ACES itself of the events, it gives each label that `tawt label` gives."""
    labels = pq.read_table(tawt.label(task, place, threads=1).path)
    files = (asset(f"sql/shared/tasks/{task}.yaml"), asset("sql/mimic_iv/tasks/predicates.yaml"))
    theirs = peer("aces_labels", place / "events", *files)
    columns = (("subject_id", "prediction_time", "boolean_value"), ("subject_id", "prediction_time", "label"))
    ours, asked = (
        sorted(zip(*(table[name].to_pylist() for name in names), strict=True))
        for table, names in zip((labels, theirs), columns, strict=True)
    )
    assert [(*rest, bool(label)) for *rest, label in asked] == [(*rest, label) for *rest, label in ours]
    assert len({label for *_, label in ours}) == 2
