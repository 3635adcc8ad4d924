"""Figures: which ones a run gets, and that what is drawn is what the model computes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tawt.commands import plot as module
from tawt.commands.compare import compare
from tawt.commands.embed import embed
from tawt.commands.plot import plot
from tawt.errors import ConfigError, FileError
from tawt.figures import common as figures
from tawt.figures import curves
from tawt.models.attention.terms import rotary_frequencies
from tawt.runs.card import card
from tawt.runs.find import RunFolder
from tawt.runs.load import load_encoder

ALL = "model.attention=[rotary,decay,bucket,cosine,recency]"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, by file name."""
    kept = {}
    save = figures.save

    def keep(figure, path, title, handles):
        kept[path.name] = figure
        return save(figure, path, title, handles)

    for drawing in (module, curves):
        monkeypatch.setattr(drawing, "save", keep)
    return kept


def test_a_run_gets_its_pictures(make_run, workspace, metrics_line, drawn):
    """Losses by part with their baselines, a panel per term and layer, a panel per time encoding; all PNG files."""
    pytest.importorskip("matplotlib")
    lines = [
        metrics_line(s, split, value=(1 / s, 1.0, 9), status=(0.5, 0.6, 9))
        for s in (1, 5)
        for split in ("train", "tuning")
    ]
    make_run("a", ALL, "model.time=[time2vec,sinusoidal,delta]", "model.decay.learned=true", metrics=lines)
    make_run("b", metrics=lines)
    heard = []
    paths = plot(workspace, ["a", "b"], report=heard.append)
    assert [p.name for p in paths] == ["losses.png", "attention.png", "time.png"]
    assert [one["text"] for one in heard] == ["draws losses", "draws attention of a alone", "draws time of a alone"]
    assert all(p.parent == workspace / "runs" / "a" / "plots" and p.read_bytes()[:4] == b"\x89PNG" for p in paths)
    assert [a.get_title() for a in drawn["losses.png"].axes] == ["weighted sum", "value", "status, weight 0.2"]
    low, high = drawn["losses.png"].axes[1].get_ylim()
    assert 0 < low < 0.2 and 1.0 < high < 1.1  # all that was logged, with little around it
    widths = [line.get_linewidth() for line in drawn["losses.png"].axes[1].lines]
    assert widths == [0.7, 1.3, 2.0, 1.2] * 2  # of each run: train, the same smoothed, tuning, the trivial baseline
    tuning = [line for line in drawn["losses.png"].axes[1].lines if line.get_linewidth() == 2.0]
    assert len(tuning) == 2 and tuning[0].get_ydata().tolist() == [1.0, 0.2]
    titles = [a.get_title() for a in drawn["attention.png"].axes]
    assert titles[0].startswith("rotary") and len([t for t in titles if t.startswith("bucket")]) in (1, 2)
    assert {t.split(":")[0] for a in drawn["time.png"].axes if (t := a.get_title())} == {
        "time2vec",
        "sinusoidal",
        "delta",
    }


def test_attention_without_time_has_no_picture(make_run, workspace, tmp_path):
    """Attention that does not know time, and no time encoding, have nothing to show."""
    pytest.importorskip("matplotlib")
    make_run("a", "model.attention=[]", "model.time=[]")
    assert plot(workspace, ["a"], out=tmp_path / "out") == ()


def test_curves_are_the_factors_of_attention(make_run, drawn, tmp_path):
    """The decay drawn for each head is its share of weight at that gap, as the reference softmax gives it."""
    pytest.importorskip("matplotlib")
    encoder = load_encoder(
        make_run("a", "model.attention=[decay]", "model.decay.shape=linear", "model.decay.tau_hours=50")
    ).encoder
    module.plot_attention(encoder, tmp_path / "attention.png")
    (axis,) = drawn["attention.png"].axes
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    slopes = encoder.blocks[0].attention.terms().slopes
    for head, curve in enumerate(axis.lines):
        gaps = np.asarray(curve.get_xdata())
        scores = torch.tensor([[0.0, -float(slopes[head]) * gap / 50] for gap in gaps], dtype=torch.float64)
        weights = scores.softmax(-1)
        assert np.allclose(curve.get_ydata(), (weights[:, 1] / weights[:, 0]).numpy())


def test_recency_is_drawn_as_a_power_of_age(make_run, drawn, tmp_path):
    """The older an event is at the prediction time, the less it weighs: each head by its own power."""
    pytest.importorskip("matplotlib")
    encoder = load_encoder(make_run("a", "model.attention=[recency]", "model.recency.tau_hours=50")).encoder
    module.plot_attention(encoder, tmp_path / "attention.png")
    (axis,) = drawn["attention.png"].axes
    powers = encoder.blocks[0].attention.terms().recency.tolist()
    assert len(axis.lines) == len(powers) and max(powers) > 0
    for power, curve in zip(powers, axis.lines, strict=True):
        assert np.allclose(curve.get_ydata(), (1 + np.asarray(curve.get_xdata()) / 50) ** -power)


def test_the_turning_of_rotary_is_drawn_as_a_mean(make_run, drawn, tmp_path):
    """A head's curve is the mean cosine of its angles, over gaps within a factor of two, as finely sampled ones give it."""
    pytest.importorskip("matplotlib")
    encoder = load_encoder(make_run("a", "model.attention=[rotary]")).encoder
    module.plot_attention(encoder, tmp_path / "attention.png")
    (axis,) = drawn["attention.png"].axes
    frequencies = rotary_frequencies(encoder.config).double().numpy()
    for head, curve in enumerate(axis.lines):
        for gap, drawn_at in list(zip(curve.get_xdata(), curve.get_ydata(), strict=True))[::40]:
            dense = np.linspace(gap / np.sqrt(2), gap * np.sqrt(2), 200_001)
            cosines = [np.cos(w * dense).mean() for w in frequencies[head] if w * dense[1] - w * dense[0] < 0.1]
            if len(cosines) == len(frequencies[head]):
                assert drawn_at == pytest.approx(np.mean(cosines), abs=1e-3)


def test_a_part_has_the_unit_and_weight_of_the_runs_that_have_it(make_run, workspace, metrics_line, drawn):
    """Runs with other losses and weights, of which one never forecasts: each panel names those of the runs in it."""
    pytest.importorskip("matplotlib")
    make_run("a", metrics=[metrics_line(1, value=(0.5, 1.0, 9))])
    other = (
        "objective.masked.value_loss=huber",
        "objective.masked.value_weight=3",
        "objective.masked.value_scale=rank",
        "objective.forecast.value_loss=huber",
    )
    make_run("b", *other, metrics=[metrics_line(1, value=(0.5, 1.0, 9), forecast_value=(0.5, 1.0, 9))])
    plot(workspace, ["a", "b"])
    units = {axis.get_title().partition(",")[0]: axis.get_ylabel() for axis in drawn["losses.png"].axes}
    assert "value, weight 1 or 3" in [axis.get_title() for axis in drawn["losses.png"].axes]
    assert units["weighted sum"] == "loss"
    # one step alone, of which there is no half
    assert {tick % 1 for axis in drawn["losses.png"].axes for tick in axis.get_xticks()} == {0}
    assert units["value"] == "Huber loss of ranks or squared error" and units["forecast value"] == "Huber loss"


def test_times_are_compared_by_what_differs_between_them():
    """Two times on one wave are as alike as the cosine of the angle between them, whatever is the same at all times."""
    pytest.importorskip("matplotlib")
    turn, gaps = 2 * np.pi / 24, np.geomspace(1 / 60, 200_000.0, 20)

    def wave(hours):
        return torch.stack([torch.cos(turn * hours), torch.sin(turn * hours), torch.full_like(hours, 5.0)], 1)

    middle, low, high = module._likeness(wave, gaps)
    angles = turn * gaps[:, None] * 2.0 ** np.linspace(-0.5, 0.5, 15)
    assert np.allclose(middle, np.cos(angles).mean(1), atol=0.02) and (low <= high).all()
    assert middle.min() < -0.2 and middle.max() > 0.99


def test_gaps_that_are_alike_lie_near_each_other(make_run, drawn, tmp_path):
    """The picture of `delta` is the distance of the vectors of any two gaps: none from itself, and the same both ways."""
    pytest.importorskip("matplotlib")
    encoder = load_encoder(make_run("a", "model.time=[delta]")).encoder
    module.plot_time(encoder, tmp_path / "time.png")
    axis = drawn["time.png"].axes[0]
    apart = axis.collections[0].get_array()
    for labels in (axis.get_xticklabels(), axis.get_yticklabels()):  # both ends of the axis have one
        assert [label.get_text() for label in labels] == ["1 min", "1 h", "1 d", "1 mo", "1 y"]
    hours = torch.tensor([1 / 60, 8766.0])
    with torch.no_grad():
        first, last = encoder.embedding.time.gaps.of_events(hours)
    assert apart[0, -1] == pytest.approx(float((first - last).norm()), rel=1e-4) and apart[0, -1] > 0
    assert np.allclose(apart, apart.T) and np.allclose(np.diag(apart), 0, atol=1e-6)


def test_losses_that_are_all_the_same_are_drawn(make_run, workspace, metrics_line, drawn, recwarn):
    """A panel whose values have no span is drawn without a word of matplotlib's; no run at all is an error."""
    pytest.importorskip("matplotlib")
    make_run("a", "model.attention=[]", "model.time=[]", metrics=[metrics_line(1, value=(1.0, 1.0, 9))])
    assert [path.name for path in plot(workspace, ["a"])] == ["losses.png"] and recwarn.list == []
    with pytest.raises(ConfigError, match="no run, expected one or more"):
        plot(workspace, [])


def test_a_single_outlier_of_train_does_not_squeeze_a_panel(metrics_line):
    """It runs out of the panel; whatever tuning and its baseline have lies within."""
    train = [
        metrics_line(step, "train", value=(100.0 if step == 7 else 1.0 + step / 200, 2.0, 9)) for step in range(1, 200)
    ]
    run = RunFolder(Path("a"), "a", {}, (*train, metrics_line(199, value=(0.5, 2.5, 9))))
    kept: list[tuple[float, float]] = []
    curves._frame(SimpleNamespace(set_ylim=lambda low, high: kept.append((low, high))), [run], "value")
    ((low, high),) = kept
    assert 0 < low < 0.5 and 2.5 < high < 3


def test_smoothing_keeps_the_mean_and_the_ends():
    """A constant stays, an outlier is shared out over its neighbours, and a short curve is left alone."""
    values = np.zeros(300)
    values[150] = 21.0
    out = curves.smoothed(values)
    assert out[150] == pytest.approx(1.0) and out[139] == 0 and out.sum() == pytest.approx(21.0)
    assert curves.smoothed([3.0, 1.0]).tolist() == [3.0, 1.0]


def test_without_matplotlib_the_extra_is_named(make_run, workspace, monkeypatch):
    """The error comes before anything is read or written."""
    make_run("a")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError) as error:
        plot(workspace, ["a"])
    assert 'pip install "tawt[plots]"' in error.value.hint
    assert not (workspace / "runs" / "a" / "plots").exists()


def test_a_name_stands_in_a_legend_as_it_is():
    """matplotlib would leave out what begins with a line below, and make a formula of what is between dollars."""
    pytest.importorskip("matplotlib")
    labels = [figures.line("k", name).get_label() for name in ("a", "_run", "$x$", "two\nlines")]
    assert labels == ["a", " _run", r"\$x\$", "two lines"]


@pytest.mark.parametrize("name", ["_a[1]*?$x_{", "-two\nlines of quo'te\"s"])
def test_any_name_of_a_folder_will_do(name, make_run, workspace, metrics_line, tmp_path):
    """Runs whose names have brackets, glob characters, dollars, line breaks or quotes are drawn, compared and embedded;
    the workspace likewise."""
    pytest.importorskip("matplotlib")
    made = [make_run(n, metrics=[metrics_line(1, value=(1.0, 2.0, 5))]) for n in (name, "other")]
    odd = workspace.rename(tmp_path / f"w {name}")
    runs = [odd / "runs" / run.name for run in made]
    assert {path.name for path in plot(odd, [name, "other"])} == {"losses.png", "attention.png", "time.png"}
    assert len(compare(odd, runs).runs) == 2
    result = embed(odd, name, device="cpu")
    assert result.path.is_file() and result.n_subjects
    assert [path.name for path in result.path.parent.iterdir()] == [f"{name}.parquet"]
    assert "# " in card(runs[0])


@pytest.mark.parametrize("place", ["events", "runs", "runs/a", "runs/a/checkpoints", "runs/new", "plots", "."])
def test_nothing_is_drawn_among_the_files_of_a_workspace_or_a_run(place, make_run, workspace, metrics_line, tree):
    """Figures go to `plots` of a run or somewhere else: any other place is refused, by `compare` too, before anything is made."""
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        make_run(
            name, metrics=[metrics_line(s, split, value=(1, 1, 9)) for s in (1, 2) for split in ("train", "tuning")]
        )
    before = tree(workspace)
    for draw in (
        lambda: plot(workspace, ["a"], out=workspace / place),
        lambda: compare(workspace, ["a", "b"], plot=workspace / place / "x.png"),
    ):
        with pytest.raises(
            ConfigError, match=r"lies in a (workspace|run), expected `plots` of a run or a place outside"
        ):
            draw()
    assert tree(workspace) == before


def test_what_is_no_figure_of_tawt_is_not_replaced(make_run, workspace, metrics_line, tmp_path):
    """A file that somebody else wrote stays, and is named; a figure is drawn anew over itself."""
    pytest.importorskip("matplotlib")
    make_run("a", metrics=[metrics_line(1, "train", value=(1, 1, 9))])
    drawn = plot(workspace, ["a"], out=tmp_path / "figures")[0]
    first = drawn.read_bytes()
    assert plot(workspace, ["a"], out=tmp_path / "figures")[0].read_bytes() == first
    drawn.write_bytes(first[:8] + b"mine")
    with pytest.raises(ConfigError, match="is no figure of tawt"):
        plot(workspace, ["a"], out=tmp_path / "figures")
    assert drawn.read_bytes() == first[:8] + b"mine"


@pytest.mark.parametrize("of", ["run", "a run of a long name", "one_word_" * 12 + "$x$"])
def test_a_title_stays_within_its_figure(of: str, tmp_path):
    """However narrow the figure and long the name of the run, the title goes on in further lines, all letters there."""
    pytest.importorskip("matplotlib")
    figure, _ = figures.grid(1, columns=1, width=3.6, height=3.0)
    title = f"What the attention of {of} makes of time, content aside"
    figures.save(figure, tmp_path / "x.png", title, [])
    figure.draw_without_rendering()
    shown = figure._suptitle
    assert shown.get_window_extent().x1 <= figure.bbox.width and shown.get_window_extent().y1 <= figure.bbox.height
    assert shown.get_text().replace("\\$", "$").replace("\n", "").replace(" ", "") == title.replace(" ", "")


def test_the_plots_of_a_run_elsewhere_are_no_link(make_run, workspace, metrics_line, tmp_path):
    """A run that lies outside of the workspace is drawn in its own folder, not where a link in it leads."""
    make_run("a", metrics=[metrics_line(1, "train", value=(1, 1, 9))])
    run = (workspace / "runs" / "a").rename(tmp_path / "carried")
    (tmp_path / "others").mkdir()
    (run / "plots").symlink_to(tmp_path / "others")
    with pytest.raises(FileError, match="link"):
        plot(workspace, [str(run)])
    assert not list((tmp_path / "others").iterdir())


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("model.attention=[decay]", "model.time=[calendar]"), ["losses", "attention"]),
        (("model.attention=[]", "model.time=[time2vec]"), ["losses", "time"]),
        (("model.attention=[]", "model.time=[calendar]"), ["losses"]),
    ],
)
def test_a_dry_run_names_what_would_be_drawn(settings, names, make_run, workspace, metrics_line, tmp_path):
    """No more and no less than is drawn then; nothing is written before."""
    make_run("a", *settings, metrics=[metrics_line(1, value=(1.0, 2.0, 9))])
    told = plot(workspace, ["a"], out=tmp_path / "plots", dry_run=True)
    assert not (tmp_path / "plots").exists()
    assert (
        told == plot(workspace, ["a"], out=tmp_path / "plots") == tuple(tmp_path / "plots" / f"{n}.png" for n in names)
    )
