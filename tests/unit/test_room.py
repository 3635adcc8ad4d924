"""A full disk, a quota, the limit of a file's size and the end of memory are told as what they are."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import tawt
from tawt.files import whole, write_text
from tawt.room import room_error, size


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
    for other in (OSError(errno.EACCES, "no"), ValueError("No space left on device"), OSError("disk is full")):
        assert room_error(other, tmp_path) is None


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
