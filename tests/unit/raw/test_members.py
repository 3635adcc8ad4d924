"""A table spread over small files: the same records from folders and archives, each fault named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tawt import check
from tawt.config.pipeline import Csv, Members
from tawt.errors import ConfigError, SourceError
from tawt.raw.archives import Alike, count_members
from tawt.raw.formats import format_of
from tawt.raw.identity import RawFile, identify
from tawt.raw.members import MemberReader, find_members
from tawt.raw.seen import RawSeen
from tawt.raw.tar_walk import TarWalk

MEMBERS = Members(table="records", folders=("set-?", "set-?.t*"))
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
    with tarfile.open(path, "w:" + suffix.rpartition(".")[2].replace("tar", "").replace("tgz", "gz")) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name].encode())
            archive.addfile(member, io.BytesIO(files[name].encode()))
    return path


def _read(root: Path) -> tuple[list[dict[str, object]], MemberReader]:
    paths = find_members(root, MEMBERS)
    places = [(path if format_of(path).is_archive else path.parent).relative_to(root).as_posix() for path in paths]
    reader = MemberReader(MEMBERS, list(zip(paths, places, strict=True)))
    return reader.batches().read_all().to_pylist(), reader


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tgz", ".tar.bz2"])
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


def test_a_small_file_may_have_any_name(tmp_path: Path, tawt) -> None:
    """A file is no archive for the letters in its name, which is told nowhere: neither where all is well nor in an error."""
    stay = "Time,Parameter,Value\n00:00,RecordID,13\n00:00,Age,54\n00:07,HR,73\n"
    _folder(tmp_path / "raw", {"set-a/13.tarn.txt": stay, "set-a/14.TAR.TXT": stay})
    rows, _ = _read(tmp_path / "raw")
    assert {row["_member"] for row in rows} == {"13.tarn", "14.TAR"} and len(rows) == 6
    (tmp_path / "raw/set-a/13.tarn.txt").write_bytes(stay.encode() + b"\xff")
    ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 1 and "set-a (file 1)" in ended.error and "13.tarn" not in ended.err


def test_a_prefix_is_no_part_of_an_id(tmp_path: Path) -> None:
    """Names begin with it in any case, in folders and archives alike; a file without it is none of the table's."""
    files = {f"deep/set/{name}.psv": "HR|Hour\n90|1\n" for name in ("p000012", "P13", "notes")}
    members = Members(table="records", folders=("**/p*.psv", "**/*.tar*"), prefix="p", suffix=".psv", delimiter="|")

    def ids(root: Path) -> list[str]:
        reader = MemberReader(members, [(path, "x") for path in find_members(root, members)])
        return sorted(row["_member"] for row in reader.batches().read_all().to_pylist())

    _folder(tmp_path / "plain", files)
    (tmp_path / "packed").mkdir()
    _archive(tmp_path / "packed", files, ".tar.gz").rename(tmp_path / "packed/set.tar.gz")
    assert ids(tmp_path / "packed") == ["000012", "13"]
    # a pattern of files is matched as it is written
    assert ids(tmp_path / "plain") == ["000012"]
    (tmp_path / "packed/set.tar.gz").rename(tmp_path / "plain/set.tar.gz")
    assert ids(tmp_path / "plain") == ["000012"]  # the archive lies beside the folder that it was unpacked to


def test_an_archive_of_a_kind_that_is_not_read_is_named(tmp_path: Path) -> None:
    """One that a pattern names is refused as one beside the patterns is, but where its folder is there; sums are no archives."""
    for name in ("set-a.tar.zst", "set-a.zip"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(SourceError, match=f"{name}: is of a kind that is not read"):
            find_members(tmp_path, MEMBERS)
        _folder(tmp_path, FILES)
        assert len(find_members(tmp_path, MEMBERS)) == 2
        (tmp_path / "set-a").rename(tmp_path / f"moved-{name}")
        (tmp_path / name).unlink()
    (tmp_path / "set-a.tar.gz.md5").write_bytes(b"x")
    assert find_members(tmp_path, MEMBERS) == []


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


def _packed(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))


def _entry(name: str, data: bytes = FILES["set-a/7.txt"].encode(), **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, data


REFUSED = {
    "a hard link": (lambda: [_entry("a/4407.txt"), _entry("a/4408.txt", b"", type=tarfile.LNKTYPE, linkname="a/4407.txt")], "(file 2): is a link"),
    "a soft link": (lambda: [_entry("a/4407.txt", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "(file 1): is a link"),
    "a device": (lambda: [_entry("a/4407.txt", b"", type=tarfile.CHRTYPE)], "(file 1): is a link"),
    "a name twice": (lambda: [_entry("a/4407.txt"), _entry("a/4407.txt")], "(file 2): has the name of an earlier file"),
    "a name in two folders": (lambda: [_entry("a/4407.txt"), _entry("b/4407.txt")], "(file 2): has the name of an earlier file"),
    "names that are one number": (lambda: [_entry("a/4407.txt"), _entry("a/x", b""), _entry("a/ +04407 .txt")], "(file 3): has the name of an earlier file"),
    "a large file": (lambda: [_entry("a/4407.txt", b"Time,Parameter,Value\n" + b"1,2,3\n" * 3_000_000)], "(file 1): is larger than 16 MB"),
    "zeros without end": (lambda: [_entry(f"a/{i}.bin", b"\0" * (30 << 20)) for i in range(10)], "unpacks to more than 200 times"),
    "a file that is named as a folder": (
        lambda: [_entry("a/1.txt"), _entry("a/4407.txt/", type=tarfile.AREGTYPE)], "names a file as a folder is named",
    ),
    "a long description": (lambda: [_entry("a/4407.txt", pax_headers={"comment": "x" * (2 << 20)})], "describes a file with more than 1 MB"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_an_archive_of_anything_but_small_plain_files_is_refused(kind: str, tmp_path: Path, tawt) -> None:
    """Links, copies and what asks for memory end in one line with the number of the file, not its name, in seconds."""
    entries, said = REFUSED[kind]
    (tmp_path / "raw").mkdir()
    _packed(tmp_path / "raw" / "set-a.tar.gz", *entries(), mode="w:gz")
    ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 1 and said in ended.error and ", expected " in ended.error, ended.err
    assert "4407" not in ended.err
    assert not any("4407" in p.read_text() for p in (tmp_path / "w").rglob("*.json") if p.name != "local.json")


def test_an_archive_of_more_headers_than_its_size_allows_is_refused(tmp_path: Path, monkeypatch) -> None:
    """A few kilobytes can stand for folders without end, each of which takes time; files with one record pass."""
    monkeypatch.setattr("tawt.raw.archives._HEADERS_AT_LEAST", 100)
    files = [_entry(f"a/{i}.txt", f"Time,Parameter,Value\n00:00,RecordID,{i}\n".encode()) for i in range(1000)]
    _packed(tmp_path / "set-a.tar.xz", *files, mode="w:xz")
    assert len(_read(tmp_path)[0]) == 1000
    for layout in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "set-a.tar.xz", "w:xz", format=layout) as archive:
            for _ in range(1000):
                archive.addfile(_entry("é/", b"", type=tarfile.DIRTYPE)[0])
        with pytest.raises(SourceError, match=r"set-a\.tar\.xz: holds more than [0-9,]+ files and folders, too many"):
            _read(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_the_hint_finds_the_file_of_a_number(packed: bool, tmp_path: Path) -> None:
    """Run below the raw root it prints the name, whatever stands in it and in that of its folder, and no other."""
    folder = "set-a's $(x) b"
    names = [f"{folder}/{name}" for name in (".1.txt", "2.TXT", "3\n4.txt", "4.csv", "5.txt", "6 é.txt")]
    files = dict.fromkeys(names, FILES["set-a/7.txt"]) | {names[-1]: "Time,Value\n"}
    if packed:
        _packed(tmp_path / f"{folder}.tar", *(_entry(name, text.encode()) for name, text in files.items()))
    else:
        _folder(tmp_path, files)
        (tmp_path / folder / "5.5.txt").mkdir()
    members = Members(table="records", folders=("set-*",), suffix=".txt")
    paths = find_members(tmp_path, members)
    places = [(path if packed else path.parent).name for path in paths]
    with pytest.raises(SourceError) as caught:
        MemberReader(members, list(zip(paths, places, strict=True))).batches().read_all()
    command = caught.value.hint.split("`")[1]
    told = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.count("\n") == 1 and "6" in told and ".txt" in told, (command, told)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b/07.txt", FILES["set-a/7.txt"], "set-b.tar (file 2): has the name of an earlier file"),
        ("b/8.txt", "Time,Value\n1,2\n", "set-b.tar (file 2): has another header than the first"),
        ("b/8.txt", "Time,Parameter,Value\n1,\udcff,2\n", "set-b.tar (file 2): is not UTF-8"),
        ("b/8.txt", "", "set-b.tar (file 2): has another header than the first"),
    ],
)
def test_a_small_file_that_does_not_fit_is_found_before_a_workspace_is_made(
    name, content, said, tmp_path, tawt
) -> None:
    """Those of all archives are held to each other in the reading that counts them; a dry run tells it as well."""
    (tmp_path / "raw").mkdir()
    _packed(tmp_path / "raw" / "set-a.tar", _entry("a/7.txt"), _entry("a/9.txt"))
    data = content.encode("utf-8", "surrogateescape")
    _packed(tmp_path / "raw" / "set-b.tar", _entry("b/1.txt"), _entry(name, data))
    for words in (["--dry-run"], []):
        ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1, *words)
        assert ended.code == 1 and ended.error.startswith(f"error: {said}"), ended.err
        assert not (tmp_path / "w").exists()


def test_an_archive_that_is_new_is_held_to_those_that_are_remembered(tmp_path: Path) -> None:
    """What is remembered of all is taken as it is; one that is new has all of them read again, for it may repeat a name."""
    _packed(tmp_path / "set-a.tar", _entry("a/7.txt"))

    def look(*names: str, known: dict[str, RawSeen] | None = None) -> list[RawFile]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            jobs = identify(pool, tmp_path, [tmp_path / name for name in names], Csv(), MEMBERS, known)
            return [file for job in jobs for file in job.result()]

    (first,) = look("set-a.tar")
    known = {"set-a.tar": first.seen.model_copy(update={"sha256": "as remembered"})}
    assert look("set-a.tar", known=known)[0].sha256 == "as remembered" != first.sha256
    _packed(tmp_path / "set-b.tar", _entry("b/8.txt"))
    assert [file.n_records for file in look("set-a.tar", "set-b.tar", known=known)] == [2, 2]
    _packed(tmp_path / "set-b.tar", _entry("b/7.txt"))
    with pytest.raises(SourceError, match=r"set-b.tar \(file 1\): has the name of an earlier file"):
        look("set-a.tar", "set-b.tar", known=known)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    """An entry that claims 20 GB of holes is not read."""
    entry, _ = _entry("a/4407.txt", b"")
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"240000000000"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    (tmp_path / "set-a.tar").write_bytes(bytes(header) + b"\0" * 10240)
    with pytest.raises(SourceError, match=r"\(file 1\): is a link or a sparse file"):
        _read(tmp_path)


def test_lines_end_at_line_ends_alone(tmp_path: Path) -> None:
    """Line separators of Unicode, form feeds and vertical tabs are text; carriage returns end lines as everywhere."""
    odd = "x\u2028y\u2029z\x85\x0b\x0c\x1c\x1d\x1e"
    _archive(tmp_path, {"set-a/1.txt": f"Time,Parameter,Value\r\n00:00,HR,{odd}\r\n00:01,HR,7\r00:02,HR,8"})
    rows, reader = _read(tmp_path)
    assert [row["Value"] for row in rows] == [odd, "7", "8"] and reader.rejected == []


@pytest.mark.parametrize("pattern", ["../other/set-?", "/tmp/set-?", "set-a/../../other/set-?", "~/set-?"])
def test_a_pattern_stays_below_the_raw_root(pattern: str, tmp_path: Path) -> None:
    """A pattern that leaves the raw root is a mistake in the pipeline."""
    (tmp_path / "raw").mkdir()
    with pytest.raises(ConfigError, match="leaves the raw root"):
        find_members(tmp_path / "raw", Members(table="records", folders=(pattern,)))


@pytest.mark.parametrize("name", ["set-a", "set-a.zip", "set-a.7z", "set-a.txt.gz"])
def test_what_is_there_and_not_read_is_no_absence(name: str, tmp_path: Path) -> None:
    """A folder without a file, also beside its archive, and an archive of another kind are errors."""
    _folder(tmp_path, {"set-b/1.txt": FILES["set-a/7.txt"]})
    if name == "set-a":
        (tmp_path / name).mkdir()
        _archive(tmp_path, FILES)
    else:
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"^set-a.*(holds no|not read).*, expected") as caught:
        find_members(tmp_path, MEMBERS)
    assert caught.value.hint


@pytest.mark.parametrize("link", ["folder", "file", "archive"])
def test_a_link_out_of_the_raw_root_is_refused(link: str, tmp_path: Path) -> None:
    """Whatever is linked, the error names the place and not the file."""
    _folder(tmp_path / "other", FILES)
    archive = _archive(tmp_path / "other", FILES)
    root = tmp_path / "raw"
    _folder(root, {"set-b/1.txt": FILES["set-a/7.txt"]})
    if link == "folder":
        (root / "set-a").symlink_to(tmp_path / "other" / "set-a")
    elif link == "file":
        (root / "set-b" / "4407.txt").symlink_to(tmp_path / "other" / "set-a" / "7.txt")
    else:
        (root / "set-a.tar.xz").symlink_to(archive)
    with pytest.raises(SourceError, match="link out of the raw root") as caught:
        find_members(root, MEMBERS)
    assert "4407" not in str(caught.value)


def test_a_quarantined_record_of_an_archive_is_found_by_its_number(tmp_path: Path, tawt) -> None:
    """Names of files are in the data and in `local.json`; the quarantine has archive and number, and `show` the record."""
    raw, work = tmp_path / "raw", tmp_path / "w"
    raw.mkdir()
    _archive(raw, {
        "set-a/4407.txt": "Time,Parameter,Value\n00:00,Age,54\n00:07,HR,73\n",
        "set-a/4408.txt": "Time,Parameter,Value\n00:00,Age,54\nlate,HR,73\n1,2\n00:09,HR,74\n",
    }, ".tar.gz")  # fmt: skip
    assert tawt("ingest", raw, "-p", "physionet2012", "-w", work, "--threads", 1).code == 0
    listed = tawt("query", "select file, record, line, reason from quarantine", "-w", work, "--format", "csv").out
    assert listed.splitlines()[1:] == ["set-a.tar.gz,4,,unparseable", "set-a.tar.gz,,7,wrong_number_of_fields"]
    shown = tawt("show", "staging.records", "--quarantine", "-w", work, "--format", "json").out
    assert '"_member": "4408"' in shown and '"Time": "late"' in shown
    for path in work.rglob("*"):
        if path.suffix in (".json", ".yaml") and path.name != "local.json":
            assert not {"4407", "4408"} & set(re.findall(r"\w+", path.read_text())), path
    assert [finding for finding in check(work) if not finding.ok] == []


def _tar_bytes(*stays: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for stay in stays:
            entry, content = _entry(f"set-a/{stay}.txt", FILES["set-a/7.txt"].encode())
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _with(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


_OUT = {
    "a hole": (lambda: _with(_tar_bytes(1, 2, 3, 4), 2048, bytes(1024)), "behind a block of zeros"),
    "a hole of one block": (lambda: _with(_tar_bytes(1, 2, 3, 4), 2048, bytes(512)), "behind a block of zeros"),
    "a hole at the first byte": (lambda: _with(_tar_bytes(1, 2, 3, 4), 0, bytes(512)), "behind a block of zeros"),
    "a bit of a header": (lambda: _with(_tar_bytes(1, 2, 3, 4), 2051, b"X"), "damaged archive"),
    "a size that swallows the next file": (lambda: _with(_tar_bytes(1, 2, 3, 4), 2048 + 124, b"00000002000"), "damaged archive"),
    "two archives": (lambda: _tar_bytes(1, 2) + _tar_bytes(3), "behind a block of zeros"),
    "something behind": (lambda: _tar_bytes(1, 2) + b"\0" * 20480 + b"x", "behind a block of zeros"),
    "no end": (lambda: _tar_bytes(1, 2)[:2048], "damaged archive"),
}  # fmt: skip


_PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("packed", ["", ".gz", ".gz of two", ".xz of two", ".bz2 of two"])
@pytest.mark.parametrize("fault", _OUT)
def test_no_file_of_an_archive_is_lost_behind_what_looks_like_its_end(fault: str, packed: str, tmp_path: Path) -> None:
    """Zeros or a damaged header in the middle, and archives laid end to end, are refused by the reader and the count."""
    make, said = _OUT[fault]
    ending, content = packed.partition(" ")[0], make()
    path = tmp_path / f"set-a.tar{ending}"
    parts = [content[:1500], content[1500:]] if packed.endswith("two") else [content]
    path.write_bytes(b"".join(map(_PACK[ending], parts)) if packed else content)
    with pytest.raises(SourceError, match=said):
        _read(tmp_path)
    with path.open("rb") as stream, pytest.raises(SourceError, match=said) as caught:
        count_members(path, "set-a.tar", 1, stream, Alike(MEMBERS))
    assert "copy it again" in caught.value.hint


@pytest.mark.parametrize("ending", _PACK)
def test_what_is_no_stream_behind_the_first_is_damage(ending: str, tmp_path: Path) -> None:
    """A packed stream in two is read whole, filled up with zeros too; a turned bit in the head of the second, or
    junk behind the last, is no end of the file."""
    path, content = tmp_path / f"set-a.tar{ending}", _tar_bytes(1, 2, 3, 4)
    first, second = (_PACK[ending](part) for part in (content[:3000], content[3000:]))
    path.write_bytes(first + second + (bytes(8) if ending == ".xz" else b""))
    assert len(_read(tmp_path)[0]) == 4 * 2
    for wrong in (first + bytes([second[0] ^ 1]) + second[1:], first + second + b"junk", first + second[:-9]):
        path.write_bytes(wrong)
        with pytest.raises(SourceError, match="damaged archive"):
            _read(tmp_path)
        with path.open("rb") as stream, pytest.raises(SourceError, match="damaged archive"):
            count_members(path, "set-a.tar", 1, stream, Alike(MEMBERS))


def test_every_layout_of_a_whole_archive_is_walked(tmp_path: Path) -> None:
    """Long names, folders, links and each format of the library give as many entries as the library itself finds."""
    for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"set-{format}.tar"
        with tarfile.open(path, "w", format=format) as archive:
            for name in ("set-a", f"set-a/{'n' * 90}/{'m' * 90}", "set-a/é.txt", "set-a/7.txt"):
                entry, content = _entry(name, b"" if "." not in name else FILES["set-a/7.txt"].encode())
                if "." not in name:
                    entry.type = tarfile.DIRTYPE
                archive.addfile(entry, io.BytesIO(content))
            link, _ = _entry("set-a/link", b"")
            link.type, link.linkname = tarfile.SYMTYPE, "l" * 99
            archive.addfile(link)
        walk = TarWalk()
        for byte in range(0, path.stat().st_size, 700):
            walk.add(path.read_bytes()[byte : byte + 700])
        with tarfile.open(path) as archive:
            assert walk.ended and walk.n_entries == len(archive.getnames()) == 5
        with path.open("rb") as stream:
            assert count_members(path, "set-a.tar", 1, stream, Alike(MEMBERS)) == (4, 1, 0)


def test_a_suffix_is_read_in_any_case_and_what_has_another_is_counted(tmp_path: Path, tawt) -> None:
    """`9.TXT` is the file of stay 9, in a folder and in an archive; other files there are said, by number alone."""
    raw = tmp_path / "raw"
    text = "Time,Parameter,Value\n00:00,RecordID,{}\n00:07,HR,73\n"
    _folder(raw, {f"set-b/{name}": text.format(stay) for name, stay in (("9.TXT", 9), ("4407.csv", 4407))})
    _archive(raw, {"set-a/8.Txt": text.format(8), "set-a/4408.csv": text.format(4408), "set-a/README": "x"})
    ended = tawt("ingest", raw, "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 0, ended.err
    assert "raw.records: 3 files in its folders and archives are not named *.txt and are not read" in ended.err
    assert "440" not in ended.err
    subjects = tawt(
        "query", "select distinct subject_id from staging.records order by all", "-w", tmp_path / "w", "--format", "csv"
    )
    assert subjects.out.split() == ["subject_id", "8", "9"]


def test_small_files_that_are_no_data_are_passed_over_and_counted(tmp_path: Path, tawt) -> None:
    """What a Mac packs beside each file, hidden files and folders are read neither from folders nor from archives."""
    raw, text = tmp_path / "raw", "Time,Parameter,Value\n00:00,RecordID,{}\n00:07,HR,73\n"
    raw.mkdir()
    _archive(raw, {
        "set-a/8.txt": text.format(8), "./set-a/._8.txt": "x", "__MACOSX/set-a/._8.txt": "x", "set-a/.DS_Store": "x",
        "_old/8.txt": text.format(8), "set-a/notes.md": "x",
    })  # fmt: skip
    _folder(raw, {"set-b/9.txt": text.format(9), "set-b/._9.txt": "x", "set-b/_9.txt": text.format(9)})
    ended = tawt("ingest", raw, "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 0, ended.err
    assert (
        "raw.records: 6 files that lie there begin with `.`, `_` or `~`, or lie in such a folder, are no data"
        in ended.err
    )
    assert "raw.records: 1 files in its folders and archives are not named *.txt" in ended.err
    subjects = tawt(
        "query", "select distinct subject_id from events order by 1", "-w", tmp_path / "w", "--format", "csv"
    )
    assert subjects.out.split() == ["subject_id", "8", "9"]


def test_a_file_that_names_another_stay_in_itself_is_held_back_whole(tmp_path: Path, tawt) -> None:
    """The name of the file and its own id differ: none of its records becomes an event, and the ledger says why."""
    text = "Time,Parameter,Value\n00:00,RecordID,{}\n00:07,HR,73\n"
    _folder(tmp_path / "raw", {f"set-a/{name}.txt": text.format(stay) for name, stay in ((10, 11), (12, 12))})
    ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 0 and "another_stay" in ended.out, ended.err
    subjects = tawt("query", "select distinct subject_id from events", "-w", tmp_path / "w", "--format", "csv")
    assert subjects.out.split() == ["subject_id", "12"]


def test_a_nul_is_a_character_and_a_lone_carriage_return_ends_a_line(tmp_path: Path) -> None:
    """Nothing but line feeds and carriage returns ends a record; what is counted is what is read."""
    path = _archive(
        tmp_path, {"set-a/1.txt": "Time,Parameter,Value\r00:00,HR,\x005\r00:01,H\0R,6\r\r00:02,HR,7"}, ".tar"
    )
    rows, reader = _read(tmp_path)
    assert [(row["Parameter"], row["Value"]) for row in rows] == [("HR", "\x005"), ("H\0R", "6"), ("HR", "7")]
    with path.open("rb") as stream:
        assert count_members(path, "set-a.tar", 1, stream, Alike(MEMBERS)) == (3, 0, 0) and reader.rejected == []


def test_descriptions_of_descriptions_without_end_are_a_damaged_archive(tmp_path: Path) -> None:
    """An entry that is described thousands of times over is one line that names the archive, whatever the library says."""
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 9
    (tmp_path / "set-a.tar").write_bytes((long.tobuf(tarfile.GNU_FORMAT) + b"a/7.txt".ljust(512, b"\0")) * 3000)
    with pytest.raises(SourceError, match=r"set-a\.tar: is a damaged archive \(RecursionError\)"):
        _read(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_name_that_is_no_text_is_told_by_its_number(packed: bool, tmp_path: Path) -> None:
    """A name with bytes that are not UTF-8 can be no cell: the file is named by its number, and how to find it is said."""
    if packed:
        _packed(tmp_path / "set-a.tar", _entry("a/4407.txt"), _entry("a/4408\udcff.txt"))
    else:
        _folder(tmp_path, {"set-a/4407.txt": FILES["set-a/7.txt"]})
        (tmp_path / "set-a" / "4408\udcff.txt").write_text(FILES["set-a/7.txt"])
    with pytest.raises(SourceError, match="has a name that is not UTF-8") as caught:
        _read(tmp_path)
    assert caught.value.where == f"set-a{'.tar' if packed else ''} (file 2)" and "sed -n 2p" in caught.value.hint
    path = tmp_path / "set-a.tar" if packed else tmp_path / "set-a" / "4408\udcff.txt"
    with path.open("rb") as stream, pytest.raises(SourceError, match="has a name that is not UTF-8"):
        count_members(path, "set-a", 2, stream, Alike(MEMBERS))


def test_a_loop_of_links_among_the_files_is_named(tmp_path: Path, tawt) -> None:
    """A file that is a link to itself cannot be read, and is told by its number."""
    _folder(tmp_path / "raw", {"set-a/4407.txt": "Time,Parameter,Value\n00:00,RecordID,4407\n"})
    (tmp_path / "raw" / "set-a" / "4408.txt").symlink_to("4408.txt")
    ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 1 and ended.error.startswith("error: set-a (file 2): cannot be read"), ended.err
    assert "4408" not in ended.err


def test_another_header_among_the_files_is_told_by_its_number(tmp_path: Path, tawt) -> None:
    """The file is found by its number, however late the engine comes to it."""
    good = "Time,Parameter,Value\n00:00,RecordID,{0}\n00:00,Age,54\n"
    _folder(tmp_path / "raw", {f"set-a/{i}.txt": good.format(i) for i in range(4407, 4411)})
    (tmp_path / "raw" / "set-a" / "4409.txt").write_text("Time,Value\n00:00,1\n")
    ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", tmp_path / "w", "--threads", 1)
    assert ended.code == 1 and "error: set-a (file 3): has another header than the first file" in ended.err
    assert "| sed -n 3p` names the file" in ended.err and "4409" not in ended.err


def test_small_files_are_staged_in_their_order_by_any_number_of_threads(tmp_path: Path, tawt) -> None:
    """Threads that share a stream hand on what they have as they have it: the stage's rows stand by their numbers, and the
    bytes are the same."""
    lines = "".join(f"{i // 60 % 48:02}:{i % 60:02},HR,{60 + i % 40}\n" for i in range(20_000))
    files = {f"set-a/{n}.txt": f"Time,Parameter,Value\n00:00,RecordID,{n}\n{lines}" for n in range(101, 107)}
    _folder(tmp_path / "raw", files)
    written = []
    for threads in (1, 4):
        work = tmp_path / str(threads)
        ended = tawt("ingest", tmp_path / "raw", "-p", "physionet2012", "-w", work, "--threads", threads)
        assert ended.code == 0, ended.error
        (path,) = (work / "staging" / "records").glob("*.parquet")
        written.append(path.read_bytes())
        numbers = pq.read_table(path, columns=["_row"])["_row"].to_pylist()
        assert numbers == sorted(numbers) and len(numbers) > 100_000
    assert written[0] == written[1]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8"])
@pytest.mark.parametrize("packed", [False, True])
def test_small_files_are_read_in_their_encoding(encoding: str, packed: bool, tmp_path: Path) -> None:
    """What is counted is what is read, letter by letter, from folders and archives; another encoding is one line."""
    texts = {f"set-a/{i}.txt": f"Time,Parameter,Value\n00:00,Größe,{i}\n00:10,ä,ü\n" for i in (7, 8)}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode(encoding))
    if packed:
        with tarfile.open(tmp_path / "set-b.tar", "w") as archive:
            archive.add(tmp_path / "set-a", "set-a")
    members = Members(table="records", folders=("set-b.tar" if packed else "set-a",))
    paths = find_members(tmp_path, members)
    with ThreadPoolExecutor(1) as pool:
        (job,) = identify(pool, tmp_path, paths, Csv(encoding=encoding), members, None)
        assert sum(file.n_records for file in job.result()) == 4
    rows = MemberReader(members, [(path, "x") for path in paths], encoding).batches().read_all()
    assert rows["Parameter"].to_pylist() == ["Größe", "ä", "Größe", "ä"] and rows["Value"].to_pylist()[1] == "ü"
    if encoding in ("latin-1", "utf-16"):
        with pytest.raises(SourceError, match="is not UTF-8 text"):
            MemberReader(members, [(path, "x") for path in paths]).batches().read_all()
