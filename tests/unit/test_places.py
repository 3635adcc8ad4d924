"""A name leads to what lies below its own folder, and nothing is written through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tawt.errors import FileError
from tawt.files import alone, publish, whole, whole_folder, write_sealed, write_text
from tawt.places import leads_below, refuse_links, remove
from tawt.seals import LIST, changed_files


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of somebody's, outside of the folder `own` that a test writes in."""
    (tmp_path / "own").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "keep").write_text("precious")
    return tmp_path / "others" / "keep"


@pytest.mark.parametrize("name", ["a", "a/b", "a/..b", ".a", "a b/ü"])
def test_a_plain_path_leads_below_its_folder(name: str) -> None:
    """Names of one or more parts, hidden ones and odd letters too."""
    assert leads_below(name)


@pytest.mark.parametrize(
    "name", ["", "/a", "..", "../a", "a/../../b", "a/..", "./a", "a//b", "a/", "a\\b", "..\\a", "a\0"]
)
def test_a_path_that_could_lead_elsewhere_is_none(name: str) -> None:
    """Absolute ones, dots, empty parts, backslashes and the end of a C string."""
    assert not leads_below(name)


def test_a_list_of_hashes_that_names_a_file_elsewhere_is_damaged(precious: Path, tmp_path: Path) -> None:
    """Nothing outside of the folder is looked at, whatever the seal says: the list itself is what is wrong."""
    write_sealed(tmp_path / "own" / LIST, {"sha256": {"../others/keep": "0" * 64}})
    assert changed_files(tmp_path / "own") == [LIST]


def test_a_file_is_not_written_through_a_link_in_its_place_aside(precious: Path, tmp_path: Path) -> None:
    """A link, dangling or not, and a folder under the name that a file is written aside with give way to the file."""
    for number, to in enumerate((precious, tmp_path / "others" / "new", None)):
        path = tmp_path / "own" / f"{number}.txt"
        aside = path.with_name(f".{path.name}.tmp")
        if to is None:
            (aside / "in").mkdir(parents=True)
        else:
            aside.symlink_to(to)
        write_text(path, "text")
        assert path.read_text() == "text" and not path.is_symlink() and not os.path.lexists(aside)
    assert [file.name for file in precious.parent.iterdir()] == ["keep"] and precious.read_text() == "precious"


def test_a_link_under_the_final_name_gives_way_to_the_file(precious: Path, tmp_path: Path) -> None:
    """A link that lies where a file is published is replaced, and what it led to stays."""
    (tmp_path / "own" / "a").symlink_to(precious)
    with whole(tmp_path / "own" / "a") as aside:
        aside.write_text("text")
    assert (tmp_path / "own" / "a").read_text() == "text" and precious.read_text() == "precious"


def test_a_folder_is_not_filled_or_emptied_through_a_link(precious: Path, tmp_path: Path) -> None:
    """Links where a folder is written aside, where the old one goes and where the new one comes lead nowhere."""
    for name in (".a.tmp", ".a.tmp.old", "a"):
        (tmp_path / "own" / name).symlink_to(precious.parent)
    with whole_folder(tmp_path / "own" / "a") as aside:
        (aside / "b").write_text("text")
    (tmp_path / "own" / "c").symlink_to(tmp_path / "nowhere")
    (tmp_path / "own" / "d").mkdir()
    publish(tmp_path / "own" / "d", tmp_path / "own" / "c")
    assert {path.name for path in (tmp_path / "own").rglob("*")} == {"a", "b", "c"}
    assert not any(path.is_symlink() for path in (tmp_path / "own").iterdir())
    assert [file.name for file in precious.parent.iterdir()] == ["keep"]


def test_a_lock_that_is_a_link_is_refused(precious: Path, tmp_path: Path) -> None:
    """A lock file is never a link, to a file or to nothing; nothing is emptied and nothing made where it leads."""
    for to in (precious, tmp_path / "others" / "new"):
        lock = tmp_path / "own" / ".lock"
        lock.symlink_to(to)
        with pytest.raises(FileError, match="is a link, expected a file of its own"), alone(lock):
            pytest.fail("held")
        lock.unlink()
    assert [file.read_text() for file in precious.parent.iterdir()] == ["precious"]


def test_a_lock_file_keeps_what_it_holds(tmp_path: Path) -> None:
    """Whatever lies under the name of a lock is locked as it is, not emptied."""
    (tmp_path / ".lock").write_text("of somebody's")
    with alone(tmp_path / ".lock"):
        assert (tmp_path / ".lock").read_text() == "of somebody's"


@pytest.mark.parametrize("at", ["a", "a/b", "a/b/c"])
def test_a_folder_behind_a_link_is_not_written_in(at: str, precious: Path, tmp_path: Path) -> None:
    """The root may be a link, a folder below it may not; links further in count where all of the folder is written."""
    root = tmp_path / "root"
    root.symlink_to(tmp_path / "own")
    (root / at).parent.mkdir(parents=True, exist_ok=True)
    refuse_links(root, root / "a" / "b", inner=True)
    (root / at).symlink_to(precious.parent)
    with pytest.raises(FileError, match="is a link, expected a folder of its own") as caught:
        refuse_links(root, root / "a" / "b", inner=True)
    assert caught.value.where == str(root / at) and caught.value.hint
    if at == "a/b/c":
        refuse_links(root, root / "a" / "b")
    refuse_links(tmp_path / "elsewhere", root / "x")


def test_removing_a_link_leaves_what_it_leads_to(precious: Path, tmp_path: Path) -> None:
    """Of a link only the link goes."""
    (tmp_path / "own" / "a").symlink_to(precious.parent)
    remove(tmp_path / "own" / "a")
    remove(tmp_path / "own")
    remove(tmp_path / "own")
    assert precious.read_text() == "precious" and not (tmp_path / "own").exists()
