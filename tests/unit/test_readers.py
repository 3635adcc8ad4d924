"""One reader per format: whatever a file holds, the answer is what it says or one line about it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import model_validator

from tawt import readers
from tawt.config.base import Section
from tawt.errors import FileError, RoomError
from tawt.files import read_json, write_sealed
from tawt.readers import (
    parquet_batches,
    parquet_metadata,
    parquet_schema,
    read_map,
    read_parquet,
    read_record,
    read_text,
)

CELL = "SECRET-4711"


class Place(Section):
    """A record such as a workspace keeps."""

    root: str | None = None
    sizes: dict[str, int] = {}


def _folder(path: Path) -> None:
    path.mkdir()


def _writes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "is not there"),
    "below a file": (lambda path: None, "is not there"),
    "a folder": (_folder, "is a folder"),
    "a pipe": (os.mkfifo, "is no regular file"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "is not there"),
    "a link to itself": (lambda path: path.symlink_to(path), "cannot be read (Too many levels"),
    "no UTF-8": (_writes(b'{"root": "\xff"}'), "is damaged or of another format"),
    "not JSON": (_writes(f'{{"root": {CELL}'.encode()), "is damaged or of another format"),
    "empty": (_writes(b""), "is damaged or of another format"),
    "nested": (_writes(b"[" * 100_000), "is nested too deep"),
    "a list": (_writes(b"[1]"), "holds a list"),
    "a number of 5,000 digits": (_writes(b'{"a": ' + b"9" * 5000 + b"}"), "is damaged or of another format"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_json_file_is_one_line_that_names_it_and_the_remedy(damage: str, tmp_path: Path) -> None:
    """Whatever is wrong, the error names the file, what is there, what was expected and what mends it."""
    path = tmp_path / "file.json"
    if damage == "below a file":
        (tmp_path / "above").write_text("")
        path = tmp_path / "above" / "file.json"
    damaging, said = DAMAGES[damage]
    damaging(path)
    with pytest.raises(FileError) as caught:
        read_map(path, "tawt mend")
    assert str(caught.value).startswith(f"{path}: {said}") and ", expected a JSON file of keys" in str(caught.value)
    assert "tawt mend" in caught.value.hint and CELL not in str(caught.value)


def test_a_text_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    """A file over the limit is refused by its size."""
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_text(tmp_path / "a", most=10) == "0123456789"
    (tmp_path / "a").write_bytes(b"0123456789a")
    with pytest.raises(FileError, match="holds 11 bytes, expected a text file of at most 10"):
        read_text(tmp_path / "a", most=10)


def test_a_file_without_rights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read asks for the right, and does not call itself damaged."""
    (tmp_path / "a").write_text("x")

    def refused(self: Path, **options: object) -> str:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(FileError, match="may not be read by this user") as caught:
        read_text(tmp_path / "a")
    assert "right" in caught.value.hint


def test_a_record_has_each_key_of_its_type(tmp_path: Path) -> None:
    """A key that is unknown or of another type is named, what stands there is not; an absent file is the given one."""
    path = tmp_path / "record.json"
    assert read_record(path, Place, absent=Place(root="r")) == Place(root="r")
    path.write_text('{"root": "r", "sizes": {"a": 1}}')
    assert read_record(path, Place) == Place(root="r", sizes={"a": 1})
    for text, key in ((f'{{"sizes": {{"{CELL}": "x"}}}}', "sizes"), ('{"other": 1}', "other"), ('{"root": 1}', "root")):
        path.write_text(text)
        with pytest.raises(
            FileError, match=rf"record.json: `{key}` does not fit, expected the keys of Place"
        ) as caught:
            read_record(path, Place, absent=Place())
        assert CELL not in str(caught.value)


class Pair(Section):
    """A record whose two keys must fit together."""

    low: int = 0
    high: int = 0

    @model_validator(mode="after")
    def _in_order(self) -> Pair:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def test_a_record_that_does_not_hold_as_a_whole_is_named(tmp_path: Path) -> None:
    """Where no single key is wrong, the record is."""
    path = tmp_path / "pair.json"
    path.write_text('{"low": 2, "high": 1}')
    with pytest.raises(FileError, match=r"pair\.json: does not fit, expected the keys of Pair"):
        read_record(path, Pair)


def test_a_sealed_record_that_changed_is_not_read(tmp_path: Path) -> None:
    """A digit that turned into another is no record of ours, though every key still fits its type."""
    path = tmp_path / "pair.json"
    write_sealed(path, {"low": 1, "high": 2})
    assert read_record(path, Pair).high == 2
    path.write_text(path.read_text().replace('"high": 2', '"high": 6'))
    with pytest.raises(FileError, match=r"pair\.json: is not as it was written"):
        read_record(path, Pair)


def test_a_parquet_file_is_read_whole_or_named(tmp_path: Path) -> None:
    """Torn, foreign, absent, or a folder of that name: one line of the kind asked for; columns come in their order."""
    path = tmp_path / "x[1]*.parquet"
    pq.write_table(pa.table({"a": [1], "b": ["x"], "c": [None]}), path)
    assert read_parquet(path, ["b", "a"]).to_pylist() == [{"b": "x", "a": 1}]
    assert read_parquet(path).column_names == ["a", "b", "c"]
    assert parquet_metadata(path).num_rows == 1 and parquet_schema(path).names == ["a", "b", "c"]
    assert sum(batch.num_rows for batch in parquet_batches(path)) == 1
    with pytest.raises(FileError, match="has no column `d`"):
        read_parquet(path, ["a", "d"])
    whole = path.read_bytes()
    middle = bytes(len(whole) - 12)
    for content in (whole[: len(whole) // 2], b"", b"a,b\n1,2\n", b"PAR1" + middle + whole[-8:]):
        path.write_bytes(content)
        with pytest.raises(FileError, match="is damaged or of another format") as caught:
            read_parquet(path, hint="tawt run X")
        assert caught.value.hint == "tawt run X"
    path.unlink()
    path.mkdir()
    with pytest.raises(FileError, match=r"parquet: is a folder"):
        read_parquet(path)


def test_what_goes_wrong_with_rows_elsewhere_is_not_told_as_the_files(tmp_path: Path) -> None:
    """An error of whoever takes the pieces of a file comes out as it is; one of the file's bytes names the file."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    with pytest.raises(KeyError, match="elsewhere"):
        for _ in parquet_batches(path, ["x"]):
            raise KeyError("elsewhere")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileError, match="expected a whole Parquet file"):
        next(parquet_batches(path))


@pytest.mark.parametrize(
    "error", [MemoryError(CELL), pa.ArrowException("Unknown error: std::bad_alloc"), OSError(errno.ENOMEM, CELL)]
)
def test_a_file_that_memory_ran_out_for_is_not_called_damaged(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a reader says it, it says nothing of the file: no command makes it again for that."""

    def no_memory(*words: object, **options: object) -> None:
        raise error

    write_sealed(tmp_path / "a.json", {"root": None})
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    monkeypatch.setattr(pq, "ParquetFile", no_memory)
    monkeypatch.setattr(readers.json, "loads", no_memory)
    for read, name in (
        (read_parquet, "a.parquet"),
        (parquet_metadata, "a.parquet"),
        (read_map, "a.json"),
        (read_json, "a.json"),
    ):
        with pytest.raises(RoomError, match="memory ran out") as caught:
            read(tmp_path / name)
        assert caught.value.where == str(tmp_path / name) and "damaged" not in str(caught.value)
        assert CELL not in str(caught.value)


def test_of_two_columns_of_one_name_none_is_read(tmp_path: Path) -> None:
    """Where all are read, and where it is one of those that are wanted; others of one name are in nobody's way."""
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.table([[1], [2], [3]], names=["a", "b", "b"]), path)
    for wanted, said in (
        (None, "has 1 columns of a name that is there already"),
        (["b"], "column `b` is there 2 times"),
    ):
        with pytest.raises(FileError, match=said):
            read_parquet(path, wanted)
    assert read_parquet(path, ["a"]).to_pydict() == {"a": [1]}


def test_bytes_that_are_here_are_read_by_no_other_thread(tmp_path: Path) -> None:
    """One that lets go of them while the program ends takes it down, now and then: so there must be none."""
    pq.write_table(pa.table({name: [1, 2, 3] for name in "abcdefgh"}), tmp_path / "a.parquet")
    code = f"""if True:
        import os, pathlib, pyarrow.parquet
        from tawt.readers import table_of
        content = pathlib.Path({str(tmp_path / "a.parquet")!r}).read_bytes()
        before = len(os.listdir("/proc/self/task"))
        assert table_of(content).num_columns == 8
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
    places = [path for path in Path(readers.__file__).parent.rglob("*.py") if path.name != "readers.py"]
    careless = re.compile(r"(read_table|ParquetFile)\(\s*(pa\.BufferReader|pa\.py_buffer|io\.BytesIO)")
    assert [path.name for path in places if careless.search(path.read_text())] == []
