"""A full disk, a quota, the limit of a file's size and the end of memory are told as what they are."""

from __future__ import annotations

import errno
import io
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import tawt
from tawt import room
from tawt.contracts.embeddings import parts_folder
from tawt.errors import RoomError
from tawt.evaluation import shared_traces
from tawt.files import whole, write_text
from tawt.machine import Bound
from tawt.room import hold_memory, is_end_of_memory, memory_error, room_error, size
from tawt.runs.embedding_parts import Parts


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "SECRET"), "its disk is full ("),
        (OSError(errno.EDQUOT, "SECRET"), "the quota of this user is used up there"),
        (OSError(errno.EFBIG, "SECRET"), "may not grow beyond"),
        (OSError(errno.ENOMEM, "SECRET"), "memory ran out"),
        (MemoryError("SECRET"), "memory ran out"),
        (pa.ArrowMemoryError("SECRET"), "memory ran out"),
    ],
)
def test_each_end_is_told_by_its_number_with_the_place(error: Exception, said: str, tmp_path: Path) -> None:
    """The place, what was reached and what is needed stand in the line, and nothing of the system's own text."""
    told = room_error(error, tmp_path / "not yet" / "file", 3_100_000)
    assert told is not None and told.where == str(tmp_path / "not yet" / "file") and told.hint
    assert told.what.startswith(said) and ", expected " in told.what and "SECRET" not in str(told)
    assert "memory" in said or "3.1 MB" in told.what
    named = room_error(OSError(errno.ENOSPC, "x", "/named/file"), tmp_path)
    assert named is not None and named.where == "/named/file"
    copied = room_error(OSError(errno.ENOSPC, "x", "/read/file", None, "/written/file"), tmp_path)
    assert copied is not None and copied.where == "/written/file"
    for other in (OSError(errno.EACCES, "no"), ValueError("No space left on device"), OSError("disk is full")):
        assert room_error(other, tmp_path) is None


def test_without_a_file_no_disk_is_meant() -> None:
    """The words of a command are no place, and the disk of the folder one stands in need not be the full one."""
    told = room_error(OSError(errno.ENOSPC, "x"), "tawt audit")
    assert told is not None and str(told) == "tawt audit: a disk is full, expected room for what is written"


class _Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, rows: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_kept_meanwhile_names_its_place_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rows that an audit deals out, and those of embeddings that wait for the others."""
    monkeypatch.setattr(shared_traces, "TemporaryFile", lambda dir: _Full())
    traces = [np.arange(100, dtype=np.uint64)] * 3
    with pytest.raises(OSError, match="No space left") as error:
        shared_traces.alike(iter(traces), 300, tmp_path)
    assert error.value.filename == str(tmp_path)

    def full(*given: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left") as error, Parts(tmp_path / "x.parquet", "k").rows((3, 2)):
        pass
    assert error.value.filename == str(parts_folder(tmp_path / "x.parquet") / "rows")


class _ArrayMemoryError(MemoryError):
    """As numpy has one of its own."""


class OutOfMemoryError(RuntimeError):
    """As torch has one of its own."""


def _behind(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


ENDS = {
    "the interpreter's": (MemoryError(), True),
    "numpy's": (_ArrayMemoryError(), True),
    "the system's": (OSError(errno.ENOMEM, "x"), True),
    "the engine's": (duckdb.OutOfMemoryException("x"), True),
    "a GPU's": (OutOfMemoryError("x"), True),
    "torch's on a CPU": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
    "a thread's": (RuntimeError("can't start new thread"), True),
    "Arrow's unknown": (pa.ArrowException("Unknown error: std::bad_alloc"), True),
    "a library's that is not loaded": (ImportError("x.so: failed to map segment from shared object"), True),
    "behind another": (_behind(ImportError("numpy is not there"), MemoryError()), True),
    "a shape": (RuntimeError("a shape"), False),
    "a cell of the engine's": (duckdb.ConversionException("Could not convert string 'out of memory'"), False),
    "a cell of Arrow's": (pa.ArrowInvalid("std::bad_alloc"), False),
    "a value": (ValueError("can't allocate memory"), False),
    "ours, of a full disk": (_behind(RoomError("x", "its disk is full"), MemoryError()), False),
    "a full disk": (OSError(errno.ENOSPC, "Cannot allocate memory"), False),
    "a package that is not installed": (ModuleNotFoundError("failed to map segment"), False),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_memory_is_told_from_every_other_error(name: str, tmp_path: Path) -> None:
    """By type, number and the fixed words of a library whose type says nothing; never by a text that can quote a cell."""
    error, ended = ENDS[name]
    assert is_end_of_memory(error) is ended
    if ended:
        with pytest.raises(RoomError, match="memory ran out, expected to fit in"):
            hold_memory(error, tmp_path)
    else:
        hold_memory(error, tmp_path)


def test_near_a_limit_what_could_not_be_loaded_is_for_want_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-loaded library fails in words of any kind; far from a limit, or with a type that says more, it is no end."""
    for most, near in ((95, True), (50, False)):
        monkeypatch.setattr(room, "shell_limits", lambda most=most: [Bound("`ulimit -v`", 100, 10, most)])
        assert is_end_of_memory(ImportError("cannot import name 'x'")) is near
        assert is_end_of_memory(RuntimeError("could not create a primitive")) is near
        assert not is_end_of_memory(ModuleNotFoundError("x")) and not is_end_of_memory(ValueError("x"))


def test_the_end_of_memory_says_what_holds_it_and_what_gives_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits that are set, the engine's own too, else the machine; below what a command takes, how much that is."""
    limits = [
        Bound("`ulimit -v`", 300_000_000, least=1_000_000_000),
        Bound("`ulimit -d`", 800_000_000, least=500_000_000),
    ]
    monkeypatch.setattr(room, "shell_limits", lambda: limits)
    told = memory_error("staging.x", "60MB")
    assert told.what == (
        "memory ran out, expected to fit in --memory-limit 60MB and the 300 MB of `ulimit -v` and the 800 MB of `ulimit -d`"
    )
    assert "`ulimit -v unlimited`" in told.hint and "raise --memory-limit" in told.hint
    assert told.hint.endswith("a command takes 1 GB of `ulimit -v` before it reads anything")
    monkeypatch.setattr(room, "shell_limits", list)
    monkeypatch.setattr(room, "tightest_bound", lambda: Bound("the cgroup", 2_000_000_000))
    assert (
        memory_error("x", "60MB").hint == "raise --memory-limit, or free space for spilling; fewer --threads take less"
    )
    assert memory_error("x").what == "memory ran out, expected to fit in the 2 GB of the cgroup"
    assert "machine, or a job, with more memory" in memory_error("x").hint


def test_sizes_read_as_a_person_writes_them() -> None:
    """Three digits and a unit."""
    assert [size(n) for n in (0, 999, 1000, 3_145_728, 20 * 10**12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "3.15 MB",
        "20 TB",
    ]


def test_a_write_that_finds_no_room_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    """Over the limit of a file's size the error has the file's name, though the system's has none."""
    write_text(tmp_path / "a", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_text(tmp_path / "a", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a"))
    assert (tmp_path / "a").read_text() == "old" and list(tmp_path.iterdir()) == [tmp_path / "a"]
    with pytest.raises(OSError, match="/dev/other"), whole(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "x", "/dev/other")


COMMAND = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["tawt", *sys.argv[2:]]
from tawt.cli.app import main
main()
"""


@pytest.mark.parametrize(("words", "limit"), [(("run", "staging.labevents"), 30_000), (("run", "events"), 12_000)])
def test_a_stage_over_the_limit_of_a_file_ends_in_one_line(words, limit: int, hospital, own_workspace: Path) -> None:
    """Whether the engine or we write it: the place, the limit and the room that it takes are said, and what was
    made before stands."""
    command = [sys.executable, "-c", COMMAND, str(limit), *words, "--force", "-w", str(own_workspace), "--threads", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = ended.stderr[ended.stderr.index("error: ") :]
    assert ended.returncode == 1 and "may not grow beyond" in said and "room for about" in said, ended.stderr
    assert str(own_workspace / words[1].replace(".", "/")) in said and "ulimit" in said
    assert tawt.run(words[1], own_workspace, threads=1).n_run == 0
