"""A sealed file, and a folder that lists its files, tell of every flipped bit."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.errors import CheckpointError
from tawt.files import write_hashes, write_parquet, write_sealed
from tawt.readers import read_map
from tawt.seals import BLANK, LIST, changed_files, filled, hold, holds, line_without_seal, lines_hold, sealed_line


def _flips(path: Path):
    """Flip each bit of a file in turn, and put it back."""
    content = path.read_bytes()
    for i in range(len(content) * 8):
        path.write_bytes(content[: i // 8] + bytes([content[i // 8] ^ 1 << i % 8]) + content[i // 8 + 1 :])
        yield i
    path.write_bytes(content)


@pytest.mark.parametrize("form", ["json", "yaml", "parquet"])
def test_a_seal_breaks_at_any_flipped_bit(form: str, tmp_path: Path) -> None:
    """JSON, YAML and Parquet files hold the hash of their own rest: no bit of them can turn without a word."""
    path = tmp_path / "file"
    if form == "json":
        write_sealed(path, {"rate": 1e-5, "names": ["a"]})
    elif form == "yaml":
        path.write_text(filled(f"rate: 1e-5\n# {BLANK}\n"))
    else:
        write_parquet(path, pa.table({"a": [1, 2]}), write_statistics=False, use_dictionary=False)
    assert holds(path)
    assert [i for i in _flips(path) if holds(path)] == []
    assert holds(path)


def test_what_has_no_seal_does_not_hold(tmp_path: Path) -> None:
    """An empty file, one without a seal, and one with two are not what was written."""
    for text in ("", "x", filled(BLANK) * 2):
        (tmp_path / "a").write_text(text)
        assert not holds(tmp_path / "a")


def test_a_sealed_file_is_read_as_any_other(tmp_path: Path) -> None:
    """The seal is one key more of a JSON file, and changes nothing of a Parquet table; the same data, the same bytes."""
    write_sealed(tmp_path / "a.json", {"x": 1})
    assert read_map(tmp_path / "a.json")["x"] == 1
    write_sealed(tmp_path / "b.json", read_map(tmp_path / "a.json"))
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    table = pa.table({"a": [1, 2]}, schema=pa.schema([pa.field("a", pa.int64(), False)]))
    write_parquet(tmp_path / "a.parquet", table)
    assert pq.read_table(tmp_path / "a.parquet").equals(table)
    assert pq.read_schema(tmp_path / "a.parquet").equals(table.schema)
    write_parquet(tmp_path / "b.parquet", pq.read_table(tmp_path / "a.parquet"))
    assert holds(tmp_path / "b.parquet")


def test_a_folder_that_lists_its_files_names_those_that_changed(tmp_path: Path) -> None:
    """A changed file, an absent one and the list itself are named; locks and files being written are no part of it."""
    assert changed_files(tmp_path) is None
    for name in ("a", "in/b", "in/c", ".lock", "in/.d.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_hashes(tmp_path)
    assert changed_files(tmp_path) == []
    for name in (".lock", "in/.d.tmp"):
        (tmp_path / name).write_text("x")
        assert changed_files(tmp_path) == []
    (tmp_path / "in" / "b").write_text("B")
    (tmp_path / "in" / "c").unlink()
    assert changed_files(tmp_path) == ["in/b", "in/c"]
    content = (tmp_path / LIST).read_bytes()
    for damaged in (content[:-9], b"", content.replace(b'"a"', b'"z"')):
        (tmp_path / LIST).write_bytes(damaged)
        assert changed_files(tmp_path) == [LIST]


def test_a_folder_is_held_to_its_list_before_it_is_used(tmp_path: Path) -> None:
    """What is named must be listed and as it was: no list, a file that went, one that changed and one that came since are
    told apart, as an error of the caller's kind with the caller's hint."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    def said(*names: str) -> str:
        with pytest.raises(CheckpointError) as error:
            hold(tmp_path, names, "take a copy", CheckpointError)
        assert error.value.hint == "take a copy"
        return str(error.value)

    assert said("a") == f"{tmp_path / LIST}: is not there, expected the hashes of the files beside it"
    write_hashes(tmp_path)
    hold(tmp_path, ("a", "b"), "", CheckpointError)
    (tmp_path / "a").write_text("b"), (tmp_path / "b").unlink(), (tmp_path / "c").write_text("c")
    listed = "expected the file that was listed by its hash"
    assert said("a", "b") == f"{tmp_path / 'a'}: is not as it was written, {listed}"
    assert said("b") == f"{tmp_path / 'b'}: is not there, {listed}"
    assert said("c") == f"{tmp_path / 'c'}: is not as it was written, {listed}"


def test_a_line_holds_the_checksum_of_its_rest(tmp_path: Path) -> None:
    """Every bit of every line is held, its end too; a last line that was cut short is none."""
    lines = [sealed_line(json.dumps({"step": n, "loss": n / 3})) for n in range(2)]
    content = "".join(f"{line}\n" for line in lines).encode()
    assert json.loads(line_without_seal(lines[1].encode())) == {"step": 1, "loss": 1 / 3}
    assert json.loads(lines[1]).keys() == {"step", "loss", "crc32"}
    path = tmp_path / "metrics.jsonl"
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        assert lines_hold(path), end
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert not lines_hold(path), bit
