"""How much room a run takes is told before it begins, and how long the rest of it takes while it runs."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import tawt
from tawt.errors import RoomError
from tawt.pipeline import foretold, time_left, work
from tawt.pipeline.foretold import ROOM, Forecast, Foretold, Room
from tawt.pipeline.time_left import TimeLeft

QUICK = {"threads": 1, "memory_limit": "500MB"}


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[Room | None]:
    """What was foretold of each run."""
    found: list[Room | None] = []
    monkeypatch.setattr(
        work, "hold_room", lambda *given, **more: found.append(foretold.hold_room(*given, **more)) or found[-1]
    )
    return found


def full_of(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have so many bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free))


def n_bytes(work: Path) -> int:
    """What the files below a folder hold."""
    return sum(path.stat().st_size for path in work.rglob("*") if path.is_file())


def test_a_disk_without_room_is_told_before_anything_is_made(
    hospital, own_workspace: Path, tmp_path: Path, tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says where, what is needed and what is there, and how to begin all the same; of stages nothing is written."""
    full_of(100_000, monkeypatch)
    with pytest.raises(RoomError) as told:
        tawt.ingest(hospital.raw, "demo", tmp_path / "w", **QUICK)
    assert told.value.where == str(tmp_path / "w") and "--skip-room-check" in told.value.hint
    assert told.value.what.startswith("its disk has 100 kB free, expected about ") and " MB (" in told.value.what
    assert not list((tmp_path / "w").rglob("*.parquet"))
    before = tree(own_workspace)
    for command in (lambda: tawt.build_vocab(own_workspace, force=True, **QUICK),
                    lambda: tawt.run("staging", own_workspace, force=True, **QUICK)):  # fmt: skip
        with pytest.raises(RoomError, match="its disk has 100 kB free"):
            command()
    assert tree(own_workspace) == before


def test_a_run_that_is_asked_to_begins_without_room(own_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate may be wrong: what it says is a note then, as in a dry run, and the run goes its way."""
    full_of(100_000, monkeypatch)
    heard: list[dict] = []
    for how in ({"check_room": False}, {"dry_run": True}):
        result = tawt.build_vocab(own_workspace, force=True, report=heard.append, **how, **QUICK)
        assert result.n_run
        told = [event["text"] for event in heard if event["event"] == "note" and "free" in event["text"]]
        assert len(told) == 1 and told[0].startswith("takes about ") and told[0].endswith("are free: it may not fit")
        heard.clear()


def test_nothing_is_said_of_room_where_there_is_plenty_or_nothing_to_make(
    own_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that takes little of what is free says nothing; one of which all is up to date needs no room."""
    heard: list[dict] = []
    tawt.build_vocab(own_workspace, force=True, report=heard.append, **QUICK)
    full_of(0, monkeypatch)
    tawt.build_vocab(own_workspace, report=heard.append, **QUICK)
    assert not [event for event in heard if "free" in event.get("text", "")]


def test_what_a_run_takes_lies_within_what_was_foretold(hospital, tmp_path: Path, rooms: list[Room | None]) -> None:
    """Of an ingest by the raw files alone, of what follows by the rows that there are."""
    work = tmp_path / "w"
    tawt.ingest(hospital.raw, "demo", work, **QUICK)
    after_ingest = n_bytes(work)
    tawt.build_vocab(work, **QUICK)
    for room, took in zip(rooms, (after_ingest, n_bytes(work) - after_ingest), strict=True):
        assert room is not None and ROOM[0] * room.n_bytes < took < ROOM[1] * room.n_bytes


def test_a_new_raw_file_counts_by_itself(hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table in two files the one that came is staged, and told by itself; events, which are sorted anew, count whole, and
    their old files go when the new ones are there. What is made of other rules counts whole, too."""
    made: list[Forecast] = []
    monkeypatch.setattr(foretold, "Forecast", lambda *given: made.append(Forecast(*given)) or made[-1])
    raw = Path(shutil.copytree(hospital.raw, tmp_path / "raw"))
    (raw / "hosp/labevents").mkdir()
    (raw / "hosp/labevents.csv.gz").rename(raw / "hosp/labevents/0.csv.gz")
    tawt.ingest(raw, "demo", tmp_path / "w", **QUICK)
    with gzip.open(raw / "hosp/labevents/0.csv.gz", "rt") as file:
        lines = file.readlines()
    with gzip.open(raw / "hosp/labevents/1.csv.gz", "wt") as file:
        file.writelines(lines[:100])
    before = made[-1]
    tawt.ingest(raw, "demo", tmp_path / "w", dry_run=True, **QUICK)
    told = made[-1].of
    assert 0 < told["staging.labevents"].share == told["event_parts.labs"].share < 0.2 and told["events"].share == 1
    assert told["staging.chartevents"].share == 0 and 0 < made[-1].most() < 0.5 * before.most()
    assert told["events"].n_bytes == pytest.approx(n_bytes(tmp_path / "w/events"), rel=0.1)
    tawt.ingest(raw, "demo", tmp_path / "w", dry_run=True, force=True, **QUICK)
    assert made[-1].of["staging.labevents"].share == 1


class Clock:
    """A plan of stages of known length, and the time that goes by in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **n_rows: float) -> None:
        self.now = 0.0
        monkeypatch.setattr(time_left, "monotonic", lambda: self.now)
        stages = [SimpleNamespace(name=name, inputs=(), layer=SimpleNamespace(name=name)) for name in n_rows]
        steps = [SimpleNamespace(stage=stage, reason="new") for stage in stages]
        limits, settings = SimpleNamespace(workers=1), SimpleNamespace(n_shards=1)
        plan = SimpleNamespace(steps=steps, raw={}, limits=limits, settings=settings)
        self.forecast = SimpleNamespace(
            of={n: Foretold(x, x, x, 1.0) for n, x in n_rows.items()}, made=lambda one: None
        )
        self.tell = TimeLeft(plan, self.forecast).told(lambda event: None)  # type: ignore[arg-type]

    def at(self, now: float, stage: str, share: float) -> float | None:
        """What is said then."""
        self.now = now
        event = {"event": "progress", "stage": stage, "done": share, "total": 1}
        self.tell(event)
        return event["left_s"]

    def begin(self, stage: str) -> None:
        """A stage begins now."""
        self.tell({"event": "start", "stage": stage, "reason": "new"})

    def end(self, stage: str, made: bool = True) -> None:
        """A stage ends now."""
        self.tell({"event": "done", "stage": stage, "reason": "new" if made else None, "manifest": SimpleNamespace()})


def test_the_time_left_goes_by_what_this_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by what a stage would take elsewhere: two stages alike, on a machine ten times as slow as any, are half done when
    the first is; nothing is said before there is something to go by."""
    per_row = time_left._MICROSECONDS["triplets"] * 1e-6
    clock = Clock(monkeypatch, triplets=10 / per_row, vocabulary=10 / (time_left._MICROSECONDS["vocabulary"] * 1e-6))
    clock.begin("triplets")
    assert clock.at(2, "triplets", 0.02) is None and clock.at(6, "triplets", 0.001) is None
    assert clock.at(50, "triplets", 0.5) == pytest.approx(150, rel=0.05)
    clock.now = 100
    clock.end("triplets")
    clock.begin("vocabulary")
    assert clock.at(100, "vocabulary", 0.0) == pytest.approx(100, rel=0.05)
    assert clock.at(190, "vocabulary", 0.9) == pytest.approx(10, rel=0.05)


def test_a_stage_that_is_slower_than_others_is_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once most of it is done, its own pace counts, and that of all for what follows."""
    per_row = time_left._MICROSECONDS["triplets"] * 1e-6
    clock = Clock(monkeypatch, triplets=10 / per_row, vocabulary=10 / (time_left._MICROSECONDS["vocabulary"] * 1e-6))
    clock.begin("triplets")
    clock.now = 10
    clock.end("triplets")
    clock.begin("vocabulary")
    assert clock.at(10 + 90, "vocabulary", 0.9) == pytest.approx(10, rel=0.1)


def test_a_stage_that_was_not_needed_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What turned out to be up to date took nothing, and says nothing of how fast the others are."""
    per_row = time_left._MICROSECONDS["triplets"] * 1e-6
    clock = Clock(monkeypatch, vocabulary=10 / (time_left._MICROSECONDS["vocabulary"] * 1e-6), triplets=10 / per_row)
    clock.end("vocabulary", made=False)
    clock.begin("triplets")
    assert clock.at(10, "triplets", 0.5) == pytest.approx(10, rel=0.05)


def test_each_progress_of_a_run_says_how_far_its_stage_is(
    hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A select is told by the record that it has come to, a stage of shards by these; none goes beyond its end."""
    monkeypatch.setattr("tawt.database.stream._OFTEN", -1.0)
    heard: list[dict] = []
    tawt.ingest(hospital.raw, "demo", tmp_path / "w", settings=("shards=3",), report=heard.append, **QUICK)
    far = [(event["stage"], event["done"], event["total"]) for event in heard if event["event"] == "progress"]
    assert {"staging.labevents", "event_parts.labs", "events"} <= {stage for stage, *_ in far}
    assert all(0 < done <= total for stage, done, total in far)
    assert max(done / total for stage, done, total in far if stage == "staging.labevents") > 0.5
