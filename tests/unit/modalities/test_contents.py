"""Contents beside the record: arrays of any sizes, each once, mapped, and held to their hashes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tawt.errors import DatasetError
from tawt.modalities.contents import NO_TIME, Contents, content_hash, open_contents, write_events, writing_arrays

COLUMNS = ("subject_id", "time", "available_time", "code", "sha256")
Event = tuple[int, int, int, str, int]


def arrays() -> list[NDArray[Any]]:
    """Of every type, of unequal sizes, one pixel among them."""
    rng = np.random.default_rng(7)
    shapes = [(1, 1, 1), (3, 5, 1), (28, 28, 3), (2, 7, 4), (1001, 1), (40, 12)]
    return [
        *(rng.integers(0, 256, shape, np.uint8) for shape in shapes[:3]),
        rng.integers(0, 65536, shapes[3], np.uint16),
        *(rng.normal(size=shape).astype(np.float32) for shape in shapes[4:]),
    ]


def written(workspace: Path, events: list[Event], made: list[NDArray[Any]]) -> Path:
    """A workspace whose events name an array by its place; its arrays are in two files, and some in both."""
    hashes = [content_hash(array) for array in made]
    for part, chosen in enumerate((range(min(4, len(made))), range(min(2, len(made)), len(made)))):
        with writing_arrays(workspace / "contents" / f"{part}.arrow") as add:
            for i in chosen:
                add(hashes[i], made[i])
    rows = [(*event[:4], hashes[event[4]]) for event in events]
    write_events(
        workspace / "content_events" / "content_events.parquet",
        pa.table([list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 5, COLUMNS),
    )
    return workspace


def opened(workspace: Path) -> Contents:
    contents = open_contents(workspace)
    assert contents is not None
    return contents


def some_events(seed: int) -> list[Event]:
    rng = random.Random(seed)
    times = [NO_TIME, 0, 10, 20, 20, 30]
    return [
        (rng.choice([-3, 5, 8, 10**12]), (time := rng.choice(times)), max(time, rng.choice([NO_TIME, 15, 25, 40])),
         rng.choice(["IMAGE//ct", "IMAGE//cxr"]), rng.randrange(6))
        for _ in range(60)
    ]  # fmt: skip


def test_arrays_of_unequal_sizes_come_back_as_they_were_and_each_is_there_once(tmp_path: Path) -> None:
    """Every array has its type, its shape and its samples, is a view that nobody can write to, and is known by its hash."""
    made = arrays()
    contents = opened(written(tmp_path, [(1, i, i, "IMAGE//cxr", i % 6) for i in range(12)], made))
    assert contents.sha256 == tuple(sorted(content_hash(array) for array in made)) and len(contents.content) == 12
    for i in range(12):
        array = contents.array(int(contents.content[i]))
        same = made[i % 6]
        assert array.dtype == same.dtype and array.shape == same.shape and np.array_equal(array, same)
        assert not array.flags.writeable and not array.flags.owndata and array.flags.aligned


def test_arrays_are_mapped_and_not_loaded(tmp_path: Path) -> None:
    """Opening a store and reading an array of it takes no memory of the array's size."""
    big = np.random.default_rng(1).integers(0, 256, (3000, 1000, 1), np.uint8)
    contents = opened(written(tmp_path, [(1, 0, 0, "IMAGE//cxr", 0)], [big]))
    before = pa.total_allocated_bytes()
    assert np.array_equal(opened(tmp_path).array(0), big) and contents.array(0).shape == big.shape
    assert pa.total_allocated_bytes() - before < 100_000


def test_the_hash_is_of_type_shape_and_samples() -> None:
    """Arrays of the same bytes and another shape or type are other contents; the layout in memory tells nothing."""
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    others = [array.reshape(6, 4), array.view(np.uint16), array.reshape(24), array + 1]
    assert len({content_hash(one) for one in [array, *others]}) == 5
    assert content_hash(np.asfortranarray(array)) == content_hash(array)
    assert content_hash(array.view(np.uint16).astype(">u2")) == content_hash(array.view(np.uint16))


def test_events_are_sorted_and_a_subject_s_come_by_the_time_they_were_known(tmp_path: Path) -> None:
    """What `of` returns is what a look at every row finds, for subjects that are there, that are not, and asked twice."""
    events = some_events(1)
    contents = opened(written(tmp_path, events, arrays()))
    hashes = [content_hash(array) for array in arrays()]
    table = sorted((s, t, c, hashes[a]) for s, t, _, c, a in events)
    columns = (contents.subject_id, contents.time, contents.code, contents.content)
    assert table == [
        (s, t, contents.codes[c], contents.sha256[a])
        for s, t, c, a in zip(*map(np.ndarray.tolist, columns), strict=True)
    ]
    asked, until = np.array([8, 4, -3, 8, 10**12, 5]), np.array([20, 99, NO_TIME, 10**15, 25, 10])
    row, asking = contents.of(asked, until)
    found = {
        (i, j)
        for i, (subject, then) in enumerate(zip(asked, until, strict=True))
        for j in range(len(events))
        if contents.subject_id[j] == subject and contents.time[j] <= then and contents.available[j] <= then
    }
    assert sorted(zip(asking.tolist(), row.tolist(), strict=True)) == sorted(found) and 1 not in asking
    assert np.all(np.diff(asking) >= 0) and 0 < len(row) < len(events)
    late = contents.available[row] > contents.time[row]
    assert late.any() and not late.all()


def test_a_workspace_without_contents_has_none(tmp_path: Path) -> None:
    """No folder is no contents; a folder without events is contents of nobody."""
    assert open_contents(tmp_path) is None
    contents = opened(written(tmp_path, [], arrays()))
    assert (
        len(contents.subject_id) == 0
        and contents.sha256 == ()
        and len(contents.of(np.array([1]), np.array([1]))[0]) == 0
    )


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """Whatever bit of the arrays changes, it is told or changes no array; one of the samples, or of the events, is told."""
    made = arrays()[:4]
    events = [(1, i, i, "IMAGE//cxr", i) for i in range(4)]
    written(tmp_path, events, [*made, *arrays()[4:]])
    rng = random.Random(3)
    n_told = {}
    for name in ("contents/0.arrow", "content_events/content_events.parquet"):
        path = tmp_path / name
        whole = path.read_bytes()
        samples = (
            range(whole.index(made[2].tobytes()), whole.index(made[2].tobytes()) + made[2].nbytes)
            if name[8] == "/"
            else range(len(whole))
        )
        for at in (*rng.choices(range(len(whole)), k=60), *rng.choices(samples, k=20)):
            changed = bytearray(whole)
            changed[at] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            try:
                contents = opened(tmp_path)
                assert all(np.array_equal(contents.array(int(contents.content[i])), made[i]) for i in range(4))
                assert at not in samples
            except DatasetError as error:
                n_told[name] = n_told.get(name, 0) + 1
                assert "tawt run" in error.hint
        path.write_bytes(whole)
    assert min(n_told.values()) >= 20


@pytest.mark.parametrize("lost", ["contents/1.arrow", "content_events/content_events.parquet"])
def test_a_lost_file_is_told(tmp_path: Path, lost: str) -> None:
    """Contents that events have and no file holds are counted, and the way to make them is said."""
    (written(tmp_path, some_events(2), arrays()) / lost).unlink()
    with pytest.raises(DatasetError, match=r"lacks 2 contents|is not there") as told:
        open_contents(tmp_path)
    assert "content_events" in told.value.hint
