"""The race: one extract, tawt and its peers in turn, what each costs, what comes out of each, and ratios of one run.

    python tests/benchmarks/race [--events 2000000] [--seed 1] [--order 0] [--shards 64] [--rounds 2]
        [--only floor tawt] [--memory-limit 2GB] [--threads 2] [--extract FOLDER] [--venvs FOLDER] [--dir FOLDER]

Peers come from the package index into `--venvs`, meds-torch-data and meds_reader as `scripts/peers.sh` installs them; one
that cannot be installed, or fails, is told and left out. CPU seconds are user + system of every process of a job, and
memory is resident: of its processes together (pages that they share count for each), fifty looks a second, and of the
largest. Written is what the kernel was asked to put on disk. Rounds begin with another job each. On a machine that has
other work, only ratios of one round mean anything. Needs Linux.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import duckdb
from counts import KINDS, count_out, reasons
from jobs import JOBS, Given, turned, with_needed
from measured import Cost, measure
from projection import PUBLISHED, ROWS, project
from venvs import ROOT, environment, find

Costs = dict[str, Cost]


def run_round(names: list[str], commands: dict[str, Path], given: Given, place: Path) -> tuple[Costs, dict[str, Path]]:
    """Run jobs in turn, and return what each took and left."""
    costs: Costs = {}
    outs: dict[str, Path] = {}
    for name in names:
        job = JOBS[name]
        if (job.of and job.of not in outs) or (job.peer and job.peer not in commands):
            continue
        command, out, log = commands.get(job.peer or ""), place / name, place / f"{name}.log"
        line = job.line(given, out, command or Path(), outs.get(job.of or "", Path()))
        cost = measure(line, environment(command, given.threads), out, log)
        if cost is None:
            print(f"{job.about}: failed, and is left out\n{log.read_text(errors='replace')[-1500:]}", flush=True)
            continue
        costs[name], outs[name] = cost, out
        print(
            f"{job.about:<58}{cost.cpu_seconds:8.1f}{cost.wall_seconds:8.1f}{cost.tree_bytes / 1e6:9,.0f}"
            f"{cost.largest_bytes / 1e6:9,.0f}{cost.written_bytes / 1e6:9,.0f}{cost.left_bytes / 1e6:9,.0f}", flush=True,
        )  # fmt: skip
    return costs, outs


def ratios(costs: Costs) -> dict[str, float]:
    """Return what is held to what: CPU seconds, and memory where it says so."""

    def cpu(*names: str) -> float:
        return sum(costs[name].cpu_seconds for name in names)

    said = {}
    if {"tawt", "floor"} <= costs.keys():
        said["tawt / floor"] = cpu("tawt") / cpu("floor")
    if {"extract", "tensors", "tawt"} <= costs.keys():
        said["MEDS-extract + MTD / tawt"] = cpu("extract", "tensors") / cpu("tawt")
        peak = max(costs[name].tree_bytes for name in ("extract", "tensors"))
        said["memory: tawt / the more of theirs"] = costs["tawt"].tree_bytes / peak
    if {"extract", "ingest"} <= costs.keys():
        said["MEDS-extract / tawt ingest"] = cpu("extract") / cpu("ingest")
    sorts = [name for name in ("polars", "cpp") if name in costs]
    if sorts and "ingest" in costs:
        best = min(sorts, key=cpu)
        said["tawt ingest / (flat form + meds_etl, the better back end)"] = cpu("ingest") / cpu("flat", best)
    return said


def tell_counts(counts: dict[str, Counter[str]], told: Iterable[str]) -> None:
    """Print events by kind, against every row that the tables give, and the reasons that can be counted."""
    whole = counts.get("flat")
    print(f"\n{'events out':<58}{'all':>12}" + "".join(f"{kind:>12}" for kind in KINDS))
    for name, n in counts.items():
        print(f"{JOBS[name].about:<58}{n.total():>12,}" + "".join(f"{n[kind]:>12,}" for kind in KINDS))
        if whole and n != whole:
            less = [n[kind] - whole[kind] for kind in KINDS]
            print(f"{'    against the flat form':<58}{sum(less):>+12,}" + "".join(f"{one:>+12,}" for one in less))
    print(*told, sep="\n", flush=True)


def main() -> None:
    """Make the extract, run the rounds, and print costs, counts, ratios and the projection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", type=int, default=0, help="rows of the same extract in another order")
    parser.add_argument(
        "--shards", type=int, help="as many for each; else each its own: tawt auto, a thousand subjects, 20"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--memory-limit", default="2GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--extract", type=Path, help="an extract made before; else one is made and removed")
    parser.add_argument("--venvs", type=Path, default=ROOT / ".venv-race")
    parser.add_argument("--dir", type=Path, help="where all is written, and removed")
    options = parser.parse_args()
    names = with_needed(options.only)
    commands = find({peer for name in names if (peer := JOBS[name].peer)}, options.venvs)
    with tempfile.TemporaryDirectory(dir=options.dir) as scratch:
        raw = options.extract or Path(scratch) / "raw"
        if options.extract is None:
            line = [sys.executable, str(Path(__file__).parents[1] / "extract.py"), str(raw)]
            for name in ("events", "seed", "order"):
                line += [f"--{name}", str(getattr(options, name))]
            subprocess.run(line, check=True)
        (n_subjects,) = duckdb.sql(f"select count(*) from '{raw}/hosp/patients.csv.gz'").fetchall()[0]
        n_records = sum(
            duckdb.sql(f"select count(*) from '{file}'").fetchall()[0][0] for file in raw.glob("*/*.csv.gz")
        )
        given = Given(raw.absolute(), options.memory_limit, options.threads, options.shards, n_subjects)
        print(f"{n_records:,} records of {n_subjects:,} subjects; {options.memory_limit}, {options.threads} threads")
        rounds = []
        for number in range(options.rounds):
            print(
                f"\n{f'round {number + 1}':<58}{'CPU s':>8}{'wall s':>8}{'tree MB':>9}{'one MB':>9}{'written':>9}{'left':>9}"
            )
            place = Path(scratch) / str(number)
            place.mkdir()
            costs, outs = run_round(turned(names, number), commands, given, place)
            rounds.append(costs)
            print(*(f"{name}: {ratio:.2f}" for name, ratio in ratios(costs).items()), sep="\n", flush=True)
            if number == options.rounds - 1:
                counts = {name: n for name in names if name in outs and (n := count_out(name, outs[name])) is not None}
                tell_counts(counts, reasons(given.raw, outs))
            shutil.rmtree(place)
    tell_projection(rounds, n_records)


def tell_projection(rounds: list[Costs], n_records: int) -> None:
    """Print what the full release would take, by the round in which each job took least."""
    print(f"\nA projection, not a measurement: the {sum(ROWS.values()):,} records of these tables in MIMIC-IV 3.1")
    for name in ("floor", "tawt", "extract", "tensors", "ingest"):
        if had := [costs[name] for costs in rounds if name in costs]:
            least = min(had, key=lambda cost: cost.cpu_seconds)
            print(*project(name, n_records, least.cpu_seconds, least.written_bytes, least.left_bytes), sep="\n")
    print(PUBLISHED)


if __name__ == "__main__":
    main()
