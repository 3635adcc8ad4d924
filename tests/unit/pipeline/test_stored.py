"""A workspace in a store, made by processes that share nothing else: the bytes of one, and what is damaged there is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tawt
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError, FileError, StageError, StaleError
from tawt.pipeline import records_there
from tawt.pipeline.each_shard import HANDED_IN
from tawt.pipeline.manifest import Components
from tawt.pipeline.presence import Presence
from tawt.pipeline.stored import BoardInStore
from tawt.pipeline.workspace import STORED
from tawt.seals import BLANK, filled
from tawt.stores import Store
from tests.unit.conftest import Hospital
from tests.unit.pipeline.test_parts import ROOT, ended
from tests.unit.pipeline.test_stability import hashes, reasons

QUICK = {"threads": 1, "memory_limit": "500MB"}
RUN = (
    "tawt.run('+dataset', {w!r}, store={url!r}, raw={raw!r}, part={part!r}, wait='2m', threads=1, memory_limit='500MB')"
)


@pytest.fixture(scope="module")
def prepared(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the hospital in which nothing is made yet."""
    place = tmp_path_factory.mktemp("stored")
    url = f"file://{place / 'store'}"
    tawt.ingest(hospital.raw, "demo", place / "w", settings=("shards=3",), prepare=True, store=url, **QUICK)
    return place / "store"


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it of a test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "store"))


@pytest.fixture
def made(hospital: Hospital, tmp_path: Path) -> Path:
    """A store that holds all of the hospital's workspace, pushed from `own`."""
    shutil.copytree(hospital.workspace, tmp_path / "own")
    moved = tawt.push(f"file://{tmp_path / 'made'}", tmp_path / "own")
    assert moved.n_moved == len(moved.stages) > 15
    return tmp_path / "made"


def start(w: Path, store: Path, raw: Path, part: str, kill_at: int = 0) -> subprocess.Popen[str]:
    """Start a part in a process and a folder of its own, which ends at once where it would do its n-th act on files."""
    call = RUN.format(w=str(w), url=f"file://{store}", raw=str(raw), part=part)
    text = f"import tawt; from tests.unit.pipeline.killed import counted; tawt.run; counted({kill_at}); {call}"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", text], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def files(folder: Path) -> list[str]:
    """What lies below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flip(path: Path) -> None:
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_parts_that_share_a_store_alone_give_the_bytes_of_one_process(
    hospital: Hospital, store: Path, tmp_path: Path
) -> None:
    """One is killed in the middle and run again on another machine, twice at once; what is left there is the whole."""
    other = start(tmp_path / "d", store, hospital.raw, "2/2")
    assert ended(start(tmp_path / "a", store, hospital.raw, "1/2", kill_at=150)) == [9]
    assert other.poll() is None, "the case is not met"
    again = [start(tmp_path / name, store, hospital.raw, "1/2") for name in ("b", "c")]
    assert ended(other, *again) == [0, 0, 0]
    assert hashes(store) == hashes(hospital.workspace)
    assert not [name for name in files(store) if name.startswith(".aside")], "no sign of life, no share"
    late = tmp_path / "late"
    assert reasons(tawt.run("+dataset", late, store=f"file://{store}", raw=hospital.raw, **QUICK)) == {}
    assert not (late / "events").exists(), "what is made needs not be brought"
    tawt.fetch(f"file://{store}", tmp_path / "t", everything=True)
    assert open_dataset(tmp_path / "t").split("train").n_subjects > 20


def test_a_workspace_goes_to_a_store_and_comes_back(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """Every file and record is as it was; what is there is not moved twice, and only this workspace moves."""
    url = f"file://{made}"
    pulled = tawt.pull(url, tmp_path / "w", raw=hospital.raw)
    assert pulled.n_moved == len(pulled.stages) and hashes(tmp_path / "w") == hashes(hospital.workspace)
    assert [finding for finding in tawt.check(tmp_path / "w") if not finding.ok] == []
    assert tawt.push(url, tmp_path / "w").n_moved == tawt.pull(url, tmp_path / "w").n_moved == 0
    shutil.copytree(hospital.workspace, tmp_path / "other")
    with pytest.raises(ConfigError, match="holds a workspace already"):
        tawt.push(url, tmp_path / "other")
    with pytest.raises(ConfigError, match="holds a workspace that is in no store"):
        tawt.run("dataset", tmp_path / "other", store=url)
    with pytest.raises(ConfigError, match="holds a workspace of another store"):
        tawt.run("dataset", tmp_path / "w", store=f"file://{tmp_path / 'elsewhere'}")
    assert not (tmp_path / "other" / STORED).exists()


def test_nothing_of_this_machine_goes_to_a_store(hospital: Hospital, made: Path) -> None:
    """No place of raw tables or projects, no key, no lock and no run."""
    assert not {"local.json", ".lock", STORED, "undone.json"} & {*files(made)}
    assert not [name for name in files(made) if str(hospital.raw).encode() in (made / name).read_bytes()]


def test_what_no_stage_lists_goes_with_a_push(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """What somebody who was killed left: below any layer, in quarantine, of shards, of manifests and handed in. What is
    no stage's stays."""
    left = ["staging/patients/x.parquet", "codes/labs/x.parquet", "links/old/x.parquet", "quarantine/gone.parquet",
            "shards/gone.parquet", "manifests/gone.json", ".aside/events-1-handed-in/x.parquet"]  # fmt: skip
    for name in (*left, "runs/r/x"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"a person")
    tawt.push(f"file://{made}", tmp_path / "own")
    assert not {*left} & {*files(made)} and (made / "runs/r/x").exists()
    assert hashes(made) == hashes(hospital.workspace)


def test_two_do_not_push_at_once(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take what the other sends for what no stage lists: one is told that the workspace is in use."""
    url, put, said = f"file://{made}", Store.put, []
    shutil.copytree(tmp_path / "own", tmp_path / "w")
    (made / "manifests" / "vocabulary.json").unlink()

    def meanwhile(self: Store, path: Path, name: str, private: bool) -> None:
        with pytest.raises(ConfigError, match="is in use") as told:
            tawt.push(url, tmp_path / "w")
        said.append(told.value.what)
        put(self, path, name, private)

    monkeypatch.setattr(BoardInStore, "beat_seconds", 0.1)
    monkeypatch.setattr(Store, "put", meanwhile)
    assert tawt.push(url, tmp_path / "own").n_moved == 1 and said
    assert not (made / ".aside").exists() or not files(made / ".aside")


def test_what_is_newer_is_not_undone_in_silence(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """Neither in the store by who has not seen it, nor in a folder that went on; who has not gone on takes it, and who means
    it says so."""
    url, a, b = f"file://{made}", tmp_path / "own", tmp_path / "w"
    tawt.pull(url, b)
    tawt.build_vocab(b, settings=("vocabulary.min_count=9",), **QUICK)
    newer = hashes(b)
    with pytest.raises(ConfigError, match="made here since it was the same as") as told:
        tawt.pull(url, b)
    assert "--force" in told.value.hint and hashes(b) == newer
    assert tawt.push(url, b).n_moved > 1 and hashes(made) == newer
    with pytest.raises(ConfigError, match="made elsewhere since this folder was the same") as told:
        tawt.push(url, a)
    assert "--force" in told.value.hint and hashes(made) == newer
    tawt.run(
        "vocabulary", tmp_path / "c", store=url, raw=hospital.raw, force=True, **QUICK
    )  # what is made there is known
    assert tawt.pull(url, tmp_path / "c").n_moved > 1 and tawt.push(url, tmp_path / "c").n_moved == 0
    assert tawt.pull(url, a).n_moved > 1 and hashes(a) == newer
    tawt.build_vocab(a, settings=("vocabulary.min_count=2",), **QUICK)
    tawt.build_vocab(b, settings=("vocabulary.min_count=5",), **QUICK)
    tawt.push(url, a)
    mine = hashes(b)
    for act in (tawt.push, tawt.pull):
        with pytest.raises(ConfigError, match="would be undone"):
            act(url, b)
    tawt.push(url, b, force=True)
    assert hashes(made) == hashes(b) == mine
    tawt.build_vocab(a, settings=("vocabulary.min_count=3",), **QUICK)
    tawt.pull(url, a, force=True)
    assert hashes(a) == mine and [finding for finding in tawt.check(a) if not finding.ok] == []


def test_what_is_damaged_in_a_store_is_sent_anew_by_force(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """What a stage lists is not read again to be sent: a push that is not told takes it for what is there."""
    url, part = f"file://{made}", next((made / "events" / "data" / "train").glob("*.parquet"))
    flip(part)
    assert tawt.push(url, tmp_path / "own").n_moved == 0 and hashes(made) != hashes(hospital.workspace)
    done = tawt.push(url, tmp_path / "own", force=True)
    assert done.n_moved == len(done.stages) and hashes(made) == hashes(hospital.workspace)


def test_who_opted_out_while_a_push_waits_does_not_come_back(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another push, which takes them out, ends before it: what is there is looked at when nobody else is at work."""
    url, one = f"file://{made}", open_dataset(tmp_path / "own").split("train").subject_ids[0]
    tawt.pull(url, tmp_path / "w")
    tawt.forget(int(one), workspace=tmp_path / "w", **QUICK)
    enter, waited = Presence.__enter__, []

    def waits(self: Presence) -> Presence:
        if not waited:
            waited.append(True)
            tawt.push(url, tmp_path / "w")
        return enter(self)

    monkeypatch.setattr(Presence, "__enter__", waits)
    with pytest.raises(ConfigError, match="holds people who opted out of the workspace of"):
        tawt.push(url, tmp_path / "own", force=True)
    assert hashes(made) == hashes(tmp_path / "w") and waited


def test_who_holds_a_part_of_a_workspace_alone_does_not_push(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """Somebody who is forgotten in it would stay in what is there besides; what is there stays as it is."""
    url, before = f"file://{made}", hashes(made)
    tawt.run("vocabulary", tmp_path / "w", store=url, raw=hospital.raw, force=True, **QUICK)
    with pytest.raises(ConfigError, match=r"holds no finished .* more, which the store has"):
        tawt.push(url, tmp_path / "w")
    assert hashes(made) == before


def test_who_opted_out_does_not_come_back_by_an_older_state(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push from a folder that does not know of it would undo it there, and so would a pull of what is older here. What
    tells of them is the owner's alone while it is looked into, too."""
    url, one = f"file://{made}", open_dataset(tmp_path / "own").split("train").subject_ids[0]
    tawt.pull(url, tmp_path / "w")
    tawt.forget(int(one), workspace=tmp_path / "w", **QUICK)
    forgotten = hashes(tmp_path / "w")
    with pytest.raises(ConfigError, match="holds people who opted out of what is here"):
        tawt.pull(url, tmp_path / "w", force=True)
    assert hashes(tmp_path / "w") == forgotten
    assert tawt.push(url, tmp_path / "w").n_moved > 0
    modes, real = set[int](), records_there.read_record

    def looks(path: Path, *how: Any, **named: Any) -> Any:
        modes.update({path.stat().st_mode & 0o777} if path.exists() and path.name == "opted_out.json" else ())
        return real(path, *how, **named)

    monkeypatch.setattr(records_there, "read_record", looks)
    with pytest.raises(ConfigError, match="holds people who opted out of the workspace of"):
        tawt.push(url, tmp_path / "own")
    assert hashes(made) == forgotten and (made / "opted_out.json").exists()
    assert modes == {0o600}
    flip(made / "opted_out.json")
    with pytest.raises(FileError) as told:
        tawt.push(url, tmp_path / "w")
    assert told.value.where == f"{url}/opted_out.json" and not (tmp_path / "w/.aside/opted_out.json").exists()


def test_a_workspace_that_is_not_whole_is_not_brought_as_one(made: Path, tmp_path: Path) -> None:
    """A manifest in which a bit has turned would be found out by who needs its stage, when what made it may be gone; an
    object that is no manifest is none."""
    url = f"file://{made}"
    (made / "manifests" / "a stranger's.json").write_bytes(b"x")
    assert tawt.pull(url, tmp_path / "whole").n_moved > 15
    flip(made / "manifests" / "events.json")
    with pytest.raises(FileError, match="is not as it was written, expected what events wrote") as told:
        tawt.pull(url, tmp_path / "w")
    assert told.value.where == f"{url}/manifests/events.json" and "tawt run events" in told.value.hint
    assert tawt.push(url, tmp_path / "own").n_moved == 1 and tawt.pull(url, tmp_path / "w").n_moved > 15


def test_a_place_without_a_workspace_binds_no_folder(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """A slip in a URL: the right one is taken then. A push that could not be done is done elsewhere."""
    for command in (tawt.pull, lambda url, w: tawt.run("dataset", w, store=url)):
        with pytest.raises(ConfigError, match="holds no workspace"):
            command(f"file://{tmp_path / 'slip'}", tmp_path / "w")
    assert tawt.pull(f"file://{made}", tmp_path / "w").n_moved > 15
    own = Path(shutil.copytree(hospital.workspace, tmp_path / "again"))
    (tmp_path / "no folder").write_bytes(b"")
    with pytest.raises(FileError, match="cannot be reached"):
        tawt.push(f"file://{tmp_path / 'no folder'}/x", own)
    assert tawt.push(f"file://{tmp_path / 'other'}", own).n_moved > 15


@pytest.mark.parametrize("how", ["flipped", "truncated", "gone"])
def test_an_object_that_is_not_as_it_was_written_is_found(made: Path, tmp_path: Path, how: str) -> None:
    """By whoever needs it, with its URL; the stage that wrote it, made again, mends it."""
    part = next((made / "events" / "data" / "train").glob("*.parquet"))
    if how == "flipped":
        flip(part)
    elif how == "truncated":
        part.write_bytes(part.read_bytes()[:-9])
    else:
        part.unlink()
    with pytest.raises(FileError, match="is not there" if how == "gone" else "is not as it was written") as told:
        tawt.run("vocabulary", tmp_path / "w", store=f"file://{made}", force=True, **QUICK)
    assert told.value.where == f"file://{part}" and f"tawt run events -w {tmp_path / 'w'}" in told.value.hint
    assert not (tmp_path / "w" / "events").exists()


def test_records_and_manifests_that_are_damaged_are_not_taken(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """A record ends the command; a stage whose manifest is no more is made again, and the same bytes come out."""
    url, said = f"file://{made}", []
    flip(made / "manifests" / "vocabulary.json")
    done = tawt.run("vocabulary", tmp_path / "w", store=url, raw=hospital.raw, report=said.append, **QUICK)
    assert done.n_run == 1 and hashes(made) == hashes(hospital.workspace)
    assert [one for one in said if "vocabulary does not count" in one.get("text", "")]
    flip(made / "ingest.json")
    with pytest.raises(FileError, match="is not as it was written") as told:
        tawt.pull(url, tmp_path / "x")
    assert told.value.where == f"{url}/ingest.json"


def test_shards_that_are_damaged_in_the_store_are_made_again(hospital: Hospital, made: Path, tmp_path: Path) -> None:
    """What a part handed in and left is taken by one process, but for the shard in which a bit has turned."""
    url, said = f"file://{made}", []
    (made / "manifests" / "triplets.json").unlink()
    with pytest.raises(StageError, match="waits for part 2/2"):
        tawt.run("triplets", tmp_path / "a", store=url, raw=hospital.raw, part="1/2", wait="0", **QUICK)
    handed = [path for path in made.rglob("*.parquet") if HANDED_IN in str(path)]
    assert handed, "its own shards"
    flip(handed[0])
    tawt.run("triplets", tmp_path / "b", store=url, raw=hospital.raw, report=said.append, **QUICK)
    assert len([one for one in said if "it is made again" in one.get("text", "")]) == 1
    assert hashes(made) == hashes(hospital.workspace) and not [
        name for name in files(made) if name.startswith(".aside")
    ]


def test_a_store_that_goes_away_is_told_and_nothing_is_made_twice(
    hospital: Hospital, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made and could not be sent is sent the next time."""
    url, put = f"file://{made}", Store.put
    (made / "manifests" / "triplets.json").unlink()

    def away(*given: Any) -> None:
        raise OSError("secret key 123")

    with monkeypatch.context() as patched, pytest.raises(FileError, match="cannot be reached") as told:
        patched.setattr("fsspec.implementations.local.LocalFileSystem.put_file", away)
        tawt.run("triplets", tmp_path / "w", store=url, raw=hospital.raw, **QUICK)
    assert "secret" not in str(told.value) + told.value.hint and not (made / "manifests" / "triplets.json").exists()
    sent = []
    monkeypatch.setattr(Store, "put", lambda self, path, name, private: sent.append(name) or put(self, path, name))
    assert tawt.run("triplets", tmp_path / "w", store=url, raw=hospital.raw, **QUICK).n_run == 0
    assert len([name for name in sent if name.startswith("triplets/")]) >= 3 and hashes(made) == hashes(
        hospital.workspace
    )


def test_all_machines_make_the_same(
    hospital: Hospital, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with other raw tables is told so, and one with other versions or SQL; nothing is made by either."""
    url, raw = f"file://{store}", Path(shutil.copytree(hospital.raw, tmp_path / "raw"))
    tawt.run("staging.patients", tmp_path / "w", store=url, raw=raw, **QUICK)  # copies are as good
    flipped = raw / "hosp" / "patients.csv.gz"
    shutil.copy(hospital.raw / "hosp" / "admissions.csv.gz", flipped)
    with pytest.raises(tawt.TawtError):
        tawt.run("+dataset", tmp_path / "w", store=url, part="1/2", **QUICK)
    monkeypatch.setattr(records_there, "components_of", lambda *given: Components(versions={"tawt": "9"}))
    with pytest.raises(StaleError, match="is of other files or versions here than were prepared"):
        tawt.run("+dataset", tmp_path / "x", store=url, raw=hospital.raw, part="1/2", **QUICK)
    assert [path.name for path in (store / "manifests").iterdir()] == ["staging.patients.json"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"store": "file:///x", "dry_run": True}, "a dry run writes nothing"),
        ({"store": "file:///x", "executor": "ray"}, "expected no --store"),
        ({"raw": "raw"}, "expected --store too"),
        ({"store": "s3://me:secret@bucket/x"}, "may name a user"),
        ({"store": "S3://me:secret@bucket/x"}, "may name a user"),
        ({"store": "s3:/me:secret@bucket/x"}, "may name a user"),
        ({"store": "simplecache::s3://me:secret@bucket/x"}, "may name a user"),
        ({"store": "s3://bucket/x#secret"}, "may name a user"),
        ({"store": "s3://bucket/x?key=secret"}, "may name a user"),
        ({"store": "work"}, "is no URL of a workspace"),
    ],
)
def test_options_of_a_store_that_do_not_go_together_are_told(tmp_path: Path, given: dict[str, Any], what: str) -> None:
    """Nothing is begun, and no password is repeated."""
    with pytest.raises(ConfigError, match=what) as told:
        tawt.run("dataset", tmp_path / "w", **given)
    assert "secret" not in str(told.value) and not (tmp_path / "w").exists()


def test_a_bucket_that_is_not_there_is_told_as_that(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What opens S3 says of all that is in it that it is not there: a workspace would be looked for in vain, or an ingest
    begun."""

    def lacks(*given: Any, **named: Any) -> None:
        said: Any = Exception("NoSuchBucket")
        said.response = {"Error": {"Code": "NoSuchBucket", "Message": "secret"}}
        raise FileNotFoundError("secret") from said

    for name in ("cat_file", "get_file", "pipe_file", "put_file", "find", "rm_file"):
        monkeypatch.setattr(f"fsspec.implementations.local.LocalFileSystem.{name}", lacks)
    own, url = Path(shutil.copytree(hospital.workspace, tmp_path / "own")), f"file://{tmp_path / 'there'}"
    for act in (
        lambda: tawt.pull(url, tmp_path / "w"),
        lambda: tawt.push(url, own),
        lambda: tawt.fetch(url, tmp_path / "t"),
        lambda: tawt.ingest(hospital.raw, "demo", tmp_path / "x", store=url, prepare=True, **QUICK),
        lambda: Store(url).put(own / "pipeline.yaml", "x"),
        lambda: Store(url).remove(["x"]),
    ):
        with pytest.raises(tawt.TawtError, match="is in a bucket that is not there") as told:
            act()
        assert told.value.where == url and "secret" not in str(told.value) + told.value.hint


@pytest.mark.parametrize(
    "forged",
    [
        {"files": {"a\0b": {"stamp": [1, 2, 3, 4], "sha256": "x"}}},
        {"files": {"../out": {"stamp": [1, 2, 3, 4], "sha256": "x"}}},
        {"files": {"hosp": {"stamp": [], "sha256": "x"}}},
        {"files": {"hosp": {"stamp": [1, -1, 3, 4], "sha256": "x"}}},
        {"pipeline": "\ud800"},
        {"strange": 1},
    ],
)
def test_forged_names_of_raw_files_lead_nowhere(
    hospital: Hospital, made: Path, tmp_path: Path, forged: dict[str, Any]
) -> None:
    """Sealed as tawt does: whoever brings it is told of the object, or goes on as if nothing had been prepared."""
    url, size = f"file://{made}", (hospital.raw / "hosp").stat().st_size
    for seen in forged.get("files", {}).values():
        seen["stamp"] = [size if one == -1 else one for one in seen["stamp"]]
    text = filled(json.dumps({**forged, "seal": BLANK}))
    (made / "prepared.json").write_text(text)
    try:
        tawt.pull(url, tmp_path / "w", raw=hospital.raw)
    except FileError as told:
        assert told.where == f"{url}/prepared.json" and not (tmp_path / "w" / "local.json").exists()
    else:
        assert {*forged["files"]} == {"hosp"}


def test_records_in_a_folder_are_the_owners_alone_as_in_a_workspace(made: Path, tmp_path: Path) -> None:
    """Who opted out, the way back to people and the names of raw files; what stands there otherwise is what its owner
    says."""
    url, one = f"file://{made}", open_dataset(tmp_path / "own").split("train").subject_ids[0]
    assert (made / "prepared.json").stat().st_mode & 0o777 == 0o600 and made.stat().st_mode & 0o077
    tawt.forget(int(one), workspace=tmp_path / "own", **QUICK)
    (made / "prepared.json").chmod(0o640)
    tawt.push(url, tmp_path / "own")
    assert (made / "opted_out.json").stat().st_mode & 0o777 == 0o600
    assert (made / "prepared.json").stat().st_mode & 0o777 == 0o640
    store = Store(f"{url}/new")
    store.put(tmp_path / "own" / "pipeline.yaml", "subjects/x", private=True)
    modes = [path.stat().st_mode & 0o777 for path in (made / "new", made / "new/subjects", made / "new/subjects/x")]
    assert modes[0] & 0o077 and modes[1:] == [0o700, 0o600]


@pytest.mark.parametrize(
    "name", ["ledger.parquet", "base.parquet", "base.json", "prepared.json", "pipeline.yaml", "ingest.json"]
)
def test_every_record_that_is_damaged_is_told_and_not_used(made: Path, tmp_path: Path, name: str) -> None:
    """With its URL; the folder is whole, or as it was, and takes what is mended."""
    tawt.build_vocab(tmp_path / "own", extend=True, **QUICK)
    tawt.push(url := f"file://{made}", tmp_path / "own")
    tawt.pull(url, tmp_path / "before")
    before = files(tmp_path / "before")
    flip(made / name)
    for place in ("before", "new"):
        with pytest.raises(FileError, match="is not as it was written") as told:
            tawt.pull(url, tmp_path / place)
        assert told.value.where == f"{url}/{name}"
        assert name in ("ledger.parquet", "prepared.json") or not (tmp_path / "new" / name).exists()
    assert files(tmp_path / "before") == before and not (tmp_path / "new" / "ledger.parquet").exists()
    tawt.push(url, tmp_path / "own")
    if name == "ledger.parquet" or name == "prepared.json":
        assert tawt.pull(url, tmp_path / "before").n_moved == 0
    tawt.pull(url, tmp_path / "new")
    assert hashes(tmp_path / "new") == hashes(tmp_path / "own")


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a//b"])
def test_an_object_whose_name_leads_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A store has no folders and takes any name: who brought it would write outside of the workspace."""
    store = Store(f"file://{tmp_path / 'there'}")
    place = f"{store._root}/.aside"
    monkeypatch.setattr(store._system, "find", lambda folder: [f"{place}/whole", f"{place}/marker/", f"{place}/{name}"])
    with pytest.raises(FileError, match="an object whose name leads elsewhere"):
        store.names(".aside")
    monkeypatch.setattr(store._system, "find", lambda folder: [f"{place}/whole", f"{place}/marker/"])
    assert store.names(".aside") == [".aside/whole"]
