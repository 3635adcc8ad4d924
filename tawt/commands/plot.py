"""`tawt plot`: a run's losses, how its attention fades with time, and how its encodings tell times apart.

matplotlib draws them; it is an extra and is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tawt.arrays import Floats
from tawt.commands.carried import place_read
from tawt.commands.map import draw_map
from tawt.config.model import ModelConfig
from tawt.contracts.workspace import EVALUATIONS
from tawt.errors import ConfigError
from tawt.figures.common import COLOURS, grid, line, matplotlib, save, shades, time_axis, weight_axis
from tawt.figures.curves import plot_losses
from tawt.heads.labels import label_file, read_labels
from tawt.models.attention.terms import Terms, cosine_frequencies, gap_rule, rotary_frequencies
from tawt.pipeline.fresh import hold_fresh
from tawt.places import refuse_links
from tawt.runs.find import called, find_run, read_runs
from tawt.seals import LATER
from tawt.shell import command
from tawt.training.folder import Report
from tawt.training.outputs import refuse_among

LOSSES = "losses"
"""The figure that all runs are in; the others are of one."""
_MOST_LAYERS = 6
_WITHIN = 15
_GAPS = np.geomspace(1 / 60, 200_000.0, 400)
"""Hours."""


def plot(
    workspace: Path,
    runs: Sequence[str | Path],
    *,
    labels: str | Path | None = None,
    kind: str | None = None,
    out: Path | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> tuple[Path, ...]:
    """Draw runs as PNG files and return their paths.

    `losses.png` has all runs in it. For the first run that has weights, `attention.png` shows each head's weight
    against the gap, where its attention has terms that fade, and `time.png` how alike its encodings of two times are.
    With `labels` there is `map-TASK.png` instead: of each run the embeddings at the times of the label set, which
    `embed` has made, along their two directions of most variance, coloured by the labels.

    Args:
        workspace: Whose runs.
        runs: Names in WORKSPACE/runs, or folders.
        labels: Name of a label set in WORKSPACE/labels, or a Parquet file.
        kind: What the labels ask, where their columns leave it open.
        out: The folder; RUN/plots of the first run by default, of a map of another place's run
            WORKSPACE/evaluations/TASK.
        stale_ok: Draw also where the workspace's dataset is older than what it was made from.
        dry_run: Draw nothing, and return what would be drawn.
        report: Hears `{"event": "part", "text": ...}`, what is drawn.

    Raises:
        CheckpointError: A run is not there, or its weights do not fit its config.
        ConfigError: There is no run, matplotlib is not installed, `out` lies among the files of a workspace or a run,
            or there is a file of the name that is no figure of tawt; with `labels`, these do not hold, or a run has not
            been embedded at their times as they are now.
        StaleError: The workspace's dataset is older than what it was made from.
    """
    if not runs:
        raise ConfigError("tawt plot", "no run, expected one or more", command("plot", "RUN", workspace=workspace))
    matplotlib()
    tell = report if report is not None else lambda event: None
    root = Path(workspace)
    read = read_runs([find_run(root, run) for run in runs])
    task = label_file(root, labels) if labels is not None else None
    for place in {root if task is None else place_read(root, run.path) for run in read}:
        hold_fresh(place, stale_ok, labels=task)
    first = read[0].path
    # a map of subjects of here does not belong with a run of another place
    of_here = task is None or called(root, first) == first.resolve().name
    usual = first / LATER if task is None or of_here else root / EVALUATIONS / read_labels(task, kind).name
    folder = Path(out) if out is not None else usual
    for at in (root, first):
        refuse_links(at, folder)
    if out is not None or of_here:
        refuse_among(folder, root, [run.path for run in read], "--out DIR")
    if labels is not None and dry_run:
        return (folder / f"map-{read_labels(task, kind).name}.png",) if task is not None else ()
    if labels is not None:
        tell({"event": "part", "text": "draws the map"})
        return (draw_map(root, [run.path for run in read], labels, folder, kind),)
    figures: list[tuple[str, Callable[[Path], list[Path]]]] = []
    with_weights = [run for run in read if any(run.path.glob("*.safetensors")) or (run.path / "checkpoints").is_dir()]
    if any(run.metrics for run in read):
        figures.append((LOSSES, lambda at: [plot_losses(read, at)]))
    of = ""
    if with_weights:
        from tawt.runs.load import load_encoder

        of = with_weights[0].name
        encoder = load_encoder(with_weights[0].path).encoder
        if _curves(encoder):
            figures.append(("attention", lambda at: plot_attention(encoder, at, of)))
        if any(_encodings(encoder)):
            figures.append(("time", lambda at: plot_time(encoder, at, of)))
    paths = {folder / f"{name}.png": draw for name, draw in figures}
    if dry_run:
        return (*paths,)
    drawn: list[Path] = []
    for path, draw in paths.items():
        whose = f" of {of} alone" if len(read) > 1 and path.name != f"{LOSSES}.png" else ""
        tell({"event": "part", "text": f"draws {path.stem}{whose}"})
        drawn += draw(path)
    return (*drawn,)


def plot_attention(encoder: Any, path: Path, of: str = "") -> list[Path]:
    """Draw what each term of attention that knows time makes of a gap: one row a term, one column a layer.

    Where all layers are alike they share one column. Nothing is drawn for attention without such a term. Of `rotary`,
    which has no weight of its own, the mean cosine of a head's turned pairs is shown: what a query and a key that are
    equal before they are turned keep of their product.

    Args:
        encoder: Whose attention.
        path: The PNG.
        of: The run, for the title.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    rows, gaps, n_layers = _curves(encoder), _GAPS, len(encoder.blocks)
    if not rows:
        return []
    alike = all(np.array_equal(curves[0], other) for _, _, curves in rows for other in curves)
    spaced = np.linspace(0, n_layers - 1, min(n_layers, _MOST_LAYERS))
    shown = [0] if alike else sorted({round(i) for i in spaced.tolist()})
    figure, axes = grid(len(rows) * len(shown), columns=len(shown), width=6.4 if len(shown) == 1 else 3.6, height=3.0)
    n_heads = encoder.config.n_heads
    palette = shades(n_heads)
    for r, (name, sentence, curves) in enumerate(rows):
        for c, layer in enumerate(shown):
            axis = axes[r * len(shown) + c]
            for head in range(n_heads):
                axis.plot(gaps, curves[layer][head], color=palette[head], lw=1.8)
            axis.set_title(f"{name}, {'all layers' if alike else f'layer {layer + 1}'}")
            time_axis(axis, gaps, sentence)
            if name == "rotary":
                axis.set_ylim(-1.05, 1.05)
            else:
                weight_axis(axis, [curves[i] for i in shown])
            if c == 0:
                axis.set_ylabel("mean cosine of the angles" if name == "rotary" else "weight, relative to gap 0")
    handles = [line(palette[head], f"head {head + 1}", lw=2.0) for head in range(n_heads)]
    return [save(figure, path, f"What the attention of {of} makes of time, content aside", handles)]


def plot_time(encoder: Any, path: Path, of: str = "") -> list[Path]:
    """Draw how alike the vectors of two times are, against the time between them, for each encoding in use.

    Waves of the calendar are not drawn: they tell the hour of the day, whatever lies between.

    Args:
        encoder: Whose encodings.
        path: The PNG.
        of: The run, for the title.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    absolute, gaps_encoding = _encodings(encoder)
    n_panels = len(absolute) + (gaps_encoding is not None)
    if not n_panels:
        return []
    figure, axes = grid(n_panels, columns=3, width=4.8, height=3.4)
    gaps = np.geomspace(1 / 60, 200_000.0, 300)
    for axis, (name, encoding) in zip(axes, absolute, strict=False):
        middle, low, high = _likeness(encoding, gaps)
        axis.fill_between(gaps, low, high, color=COLOURS[0], alpha=0.15, lw=0)
        axis.plot(gaps, middle, color=COLOURS[0], lw=2.0)
        axis.axhline(0, color="#888888", lw=0.8)
        axis.set_title(name)
        axis.set_ylabel("cosine similarity")
        axis.set_ylim(-1.05, 1.05)
        time_axis(axis, gaps, "time between two events")
    if gaps_encoding is not None:
        short = np.geomspace(1 / 60, 8766.0, 120)
        with torch.no_grad():
            hours = torch.from_numpy(short).float()
            apart = torch.cdist(*[gaps_encoding.of_events(hours).double()] * 2).numpy()
        image = axes[-1].pcolormesh(short, short, apart, cmap="cividis_r", vmin=0, rasterized=True)
        axes[-1].set_title("delta: gap to the event before")
        time_axis(axes[-1], short, "one gap")
        time_axis(axes[-1], short, "the other gap", vertical=True)
        axes[-1].grid(False)
        figure.colorbar(image, ax=axes[-1], label="distance of the vectors")
    handles = [
        line(COLOURS[0], "mean over a lifetime of times", lw=2.0),
        line(COLOURS[0], "the middle four fifths of them", lw=7.0, alpha=0.15),
        line("#888888", "no more alike than any two times", lw=0.8),
    ]
    return [save(figure, path, f"How alike two times look to {of}", handles if absolute else [])]


def _curves(encoder: Any) -> list[tuple[str, str, list[Floats]]]:
    """Return each term of attention that knows time: its name, what it goes by, and a curve over `_GAPS` a layer."""
    layers: list[Terms] = [block.attention.terms() for block in encoder.blocks]
    rows: list[tuple[str, str, list[Floats]]] = []
    for name, sentence, curve in _TERMS:
        curves = [drawn for terms in layers if (drawn := curve(encoder.config, terms, _GAPS)) is not None]
        rows += [(name, sentence, curves)] if curves else []
    return rows


def _encodings(encoder: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Return the encodings of a time by name, and that of gaps; None where there is none."""
    time = encoder.embedding.time
    absolute = [(n, getattr(time, n)) for n in ("time2vec", "sinusoidal") if getattr(time, n, None) is not None]
    return absolute, getattr(time, "gaps", None)


def _decay(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    if terms.slopes is None:
        return None
    fade = gap_rule(config).fade(torch.from_numpy(gaps)).numpy()
    return np.exp(-np.outer(_numbers(terms.slopes), fade))


def _rotary(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    frequencies = rotary_frequencies(config).double().numpy()
    if "rotary" not in config.attention or not frequencies.size:
        return None
    # the mean over a factor of two: waves shorter than that are seen by no eye on this axis
    low, high = gaps / np.sqrt(2), gaps * np.sqrt(2)
    angles = frequencies[:, :, None]
    return ((np.sin(angles * high) - np.sin(angles * low)) / (angles * (high - low))).mean(1)


def _bucket(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    if terms.buckets is None:
        return None
    table = _numbers(terms.buckets)
    place = gap_rule(config).bucket(torch.from_numpy(gaps)).numpy()
    return np.exp(table[:, place] - table[:, :1])


def _cosine(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    if terms.amplitudes is None:
        return None
    amplitudes = _numbers(terms.amplitudes)
    waves = np.cos(np.outer(cosine_frequencies(config).numpy(), gaps))
    return np.exp(amplitudes @ waves - amplitudes.sum(1, keepdims=True))


def _recency(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    if terms.recency is None:
        return None
    return np.exp(-np.outer(_numbers(terms.recency), np.log1p(gaps / config.recency.tau_hours)))


_TERMS: tuple[tuple[str, str, Callable[[ModelConfig, Terms, Floats], Floats | None]], ...] = (
    ("rotary", "time between two events", _rotary),
    ("decay", "time between two events", _decay),
    ("bucket", "time between two events", _bucket),
    ("cosine", "time between two events", _cosine),
    ("recency", "age at the prediction time", _recency),
)


def _likeness(encoding: Any, gaps: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, 10th and 90th percentile of the cosine similarity of `t` and `t + gap`, over a century of `t`."""
    starts = np.linspace(0.0, 876_600.0 - gaps[-1], 61)
    # several gaps within a factor of two, as for `_rotary`
    step = 2.0 ** np.linspace(-0.5, 0.5, _WITHIN)
    with torch.no_grad():
        times = (starts[:, None, None] + gaps[:, None] * step).ravel()
        vectors = encoding(torch.from_numpy(np.concatenate([starts, times])))
    all_of_them = vectors.double().numpy()
    all_of_them = all_of_them - all_of_them.mean(0)
    all_of_them /= np.maximum(np.linalg.norm(all_of_them, axis=1, keepdims=True), 1e-12)
    first, second = all_of_them[: len(starts)], all_of_them[len(starts) :].reshape(len(starts), len(gaps), _WITHIN, -1)
    likeness = np.einsum("sd,sgwd->sg", first, second) / _WITHIN
    low, high = np.percentile(likeness, [10, 90], axis=0)
    return likeness.mean(0), low, high


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()
