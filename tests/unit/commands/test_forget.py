"""Who asks to be forgotten is in no file of a workspace afterwards, and no ingest brings them back."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.contracts.dataset import DATASET, DatasetManifest
from tawt.contracts.opted_out import OPTED_OUT
from tawt.errors import ConfigError, FileError
from tawt.readers import read_record
from tawt.training.versions import Versions, write_versions
from tests.unit.clinic import write

KILLED = Path(__file__).parents[1] / "pipeline" / "killed.py"
QUICK = {"threads": 1, "memory_limit": "500MB"}
PROMISED = ("events", "vocabulary", "triplets", "dataset", "quarantine", "ledger.parquet")
STAYS = {
    "sql/stays/staging/persons.sql": """-- One row is one stay of one person.
select whole(person) as subject_id, whole(stay) as stay, _row from raw.persons
""",
    "sql/stays/staging/readings.sql": """-- One row is one reading.
select whole(stay) as stay, number(glucose) as glucose, words(note) as note, _row from raw.readings
""",
    "sql/stays/event_parts/readings.sql": """-- One row is one reading as an event.
select
    subject_id, timestamp '2020-01-01' + to_days(stay::int) as time, 'GLUCOSE' as code, glucose as numeric_value, readings._row,
    case when subject_id is null then 'quarantine:stay:no_admission' end as _reason
from staging.readings
left join staging.persons using (stay)
""",
    "schemas/stays/persons.json": json.dumps({
        "description": "One row is one stay.", "columns": {"person": {"type": "subject"}, "stay": {"type": "string"}},
    }),
    "schemas/stays/readings.json": json.dumps({
        "description": "One row is one reading.", "columns": dict.fromkeys(("stay", "glucose", "note"), "string"),
    }),
    "schemas/stays/staging/persons.json": json.dumps({
        "name": "staging.persons", "description": "One row is one stay.", "grain": ["stay"],
        "columns": [{"name": "subject_id", "type": "int64"}, {"name": "stay", "type": "int64"}],
    }),
    "schemas/stays/staging/readings.json": json.dumps({
        "name": "staging.readings", "description": "One row is one reading.", "reasons": [],
        "columns": [
            {"name": "stay", "type": "int64"}, {"name": "glucose", "type": "float64"}, {"name": "note", "type": "string"},
        ],
    }),
    "pipelines/stays.yaml": "name: stays\nsource: stays\n",
}  # fmt: skip
"""A source that names persons by text in one table, and in the other only their stays."""


def subjects_of(workspace: Path) -> dict[str, list[int]]:
    """Split -> its subjects, as events tell them."""
    table = pq.read_table(workspace / "events" / "metadata" / "subject_splits.parquet")
    splits = ("train", "tuning", "held_out")
    return {one: table.filter(pc.equal(table["split"], one))["subject_id"].to_pylist() for one in splits}


def test_a_disk_that_ends_is_named(own_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing to an open file names none: the workspace is told, for nothing is written elsewhere."""

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tawt.commands.forget.take_out", full)
    subject = subjects_of(own_workspace)["train"][0]
    with pytest.raises(OSError) as told:
        tawt.forget(subject, workspace=own_workspace, **QUICK)
    assert told.value.filename == str(own_workspace)


def telling(workspace: Path, gone: Collection[object]) -> list[str]:
    """Every file that holds one of some ids in any cell, or in its text; no tawt is asked."""
    texts, numbers = {str(one) for one in gone}, {one for one in gone if isinstance(one, int)}
    found = []
    for path in sorted(path for path in workspace.rglob("*") if path.is_file()):
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
        elif path.suffix == ".arrow":
            table = pa.ipc.open_file(path).read_all()
        else:
            content = path.read_bytes()
            found += [path.name] * any(one.encode() in content for one in texts)
            continue
        for column in table.columns:
            is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            known = numbers if pa.types.is_integer(column.type) else texts if is_text else set()
            if known and known & {*pc.unique(column).to_pylist()}:
                found.append(path.relative_to(workspace).as_posix())
    return found


def hashes(workspace: Path) -> dict[str, str]:
    """File -> hash of everything whose bytes are promised."""
    return {
        path.relative_to(workspace).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in PROMISED
        for path in sorted([workspace / name, *(workspace / name).rglob("*")])
        if path.is_file()
    }


def test_nobody_finds_who_was_forgotten_and_what_is_left_is_what_an_ingest_without_them_gives(
    hospital, own_workspace: Path
) -> None:
    """Of one subject of train and one held out no file holds the number; a new ingest of the raw files, which name them yet,
    ends in the same bytes, counts their records, and `check` finds nothing."""
    splits = subjects_of(own_workspace)
    gone = [splits["train"][0], splits["held_out"][0]]
    assert len(telling(own_workspace, gone)) > 20, "or the scan cannot see"
    found = tawt.forget(gone, workspace=own_workspace, **QUICK)
    assert (found.n_asked, found.n_there, found.n_all) == (2, 2, 2) and found.n_files > 60
    assert telling(own_workspace, gone) == []
    assert [finding for finding in tawt.check(own_workspace) if not finding.ok] == []
    before = hashes(own_workspace)
    again = tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3",), **QUICK)
    assert again.n_run == 0, "what was mended in place is up to date"
    tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3",), force=True, **QUICK)
    tawt.build_vocab(own_workspace, force=True, **QUICK)
    assert hashes(own_workspace) == before
    assert telling(own_workspace, gone) == []
    counts = tawt.query(
        "select sum(n) as n from ledger where reason = 'opted_out' and stage = 'staging.patients'", own_workspace
    )
    assert counts["n"].to_pylist() == [2]


def test_only_shards_that_they_were_in_are_made_again(own_workspace: Path) -> None:
    """Where the vocabulary knew nothing of them: all other shards of events, triplets and dataset are the files they were."""
    one = subjects_of(own_workspace)["held_out"][0]
    files = [path for name in ("events/data", "triplets", "dataset") for path in (own_workspace / name).rglob("*.*")]
    shards = {path: path.stat().st_ino for path in files if path.suffix != ".json"}
    theirs = next(path.name for path in (own_workspace / "events/data/held_out").glob("*.parquet")
                  if one in pq.read_table(path, partitioning=None)["subject_id"].to_pylist())  # fmt: skip
    tawt.forget(one, workspace=own_workspace, **QUICK)
    made = {path for path, inode in shards.items() if path.exists() and path.stat().st_ino != inode}
    stem = theirs.partition(".")[0]
    assert {path.name.partition(".")[0] for path in made} == {stem}
    assert {path.relative_to(own_workspace).parts[0] for path in made} == {"events", "triplets", "dataset"}
    assert len(shards) - len(made) >= 16


def test_the_record_of_who_opted_out_tells_of_nobody(hospital, own_workspace: Path) -> None:
    """It is the owner's alone and holds no id, nor a mark that another workspace would have; without the key, which lies in
    `local.json`, nothing is ingested, for nobody could be kept out."""
    one = subjects_of(own_workspace)["tuning"][0]
    tawt.forget(one, workspace=own_workspace, **QUICK)
    path = own_workspace / OPTED_OUT
    assert path.stat().st_mode & 0o077 == 0 and str(one) not in path.read_text()
    marks = json.loads(path.read_text())["marks"]
    assert len(marks) == 1 and marks[0] not in (hashlib.sha256(str(one).encode()).hexdigest(),)
    local = json.loads((own_workspace / "local.json").read_text())
    assert local["opt_out_key"] not in path.read_text()
    (own_workspace / "local.json").unlink()
    with pytest.raises(FileError, match="marks of those who opted out"):
        tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3",), **QUICK)


def test_runs_that_learned_from_them_are_told_and_what_tells_of_them_is_removed(own_workspace: Path) -> None:
    """A run of this dataset learned from who was in train, and from nobody held out; of a run of another one it is not known.
    Embeddings and evaluations with a row of theirs go, others stay."""
    splits = subjects_of(own_workspace)
    dataset = read_record(own_workspace / "dataset" / DATASET, DatasetManifest, sealed=True)
    known = {
        "packages": {}, "python": "3", "machine": "m", "device": "cpu", "precision": "fp32", "threads": 1, "processes": 1,
        "seed": 0, "reasons": {},
    }  # fmt: skip
    for name, read in (("ours", dataset.fingerprint("train", "tuning")), ("older", "0" * 16)):
        (own_workspace / "runs" / name).mkdir(parents=True)
        write_versions(own_workspace / "runs" / name, Versions(**known, read=read))
    rows = pa.table({"subject_id": [splits["held_out"][0], splits["train"][1]], "x": [0.5, 0.25]})
    for name in ("embeddings/ours.parquet", "evaluations/death/predictions.parquet"):
        (own_workspace / name).parent.mkdir(parents=True)
        pq.write_table(rows, own_workspace / name)
    (own_workspace / "embeddings" / "other.parquet").parent.mkdir(exist_ok=True)
    pq.write_table(rows.slice(1), own_workspace / "embeddings" / "other.parquet")
    perhaps = "perhaps: it read another dataset than is there"
    first = tawt.forget(splits["held_out"][0], workspace=own_workspace, dry_run=True)
    assert first.learned == {"older": perhaps} and (own_workspace / "embeddings/ours.parquet").exists()
    found = tawt.forget([splits["held_out"][0], splits["train"][0]], workspace=own_workspace, **QUICK)
    assert found.learned == {"ours": "trained on them", "older": perhaps}
    assert found.removed == ("embeddings/ours.parquet", "evaluations/death")
    assert (own_workspace / "embeddings/other.parquet").exists() and not (own_workspace / "evaluations/death").exists()
    assert json.loads((own_workspace / OPTED_OUT).read_text())["runs"] == found.learned


@pytest.fixture
def stays(tmp_path: Path) -> Path:
    """The raw tables of three persons, of whom readings name the stays alone."""
    write(tmp_path / "project", STAYS)
    persons = "person,stay\nanna-1,1\nanna-1,2\nbert-2,3\ncleo-3,4\n"
    readings = "stay,glucose,note\n1,5,alpha\n2,6,beta\n3,7,gamma\n4,8,delta\n1,9,alpha\n9,1,nobody\n"
    return write(tmp_path / "raw", {"persons.csv": persons, "readings.csv": readings})


def test_records_that_name_no_subject_are_told_by_what_they_share_with_one(stays: Path, tmp_path: Path) -> None:
    """Readings name stays alone, and persons are named by text: neither id, number, stay nor cell of one is left, and none comes
    back when the raw files name her again, and a stay of hers that they did not name before."""
    work, pipeline = tmp_path / "w", str(tmp_path / "project" / "pipelines" / "stays.yaml")
    tawt.ingest(stays, pipeline, work, **QUICK)
    number = {row["id"]: row["subject_id"] for row in tawt.query("from subjects", work).to_pylist()}
    (tmp_path / "asked.txt").write_text("anna-1\n")
    found = tawt.forget(tmp_path / "asked.txt", workspace=work, **QUICK)
    assert found.taken == {"subjects": 1, "staging.readings": 3, "staging.persons": 2}
    assert [finding for finding in tawt.check(work) if not finding.ok] == []
    with (stays / "persons.csv").open("a") as file:
        file.write("anna-1,5\n")
    with (stays / "readings.csv").open("a") as file:
        file.write("5,4,epsilon\n3,7.5,gamma\n")
    for force in (None, False, True):
        if force is not None:
            tawt.ingest(stays, pipeline, work, force=force, **QUICK)
        assert telling(work, ["anna-1", number["anna-1"], "alpha", "beta", "epsilon"]) == []
        rows = tawt.query("select stay, note from staging.readings order by _row", work).to_pylist()
        assert [row["note"] for row in rows][:3] == ["gamma", "delta", "nobody"]
        left = {row["id"]: row["subject_id"] for row in tawt.query("from subjects", work).to_pylist()}
        assert left == {one: number[one] for one in ("bert-2", "cleo-3")}
        assert force is None or [finding for finding in tawt.check(work) if not finding.ok] == []


def test_what_tells_their_records_is_known_when_the_tables_of_subjects_name_them_no_more(
    stays: Path, tmp_path: Path
) -> None:
    """A stay that is told to be hers takes the readings of it out, though these are as they were; they stay out when the
    hospital takes her out of its table of persons and adds readings, and nothing that is kept tells which stays they were."""
    work, pipeline = tmp_path / "w", str(tmp_path / "project" / "pipelines" / "stays.yaml")
    tawt.ingest(stays, pipeline, work, **QUICK)
    tawt.forget("anna-1", workspace=work, **QUICK)
    with (stays / "persons.csv").open("a") as file:
        file.write("anna-1,9\n")
    tawt.ingest(stays, pipeline, work, dry_run=True, **QUICK)
    tawt.ingest(stays, pipeline, work, **QUICK)
    assert telling(work, ["anna-1", "alpha", "beta", "nobody"]) == []
    (stays / "persons.csv").write_text("person,stay\nbert-2,3\ncleo-3,4\n")
    with (stays / "readings.csv").open("a") as file:
        file.write("3,7.5,zeta\n")
    tawt.ingest(stays, pipeline, work, **QUICK)
    assert telling(work, ["anna-1", "alpha", "beta", "nobody"]) == []
    assert telling(work, ["gamma", "zeta"]) == ["staging/readings/part-00000-0.parquet"]
    assert [finding for finding in tawt.check(work) if not finding.ok] == []
    theirs = json.loads((work / OPTED_OUT).read_text())["theirs"]
    assert len(theirs) == 3 and not {*theirs} & {hashlib.sha256(stay).hexdigest() for stay in (b"1", b"2", b"9")}


def test_no_record_is_shown_of_which_another_table_tells_that_it_is_theirs(stays: Path, tmp_path: Path) -> None:
    """A reading names a stay alone: one that was quarantined or dropped is read again from the raw files of others only."""
    work, project = tmp_path / "w", tmp_path / "project"
    contract = json.loads(STAYS["schemas/stays/staging/readings.json"])
    why = (
        "case when note = 'delta' then 'quarantine:note:bad' when note = 'beta' then 'drop:skipped' "
        "when note = 'alpha' then 'quarantine:note:bad' end as _reason, _row from raw.readings"
    )
    select = STAYS["sql/stays/staging/readings.sql"].replace("_row from raw.readings", why)
    given = {**contract, "reasons": ["bad", "skipped"]}
    write(project, {"sql/stays/staging/readings.sql": select, "schemas/stays/staging/readings.json": json.dumps(given)})
    tawt.ingest(stays, str(project / "pipelines" / "stays.yaml"), work, **QUICK)
    assert tawt.quarantined("staging.readings", work)["stay"].to_pylist() == ["1", "4", "1"]
    assert tawt.dropped("staging.readings", work)["stay"].to_pylist() == ["2"]
    tawt.forget("anna-1", workspace=work, **QUICK)
    assert tawt.quarantined("staging.readings", work)["stay"].to_pylist() == ["4"]
    assert tawt.dropped("staging.readings", work)["stay"].to_pylist() == []


def test_no_record_of_theirs_is_read_from_the_raw_files_to_be_shown(own_workspace: Path) -> None:
    """Quarantined records are read again where somebody asks: those of others alone."""
    shown = tawt.quarantined("staging.labevents", own_workspace, limit=1000)
    one = int(next(cell for cell in shown["subject_id"].to_pylist() if cell))
    tawt.forget(one, workspace=own_workspace, **QUICK)
    left = tawt.quarantined("staging.labevents", own_workspace, limit=1000)
    n = shown["subject_id"].to_pylist().count(str(one))
    assert n and len(left) == len(shown) - n and str(one) not in left["subject_id"].to_pylist()


def test_what_is_no_id_is_refused_and_nothing_changes(own_workspace: Path, stays: Path, tmp_path: Path) -> None:
    """A word or a line of several where ids are numbers, a file that is no text, nobody at all: told where and without the
    word, and no record is written."""
    listed, broken = tmp_path / "listed.txt", tmp_path / "broken.txt"
    listed.write_text("subject_id\n10000032\n10000084,Anna\n")
    broken.write_bytes(b"10000032\n\xff\xfe\x00")
    for given, said in (
        ("Anna", "no whole number"), ((), "is given nobody"), ("1_000", "no whole number"), ("٣", "no whole number"),
        (str(1 << 63), "no whole number"), (listed, r"listed\.txt line 3: is given an id that is no whole number"),
        (broken, r"broken\.txt: .*expected a text file in UTF-8"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said) as error:
            tawt.forget(given, workspace=own_workspace)
        assert "Anna" not in str(error.value)
    assert not (own_workspace / OPTED_OUT).exists()


def test_who_is_forgotten_where_staging_was_let_go_is_told_by_the_raw_tables(stays: Path, tmp_path: Path) -> None:
    """With `keep: last` nothing of staging is there: it is made again without her, what tells her records is remembered, and
    they stay out when the raw files no more say that they are hers."""
    work, pipeline = tmp_path / "w", str(tmp_path / "project" / "pipelines" / "stays.yaml")
    tawt.ingest(stays, pipeline, work, settings=("keep=last",), **QUICK)
    number = {row["id"]: row["subject_id"] for row in tawt.query("from subjects", work).to_pylist()}
    found = tawt.forget("anna-1", workspace=work, **QUICK)
    assert found.taken == {"subjects": 1} and not list((work / "staging").glob("*"))
    assert telling(work, ["anna-1", number["anna-1"], "alpha", "beta"]) == []
    assert [finding for finding in tawt.check(work) if not finding.ok] == []
    (stays / "persons.csv").write_text("person,stay\nbert-2,3\ncleo-3,4\n")
    tawt.ingest(stays, pipeline, work, settings=("keep=last",), **QUICK)
    tawt.run("staging", work, **QUICK)
    rows = tawt.query("select note from staging.readings order by _row", work).to_pylist()
    assert [row["note"] for row in rows] == ["gamma", "delta", "nobody"]
    assert [finding for finding in tawt.check(work) if not finding.ok] == []


@pytest.mark.parametrize("keep", ["all", "last"])
def test_forgetting_that_was_killed_is_gone_on_with(stays: Path, tmp_path: Path, keep: str) -> None:
    """Ended before its n-th act on the file system, for some n: `check` finds nothing mixed, and the same command again ends in
    the bytes of an undisturbed one."""
    pipeline = str(tmp_path / "project" / "pipelines" / "stays.yaml")
    tawt.ingest(stays, pipeline, tmp_path / "before", settings=("shards=2", f"keep={keep}"), **QUICK)
    call = "tawt.forget('anna-1', workspace=w, threads=1, memory_limit='500MB')"
    said = subprocess.run(
        [sys.executable, KILLED, tmp_path / "before", tmp_path / "scratch", "6", call], capture_output=True, text=True, check=True
    ).stdout.splitlines()  # fmt: skip
    assert said[:-1] == [] and int(said[-1].split()[0]) >= 4


def test_what_was_not_looked_into_is_told_and_who_was_not_there_too(own_workspace: Path, tmp_path: Path) -> None:
    """Files of others in the workspace: a table tells of them by any column, a text of any name may, and what is neither is named
    and not counted; of an id of nobody the line of the list is told, once."""
    one, listed, mine = subjects_of(own_workspace)["held_out"][0], tmp_path / "asked.txt", own_workspace / "mine"
    tawt.forget(9_999_999_999, workspace=own_workspace, **QUICK)
    n_files = tawt.forget(workspace=own_workspace, **QUICK).n_files
    mine.mkdir()
    pq.write_table(pa.table({"patient": [one], "x": [0.5]}), mine / "numbers.parquet")
    pq.write_table(pa.table({"patient": [str(one)]}), mine / "texts.parquet")
    pq.write_table(pa.table({"patient": [5], "name": ["Anna"]}), mine / "others.parquet")
    (mine / "notebook.ipynb").write_text(f'{{"cells": ["{one}"]}}')
    (mine / "packed.csv.gz").write_bytes(gzip.compress(str(one).encode()))
    listed.write_text(f"{one}\n9999999999\n88888888\n")
    found = tawt.forget(listed, workspace=own_workspace, **QUICK)
    assert found.perhaps == ("mine/notebook.ipynb", "mine/numbers.parquet", "mine/texts.parquet")
    assert found.unread == ("mine/packed.csv.gz",) and found.n_files >= n_files + 4
    assert found.absent == (f"{listed} line 3",)
    assert tawt.forget(listed, workspace=own_workspace, **QUICK).absent == ()


def test_a_table_of_which_nothing_says_whose_its_records_are_is_told(stays: Path, tmp_path: Path) -> None:
    """Readings name stays, and no contract says that a stay is one person's: it is told that hers are there; once the contract
    says it, the next ingest takes them out."""
    work, project = tmp_path / "w", tmp_path / "project"
    name = "schemas/stays/staging/persons.json"
    contract = {key: value for key, value in json.loads(STAYS[name]).items() if key != "grain"}
    write(project, {name: json.dumps(contract)})
    tawt.ingest(stays, str(project / "pipelines" / "stays.yaml"), work, **QUICK)
    assert tawt.forget("anna-1", workspace=work, dry_run=True).told_by_none == ("staging.readings",)
    assert tawt.forget("anna-1", workspace=work, **QUICK).told_by_none == ("staging.readings",)
    assert telling(work, ["alpha"]) == ["staging/readings/part-00000-0.parquet"]
    write(project, {name: STAYS[name]})
    tawt.ingest(stays, str(project / "pipelines" / "stays.yaml"), work, **QUICK)
    assert telling(work, ["alpha", "beta"]) == []
    assert tawt.forget(workspace=work, **QUICK).told_by_none == ()
