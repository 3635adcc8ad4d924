"""Damaged files of a run: one line that names the file and what mends it, before any step is made."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tawt.commands.compare import compare
from tawt.commands.embed import embed
from tawt.commands.plot import plot
from tawt.commands.pretrain import pretrain
from tawt.commands.sweep import sweep
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import FileError, TawtError
from tawt.files import write_hashes, write_sealed
from tawt.training import loop
from tawt.training.folder import alone_in
from tawt.training.outputs import remove_leftovers
from tawt.training.threads import known_threads

NEWEST = "checkpoints/step-000008"
DEEP = "[" * 100_000
TEXTS = {
    "no UTF-8": b"\xff\xfe\x00",
    "no end": b'{"step": 8',
    "nested": DEEP.encode(),
    "a list": b"[1, 2]",
    "a number": b"3",
    "empty": b"",
}


@pytest.fixture(scope="module")
def config():
    """A config that makes a step in milliseconds."""
    return PretrainConfig(
        model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16),
        batching=BatchingConfig(tokens_per_batch=256, max_length=64),
        train=TrainConfig(max_steps=12, validate_every=5, validate_batches=1, checkpoint_every=4, threads=1),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory, shards, config):
    """A workspace with a run `r` that was broken off after its checkpoint of step 8; look, do not touch."""
    workspace = tmp_path_factory.mktemp("damage") / "w"
    shards.write_dataset(workspace, {"train": [20], "tuning": [5], "held_out": [5]}, max_static=2)

    def stop(event):
        if event["event"] == "checkpoint" and event["step"] == 8:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        pretrain(workspace, config, device="cpu", out=workspace / "runs" / "r", report=stop)
    return workspace


@pytest.fixture
def workspace(made, tmp_path):
    """A copy of it that a test may break."""
    return Path(shutil.copytree(made, tmp_path / "w"))


@pytest.fixture
def run(workspace):
    """The run in it."""
    return workspace / "runs" / "r"


@pytest.fixture
def resumed(workspace, config, monkeypatch):
    """`resumed(run)`: the error that resuming ends with, before any step."""

    def resume(run: Path) -> TawtError:
        def step(*args):
            raise AssertionError("a step was made")

        monkeypatch.setattr(loop.Trainer, "_step", step)
        with pytest.raises(TawtError) as error:
            pretrain(workspace, config, device="cpu", out=run, resume=True)
        return error.value

    return resume


def _clear(error: TawtError, path: Path) -> bool:
    text = str(error)
    return str(path) in error.where and error.hint != "" and "\n" not in text and len(text) < 600


@pytest.mark.parametrize(("step", "torn"), [(8, True), (9, False)])
def test_a_lost_end_of_a_line_that_was_on_disk_is_damage(run, workspace, config, step, torn):
    """Lines up to a checkpoint were whole before it was made: one without its end is named before any step, and none of
    its validations is passed over. A line of a later step may be torn: its process was killed."""
    path = run / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1]
    assert json.loads(lines[-1])["step"] == 8
    path.write_bytes(b"\n".join([*lines, lines[-1].replace(b'"step": 8', b'"step": %d' % step)][step == 8 :]) + b"\x0b")
    with pytest.raises(TawtError) if torn else nullcontext() as error:
        pretrain(workspace, config, device="cpu", out=run, resume=True, dry_run=True)
    assert not torn or (_clear(error.value, path) and "is damaged" in str(error.value))


@pytest.mark.parametrize("what", TEXTS)
def test_a_damaged_text_file_is_named(run, workspace, resumed, what):
    """State, pointer, versions and metrics of bytes that are none of theirs end a resume; the config ends embed and
    compare."""
    for name in (f"{NEWEST}/state.json", "checkpoints/latest", "versions.json", "metrics.jsonl"):
        if (name, what) in {
            ("metrics.jsonl", "empty"),
            ("metrics.jsonl", "no end"),
            ("checkpoints/latest", "a number"),
        }:
            continue
        kept = (run / name).read_bytes()
        (run / name).write_bytes(TEXTS[what] + (b"\n" if name == "metrics.jsonl" else b""))
        assert _clear(resumed(run), run / name), name
        (run / name).write_bytes(kept)
    (run / "config.yaml").write_bytes(TEXTS[what] or b"model: 3")
    shutil.copytree(run, workspace / "runs" / "b")
    for read in (lambda: embed(workspace, run, device="cpu"), lambda: compare(workspace, ["r", "b"])):
        with pytest.raises(TawtError) as error:
            read()
        assert _clear(error.value, run / "config.yaml")


@pytest.mark.parametrize("init", ["x", {"sha256": "x"}, {"weights": 1, "sha256": "x"}, []])
def test_the_weights_that_a_run_was_begun_from_are_of_their_types(run, resumed, init):
    """A run without a checkpoint whose `versions.json` names its start in another way is refused by that file's name."""
    shutil.rmtree(run / "checkpoints")
    (run / "unfinished.json").unlink()
    path = run / "versions.json"
    write_sealed(path, json.loads(path.read_text()) | {"init": init})
    assert _clear(error := resumed(run), path) and "does not fit" in str(error)


def test_what_earlier_steps_were_made_with_is_a_list(run, resumed):
    """`versions.json` whose `earlier` is something else is named before it is written anew."""
    path = run / "versions.json"
    write_sealed(path, json.loads(path.read_text()) | {"earlier": "lost"})
    before = path.read_bytes()
    assert _clear(error := resumed(run), path) and path.read_bytes() == before
    assert "does not fit" in str(error)


@pytest.mark.parametrize("key", ["step", "config", "vocabulary", "threads", "batches_per_step", "precision"])
def test_a_state_is_of_its_types(run, resumed, key):
    """A state whose key is missing or of another type or size is refused, however well it is listed, and so is one of another
    step, vocabulary or number of batches."""
    path = run / NEWEST / "state.json"
    of_type = {"step": ["is of step 1,000,000,000", "is of step 0"], "vocabulary": [f"belongs to vocabulary {DEEP[:12]}"],
               "batches_per_step": ["makes a step of 1000000000"]}.get(key, [])  # fmt: skip
    state = json.loads(path.read_text())
    for wrong in (None, {}, -1, 10**9, 10**30, [1], DEEP[:50], ...):
        path.write_text(json.dumps({k: v for k, v in (state | {key: wrong}).items() if v is not ...}))
        write_hashes(run / NEWEST)
        assert _clear(error := resumed(run), run / NEWEST)
        assert f"`{key}` does not fit" in str(error) or any(what in str(error) for what in of_type), (wrong, str(error))


def test_a_step_beyond_the_last_is_refused(run, resumed):
    """A checkpoint of step 10^9, its folder's name too, is not what a run of 12 steps is resumed from."""
    path = run / NEWEST / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 10**9}))
    write_hashes(run / NEWEST)
    (run / NEWEST).rename(run / "checkpoints" / "step-1000000000")
    (run / "checkpoints" / "latest").write_text("step-1000000000\n")
    error = resumed(run)
    assert _clear(error, run / "checkpoints" / "step-1000000000") and "at most 12" in str(error)


@pytest.mark.parametrize("name", ["../../other", "step-old", "/etc", "step-000007", "step-000008/..", "step-8"])
def test_latest_names_a_checkpoint_beside_it(run, resumed, name):
    """A pointer that names nothing, or something elsewhere, is refused."""
    (run / "checkpoints" / "latest").write_text(name)
    error = resumed(run)
    assert _clear(error, run / "checkpoints") and "other" not in str(error)


TENSORS = {
    "another shape": ("exp_avg", lambda t: torch.zeros(3)),
    "as many numbers in another shape": ("exp_avg", lambda t: t.reshape(-1, 1, 1)),
    "another type": ("exp_avg_sq", lambda t: t.to(torch.float64)),
    "integers": ("exp_avg", lambda t: t.to(torch.int32)),
    "no number": ("exp_avg", lambda t: torch.full_like(t, torch.nan)),
    "endless": ("exp_avg_sq", lambda t: torch.full_like(t, torch.inf)),
    "a negative square": ("exp_avg_sq", lambda t: -torch.ones_like(t)),
    "a later step": ("step", lambda t: torch.tensor(9.0)),
    "a step before all": ("step", lambda t: torch.tensor(-1.0)),
    "a vector for a step": ("step", lambda t: torch.ones(2)),
}


@pytest.mark.parametrize("what", TENSORS)
def test_a_wrong_tensor_of_the_optimizer_is_refused(run, resumed, what):
    """Whatever is wrong with a moment or its step is one line before any step; torch would end in a segmentation fault."""
    path = run / NEWEST / "optimizer.safetensors"
    field, change = TENSORS[what]
    tensors = load_file(path)
    name = next(n for n in sorted(tensors) if n.endswith(f"/{field}") and n.startswith("encoder.blocks"))
    save_file(tensors | {name: change(tensors[name]).contiguous()}, path)
    write_hashes(path.parent)
    error = resumed(run)
    assert _clear(error, path) and name in str(error)


@pytest.mark.parametrize("kind", ["optimizer", "model"])
def test_tensors_that_are_missing_or_too_many_are_refused(run, resumed, kind):
    """A lost tensor, one of another name, a file cut off, of other bytes, or that is a folder are refused."""
    path = run / NEWEST / f"{kind}.safetensors"
    tensors, content = load_file(path), path.read_bytes()
    name = sorted(tensors)[0]
    for wrong in ({n: t for n, t in tensors.items() if n != name}, tensors | {"other": torch.zeros(1)}):
        save_file(wrong, path)
        write_hashes(path.parent)
        assert _clear(resumed(run), path)
    for wrong in (content[:-1], content[:5], b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}", content + b"\0"):
        path.write_bytes(wrong)
        assert _clear(resumed(run), path)
    path.unlink()
    assert _clear(resumed(run), path)
    path.mkdir()
    assert _clear(resumed(run), path)


def test_weights_that_are_not_finite_are_refused(run, workspace, config, resumed):
    """NaN among the weights ends a resume and embed with the tensor's name."""
    path = run / NEWEST / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.norm.weight"][3] = torch.nan
    save_file(tensors, path)
    write_hashes(path.parent)
    error = resumed(run)
    assert _clear(error, path) and "`encoder.norm.weight` is not finite" in str(error)
    with pytest.raises(TawtError) as error:
        embed(workspace, run, device="cpu")
    assert _clear(error.value, path)
    assert not (workspace / "embeddings").exists()


def test_leftovers_go_and_what_is_alien_stays(run, workspace, config):
    """The next start removes half-deleted checkpoints and files written aside, and touches nothing that is not its own."""
    root = run / "checkpoints"
    shutil.copytree(root / "step-000008", root / "step-000002")
    (root / "step-000002" / "model.safetensors").unlink()
    shutil.copytree(root / "step-000008", root / "step-old")
    (root / ".step-000012.tmp").mkdir()
    (root / ".step-000012.tmp" / "model.safetensors").write_bytes(b"half")
    (root / ".step-000012.tmp.old").mkdir()
    (root / ".latest.tmp").write_text("step-0")
    (run / ".config.yaml.tmp").write_text("half")
    (run / "plots").mkdir()
    (run / "plots" / ".losses.png.tmp").write_text("being drawn")
    (run / "notes.txt").write_text("mine")
    pretrain(workspace, config, device="cpu", out=run, resume=True)
    names = sorted(path.name for path in root.iterdir())
    assert names == ["latest", "step-000008", "step-000012", "step-old"]
    assert (run / "plots" / ".losses.png.tmp").exists()  # another command may be drawing
    assert (run / "notes.txt").read_text() == "mine" and not (run / ".config.yaml.tmp").exists()


@pytest.mark.parametrize("out", ["run", "new/a/b"])
def test_a_start_that_is_refused_changes_nothing(run, workspace, config, tree, out):
    """What a killed process left of a checkpoint stays where a run is refused, and of a new run's folder nothing stays, nor
    of those above it."""
    (run / "checkpoints" / "step-000002").mkdir()
    (run / "checkpoints" / "step-000002" / "model.safetensors").write_bytes(b"half")
    place = run if out == "run" else workspace.parent / out
    before = tree(workspace.parent)
    with pytest.raises(TawtError):
        pretrain(workspace, config, device="cpu" if out == "run" else "cuda:99", out=place)
    assert tree(workspace.parent) == before


def test_a_deletion_that_is_cut_off_leaves_no_half_checkpoint(run, workspace, config, monkeypatch):
    """A kill within the removal of an old checkpoint leaves nothing under the name of one."""
    real = shutil.rmtree

    def cut(path, **how):
        if any(Path(path).glob("*.safetensors")):
            next(Path(path).glob("*.safetensors")).unlink()
            raise RuntimeError("killed")
        real(path, **how)

    monkeypatch.setattr(shutil, "rmtree", cut)
    with pytest.raises(RuntimeError, match="killed"):
        pretrain(workspace, config, device="cpu", out=run, resume=True)
    whole = {"model.safetensors", "optimizer.safetensors", "state.json", "files.json"}
    folders = list((run / "checkpoints").glob("step-*"))
    assert folders and all({path.name for path in folder.iterdir()} == whole for folder in folders)


def test_a_damaged_record_of_a_sweep_or_of_threads_is_named(workspace, tmp_path):
    """sweep.json and threads.json are read strictly: what cannot be trusted is not passed over."""
    (tmp_path / "s.yaml").write_text("config: pretrain_demo\narms: {a: []}\nseeds: [0]\n")
    folder = workspace / "runs" / "s"
    folder.mkdir(parents=True)
    for content in ('{"arms": [1]}', "[]", DEEP, '{"arms": {"a": 3}, "seeds": [0]}'):
        (folder / "sweep.json").write_text(content)
        with pytest.raises(TawtError) as error:
            sweep(workspace, tmp_path / "s.yaml", dry_run=True)
        assert _clear(error.value, folder / "sweep.json")
    whole = '{"x": {"threads": 2, "reason": "", "machine": "", "torch": "", "ms": {}}}'
    for content in ('{"x": {"threads": 1000000}}', "[]", DEEP, '{"x": 1}', whole):
        (workspace / "threads.json").write_text(content)
        with pytest.raises(TawtError) as error:
            known_threads(workspace, {})
        assert _clear(error.value, workspace / "threads.json")


@pytest.mark.parametrize("at", ["runs", "runs/a", "runs/a/checkpoints", "runs/a/tensorboard"])
def test_a_run_is_not_written_through_a_link(at: str, tmp_path: Path) -> None:
    """A run folder that is, holds or lies behind a link within the workspace is refused; nothing is made where it leads."""
    (tmp_path / "others").mkdir()
    (tmp_path / "ws" / at).parent.mkdir(parents=True)
    (tmp_path / "ws" / at).symlink_to(tmp_path / "others")
    run = tmp_path / "ws" / "runs" / "a"
    with (
        pytest.raises(FileError, match="is a link, expected a folder of its own"),
        alone_in(run, tmp_path / "ws", True, lambda event: None, "tawt"),
    ):
        pytest.fail("held")
    assert list((tmp_path / "others").iterdir()) == []


def test_what_a_killed_run_left_goes_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    """Links under the names of leftovers go themselves, files and folders that they lead to stay."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "keep").write_text("precious")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in (
        ".README.md.tmp",
        "checkpoints/.step-000001.tmp",
        "checkpoints/.step-000003.tmp.old",
    ):
        (tmp_path / "run" / name).symlink_to(tmp_path / "others")
    remove_leftovers(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["checkpoints"]
    assert (tmp_path / "others" / "keep").read_text() == "precious"


def test_embeddings_and_figures_are_not_written_through_a_link(run, workspace, tmp_path: Path) -> None:
    """`embeddings/` of a workspace and `plots/` of a run that lead elsewhere are refused; where `--out` says they may."""
    pytest.importorskip("matplotlib")
    (tmp_path / "others").mkdir()
    for place, write in (
        (workspace / "embeddings", lambda: embed(workspace, run, device="cpu")),
        (run / "plots", lambda: plot(workspace, [run])),
    ):
        place.symlink_to(tmp_path / "others")
        with pytest.raises(FileError, match="is a link, expected a folder of its own") as caught:
            write()
        place.unlink()
        assert caught.value.where == str(place) and list((tmp_path / "others").iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "others")
    embed(workspace, run, device="cpu", out=tmp_path / "link" / "x.parquet")
    assert (tmp_path / "others" / "x.parquet").is_file()
