"""Subjects whose ids are text: numbered once for good, and the way back in one folder alone."""

from __future__ import annotations

import csv
import json
import shutil
import stat
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import FileError, StageError
from tawt.pipeline.subject_map import key_for, whole_map
from tawt.pipeline.workspace import Workspace, open_workspace

STAGING = """-- One row is one reading.
with readings as (select _row, patient, number from raw.readings)

select
    whole(patient) as subject_id, number(number) as number, _row,
    case when patient is null then 'quarantine:patient:missing' end as _reason
from readings
"""
PART = """-- One row is one reading as an event.
select
    subject_id, timestamp '2020-01-01' as time, 'READING' as code, number as numeric_value, null::varchar as text_value,
    null::varchar as unit, null::varchar as raw_value, timestamp '2020-01-01' as available_time, 'numeric' as value_status,
    _row, null::varchar as _reason
from staging.readings
"""
IDS = [f"{site:03d}-{1000 + 7 * i}" for site in (2, 11) for i in range(20)] + ["7", "007", "9" * 25, "b3d1-UUID"]


@pytest.fixture
def raw(make_project: Callable[..., Path]) -> Path:
    """The raw folder of a project whose one table names patients by text, two files of readings in it."""
    columns = [{"name": "patient", "type": "subject"}, {"name": "number", "type": "string"}]
    staged = [{"name": "subject_id", "type": "int64", "nullable": False}, {"name": "number", "type": "float64"}]
    raw = make_project(columns, staged, STAGING, PART)
    (raw / "readings").mkdir()
    write(raw, "a", IDS)
    write(raw, "b", [*IDS[5:9], f" {IDS[0]} ", "", "  "], first=100)
    return raw


def write(raw: Path, name: str, ids: list[str], first: int = 0) -> None:
    """A file of readings, one of each id, numbered on: so a number leads back to the id that was written."""
    with (raw / "readings" / f"{name}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["patient", "number"])
        rows.writerows([one, first + i] for i, one in enumerate(ids))


def by_reading(work: Path) -> dict[float, int]:
    """The subject of each reading in events."""
    rows = tawt.query("select numeric_value, subject_id from events", work).to_pylist()
    return {row["numeric_value"]: row["subject_id"] for row in rows}


def the_map(work: Path) -> dict[str, int]:
    """Id -> number, as a query tells it."""
    return {row["id"]: row["subject_id"] for row in tawt.query("from subjects", work).to_pylist()}


def test_every_id_has_one_number_and_every_number_leads_back(raw: Path, tmp_path: Path) -> None:
    """Blanks around an id are none of it, zeros before it are; a cell without an id is quarantined as missing."""
    result = tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    numbers = the_map(tmp_path / "w")
    assert set(numbers) == set(IDS) and len(set(numbers.values())) == len(IDS)
    subject = by_reading(tmp_path / "w")
    assert {i: subject[i] for i in range(len(IDS))} == {i: numbers[one] for i, one in enumerate(IDS)}
    assert [subject[100 + i] for i in range(5)] == [numbers[one] for one in (*IDS[5:9], IDS[0])]
    accounts = {one.stage: one.manifest.accounts[0] for one in result.stages}
    assert [(r.reason, r.n_records) for r in accounts["staging.readings"].routes] == [("patient:missing", 2)]
    assert accounts["subjects"].n_rows_out == len(IDS)
    findings = tawt.check(tmp_path / "w")
    assert [finding for finding in findings if not finding.ok] == []
    assert "subjects" in [finding.check for finding in findings]


def test_no_number_changes_when_records_are_appended(raw: Path, tmp_path: Path) -> None:
    """Nor when the raw folder has moved, anything runs again, or `local.json` is gone: the key is in the map."""
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    before = the_map(tmp_path / "w")
    shutil.move(raw, tmp_path / "moved")
    write(tmp_path / "moved", "0", ["000-1", "zzz"], first=500)
    tawt.ingest(tmp_path / "moved", "lab", tmp_path / "w", threads=1)
    after = the_map(tmp_path / "w")
    assert set(after) - set(before) == {"000-1", "zzz"} and after | before == after
    assert by_reading(tmp_path / "w")[500] == after["000-1"]
    for lost in ("local.json", "subjects/subjects.parquet"):
        (tmp_path / "w" / lost).unlink()
        tawt.ingest(tmp_path / "moved", "lab", tmp_path / "w", threads=1)
        assert the_map(tmp_path / "w") == after


def test_new_workspaces_of_the_same_tables_have_the_same_bytes(raw: Path, tmp_path: Path, tree) -> None:
    """At any number of threads, with the files listed in any order; of other tables the numbers are others."""
    for name, threads in (("one", 1), ("four", 4)):
        tawt.ingest(raw, "lab", tmp_path / name, threads=threads, settings=("shards=2",))
    for folder in ("subjects", "staging", "events/data"):
        one, four = (tree(tmp_path / name / folder) for name in ("one", "four"))
        assert one and one == four
    write(raw, "c", ["1"])
    tawt.ingest(raw, "lab", tmp_path / "other", threads=1)
    assert not set(the_map(tmp_path / "other").values()) & set(the_map(tmp_path / "one").values())


def test_ids_are_in_the_map_alone(raw: Path, tmp_path: Path) -> None:
    """No file but the map holds an id, nor does anything that is said; the key is in the map and `local.json`."""
    said: list[str] = []
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1, report=lambda event: said.append(str(event)))
    tawt.build_vocab(tmp_path / "w", threads=1, report=lambda event: said.append(str(event)))
    key = json.loads((tmp_path / "w" / "local.json").read_text())["subject_key"]
    telling = [one for one in IDS if len(one) > 3]
    assert not any(one in " ".join(said) for one in telling)
    holds: dict[str, set[Path]] = {"id": set(), "key": set()}
    for path in tmp_path.joinpath("w").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":  # as it reads, not as it is packed
                content += (
                    str(pq.read_table(path, partitioning=None).to_pydict()) + str(pq.read_schema(path).metadata)
                ).encode()
            holds["id"] |= (
                {path.relative_to(tmp_path / "w")} if any(one.encode() in content for one in telling) else set()
            )
            holds["key"] |= {path.relative_to(tmp_path / "w")} if key.encode() in content else set()
    assert holds["id"] == {Path("subjects/subjects.parquet")}
    modes = [stat.S_IMODE((tmp_path / "w" / name).stat().st_mode) for name in ("subjects", "local.json")]
    assert [*modes, stat.S_IMODE((tmp_path / "w" / "subjects" / "subjects.parquet").stat().st_mode)] == [
        0o700, 0o600, 0o600
    ]  # fmt: skip
    assert holds["key"] == {Path("subjects/subjects.parquet"), Path("local.json")}


VISITS = """description: One row is one visit.
columns:
  person: {type: KIND, as: subject_id, marks: ["-"]}
  mother: {type: subject}
key: [person]
"""


def test_tables_share_their_subjects_whatever_the_columns_are_called(raw: Path, tmp_path: Path) -> None:
    """Declared tables need no more than the type: several columns of several tables, Parquet too, lead to one map."""
    (tmp_path / "assets" / "schemas" / "lab" / "visits.yaml").write_text(VISITS.replace("KIND", "subject"))
    big = 2**64 - 1
    pq.write_table(
        pa.table({"person": pa.array([7, 7, big], pa.uint64()), "mother": ["-", "m-1", IDS[0]]}), raw / "visits.parquet"
    )
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    numbers = the_map(tmp_path / "w")
    assert set(numbers) == {*IDS, str(big), "-", "m-1"}
    rows = tawt.query("select subject_id, mother from staging.visits order by _row", tmp_path / "w").to_pylist()
    assert [(row["subject_id"], row["mother"]) for row in rows] == [
        (numbers["7"], numbers["-"]), (numbers["7"], numbers["m-1"]), (numbers[str(big)], numbers[IDS[0]])
    ]  # fmt: skip


def test_a_source_has_subjects_of_one_kind(raw: Path, tmp_path: Path) -> None:
    """A number that stands in one table would be taken for the one that a text of another table was given."""
    (tmp_path / "assets" / "schemas" / "lab" / "visits.yaml").write_text(VISITS.replace("KIND", "int64"))
    with pytest.raises(StageError, match="takes subjects as numbers") as caught:
        tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    assert "raw.visits" in caught.value.hint and not (tmp_path / "w").exists()


def test_a_sample_is_drawn_by_the_numbers(raw: Path, tmp_path: Path) -> None:
    """So many subjects, or a share of them, each whole."""
    path = tmp_path / "assets" / "pipelines" / "lab.yaml"
    path.write_text("name: lab\nsource: lab\nsample_from: staging.readings\n")
    tawt.ingest(raw, "lab", tmp_path / "w", sample="10", threads=1)
    drawn = set(by_reading(tmp_path / "w").values())
    assert len(drawn) == 10 and drawn < set(the_map(tmp_path / "w").values())
    assert len(the_map(tmp_path / "w")) == len(IDS)


def test_a_stage_is_not_run_with_a_map_of_other_tables(raw: Path, tmp_path: Path) -> None:
    """Who is not in it yet would have no number: what to run is said."""
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    write(raw, "c", ["new"], first=600)
    with pytest.raises(StageError, match="needs subjects") as caught:
        tawt.run("staging.readings", tmp_path / "w", threads=1)
    assert "+staging.readings" in caught.value.hint
    tawt.run("+staging.readings,event_parts,events", tmp_path / "w", threads=1)
    assert by_reading(tmp_path / "w")[600] == the_map(tmp_path / "w")["new"]


def test_what_only_looks_shows_numbers_or_what_the_raw_tables_hold(raw: Path, tmp_path: Path) -> None:
    """A stage that is tried sees numbers; a raw table that is asked for holds its own cells."""
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    numbers = the_map(tmp_path / "w")
    assert tawt.attempt("staging.readings", tmp_path / "w", "readings", 3)["patient"].to_pylist() == [
        str(numbers[one]) for one in IDS[:3]
    ]
    assert tawt.query("select patient from raw.readings", tmp_path / "w", limit=2)["patient"].to_pylist() == IDS[:2]
    assert tawt.lineage("staging.readings", tmp_path / "w")["name"].to_pylist().count("subjects") == 1


def test_a_damaged_map_renumbers_nobody(raw: Path, tmp_path: Path) -> None:
    """A bit turned anywhere in the map: it is refused or nothing of it is used; what is done then brings all back."""
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    place = tmp_path / "w" / "subjects" / "subjects.parquet"
    before, content = the_map(tmp_path / "w"), place.read_bytes()
    refused = []
    for at in range(4, len(content) - 4, 11):
        turned = bytearray(content)
        turned[at] ^= 1
        place.write_bytes(turned)
        try:
            key, rows = whole_map(place)
        except FileError as error:
            assert "put back a copy" in error.hint
            refused += [bytes(turned)] if "not of its ids" in error.what else []
        else:
            assert before == before | dict(zip(*rows.to_pydict().values(), strict=True))
            assert key == json.loads((tmp_path / "w" / "local.json").read_text())["subject_key"]
    assert len(refused) > 5
    place.write_bytes(refused[0])
    (finding,) = [one for one in tawt.check(tmp_path / "w") if one.check == "stages"]
    assert "--force" not in finding.mend and "put back a copy" in finding.mend
    write(raw, "c", ["new"], first=600)
    with pytest.raises(FileError, match="not of its ids"):
        tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    with pytest.raises(StageError, match="needs subjects"):
        tawt.run("staging.readings", tmp_path / "w", threads=1)
    place.unlink()
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    assert the_map(tmp_path / "w") == before | {"new": by_reading(tmp_path / "w")[600]}
    place.write_bytes(content)  # a copy from before the new subject is as good
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    assert the_map(tmp_path / "w") == before | {"new": by_reading(tmp_path / "w")[600]}


def test_no_two_records_of_the_numbers_gone_or_of_another_workspace_renumber_anybody(raw: Path, tmp_path: Path) -> None:
    """Map, `local.json` and manifest, each as it was, gone, damaged or another's: the key is the same, or it is refused.

    Whichever is left tells the key again, by what was made with the numbers.
    """
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    write(raw, "c", ["new"], first=600)
    tawt.ingest(raw, "lab", tmp_path / "other", threads=1)
    names = ("subjects/subjects.parquet", "local.json", "manifests/subjects.json")
    own, foreign = ({name: (tmp_path / w / name).read_bytes() for name in names} for w in ("w", "other"))
    key = json.loads(own["local.json"])["subject_key"]
    bent = {name: content.replace(key[:9].encode(), b"f" * 9) for name, content in own.items()}
    bent["manifests/subjects.json"] = b"{"
    refused = []
    for states in product((own, None, bent, foreign), repeat=3):
        for name, state in zip(names, states, strict=True):
            (tmp_path / "w" / name).unlink(missing_ok=True)
            if state is not None:
                (tmp_path / "w" / name).write_bytes(state[name])
        workspace: Workspace = open_workspace(tmp_path / "w")
        try:
            known = workspace.local.subject_key
        except FileError:  # an ingest goes on without it
            known = None
        try:
            assert key_for(workspace, "subjects", known, {"readings": ["others"]}) == key
        except FileError as error:
            refused.append(states)
            assert "new workspace" in error.hint
    lost = [states for states in refused if states[0] is not foreign]
    assert all(states[1] is not own for states in lost) and all(states[0] is not own for states in lost)
    assert sum(states[0] is foreign for states in refused) == 16
    (tmp_path / "w" / "subjects" / "subjects.parquet").write_bytes(foreign["subjects/subjects.parquet"])
    for words in ("subjects+", "staging.readings"):
        with pytest.raises(FileError, match="numbers of another key"):
            tawt.run(words, tmp_path / "w", threads=1)


def test_numbers_that_are_nobodys_here_are_refused(raw: Path, tmp_path: Path) -> None:
    """Key, map and manifests of another workspace, or gone: splits and embeddings hold the numbers that were given."""
    work, other = tmp_path / "w", tmp_path / "other"
    tawt.ingest(raw, "lab", work, threads=1)
    numbers = the_map(work)
    write(raw, "c", ["new"], first=600)
    tawt.ingest(raw, "lab", other, threads=1)
    whole = {path.relative_to(work): path.read_bytes() for path in work.rglob("*") if path.is_file()}
    splits, embedded = work / "events" / "metadata" / "subject_splits.parquet", work / "embeddings" / "a.parquet"
    for of_other, left in product((("subjects",), ("local.json",), ("subjects", "manifests")), (splits, embedded)):
        shutil.rmtree(work)
        left.parent.mkdir(parents=True)
        for name in ("ingest.json", "pipeline.yaml"):
            (work / name).write_bytes(whole[Path(name)])
        left.write_bytes(whole[splits.relative_to(work)])
        for place in of_other:
            (shutil.copytree if (other / place).is_dir() else shutil.copy)(other / place, work / place)
        with pytest.raises(FileError, match="has the number of one of them") as caught:
            tawt.ingest(raw, "lab", work, threads=1)
        assert "new workspace" in caught.value.hint
    for place in ("subjects", "manifests"):
        shutil.rmtree(work / place)
    (work / "local.json").write_bytes(whole[Path("local.json")])
    tawt.ingest(raw, "lab", work, threads=1)
    assert numbers.items() <= the_map(work).items()


def test_outputs_that_nothing_speaks_of_keep_subjects_from_other_numbers(raw: Path, tmp_path: Path) -> None:
    """Map, `local.json` and all manifests gone at once: shards, splits, runs or embeddings are left that would speak of
    other people. Without any, or where manifests tell that they are of numbers, it begins anew."""
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    work = tmp_path / "w"
    for name in ("subjects", "manifests"):
        shutil.rmtree(work / name)
    (work / "local.json").unlink()
    write(raw, "c", ["new"], first=600)
    with pytest.raises(FileError, match="is gone") as caught:
        tawt.ingest(raw, "lab", work, threads=1)
    assert "ingest into a new workspace" in caught.value.hint and not (work / "subjects").exists()
    for name in ("staging", "event_parts", "events"):
        shutil.rmtree(work / name)
    for left in (
        "dataset/train/00000.arrow",
        "vocabulary/vocabulary.parquet",
        "embeddings/a.parquet",
        "runs/a/run.json",
    ):
        (work / left).parent.mkdir(parents=True)
        (work / left).touch()
        with pytest.raises(FileError, match="is gone"):
            key_for(open_workspace(work), "subjects", None, {})
        shutil.rmtree(work / left.partition("/")[0])
    tawt.ingest(raw, "lab", work, threads=1)
    assert "new" in the_map(work)
