"""A run that is at work or was broken off: every file of it is held, whatever it has come to."""

from __future__ import annotations

import shutil

import pytest

from tawt.commands.pretrain import pretrain
from tawt.errors import CheckpointError
from tawt.quality.unfinished import changed_unlisted
from tawt.seals import changed_files
from tawt.training import loop, settle


@pytest.fixture
def kept(config, with_train):
    """A config whose run keeps two best weights and two checkpoints, and may grow."""
    return with_train(config, validate_every=2, keep_best=2, final="best", schedule="constant", warmup_steps=1)


@pytest.fixture
def run(workspace, kept, broken_off, tmp_path):
    """A run that was broken off after 10 of 12 steps, two behind its checkpoint."""
    broken_off(10, workspace, kept, device="cpu", out=tmp_path / "run")
    return tmp_path / "run"


def names(run, paths):
    """Their names below the run."""
    return sorted({path.relative_to(run).as_posix() for path in paths})


def test_every_file_of_an_unfinished_run_is_held(run):
    """A flipped bit in the middle or at the end, and the loss of any file, is named; untouched, nothing is."""
    assert changed_unlisted(run) == []
    files = [p for p in run.rglob("*") if p.is_file() and p.name != ".lock" and not p.parent.name.startswith("step-")]
    assert {"best.json", "latest", "README.md", "unfinished.json"} <= {path.name for path in files} and len(files) > 9
    for path in files:
        content = path.read_bytes()
        for at in (len(content) // 2, len(content) - 1):
            flipped = bytearray(content)
            flipped[at] ^= 4
            path.write_bytes(flipped)
            assert path in changed_unlisted(run), (path, at)
        path.unlink()
        gone = run / "files.json" if path.name == "unfinished.json" else path
        assert (gone in changed_unlisted(run)) or path.name == "step-000010.safetensors", path
        path.write_bytes(content)
    shutil.rmtree(run / "checkpoints" / "step-000004")  # not the newest
    assert "checkpoints/step-000004/state.json" in names(run, changed_unlisted(run))


def test_lines_of_metrics_that_are_not_as_they_were_are_found(run, workspace, kept):
    """Whole lines that are gone, doubled or in another order are, by `check` and before a resumed run goes by them; a
    file that was moved away is taken for one that begins anew, and what follows the checkpoint is made anew anyway."""
    path = run / "metrics.jsonl"
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if line.startswith(b'{"step": 8,'))
    for wrong in (
        lines[1:], lines[:last], [*lines[:2], *lines[1:]], [lines[1], lines[0], *lines[2:]],
    ):  # fmt: skip
        path.write_bytes(b"".join(wrong))
        assert names(run, changed_unlisted(run)) == ["metrics.jsonl"]
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl: has not the lines") as error:
            pretrain(workspace, kept, device="cpu", out=run, resume=True)
        assert "move it away" in error.value.hint
    path.write_bytes(b"".join(lines[:-1]))
    assert changed_unlisted(run) == []
    path.unlink()
    pretrain(workspace, kept, device="cpu", out=run, resume=True, dry_run=True)


def test_best_weights_that_changed_places_are_found(run, workspace, kept):
    """Each file says of which step it is: one under another's name is named, and is not gone by."""
    one, other = sorted((run / "best").glob("step-*"))[:2]
    one.rename(run / "x")
    other.rename(one)
    (run / "x").rename(other)
    assert changed_unlisted(run) == [one, other]
    with pytest.raises(CheckpointError, match=r"best/step-[0-9]+\.safetensors: is not as it was written"):
        pretrain(workspace, kept, device="cpu", out=run, resume=True)


def test_a_run_without_latest_goes_on_from_its_newest_checkpoint(run, workspace, kept, tmp_path):
    """It never starts anew where checkpoints are: the weights are those of a run left alone; without any, or without a
    whole one, it is refused and stays as it was."""
    whole = pretrain(workspace, kept, device="cpu", out=tmp_path / "whole")
    (run / "checkpoints" / "latest").unlink()
    shutil.copytree(run, tmp_path / "lost")
    shutil.rmtree(tmp_path / "lost" / "checkpoints")
    shutil.copytree(run, tmp_path / "torn")
    for state in (tmp_path / "torn").rglob("state.json"):
        state.unlink()
    for name, said in (
        ("lost", "checkpoints: holds no checkpoint"),
        ("torn", "latest: is not there, and no checkpoint"),
    ):
        before = {path: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        with pytest.raises(CheckpointError, match=said):
            pretrain(workspace, kept, device="cpu", out=tmp_path / name, resume=True)
        assert {path: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()} == before
    notes = []
    again = pretrain(workspace, kept, device="cpu", out=run, resume=True, report=notes.append)
    _, lost, goes_on = [note["text"] for note in notes[:3]]  # the first: nothing says what the dataset was made from
    assert "checkpoints/latest is not there" in lost and "after step 8" in goes_on
    assert again.weights.read_bytes() == whole.weights.read_bytes() and not (run / "unfinished.json").exists()
    shutil.rmtree(run / "checkpoints")  # of a finished run
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        pretrain(workspace, kept, device="cpu", out=run, resume=True)


def test_a_run_that_grows_is_unfinished_and_not_damaged(workspace, kept, with_train, broken_off, tmp_path, monkeypatch):
    """At work again, or killed between any two of what it writes and removes, it is as it was written; a finished one
    whose list is gone is not."""
    run = pretrain(workspace, kept, device="cpu", out=tmp_path / "run").run
    (run / "files.json").rename(tmp_path / "files.json")
    assert changed_unlisted(run) == [run / "files.json"]
    (tmp_path / "files.json").rename(run / "files.json")
    grown = with_train(kept, max_steps=20)
    seen = []
    for name in ("save_checkpoint", "say_best", "say_unfinished", "remove_checkpoint"):
        room = loop if name == "save_checkpoint" else settle
        real = getattr(room, name)

        def looked(*args, real=real, name=name):
            done = real(*args)
            seen.append((name, changed_unlisted(run)))
            return done

        monkeypatch.setattr(room, name, looked)
    broken_off(18, workspace, grown, device="cpu", out=run, resume=True)
    assert {name for name, _ in seen} == {"save_checkpoint", "say_best", "say_unfinished", "remove_checkpoint"}
    assert [found for _, found in seen if found] == [] and (run / "model.safetensors").exists()
    assert not (run / "files.json").exists() and changed_unlisted(run) == []
    pretrain(workspace, grown, device="cpu", out=run, resume=True)
    assert changed_files(run) == []
