"""What commands say to a person who erred, or who reads what came of it."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import tawt
from tawt.cli.app import app
from tawt.cli.output import Format
from tawt.cli.use import _tell_labels
from tawt.config.latent import KL
from tawt.config.next_event import NEXT
from tawt.config.objective import ObjectiveConfig
from tawt.errors import nearest
from tawt.objectives.parts import MASKED, PAIRED, PARTS, weights
from tawt.runs.find import RunFolder, flat

ERRORS = {
    "a folder for a file": (
        ("embed", "--run", "tiny", "--device", "cpu", "--out", "{w}"),
        "is a folder, expected a file",
    ),
    "a run twice": (("compare", "tiny", "tiny"), "names `tiny` twice, expected two or more, each once"),
    "a run alone": (("compare", "tiny"), "names 1 run, expected two or more, each once"),
    "a stage by its last part": (("show", "labevents"), "did you mean `staging.labevents`?"),
    "stages by their last part": (("run", "labevents"), "did you mean `staging.labevents`?"),
    "a word for a number": (("pretrain", "--set", "train.max_steps=abc"), "for example train.max_steps=1000"),
    "a statement that writes": (("query", "drop table events"), "is a drop statement, expected one select"),
    "two statements": (("query", "select 1; select 2"), "holds 2 statements, expected one select"),
    "a format": (
        ("stages", "--format", "jsn"),
        "Invalid value for '--format': 'jsn' is not one of 'table', 'json', 'csv'",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_is_and_what_would_do(name: str, tawt, finished: Path, tree) -> None:
    """One line and a hint, in words of the command line; nothing is left behind."""
    words, said = ERRORS[name]
    before = tree(finished)
    ended = tawt(*(word.format(w=finished) for word in words), "-w", finished)
    assert ended.code in (1, 2) and said in ended.error and "Value error" not in ended.err
    assert re.fullmatch(r"error: [^\n]+\n\nhint: [^\n]+\n", ended.error)
    after = tree(finished)
    assert {k for k in after if not k.endswith(".lock")} == {k for k in before if not k.endswith(".lock")}


def test_an_embedding_says_what_it_was_made_on(tawt, finished: Path, tmp_path: Path) -> None:
    """Device, precision and threads come with their reasons; threads are those of the run."""
    ended = tawt("embed", "-w", finished, "--run", "tiny", "--device", "cpu", "--out", tmp_path / "e.parquet")
    assert ended.code == 0, ended.err
    assert re.search(
        r"^device cpu \(asked for\)  precision fp32 \(.+\)  threads 1 \(as the run had\)$", ended.err, re.M
    )
    assert re.search(r"^triplets left out +[\d,]+, older than the last window of their subject$", ended.out, re.M)


def test_the_parts_of_a_loss_add_up(tawt, finished: Path, tiny, tmp_path: Path) -> None:
    """The table has each part's weight: parts times weights are the loss, and so are the trivial baselines."""
    ended = tawt("pretrain", "-w", finished, "--device", "cpu", "--out", tmp_path / "r", *tiny, "--format", "json",
                 "--set", "objective.masked.status_weight=0.2", "--set", "objective.masked.value_weight=3")  # fmt: skip
    assert ended.code == 0, ended.err
    rows = [row for row in json.loads(ended.out) if row["split"] == "tuning"]
    (whole,), parts = [row for row in rows if row["part"] == "all"], [row for row in rows if row["part"] != "all"]
    assert whole["weight"] is None and {row["part"]: row["weight"] for row in parts}["value"] == 3
    for key in ("loss", "trivial"):
        assert sum(row["weight"] * row[key] for row in parts) == pytest.approx(whole[key], rel=1e-5)


def test_a_run_knows_the_weights_of_its_parts() -> None:
    """Read from a run's flat config, they are those that the loss is made with."""
    config = ObjectiveConfig.model_validate({
        "masked": {"weight": 2.0, "status_weight": 0.5, "token_weight": 1.0, "summary_weight": 4.0, "variables": 0.1},
        "forecast": {"weight": 3.0, "presence_weight": 0.1}, "contrastive": {"weight": 0.7},
    })  # fmt: skip
    run = RunFolder(Path("r"), "r", flat({"objective": config.model_dump(mode="json")}), ())
    others = [part for part in PARTS if part not in ("label", PAIRED, KL, *NEXT)]
    assert {part: run.weight(part) for part in others} == pytest.approx(weights(config))
    paired = ObjectiveConfig.model_validate({"masked": {"weight": 0}, "paired": {"weight": 0.3}})
    run = RunFolder(Path("r"), "r", flat({"objective": paired.model_dump(mode="json")}), ())
    assert {PAIRED: run.weight(PAIRED)} == weights(paired) == {PAIRED: 0.3}
    latent = {"encoder": "pretrain_small", "beta": 3.0}
    config = ObjectiveConfig.model_validate({
        "masked": {"weight": 0}, "next": {"weight": 2.0, "gap_weight": 0.5, "later_weight": 0.25}, "latent": latent,
    })  # fmt: skip
    run = RunFolder(Path("r"), "r", flat({"objective": config.model_dump(mode="json")}), ())
    assert {part: run.weight(part) for part in (*NEXT, KL)} == weights(config)
    assert (run.weight("gap"), run.weight(KL)) == (1, 6)
    assert RunFolder(Path("r"), "r", {}, ()).weight("value") is None


HIDES: list[tuple[dict[str, object], set[str]]] = [
    ({}, set()),
    ({"value": 0.2, "data_type": 0, "event": 0}, {"data_type"}),
    ({"value": 0, "data_type": 0.2, "event": 0}, {"value", "token", "category", "status"}),
    ({"value": 0, "data_type": 0, "event": 0.1}, set()),
    ({"value": 0, "data_type": 0, "event": 0, "spans": 2}, {"data_type"}),
    ({"value": 0, "data_type": 0, "event": 0, "spans": 2, "span_hides": "event"}, set()),
    ({"value": 0, "data_type": 0, "event": 0, "variables": 0.2, "variable_hides": "event"}, set()),
    ({"value": 0, "data_type": 0, "event": 0, "variables": 0.2, "span_hides": "event"}, {"data_type"}),
]


@pytest.mark.parametrize(("masked", "never"), HIDES)
def test_parts_that_a_config_turns_off_are_known(masked: dict[str, object], never: set[str]) -> None:
    """A part of which the config hides nothing is off, whatever it weighs."""
    on = weights(ObjectiveConfig.model_validate({"masked": masked | {f"{part}_weight": 1 for part in MASKED[:-1]}}))
    assert {*MASKED[:-1]} - on.keys() == never


def test_what_the_config_turned_off_is_no_doubt(tawt, finished: Path) -> None:
    """`pretrain_small` hides values only: no note says that its data_types have no position."""
    ended = tawt("pretrain", "-w", finished, "--device", "cpu", "--dry-run")
    assert ended.code == 0 and "data_type" not in ended.err
    assert "passes over train" in ended.err


def test_a_dry_run_knows_that_one_thread_needs_no_measurement(tawt, finished: Path, monkeypatch) -> None:
    """Where only one thread may run the dry run says so, as the run does; else the count is to be measured, not 1."""
    told = []
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr("tawt.training.device.usable_cpus", lambda: 2)
    for most in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", most)
        ended = tawt("pretrain", "-w", finished, "--device", "cpu", "--dry-run", "--format", "json")
        told += [(row["value"], row["why"]) for row in json.loads(ended.out) if row["what"] == "threads"]
    one, several = told
    assert one == ("1", "one: there is one usable CPU, or OMP_NUM_THREADS says so")
    assert several == ("", "to be measured when the run starts")


def test_the_last_part_of_a_name_is_meant() -> None:
    """A name is found by its last part; several are all named; what is no part is found by its letters."""
    known = ("staging.labs", "event_parts.labs", "codes.units")
    assert nearest("labs", known) == "did you mean `event_parts.labs` or `staging.labs`?"
    assert nearest("codes.unit", known) == "did you mean `codes.units`?"
    assert nearest("x", ("b", "a")) == "known: a, b"


def test_a_command_and_its_function_do_the_same_unasked() -> None:
    """Where an option has a default, the parameter of the public function has the same."""
    options = [
        (name, option.default, function[of].default)
        for command in app.registered_commands
        for name in [(command.name or command.callback.__name__).replace("-", "_")]
        for function in [inspect.signature(getattr(tawt, name)).parameters if hasattr(tawt, name) else {}]
        for option in inspect.signature(command.callback).parameters.values()
        for of in {option.name, f"n_{option.name}"} & set(function)
        if option.default not in (None, inspect.Parameter.empty)
    ]
    assert len(options) > 15 and [one for one in options if str(one[1]) != str(one[2])] == []


@pytest.mark.parametrize("n", ["40", "-"])
def test_marks_in_place_of_counts_are_explained(n: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a count of labels is not told, a line says what stands for it; elsewhere there is none."""
    row = {"split": "train", "answer": "yes", "subjects": "11+" if n == "-" else "30", "labels": n}
    told = {"counts": [row], "attrition": [], "n_labels": 40, "path": "p"}
    made = SimpleNamespace(name="a", stage=None, dry_run=False, reason="new", **told)
    _tell_labels(made, Format.table)
    assert ("<11, 11+, a range or -: " in capsys.readouterr().err) == (n == "-")
