"""`tawt generate`: a set that MEDS tools read, that runs apply to, and that is the same however often it was killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.commands import invented_workspace as workspace_module
from tawt.config.train import PretrainConfig
from tawt.contracts.synthetic import GateVerdict
from tawt.dataset.reader import open_dataset
from tawt.dataset.records import OF_TRIPLETS, Records, joined
from tawt.errors import CheckpointError, ConfigError, DatasetError, FileError, PrivacyError
from tawt.quality.meds import check_meds
from tawt.quality.workspace import check
from tawt.synthesis import parts as parts_module
from tawt.synthesis import prior as prior_module
from tawt.synthesis import shared as shared_module
from tawt.synthesis import source as source_module
from tawt.synthesis.read import OfMeds, of_dataset, read_synthetic
from tawt.synthesis.values import Meanings
from tawt.synthesis.written import SCHEMA, data_files, write_about, write_part
from tawt.training import loop
from tests.unit.conftest import Hospital

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
BATCHING = {"tokens_per_batch": 1024, "max_length": 256}
TRAIN = {"max_steps": 4, "threads": 1, "validate_every": 0, "checkpoint_every": 4}
ONE = {"threads": 1, "memory_limit": "500MB"}
NO = GateVerdict("near copies", "failed", "some are")


@pytest.fixture(scope="module")
def work(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a decoder of a few steps and an encoder."""
    copy = Path(shutil.copytree(hospital.workspace, tmp_path_factory.mktemp("generate") / "w"))
    decoder = {
        "model": MODEL | {"causal": True}, "batching": BATCHING | {"order": "by_type"},
        "objective": {"masked": {"weight": 0.0}, "next": {"weight": 1.0}}, "train": TRAIN,
    }  # fmt: skip
    said = {"encoder": str(copy / "runs" / "encoder"), "d_latent": 2, "n_queries": 2}
    latent = decoder | {"objective": decoder["objective"] | {"latent": said}}
    encoder = {"model": MODEL, "batching": BATCHING, "train": TRAIN}
    for name, tree in (("decoder", decoder), ("encoder", encoder), ("latent", latent)):
        tawt.pretrain(copy, PretrainConfig.model_validate(tree), device="cpu", out=copy / "runs" / name)
    return copy


@pytest.fixture(scope="module", autouse=True)
def small_parts():
    """Few records lie together and are drawn side by side, so that few of them are several parts and companies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "PART", 16)
        patch.setattr("tawt.synthesis.rollout.COMPANY", 8)
        yield


@pytest.fixture(scope="module")
def heard() -> list[dict]:
    """What was told while `made` was made."""
    return []


@pytest.fixture(scope="module")
def made(work: Path, heard: list[dict], small_parts):
    """Forty records of the Markov control: the set and what was told."""
    out = work.parent / "markov"
    return tawt.generate(work, control="markov", subjects=40, out=out, seed=3, report=heard.append, **ONE)


def test_what_takes_long_is_said_before_it_is_done(made, heard: list[dict]) -> None:
    """That nothing is drawn yet, then each company of records; and that the set is to be attacked."""
    told = [(one["n_done"], one["n_rows"]) if one["event"] == "part" else one["text"] for one in heard]
    attacks = next(i for i, one in enumerate(told) if "attacked before it is published" in one)
    assert told[:attacks] == [(n, 40) for n in (0, 8, 16, 24, 32, 40)]


def in_order(records: Records) -> Records:
    return records.take(np.argsort(records.subject_id))


def assert_equal(one: Records, other: Records) -> None:
    one, other = in_order(one), in_order(other)
    for name in ("subject_id", "origin", "bounds", *OF_TRIPLETS):
        a, b = getattr(one, name), getattr(other, name)
        assert np.array_equal(a, b), name


def test_it_is_a_meds_dataset_of_new_people(work: Path, made) -> None:
    """MEDS holds of it and of its events; ids are nobody's; every file says that it is synthetic; provenance says how."""
    root = made.folder
    for place in (root, root / "events"):
        assert [one for one in check_meds(place) if not one.ok] == []
    files = [*data_files(root), *(root / "metadata").glob("*.parquet")]
    assert len(files) > 5 and all(pq.read_schema(path).metadata[b"synthetic"] == b"true" for path in files)
    meds = pytest.importorskip("meds")
    for path in data_files(root):
        meds.DataSchema.validate(pq.read_table(path, partitioning=None).select(list(meds.DataSchema.schema().names)))
    real, own = (
        np.concatenate([d.split(s).subject_ids for s in d.split_names]) for d in map(open_dataset, (work, root))
    )
    assert len(own) == made.tally.n_subjects == 40 and not np.isin(own, real).any()
    told = json.loads((root / "provenance.json").read_text())
    assert told["synthetic"] is True and told["control"] == "markov"
    assert told["verdicts"] and {one["outcome"] for one in told["verdicts"]} <= {"passed", "cannot tell"}
    assert told["vocabulary"] == open_dataset(work).vocabulary.sha256 and told["numbers"] == [0, 39]
    assert told["n_events"] == sum(pq.read_metadata(path).num_rows for path in data_files(root))
    assert set(told["raw"]) >= {"births", "after_death", "out_of_range"} and not list(root.parent.glob(".markov*"))


def test_it_is_a_workspace_that_runs_apply_to(work: Path, made) -> None:
    """`tawt check` has nothing to say, a run of the real workspace embeds it, and it can be ingested again."""
    root = made.folder
    assert [one for one in check(root) if not one.ok] == []
    assert open_dataset(root).vocabulary.sha256 == open_dataset(work).vocabulary.sha256
    embedded = tawt.embed(root, work / "runs" / "encoder", device="cpu", out=work.parent / "of_markov.parquet")
    assert embedded.n_subjects == 40
    again = tawt.ingest(root, str(root / "pipeline.yaml"), root, **ONE)
    assert {one.reason for one in again.stages} == {None}, "all is up to date"
    damaged = Path(shutil.copytree(root, work.parent / "damaged"))
    with data_files(damaged)[0].open("ab") as file:
        file.write(b"x")
    (wrong,) = [one for one in check(damaged) if one.check == "synthetic set"]
    assert not wrong.ok


def test_what_is_read_back_is_what_was_drawn(work: Path, made) -> None:
    """As a workspace, as any MEDS dataset, and as the events of our own stages, it holds the same triplets."""
    dataset = open_dataset(work)
    own = read_synthetic(made.folder, dataset)
    bare = work.parent / "bare"
    for name in ("data", "metadata"):
        shutil.copytree(made.folder / name, bare / name, dirs_exist_ok=True)
    meds = read_synthetic(bare, dataset)
    assert isinstance(meds, OfMeds) and (meds.n_subjects, meds.n_unknown, meds.n_unknown_unit) == (40, 0, 0)
    assert_equal(joined(own.parts()), joined(meds.parts()))


def test_real_records_written_and_read_are_the_same_triplets(work: Path, tmp_path: Path) -> None:
    """Every data_type, token, status and moment of the hospital survives, numbers to the last bit."""
    dataset = open_dataset(work)
    real = joined(of_dataset(dataset).parts())
    told = Meanings(dataset.vocabulary)
    known = real.data_type != 1
    real = in_order(real.keep(known & (real.value_status != 9)))
    subjects = write_part(tmp_path, "0", real, told, (0.8, 0.1, 0.1), 0)
    write_about(tmp_path, subjects, set(real.data_type.tolist()), told)
    assert [one for one in check_meds(tmp_path) if not one.ok] == []
    back = joined(read_synthetic(tmp_path, dataset).parts())
    assert set(real.value_status) >= {0, 1, 2, 3} and real.is_static.any()

    # simultaneous ones of one data_type may come in another order
    def settled(records: Records) -> Records:
        keys = ("value", "value_token", "value_status", "data_type", "time")
        order = np.lexsort((*(getattr(records, key) for key in keys), ~records.is_static, records.subject))
        return replace(records, **{name: getattr(records, name)[order] for name in OF_TRIPLETS})

    assert_equal(settled(in_order(real)), settled(in_order(back)))


def test_a_set_is_read_from_where_real_times_count(work: Path, made, tmp_path: Path) -> None:
    """Beside records that count from an anchor, a MEDS dataset counts from the same, and from none beside others."""
    for name in ("data", "metadata"):
        shutil.copytree(made.folder / name, tmp_path / name)
    dataset = open_dataset(work)
    anchored = replace(dataset, time_origin="anchor")
    own, meds = (in_order(joined(read_synthetic(tmp_path, one).parts())) for one in (dataset, anchored))
    anchor = dataset.split("train").origins[0]
    assert set(meds.origin) == {anchor} != set(own.origin)
    timed = ~own.is_static
    assert np.array_equal((own.origin[own.subject] + own.time)[timed], (anchor + meds.time)[timed])


def test_any_numbers_are_the_same_records_again(work: Path, made) -> None:
    """Records 10 to 19 by themselves are those of the whole set, in the files too; another seed gives others."""
    some = tawt.generate(work, control="markov", numbers="10..19", out=work.parent / "some", seed=3, **ONE)
    dataset = open_dataset(work)
    whole = in_order(joined(read_synthetic(made.folder, dataset).parts()))
    own = in_order(joined(read_synthetic(some.folder, dataset).parts()))
    assert_equal(whole.take(np.arange(10, 20)), own)
    other = tawt.generate(work, control="markov", numbers="10..19", out=work.parent / "other", seed=4, **ONE)
    assert not np.array_equal(joined(read_synthetic(other.folder, dataset).parts()).time, own.time)


def test_a_killed_one_goes_on_and_ends_with_the_same_bytes(
    work: Path, made, monkeypatch: pytest.MonkeyPatch, tree
) -> None:
    """Parts that were written stay, a damaged one is drawn again, and what was begun for another set is not taken."""
    out = work.parent / "killed"
    drawn, draw = [], parts_module._drawn

    def killed(folder, name, *more):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(name)
        return draw(folder, name, *more)

    monkeypatch.setattr(parts_module, "_drawn", killed)
    ask = {"control": "markov", "subjects": 40, "out": out, "seed": 3, **ONE}
    with pytest.raises(KeyboardInterrupt):
        tawt.generate(work, **ask)
    assert not out.exists() and len(drawn) == 2
    damaged = data_files(work.parent / ".killed.parts")[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again: list[str] = []
    monkeypatch.setattr(
        parts_module, "_drawn", lambda folder, name, *more: again.append(name) or draw(folder, name, *more)
    )
    tawt.generate(work, **ask)
    assert again == ["0000000", "0000002"]
    for name in ("data", "metadata", "dataset", "triplets"):
        assert tree(out / name) == tree(made.folder / name), name
    assert not list(work.parent.glob(".killed*"))


def test_a_decoder_draws_records_of_nobody(work: Path) -> None:
    """A run of a few steps already gives a set that holds; a rerun of some numbers gives them again."""
    made = tawt.generate(work, "decoder", subjects=6, out=work.parent / "drawn", most=60, **ONE)
    told = json.loads((made.folder / "provenance.json").read_text())
    assert told["run"] == "decoder" and len(told["model"]) == 64 and made.tally.n_events > 6
    assert [one for one in check(made.folder) if not one.ok] == []
    some = tawt.generate(work, "decoder", numbers="2..3", out=work.parent / "drawn_some", most=60, **ONE)
    whole, own = (in_order(joined(read_synthetic(one.folder, open_dataset(work)).parts())) for one in (made, some))
    assert_equal(whole.take(np.flatnonzero(np.isin(whole.subject_id, own.subject_id))), own)


def test_a_set_of_a_run_that_was_not_finished_says_so(work: Path, request) -> None:
    """At which step of how many, in what goes with the set and as the last that is said; of a finished run nothing is."""

    def failing(self, step, *rest):
        if step == 3:
            raise RuntimeError("the end")
        return own(self, step, *rest)

    tree = {
        "model": MODEL | {"causal": True}, "batching": BATCHING | {"order": "by_type"},
        "objective": {"masked": {"weight": 0.0}, "next": {"weight": 1.0}},
        "train": TRAIN | {"max_steps": 9, "checkpoint_every": 2},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        own = loop.Trainer._step
        patch.setattr(loop.Trainer, "_step", failing)
        with pytest.raises(RuntimeError, match="the end"):
            tawt.pretrain(work, PretrainConfig.model_validate(tree), device="cpu", out=work / "runs" / "half")
    typed = request.getfixturevalue("tawt")
    for run, said in (("half", {"step": 2, "of_steps": 9}), ("decoder", None)):
        out = work.parent / f"of_{run}"
        ended = typed("generate", "-w", work, "--run", run, "--subjects", 2, "--most", 9, "--out", out, "--threads", 1)
        last = ended.err[ended.err.index("records with") :]
        assert ended.code == 0 and json.loads((out / "provenance.json").read_text()).get("unfinished") == said
        assert ("after step 2 of 9: it is not finished" in last) == (said is not None)


def test_latents_come_from_a_prior_and_may_be_asked_for(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with latents draws them by `vae` where nothing is said; another prior, or a condition, gives others. What
    cannot be asked for is told by a dry run too."""
    drawn, latents, years, invent, learn = {}, [], [], source_module.invent, prior_module.fit_generator
    monkeypatch.setattr(prior_module, "fit_generator", lambda *given: learn(*given[:3], steps=30))

    def heard(*given, origins, latent, **more):
        latents.append(latent(np.arange(3)).numpy().tobytes())
        years.append(set(origins(np.arange(50)).astype("datetime64[us]").astype("datetime64[Y]").astype(str)))
        return invent(*given, origins=origins, latent=latent, **more)

    monkeypatch.setattr(source_module, "invent", heard)
    for name, more in {
        "vae": {}, "normal": {"prior": "normal"}, "of": {"conditions": ["GENDER=F"]},
        "young": {"prior": "gan", "conditions": ["birth_year=2080"]},
    }.items():  # fmt: skip
        out = work.parent / f"latent_{name}"
        tawt.generate(work, "latent", subjects=3, out=out, most=30, judge=lambda folder: [], **more, **ONE)
        told = json.loads((out / "provenance.json").read_text())
        drawn[name] = (told["prior"], told["conditions"])
        rows = pq.read_table(out / "data", columns=["subject_id", "time", "code"], partitioning=None).to_pylist()
        if name == "of":
            who = {code: {row["subject_id"] for row in rows if row["code"] == f"GENDER//{code}"} for code in "FM"}
            assert told["obeyed"]["GENDER"] == {"told": len(who["F"] | who["M"]), "obeyed": len(who["F"] - who["M"])}
        if name == "young":
            born = [row["time"].year for row in rows if row["code"] == "MEDS_BIRTH"]
            assert told["obeyed"]["birth_year"] == {"told": len(born), "obeyed": born.count(2080)}
    assert [one[0] for one in drawn.values()] == ["vae", "normal", "vae", "gan"]
    assert drawn["of"][1] == {"GENDER": "F"} and len(latents) == len(set(latents)) == 4
    assert years[3] == {"2080"} and all(len(one) > 5 for one in years[:3])
    wrong = [
        ("has no latents", {"run": "decoder", "prior": "vae"}),
        ("has no latents", {"run": "decoder", "conditions": ["GENDER=F"]}),
        ("has no latents", {"control": "markov", "conditions": ["GENDER=F"]}),
        ("is told by no static row", {"run": "latent", "conditions": ["GENDR=F"]}),
        ("NAME=VALUE", {"run": "latent", "conditions": ["GENDER"]}),
        ("is another one", {"run": "latent", "conditions": ["GENDER=Q"]}),
        ("is no year", {"run": "latent", "conditions": ["birth_year=long ago"]}),
        ("is no year", {"run": "latent", "conditions": ["birth_year=1970.5"]}),
        (
            r"is 1650, of which nothing is known, expected 2\d\d\d to",
            {"run": "latent", "conditions": ["birth_year=1650"]},
        ),
    ]
    for said, ask in wrong:
        for dry in (True, False) if "1650" in said else (True,):
            with pytest.raises(ConfigError, match=said):
                tawt.generate(work, subjects=3, out=work.parent / "latent_wrong", most=30, dry_run=dry, **ask)


def test_a_gate_refuses_unless_it_is_named(work: Path, tmp_path: Path, request) -> None:
    """What a gate refuses is not there, nor anything of it beside; named, it is published with the verdict. Copies are
    refused for what they are, whatever a gate says."""
    out, umask = work.parent / "refused", os.umask(0o027)
    request.addfinalizer(lambda: os.umask(umask))
    umask = 0o027
    seen: list[bool] = []

    def judge(folder: Path) -> list[GateVerdict]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "what nobody has judged yet, others do not see"
        seen.append((folder / "dataset" / "dataset.json").is_file() and (folder / "provenance.json").is_file())
        return [GateVerdict("copies", "failed", "all are"), GateVerdict("distance", "passed")]

    ask = {"control": "copies", "subjects": 12, "out": out, "judge": judge, **ONE}
    with pytest.raises(PrivacyError, match="copies") as error:
        tawt.generate(work, **ask)
    assert not out.exists() and "--publish-anyway copies" in error.value.hint
    assert "copies are real people" in error.value.hint and "train" not in error.value.hint
    assert [path.name for path in out.parent.iterdir() if "refused" in path.name] in ([], [".refused.lock"])
    for named in (["distance"], ["copies"], ["real people"]):
        with pytest.raises(PrivacyError):
            tawt.generate(work, publish_anyway=named, **ask)
    result = tawt.generate(work, publish_anyway=["real people", "copies"], **ask)
    told = json.loads((out / "provenance.json").read_text())
    assert stat.S_IMODE(out.stat().st_mode) == 0o700, "real people stay their owner's"
    tawt.generate(work, **ask | {"control": "markov", "out": tmp_path / "m"}, publish_anyway=["copies"])
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o777 & ~umask
    assert seen == [True] * 6 and [one["outcome"] for one in told["verdicts"]] == ["failed", "passed", "failed"]
    assert told["published_anyway"] == ["copies", "real people"] and len(result.verdicts) == 3
    few = [one for one in told["raw"].values() if one.get("few")]
    assert few and all(set(one) == {"repair", "few"} for one in few), "of copies no count of few people is told"


def test_what_nobody_shares_is_told_before_anything_is_drawn(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no data_type is one of more than 10 people, a dry run says so too; copies take nothing from many."""
    monkeypatch.setattr(shared_module, "SMALL_CELL", 60)
    ask = {"subjects": 3, "out": work.parent / "of_few", "dry_run": True}
    for source in ({"control": "marginals"}, {"run": "decoder"}, {"run": "latent"}):
        with pytest.raises(DatasetError, match="no data_type that more than 60 of them have"):
            tawt.generate(work, **ask, **source)
    assert tawt.generate(work, **ask, control="copies").n_asked == 3


def test_a_set_tells_how_many_were_refused_before(work: Path, tmp_path: Path) -> None:
    """Seed after seed until a gate passes is seen: by the set that passes, for ever, of the same control alone; the
    same set refused twice is one. A refusal that cannot be noted is said, and is one all the same."""
    work, seeds = Path(shutil.copytree(work, tmp_path / "w", ignore=shutil.ignore_patterns("refused"))), [1, 2, 2]
    ask = {"subjects": 4, "control": "markov", **ONE}

    def told(name: str, **more) -> int:
        folder = tawt.generate(work, **ask | more, out=tmp_path / name, judge=lambda folder: []).folder
        return json.loads((folder / "provenance.json").read_text())["refused_before"]

    for seed in seeds:
        with pytest.raises(PrivacyError, match="near copies"):
            tawt.generate(work, **ask, seed=seed, out=tmp_path / "no", judge=lambda folder: [NO])
    assert not (tmp_path / "no").exists() and told("three", seed=3) == 2 and told("other", control="marginals") == 0
    files = sorted((work / "refused" / "markov").glob("*.json"))
    assert sorted(json.loads(path.read_text())["seed"] for path in files) == [1, 2]
    assert [one for one in check(work) if not one.ok] == []
    files[0].write_text(files[0].read_text().replace("near", "far"))
    (wrong,) = [one for one in check(work) if not one.ok]
    assert wrong.check == "refused sets" and files[0].name in wrong.detail and told("four", seed=4) == 2
    shutil.rmtree(work / "refused")
    (work / "refused").write_text("")
    with pytest.raises(PrivacyError, match="could not be noted"):
        tawt.generate(work, **ask, seed=5, out=tmp_path / "no", judge=lambda folder: [NO])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".no.p")]


@pytest.mark.parametrize("gate", ["nogate", "copies", "Near copies"])
def test_a_gate_that_is_none_is_refused_before_anything_is_drawn(work: Path, tmp_path: Path, gate: str) -> None:
    """A misspelt `--publish-anyway` is told at once, also by a dry run."""
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match="is no gate") as error:
            tawt.generate(
                work, control="markov", subjects=5, out=tmp_path / "no", publish_anyway=[gate], dry_run=dry_run
            )
        assert "near copies" in error.value.hint
    assert not list(tmp_path.iterdir())


def test_of_copies_no_count_of_few_is_told(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of one's own would else ask of real people what nobody may be told: how many have a code."""
    monkeypatch.setattr(source_module, "fit_shared", None)  # what many people share is nothing that a copy asks for
    result = tawt.generate(
        work, control="copies", subjects=12, out=tmp_path / "set", judge=lambda folder: [],
        publish_anyway=["real people"], **ONE,
    )  # fmt: skip
    told = json.loads((result.folder / "provenance.json").read_text())
    result.tally.n_rejected, result.tally.n_dropped = 3, 11
    assert result.counts["n_rejected"] == "<11" and result.counts["n_dropped"] == "11"
    assert all(told[name] is None or told[name] == 0 or told[name] > 10 for name in told if name.startswith("n_"))


def test_a_set_with_the_shards_of_another_is_not_as_it_was_published(work: Path, made, tmp_path: Path) -> None:
    """What is read of a set are its shards: those of another set under its provenance are found, and not assessed."""
    other = tawt.generate(work, control="markov", subjects=8, out=tmp_path / "other", seed=9, **ONE).folder
    copy = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    shutil.rmtree(copy / "dataset")
    shutil.copytree(other / "dataset", copy / "dataset")
    assert any("dataset/dataset.json" in one.detail for one in check(copy) if not one.ok)
    with pytest.raises(DatasetError, match=r"dataset/dataset\.json"):
        tawt.assess(copy, work, n=5, fidelity=False)


def test_what_a_killed_run_left_is_no_part_of_another_set(work: Path, tmp_path: Path) -> None:
    """A part that was half written, of real people, and whatever else lies among the parts: none of it is published."""
    left = tmp_path / ".set.parts"
    for name in ("data/train/.0000002.parquet.tmp", "data/train/0000009.parquet", "data/x", "metadata/notes.parquet"):
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_files(work / "events")[0], left / name)
    made = tawt.generate(work, control="marginals", subjects=4, out=tmp_path / "set", judge=lambda folder: [], **ONE)
    lying = {path.name for name in ("data", "metadata") for path in (made.folder / name).rglob("*") if path.is_file()}
    assert lying == {"0000000.parquet", "codes.parquet", "dataset.json", "subject_splits.parquet"}
    assert [one for one in check(made.folder) if not one.ok] == []
    left = tmp_path / ".other.parts"
    (left / "data").mkdir(parents=True)
    (left / "data" / "train").symlink_to(tmp_path)
    with pytest.raises(FileError, match="is a link"):
        tawt.generate(work, control="marginals", subjects=4, out=tmp_path / "other", judge=lambda folder: [], **ONE)


def test_a_set_that_was_handed_on_can_be_checked_assessed_and_shown(work: Path, made, tmp_path: Path, request) -> None:
    """Whoever receives what the guide says to hand on holds it to its provenance, by `check` and before it is used."""
    typed, root = request.getfixturevalue("tawt"), tmp_path / "received"
    for name in ("data", "metadata"):
        shutil.copytree(made.folder / name, root / name)
    shutil.copy(made.folder / "provenance.json", root)
    assert tawt.assess(root, work, fidelity=False).sizes["synthetic"] == 40
    assert tawt.review(root, work, out=tmp_path / "review", n=8).n == 8
    for ask in (("check", "-w", root), ("check", "meds", root)):
        ended = typed(*ask, "--format", "csv")
        assert ended.code == 0 and "synthetic set,True,as it was published" in ended.out, ended.err
        assert "tawt ingest" in ended.err
    (root / "assessment" / "report.html").write_text("passed")
    (wrong,) = [one for one in check(root) if not one.ok]
    assert "assessment/report.html is missing or changed" in wrong.detail and "tawt assess" in wrong.mend
    shutil.rmtree(root / "assessment")
    shutil.copy(data_files(root)[0], root / "data" / "train" / "more.parquet")
    assert "data/train/more.parquet is none of its files" in typed("check", "-w", root).out.replace("\n", " ")
    for refused in (tawt.assess, lambda *ask, **more: tawt.review(*ask, out=tmp_path / "other", n=8, **more)):
        with pytest.raises(DatasetError, match=r"more\.parquet"):
            refused(root, work, dry_run=True)


def test_the_command_line_says_what_was_drawn_and_what_is_next(work: Path, request) -> None:
    """A dry run draws nothing; the command tells rules, counts and a command that can be pasted."""
    typed = request.getfixturevalue("tawt")
    ask = ("generate", "-w", work, "--control", "markov", "--subjects", 3, "--out", work.parent / "typed")
    dry = typed(*ask, "--dry-run")
    assert dry.code == 0 and "3 records" in dry.out and not (work.parent / "typed").exists()
    ended = typed(*ask, "--threads", 1)
    assert ended.code == 0 and "3 records with" in ended.err and "next: tawt assess" in ended.err
    assert "raw.measurements" not in ended.err, "what the set is written with is nothing that its reader can change"
    assert typed(*ask).code == 2


def test_what_cannot_be_asked_is_told(work: Path, made, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record, no source or two, no decoder, a folder that is there or is a workspace's, a full disk: each is told."""
    new = work.parent / "new"
    wrong = [
        (ConfigError, "asks for no record", {"control": "markov", "subjects": 0}),
        (ConfigError, "is no range", {"control": "markov", "numbers": "9..3"}),
        (ConfigError, "both given", {"control": "markov", "subjects": 3, "numbers": "0..3"}),
        (ConfigError, "both given", {"subjects": 3}),
        (ConfigError, "both given", {"run": "decoder", "control": "markov", "subjects": 3}),
        (ConfigError, "is none, expected copies", {"control": "markow", "subjects": 3}),
        (CheckpointError, "predicts no next event", {"run": "encoder", "subjects": 3}),
        (CheckpointError, "is neither a run", {"run": "nothing", "subjects": 3}),
        (ConfigError, "synthetic set already", {"control": "markov", "subjects": 3, "out": made.folder}),
        (ConfigError, "holds files", {"control": "markov", "subjects": 3, "out": work.parent}),
        (ConfigError, "lies in a workspace", {"control": "markov", "subjects": 3, "out": work / "events" / "x"}),
        (ConfigError, "--memory-limit 2", {"control": "markov", "subjects": 3, "memory_limit": "2"}),
        (ConfigError, "rules.yaml", {"control": "markov", "subjects": 3, "rules": work / "rules.yaml"}),
    ]  # fmt: skip
    for kind, said, ask in wrong:
        for dry_run in (True, False):
            with pytest.raises(kind, match=said):
                tawt.generate(work, **{"out": new, **ask}, dry_run=dry_run)
    assert tawt.generate(work, "decoder", subjects=5, out=new, dry_run=True).n_asked == 5

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts_module, "write_part", full)
    with pytest.raises(OSError, match="No space left"):
        tawt.generate(work, control="markov", subjects=3, out=new, **ONE)
    assert not new.exists()
    monkeypatch.undo()
    monkeypatch.setattr(workspace_module, "_link", full)
    with pytest.raises(OSError, match="No space left"):
        tawt.generate(work, control="markov", subjects=3, out=new, **ONE)
    left = work.parent / f".{made.folder.name}.parts"
    left.mkdir()
    left.with_suffix(".lock").touch()
    with pytest.raises(ConfigError, match="synthetic set already"):
        tawt.generate(work, control="markov", subjects=3, out=made.folder, **ONE)
    assert not left.exists() and not list(work.parent.glob(f".{made.folder.name}*")), "a killed run's are gone"


def test_sets_of_others_are_read_as_far_as_they_are_known(work: Path, tmp_path: Path) -> None:
    """Unknown codes are [UNK] and counted, another unit is no number, and what is no MEDS dataset is told."""
    dataset = open_dataset(work)
    table = dataset.vocabulary.table().to_pylist()
    row = next(one for one in table if one["unit"] and one["n_values"])
    rows = [
        {"subject_id": 1, "code": "NOBODY//KNOWS", "numeric_value": 1.0},
        {"subject_id": 1, "code": row["code"], "numeric_value": row["mean"], "unit": row["unit"]},
        {"subject_id": 1, "code": row["code"], "numeric_value": row["mean"], "unit": "furlong"},
        {"subject_id": 1, "code": row["code"], "numeric_value": row["mean"]},
    ]  # fmt: skip
    whole = [dict.fromkeys(SCHEMA.names) | one | {"value_status": "numeric", "time": i} for i, one in enumerate(rows)]
    (tmp_path / "data").mkdir()
    pq.write_table(SCHEMA.empty_table().from_pylist(whole, schema=SCHEMA), tmp_path / "data" / "0.parquet")
    cohort = read_synthetic(tmp_path, dataset)
    found = joined(cohort.parts())
    assert (cohort.n_unknown, cohort.n_unknown_unit, cohort.n_subjects) == (1, 1, 1)
    assert found.data_type.tolist() == [1, *[row["data_type"]] * 3] and found.value_status.tolist() == [0, 1, 5, 1]
    for name, said in (("nothing", "has no data"), ("torn", "several files")):
        (tmp_path / "torn" / "data").mkdir(parents=True, exist_ok=True)
        for i in range(2):
            shutil.copy(tmp_path / "data" / "0.parquet", tmp_path / "torn" / "data" / f"{i}.parquet")
        with pytest.raises(DatasetError, match=said):
            read_synthetic(tmp_path / name, dataset)
    (tmp_path / "bad" / "data").mkdir(parents=True)
    pq.write_table(
        pq.read_table(tmp_path / "data" / "0.parquet").drop(["code"]), tmp_path / "bad" / "data" / "0.parquet"
    )
    with pytest.raises(DatasetError, match="has no column `code`"):
        read_synthetic(tmp_path / "bad", dataset)
