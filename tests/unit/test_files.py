"""Files appear whole or not at all, and what is published is on the disk before it has its name."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tawt import files
from tawt.files import alone, digest, publish, read_json, remove, whole, write_json, write_text
from tawt.seals import sha256_file


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


def test_a_file_that_two_write_at_once_is_of_one_of_them(tmp_path: Path) -> None:
    """The second waits for the first, whose half it would else give its name; what a killed one left is written over."""
    path, begun = tmp_path / "a.txt", threading.Event()
    (tmp_path / ".a.txt.tmp").write_text("left by a killed process")

    def second() -> None:
        with whole(path) as aside:
            begun.set()
            aside.write_text("2")

    with whole(path) as aside:
        assert aside.read_text() == ""
        with aside.open("w") as file:
            file.write("1" * 5)
            file.flush()
            (other := threading.Thread(target=second)).start()
            assert not begun.wait(0.05) and aside.read_text() == "1" * 5
            file.write("1" * 5)
    assert path.read_text() in ("1" * 10, "2")
    other.join()
    assert path.read_text() == "2" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_private_file_is_its_owners_alone_from_its_first_byte(tmp_path: Path, exposed) -> None:
    """So is each folder that is made for it; what the user has opened to others stays open to them."""
    (tmp_path / "mine").mkdir(mode=0o755)
    with whole(tmp_path / "mine" / "a" / "b" / "c.txt", private=True) as aside:
        assert exposed(tmp_path / "mine" / "a") == []
        aside.write_text("1")
    assert exposed(tmp_path / "mine") == ["mine"]
    (tmp_path / "mine" / "a" / "b" / "c.txt").chmod(0o640)
    with whole(tmp_path / "mine" / "a" / "b" / "c.txt", private=True) as aside:
        aside.write_text("2")
    assert exposed(tmp_path / "mine" / "a") == ["c.txt"]


@pytest.mark.parametrize("kind", ["link", "another name", "folder", "pipe"])
def test_nothing_is_written_through_the_place_aside(tmp_path: Path, kind: str) -> None:
    """Whatever lies there goes, and what it leads to stays as it was; a folder under the file's own name is told by it."""
    aside, other = tmp_path / ".a.txt.tmp", tmp_path / "other"
    other.write_text("mine")
    {"link": lambda: aside.symlink_to(other), "another name": lambda: os.link(other, aside),
     "folder": aside.mkdir, "pipe": lambda: os.mkfifo(aside)}[kind]()  # fmt: skip
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x" and other.read_text() == "mine"
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "b.txt", "x")
    assert caught.value.filename == str(tmp_path / "b.txt")


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


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_every_byte_of_a_file_is_hashed(n_bytes: int, tmp_path: Path) -> None:
    """The hash is that of the whole content, below, at and above the size of a block."""
    content = random.Random(n_bytes).randbytes(n_bytes)
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_short_hash_is_golden() -> None:
    """Fingerprints on disk are made of it: the same data gives the same sixteen digits, in whatever order its keys came."""
    assert (
        digest({"b": [1, 2.5, None], "a": {"x": True}})
        == digest({"a": {"x": True}, "b": [1, 2.5, None]})
        == "f50b2c713b05db42"
    )
    assert digest({"b": [2.5, 1]}) != digest({"b": [1, 2.5]})
    assert digest(Path("x")) == digest("x")  # what JSON does not have is as it prints


def test_a_published_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """All of the new files and none of the old are there, also where a killed run left an `.old` in the way."""
    final, aside = tmp_path / "out" / "deep" / "x", tmp_path / "aside" / "x"
    for name in ("first", "second", "third"):
        aside.mkdir(parents=True)
        (aside / name).write_text(name)
        if name == "third":
            (tmp_path / "aside" / "x.old").mkdir()
            (tmp_path / "aside" / "x.old" / "left").write_text("by a killed run")
        publish(aside, final)
        assert [path.name for path in final.iterdir()] == [name] and (final / name).read_text() == name
        assert list((tmp_path / "aside").iterdir()) == []


def test_whatever_lies_there_is_removed(tmp_path: Path) -> None:
    """A file, a folder with all in it, a link without what it leads to, and nothing at all."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    for make in (Path.touch, Path.mkdir, lambda path: (path / "in").mkdir(parents=True), lambda path: path.symlink_to("kept"),
                 lambda path: None):  # fmt: skip
        make(tmp_path / "x")
        remove(tmp_path / "x")
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").is_file()


HOLD = """
import pathlib, select, sys
from tawt.files import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    select.select([sys.stdin], [], [], 60)  # not for ever, should nobody answer
"""


def test_a_lock_is_held_by_one_process(tmp_path: Path) -> None:
    """Another one is refused at once, or waits after it was told so; the lock goes with its process."""
    lock = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), alone(lock):
            pytest.fail("two hold one lock")
        told: list[int | None] = []

        def waiting() -> None:
            told.append(process.poll())
            process.communicate("\n")

        with alone(lock, waiting):
            assert told == [None] and process.poll() == 0
        assert lock.is_file()
    with alone(lock, pytest.fail):
        assert told == [None]


def test_a_file_that_can_be_made_again_is_read_or_nothing(tmp_path: Path) -> None:
    """An absent, torn or foreign JSON file is None; a whole one is what it says, as it was written."""
    data = {"names": ["Å", None, 1.5], "n": 3}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data and "Å" in (tmp_path / "a.json").read_text(encoding="utf-8")
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text()[:-3])
    (tmp_path / "c.json").write_text("[1]")
    assert [read_json(tmp_path / f"{name}.json") for name in "bcd"] == [None] * 3


def test_the_place_aside_of_who_writes_the_same_is_never_removed(tmp_path, monkeypatch):
    """It may be made just after one has looked whether what lies there is a file of its own."""
    looks = files.is_own

    def looks_too_early(aside):
        found = looks(aside)
        made.append(aside.open("w"))  # another one begins
        return found

    made = []
    monkeypatch.setattr(files, "is_own", looks_too_early)
    with files.whole(tmp_path / "a"), made[0] as begun:
        assert os.fstat(begun.fileno()).st_nlink == 1
