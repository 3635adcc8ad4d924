"""`tawt check` looks at everything: one flipped bit in any file of a workspace is found."""

from __future__ import annotations

import json
import shutil
from itertools import zip_longest
from pathlib import Path

import numpy as np

from tawt.builtin.all import graph_of
from tawt.contracts.dataset import THREADS
from tawt.contracts.run import say_unfinished
from tawt.errors import TawtError
from tawt.files import write_sealed
from tawt.pipeline.ledger import standing
from tawt.pipeline.workspace import open_workspace
from tawt.quality.files import check_files
from tawt.quality.raw import check_raw
from tawt.quality.workspace import standing_of
from tawt.seals import LIST


def test_a_flipped_bit_in_any_file_is_found_and_the_file_named(finished: Path, tmp_path: Path, tawt) -> None:
    """Of a workspace with runs, one of them of a sweep, one broken off, their checkpoints, logs and cards, and embeddings: no file can
    change without a word."""
    work = tmp_path / "w"
    shutil.copytree(finished, work)
    shutil.copytree(Path(json.loads((work / "local.json").read_text())["raw_root"]), tmp_path / "raw")
    ended = tawt("ingest", tmp_path / "raw", "-p", "demo", "-w", work, "--threads", 1)
    assert ended.code == 0 and tawt("embed", "-w", work, "--run", "tiny", "--device", "cpu").code == 0
    shutil.copytree(work / "runs" / "tiny", work / "runs" / "sizes" / "small-seed0")
    broken_off = shutil.copytree(work / "runs" / "tiny", work / "runs" / "broken-off")
    for name in (LIST, "model.safetensors"):
        (broken_off / name).unlink()
    say_unfinished(broken_off, 4)
    write_sealed(work / THREADS, {})
    opened = open_workspace(work)
    graph = graph_of(opened)

    def named(path: Path = work) -> str:
        try:
            seen, there, unread, _, now = standing_of(open_workspace(work) if path.parent == work else opened)
            findings, _ = check_files(seen, there, now, unread)
        except TawtError as error:  # without its pipeline no file is of anything
            return str(error)
        return "; ".join(finding.detail for finding in findings if not finding.ok)

    def raw_tables() -> str:
        return check_raw(
            opened, graph.raw_contracts, [one.manifest for one in standing(opened, graph) if one.manifest is not None]
        ).detail

    assert named() == ""
    files = [p for top in (work, tmp_path / "raw") for p in sorted(top.rglob("*")) if p.is_file() and p.stat().st_size]
    names = {path.relative_to(tmp_path).parts[1] for path in files}
    assert names >= {
        "runs",
        "embeddings",
        "quarantine",
        "manifests",
        "staging",
        "dataset",
        "local.json",
        "hosp",
        THREADS,
    }
    rng = np.random.default_rng(5)
    for number, paths in enumerate(_apart(files, tmp_path)):
        before = {path: path.read_bytes() for path in paths}
        for path, content in before.items():
            bit = int(rng.integers(8 * len(content))) if number % 2 else 8 * len(content) - 1
            path.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :])
        said = ""
        for path in paths:
            if path.is_relative_to(tmp_path / "raw"):
                assert path.name.partition(".")[0] in raw_tables()
            else:
                said = said or named(path)
                assert path.relative_to(work).as_posix() in said, (path, number, said)
        for path, content in before.items():
            path.write_bytes(content)
    assert named() == ""


def _apart(files: list[Path], place: Path) -> list[list[Path]]:
    """Files that are looked at in one go: a raw one, one of stages, one of each run; those at the top are looked at alone."""
    rooms: dict[str, list[Path]] = {}
    for path in files:
        top, *inside = path.relative_to(place).parts[:-1]
        room = "/".join(inside[1:2]) if "runs" in inside[:1] else "stages" * bool(inside)
        rooms.setdefault("raw/" if top == "raw" else room, []).append(path)
    alone = rooms.pop("")
    return [*([path] for path in alone), *([path for path in row if path] for row in zip_longest(*rooms.values()))]
