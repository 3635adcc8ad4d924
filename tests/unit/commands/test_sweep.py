"""`tawt sweep`: which runs are made, skipped, resumed and tried again, and the table over seeds."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import statistics
from pathlib import Path

import pytest

import tawt.commands.sweep as module
from tawt.commands.sweep import sweep
from tawt.config.load import dump
from tawt.errors import CheckpointError, ConfigError, FileError, RoomError, TrainingError
from tawt.files import write_hashes, write_sealed
from tawt.seals import changed_files
from tawt.training.checkpoint import CheckpointState
from tawt.training.folder import comparable

YAML = """
config: pretrain_small
settings: [train.max_steps=10]
arms:
  plain: []
  steep: [model.decay.steepest=2]
seeds: [0, 1, 2]
"""
CONSTANT = "train.max_steps=10, train.schedule=constant"


@pytest.fixture
def trained(monkeypatch, metrics_line):
    """A trainer that writes a run at once; what `fails` names by (steepest, seed) it breaks off."""
    made: list[tuple[float, int]] = []
    fails: dict[tuple[float, int], BaseException] = {}
    data = {"vocabulary": "a" * 64, "dataset": "b" * 16}

    def pretrain(workspace, config, *, device, out, resume, stale_ok, report):
        key = (config.model.decay.steepest, config.train.seed)
        steps = config.train.max_steps
        assert resume == (out / "config.yaml").exists()
        made.append(key)
        (out / "files.json").unlink(missing_ok=True)
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(dump(config))
        step = 5 if key in fails else steps
        state = CheckpointState(
            step=step, config=comparable(config), **data, seed=key[1], threads=1, precision="fp32",
            processes=1, batches_per_step=1,
        )  # fmt: skip
        (folder := out / "checkpoints" / f"step-{step:06d}").mkdir(exist_ok=True)
        (folder / "state.json").write_text(state.model_dump_json())
        write_hashes(folder)
        (out / "checkpoints" / "latest").write_text(folder.name)
        if key in fails:
            report({"event": "stopped", "step": 5, "resume": "tawt pretrain ..."})
            raise fails[key]
        loss = key[0] + 0.1 * key[1] ** 2
        (out / "metrics.jsonl").write_text(json.dumps(metrics_line(steps, value=(loss, 3.0, 5))) + "\n")
        write_hashes(out)

    monkeypatch.setattr(module, "pretrain", pretrain)
    monkeypatch.setattr(module, "what_is_read", lambda workspace: dict(data))
    return made, fails, data


@pytest.fixture
def file(tmp_path):
    """A sweep of two arms and three seeds."""
    (tmp_path / "decay.yaml").write_text(YAML)
    return tmp_path / "decay.yaml"


def test_every_arm_has_every_seed_and_a_row(tmp_path, file, trained):
    """Arms take turns seed by seed; a row has mean and n - 1 deviation over seeds, and the paired gap to the first."""
    result = sweep(tmp_path, file, device="cpu")
    assert trained[0] == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]
    assert result.folder == tmp_path / "runs" / "decay" and (result.folder / "steep-seed2").is_dir()
    rows = {(r.arm, r.part): r for r in result.table}
    assert set(rows) == {(a, p) for a in ("plain", "steep") for p in ("all", "value")}
    row = rows["steep", "value"]
    assert row.weight == 1 and rows["steep", "all"].weight is None
    assert row.n_seeds == 3 and row.baseline == 3 and row.mean == pytest.approx(2 + 0.5 / 3)
    assert row.sd == pytest.approx(statistics.stdev([2, 2.1, 2.4]))
    assert row.gap == pytest.approx(1) and row.gap_sd == pytest.approx(0, abs=1e-12)
    assert rows["plain", "all"].gap is None
    written = list(csv.DictReader((result.folder / "sweep.csv").open()))
    assert [float(r["mean"]) for r in written] == [r.mean for r in result.table]
    assert json.loads((result.folder / "sweep.json").read_text())["table"][0]["arm"] == "plain"


def test_what_is_finished_is_skipped_and_what_broke_off_goes_on(tmp_path, file, trained):
    """After an interruption the same command skips, resumes and starts runs, each with its reason."""
    made, fails, _ = trained
    fails[1, 1] = KeyboardInterrupt()
    events: list[dict] = []
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, file, device="cpu", report=events.append)
    assert [e["resume"] for e in events if e["event"] == "stopped"] == [f"tawt sweep {file} -w {tmp_path} --device cpu"]
    made.clear(), fails.clear(), events.clear()
    planned = sweep(tmp_path, file, dry_run=True)
    assert made == [] and [r.reason for r in planned.runs[:4]] == [
        "finished before", "finished before", "broken off: goes on from its newest checkpoint", "new",
    ]  # fmt: skip
    result = sweep(tmp_path, file, device="cpu", report=events.append)
    assert made == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert [e["state"] for e in events if e["event"] == "run"] == ["skipped"] * 2 + ["running"] * 4
    assert {row.n_seeds for row in result.table} == {3}


def test_a_run_that_fails_does_not_lose_the_others(tmp_path, file, trained):
    """Its error is recorded, the rest is made, and the next time it is tried again; foreign errors give no text."""
    made, fails, _ = trained
    fails[2, 0] = TrainingError("step 3", "the loss is not finite, expected a number", "lower train.lr")
    fails[2, 1] = ValueError("a cell of a patient")
    result = sweep(tmp_path, file, device="cpu")
    assert len(made) == 6 and result.n_failed == 2
    failed = {r.seed: r.reason for r in result.runs if r.state == "failed"}
    assert failed == {0: "step 3: the loss is not finite, expected a number (hint: lower train.lr)", 1: "ValueError"}
    assert "a cell" not in (result.folder / "sweep.json").read_text()
    assert {(r.arm, r.n_seeds) for r in result.table} == {("plain", 3), ("steep", 1)}
    made.clear(), fails.clear()
    assert sweep(tmp_path, file, device="cpu").n_failed == 0 and made == [(2, 0), (2, 1)]


@pytest.mark.parametrize(
    "end", [OSError(errno.ENOSPC, "no space"), RoomError("runs", "the disk is full, expected room")]
)
def test_a_full_disk_ends_a_sweep(tmp_path, file, trained, end):
    """The runs that follow would meet it too; the next time the sweep goes on from there."""
    made, fails, _ = trained
    fails[2, 0] = end
    with pytest.raises(RoomError):
        sweep(tmp_path, file, device="cpu")
    assert made == [(1, 0), (2, 0)]
    made.clear(), fails.clear()
    assert sweep(tmp_path, file, device="cpu").n_failed == 0 and len(made) == 5


def test_a_changed_sweep_is_refused(tmp_path, file, trained):
    """Another setting or a missing arm or seed is an error that names it; more arms and seeds are welcome."""
    sweep(tmp_path, file, device="cpu")
    for old, new, said in (
        ("steepest=2", "steepest=3", "arm steep: model.decay.steepest was 2.0, is 3.0"),
        ("  plain: []\n", "", "arm plain is gone"),
        ("[0, 1, 2]", "[0, 1]", "seed 2 is gone"),
    ):
        file.write_text(YAML.replace(old, new))
        with pytest.raises(ConfigError) as error:
            sweep(tmp_path, file, device="cpu")
        assert said in str(error.value)
    trained[0].clear()
    file.write_text(YAML.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    sweep(tmp_path, file, device="cpu")
    assert trained[0] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("what", ["vocabulary", "dataset"])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_sweep_is_of_one_vocabulary_and_dataset(what, recorded, tmp_path, file, trained):
    """Where either is another than the runs that are there are of, an added arm is refused, with which; a killed sweep
    has no record yet, and its runs tell it."""
    folder = sweep(tmp_path, file, device="cpu").folder
    told = json.loads((folder / "sweep.json").read_text())
    assert {key: told[key] for key in trained[2]} == trained[2]
    if not recorded:
        for name in ("sweep.json", "sweep.csv", "files.json"):
            (folder / name).unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trained[0].clear()
    trained[2][what] = "c" * 64
    file.write_text(YAML.replace("seeds:", "  flat: [model.decay.steepest=3]\nseeds:"))
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=rf"{what} was [ab]{{12}}, is c{{12}}") as error:
            sweep(tmp_path, file, device="cpu", dry_run=dry_run)
        assert ("plain-seed0: " in str(error.value)) != recorded
    assert trained[0] == [] and before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("when", ["between", "within"])
def test_a_vocabulary_that_is_built_beside_a_sweep_ends_it(when, tmp_path, file, trained, monkeypatch):
    """Before the next run, or after the one that was trained of it: no table mixes the two."""
    made, _, data = trained
    first = dict(data)
    train = module.pretrain

    def changing(*args, **kwargs):
        if when == "within" and len(made) == 1:
            data["vocabulary"] = "c" * 64
        train(*args, **kwargs)
        if when == "between":
            data["vocabulary"] = "c" * 64

    monkeypatch.setattr(module, "pretrain", changing)
    where = "dataset" if when == "between" else "steep-seed0"
    with pytest.raises(ConfigError, match=rf"{where}: is not what the sweep began with.*vocabulary was [ac]{{12}}"):
        sweep(tmp_path, file, device="cpu")
    told = json.loads((tmp_path / "runs" / "decay" / "sweep.json").read_text())
    assert {row["arm"] for row in told["table"]} == {"plain"} and told["vocabulary"] == first["vocabulary"]


def test_runs_of_a_sweep_that_changed_places_are_told(tmp_path, file, trained):
    """A finished run is of the arm and the seed that its folder is named after, or the sweep is refused."""
    folder = sweep(tmp_path, file, device="cpu").folder
    trained[0].clear()
    for one, other, key in (
        ("plain-seed0", "steep-seed0", "model.decay.steepest"),
        ("plain-seed1", "plain-seed2", "train.seed"),
    ):
        for _ in range(2):  # there and back
            (folder / one).rename(tmp_path / "x")
            (folder / other).rename(folder / one)
            (tmp_path / "x").rename(folder / other)
            if trained[0] == []:
                with pytest.raises(ConfigError, match=rf"{one}: {key} was"):
                    sweep(tmp_path, file, device="cpu")
                trained[0].append((0, 0))
        trained[0].clear()
    sweep(tmp_path, file, device="cpu")
    assert trained[0] == []


def test_a_sweep_lists_the_runs_that_its_table_is_of(tmp_path, file, trained):
    """Of each finished run the list of its files: one in the place of another, or none, is found by the sweep's own list."""
    folder = sweep(tmp_path, file, device="cpu").folder
    assert changed_files(folder) == []
    plain, steep = folder / "plain-seed0", folder / "steep-seed0"
    plain.rename(folder / "aside"), steep.rename(plain), (folder / "aside").rename(steep)
    assert changed_files(folder) == ["plain-seed0/files.json", "steep-seed0/files.json"]
    plain.rename(folder / "aside"), steep.rename(plain), (folder / "aside").rename(steep)
    shutil.rmtree(folder / "steep-seed2")
    assert changed_files(folder) == ["steep-seed2/files.json"]


def test_a_sweep_that_was_broken_off_is_the_same_in_the_end(tmp_path, file, trained):
    """Its record does not tell how it came to its runs."""
    _, fails, _ = trained
    fails[2, 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, file, device="cpu")
    fails.clear()
    folder = sweep(tmp_path, file, device="cpu").folder
    again = (folder / "sweep.json").read_bytes()
    folder.rename(tmp_path / "broken off")
    sweep(tmp_path, file, device="cpu")
    assert again == (folder / "sweep.json").read_bytes()


def test_what_a_resumed_run_may_set_anew_may_change(tmp_path, file, trained):
    """`prefetch` and the like change no result, so a sweep takes them as a resumed run does."""
    sweep(tmp_path, file, device="cpu")
    trained[0].clear()
    file.write_text(YAML.replace("train.max_steps=10]", "train.max_steps=10, batching.prefetch=3, train.log_every=7]"))
    assert sweep(tmp_path, file, device="cpu").n_failed == 0 and trained[0] == []


def test_a_sweep_may_grow_as_a_run_may(tmp_path, file, trained):
    """Under a schedule that more steps do not shape, what is finished goes on, also after a kill in the first of these;
    a run that ended early has ended."""
    made, fails, _ = trained
    grows = YAML.replace(
        "max_steps=10]",
        "max_steps=10, train.schedule=constant, train.warmup_steps=1, train.patience=1, train.validate_every=1]",
    )
    grows = grows.replace("[0, 1, 2]", "[0, 1]")
    file.write_text(grows)
    fails[2, 1] = TrainingError("step 6", "the loss is not finite, expected a number")
    folder = sweep(tmp_path, file, device="cpu").folder
    made.clear(), fails.clear()
    with (folder / "plain-seed0" / "metrics.jsonl").open("r+") as metrics:
        metrics.write(metrics.read().replace('"step": 10', '"step": 9'))  # the last was no better
    file.write_text(grows.replace("max_steps=10", "max_steps=20"))
    asked = [run.reason for run in sweep(tmp_path, file, dry_run=True).runs]
    on = "finished 10 steps: goes on to 20"
    assert asked == ["finished before", on, on, "broken off: goes on from its newest checkpoint"]
    fails[2, 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, file, device="cpu")
    fails.clear(), made.clear()
    result = sweep(tmp_path, file, device="cpu")
    assert made == [(2, 0), (1, 1), (2, 1)] and {row.n_seeds for row in result.table} == {2}
    made.clear()
    sweep(tmp_path, file, device="cpu")
    assert made == []


def test_a_run_is_finished_by_the_steps_that_it_made(tmp_path, file, trained):
    """A config that asks for more steps than a finished run has made does not make it finished."""
    file.write_text(YAML.replace("train.max_steps=10", f"{CONSTANT}, train.warmup_steps=1"))
    folder = sweep(tmp_path, file, device="cpu").folder
    config = folder / "plain-seed0" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 10", "max_steps: 20"))
    file.write_text(YAML.replace("train.max_steps=10", f"{CONSTANT.replace('10', '20')}, train.warmup_steps=1"))
    assert sweep(tmp_path, file, dry_run=True).runs[0].reason == "finished 10 steps: goes on to 20"


def test_a_run_whose_metrics_were_moved_away_is_finished_all_the_same(tmp_path, file, trained):
    """Whether a run is finished is asked of what pretraining asks: its newest checkpoint, whatever lines there are."""
    folder = sweep(tmp_path, file, device="cpu").folder
    trained[0].clear()
    (folder / "plain-seed0" / "metrics.jsonl").unlink()
    assert sweep(tmp_path, file, device="cpu").runs[0].reason == "finished before" and trained[0] == []


@pytest.mark.parametrize(
    ("settings", "then"),
    [
        ("train.max_steps=10", "train.max_steps=20"),  # under a cosine
        (f"{CONSTANT}, train.warmup_steps=0", f"{CONSTANT.replace('10', '9')}, train.warmup_steps=0"),
        (f"{CONSTANT}, train.warmup_steps=0", f"{CONSTANT.replace('10', '20')}, train.warmup_steps=0, train.clip=9"),
        (CONSTANT, CONSTANT.replace("10", "20")),  # whose warm-up was cut to a tenth
    ],
)
def test_a_sweep_grows_no_further_than_a_run(settings, then, tmp_path, file, trained):
    """A schedule that its length shapes, fewer steps, another setting beside more steps, and another warm-up are
    refused; the error says how steps may grow."""
    file.write_text(YAML.replace("train.max_steps=10", settings))
    sweep(tmp_path, file, device="cpu")
    trained[0].clear()
    file.write_text(YAML.replace("train.max_steps=10", then))
    with pytest.raises(ConfigError, match="holds another sweep") as error:
        sweep(tmp_path, file, device="cpu")
    assert trained[0] == []
    assert ("may grow under `stable`" in str(error.value)) == ("max_steps was" in str(error.value))
    assert ("with `train.warmup_steps=1`, to which" in str(error.value)) == (
        "max_steps was" in str(error.value) and "=0" not in then
    )


@pytest.mark.parametrize("steps", ["x", None, [1], "gone"])
def test_steps_that_are_none_are_told_by_the_record_that_has_them(steps, tmp_path, file, trained):
    """Of an arm in sweep.json and of a checkpoint that would go on, however well both are sealed."""
    folder = sweep(tmp_path, file, device="cpu").folder
    file.write_text(YAML.replace("max_steps=10", "max_steps=20"))
    told = json.loads((folder / "sweep.json").read_text())
    step = folder / "plain-seed0" / "checkpoints" / "step-000010"
    state = json.loads((step / "state.json").read_text())
    del told["seal"]
    for config, key in ((told["arms"]["plain"], "train.max_steps"), (state["config"]["train"], "max_steps")):
        config[key] = steps
        if steps == "gone":
            del config[key]
    (step / "state.json").write_text(json.dumps(state))
    write_hashes(step)
    with pytest.raises(CheckpointError, match=r"state\.json: `config` does not fit"):
        sweep(tmp_path, file, device="cpu")
    write_sealed(folder / "sweep.json", told)
    with pytest.raises(FileError, match=r"sweep\.json: `arms` does not fit"):
        sweep(tmp_path, file, device="cpu")


def test_a_flipped_bit_of_a_sweep_is_found(tmp_path, file, trained):
    """Record and table are listed by their hashes, whatever its runs become; a record that changed is not gone by."""
    folder = sweep(tmp_path, file, device="cpu").folder
    (folder / "plain-seed0" / "metrics.jsonl").write_text("")
    assert changed_files(folder) == []
    for name in ("sweep.csv", "sweep.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content.replace(b"plain", b"plaio", 1))
        assert changed_files(folder) == [name]
        if name == "sweep.json":
            with pytest.raises(FileError, match=r"sweep\.json: is not as it was written"):
                sweep(tmp_path, file, device="cpu")
        (folder / name).write_bytes(content)
    assert changed_files(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steepest=2", "steepst=2", r"model\.decay\.steepst"),
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", "one stands there twice"),
        ("train.max_steps=10", "train.seed=1", "train.seed is set by `seeds`"),
        ("arms:", "arm:", "unknown key `arm`"),
        ("plain:", "../plain:", "make a folder's"),
        ("config: pretrain_small", "config: pretrain_smal", "is no config"),
    ],
)
def test_a_sweep_that_does_not_hold_starts_nothing(old, new, said, tmp_path, file, trained):
    """A wrong key in any arm is found before the first run."""
    file.write_text(YAML.replace(old, new))
    with pytest.raises(ConfigError, match=said):
        sweep(tmp_path, file, device="cpu")
    assert trained[0] == [] and not (tmp_path / "runs").exists()


def test_a_sweep_is_not_written_through_a_link(tmp_path, file, trained):
    """Where its folder, or the folder of runs, leads elsewhere, nothing is trained and nothing is written there."""
    (tmp_path / "others").mkdir()
    for name in ("runs", "runs/decay"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "others")
        with pytest.raises(FileError, match="is a link, expected a folder of its own"):
            sweep(tmp_path, file, device="cpu")
        (tmp_path / name).unlink()
    assert trained[0] == [] and list((tmp_path / "others").iterdir()) == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_sweep_without_a_dataset_makes_nothing(tmp_path, dry_run) -> None:
    """In a folder that is no workspace a sweep ends with one error, before a run or a folder is begun."""
    (tmp_path / "s.yaml").write_text(YAML)
    with pytest.raises(ConfigError, match="is no folder, expected a workspace"):
        sweep(tmp_path / "nowhere", tmp_path / "s.yaml", device="cpu", dry_run=dry_run)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_no_sweep_is_not_swept_in(workspace, tmp_path) -> None:
    """A folder of the sweep's name that holds something else stays as it was."""
    (tmp_path / "s.yaml").write_text(YAML)
    (workspace / "runs" / "s" / "mine").mkdir(parents=True)
    (workspace / "runs" / "s" / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files and is no sweep of tawt"):
        sweep(workspace, tmp_path / "s.yaml", device="cpu")
    assert sorted(path.name for path in (workspace / "runs" / "s").rglob("*")) == ["mine", "notes.txt"]


def _notes(events: list[dict[str, object]]) -> list[str]:
    return [str(event["text"]) for event in events if event["event"] == "note"]


def test_arms_that_are_one_are_noted(trained, file, workspace):
    """An arm whose config is equal to an earlier one's is noted before anything runs, in the dry run too."""
    file.write_text(YAML.replace("seeds", "  usual: [model.decay.learned=true]\nseeds"))
    for dry_run in (True, False):
        events = []
        sweep(workspace, file, dry_run=dry_run, report=events.append)
        assert [text for text in _notes(events) if text.startswith("arm")] == [
            "arm usual has the same config as arm plain: its runs are equal to those"
        ]


def test_the_arms_of_the_guide_differ(trained, workspace, tmp_path):
    """No arm of the example in the guide is another."""
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "sweep.md").read_text()
    (tmp_path / "guide.yaml").write_text(guide.partition("```yaml")[2].partition("```")[0])
    events = []
    assert len(sweep(workspace, tmp_path / "guide.yaml", dry_run=True, report=events.append).runs) == 9
    assert [text for text in _notes(events) if text.startswith("arm")] == []


def test_a_sweep_is_asked_for_by_its_file(trained, file, workspace):
    """Its folder is told to be one, and not to be moved; an arm that makes no folder's name is told as one key."""
    with pytest.raises(ConfigError, match="is a folder, expected a YAML file") as error:
        sweep(workspace, workspace)
    assert error.value.hint == "check the path"
    file.write_text("arms: {no time: []}\n")
    with pytest.raises(ConfigError, match=r"`arms`: .no time. is no name.*expected another value") as error:
        sweep(workspace, file)
    assert error.value.hint == "change `arms`"
