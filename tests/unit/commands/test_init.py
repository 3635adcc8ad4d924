"""`tawt init`: a draft of a project, from tables that nobody has described."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.commands.init import DraftResult
from tawt.errors import ConfigError, SourceError
from tawt.files import alone_at

CANARY = "Zqvyx"
DAY = "2150-03-{:02} 08:00:00"


def _write(path: Path, header: str, rows: list[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Seven tables of an invented clinic, each written in another way."""
    raw = tmp_path / "Rohdaten größer"
    born = [f"{n};{'FM'[n % 2]};{n:02}.01.1960;{CANARY}{n}" for n in range(1, 31)]
    _write(raw / "Patients.csv", "PatID;Sex;Date of birth;Last name", born, "latin-1")
    stays = [f"{n},{100 + n},{DAY.format(n)},{DAY.format(n + 1)},home" for n in range(1, 29)]
    _write(raw / "hosp/stays.csv", "patid,stay_id,admit time,disch time,discharged to", stays)
    _write(raw / "hosp/dx.csv", "patid,stay_id,code", [f"{n},{100 + n},{'AB'[n % 2]}1" for n in range(1, 29)])
    labs = [
        f"{1 + n % 28},{n % 3},{1 + n % 28}/3/2150 {1 + n % 12}:30 PM,{n / 10 if n % 9 else 'NA'},mg/dL"
        for n in range(90)
    ]
    _write(raw / "labs.csv", "patid,itemid,Time (UTC),value,unit", labs)
    _write(raw / "d_labs.tsv", "itemid\tlabel", ["0\tSodium", "1\tPotassium", "2\tLactate"])
    vitals = {
        "patid": [1 + n % 28 for n in range(50)], "charttime": [f"2150-03-02 {n % 24:02}:00" for n in range(50)],
        "heart rate": [float(60 + n) if n % 5 else float("nan") for n in range(50)], "order": ["A", "B"] * 25,
    }  # fmt: skip
    pq.write_table(pa.table(vitals), raw / "vitals.parquet")
    _write(
        raw / "notes.csv",
        "patid,charttime,text",
        [f"{n},{DAY.format(n)},{CANARY} {'was seen ' * 12}" for n in range(1, 29)],
    )
    return raw


def _events(workspace: Path) -> pa.Table:
    return ds.dataset(workspace / "events" / "data", format="parquet").to_table()


def test_a_draft_runs_at_once(clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times, values, births, dictionaries and stays are guessed well enough that ingest keeps every record."""
    monkeypatch.chdir(tmp_path)
    drafted = tawt.init(clinic, "clinic")
    assert Counter(table.guess.kind for table in drafted.look.tables) == {"results": 2, "wide": 4, "dictionary": 1}
    assert tawt.test().ok
    result = tawt.ingest(clinic, "clinic", "work", threads=1)
    accounts = [account for stage in result.stages if stage.manifest for account in stage.manifest.accounts]
    assert sum(account.count("quarantine") for account in accounts) == 0
    events = _events(Path("work"))
    counts = Counter(events["code"].to_pylist())
    assert counts["MEDS_BIRTH"] == 30 and counts["PATIENTS//SEX"] == 30 and counts["VITALS//HEART_RATE"] == 40
    assert counts["LABS//1"] == 30 and counts["DX//A1"] == 14 and counts["STAYS//DISCHARGED_TO"] == 28
    codes = pq.read_table("work/events/metadata/codes.parquet").to_pylist()
    assert {row["code"]: row["description"] for row in codes}["LABS//2"] == "Lactate"
    rows = [row for row in events.to_pylist() if row["subject_id"] == 3]
    times = {row["code"]: str(row["time"]) for row in rows}
    assert times["MEDS_BIRTH"] == "1960-01-03 00:00:00" and times["DX//B1"] == "2150-03-04 08:00:00"
    statuses = Counter(row["value_status"] for row in events.to_pylist() if row["code"].startswith("LABS"))
    assert statuses == {"numeric": 80, "absent": 10}


def test_a_draft_holds_and_shows_no_cell(clinic: Path, tmp_path: Path, tawt) -> None:
    """Names of persons and texts are in no file of the draft and in nothing that is said; the raw folder stays as it was."""
    before = {path: path.read_bytes() for path in clinic.rglob("*") if path.is_file()}
    ended = tawt("init", clinic, "--name", "clinic", "--out", tmp_path / "project")
    assert ended.code == 0, ended.err
    files = [path for path in (tmp_path / "project").rglob("*") if path.is_file()]
    text = "".join(path.read_text(encoding="utf-8") for path in files) + ended.out + ended.err
    assert len(files) > 15 and not any(cell in text for cell in (CANARY, "Sodium", "2150-", "1960-01-0"))
    assert {path: path.read_bytes() for path in clinic.rglob("*") if path.is_file()} == before


def test_guesses_are_marked_and_doubts_told(clinic: Path, tmp_path: Path) -> None:
    """Each contract, event part and pipeline marks what it guessed; an order of day and month that no cell decides is said."""
    _write(clinic / "other.csv", "patid,when,test,result", [f"{n},1/2/2150,BP,{n}" for n in range(1, 29)])
    drafted = tawt.init(clinic, "clinic", tmp_path / "project")
    for path in drafted.written:
        if not path.startswith("tests/"):
            assert "guessed:" in (drafted.root / path).read_text(), path
    notes = "\n".join(drafted.look.notes())
    assert "other: UNDECIDED: `when` may be written day first or month first" in notes
    assert "labs: UNDECIDED" not in notes and "told when its stay in `stays` ends" in notes
    contract = (drafted.root / "schemas" / "clinic" / "labs.yaml").read_text()
    assert '"Time (UTC)": {type: timestamp, as: time_utc, format: "%d/%m/%Y %I:%M %p"}' in contract
    assert "notes" not in {table.name for table in drafted.look.tables if table.guess.measured or table.guess.traits}


def _draft(raw: Path, out: Path, **options: object) -> DraftResult:
    return tawt.init(raw, "clinic", out, **options)  # type: ignore[arg-type]


def test_a_large_table_is_read_to_its_end_once_and_once_more_for_its_ids(clinic: Path, tmp_path: Path) -> None:
    """Who waits is told which table is read: its first records, all that is behind them, and the ids in it."""
    read: list[str] = []
    tawt.init(clinic, "clinic", tmp_path / "home", records=40, report=read.append)
    assert read.count("labs") == 3 and {"stays", "vitals", "d_labs"} < {*read}


def test_nothing_is_overwritten(clinic: Path, tmp_path: Path) -> None:
    """A draft beside files of its names is refused whole; `force` makes anew what nobody edited, keeps the rest, and removes
    unedited drafts of tables that are none any more."""
    project = tmp_path / "project"
    drafted = _draft(clinic, project)
    edited = project / "schemas" / "clinic" / "labs.yaml"
    edited.write_text(edited.read_text().replace("guessed", "sure"))
    before = {path: (project / path).read_bytes() for path in drafted.written}
    with pytest.raises(ConfigError, match="is there already") as caught:
        _draft(clinic, project)
    assert "--name clinic --out" in caught.value.hint and "--force`" in caught.value.hint
    assert {path: (project / path).read_bytes() for path in drafted.written} == before
    old = project / "sql" / "clinic" / "event_parts" / "old.sql"
    old.write_bytes((project / "sql" / "clinic" / "event_parts" / "labs.sql").read_bytes())
    again = _draft(clinic, project, force=True)
    assert again.removed == ("sql/clinic/event_parts/old.sql",) and not old.exists()
    assert again.kept == ("schemas/clinic/labs.yaml",) and len(again.written) == len(drafted.written) - 1
    assert {path: (project / path).read_bytes() for path in drafted.written} == before


def test_of_two_drafts_at_once_one_is_refused(clinic: Path, tmp_path: Path) -> None:
    """Who would write where another draft is being written waits, and then sees its files; a lock that a killed one left is
    in nobody's way, and goes."""
    project, refused = tmp_path / "project", []
    project.mkdir()

    def draft() -> None:
        try:
            _draft(clinic, project)
        except ConfigError as error:
            refused.append(error.what)

    with alone_at(project / "clinic", taken=lambda: None):
        both = [threading.Thread(target=draft) for _ in range(2)]
        for one in both:
            one.start()
        both[0].join(0.4)
        assert not list(project.rglob("*.yaml"))
    for one in both:
        one.join()
    assert refused == ["is there already, expected a new file"]
    (project / ".clinic.lock").touch()
    _draft(clinic, project, force=True)
    assert not list(project.rglob(".*"))


def test_a_dry_run_writes_nothing(clinic: Path, tmp_path: Path) -> None:
    """What would be written is told."""
    drafted = _draft(clinic, tmp_path / "project", dry_run=True)
    assert drafted.written and not (tmp_path / "project").exists()


def test_what_cannot_be_drafted_is_told(clinic: Path, tmp_path: Path) -> None:
    """A place in the raw folder, a taken name, a folder without subjects and an unknown column are one line each."""
    with pytest.raises(ConfigError, match="lies in the raw folder"):
        _draft(clinic, clinic / "project")
    with pytest.raises(ConfigError, match="`mimic_iv` comes with tawt"):
        tawt.init(clinic, "mimic_iv", tmp_path / "p")
    with pytest.raises(ConfigError, match="is a column of no table") as caught:
        _draft(clinic, tmp_path / "p", subject="pat_id")
    assert "patid" in caught.value.hint
    _write(tmp_path / "other" / "things.csv", "a,b", ["x,1", "y,2"])
    with pytest.raises(SourceError, match="none with a column that says whose a record is"):
        _draft(tmp_path / "other", tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_subject_may_be_named(tmp_path: Path) -> None:
    """Where no name is known, the user's is taken."""
    _write(
        tmp_path / "raw" / "readings.csv",
        "wer,wann,test,result",
        [f"{n % 9},2150-03-02 08:00,HR,{n}" for n in range(40)],
    )
    drafted = _draft(tmp_path / "raw", tmp_path / "p", subject="wer")
    (table,) = drafted.look.tables
    assert (table.guess.subject, table.guess.time, table.guess.codes, table.guess.number) == (
        "wer",
        "wann",
        ("test",),
        "result",
    )


def test_odd_names_of_tables_and_columns_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, umlauts, quotes, words of SQL and names that staging uses get names that SQL takes; the draft's cases hold."""
    monkeypatch.chdir(tmp_path)
    header = 'patient id,when,"he said ""hi""",100%,group,user,_reason,value_cell,current_date,Größe,a b,a_b,true,~'
    rows = [f"{n % 9},2150-03-02," + ",".join(f"{n}.{i}" for i in range(1, 13)) for n in range(30)]
    for name in ("order.csv", "2024 'Labor' [neu].csv", "größer/Select.csv"):
        _write(tmp_path / "raw" / name, header, rows)
    _write(
        tmp_path / "raw" / "lines.csv", 'pid,when,"two\nlines",_row', [f"{n % 9},2150-03-02,{n}.5,1" for n in range(30)]
    )
    drafted = _draft(tmp_path / "raw", tmp_path)
    assert sorted(len(table.guess.measured) for table in drafted.look.tables) == [0, 12, 12, 12]
    assert tawt.test().ok
    tawt.ingest("raw", "clinic", "work", threads=1)
    assert len(_events(Path("work"))) == 3 * 30 * 12 + 9


def test_subjects_that_are_text_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UUIDs and ids with dashes are declared as subjects, in every table; the draft runs and its cases hold."""
    monkeypatch.chdir(tmp_path)
    readings = [f"{n % 9:08}-00{n % 9},2150-03-02 08:{n:02},HR,{n}" for n in range(40)]
    _write(tmp_path / "raw" / "readings.csv", "patient,taken at,test,result", readings)
    people = [f"{n:08}-00{n},2100-01-0{n + 1},F" for n in range(9)]
    _write(tmp_path / "raw" / "people.csv", "patient,birthdate,sex", people)
    drafted = _draft(tmp_path / "raw", tmp_path)
    assert {table.types["patient"] for table in drafted.look.tables} == {"subject"} and tawt.test().ok
    tawt.ingest("raw", "clinic", "work", threads=1)
    events = _events(Path("work"))
    assert len(events) == 40 + 18 and len(set(events["subject_id"].to_pylist())) == 9
