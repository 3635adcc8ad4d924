"""A table spread over small files: the same records from folders and archives, each fault named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tawt.config.data import Members
from tawt.errors import SourceError
from tawt.pipeline.members import MemberReader, find_members

MEMBERS = Members(table="records", folders=("set-?", "set-?.tar*"))
FILES = {
    "set-a/7.txt": "Time,Parameter,Value\n00:00,HR,80\n00:10,HR,\n",
    "set-a/12.txt": "Time,Parameter,Value\n00:00,HR,90\n\n00:20,too,many,fields\n00:30,HR,91\n",
}


def _folder(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _archive(root: Path, files: dict[str, str], suffix: str = ".tar.xz") -> Path:
    path = root / f"set-a{suffix}"
    with tarfile.open(path, "w:" + suffix.rpartition(".")[2].replace("tar", "")) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name].encode())
            archive.addfile(member, io.BytesIO(files[name].encode()))
    return path


def _read(root: Path) -> tuple[list[dict[str, object]], MemberReader]:
    paths = find_members(root, MEMBERS)
    places = [
        (path if path.is_file() and ".tar" in path.name else path.parent).relative_to(root).as_posix() for path in paths
    ]
    reader = MemberReader(MEMBERS, list(zip(paths, places, strict=True)))
    return reader.batches().read_all().to_pylist(), reader


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_an_archive_gives_what_its_folder_gives(suffix: str, tmp_path: Path) -> None:
    """Records, numbers and set-aside lines are the same; an archive beside its folder is not read twice."""
    _folder(tmp_path / "plain", FILES)
    (tmp_path / "packed").mkdir()
    _archive(tmp_path / "packed", FILES, suffix)
    plain, reader = _read(tmp_path / "plain")
    packed, other = _read(tmp_path / "packed")
    assert plain == packed and [row["_row"] for row in plain] == [1, 2, 3, 4]
    assert plain[0] == {"_member": "12", "Time": "00:00", "Parameter": "HR", "Value": "90", "_row": 1}
    assert plain[3]["Value"] is None
    assert (
        [line[1:] for line in reader.rejected]
        == [line[1:] for line in other.rejected]
        == [(4, "wrong_number_of_fields")]
    )
    _archive(tmp_path / "plain", FILES, suffix)
    assert _read(tmp_path / "plain")[0] == plain


FAULTS = {
    "truncated": (lambda b: b[: len(b) // 2], "is a damaged archive"),
    "no archive": (lambda b: b"nonsense" * 100, "is a damaged archive"),
    "flipped": (
        lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 255]) + b[len(b) // 2 + 1 :],
        "is a damaged archive",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_archive_is_named(fault: str, tmp_path: Path) -> None:
    """Reading stops with a SourceError that names the archive."""
    path = _archive(
        tmp_path, {f"set-a/{i}.txt": FILES["set-a/7.txt"] * 1 + f"{i},{i * 7919},x\n" * 50 for i in range(40)}
    )
    change, said = FAULTS[fault]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError) as caught:
        _read(tmp_path)
    assert "set-a.tar.xz" in caught.value.where and said in caught.value.what and caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"Time,Value\n1,2\n", "another header"),
        (b"Time,Parameter,Value\n1,\xff,2\n", "not UTF-8"),
    ],
)
def test_a_small_file_that_does_not_fit_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    """An empty file, another header and another encoding are errors of that one file."""
    _folder(tmp_path, {**FILES, "set-a/99.txt": ""})
    (tmp_path / "set-a" / "99.txt").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        _read(tmp_path)
    # the third by name, which is an id
    assert caught.value.where == "set-a (file 3)" and "sed -n 3p" in caught.value.hint and "99" not in str(caught.value)
    assert said in caught.value.what or content == b""


def test_a_damaged_archive_stops_the_ingest_by_its_name(tmp_path: Path, tawt) -> None:
    """The engine reads the archive, and still the message is the archive's own."""
    import re

    raw = tmp_path / "raw"
    raw.mkdir()
    path = _archive(
        raw, {f"set-a/{i}.txt": FILES["set-a/7.txt"] + f"00:{i},HR,{i * 7919 % 97}\n" * 9 for i in range(10, 60)}
    )
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:200] + bytes([content[200] ^ 255]) + content[201:]):
        path.write_bytes(damaged)
        ended = tawt("ingest", raw, "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
        assert ended.code == 1 and ended.error.startswith("error: set-a.tar.xz"), ended.err
        assert re.match(r"\Aerror: .+, expected .+\n\nhint: .+\n\Z", ended.error)
        assert not (tmp_path / "w" / "staging" / "records").exists()
