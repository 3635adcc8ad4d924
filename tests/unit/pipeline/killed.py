"""Kills a data command at its n-th act on the file system, for many n, and says what is wrong afterwards.

usage: python killed.py BEFORE SCRATCH POINTS CALL...: BEFORE is the workspace that each try begins with (or is absent),
POINTS how many acts are tried at most, spread evenly (0 = all), each CALL a Python expression with `w` for the workspace.
A process is forked for each try, before any engine is there: no test sees more of a kill than the next command does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

import tawt
from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.database import parse as trees

ACTS = ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir")
PROMISED = ("events", "vocabulary", "triplets", "dataset", "quarantine")
MISSING = ("stages: ", "files: ", "last command: ", "records: ledger.parquet is missing", "raw tables: ")
"""What `check` may say of a workspace in which a command was killed: something is not finished, or not read yet..."""
MIXED = ("missing or changed", "missing or damaged")
"""...but never that what is finished is not whole."""
WRITTEN = ("ledger.parquet", "ingest.json", "pipeline.yaml")


def contents(w: Path) -> dict[str, object]:
    """Everything that is promised to be equal: bytes, or the rows of what is written by several threads."""
    found: dict[str, object] = {}
    for path in sorted(w.rglob("*")):
        name = path.relative_to(w).as_posix()
        if not path.is_file() or name in (".lock", "local.json") or name.startswith(("manifests/", "shards/")):
            continue
        if name.startswith(PROMISED) or name in WRITTEN:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else path.name
    return found


def forked(act: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process of its own; return how it ended and what it said."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said, code = "", 1
        try:
            said, code = json.dumps(act()), 0
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:60_000])
        os._exit(code)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def counted(kill_at: int) -> list[int]:
    """Count the acts of this process; it ends, at once, where it would do number `kill_at`."""
    done = [0]

    def counting(act: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **more: object) -> object:
            done[0] += 1
            if done[0] == kill_at:
                os._exit(9)
            return act(*args, **more)

        return run

    for name in ACTS:
        setattr(os, name, counting(getattr(os, name)))
    return done


def main() -> None:
    """Try all points and print what was wrong, one line each; nothing is right."""
    before, scratch, points = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    calls = [compile(call, "call", "eval") for call in sys.argv[4:]]

    def command(w: Path) -> None:
        for call in calls:
            eval(call, {"tawt": tawt, "w": w})

    def fresh(name: str) -> Path:
        w = scratch / name
        shutil.rmtree(w, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, w)
        return w

    def calm() -> list[object]:
        w, done = fresh("calm"), counted(0)
        command(w)
        assert [finding for finding in tawt.check(w) if not finding.ok] == []
        return [done[0], contents(w)]

    # what each try would read and check anew; the engine that did it has threads, which no fork takes along
    stages_of(resolve_pipeline("demo"))
    trees.engine().close()
    trees.engine.cache_clear()
    code, said = forked(calm)
    assert code == 0, said
    n_killed = 0
    total, expected = json.loads(said)
    for n in (
        range(1, total + 1) if not points else sorted({1 + i * (total - 1) // (points - 1) for i in range(points)})
    ):
        w = fresh("killed")

        def killed(w: Path = w, n: int = n) -> None:
            counted(n)
            command(w)

        code, said = forked(killed)
        if code != 9:  # the order in which files are removed is the system's: one act more or less
            continue
        n_killed += 1

        def again(w: Path = w) -> list[str]:
            wrong = []
            if (w / "pipeline.yaml").is_file():
                failed = [f"{f.check}: {f.detail}" for f in tawt.check(w) if not f.ok]
                wrong += [
                    f"after the kill, {f}" for f in failed if not f.startswith(MISSING) or any(map(f.count, MIXED))
                ]
            command(w)
            now = contents(w)
            wrong += [f"{name} differs" for name in expected.keys() | now.keys() if expected.get(name) != now.get(name)]
            return wrong

        code, said = forked(again)
        for line in json.loads(said) if code == 0 else [said]:
            print(f"act {n} of {total}: {line}")
    print(f"{n_killed} killed")


if __name__ == "__main__":
    main()
