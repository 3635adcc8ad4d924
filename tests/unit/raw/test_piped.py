"""A large .gz file comes through a pipe; whatever is wrong with it is told as if there were no pipes."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.database.limits import Limits
from tawt.errors import TawtError
from tawt.pipeline.plan import make_plan
from tawt.pipeline.sql_stage import run_sql
from tawt.pipeline.workspace import given_pipeline, given_workspace
from tawt.raw import piped as module
from tawt.raw.find import RawTable
from tawt.raw.identity import RawFile
from tawt.raw.piped import piped
from tawt.raw.seen import RawSeen
from tawt.sources.load import load_graph

HEADER = "patient,seen,glucose\n"
RECORDS = "".join(f"{1 + i % 7},2020-01-0{1 + i % 9} 08:00:00,{i}\n" for i in range(6_000))
STAGE = "staging.readings"
LINE = "1,2020-01-01 08:00:00,5\n"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pipes for files of any size, with any library; the names of those that were opened."""
    names: list[str] = []
    real = module._Pipe._opened

    def noted(pipe: module._Pipe) -> int:
        end = real(pipe)
        names.append(pipe.path.name)
        return end

    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "IS_FAST", True)
    monkeypatch.setattr(module._Pipe, "_opened", noted)
    return names


@pytest.fixture
def ending(clinic: Path, raw: Path, tmp_path: Path) -> Callable[[bytes], tuple[object, ...]]:
    """`ending(content)`: how the clinic's staging of a packed table ends: its account and files, or its error."""

    def one(content: bytes) -> tuple[object, ...]:
        (raw / "readings.csv").unlink(missing_ok=True)
        (raw / "readings.csv.gz").write_bytes(content)
        pipeline, project = given_pipeline(str(clinic / "pipelines" / "clinic.yaml"))
        workspace = given_workspace(tmp_path / "w", pipeline, raw, None, project)
        (workspace.aside).mkdir(parents=True, exist_ok=True)
        try:
            _, plan = make_plan(workspace, stages_of(pipeline, project), [STAGE], limits=Limits.of(2, "1GB"))
            result = run_sql(plan.bound(plan.graph.stages[STAGE], {}), workspace.aside / STAGE, lambda done, of: None)
        except TawtError as error:
            return type(error), str(error), error.hint
        finally:
            assert not [path for path in workspace.aside.rglob("*") if "pipes" in path.name]
        assert result.rejected is not None
        files = [path.read_bytes() for path in sorted((workspace.aside / STAGE).glob("part-*"))]
        return result.accounts, result.rejected.table, result.rejected.lines, files

    return one


@pytest.mark.parametrize(
    "text",
    [
        HEADER + RECORDS,
        "\ufeff" + HEADER + RECORDS,
        HEADER.replace("\n", "\r\n") + RECORDS.replace("\n", "\r\n"),
        HEADER + RECORDS[:-1],
        HEADER + RECORDS + "\n" * 5000 + LINE,
        HEADER + RECORDS + '1,"2020-01-01 08:00:00",",\n5"\n' + LINE,
        HEADER,
        HEADER + RECORDS + "\x1a",
    ],
    ids=[
        "plain",
        "byte order mark",
        "CRLF",
        "no last line end",
        "blank lines",
        "quoted line ends",
        "no record",
        "tail",
    ],
)
def test_what_comes_through_a_pipe_is_what_the_file_holds(text: str, ending, opened: list[str], monkeypatch) -> None:
    """Files and accounts are the same, to the byte, with a pipe as without one, and no pipe is left."""
    content = gzip.compress(text.encode(), mtime=0)
    through = ending(content)
    assert opened == ([] if text.endswith("\x1a") else ["readings.csv"])  # what has a tail is copied without it
    monkeypatch.setattr(module, "IS_FAST", False)
    assert through == ending(content) and len(through) == 4


@pytest.mark.parametrize(
    "text",
    [
        HEADER + RECORDS + "1,2020-01-01 08:00:00\n" + RECORDS,
        HEADER + RECORDS + "1,2020-01-01 08:00:00,5,6\n" * 300,
        HEADER + RECORDS + '1,2020-01-01 08:00:00,"5"x\n' + RECORDS,
        HEADER + RECORDS + '1,"2020-01-01 08:00:00,5\n' + RECORDS,
        HEADER + RECORDS + "1," + "x" * 3_000_000 + ",5\n" + RECORDS,
        HEADER + RECORDS + ",,\n" + "x,y,z\n" * 50,
    ],
    ids=["too few", "too many", "behind a quote", "open quote", "long line", "bad cells"],
)
def test_a_file_with_a_fault_ends_as_without_pipes(text: str, ending, opened: list[str], monkeypatch) -> None:
    """Lines that are set aside, refusals and their words are the same with a pipe as without one."""
    content = gzip.compress(text.encode(), mtime=0)
    through = ending(content)
    monkeypatch.setattr(module, "IS_FAST", False)
    assert through == ending(content)


def test_a_pipe_that_ends_early_is_not_what_a_stage_is_made_of(ending, opened: list[str], monkeypatch) -> None:
    """Where unpacking fails in the middle the file itself is read: all of its records are there."""
    content = gzip.compress((HEADER + RECORDS).encode(), mtime=0)
    n_blocks = []

    def fails(stream: object, size: int) -> bytes:
        n_blocks.append(size)
        if len(n_blocks) > 1:
            raise MemoryError
        return real(stream, 1 << 16)

    real = module.Unpacked.read
    monkeypatch.setattr(module, "Unpacked", type("Failing", (module.Unpacked,), {"read": fails}))
    through = ending(content)
    assert len(n_blocks) == 2
    monkeypatch.setattr(module, "IS_FAST", False)
    assert through == ending(content)


def test_where_no_pipe_is_to_be_had_the_file_is_read(ending, opened: list[str], monkeypatch) -> None:
    """A disk or a system without pipes changes nothing."""
    content = gzip.compress((HEADER + RECORDS).encode(), mtime=0)
    through = ending(content)
    opened.clear()

    def none(path: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mkfifo", none)
    assert through == ending(content) and not opened
    monkeypatch.delattr(os, "mkfifo")
    assert through == ending(content) and not opened


@pytest.mark.parametrize("n_read", [None, 0, 100], ids=["never opened", "nothing read", "little read"])
def test_a_pipe_ends_however_little_was_read(n_read: int | None, tmp_path: Path, opened: list[str]) -> None:
    """A reader that never comes, or leaves its end open and reads no more, keeps nobody waiting."""
    packed = tmp_path / "readings.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + RECORDS).encode()))
    file = RawFile(packed, packed.name, packed.name, RawSeen(stamp=(), sha256=""))
    contract = load_graph(resolve_pipeline("mimic_iv")).raw_contracts["labevents"]
    table = RawTable("readings", contract, (file,), {})
    with piped([table], tmp_path / "pipes") as (given,):
        (pipe,) = (tmp_path / "pipes").iterdir()
        assert given.files[0].path == pipe
        end = os.open(pipe, os.O_RDONLY) if n_read is not None else None
        if n_read:
            os.read(end, n_read)
    assert not (tmp_path / "pipes").exists()
    assert not [thread for thread in threading.enumerate() if "readings" in thread.name]
    if end is not None:
        os.close(end)
