"""`tawt compare`: what differs, how runs ended, and which may be paired."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.compare import compare, sparkline
from tawt.commands.embed import embed
from tawt.errors import CheckpointError, ConfigError, FileError
from tawt.files import write_hashes, write_parquet
from tawt.runs.card import card
from tawt.runs.find import find_run
from tawt.runs.load import read_saved
from tawt.training.versions import Start, Versions, write_versions


def test_settings_that_differ_stand_side_by_side(make_run, workspace):
    """Only keys that are not equal in all runs are shown, by their dotted names, one value per run."""
    make_run("a"), make_run("b", "train.lr=0.5"), make_run("c", "model.decay.learned=true")
    found = compare(workspace, ["a", "b", "c"])
    assert found.runs == ("a", "b", "c")
    assert found.differences == {"train.lr": (0.001, 0.5, 0.001), "model.decay.learned": (False, False, True)}


def test_final_and_best_losses_stand_beside_their_baseline(make_run, workspace, metrics_line):
    """Of each part the last and the lowest tuning loss are told with their step; train lines do not count."""
    lines = [metrics_line(s, value=(v, 1.0, 9), status=(0.5, 0.6, 7)) for s, v in ((10, 0.9), (20, 0.4), (30, 0.7))]
    make_run("a", metrics=[*lines, metrics_line(31, "train", value=(0.1, 1.0, 9))]), make_run("b")
    rows = {(r.run, r.part): r for r in compare(workspace, ["a", "b"]).results}
    assert set(rows) == {("a", "all"), ("a", "value"), ("a", "status")}
    value = rows["a", "value"]
    assert (value.final, value.final_step, value.best, value.best_step, value.baseline) == (0.7, 30, 0.4, 20, 1.0)
    assert rows["a", "all"].final == pytest.approx(1.2)
    assert [rows["a", part].weight for part in ("all", "value", "status")] == [None, 1.0, 0.2]


def test_differences_are_paired_step_by_step(make_run, workspace, metrics_line):
    """Mean and n - 1 deviation of loss minus the first run's, over steps that both validated."""
    ours = [metrics_line(s, value=(1.0, 2.0, 9)) for s in (10, 20, 30, 40)]
    theirs = [metrics_line(s, value=(v, 2.0, 9)) for s, v in ((20, 0.9), (30, 0.7), (50, 0.0))]
    make_run("a", metrics=ours), make_run("b", "train.lr=0.5", metrics=theirs)
    found = compare(workspace, ["a", "b"])
    assert found.unpaired == {}
    assert [(p.run, p.part, p.n_steps) for p in found.paired] == [("b", "all", 2), ("b", "value", 2)]
    assert found.paired[1].mean == pytest.approx(-0.2) and found.paired[1].sd == pytest.approx(math.sqrt(0.02))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("batching.max_length=64", "other batches: batching.max_length"),
        ("objective.masked.value=0.3", "other masks or targets: objective.masked.value"),
        ("objective.masked.span_hides=event", "other masks or targets"),
    ],
)
def test_runs_with_other_batches_or_masks_are_not_paired(setting, reason, make_run, workspace, metrics_line):
    """Such runs are named with the reason, and the rest is still shown."""
    lines = [metrics_line(10, value=(1.0, 2.0, 9))]
    make_run("a", metrics=lines), make_run("b", setting, metrics=lines)
    found = compare(workspace, ["a", "b"])
    assert found.paired == () and reason in found.unpaired["b"]
    assert len(found.results) == 4 and found.curves["b"] == ((10, 1.0),)


def test_runs_of_other_data_or_seeds_are_not_paired(make_run, workspace, metrics_line):
    """Equal settings are not enough: another trivial baseline or number of positions means another validation."""
    make_run("a", metrics=[metrics_line(10, value=(1.0, 2.0, 9))])
    make_run("b", metrics=[metrics_line(10, value=(1.0, 2.01, 9))])
    make_run("c", metrics=[metrics_line(10, value=(1.0, 2.0, 8))])
    run = make_run("d", metrics=[metrics_line(10, value=(1.0, 2.0, 9))])
    with (run / "vocabulary.parquet").open("ab") as file:
        file.write(b"other")
    make_run("e", metrics=[metrics_line(11, value=(1.0, 2.0, 9))])
    found = compare(workspace, list("abcde"))
    assert found.paired == ()
    assert "other batches or masks" in found.unpaired["b"] and "other batches or masks" in found.unpaired["c"]
    assert "another vocabulary" in found.unpaired["d"] and "no validation at the same step" in found.unpaired["e"]


def test_with_other_weights_parts_are_paired_but_not_their_sum(make_run, workspace, metrics_line):
    """A sum with other weights is another quantity; its parts are the same ones."""
    lines = [metrics_line(10, value=(1.0, 2.0, 9))]
    make_run("a", metrics=lines), make_run("b", "objective.masked.value_weight=3", metrics=lines)
    assert [(p.part, p.mean, p.sd) for p in compare(workspace, ["a", "b"]).paired] == [("value", 0.0, None)]


def test_a_run_that_is_not_there_is_an_error(make_run, workspace):
    """The nearest name is the hint; one run alone, or the same twice, is an error of use."""
    make_run("alpha")
    with pytest.raises(CheckpointError) as error:
        compare(workspace, ["alpha", "alpa"])
    assert "did you mean `alpha`?" in error.value.hint
    for runs in (["alpha"], ["alpha", workspace / "runs" / "alpha"]):
        with pytest.raises(ConfigError, match="two or more"):
            compare(workspace, runs)


@pytest.mark.parametrize(
    ("given", "said", "meant"),
    [
        ("", "is a folder", "curves.png"), ("folder", "is a folder", "folder/curves.png"),
        ("folder.png", "is a folder", "folder.png/curves.png"), ("curves", "does not end in .png", "curves.png"),
        ("a b.pdf", "does not end in .png", "'a b.png'"), (".png", "does not end in .png", ".png.png"),
        ("file", "does not end in .png", "file.png"),
    ],
)  # fmt: skip
def test_a_plot_that_is_to_be_no_png_is_refused(given, said, meant, make_run, workspace, tmp_path, monkeypatch):
    """A folder, or a name that says something else, is refused before anything is drawn, with a name that would do."""
    monkeypatch.chdir(tmp_path)
    make_run("a"), make_run("b")
    (tmp_path / "folder").mkdir(), (tmp_path / "folder.png").mkdir(), (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=said) as error:
        compare(workspace, ["a", "b"], plot=Path(given))
    assert f"`--plot {meant}`" in error.value.hint
    assert (tmp_path / "file").read_text() == "mine" and not any(Path("folder").iterdir())


def test_a_folder_that_is_no_run_says_which_are(make_run, workspace, tmp_path):
    """Of a sweep its runs are named, of a folder beside runs the command that makes one; elsewhere neither is known."""
    make_run("sweep/plain-seed0"), make_run("a")
    (workspace / "runs" / "empty").mkdir(), (tmp_path / "elsewhere").mkdir()
    make = f"make one with `tawt pretrain -w {workspace}`"
    for folder, hint in (
        ("sweep", f"give one in it, as `{workspace / 'runs' / 'sweep' / 'plain-seed0'}`"), ("empty", make),
        (tmp_path / "elsewhere", "give one of `tawt pretrain`"),
    ):  # fmt: skip
        for use in (lambda run: compare(workspace, ["a", run]), lambda run: embed(workspace, run)):
            with pytest.raises(CheckpointError, match=r"has (no|neither) config\.yaml") as error:
                use(folder)
            assert error.value.hint == hint


def test_a_run_without_weights_says_the_command_that_brings_them(make_run, workspace, tmp_path):
    """By itself or in a sweep; of a run elsewhere the workspace is not known."""
    for name in ("a", "sweep/a"):
        run = make_run(name)
        (run / "model.safetensors").unlink(), (run / "files.json").unlink()
        with pytest.raises(CheckpointError, match="has no weights yet") as error:
            read_saved(run)
        assert error.value.hint == f"let it reach one: `tawt pretrain -w {workspace} --out {run} --resume`"
    with pytest.raises(CheckpointError, match="has no weights yet") as error:
        read_saved(run.rename(tmp_path / "elsewhere"))
    assert error.value.hint == "let it reach one, by the command that began it"


def test_runs_of_one_name_are_told_apart_by_their_folders(make_run, workspace, tmp_path):
    """Two folders with one name are shown with as much of their path as it takes."""
    make_run("one/x"), make_run("two/x")
    assert compare(workspace, ["one/x", "two/x"]).runs == ("one/x", "two/x")


@pytest.mark.parametrize("what", ["text", "no row", "no Parquet", "of something else"])
def test_embeddings_that_are_none_are_named(what, make_run, workspace):
    """With the command that makes them again, whether they are sealed as tawt's own or not."""
    make_run("a"), make_run("b")
    for name in ("a", "b"):
        embed(workspace, name, device="cpu")
    assert compare(workspace, ["a", "b"]).alike[0].cka == pytest.approx(1)
    path = workspace / "embeddings" / "b.parquet"
    table = pq.read_table(path)
    if what == "text":
        table = table.set_column(table.schema.get_field_index("embedding"), "embedding", pa.array(["x"] * len(table)))
    elif what == "of something else":
        table = table.replace_schema_metadata({})
    if what == "no Parquet":
        path.write_text("x")
    else:
        pq.write_table(table.slice(0, 0) if what == "no row" else table, path)
    with pytest.raises(FileError, match=r"b\.parquet") as error:
        compare(workspace, ["a", "b"])
    assert error.value.hint == f"make them again: `tawt embed -w {workspace} --run b`"
    if what == "text":
        write_parquet(path, table)
        with pytest.raises(FileError, match="embedding string, expected ids, times and vectors"):
            compare(workspace, ["a", "b"])


def test_a_sparkline_keeps_height_and_place():
    """The lowest value is the lowest bar, the highest the highest; a run that began late begins late."""
    assert sparkline([(1, 8.0), (2, 1.0)], 1.0, 8.0, 2, width=2) == "█▁"
    assert sparkline([(2, 4.0)], 1.0, 8.0, 2, width=2).startswith(" ")
    assert sparkline([(1, float("nan"))], 1.0, 8.0, 2) == ""


def test_other_weights_at_the_start_are_told_as_a_setting(make_run, workspace):
    """Of runs begun from other weights their file and hash stand beside the settings; the same bytes do not differ."""
    for name, start in {"a": None, "b": "1" * 64, "c": "1" * 64}.items():
        init = start and Start(weights=f"../{name}0/model.safetensors", sha256=start)
        made = dict.fromkeys(("python", "machine", "device", "precision"), "x")
        write_versions(
            make_run(name), Versions(packages={}, threads=1, processes=1, seed=0, reasons={}, init=init, **made)
        )
    told = compare(workspace, ["a", "b"]).differences
    assert told == {"--init": (None, f"../b0/model.safetensors ({'1' * 12})")}
    assert compare(workspace, ["b", "c"]).differences == {}
    own, shared = (card(workspace / "runs" / "b", shared=shared) for shared in (False, True))
    assert f"from the weights `../b0/model.safetensors` of another run, SHA-256 `{'1' * 16}`" in own
    assert f"from the weights of another run, SHA-256 `{'1' * 16}`" in shared and "b0" not in shared
    assert "of another run" not in card(workspace / "runs" / "a")


def test_a_name_near_a_run_is_told_of_runs_alone(make_run, workspace):
    """Runs of sweeps count, their folder is none; capitals do not keep a name from being near."""
    make_run("a b"), make_run("sw/plain-seed0")
    for given, near in (("A B", "did you mean `a b`?"), ("zzzz", "known: a b, sw/plain-seed0")):
        with pytest.raises(CheckpointError) as error:
            find_run(workspace, given)
        assert error.value.hint == near


def test_a_folder_with_another_list_is_told_to_be_no_run(make_run, workspace):
    """A sweep's and a checkpoint's folder list no config: the runs in it, or that around it, are named."""
    run = make_run("sw/plain-seed0")
    (workspace / "runs" / "sw" / "sweep.json").write_text("{}")
    write_hashes(workspace / "runs" / "sw", ["sweep.json"])
    (step := run / "checkpoints" / "step-000001").mkdir(parents=True)
    (step / "state.json").write_text("{}")
    write_hashes(step)
    for folder in (run.parent, step):
        with pytest.raises(CheckpointError, match=r"has neither config\.yaml") as error:
            read_saved(folder)
        assert f"`{run}`" in error.value.hint
    (run / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"config\.yaml: is not there, expected the file that was listed"):
        read_saved(run)
