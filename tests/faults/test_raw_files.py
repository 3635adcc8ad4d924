"""Raw folders as they come: each fault ends in one clear line that shows no cell, or is read and said."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

LABS = "hosp/labevents.csv.gz"
PATIENTS = "hosp/patients.csv.gz"
OTHERS = (
    "staging.icustays", "event_parts.icustays", "staging.d_items", "codes.chart", "staging.chartevents", "event_parts.chart",
    "staging.d_icd_diagnoses", "codes.diagnoses", "staging.diagnoses_icd", "event_parts.diagnoses", "event_parts.lab_specimens",
)  # fmt: skip
LABS_ALONE = ("--set", f"off=[{', '.join(OTHERS)}]")
"""Without the stages that neither read laboratory results nor are read beside them."""
FORM = re.compile(r"\Aerror: .+: .+, expected .+\n\nhint: .+\n\Z")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The raw tables of an invented hospital of 12 subjects; not to be changed."""
    from tawt.hospital.invent import write_hospital

    raw = tmp_path_factory.mktemp("small") / "raw"
    write_hospital(raw, n_subjects=12, seed=1)
    return raw


@pytest.fixture
def raw(small: Path, tmp_path: Path) -> Path:
    """A copy of these tables that a test may spoil."""
    return Path(shutil.copytree(small, tmp_path / "raw"))


@pytest.fixture
def ingest(raw: Path, tmp_path: Path, tawt):
    """Ingest the copy and return how that ended."""

    def run(*options: object, pipeline: object = "demo"):
        words = ("ingest", raw, "-p", pipeline, "-w", tmp_path / "w", "--threads", 1, "--format", "json")
        return tawt(*words, *options)

    return run


def _unpack(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _pack(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def _cells(old: bytes, new: bytes, times: int = 1) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        content = _unpack(raw / LABS)
        assert old in content
        _pack(raw / LABS, content.replace(old, new, times))

    return spoil


def _packed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda raw: (raw / LABS).write_bytes(change((raw / LABS).read_bytes())) and None


def _text(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda raw: _pack(raw / LABS, change(_unpack(raw / LABS)))


def _flipped(at: Callable[[int], int]) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[at(len(content))] ^= 1
        return bytes(changed)

    return flip


def _instead(name: str, content: bytes) -> Callable[[Path], None]:
    def replace(raw: Path) -> None:
        (raw / LABS).unlink()
        (raw / "hosp" / name).write_bytes(content)

    return replace


def _dangling(raw: Path) -> None:
    (raw / LABS).unlink()
    (raw / LABS).symlink_to(raw / "nowhere")


def _linked(link: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        folder = raw / "hosp/labevents"
        folder.mkdir()
        link((raw / LABS).rename(folder / "a.csv.gz"), folder / "b.csv.gz")

    return spoil


def _mixed_ends(content: bytes) -> bytes:
    lines = content.split(b"\n")
    return b"".join(line + (b"\r\n" if i % 2 else b"\n") for i, line in enumerate(lines[:-1]))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "required table": (lambda raw: (raw / PATIENTS).unlink(), "raw.patients: no file found"),
    "required column": (_cells(b",valuenum,", b",valuenun,"), "column `valuenum` is missing"),
    "truncated gzip": (_packed(lambda b: b[: len(b) // 2]), f"{LABS}: ends early"),
    "no checksum": (_packed(lambda b: b[:-8]), f"{LABS}: ends early"),
    "flipped bit": (_packed(_flipped(lambda n: n // 2)), f"{LABS}: is damaged"),
    "wrong checksum": (_packed(_flipped(lambda n: n - 8)), f"{LABS}: is damaged"),
    "bytes behind": (_packed(lambda b: b + b"behind"), f"{LABS}: is damaged"),
    "zeros behind": (_packed(lambda b: b + bytes(512)), f"{LABS}: is whole, but the engine"),
    "a zero behind": (_packed(lambda b: b + bytes(1)), f"{LABS}: is whole, but the engine"),
    "zeros between": (_packed(lambda b: b + bytes(5) + gzip.compress(b"")), f"{LABS}: is whole, but the engine"),
    "packed with a comment": (
        _packed(lambda b: b[:3] + bytes([b[3] | 16]) + b[4:10] + b"said\0" + b[10:]),
        f"{LABS}: is whole, but the engine",
    ),
    "not gzip": (_packed(gzip.decompress), f"{LABS}: is damaged or is not gzip"),
    "no byte": (_packed(lambda b: b""), f"{LABS}: is empty (0 bytes)"),
    "nothing packed": (_text(lambda b: b""), f"{LABS}: has no header line"),
    "latin-1 in a key": (_text(lambda b: b.replace(b"\n1", b"\n\xb51", 1)), "not UTF-8"),
    "latin-1 in a unit": (_cells(b"mg/dL", b"\xb5g/dL"), "not UTF-8"),
    "latin-1 in the header": (_cells(b",subject_id", b",sub\xb5ject_id"), "expected UTF-8"),
    "utf-16": (_text(lambda b: b.decode().encode("utf-16")), "expected UTF-8"),
    "open quote": (_cells(b",mg/dL,", b',"mg/dL,'), f"{LABS}:10: opens a quote"),
    "mixed line ends": (_text(_mixed_ends), "two kinds of line ends"),
    "semicolons": (_text(lambda b: b.replace(b",", b";")), "column `subject_id` is missing"),
    "column twice": (_cells(b",storetime,", b",charttime,"), "has a column name `charttime` twice (columns "),
    "column twice in another case": (
        _cells(b",storetime,", b",ChartTime,"),
        "has a column name `charttime` twice (columns ",
    ),
    "damaged parquet": (_instead("labevents.parquet", b"PAR1 nonsense PAR1"), "expected a whole Parquet file"),
    "table twice": (lambda raw: (raw / "hosp/labevents.csv").write_bytes(_unpack(raw / LABS)), "lies there twice"),
    "table beside a packed one": (
        lambda raw: (raw / "hosp/labevents.zip").write_bytes(b"PK"),
        "lies there twice: hosp/labevents.csv.gz and",
    ),
    "table in two places": (
        lambda raw: (raw / "labevents.csv").write_bytes(_unpack(raw / LABS)),
        "lies there in two of its `paths`: hosp/labevents.csv.gz and labevents.csv",
    ),
    "part linked to": (_linked(os.link), "labevents/b.csv.gz: is the same file as `hosp/labevents/a.csv.gz`"),
    "part linked by name": (_linked(os.symlink), "labevents/b.csv.gz: is the same file as `hosp/labevents/a.csv.gz`"),
    "pipe": (lambda raw: (raw / LABS).unlink() or os.mkfifo(raw / LABS), f"{LABS}: is a pipe or a device"),
    "device": (lambda raw: (raw / LABS).unlink() or (raw / LABS).symlink_to("/dev/zero"), "is a pipe or a device"),
    "dangling link": (_dangling, f"{LABS}: cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_leaves_nothing_half_written(fault: str, raw: Path, ingest, tmp_path: Path) -> None:
    """The error names where, what is and what was expected, gives a hint, shows no cell and no path of the machine,
    and leaves only stages that are finished."""
    spoil, said = FAULTS[fault]
    spoil(raw)
    ended = ingest(*LABS_ALONE)
    assert ended.code == 1 and ended.out == ""
    assert FORM.match(ended.error) and said in ended.error, ended.err
    assert str(tmp_path) not in ended.error
    published = [p for p in (tmp_path / "w").rglob("*/*.parquet") if ".aside" not in p.parts]
    for path in published:
        layer, name = path.relative_to(tmp_path / "w").parts[:2]
        stage = name.removesuffix(".parquet") if layer in ("quarantine", "shards") else f"{layer}.{name}"
        assert (tmp_path / "w" / "manifests" / f"{stage}.json").is_file()


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (_text(lambda b: b.decode().encode("utf-16")), "begins as utf-16 does"),
        (_text(gzip.compress), "begins as gzip does"),
        (_text(lambda b: b"PK\x03\x04\xff" + b), "begins as .zip"),
        (_text(lambda b: b.replace(b"\n1", b"\n\xb51", 1)), "encoding: latin-1"),
    ],
)
def test_what_is_no_text_is_told_by_its_first_bytes(
    spoil: Callable[[Path], object], hint: str, raw: Path, ingest
) -> None:
    """The hint is of the form that the file begins as, and of another encoding only where it begins as none."""
    spoil(raw)
    ended = ingest()
    assert ended.code == 1 and "is not UTF-8 text" in ended.error and hint in ended.err


@pytest.mark.parametrize("fault", ["required column", "open quote"])
def test_after_the_mending_an_ingest_is_as_if_nothing_had_been(
    fault: str, small: Path, raw: Path, ingest, whole, tmp_path, tree
):
    """The same workspace then holds the same bytes as one that never met the fault, and nothing lies aside."""
    FAULTS[fault][0](raw)
    assert ingest(*LABS_ALONE).code == 1
    shutil.copy(small / LABS, raw / LABS)
    assert ingest(*LABS_ALONE).code == 0
    assert [p for p in (tmp_path / "w" / ".aside").rglob("*") if p.is_file()] == []
    assert tree(tmp_path / "w" / "events") == tree(whole[0] / "events")


def test_a_file_without_a_header_does_not_show_its_first_record(raw: Path, ingest) -> None:
    """Where the first line is a record, neither error nor hint quotes it."""
    content = _unpack(raw / LABS)
    first, rest = content.partition(b"\n")[2].split(b"\n", 1)
    _pack(raw / LABS, first + b"\n" + rest)
    ended = ingest()
    assert ended.code == 1 and FORM.match(ended.error)
    for cell in first.decode().split(","):
        assert len(cell) < 3 or cell not in ended.err


def _in_parts(raw: Path) -> None:
    lines = _unpack(raw / LABS).splitlines(keepends=True)
    (raw / LABS).unlink()
    (raw / "hosp/labevents").mkdir()
    (raw / "hosp/labevents/0.Csv").write_bytes(b"".join(lines[:9]))
    _pack(raw / "hosp/labevents/1.CSV.GZ", b"".join([lines[0], *lines[9:]]))


READABLE: dict[str, Callable[[Path], object]] = {
    "byte order mark, crlf, none at the end": _text(
        lambda b: b"\xef\xbb\xbf" + b.rstrip(b"\n").replace(b"\n", b"\r\n")
    ),
    "header in capitals, blank lines at the end": _text(
        lambda b: b.partition(b"\n")[0].upper() + b"\n" + b.partition(b"\n")[2] + b"\n\n"
    ),
    "not packed, no last line end": lambda raw: (
        (raw / "hosp/labevents.csv").write_bytes(_unpack(raw / LABS).rstrip(b"\n")), (raw / LABS).unlink()
    ),
    "folder of parts, column without a name": lambda raw: (
        _cells(b",comments", b",")(raw), (raw / "hosp/labevents").mkdir(),
        (raw / LABS).rename(raw / "hosp/labevents/part-0.csv.gz"),
    ),
    "end in capitals": lambda raw: (raw / LABS).rename(raw / "hosp/LABEVENTS.CSV.GZ"),
    "parts packed and not, in capitals": _in_parts,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(small: Path, tawt, tmp_path_factory) -> tuple[Path, str]:
    """A workspace of the tables as they are, and its ledger as JSON."""
    workspace = tmp_path_factory.mktemp("whole") / "w"
    words = ("ingest", small, "-p", "demo", "-w", workspace, "--threads", 1, "--format", "json", *LABS_ALONE)
    return workspace, tawt(*words).out


@pytest.mark.parametrize("form", READABLE)
def test_another_way_of_writing_the_same_table_changes_nothing(form: str, raw: Path, ingest, whole) -> None:
    """The ledger is that of the table as it was."""
    READABLE[form](raw)
    ended = ingest(*LABS_ALONE)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == json.loads(whole[1])


def test_a_table_of_a_header_alone_gives_no_rows(raw: Path, ingest) -> None:
    """A header without records is an empty table, not an error."""
    _pack(raw / LABS, _unpack(raw / LABS).partition(b"\n")[0] + b"\n")
    ended = ingest(*LABS_ALONE)
    rows = {row["stage"]: row for row in json.loads(ended.out)}
    assert ended.code == 0 and rows["staging.labevents"]["records in"] == 0
    assert rows["event_parts.labs"]["rows out"] == 0


@pytest.mark.parametrize(
    "suffix", [".csv.zip", ".zip", ".csv.bz2", ".csv.zst", ".csv.xz", ".tar.gz", ".7z", ".xlsx", ".gz", "/"]
)
@pytest.mark.parametrize("table", ["hosp/diagnoses_icd", "hosp/patients"])
def test_a_table_of_a_kind_that_is_not_read_is_no_absent_one(table: str, suffix: str, raw: Path, ingest) -> None:
    """Optional or not, a table that is packed otherwise, and an empty folder of its name, are named."""
    (raw / f"{table}.csv.gz").unlink()
    place = raw / f"{table}{suffix}"
    place.mkdir() if suffix == "/" else place.write_bytes(b"x")
    ended = ingest()
    assert ended.code == 1 and FORM.match(ended.error), ended.err
    assert ended.error.startswith(f"error: {table}{suffix.rstrip('/')}: is ")


def test_a_part_that_is_packed_otherwise_is_no_absent_one(raw: Path, ingest) -> None:
    """A folder of parts of which one cannot be read is an error; what lies beside tables is not."""
    (raw / "hosp/labevents").mkdir()
    (raw / LABS).rename(raw / "hosp/labevents/part-0.csv.gz")
    for name in ("hosp/patients.csv.gz.sha256", "hosp/README.md", "hosp/labevents/_SUCCESS"):
        (raw / name).write_text("x")
    assert ingest(*LABS_ALONE).code == 0
    (raw / "hosp/labevents/part-1.csv.zst").write_bytes(b"x")
    assert "hosp/labevents/part-1.csv.zst: is of a kind that is not read" in ingest().error


def test_what_is_absent_and_optional_is_said(raw: Path, ingest, tawt, tmp_path: Path) -> None:
    """An optional table and an optional column that are absent are each one note, and their stages are skipped."""
    (raw / "hosp/diagnoses_icd.csv.gz").unlink()
    _cells(b",storetime,", b",storetim,")(raw)
    ended = ingest()
    assert ended.code == 0
    assert "note: raw.diagnoses_icd is absent (optional)" in ended.err
    assert "note: raw.labevents has no column `storetime` (optional)" in ended.err
    assert "staging.diagnoses_icd" in ended.err and "skipped: raw.diagnoses_icd is absent" in ended.err
    listed = {
        row["stage"]: row["state"] for row in json.loads(tawt("stages", "-w", tmp_path / "w", "--format", "json").out)
    }
    assert listed["event_parts.diagnoses"].startswith("skipped") and listed["staging.labevents"] == "finished"


def test_a_failed_ingest_does_not_touch_another_pipelines_workspace(raw: Path, ingest, tree, tmp_path: Path) -> None:
    """Pipeline and raw root of a workspace stay when the raw folder of a later ingest does not fit."""
    assert ingest(*LABS_ALONE).code == 0
    before = tree(tmp_path / "w")
    (raw / PATIENTS).unlink()
    assert ingest(pipeline="mimic_iv").code == 1
    assert tree(tmp_path / "w") == before
