"""Files appear whole or not at all, and what is published is on the disk before it has its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tawt import files
from tawt.files import publish, whole, write_json, write_text


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was flushed, renamed and removed, in order, by name."""
    done: list[tuple[str, str]] = []
    open_, sync, replace, rename = os.open, os.fsync, os.replace, os.rename
    opened: dict[int, str] = {}

    def open_named(path, flags, *rest, **more):
        handle = open_(path, flags, *rest, **more)
        opened[handle] = Path(os.fspath(path)).name if not isinstance(path, int) else str(path)
        return handle

    def synced(handle):
        done.append(("flush", opened.get(handle, "?")))
        sync(handle)

    def renamed(act):
        def run(source, target, **more):
            done.append(("rename", Path(target).name))
            return act(source, target, **more)

        return run

    monkeypatch.setattr(os, "open", open_named)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed(replace))
    monkeypatch.setattr(os, "rename", renamed(rename))
    return done


def test_a_file_is_flushed_before_its_name_and_its_folder_after(tmp_path: Path, acts) -> None:
    """Writing one file is: its bytes to the disk, its name, its folder to the disk."""
    write_text(tmp_path / "below" / "a.txt", "x")
    assert acts == [("flush", ".a.txt.tmp"), ("rename", "a.txt"), ("flush", "below")]


def test_a_folder_is_flushed_before_its_name_and_what_holds_it_after(tmp_path: Path, acts) -> None:
    """Every file and folder of a published folder is on the disk before the rename, the one above it after."""
    (tmp_path / "aside" / "in").mkdir(parents=True)
    (tmp_path / "aside" / "in" / "a").write_text("new")
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "old").write_text("old")
    publish(tmp_path / "aside", tmp_path / "stage")
    assert set(acts[:3]) == {("flush", "a"), ("flush", "in"), ("flush", "aside")}
    assert acts[3:] == [("rename", "aside.old"), ("rename", "stage"), ("flush", tmp_path.name)]
    assert [path.name for path in tmp_path.rglob("*")] == ["stage", "in", "a"]


def test_a_writer_that_dies_in_the_middle_leaves_the_old_text(tmp_path: Path, monkeypatch) -> None:
    """A write that ends by an error, whatever it had written, leaves the file as it was and nothing beside it."""
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), whole(path) as aside:
        aside.write_text('{"ne')
        assert path.read_bytes() == before
        raise RuntimeError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]

    def no_space(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError):
        write_text(path, "new")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("act", ["replace", "fsync"])
def test_a_writer_that_is_killed_in_the_middle_leaves_the_old_text(tmp_path: Path, act: str) -> None:
    """A process that ends at once before the flush or the rename leaves the old text, and the next write succeeds."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    child = os.fork()
    if child == 0:
        setattr(os, act, lambda *_: os._exit(9))
        write_text(path, "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_text() == "old"
    write_text(path, "newer")
    assert path.read_text() == "newer" and list(tmp_path.iterdir()) == [path]


def test_a_lock_whose_file_was_removed_is_taken_on_the_new_file(tmp_path: Path) -> None:
    """Whoever holds a lock holds the file that others will open: one that was deleted meanwhile is left for the new."""
    lock, waited = tmp_path / ".lock", []

    def replaced() -> None:
        waited.append(1)
        lock.unlink()
        lock.write_text("")
        first.__exit__(None, None, None)

    first = files.alone(lock)
    first.__enter__()
    with files.alone(lock, replaced), pytest.raises(BlockingIOError), files.alone(lock):
        pass
    assert waited == [1]
