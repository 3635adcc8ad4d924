"""Raw tables as Parquet: columns come typed, and no type shifts a time, rounds an id or loses a record."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import SourceError
from tests.unit.conftest import Hospital, read_events

LIMITS = {"threads": 1, "memory_limit": "1GB"}
NOON = datetime(2020, 1, 1, 12)


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch):
    """A machine nine hours from Greenwich."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def meds_rows(times: pa.Array, subjects: pa.Array | None = None) -> pa.Table:
    subjects = pa.array([1] * len(times), pa.int64()) if subjects is None else subjects
    return pa.table({"subject_id": subjects, "time": times, "code": pa.array(["HR"] * len(times))})


def typed(path: Path, out: Path) -> None:
    """Write one csv.gz as Parquet, with floats for its whole numbers and times with nanoseconds."""
    table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types={"icd_code": pa.string()}))
    for i, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            table = table.set_column(i, field.name, table[field.name].cast(pa.float64()))
        if pa.types.is_timestamp(field.type):
            table = table.set_column(i, field.name, table[field.name].cast(pa.timestamp("ns")))
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, out)


def test_typed_tables_give_the_events_of_the_text(hospital: Hospital, tmp_path: Path) -> None:
    """Stays and diagnoses as Parquet with ids as floats and times in nanoseconds make the events of the csv.gz files."""
    raw = tmp_path / "raw"
    for path in sorted(hospital.raw.rglob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        out = raw / path.parent.name / path.name
        if name in ("icustays", "diagnoses_icd", "d_items"):
            typed(path, out.with_name(f"{name}.parquet"))
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.symlink_to(path)
    tawt.ingest(raw, "demo", tmp_path / "ws", settings=("shards=3",), **LIMITS)
    events = read_events(tmp_path / "ws")
    sources = {"event_parts.icustays", "event_parts.diagnoses"}
    chosen = pc.is_in(events["source"], pa.array(sorted(sources)))
    assert set(events.filter(chosen)["source"].to_pylist()) == sources
    assert events.equals(read_events(hospital.workspace))


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_utc_times_are_not_shifted(far_away: None, write_meds: Callable[..., Path], tmp_path: Path, unit: str) -> None:
    """A time stamped as UTC keeps its hour, whatever the time zone of the machine."""
    raw = write_meds(meds_rows(pa.array([NOON], pa.timestamp(unit, "UTC"))))
    tawt.ingest(raw, "meds", tmp_path / "ws", **LIMITS)
    assert read_events(tmp_path / "ws")["time"].to_pylist() == [NOON]


def test_another_zone_is_refused(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """Times of another time zone are refused by name: a clock time can only be guessed from them."""
    raw = write_meds(meds_rows(pa.array([NOON], pa.timestamp("us", "America/New_York"))))
    with pytest.raises(SourceError, match="column `time` is in the time zone America/New_York") as error:
        tawt.ingest(raw, "meds", tmp_path / "ws", **LIMITS)
    assert error.value.hint


@pytest.mark.parametrize("subjects", [pa.array([1.5]), pa.array(["p1"])])
def test_ids_that_are_no_whole_numbers_are_nobodys(
    write_meds: Callable[..., Path], tmp_path: Path, subjects: pa.Array
) -> None:
    """A subject_id that is no whole number quarantines its record, and is never rounded to somebody else's."""
    raw = write_meds(meds_rows(pa.array([NOON], pa.timestamp("us")), subjects))
    result = tawt.ingest(raw, "meds", tmp_path / "ws", **LIMITS)
    (staging,) = [s.manifest for s in result.stages if s.stage == "staging.measurements"]
    assert [(r.kind, r.reason, r.n_records) for r in staging.accounts[0].routes] == [
        ("quarantine", "subject_id:unparseable", 1)
    ]


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (pa.array([["HR"]]), "list"),
        (pa.array([{"SECRET": 1}]), "struct"),
        (pa.array([[("HR", "1")]], pa.map_(pa.string(), pa.string())), "map"),
        (pa.array([b"\xc2\xb5"]), "binary"),
        (pa.array([b"HR"], pa.binary(2)), "fixed_size_binary"),
    ],
)
def test_what_is_no_text_is_not_read_as_the_words_of_the_engine(
    write_meds: Callable[..., Path], tmp_path: Path, codes: pa.Array, kind: str
) -> None:
    """A column of lists, maps, structs or bytes is refused by name where the contract says text."""
    raw = write_meds(meds_rows(pa.array([NOON], pa.timestamp("us"))).set_column(2, "code", codes))
    with pytest.raises(SourceError, match=rf"column `code` is {kind}\b.*, expected string") as error:
        tawt.ingest(raw, "meds", tmp_path / "ws", **LIMITS)
    assert error.value.hint and "SECRET" not in str(error.value)


def test_a_page_that_cannot_be_read_is_told_as_its_raw_file(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """Whatever the engine calls it, the error names the file and says to copy it again."""
    raw = write_meds(meds_rows(pa.array([NOON] * 5000, pa.timestamp("us")), pa.array(range(5000), pa.int64())))
    (path,) = raw.rglob("*.parquet")
    whole = path.read_bytes()
    for start in (4, 40, 400, 4000, 12000):
        path.write_bytes(whole[:start] + bytes(255 - byte for byte in whole[start : start + 64]) + whole[start + 64 :])
        with pytest.raises(SourceError, match=r"data/0\.parquet: is damaged .* whole Parquet") as caught:
            tawt.ingest(raw, "meds", tmp_path / "w", **LIMITS)
        assert caught.value.hint == "copy it again"
