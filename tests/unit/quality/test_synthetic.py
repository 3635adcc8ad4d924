"""A published set is all of its folder, and what it says of itself is held to its types before anybody uses it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tawt.errors import DatasetError
from tawt.files import write_sealed
from tawt.quality.synthetic import check_synthetic, hold_synthetic, provenance_of
from tawt.seals import sha256_file

FILES = ("data/train/0000000.parquet", "metadata/codes.parquet", "dataset/dataset.json", "dataset/train/00000.arrow")
ABOUT = {
    "synthetic": True, "tawt": "0.1.0", "control": "markov", "run": None, "prior": None, "model": None,
    "conditions": {}, "vocabulary": "a" * 64, "n_train": 150, "seed": 3, "numbers": [0, 39], "most": 4096,
    "rules": {"range": {"repair": "clip"}}, "n_subjects": 40, "n_events": 900, "n_raw_events": 900, "n_cut": 0,
    "n_rejected": None, "n_dropped": 0, "n_clipped": 3, "dataset": "b" * 16,
    "raw": {"births": {"events": 0, "of_events": 0, "records": 0, "of_records": 40, "repair": "drop_event", "rate": 0.0},
            "few": {"repair": "clip", "few": True}},
    "verdicts": [{"gate": "near copies", "text": "", "outcome": "cannot tell"}], "published": True,
    "published_anyway": [], "refused_before": 0, "outcome": "cannot tell", "held_to": ["c" * 16],
}  # fmt: skip
PATHS = {
    name: {name: "0" * 64} for name in ("data/../../x", "/etc/passwd", "data//x", "data/\0x", "data/.", "events/x")
}
WRONG: dict[str, dict[str, Any]] = {
    "verdicts": {"verdicts": 5}, "a verdict is text": {"verdicts": ["x"]}, "a verdict is empty": {"verdicts": [{}]},
    "a verdict without its gate": {"verdicts": [{"outcome": "failed"}]},
    "a gate is a list": {"verdicts": [{"gate": [1], "outcome": "failed"}]},
    "a verdict of a fourth kind": {"verdicts": [{"gate": "x", "outcome": "maybe"}]},
    "a verdict with more": {"verdicts": [{"gate": "x", "outcome": "passed", "more": 1}]},
    "an outcome that is none": {"verdicts": [{"gate": "x", "outcome": "no"}]},
    "held_to": {"held_to": 5}, "held_to lists": {"held_to": [[1]]}, "held_to text": {"held_to": "abc"},
    "few": {"n_train": 3}, "nobody": {"n_train": 0}, "negative": {"n_train": -5}, "truth": {"n_train": True},
    "more than there are": {"n_train": 10**30}, "number as text": {"n_train": "150"}, "half": {"n_train": 150.5},
    "negative count": {"n_events": -1}, "count as text": {"n_events": "900"}, "refused": {"refused_before": -1},
    "rate": {"raw": {"x": ABOUT["raw"]["births"] | {"rate": math.inf}}}, "raw": {"raw": {"x": {"rate": "<b>"}}},
    "not synthetic": {"synthetic": False}, "published as text": {"published": "no"}, "no outcome": {"outcome": "fine"},
    "vocabulary": {"vocabulary": [1]}, "run": {"run": ["x"]}, "numbers": {"numbers": "x"}, "seed": {"seed": math.nan},
    "descending": {"numbers": [9, 2]}, "unknown key": {"<b>x</b>": 1},
    "conditions": {"conditions": {"GENDER": 1}}, "no files": {"files": {}}, "files": {"files": 5},
    "a hash is a number": {"files": {"data/x": 5}}, "nothing of data": {"files": {"metadata/x": "0" * 64}},
    **{f"the path {name!r}": {"files": {"data/x": "0" * 64} | one} for name, one in PATHS.items()},
}  # fmt: skip


def a_set(root: Path, **changed: Any) -> Path:
    """A set of a few bytes, and what it says of itself."""
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    files = {name: sha256_file(root / name) for name in FILES}
    write_sealed(root / "provenance.json", ABOUT | {"files": files} | changed)
    return root


def test_a_set_holds_as_it_was_published_and_as_it_is_handed_on(tmp_path: Path) -> None:
    """With its shards and without them; a set of another generator says nothing of itself."""
    root = a_set(tmp_path / "set")
    about = hold_synthetic(root)
    assert about is not None and about.n_train == 150 and [one.ok for one in check_synthetic(root)] == [True]
    shutil.rmtree(root / "dataset")
    assert hold_synthetic(root) == about and [one.ok for one in check_synthetic(root)] == [True]
    (root / "provenance.json").unlink()
    assert hold_synthetic(root) is None and check_synthetic(root) == []


def _linked(path: Path, elsewhere: Path) -> None:
    """Put a link in the place of a file or folder, to a copy of it."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        *((name, lambda path: path.write_text("more")) for name in (
            "data/train/0000009.parquet", "data/train/.9.parquet", "data/extra/0.parquet", "data/x", "metadata/x.parquet",
            "dataset/train/00009.arrow",
        )),
        ("data/train/9.parquet", lambda path: path.symlink_to(path.with_name("0000000.parquet"))),
        ("data/y", lambda path: path.symlink_to("/")),
        ("data/y", os.mkfifo),
        *((name, lambda path: _linked(path, path.parents[1] / "moved")) for name in ("data", "dataset", "data/train")),
        (FILES[0], lambda path: _linked(path, path.parents[3] / "moved")),
        (FILES[0], lambda path: (path.unlink(), path.symlink_to("/dev/zero"))),
        (FILES[0], lambda path: (path.unlink(), os.mkfifo(path))),
        *((name, Path.unlink) for name in FILES),
        *((name, lambda path: path.write_text("other")) for name in FILES),
        ("metadata", shutil.rmtree),
    ],
)  # fmt: skip
def test_what_is_no_file_of_the_set_and_what_is_missing_is_refused(
    name: str, plant: Callable[[Path], object], tmp_path: Path
) -> None:
    """A file that is not listed, hidden or of another folder, and a link, a pipe, a changed file: each is named."""
    path = a_set(tmp_path / "set") / name
    path.parent.mkdir(exist_ok=True)
    plant(path)
    with pytest.raises(DatasetError, match="as it was published") as error:
        hold_synthetic(tmp_path / "set")
    (found,) = check_synthetic(tmp_path / "set")
    assert not found.ok and name in found.detail and name in str(error.value)


def test_a_set_of_which_few_real_people_were_left_out_tells_not_of_how_many(tmp_path: Path) -> None:
    """Neither how many were asked for nor how many there are is in it, and it is read as any other."""
    about = provenance_of(a_set(tmp_path / "set", numbers=None, n_subjects=None))
    assert about is not None and about.numbers is None and about.n_subjects is None


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_what_a_set_says_of_itself_is_held_to_its_types(changed: dict[str, Any], tmp_path: Path) -> None:
    """A seal is a plain hash, that anybody can make: what is under it is one error too, and a failed check."""
    root = a_set(tmp_path / "set", **changed)
    with pytest.raises(DatasetError, match=r"provenance\.json") as error:
        provenance_of(root)
    assert error.value.hint
    (found,) = check_synthetic(root)
    assert not found.ok and "provenance.json" in found.detail


@pytest.mark.parametrize("make", [
    Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere"),
    lambda path: path.write_bytes(b""), lambda path: path.write_text("null"), lambda path: path.write_text("[" * 10**5),
    lambda path: path.symlink_to(a_set(path.parents[1] / "other") / path.name),
])  # fmt: skip
def test_what_is_no_provenance_is_not_taken_as_none(make: Callable[[Path], object], tmp_path: Path) -> None:
    """A folder, a pipe, a device, a link or an empty file of its name is refused: nobody is led past it."""
    path = a_set(tmp_path / "set") / "provenance.json"
    path.unlink()
    make(path)
    with pytest.raises(DatasetError, match=r"provenance\.json"):
        hold_synthetic(tmp_path / "set")
    (found,) = check_synthetic(tmp_path / "set")
    assert not found.ok
