"""How raw files are written is said per pipeline and per table; the same records come out of every way to write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import ConfigError, SourceError

NAMES = ("subject_id", "code", "value", "comments")
STAGING = """-- One row is one reading.
select whole(subject_id) as subject_id, code, value, comments, _row,
    case when whole(subject_id) is null then 'quarantine:subject_id:unparseable' end as _reason
from raw.readings
"""
PART = """-- One row is one reading as an event.
select
    subject_id, null::timestamp as time, coalesce(code, '?') as code, null::double as numeric_value, value as text_value,
    null::timestamp as available_time, null::varchar as unit, null::varchar as raw_value,
    'category'::varchar as value_status, _row, null::varchar as _reason
from staging.readings
"""
RECORDS = [
    ("1", "Müller", "größer", "a, b"),
    ("2", "x", "N/A", 'says "no"'),
    ("x", "c", "NA", ""),
    ("3", "Ümlaut;", "1,5", "two\nlines"),
    ("4", "§", "", "\\N"),
]


@pytest.fixture
def project(make_project, tmp_path: Path):
    """`project(yaml)`: the raw folder of a project of one table of text, its pipeline with what is said of the files."""

    def make(said: str = "") -> Path:
        columns = [{"name": name, "type": "string"} for name in NAMES]
        raw: Path = make_project(columns, [{**columns[0], "type": "int64"}, *columns[1:]], STAGING, PART)
        (tmp_path / "assets" / "pipelines" / "lab.yaml").write_text(f"name: lab\nsource: lab\n{said}")
        return raw

    return make


def _text(records=RECORDS, header: bool = True, delimiter: str = ",", quote: str = '"') -> str:
    rows = [NAMES] * header + list(records)
    if not quote:
        return "".join(delimiter.join(row) + "\n" for row in rows)
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quotechar=quote).writerows(rows)
    return text.getvalue()


def _staged(work: Path) -> list[tuple[object, ...]]:
    rows = tawt.query("select * exclude (_row) from staging.readings order by _row", work).to_pylist()
    return [tuple(row.values()) for row in rows]


def _expected(records=RECORDS, missing: tuple[str, ...] = ("",)) -> list[tuple[object, ...]]:
    kept = [record for record in records if record[0].isdigit()]
    return [(int(i), *(None if cell in missing else cell for cell in cells)) for i, *cells in kept]


WAYS = {
    "utf-8": ("", _text().encode()),
    "a byte order mark": ("", _text().encode("utf-8-sig")),
    "latin-1": ("csv: {encoding: latin-1}", _text().encode("latin-1")),
    "latin-1 by another name": ("csv: {encoding: ISO-8859-1}", _text().encode("latin-1")),
    "cp1252": ("csv: {encoding: windows-1252}", _text().encode("cp1252")),
    "utf-16": ("csv: {encoding: utf-16}", _text().encode("utf-16")),
    "utf-16 without a mark": ("csv: {encoding: UTF-16LE}", _text().encode("utf-16-le")),
    "utf-16 of the other end": ("csv: {encoding: utf-16}", b"\xfe\xff" + _text().encode("utf-16-be")),
    "tabs": ('tables: {readings: {delimiter: "\\t"}}', _text(delimiter="\t").encode()),
    "no header": ("tables: {readings: {header: false}}", _text(header=False).encode()),
    "no header but a mark": ("csv: {header: false}", _text(header=False).encode("utf-8-sig")),
    "another quote": ('csv: {quote: "|"}', _text(quote="|").encode()),
    "all at once": (
        "csv: {delimiter: ';'}\ntables: {readings: {delimiter: '|', quote: \"'\", encoding: cp1252, header: false}}",
        _text(header=False, delimiter="|", quote="'").encode("cp1252"),
    ),
}


PACKED = ("utf-8", "cp1252", "utf-16", "utf-16 of the other end")


@pytest.mark.parametrize(("way", "packed"), [*((way, False) for way in WAYS), *((way, True) for way in PACKED)])
def test_the_same_records_come_out_however_they_are_written(way: str, packed: bool, project, tmp_path: Path) -> None:
    """Encoding, delimiter, quotes and header change no cell, no number of a record and no count; nothing stays behind."""
    said, data = WAYS[way]
    raw, work = project(said), tmp_path / "w"
    (raw / f"readings.csv{'.gz' * packed}").write_bytes(gzip.compress(data) if packed else data)
    result = tawt.ingest(raw, "lab", work, threads=2)
    account = next(s.manifest.accounts[0] for s in result.stages if s.stage == "staging.readings")
    assert _staged(work) == _expected()
    assert (account.n_records_in, account.n_records_kept, account.count("quarantine")) == (5, 4, 1)
    shown = tawt.quarantined("staging.readings", work).to_pylist()
    assert [(row["record"], row["code"], row["value"]) for row in shown] == [(3, "c", "NA")]
    if packed or way == "all at once":  # whichever way, what is checked has no text in it
        assert all(finding.ok for finding in tawt.check(work))
    assert not [path for path in (work / ".aside").rglob("*") if path.is_file()]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-be"])
def test_a_malformed_line_is_named_in_every_encoding(encoding: str, project, tmp_path: Path) -> None:
    """The line of a record that is set aside is that of the file, after letters of two bytes and a quoted line end."""
    said = {"utf-16-be": "utf-16"}.get(encoding, encoding)
    raw, work = project(f"csv: {{encoding: {said}}}"), tmp_path / "w"
    text = _text() + "5,zu,kurz\n6,gut,ä,c\n7,zu,viel,c,d\n"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (raw / "readings.csv").write_bytes(mark + text.encode(encoding))
    tawt.ingest(raw, "lab", work, threads=2)
    lines = tawt.query("select line, reason from quarantine where line is not null order by line", work).to_pylist()
    assert [text.split("\n")[row["line"] - 1][:4] for row in lines] == ["5,zu", "7,zu"]
    assert _staged(work)[-1] == (6, "gut", "ä", "c")


def test_without_quotes_every_quote_is_a_letter(project, tmp_path: Path) -> None:
    """A quote that opens nothing joins no lines: a table with tabs and inches keeps all its records."""
    raw, work = project('tables: {readings: {delimiter: "\\t", quote: ""}}'), tmp_path / "w"
    records = [
        ("1", '"6 inch', "a", "b"),
        ("2", 'tube 6"', '"', "b"),
        ("3", '"a" "b"', "", "it's"),
        ("4", "x", "y", '"z"'),
    ]
    (raw / "readings.csv").write_text(_text(records, delimiter="\t", quote="") + "5\tshort\n")
    tawt.ingest(raw, "lab", work)
    assert _staged(work) == _expected(records)
    assert tawt.query("select line, reason from quarantine", work).to_pylist() == [
        {"line": 6, "reason": "missing_columns"}
    ]


@pytest.mark.parametrize(
    ("said", "data", "error", "hint"),
    [
        ("", _text().encode("latin-1"), r"readings\.csv:2: is not UTF-8", "encoding: latin-1"),
        ("", _text().encode("utf-16"), r"readings\.csv:1: is not UTF-8", "encoding: utf-16"),
        ("csv: {encoding: latin-1}", "a\nb€".encode("cp1252"), r"readings\.csv:2: is not latin-1", "encoding: cp1252"),
        ("csv: {encoding: cp1252}", b"a\nb\n\x81", r"readings\.csv:3: is not cp1252", "iconv"),
        ("csv: {encoding: latin-1}", _text().encode("utf-8-sig"), r"readings\.csv:1: is not latin-1", "encoding: utf-8"),
        ("csv: {encoding: latin-1}", gzip.compress(b"a", mtime=0), r"readings\.csv:1: is not latin-1", "ends? in .gz|unpack"),
        ("csv: {encoding: utf-16}", _text().encode("utf-16")[:-1], r"readings\.csv:\d+: is not UTF-16", "iconv"),
        ("csv: {header: false}", _text().encode(), "begins with the names of its columns", "header: false"),
        ("csv: {header: false}", b"1,a,b\n", "has 3 fields in its first line, expected the 4 columns", "contract"),
        ("tables: {reading: {header: false}}", b"", "raw table `reading` is written, which has no contract", "`readings`"),
        ("csv: {encoding: klingon}", b"", "encoding` does not fit, expected 'utf-8', 'latin-1'", "utf-8"),
        ("csv: {marks: [true]}", b"", "texts; words that YAML takes for true or false in quotes", "marks"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_is_said_is_told(
    said: str, data: bytes, error: str, hint: str, project, tmp_path: Path
) -> None:
    """A file in another encoding, with another header, and a table that is not there: each is one line with a way out."""
    import re

    raw = project(said)
    (raw / "readings.csv").write_bytes(data or _text().encode())
    with pytest.raises((SourceError, ConfigError), match=error) as caught:
        tawt.ingest(raw, "lab", tmp_path / "w")
    assert re.search(hint, caught.value.hint) and not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("said", "missing", "kind"),
    [
        ("csv: {marks: [NA, N/A]}", ("", "NA", "N/A"), "plain"),
        ("csv: {marks: [NA, N/A]}", ("", "NA", "N/A"), "quoted"),
        ("csv: {marks: [NA, N/A]}", ("", "NA", "N/A"), "dictionary"),
        ('tables: {readings: {marks: ["\\\\N", "N/A"]}}', ("", "\\N", "N/A"), "parquet"),
        ("csv: {marks: [N/A]}\ntables: {readings: {marks: [NA]}}", ("", "NA"), "plain"),
        ("csv: {marks: [N/A]}\ntables: {readings: {marks: []}}", ("",), "parquet"),
        ("csv: {marks: [N/A, NA]}\ntables: {readings: {delimiter: ','}}", ("", "N/A", "NA"), "quoted"),
    ],
)
def test_marks_of_missing_stand_for_empty_cells(
    said: str, missing: tuple[str, ...], kind: str, project, tmp_path
) -> None:
    """Those of the table, or else of the pipeline, read as null, with blanks around them, in quotes, and in Parquet."""
    raw, work = project(said), tmp_path / "w"
    records = [*RECORDS, ("5", "y", " N/A ", "n/a"), ("6", "NA", "z", "NAN")]
    if kind in ("plain", "quoted"):
        quoting = csv.QUOTE_ALL if kind == "quoted" else csv.QUOTE_MINIMAL
        with (raw / "readings.csv").open("w", newline="") as file:
            csv.writer(file, quoting=quoting).writerows([NAMES, *records])
    else:
        columns = [
            pa.array([cell or None for cell in column], pa.large_string()) for column in zip(*records, strict=True)
        ]
        columns = [column.dictionary_encode() if kind == "dictionary" else column for column in columns]
        pq.write_table(pa.table(columns, list(NAMES)), raw / "readings.parquet")
    tawt.ingest(raw, "lab", work)
    expected = [
        tuple(None if isinstance(cell, str) and cell.strip() in missing else cell for cell in row)
        for row in _expected(records)
    ]
    assert _staged(work) == expected


def test_bare_null_and_numbers_are_marks_as_they_stand(project, tmp_path: Path) -> None:
    """In YAML `NULL` is none and -9 a number; as marks they are what was typed."""
    raw, work = project("csv: {marks: [NULL, -9, NaN, ., None]}"), tmp_path / "w"
    records = [("1", "-9", "NULL", "null"), ("2", "NaN", ".", "None"), ("3", "-9.0", "nan", "NULLS")]
    (raw / "readings.csv").write_text(_text(records))
    tawt.ingest(raw, "lab", work)
    assert _staged(work) == [(1, None, None, None), (2, None, None, None), (3, "-9.0", "nan", "NULLS")]


def test_a_changed_way_to_read_reruns_that_table_alone(project, tmp_path: Path) -> None:
    """Marks and delimiters belong to what staging is made from; those of another table do not."""
    raw, work = project(), tmp_path / "w"
    (raw / "readings.csv").write_text(_text())
    tawt.ingest(raw, "lab", work)
    project("csv: {marks: [NA]}")
    reasons = {one.stage: one.reason for one in tawt.ingest(raw, "lab", work, dry_run=True).stages}
    assert "csv" in (reasons["staging.readings"] or "")
    project("csv: {marks: [NA]}\ntables: {readings: {marks: []}}")
    assert tawt.ingest(raw, "lab", work, dry_run=True).n_run == 0


def test_tables_of_one_pipeline_are_written_differently(make_project, tmp_path: Path) -> None:
    """A dictionary with tabs and inches lies beside a table with commas: each is read as it is written."""
    columns = [{"name": name, "type": "string"} for name in NAMES]
    raw = make_project(columns, [{**columns[0], "type": "int64"}, *columns[1:]], STAGING, PART)
    assets = tmp_path / "assets"
    concept = [{"name": "concept_id", "type": "string"}, {"name": "concept_name", "type": "string"}]
    for place, layer in (("", "raw"), ("staging/", "staging")):
        said = {"name": f"{layer}.concept", "description": "One row is one concept.", "columns": concept}
        (assets / f"schemas/lab/{place}concept.json").write_text(
            json.dumps({**said, **({"paths": ["concept"]} if layer == "raw" else {})})
        )
    (assets / "sql/lab/staging/concept.sql").write_text(
        "-- One row is one concept.\nselect concept_id, concept_name, _row, null::varchar as _reason from raw.concept\n"
    )
    (assets / "pipelines/lab.yaml").write_text(
        'name: lab\nsource: lab\ntables:\n  concept: {delimiter: "\\t", quote: "", encoding: latin-1}\n'
    )
    (raw / "readings.csv").write_text(_text())
    (raw / "CONCEPT.csv").write_bytes('concept_id\tconcept_name\n7\t"6 inch, größer\n8\ta, b\n'.encode("latin-1"))
    tawt.ingest(raw, "lab", tmp_path / "w")
    assert _staged(tmp_path / "w") == _expected()
    rows = tawt.query("select concept_name from staging.concept order by _row", tmp_path / "w").to_pylist()
    assert [row["concept_name"] for row in rows] == ['"6 inch, größer', "a, b"]


def test_a_column_has_the_say_over_its_marks(project, tmp_path: Path) -> None:
    """Marks in the contract take the place of the pipeline's for their column, an empty list too, and belong to what
    staging is made from; no select mentions them."""
    raw, work = project("csv: {marks: [NA]}"), tmp_path / "w"
    (raw / "readings.csv").write_text(_text([("1", "NA", "NA", "NA"), ("2", "-", "-", "-")]))
    contract = tmp_path / "assets" / "schemas" / "lab" / "readings.json"
    said = json.loads(contract.read_text())

    def say(**marks: list[str]) -> list[tuple[object, ...]]:
        columns = [
            {**one, **({"marks": marks[one["name"]]} if one["name"] in marks else {})} for one in said["columns"]
        ]
        contract.write_text(json.dumps({**said, "columns": columns}))
        reasons.append({one.stage: one.reason for one in tawt.ingest(raw, "lab", work).stages}["staging.readings"])
        return _staged(work)

    reasons: list[str | None] = []
    assert say() == [(1, None, None, None), (2, "-", "-", "-")]
    assert say(code=["-"], value=[]) == [(1, "NA", "NA", None), (2, None, "-", "-")]
    assert say(code=["-"], value=[]) == [(1, "NA", "NA", None), (2, None, "-", "-")]
    assert reasons[0] == "new" and reasons[1] == "contract of raw.readings changed" and reasons[2] is None


def test_ids_that_are_text_hang_on_how_their_files_are_written(tmp_path: Path) -> None:
    """Where encoding or marks change, subjects are numbered again: their ids may be other cells."""
    from tawt.builtin.subjects import SUBJECTS
    from tawt.config.pipeline import PipelineConfig
    from tawt.pipeline.fingerprint import keys_of
    from tawt.pipeline.keys import Now
    from tawt.pipeline.workspace import Workspace
    from tawt.sources.stage import Stage

    ways = [
        {},
        {"csv": {"encoding": "latin-1"}},
        {"tables": {"readings": {"marks": ["NA"]}}},
    ]
    keys = keys_of(Stage("subjects", ("raw.readings",), SUBJECTS.contracts[0], SUBJECTS), "lab")
    made = [Now(Workspace(tmp_path, PipelineConfig(name="lab", source="lab", **way))).tell(keys) for way in ways]
    assert all(one != other for i, one in enumerate(made) for other in made[:i])
