"""`tawt compare`, `tawt sweep` and `tawt plot` as commands."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tawt.training.metrics import read_metrics


@pytest.fixture
def two(finished: Path, tmp_path: Path) -> Path:
    """A workspace with one run twice, the second with another loss and setting."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    other = Path(shutil.copytree(work / "runs" / "tiny", work / "runs" / "other"))
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("weight_decay: 0.02", "weight_decay: 0.5"))
    lines = read_metrics(other / "metrics.jsonl")
    lines = [line | {"loss_value": line["loss_value"] + 1} if "loss_value" in line else line for line in lines]
    (other / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return work


def test_compare_prints_settings_losses_and_pairs(two: Path, tawt) -> None:
    """Data goes to stdout, in each format, and the last line says what to do next."""
    words = ("compare", "-w", two, "tiny", "other")
    table = tawt(*words)
    assert table.code == 0, table.err
    assert "train.weight_decay" in table.out and "minus tiny" in table.out and "█" in table.out
    assert table.err.splitlines()[-1].startswith("next: tawt plot")
    found = json.loads(tawt(*words, "--format", "json").out)
    assert found["differences"] == {"train.weight_decay": [0.02, 0.5]}
    pairs = {p["part"]: p["mean"] for p in found["paired"]}
    assert pairs["value"] == pytest.approx(1) and pairs["forecast_presence"] == 0
    rows = list(csv.DictReader(io.StringIO(tawt(*words, "--format", "csv").out)))
    assert {"table": "setting", "run": "other", "name": "train.weight_decay", "step": "", "value": "0.5"} in rows
    assert sum(row["table"] == "curve" for row in rows) == sum(map(len, found["curves"].values()))


@pytest.mark.filterwarnings("error:Glyph")
def test_no_name_of_a_run_is_obeyed_by_a_terminal(two: Path, tawt) -> None:
    """Folders of runs are shared, and are called as anybody likes."""
    name = "od\x1b[31md\u202e"
    shutil.copytree(two / "runs" / "tiny", two / "runs" / name)
    compared = [("compare", "tiny", name, "--format", form) for form in ("table", "csv", "json")]
    for words in (*compared, ("plot", name), ("plot", name, "--dry-run")):
        said = tawt(*words, "-w", two)
        assert said.code == 0 and "31md" in said.out, said.err
        assert not {"\x1b", "\u202e"} & {*said.out, *said.err}


def test_every_form_of_a_comparison_says_the_same(two: Path, tawt) -> None:
    """CSV holds each number of the JSON once, by its table, run, name and step; the table names the range of its bars."""
    words = ("compare", "-w", two, "tiny", "other")
    found = json.loads(tawt(*words, "--format", "json").out)
    expected = [
        ("setting", run, key, "", json.dumps(value))
        for key, values in found["differences"].items()
        for run, value in zip(found["runs"], values, strict=True)
    ]
    for r in found["results"]:
        for table, step, value in (
            ("final", "final_step", "final"),
            ("best", "best_step", "best"),
            ("trivial", "final_step", "baseline"),
        ):
            expected.append((table, r["run"], r["part"], str(r[step]), str(r[value])))
        expected += [("weight", r["run"], r["part"], "", str(r["weight"]))] if r["part"] != "all" else []
    for p in found["paired"]:
        expected += [
            (f"paired_{what}", p["run"], p["part"], "", str(p[key]))
            for what, key in (("mean", "mean"), ("sd", "sd"), ("steps", "n_steps"))
        ]
    expected += [
        ("cost", c["run"], what, str(c["steps"]), str(c[what]))
        for c in found["costs"]
        for what in ("seconds", "tokens")
    ]
    expected += [
        ("curve", run, "all", str(step), str(loss)) for run, curve in found["curves"].items() for step, loss in curve
    ]
    rows = [tuple(row.values()) for row in csv.DictReader(io.StringIO(tawt(*words, "--format", "csv").out))]
    assert sorted(rows) == sorted(expected)
    assert {row[0] for row in rows} == {
        "setting",
        "final",
        "best",
        "trivial",
        "weight",
        "paired_mean",
        "paired_sd",
        "paired_steps",
        "cost",
        "curve",
    }
    losses = [loss for curve in found["curves"].values() for _, loss in curve]
    last = max(step for curve in found["curves"].values() for step, _ in curve)
    assert f"tuning loss, {min(losses):.4g} to {max(losses):.4g}, step 1 to {last}" in tawt(*words).out


def test_runs_that_cannot_be_paired_are_said(two: Path, tawt) -> None:
    """Where the settings are the same that is said, and an unpaired run has its reason in the table and in CSV."""
    other = two / "runs" / "other"
    (other / "config.yaml").write_bytes((two / "runs" / "tiny" / "config.yaml").read_bytes())
    lines = read_metrics(other / "metrics.jsonl")
    (other / "metrics.jsonl").write_text(
        "".join(json.dumps(line | {"step": line["step"] + 100}) + "\n" for line in lines)
    )
    ended = tawt("compare", "-w", two, "tiny", "other")
    assert "all settings are the same" in ended.err and "minus tiny" not in ended.out
    assert "step 1 to 104" in ended.out  # as far as the longer one
    assert "other is not paired with tiny: no validation at the same step" in ended.err
    rows = list(csv.DictReader(io.StringIO(tawt("compare", "-w", two, "tiny", "other", "--format", "csv").out)))
    assert {
        "table": "unpaired",
        "run": "other",
        "name": "no validation at the same step",
        "step": "",
        "value": "",
    } in rows


def test_compare_draws_curves(two: Path, tawt, tmp_path: Path) -> None:
    """With `--plot`, a PNG of all runs is written; `tawt plot` writes the others too."""
    pytest.importorskip("matplotlib")
    ended = tawt("compare", "-w", two, "tiny", "other", "--plot", tmp_path / "curves.png")
    assert ended.code == 0 and (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert f"curves: {tmp_path / 'curves.png'}" in ended.err
    ended = tawt("plot", "-w", two, "tiny", "--out", tmp_path / "plots")
    assert ended.code == 0, ended.err
    assert ended.out.split() == [str(tmp_path / "plots" / f"{name}.png") for name in ("losses", "attention", "time")]
    assert ended.err.splitlines()[-1] == f"next: tawt embed -w {two} --run tiny"


@pytest.mark.parametrize("place", ["file", "file/folder", "link"])
def test_what_is_no_folder_is_named(place: str, finished: Path, tawt, tmp_path: Path) -> None:
    """A file, a place below one, and a link that leads nowhere are told as such, whichever command is to write there."""
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("mine"), (tmp_path / "link").symlink_to("nowhere")
    ended = tawt("plot", "-w", finished, "tiny", "--out", tmp_path / place)
    assert ended.code == 1
    assert ended.error.startswith(f"error: {tmp_path / place}: is no folder, or lies in none, expected one\n")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_sweep_trains_its_arms(finished: Path, tawt, tiny, tmp_path: Path) -> None:
    """A dry run says what would run; then every arm and seed has a run, and asked again all are skipped."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    settings = json.dumps(tiny[1::2])
    arms = "{plain: [], off: ['model.attention=[]']}"
    (tmp_path / "decay.yaml").write_text(f"settings: {settings}\narms: {arms}\nseeds: [0, 1]\n")
    words = ("sweep", tmp_path / "decay.yaml", "-w", work, "--device", "cpu")
    dry = tawt(*words, "--dry-run")
    assert dry.code == 0 and dry.out.count("would run") == 4 and not (work / "runs" / "decay").exists()
    ended = tawt(*words, "--format", "json")
    assert ended.code == 0, ended.err
    rows = {(row["part"], row["arm"]): row for row in json.loads(ended.out)}
    assert rows["all", "off"]["seeds"] == 2 and rows["all", "off"]["sd"] > 0
    assert (work / "runs" / "decay" / "off-seed1" / "model.safetensors").is_file()
    again = tawt(*words, "--format", "json")
    assert again.err.count("skipped: finished before") == 4 and again.out == ended.out


def test_a_sweep_with_a_failed_run_ends_with_1(finished: Path, tawt, tiny, tmp_path: Path) -> None:
    """The other runs are made, the failed one is named with its reason."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    arms = "{wild: [train.lr=1e38, train.clip=1e38], plain: []}"
    (tmp_path / "wild.yaml").write_text(f"settings: {json.dumps(tiny[1::2])}\narms: {arms}\nseeds: [0]\n")
    ended = tawt("sweep", tmp_path / "wild.yaml", "-w", work, "--device", "cpu")
    assert ended.code == 1
    assert "failed: wild, seed 0" in ended.err and "not finite" in ended.err
    assert (work / "runs" / "wild" / "plain-seed0" / "model.safetensors").is_file()
