"""A vocabulary that goes on from another one, in a workspace: what stays, what is told, and the run that follows it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.cli.output import Format, print_most
from tawt.commands.build_vocab import extension
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import ConfigError, StaleError
from tawt.pipeline.workspace import open_workspace
from tests.unit.places import write_place

extend = importlib.import_module("tawt.commands.extend")
"""The module, which the package's function of that name hides."""
NUMBER = lambda rng: float(rng.normal(100, 15))  # noqa: E731
OLD = {
    "LAB//SODIUM": ("Sodium in blood", ["LOINC/2951"], NUMBER, "mmol/L"), "LAB//GLUCOSE": ("Glucose", None, NUMBER, "mg/dL"),
    "URINE//NITRITE": ("Nitrite", None, lambda rng: str(rng.choice(["NEG", "POS"])), None), "VISIT": (None, None, None, None),
}  # fmt: skip
NEW = OLD | {
    "LAB//NA": ("Sodium in whole blood", ["LOINC/2951"], NUMBER, "mmol/L"),
    "DX//A": ("Sepsis", None, None, None),
}
SMALL = PretrainConfig(
    model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, pooling="per_type"),
    batching=BatchingConfig(tokens_per_batch=4096, max_length=512),
    train=TrainConfig(max_steps=2, threads=1, validate_every=2, validate_batches=1, warmup_steps=1),
)


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with four data_types, and a run that was pretrained on it."""
    root = tmp_path_factory.mktemp("shorter")
    tawt.ingest(write_place(root / "raw", OLD), "meds", root / "w", threads=1)
    tawt.build_vocab(root / "w", threads=1)
    tawt.pretrain(root / "w", SMALL, device="cpu", out=root / "w" / "runs" / "old")
    return root / "w"


@pytest.fixture(scope="module")
def longer(shorter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two data_types more, of every third subject, its vocabulary behind the old one."""
    root = Path(shutil.copytree(shorter, tmp_path_factory.mktemp("longer") / "w"))
    tawt.ingest(write_place(root.parent / "raw", NEW, rare=("LAB//NA", "DX//A")), "meds", root, threads=1)
    tawt.build_vocab(root, extend=True, threads=1)
    return root


def vocabulary(root: Path):
    return pq.read_table(root / "vocabulary" / "vocabulary.parquet")


def test_the_old_vocabulary_stays_at_the_beginning(shorter: Path, longer: Path) -> None:
    """All old rows are the same in every column, and only what is new stands behind them."""
    old, new = vocabulary(shorter), vocabulary(longer)
    assert new.slice(0, len(old)).replace_schema_metadata().equals(old.replace_schema_metadata())
    added = new.slice(len(old))["code"].to_pylist()
    assert added == ["DX//A", "LAB//NA"]
    told = extension(open_workspace(longer))
    assert told is not None and told.n_unknown == sum(new.slice(len(old))["n_rows"].to_pylist()) > 0
    assert [one[:2] for one in told.grown] == [("DX//A", "new"), ("LAB//NA", "new")]
    assert all(finding.ok for finding in tawt.check(longer))


def test_it_is_gone_on_from_until_another_is_asked_for(longer: Path, tmp_path: Path) -> None:
    """A later build keeps the base and runs nothing; `anew` fits a vocabulary by itself, whose order is another."""
    root = Path(shutil.copytree(longer, tmp_path / "w"))
    assert tawt.build_vocab(root, threads=1).n_run == 0
    assert tawt.build_vocab(root, anew=True, threads=1, dry_run=True).n_run == 3 and (root / "base.json").exists()
    tawt.build_vocab(root, anew=True, threads=1)
    assert not (root / "base.json").exists() and not (root / "base.parquet").exists()
    assert vocabulary(root)["code"].to_pylist()[-2:] == ["DX//A", "LAB//NA"]  # by count, which is the least
    assert all(finding.ok for finding in tawt.check(root))


def test_a_base_that_was_touched_or_lost_is_told(longer: Path, tmp_path: Path) -> None:
    """`check` names a base that is not as it was written; without it the vocabulary is stale, and training stops."""
    root = Path(shutil.copytree(longer, tmp_path / "w"))
    with (root / "base.parquet").open("ab") as file:
        file.write(b"x")
    assert [f.detail for f in tawt.check(root) if not f.ok] == ["base.parquet is missing or not as it was written"]
    (root / "base.json").unlink()
    with pytest.raises(StaleError, match="vocabulary is to stand by itself"):
        tawt.extend(root, "old")


def test_what_is_not_there_cannot_be_extended(shorter: Path) -> None:
    """A name that is no run is told with the nearest one, and `anew` goes with no `extend`."""
    with pytest.raises(ConfigError, match="is no run") as error:
        tawt.build_vocab(shorter, extend="odl")
    assert "old" in error.value.hint
    with pytest.raises(ConfigError, match="--extend and --anew ask for several"):
        tawt.build_vocab(shorter, extend=True, anew=True)


def test_a_run_grows_and_goes_on(shorter: Path, longer: Path, tmp_path: Path) -> None:
    """Who has nothing new keeps the embedding to the bit; the new run can be embedded with and pretrained from."""
    root = Path(shutil.copytree(longer, tmp_path / "w"))
    result = tawt.extend(root, "old", init="text")
    assert {g.data_type: (g.how, g.sources[:1]) for g in result.grown} == {
        "DX//A": ("random", ()), "LAB//NA": ("text", ("LAB//SODIUM",)),
    }  # fmt: skip
    assert (
        result.run.name == "old-extended"
        and result.n_unknown > 0
        and {g.how for g in result.grown} <= {"text", "random"}
    )
    before = pq.read_table(tawt.embed(shorter, "old", device="cpu", out=tmp_path / "old.parquet").path)
    after = pq.read_table(tawt.embed(root, result.run, device="cpu").path)
    assert before["subject_id"].equals(after["subject_id"])
    still = pq.read_table(tawt.embed(root, "old", device="cpu").path)  # which reads what is new as [UNK], as ever
    assert still["subject_id"].equals(before["subject_id"])
    one, other, third = (np.array(t["embedding"].to_pylist()) for t in (before, after, still))
    events = pq.ParquetDataset(root / "events" / "data").read(columns=["subject_id", "code"])
    new = {s for s, c in zip(events["subject_id"].to_pylist(), events["code"].to_pylist(), strict=True) if c in ("LAB//NA", "DX//A")}  # fmt: skip
    same = (one == other).all(1)
    assert (one == third).all(1)[same].all()
    told = tawt.carry(root, "old").coverage  # though another code has the same parent
    assert [(c.way, c.n_data_types) for c in told] == [("code", 4), ("unknown", 2)]
    assert [s not in new for s in before["subject_id"].to_pylist()] == same.tolist() and 0 < same.sum() < len(same)
    config = PretrainConfig.model_validate(SMALL.model_dump() | {"model": _model(result.run)})
    tawt.pretrain(root, config, init=result.run, device="cpu", out=root / "runs" / "more")
    assert all(finding.ok for finding in tawt.check(root)), [f for f in tawt.check(root) if not f.ok]
    tawt.embed(root, "more", device="cpu")
    found = tawt.compare(root, [result.run, "more"])
    assert [(c.run, c.steps, c.begun_from) for c in found.costs] == [
        ("old-extended", 0, "old"),
        ("more", 2, "old-extended"),
    ]
    (alike,) = found.alike
    assert found.costs[1].seconds > 0 and alike.run == "more" and alike.n_subjects == 60 and 0 < alike.cka <= 1
    with pytest.raises(ConfigError, match="is there already"):
        tawt.extend(root, "old")
    with pytest.raises(ConfigError, match="knows all that the vocabulary has"):
        tawt.extend(root, result.run)


@pytest.mark.parametrize("name", ["write_text", "write_tensors", "write_hashes", "load_encoder", "publish"])
def test_a_killed_one_is_made_again(longer: Path, name: str, tmp_path: Path) -> None:
    """Wherever it is killed there is no half run, `check` knows what lies aside, and the same command makes it."""
    root = Path(shutil.copytree(longer, tmp_path / "w"))
    if (child := os.fork()) == 0:
        setattr(extend, name, lambda *args: os.kill(os.getpid(), signal.SIGKILL))
        tawt.extend(root, "old")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (root / "runs" / "old-extended").exists()
    assert all(finding.ok for finding in tawt.check(root)), [f for f in tawt.check(root) if not f.ok]
    made = tawt.extend(root, "old")
    assert {path.name for path in made.run.parent.iterdir()} == {"old", "old-extended"}
    assert tawt.embed(root, made.run, device="cpu").n_subjects == 60
    assert (made.run / "README.md").read_text().count("# old-extended\n") == 1


def test_what_begins_at_random_though_it_was_to_be_like_others_is_told(longer: Path) -> None:
    """A way that finds nothing for some says for how many, and what else there is; `random` says nothing."""
    told: dict[str, list[str]] = {"similar": [], "text": [], "random": []}
    for init, said in told.items():
        result = tawt.extend(longer, "old", init=init, dry_run=True, report=lambda e, said=said: said.append(e["text"]))
        assert sum(result.ways.values()) == 2
    (some,), (other,) = told["similar"], told["text"]
    assert some.startswith("--init similar finds nothing for 1 of 2 new data_types, which begin at random: no old code")
    assert "`--init parents` or `--init text`" in some and "`--init similar`" in other and told["random"] == []
    assert {one.data_type: one.means for one in result.grown} == {"DX//A": "Sepsis", "LAB//NA": "Sodium in whole blood"}


def test_of_many_rows_a_table_has_the_largest(capsys: pytest.CaptureFixture[str]) -> None:
    """A long table is cut to twenty rows by their counts and says what is left; as csv it is whole."""
    rows = [(f"CODE//{i}", i) for i in range(165)]
    print_most(("data_type", "rows"), rows, Format.table, "data_type")
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == [f"CODE//{i}" for i in range(164, 144, -1)]
    assert f"and 145 more, {sum(range(145)):,} rows" in err
    print_most(("data_type", "rows"), rows, Format.csv, "data_type")
    assert len(capsys.readouterr().out.splitlines()) == 166
    print_most(("data_type", "rows"), rows[:21], Format.table, "data_type")  # one more than twenty is no more to read
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 22 and err == ""


def test_two_at_once_are_one(longer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second is refused, and what the first has written stays."""
    root = Path(shutil.copytree(longer, tmp_path / "w"))
    real, refused = extend.write_tensors, []

    def beside(*args):
        with pytest.raises(ConfigError, match="is being written by another process") as error:
            tawt.extend(root, "old", seed=2)
        refused.append(error)
        return real(*args)

    monkeypatch.setattr(extend, "write_tensors", beside)
    made = tawt.extend(root, "old", seed=1)
    assert len(refused) == 1 and json.loads((made.run / "versions.json").read_text())["seed"] == 1
    assert all(finding.ok for finding in tawt.check(root))


def _model(run: Path):
    from tawt.config.load import load

    return load(PretrainConfig, run / "config.yaml").model.model_dump()
