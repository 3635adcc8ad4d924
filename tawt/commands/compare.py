"""`tawt compare`: runs beside one another: settings, losses paired on equal batches, tasks, embeddings, and costs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.commands.compare_costs import Alike, Cost, alike, cost, lacking
from tawt.commands.compare_tasks import OnTask, on_tasks
from tawt.errors import ConfigError
from tawt.figures.common import hold_png
from tawt.pipeline.fresh import hold_fresh
from tawt.runs.find import RunFolder, baseline_key, find_run, loss_key, parts_of, read_runs
from tawt.shell import command
from tawt.training.outputs import refuse_among

_WEIGHTS_ONLY = ("weight", "value_loss", "temperature", "d_projection")
"""Endings of objective keys that leave batches and masks as they are."""


@dataclass(frozen=True)
class PartResult:
    """How one part of the loss on `tuning` went in one run."""

    run: str
    """Name of the run."""
    part: str
    """The part, or `all` for the weighted sum."""
    weight: float | None
    """What it weighs in the sum; None of the sum itself."""
    final: float
    """At the last validation."""
    best: float
    """Lowest of all validations."""
    best_step: int
    """When that was."""
    baseline: float
    """What the trivial prediction loses there."""
    final_step: int
    """The last validation."""


@dataclass(frozen=True)
class Paired:
    """Loss on `tuning` of one run minus that of the first, at equal steps on equal batches and masks."""

    run: str
    """Name of the run."""
    part: str
    """The part, or `all`."""
    mean: float
    """Mean difference; below 0 this run is better."""
    sd: float | None
    """Standard deviation over the steps (n - 1); steps of one run are not independent. None for one step."""
    n_steps: int
    """Validations at equal steps."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    runs: tuple[str, ...]
    """Names, the first is the one that others are compared with."""
    differences: dict[str, tuple[Any, ...]]
    """Config keys that differ -> their value in each run; None where a run has no such key. `--init` stands for the
    weights that runs were begun from."""
    results: tuple[PartResult, ...]
    """By part, then run."""
    paired: tuple[Paired, ...]
    """By run, then part."""
    unpaired: dict[str, str]
    """Runs that cannot be paired with the first, and why."""
    curves: dict[str, tuple[tuple[int, float], ...]]
    """Run -> (step, loss on `tuning`)."""
    costs: tuple[Cost, ...] = ()
    """Of each run."""
    alike: tuple[Alike, ...] = ()
    """Of runs whose embeddings lie in the workspace, as those of the first do."""
    tasks: tuple[OnTask, ...] = ()
    """That two runs or more, or runs that learned them from these, were evaluated on."""
    notes: tuple[str, ...] = ()
    """What is not told, and what to do."""


def compare(
    workspace: Path,
    runs: Sequence[str | Path],
    *,
    plot: Path | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
) -> Comparison:
    """Compare runs, finished or not.

    Runs are paired only where it is fair: the same vocabulary, batching and hidden fields, and validations that
    had as many positions and the same trivial baselines. The rest is shown for all.

    Args:
        workspace: Whose runs.
        runs: Names in WORKSPACE/runs, or folders; at least two, the first is what others are compared with.
        plot: A file whose name ends in .png, for the curves, laid over one another.
        stale_ok: Compare also where the workspace's dataset is older than what it was made from.
        dry_run: Draw nothing.

    Raises:
        CheckpointError: A run is not there.
        ConfigError: There are fewer than two runs or one is named twice, `plot` is no name of a PNG, or matplotlib is
            not installed for it.
        FileError: A file of an evaluation is not as it was written.
        StaleError: The workspace's dataset is older than what it was made from.
    """
    workspace = Path(workspace)
    folders = [find_run(workspace, run) for run in runs]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        twice = [str(run) for i, run in enumerate(runs) if folders[i].resolve() in [f.resolve() for f in folders[:i]]]
        what = f"names `{twice[0]}` twice" if twice else f"names {len(folders)} run{'s' * (len(folders) != 1)}"
        hint = f"as `{command('compare', 'RUN', 'OTHER', workspace=workspace)}`"
        raise ConfigError("tawt compare", f"{what}, expected two or more, each once", hint)
    hold_fresh(workspace, stale_ok)
    if plot is not None:
        hold_png(Path(plot), "--plot")
        refuse_among(Path(plot), workspace, folders, "--plot FILE")
    read = read_runs(folders)
    first, rest = read[0], read[1:]
    paired: list[Paired] = []
    unpaired: dict[str, str] = {}
    for run in rest:
        reason = _not_fair(first, run)
        found, why = ([], reason) if reason else _pairs(first, run)
        paired += found
        if why:
            unpaired[run.name] = why
    if plot is not None and not dry_run:
        from tawt.figures.curves import plot_losses

        plot_losses(read, Path(plot))
    tasks, alone = on_tasks(workspace, read)
    return Comparison(
        runs=tuple(run.name for run in read),
        differences=_starts(read) | differences(read),
        results=_results(read),
        paired=tuple(paired),
        unpaired=unpaired,
        curves={run.name: tuple((line["step"], line["loss"]) for line in run.lines("tuning")) for run in read},
        costs=tuple(map(cost, read)),
        alike=tuple(alike(workspace, read)),
        tasks=tuple(tasks),
        notes=(*alone, *lacking(workspace, read)),
    )


def differences(runs: Sequence[RunFolder]) -> dict[str, tuple[Any, ...]]:
    """Return the config keys that are not equal in all runs, with the value of each run."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    rows = {key: tuple(run.config.get(key) for run in runs) for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _starts(runs: Sequence[RunFolder]) -> dict[str, tuple[Any, ...]]:
    """Return the weights that runs were begun from, if those are not the same: their file, and of which bytes."""
    began = [run.init for run in runs]
    if len({start and start.sha256 for start in began}) == 1:
        return {}
    return {"--init": tuple(start and f"{start.weights} ({start.sha256[:12]})" for start in began)}


def sparkline(curve: Sequence[tuple[int, float]], low: float, high: float, last_step: int, width: int = 32) -> str:
    """Draw a curve in one line of text, `low` at the bottom and `high` at the top.

    Runs drawn with the same bounds can be laid under one another; where a run has no point yet there is a blank.
    """
    cells = [""] * width
    for step, value in curve:
        if math.isfinite(value):
            place = min(width - 1, int((step - 1) / max(last_step, 1) * width))
            level = round((min(max(value, low), high) - low) / max(high - low, 1e-12) * (len(_BARS) - 1))
            cells[place] = _BARS[level]
    drawn = [i for i, cell in enumerate(cells) if cell]
    for i in range(1, (drawn[-1] + 1) if drawn else 0):
        cells[i] = cells[i] or cells[i - 1]
    return "".join(cell or " " for cell in cells).rstrip()


_BARS = "▁▂▃▄▅▆▇█"


def _results(runs: Sequence[RunFolder]) -> tuple[PartResult, ...]:
    out: list[PartResult] = []
    parts = dict.fromkeys(
        ["all", *(part for run in runs for line in run.lines("tuning")[-1:] for part in parts_of(line))]
    )
    for part in parts:
        for run in runs:
            lines = [line for line in run.lines("tuning") if loss_key(part) in line]
            if not lines:
                continue
            best = min(lines, key=lambda line: float(line[loss_key(part)]))
            last = lines[-1]
            out.append(
                PartResult(
                    run.name, part, None if part == "all" else run.weight(part), last[loss_key(part)],
                    best[loss_key(part)], best["step"], last.get(baseline_key(part), math.nan), last["step"],
                )
            )  # fmt: skip
    return tuple(out)


def _not_fair(first: RunFolder, other: RunFolder) -> str:
    """Return why two runs were not validated on the same task, or nothing."""
    if first.vocabulary != other.vocabulary:
        return "another vocabulary: its losses are of other codes"
    changed = differences([first, other])
    batching = [key for key in changed if key.startswith("batching.")]
    if batching:
        return f"other batches: {', '.join(batching)}"
    hidden = [key for key in changed if key.startswith("objective.") and not key.endswith(_WEIGHTS_ONLY)]
    if hidden:
        return f"other masks or targets: {', '.join(hidden)}"
    return ""


def _pairs(first: RunFolder, other: RunFolder) -> tuple[list[Paired], str]:
    ours = {line["step"]: line for line in first.lines("tuning")}
    both = [(ours[line["step"]], line) for line in other.lines("tuning") if line["step"] in ours]
    if not both:
        return [], "no validation at the same step"
    parts = [part for part in parts_of(both[0][0]) if loss_key(part) in both[0][1]]
    same = [part for part in parts if all(_same_positions(part, a, b) for a, b in both)]
    if not same:
        return (
            [],
            "validated on other batches or masks (another seed or dataset?): positions or trivial losses differ",
        )
    whole = set(same) == set(parts_of(both[0][0])) == set(parts_of(both[0][1]))
    equal_sum = not any(key.startswith("objective.") for key in differences([first, other]))
    out: list[Paired] = []
    for part in (["all"] if whole and equal_sum else []) + same:
        gaps = [b[loss_key(part)] - a[loss_key(part)] for a, b in both]
        sd = statistics.stdev(gaps) if len(gaps) > 1 else None
        out.append(Paired(other.name, part, statistics.fmean(gaps), sd, len(gaps)))
    return out, ""


def _same_positions(part: str, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two validations predicted the same: as many positions of as much trivial loss."""
    if loss_key(part) not in a or loss_key(part) not in b or a.get(f"n_{part}") != b.get(f"n_{part}"):
        return False
    return math.isclose(a[baseline_key(part)], b[baseline_key(part)], rel_tol=1e-5, abs_tol=1e-9)


def shown(value: Any) -> str:
    """Return a config value as a table shows it."""
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
