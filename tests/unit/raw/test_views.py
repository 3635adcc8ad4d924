"""Every record of a raw text file is kept, dropped or quarantined, whatever stands between them."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import os
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.config.pipeline import Csv
from tawt.contracts.contract import Contract
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.errors import SourceError, StageError
from tawt.files import write_sealed
from tawt.raw.find import RawTable
from tawt.raw.header import read_header
from tawt.raw.identity import RawFile
from tawt.raw.seen import RawSeen
from tawt.raw.views import damaged_file

HEADER = "subject_id,code,value,comments"
STAGING = """-- One row is one reading.
select
    whole(subject_id)::bigint as subject_id, code::varchar as code, value::varchar as value,
    _row::bigint as _row,
    (case when whole(subject_id) is null then 'quarantine:subject_id:unparseable' end)::varchar as _reason
from raw.readings
"""
PART = """-- One row is one reading as an event.
select
    subject_id::bigint as subject_id, null::timestamp as time, code::varchar as code, null::double as numeric_value,
    value::varchar as text_value, null::timestamp as available_time, null::varchar as unit, null::varchar as raw_value,
    'category'::varchar as value_status, _row::bigint as _row, null::varchar as _reason
from staging.readings
"""


@pytest.fixture
def readings(make_project) -> Path:
    """The raw folder of a project of one text table."""
    columns = [{"name": name, "type": "string"} for name in HEADER.split(",")]
    staged = [{"name": "subject_id", "type": "int64", "nullable": False}, *columns[1:3]]
    return make_project(columns, staged, STAGING, PART)


def _account(raw: Path, work: Path, **options):
    result = tawt.ingest(raw, "lab", work, **({"threads": 2} | options))
    return next(s.manifest.accounts[0] for s in result.stages if s.stage == "staging.readings")


def test_behind_malformed_lines_no_record_is_lost(readings: Path, tmp_path: Path) -> None:
    """Of 100,000 records some are short: the csv module finds as many good ones as are kept, and `check` agrees."""
    # lines of 100 bytes, of which a chunk of one thread holds a whole number
    short = random.Random(1)
    lines = [f"{i},c," if short.random() < 0.03 else f"{1 + i % 9},c,{i}," for i in range(100_000)]
    lines = [line + "x" * (99 - len(line)) for line in lines]
    (readings / "readings.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    with (readings / "readings.csv").open(newline="") as text:
        widths = [len(row) for row in csv.reader(text)][1:]
    account = _account(readings, tmp_path / "w")
    assert account.n_records_in == len(widths) == 100_000
    assert account.n_records_kept == widths.count(4) and account.count("quarantine") == widths.count(3) > 1000
    values = tawt.query("select value, _row from staging.readings", tmp_path / "w")
    good = [line.split(",")[2] for line in lines if line.count(",") == 3]
    assert all(good[n - 1] == value for value, n in zip(*(c.to_pylist() for c in values.columns), strict=True))
    assert [finding for finding in tawt.check(tmp_path / "w") if not finding.ok] == []


@pytest.mark.parametrize("always", [False, True])
def test_what_the_engine_loses_is_noticed(always: bool, readings: Path, tmp_path: Path, monkeypatch) -> None:
    """An engine that hands over five records less is asked again, with one thread; where that loses them too the
    ingest ends, and says how many there are."""
    from tawt.raw import views

    read = views._read_csv

    def losing(table, parallel):
        source = read(table, parallel)
        return f"(from {source} limit {table.n_records - 5})" if parallel or always else source

    monkeypatch.setattr(views, "_read_csv", losing)
    (readings / "readings.csv").write_text(HEADER + "\n" + "1,a,b,c\n" * 50)
    if not always:
        assert _account(readings, tmp_path / "w").n_records_kept == 50
        return
    with pytest.raises(
        SourceError, match="holds 50 records by its line ends and quotes, and the engine tells 45 apart"
    ):
        _account(readings, tmp_path / "w")
    assert not (tmp_path / "w" / "staging").exists()
    # the balance holds the stage to the same count, whoever loses
    monkeypatch.setattr("tawt.pipeline.sql_stage.hold_to_count", lambda *_: None)
    with pytest.raises(StageError, match=r"5 of 50 records of raw\.readings have neither"):
        _account(readings, tmp_path / "w")


def test_records_are_numbered_in_the_order_of_the_file(readings: Path, tmp_path: Path) -> None:
    """Of 500,000 records that two threads read, each has its own number, and the quarantine names the right ones."""
    n = 500_000
    text = "".join(f"{'x' if i % 50_000 == 7 else 1 + i % 9},c,{i},{'y' * 60}\n" for i in range(n))
    (readings / "readings.csv").write_text(f"{HEADER}\n{text}")
    _account(readings, tmp_path / "w")
    wrong = tawt.query("select count(*) from staging.readings where value::bigint + 1 <> _row", tmp_path / "w")
    assert wrong.column(0).to_pylist() == [0]
    records = tawt.query("select record from quarantine order by all", tmp_path / "w").column(0).to_pylist()
    assert records == [i + 1 for i in range(7, n, 50_000)]


MALFORMED = {
    "short and long": (b"1,a,b,c\n1,a\n1,a,b,c,d\n1,a,b,c\n", 2),
    "text behind a quote": (b'1,"a"b,c,d\n1,a,b,c\n', 1),
    "nul and blanks": (b"1,\0,b,c\n\0\n  \n1,a,b,c\n", 2),
    "longer than a line may be": (b"1,a," + b"x" * 3_000_000 + b",c\n1,a,b,c\n", 1),
    "longer than a line may be, of lines": (b'1,a,"' + b"x" * 3_000_000 + b'\n1",c\n1,a,b,c\n', 1),
    "in the last line, without an end": (b"1,a,b,c\n1,a", 1),
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("packed", [False, True])
def test_a_malformed_line_is_quarantined_and_its_neighbours_stay(
    kind: str, packed: bool, readings: Path, tmp_path: Path
) -> None:
    """What goes into staging and into the quarantine together is what the file holds."""
    content, n_malformed = MALFORMED[kind]
    content = HEADER.encode() + b"\n" + content
    (readings / f"readings.csv{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    account = _account(readings, tmp_path / "w")
    n = re.sub(b'"[^"]*"', b"", content).rstrip(b"\n").count(b"\n")
    assert (account.n_records_in, account.count("quarantine")) == (n, n_malformed)
    assert account.n_records_kept == n - n_malformed


@pytest.mark.parametrize(
    ("ends", "begin", "strict"), [(b"\n", b"", True), (b"\r\n", b"\xef\xbb\xbf", True), (b"\n", b"\xef\xbb\xbf", False)]
)
def test_the_quarantine_names_the_line_that_a_malformed_record_begins_on(
    ends: bytes, begin: bytes, strict: bool, readings: Path, tmp_path: Path
) -> None:
    """Behind blank lines, blanks and cells of several lines, at the end too, as a walk through the lines finds them."""
    rng = random.Random(3)
    shapes = [b"", b"", b"1,a,b,c", b'1,"a\nb","c\n\n",d', b"1,a", b'1,"a\n\nb"', b"   ", b",", b"1"]
    lines, truth, at = [HEADER.encode()], [], 2
    for shape in (rng.choice(shapes) for _ in range(3000)):
        lines.append(shape)
        if shape and shape.count(b",") < 3:
            truth.append(at)
        at += 1 + shape.count(b"\n")
    (readings / "readings.csv").write_bytes(begin + ends.join([*lines, b"1,a"]))
    _account(readings, tmp_path / "w", settings=(f"csv.strict={strict}",))
    named = tawt.query("select line from quarantine where line is not null order by line", tmp_path / "w")
    assert named.column(0).to_pylist() == [*truth, at] and len(truth) > 1000


@pytest.mark.parametrize(("ends", "strict"), [(b"\n", True), (b"\r\n", False)])
def test_records_behind_many_blank_lines_are_kept(ends: bytes, strict: bool, readings: Path, tmp_path: Path) -> None:
    """The engine counts blank lines to the record behind them; longer together than a record may be, they are none."""
    blank = ends * (2_300_000 // len(ends))
    good = ends.join([b"1,a,b,c"] * 3)
    content = ends.join([HEADER.encode() + blank, good, b"1,a" + blank, good])
    (readings / "readings.csv").write_bytes(content)
    account = _account(readings, tmp_path / "w", settings=(f"csv.strict={strict}",))
    assert (account.n_records_in, account.n_records_kept, account.count("quarantine")) == (7, 6, 1)


def test_blank_lines_beyond_bounds_are_told_as_that(readings: Path, tmp_path: Path, monkeypatch) -> None:
    """More of them in a row than the engine is given room for: the file is named, and what takes them out."""
    monkeypatch.setattr("tawt.raw.identity._MOST_BLANK", 100)
    (readings / "readings.csv").write_text(HEADER + "\n" * 102 + "1,a,b,c\n")
    with pytest.raises(SourceError, match=r"readings\.csv: holds 102 bytes of blank lines in a row") as caught:
        _account(readings, tmp_path / "w")
    assert "grep" in caught.value.hint


SWALLOWED = {
    "text behind a quote": b'1,"a,b\n1,a,b,c\n1,"a,b\n1,a,b,c\n',
    "behind more than the engine shows of a record": b'1,"a' + b"a" * 11_000 + b'\n1,a,b,c\n1,"a,b\n1,a,b,c\n',
    "in the last line": b'1,"a\n1,a,b,c\n1,"b',
}


@pytest.mark.parametrize("kind", SWALLOWED)
@pytest.mark.parametrize("strict", [True, False])
def test_a_quote_that_is_closed_lines_later_by_chance_is_refused(
    kind: str, strict: bool, readings: Path, tmp_path: Path
) -> None:
    """The record that it makes of several is none that could be set aside: its line is named, strict or not."""
    (readings / "readings.csv").write_bytes(f"{HEADER}\n1,a,b,c\n".encode() + SWALLOWED[kind])
    with pytest.raises(SourceError, match=r"readings\.csv:3: opens a quote that swallows"):
        _account(readings, tmp_path / "w", settings=(f"csv.strict={strict}",))


REFUSED = {
    "a quote never closed, in the middle": (b'1,a,b,c\n2,"a,b,c\n3,a,b,c\n4,a,b,c\n', "readings.csv:3: opens a quote"),
    "a quote never closed, at the end": (b'1,a,b,c\n2,"a,b,c', "readings.csv:3: opens a quote"),
    "no UTF-8": (b"1,a,b,c\n2,\xb5,b,c\n", "readings.csv:3: is not UTF-8"),
    "no UTF-8 in a short line": (b"1,a,b,c\n2,\xb5\n", "readings.csv:3: is not UTF-8"),
    "broken off within a character": (b"1,a,b,c\n2,a,b,\xc3", "readings.csv:3: is not UTF-8"),
    "quotes beyond telling": (b'1,a,b,c\n2, a ,"" """ ,c', "tells 1 apart, expected all"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("strict", [True, False])
def test_a_file_that_cannot_be_told_apart_is_refused(kind: str, strict: bool, readings: Path, tmp_path: Path) -> None:
    """No reading that loses or swallows a record goes through, strict or not."""
    content, said = REFUSED[kind]
    (readings / "readings.csv").write_bytes(HEADER.encode() + b"\n" + content)
    if not strict and "apart" in said:
        assert _account(readings, tmp_path / "w", settings=("csv.strict=false",)).n_records_in == 2
        return
    with pytest.raises(SourceError) as caught:
        _account(readings, tmp_path / "w", settings=(f"csv.strict={strict}",))
    assert said in str(caught.value) and caught.value.hint


def test_parquet_is_counted_by_its_metadata_and_the_balance_by_both(readings: Path, tmp_path: Path) -> None:
    """Two parts with row groups: all records come in, and a part that grew is seen by `check`."""
    (readings / "readings").mkdir()
    for i in range(2):
        table = pa.table({name: [f"{i + 1}"] * 5000 for name in HEADER.split(",")})
        pq.write_table(table, readings / "readings" / f"{i}.parquet", row_group_size=700)
    assert _account(readings, tmp_path / "w").n_records_in == 10_000
    pq.write_table(pa.table({name: ["1"] for name in HEADER.split(",")}), readings / "readings" / "1.parquet")
    broken = {finding.check: finding.detail for finding in tawt.check(tmp_path / "w") if not finding.ok}
    assert set(broken) == {"stages", "raw tables"} and "not as it was read" in broken["raw tables"]


def test_check_counts_the_records_again(readings: Path, tmp_path: Path) -> None:
    """An account that took in fewer records than the file holds is found, though it balances."""
    (readings / "readings.csv").write_text(HEADER + "\n" + "1,a,b,c\n" * 5)
    _account(readings, tmp_path / "w")
    path = tmp_path / "w" / "manifests" / "staging.readings.json"
    # sealed again: as a mistake of ours would write it
    write_sealed(path, json.loads(path.read_text().replace('"n_records_in": 5', '"n_records_in": 4')))
    found = {finding.check: finding.detail for finding in tawt.check(tmp_path / "w") if not finding.ok}
    assert found["raw tables"] == "raw.readings holds 5 records, and staging.readings took in 4"
    (readings / "readings.csv").rename(tmp_path / "elsewhere.csv")
    readings.rmdir()
    assert "not counted again" in {f.check: f.detail for f in tawt.check(tmp_path / "w")}["raw tables"]


@pytest.mark.parametrize("later", [0, 1_000_000])
@pytest.mark.parametrize("size", ["the same", "another"])
def test_a_raw_file_that_was_changed_is_read_again(
    size: str, later: int, readings: Path, tmp_path: Path, monkeypatch
) -> None:
    """Its stages run for `input changed: raw.X`; a file that was not touched is not even opened to be hashed.
    A copy of the same size that keeps the time of writing, as some tools make it, is another file all the same."""
    path = readings / "readings.csv"
    path.write_text(f"{HEADER}\n1,a,b,c\n")
    _account(readings, tmp_path / "w")
    with monkeypatch.context() as unread:
        unread.setattr("tawt.raw.identity._read", None)
        assert tawt.ingest(readings, "lab", tmp_path / "w", threads=1).n_run == 0
    before = path.stat()
    path.write_text(f"{HEADER}\n1,a,d,c\n" if size == "the same" else f"{HEADER}\n1,a,d,c\n2,a,b,c\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later))
    broken = {finding.check: finding.detail for finding in tawt.check(tmp_path / "w") if not finding.ok}
    assert set(broken) == {"stages", "raw tables"} and "not as it was read" in broken["raw tables"]
    changed = tawt.ingest(readings, "lab", tmp_path / "w", threads=1)
    reasons = {stage.stage: stage.reason for stage in changed.stages}
    assert reasons["staging.readings"] == "input changed: raw.readings"
    assert "d" in tawt.query("select value from staging.readings", tmp_path / "w").column(0).to_pylist()


@pytest.mark.parametrize("when", ["hashed", "staged"])
def test_a_raw_file_that_changes_while_it_is_read_ends_the_command(
    when: str, readings: Path, tmp_path: Path, monkeypatch
) -> None:
    """Written to while it is hashed, or between that and the end of its stage, it is named, and nothing is finished."""
    path = readings / "readings.csv"
    path.write_text(f"{HEADER}\n1,a,b,c\n")

    def and_write(function):
        def changed(*args, **kwargs):
            result = function(*args, **kwargs)
            path.write_text(f"{HEADER}\n1,a,d,c\n")
            return result

        return changed

    name = "raw.identity._read" if when == "hashed" else "pipeline.sql_stage._select"
    module, _, function = name.rpartition(".")
    found = getattr(importlib.import_module(f"tawt.{module}"), function)
    monkeypatch.setattr(f"tawt.{name}", and_write(found))
    with pytest.raises(SourceError, match=r"readings\.csv: was changed while it was read"):
        tawt.ingest(readings, "lab", tmp_path / "w", threads=1)
    assert not (tmp_path / "w" / "manifests" / "staging.readings.json").exists()


def test_a_table_is_the_same_in_any_text_format(readings: Path, tmp_path: Path, tree) -> None:
    """As csv, tsv and txt, packed or not, the same records come out byte for byte."""
    rows = [HEADER.split(","), ["1", "a", 'b "quoted", with commas', "c"], ["2", "a", "tab\there", ""], ["3", "x"]]
    seen = []
    for name in (
        "readings.csv",
        "readings.tsv",
        "readings.tsv.gz",
        "readings.txt",
        "readings.txt.gz",
        "readings.csv.gz",
    ):
        text = io.StringIO()
        csv.writer(text, delimiter="\t" if ".tsv" in name else ",", lineterminator="\n").writerows(rows)
        content = text.getvalue().encode()
        path = readings / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        account = _account(readings, tmp_path / name)
        path.unlink()
        assert (account.n_records_in, account.n_records_kept) == (3, 2)
        seen.append(tree(tmp_path / name / "events"))
    assert all(one == seen[0] for one in seen[1:])


def test_the_ends_of_each_part_are_filed_under_their_own_file(readings: Path, tmp_path: Path) -> None:
    """First and last record of three parts are bad, and malformed lines stand between: each place is the right one."""
    (readings / "readings").mkdir()
    for i in range(3):
        lines = [f"bad{i},a,b,c", "1,short", "1,a,b,c", "2,a,b,c", f"worse{i},a,b,c"][: None if i != 1 else 5]
        (readings / "readings" / f"{i}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    _account(readings, tmp_path / "w")
    rows = tawt.query(
        "select file, record, line from quarantine order by file, record, line", tmp_path / "w"
    ).to_pylist()
    records = [(row["file"], row["record"]) for row in rows if row["record"] is not None]
    assert records == [(f"readings/{i}.csv", n) for i in range(3) for n in (1 + 4 * i, 4 + 4 * i)]
    assert [(row["file"], row["line"]) for row in rows if row["line"]] == [(f"readings/{i}.csv", 3) for i in range(3)]


def test_a_reason_of_two_is_the_first_by_name(make_project, tmp_path: Path) -> None:
    """An event part that gives a record two reasons, in either order of rows, counts the first, quarantine before drop."""
    columns = [{"name": "subject_id", "type": "string"}]
    staged = [{"name": "subject_id", "type": "int64", "nullable": False}]
    part = PART.replace("code::varchar", "'c'::varchar").replace("value::varchar", "null::varchar")
    reasons = "['drop:missing', 'quarantine:subject_id:unparseable', 'quarantine:subject_id:missing']"
    for order in ("asc", "desc"):
        crossed = f"from staging.readings, (select unnest({reasons}) as why) order by why {order}"
        text = part.replace("from staging.readings", crossed).replace(
            "null::varchar as _reason", "why::varchar as _reason"
        )
        staging = STAGING.replace("code::varchar as code, value::varchar as value,", "")
        raw = make_project(columns, staged, staging, text)
        (raw / "readings.csv").write_text("subject_id\n1\n2\n")
        result = tawt.ingest(raw, "lab", tmp_path / order, threads=1)
        account = next(s.manifest.accounts[0] for s in result.stages if s.stage == "event_parts.readings")
        assert [(route.reason, route.n_records) for route in account.routes] == [("subject_id:missing", 2)]


def test_an_ingest_above_its_memory_spills_and_gives_the_same_bytes(readings: Path, tmp_path: Path, tree) -> None:
    """A join of 80 MB under 60 goes through the spill folder, which is empty at the end."""
    (readings / "readings.csv").write_text(HEADER + "\n" + "".join(f"{1 + i},c,{i},v\n" for i in range(200_000)))
    wide = "(select _row as r, repeat(md5(value), 12) as wide from staging.readings)"
    part = PART.replace("from staging.readings", f"from staging.readings join {wide} on r = _row")
    part = part.replace("value::varchar as text_value", "left(wide, 2)::varchar as text_value")
    (tmp_path / "assets" / "sql" / "lab" / "event_parts" / "readings.sql").write_text(part)
    for name, memory in (("roomy", "1GB"), ("tight", "60MB")):
        _account(readings, tmp_path / name, threads=1, memory_limit=memory)
    assert not [path for path in (tmp_path / "tight" / ".spill").rglob("*") if path.is_file()]
    assert tree(tmp_path / "tight" / "events") == tree(tmp_path / "roomy" / "events")


def test_what_does_not_fit_in_memory_lies_in_the_workspace_alone(tmp_path: Path, monkeypatch) -> None:
    """The engine spills into the folder that it was given, not into the one it was started in, and cleans up."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    connection = connect(Limits(1, "60MB"), [tmp_path / "w"], tmp_path / "w" / ".spill")
    connection.execute("create temp table wide as select i, repeat(md5(i::varchar), 12) as w from range(250000) r(i)")
    assert list((tmp_path / "w" / ".spill").iterdir()) and [path.name for path in tmp_path.iterdir()] == ["w"]
    connection.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


ROTTEN = {
    "no gzip": lambda c: bytes([c[0] ^ 1]) + c[1:],
    "no method": lambda c: c[:2] + b"\x07" + c[3:],
    "its first block": lambda c: c[:12] + bytes(b ^ 0x55 for b in c[12:40]) + c[40:],
    "its middle": lambda c: c[: len(c) // 2] + bytes(b ^ 0x55 for b in c[len(c) // 2 :][:40]) + c[len(c) // 2 + 40 :],
    "its end": lambda c: c[: len(c) // 2] + bytes(len(c) - len(c) // 2),
}


def test_a_packed_file_that_rots_unseen_is_named(readings: Path, tmp_path: Path) -> None:
    """Damage that size and time do not show ends the next reading, of header or records, by the file's name."""
    lines = (f"{i % 9},c,{random.Random(i).random()},x" for i in range(2000))
    path = readings / "readings.csv.gz"
    whole = gzip.compress("\n".join([HEADER, *lines]).encode(), mtime=0)
    path.write_bytes(whole)
    _account(readings, tmp_path / "w", threads=1)
    stat = path.stat()
    for how, spoil in ROTTEN.items():
        path.write_bytes(spoil(whole))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert path.stat().st_size == stat.st_size and path.read_bytes() != whole
        with pytest.raises(SourceError) as caught:
            tawt.run("staging.readings", tmp_path / "w", force=True, threads=1)
        assert caught.value.where == "readings.csv.gz" and caught.value.hint, how
        finding = next(one for one in tawt.check(tmp_path / "w") if one.check == "raw tables")
        assert not finding.ok and finding.detail.startswith("readings.csv.gz: "), how


def test_whatever_reads_a_packed_file_names_it(tmp_path: Path) -> None:
    """Where a disk rots under a file that is remembered, its header and the look behind an engine's error name it."""
    content = gzip.compress(b"a,b\n" + random.Random(1).randbytes(200_000), mtime=0)
    path = tmp_path / "x.csv.gz"
    contract = Contract(name="raw.x", description="One row is one.", columns=())
    seen = RawSeen(stamp=(0, 0), sha256="")
    table = RawTable("x", contract, (RawFile(path, "x.csv.gz", "x.csv.gz", seen),), {})
    path.write_bytes(content)
    assert damaged_file([table]) is None
    for how, spoil in ROTTEN.items():
        path.write_bytes(spoil(content))
        error = damaged_file([table])
        assert error is not None and error.where == "x.csv.gz" and error.hint, how
        if how.startswith("no "):
            with pytest.raises(SourceError, match=r"x\.csv\.gz: is damaged or is not gzip"):
                read_header(table.files[0], Csv(), None)


def test_a_first_line_without_end_is_no_header(readings: Path, tmp_path: Path) -> None:
    """A name of a column that is longer than a cell may be is told of the file, and is none of the encoding."""
    (readings / "readings.csv").write_text("a" * 200_000 + "\n1\n")
    with pytest.raises(SourceError, match=r"readings\.csv: has a first line that is no header"):
        _account(readings, tmp_path / "w")


def test_a_folder_whose_name_is_no_text_is_refused(readings: Path, tmp_path: Path) -> None:
    """Records could not hold the name of a file with bytes that are not UTF-8: it is told, and none is written."""
    (readings / "readings").mkdir()
    (readings / "readings" / "a\udcff.csv").write_text(HEADER + "\n1,c,2,\n")
    with pytest.raises(SourceError, match=r"readings/a\\udcff\.csv: has a name that is not UTF-8"):
        _account(readings, tmp_path / "w")
