"""The jobs of the race: what each needs, and its command."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Given:
    """What every job is told."""

    raw: Path
    memory_limit: str
    threads: int
    shards: int | None
    n_subjects: int


@dataclass(frozen=True)
class Job:
    """`line(given, out, commands, before)`: the command, by those of the peers and the outputs of jobs before it."""

    about: str
    line: Callable[[Given, Path, Path, Path], list[str]]
    peer: str | None = None
    of: str | None = None
    """The job whose output it reads."""


def _own(name: str, *words: str) -> Callable[[Given, Path, Path, Path], list[str]]:
    def line(given: Given, out: Path, _: Path, __: Path) -> list[str]:
        shards = [str(given.shards or "auto")] if words else []
        told = (given.raw, out, given.memory_limit, given.threads, *shards, *words)
        return [sys.executable, str(HERE / "inside" / f"{name}.py"), *map(str, told)]

    return line


def _extract(given: Given, out: Path, command: Path, _: Path) -> list[str]:
    per_shard = math.ceil(given.n_subjects / given.shards) if given.shards else 1000  # as MIMIC-IV-MEDS has it
    spec = out.with_suffix(".yaml")
    spec.write_text((HERE / "events.yaml").read_text().replace("N_SUBJECTS_PER_SHARD", str(per_shard)))
    return [str(command), f"spec={spec}", f"output_dir={out}", "do_download=false", f"input_dir={given.raw}"]


def _tensors(_: Given, out: Path, command: Path, before: Path) -> list[str]:
    return [str(command), f"MEDS_dataset_dir={before}", f"output_dir={out}"]


def _sort(backend: str) -> Callable[[Given, Path, Path, Path], list[str]]:
    def line(given: Given, out: Path, command: Path, before: Path) -> list[str]:
        n = {"--num_shards": given.shards or 20, "--num_proc": given.threads if backend == "cpp" else 1}
        words = [word for name, value in n.items() for word in (name, str(value))]
        return [str(command), str(before), str(out), *words, "--backend", backend]

    return line


def _reader(given: Given, out: Path, command: Path, before: Path) -> list[str]:
    return [str(command), str(before), str(out), "--num_threads", str(given.threads)]


JOBS = {
    "floor": Job("plain DuckDB: read typed, written as Parquet, unsorted", _own("floor")),
    "tawt": Job("tawt: raw -> mapped shards", _own("whole", "shards")),
    "extract": Job("MEDS-extract: raw -> sorted MEDS", _extract, "MEDS-extract"),
    "tensors": Job("MTD_preprocess on it", _tensors, "meds-torch-data", "extract"),
    "ingest": Job("tawt ingest alone: raw -> sorted MEDS", _own("whole", "events")),
    "flat": Job("plain DuckDB: the flat form for meds_etl", _own("flat")),
    "polars": Job("meds_etl, polars: flat -> sorted MEDS", _sort("polars"), "meds_etl", "flat"),
    "cpp": Job("meds_etl, cpp: flat -> sorted MEDS", _sort("cpp"), "meds_etl", "flat"),
    "reader": Job("meds_reader_convert of it", _reader, "meds_reader", "polars"),
}


def with_needed(names: list[str]) -> list[str]:
    """Return jobs in their order, with those whose output they read."""
    wanted = set(names)
    for name in reversed(JOBS):
        before = JOBS[name].of
        if name in wanted and before:
            wanted.add(before)
    return [name for name in JOBS if name in wanted]


def turned(names: list[str], by: int) -> list[str]:
    """Return the jobs with another one first, and each still behind the one that it reads."""
    groups: list[list[str]] = []
    for name in names:
        if JOBS[name].of:
            next(group for group in groups if JOBS[name].of in group).append(name)
        else:
            groups.append([name])
    by %= len(groups)
    return [name for group in groups[by:] + groups[:by] for name in group]
