"""`tawt plot`: a run's losses, how its attention fades with time, and how its encodings tell times apart.

matplotlib draws them; it is an extra and is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.config.model import ModelConfig
from tawt.errors import ConfigError
from tawt.models.attention.terms import Terms, cosine_frequencies, gap_rule
from tawt.tasks.figures import COLOURS, DASHES, colours, grid, line, matplotlib, save, shades, time_axis, weight_axis
from tawt.tasks.runs import RunFolder, baseline_key, find_run, loss_key, parts_of, read_runs

NUMBER_LOSSES = {"squared": "squared error", "huber": "Huber loss"}
"""How the losses of numbers are called on an axis."""
_MOST_LAYERS = 6
Floats = NDArray[np.float64]


def plot(runs: Sequence[str | Path], workspace: Path | None = None, *, out: Path | None = None) -> tuple[Path, ...]:
    """Draw runs as PNG files and return their paths.

    `losses.png` has all runs in it. For the first run that has weights, `attention.png` shows each head's weight
    against the gap, where its attention has terms that fade, and `time.png` how alike its encodings of two times are.

    Args:
        runs: Names in WORKSPACE/runs, or folders.
        workspace: Whose runs.
        out: The folder; RUN/plots of the first run by default.

    Raises:
        CheckpointError: A run is not there, or its weights do not fit its config.
        ConfigError: There is no run, or matplotlib is not installed.
    """
    if not runs:
        raise ConfigError("tawt plot", "no run, expected one or more", "tawt plot RUN")
    matplotlib()
    read = read_runs([find_run(workspace, run) for run in runs])
    folder = Path(out) if out is not None else read[0].path / "plots"
    made = []
    if any(run.metrics for run in read):
        made.append(plot_losses(read, folder / "losses.png"))
    with_weights = [run for run in read if any(run.path.glob("*.safetensors")) or (run.path / "checkpoints").is_dir()]
    if with_weights:
        from tawt.tasks.load import load_encoder

        loaded = load_encoder(with_weights[0].path)
        made += plot_attention(loaded.encoder, folder / "attention.png")
        made += plot_time(loaded.encoder, folder / "time.png")
    return tuple(made)


def plot_losses(runs: Sequence[RunFolder], path: Path) -> Path:
    """Draw the loss of each part against the step: `tuning` as a line, `train` behind it, the trivial baseline dashed.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    logged = [row for run in runs for row in run.metrics if "loss" in row]
    parts = ["all", *dict.fromkeys(part for row in logged for part in parts_of(row))]
    if len(parts) == 2:
        parts = parts[1:]
    figure, axes = grid(len(parts), columns=3, width=4.2, height=2.9)
    for axis, part in zip(axes, parts, strict=True):
        for run, colour in zip(runs, colours(len(runs)), strict=True):
            for split, style in (("train", {"alpha": 0.28, "lw": 0.9}), ("tuning", {"lw": 2.0})):
                steps, loss = _series(run.lines(split), loss_key(part))
                marker = "o" if split == "tuning" and len(steps) <= 12 else None
                if len(steps):
                    axis.plot(steps, loss, color=colour, marker=marker, ms=4, **style)
            steps, trivial = _series(run.lines("tuning") or run.lines("train"), baseline_key(part))
            if len(steps):
                axis.plot(steps, trivial, color=colour if len(runs) > 1 else "#555555", ls=DASHES, lw=1.2)
        axis.set_title("weighted sum" if part == "all" else part.replace("_", " "))
        axis.set_ylabel(_unit(part, runs))
        axis.margins(x=0.02)
        _frame(axis, runs, part)
    for axis in axes[-3:]:
        axis.set_xlabel("optimizer step")
    several = len(runs) > 1
    handles = [line(c, run.name, lw=2.0) for run, c in zip(runs, colours(len(runs)), strict=True) if several]
    colour = "#555555" if several else COLOURS[0]
    handles += [
        line(colour, "tuning", lw=2.0), line(colour, "train", lw=0.9, alpha=0.5),
        line("#555555", "trivial baseline", ls=DASHES, lw=1.2),
    ]  # fmt: skip
    return save(figure, path, "Loss by part", handles)


def plot_attention(encoder: Any, path: Path) -> list[Path]:
    """Draw what each term of attention that knows time makes of a gap: one row a term, one column a layer.

    Where all layers are alike they share one column. Nothing is drawn for attention without such a term.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    layers: list[Terms] = [block.attention.terms() for block in encoder.blocks]
    gaps = np.geomspace(1 / 60, 200_000.0, 400)
    rows: list[tuple[str, str, list[Floats]]] = []
    for name, sentence, curve in _TERMS:
        curves = [drawn for terms in layers if (drawn := curve(encoder.config, terms, gaps)) is not None]
        rows += [(name, sentence, curves)] if curves else []
    if not rows:
        return []
    alike = all(np.array_equal(curves[0], other) for _, _, curves in rows for other in curves)
    spaced = np.linspace(0, len(layers) - 1, min(len(layers), _MOST_LAYERS))
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
            weight_axis(axis, [curves[i] for i in shown])
            if c == 0:
                axis.set_ylabel("weight, relative to gap 0")
    handles = [line(palette[head], f"head {head + 1}", lw=2.0) for head in range(n_heads)]
    return [save(figure, path, "What attention makes of time, content aside", handles)]


def plot_time(encoder: Any, path: Path) -> list[Path]:
    """Draw how alike the vectors of two times are, against the time between them, for each encoding in use.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    time = encoder.embedding.time
    absolute = [(n, getattr(time, n)) for n in ("time2vec", "sinusoidal") if getattr(time, n, None) is not None]
    gaps_encoding = getattr(time, "gaps", None)
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
            vectors = gaps_encoding(hours, torch.full_like(hours, -1)).double().numpy()
        image = axes[-1].pcolormesh(short, short, _cosines(vectors), cmap="cividis", vmin=-1, vmax=1, rasterized=True)
        axes[-1].set_title("delta: gap to the event before")
        time_axis(axes[-1], short, "gap")
        time_axis(axes[-1], short, "gap", vertical=True)
        axes[-1].grid(False)
        figure.colorbar(image, ax=axes[-1], label="cosine similarity")
    handles = [line(COLOURS[0], "mean over a lifetime of times", lw=2.0)] if absolute else []
    return [save(figure, path, "How alike two times look to the encoder, about their mean", handles)]


def _decay(config: ModelConfig, terms: Terms, gaps: Floats) -> Floats | None:
    if terms.slopes is None:
        return None
    fade = gap_rule(config).fade(torch.from_numpy(gaps)).numpy()
    return np.exp(-np.outer(_numbers(terms.slopes), fade))


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
    ("decay", "time between two events", _decay),
    ("bucket", "time between two events", _bucket),
    ("cosine", "time between two events", _cosine),
    ("recency", "age at the prediction time", _recency),
)


def _likeness(encoding: Any, gaps: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, 10th and 90th percentile of the cosine similarity of `t` and `t + gap`, over a century of `t`."""
    starts = np.linspace(0.0, 876_600.0 - gaps[-1], 97)
    with torch.no_grad():
        vectors = encoding(torch.from_numpy(np.concatenate([starts, (starts[:, None] + gaps).ravel()])))
    all_of_them = vectors.double().numpy()
    all_of_them = all_of_them - all_of_them.mean(0)
    all_of_them /= np.maximum(np.linalg.norm(all_of_them, axis=1, keepdims=True), 1e-12)
    first, second = all_of_them[: len(starts)], all_of_them[len(starts) :].reshape(len(starts), len(gaps), -1)
    likeness = np.einsum("sd,sgd->sg", first, second)
    low, high = np.percentile(likeness, [10, 90], axis=0)
    return likeness.mean(0), low, high


def _cosines(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return centred @ centred.T


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()


def _series(lines: Iterable[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    there = [(row["step"], row[key]) for row in lines if key in row]
    return [step for step, _ in there], [value for _, value in there]


def _frame(axis: Any, runs: Sequence[RunFolder], part: str) -> None:
    """Let single outliers of `train` run out of the panel, not squeeze the rest."""
    seen: list[float] = []
    for run in runs:
        train, tuning = run.lines("train"), run.lines("tuning")
        seen += np.percentile(_series(train, loss_key(part))[1] or [np.nan], [1, 99]).tolist()
        seen += _series(tuning, loss_key(part))[1] + _series(tuning, baseline_key(part))[1]
    finite = [value for value in seen if np.isfinite(value)]
    if finite and max(finite) > min(finite):
        room = 0.06 * (max(finite) - min(finite))
        axis.set_ylim(min(finite) - room, max(finite) + room)


def _unit(part: str, runs: Sequence[RunFolder]) -> str:
    if part == "all":
        return "loss"
    if part not in ("value", "summary", "forecast_value"):
        return "nats"
    key = f"objective.{'forecast' if part == 'forecast_value' else 'masked'}.value_loss"
    return " or ".join(sorted({NUMBER_LOSSES[run.config.get(key, "squared")] for run in runs}))
