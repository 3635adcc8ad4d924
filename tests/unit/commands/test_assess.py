"""`tawt assess` and the gate of `tawt generate`: what is safe is published, what is copied is named, real people refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tawt
from tawt.assessment import measured
from tawt.assessment.likelihoods import log_likelihoods
from tawt.assessment.sides import control, n_of_own, sides_of
from tawt.assessment.spaces import embedded
from tawt.cli.app import app
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, DatasetError, PrivacyError, TawtError
from tawt.files import write_sealed
from tawt.hospital.invent import write_hospital
from tawt.quality.workspace import check
from tawt.runs.embedding import load_embedding
from tawt.runs.load import load_decoder
from tawt.seals import holds
from tawt.synthesis.read import of_dataset
from tawt.synthesis.written import data_files

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
BATCHING = {"tokens_per_batch": 4096, "max_length": 4096}
TRAIN = {"max_steps": 4, "threads": 1, "validate_every": 0, "checkpoint_every": 4}
ONE = {"threads": 1, "memory_limit": "500MB"}
ODD = "markov <b>&'s"


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """The transformer that tells sets apart learns for a moment: how well it does is asked in tests/unit/assessment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tawt.assessment.transformer._MOST_STEPS", 5)
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital of 100 subjects, half of them held out, with a decoder and an encoder of a few steps."""
    folder = tmp_path_factory.mktemp("assess")
    write_hospital(folder / "raw", n_subjects=100, seed=7)
    splits = ("splits.train=0.5", "splits.tuning=0.25", "splits.held_out=0.25")
    tawt.ingest(folder / "raw", "demo", folder / "w", settings=splits, **ONE)
    tawt.build_vocab(folder / "w", **ONE)
    decoder = {
        "model": MODEL | {"causal": True}, "batching": BATCHING | {"order": "by_type"},
        "objective": {"masked": {"weight": 0.0}, "next": {"weight": 1.0}}, "train": TRAIN,
    }  # fmt: skip
    for name, tree in (("decoder", decoder), ("encoder", {"model": MODEL, "batching": BATCHING, "train": TRAIN})):
        tawt.pretrain(folder / "w", PretrainConfig.model_validate(tree), device="cpu", out=folder / "w" / "runs" / name)
    return folder / "w"


@pytest.fixture(scope="module")
def markov(work: Path) -> Path:
    """Forty records of the Markov control, in a folder of an odd name, and what was said of it."""
    said: list[dict] = []
    ask = {"control": "markov", "subjects": 40, "out": work.parent / ODD, "seed": 3, "report": said.append}
    made = tawt.generate(work, **ask, **ONE)
    assert {one.outcome for one in made.verdicts} <= {"passed", "cannot tell"} and not any(
        x.refuses for x in made.verdicts
    )
    assert any("this is no pass" in one.get("text", "") for one in said), "that nobody can tell is said aloud"
    return made.folder


@pytest.fixture(scope="module")
def found(work: Path, markov: Path):
    """All that is measured of it, with a decoder."""
    return tawt.assess(markov, work, run="decoder", tasks=["in_hospital_mortality_24h"], curve=True,
                       smaller=[f"{markov}={work}"], device="cpu")  # fmt: skip


class Page(HTMLParser):
    """Which tags there are, whether each is closed, and what is written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_one_whole_page(found, markov: Path) -> None:
    """It needs nothing from elsewhere, runs nothing, closes what it opens, and no name of a folder is mark-up."""
    page = Page((found.folder / "report.html").read_text())
    assert page.open == [] and page.links == [] and not {"script", "b", "link", "img"} & set(page.tags)
    values = re.findall(r'aria-label="values of ([^"]+)"', (found.folder / "report.html").read_text())
    assert values and not any("//" in name for name in values), "data_types are called what a person calls them"
    assert page.tags.count("svg") > 8 and any(markov.name in words for words in page.words)
    text = " ".join(page.words)
    assert (
        text.index("Nobody can tell") < text.index("Does it give anybody away?") < text.index("What was not measured")
    )
    for name in (
        "near copies",
        "prevalence R2",
        "membership by likelihood",
        "other real ones",
        "fewer than 95% of the events",
        "copies",
        "out_of_range",
        "discriminator AUROC, transformer",
        "events by hour of day",
        "events by day of week",
        "no curve is drawn, for there are too few people",
    ):
        assert name in text, name


def test_all_of_it_is_told_and_sealed(found, markov: Path, work: Path) -> None:
    """The record is sealed, names n, controls and what was not measured; nothing in it is a count of few people."""
    path = found.folder / "assessment.json"
    told = json.loads(path.read_text())
    assert holds(path) and found.folder == markov / "assessment"
    privacy = told["privacy"]
    assert privacy["verdict"]["outcome"] == told["outcome"] == "cannot tell"
    assert [one["space"] for one in privacy["spaces"]] == ["summaries", "embeddings"]
    assert privacy["controls"]["copies"]["outcome"] == "failed" and "membership by likelihood" in json.dumps(privacy)
    assert "exposure of canaries" in told["not_measured"] and len(privacy["curves"]) == 4
    assert set(told["fidelity"]["sets"]) == {"synthetic", "real", "copies", "marginals", "markov"}
    assert "within" not in told["verdict"][0] and told["made_by"]["control"] == "markov"
    assert str(work) not in path.read_text() and "in_hospital_mortality_24h" in {*told["tasks"], *_of_tasks(told)}
    assert (found.folder / "assessment.txt").read_text().startswith(markov.name)


def test_what_is_not_installed_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads that discriminators were not measured reads what to type; where they can be, nothing is said."""
    assert measured.not_installed() == ""
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert measured.not_installed() == 'lightgbm cannot be imported: pip install "tawt[benchmarks]"'


def _of_tasks(told: dict) -> set[str]:
    return {name.removeprefix("task ") for name in told["not_measured"]}


def test_the_verdict_travels_with_the_set(found, markov: Path) -> None:
    """Provenance holds it, sealed again; the set and what was written beside it still hold."""
    told = json.loads((markov / "provenance.json").read_text())
    assert holds(markov / "provenance.json") and told["outcome"] == "cannot tell" and told["files"]
    assert {one["outcome"] for one in told["verdicts"]} <= {"passed", "cannot tell"}
    assert any("embeddings" in one["gate"] for one in told["verdicts"])
    assert [one for one in check(markov) if not one.ok] == []


def test_what_was_assessed_is_held_by_check(found, markov: Path) -> None:
    """A page that says passed where it said something else, or is gone, is told with the command that makes it anew."""
    for name in ("report.html", "assessment.txt", "assessment.json", "files.json"):
        path = found.folder / name
        before = path.read_bytes()
        for change in (lambda path: path.write_bytes(path.read_bytes() + b" "), Path.unlink):
            change(path)
            (wrong,) = [one for one in check(markov) if not one.ok and "assessment/" in one.detail]
            assert f"assessment/{name} is missing or changed" in wrong.detail and "tawt assess" in wrong.mend
            path.write_bytes(before)
    assert [one for one in check(markov) if not one.ok] == []


def test_copies_are_refused_and_named(work: Path) -> None:
    """A set of real records does not appear, unless each gate that refuses it is named; then it says so for ever."""
    out = work.parent / "copies"
    ask = {"control": "copies", "subjects": 40, "out": out, **ONE}
    with pytest.raises(PrivacyError, match="near copies") as error:
        tawt.generate(work, **ask)
    assert not out.exists() and "--publish-anyway 'near copies'" in error.value.hint
    names = re.findall(r"--publish-anyway ('[^']*'|\S+)", error.value.hint)
    names = [name.strip("`'") for name in names]
    with pytest.raises(PrivacyError):
        tawt.generate(work, publish_anyway=names[:-1], **ask)
    tawt.generate(work, publish_anyway=names, **ask)
    told = json.loads((out / "provenance.json").read_text())
    assert told["published_anyway"] == names
    assert {one["gate"] for one in told["verdicts"] if one["outcome"] == "failed"} == set(names)
    result = tawt.assess(out, work, fidelity=False)
    assert result.found.outcome == "failed" and "must not be handed on" in result.found.verdict[0]
    assert "failed" in (out / "assessment" / "report.html").read_text()


def test_a_set_of_another_generator_is_judged(work: Path, markov: Path, tmp_path: Path) -> None:
    """A bare MEDS folder is read into the vocabulary; what it has beyond is counted, and it may have no provenance."""
    for name in ("data", "metadata"):
        shutil.copytree(markov / name, tmp_path / "other" / name)
    path = data_files(tmp_path / "other")[0]
    rows = pq.read_table(path, partitioning=None)
    code = pc.if_else(pa.array(np.arange(len(rows)) % 7 == 3), "SOMETHING//ELSE", rows["code"])
    pq.write_table(rows.set_column(rows.schema.get_field_index("code"), "code", code), path)
    result = tawt.assess(tmp_path / "other", work, tasks=["in_hospital_mortality_24h"], out=tmp_path / "said")
    assert (tmp_path / "said" / "report.html").is_file() and not (tmp_path / "other" / "assessment").exists()
    notes = " ".join(result.found.notes)
    assert "no provenance" in notes and "codes that the vocabulary does not have" in notes
    assert any("task" in name for name in result.found.not_measured)
    assert result.found.fidelity is not None and result.sizes["synthetic"] == 40


def test_few_people_tell_nothing_and_are_not_told(work: Path, tmp_path: Path) -> None:
    """Seven records: no pass, no fidelity, and the number seven is nowhere."""
    made = tawt.generate(work, control="markov", subjects=7, out=tmp_path / "seven", **ONE)
    assert not any(one.refuses for one in made.verdicts) and any(one.outcome == "cannot tell" for one in made.verdicts)
    result = tawt.assess(made.folder, work)
    told = json.loads((result.folder / "assessment.json").read_text())
    assert told["sizes"]["synthetic"] == "<11" and told["outcome"] == "cannot tell" and told["fidelity"] is None
    assert "fewer than 20 people" in told["not_measured"]["fidelity"]
    assert "<11 of synthetic" in (result.folder / "assessment.txt").read_text()


def test_what_is_real_or_of_something_else_is_refused(work: Path, markov: Path, tmp_path: Path) -> None:
    """The workspace, a copy of it, another vocabulary, nobody, what is damaged or does not fit: each is one error."""
    again = Path(shutil.copytree(work, tmp_path / "again"))
    bare = tmp_path / "bare"
    shutil.copytree(work / "events" / "data", bare / "data")
    alien, empty = tmp_path / "alien" / "data", tmp_path / "empty" / "data"
    rows = pq.read_table(data_files(markov)[0], partitioning=None)
    for folder, table in ((alien, rows.set_column(2, "code", pa.array(["X"] * len(rows)))), (empty, rows[:0])):
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "0.parquet")
    assert rows.schema.names[2] == "code"
    damaged = Path(shutil.copytree(markov, tmp_path / "damaged"))
    path = damaged / "provenance.json"
    path.write_text(path.read_text().replace('"markov"', '"decoder"'))
    wrong = [
        (ConfigError, "is the workspace itself", work, {}),
        (ConfigError, "under their own ids", again, {}),
        (ConfigError, "under their own ids", bare, {}),
        (DatasetError, "has no code that the workspace", alien.parent, {}),
        (DatasetError, "has nobody in it", empty.parent, {}),
        (DatasetError, "has no data", tmp_path / "nothing", {}),
        (DatasetError, "not as it was written", damaged, {}),
        (CheckpointError, "is neither a run", markov, {"run": "nothing"}),
        (ConfigError, "needs the run", markov, {"reference_run": "decoder"}),
        (ConfigError, "expected SET=WORKSPACE", markov, {"smaller": ["x"], "curve": True}),
        (ConfigError, "is of the curve", markov, {"smaller": [f"{markov}={work}"]}),
        (ConfigError, "nothing to measure", markov, {"fidelity": False, "privacy": False}),
        (ConfigError, "expected 1 or more", markov, {"n": 0}),
        (ConfigError, "lies in a workspace", markov, {"out": work / "events" / "x"}),
    ]  # fmt: skip
    for kind, said, folder, ask in wrong:
        with pytest.raises(kind) as error:
            tawt.assess(folder, work, **ask)
        assert said in f"{error.value} {error.value.hint}", said
    assert tawt.assess(markov, work, dry_run=True).found is None


def test_an_encoder_gives_a_space_and_no_likelihood(work: Path, markov: Path, tmp_path: Path) -> None:
    """What the run is not able to say is named among what was not measured."""
    result = tawt.assess(markov, work, run="encoder", fidelity=False, device="cpu", out=tmp_path / "said")
    assert result.found.not_measured["membership by likelihood"] == "the run is no decoder"
    assert result.found.not_measured["fidelity"] == "not asked for"
    assert len(result.found.privacy.assessments) == 2


def test_records_in_memory_are_what_a_run_reads(work: Path, tmp_path: Path) -> None:
    """Embeddings are those of `tawt embed`; likelihoods add up to what the run's own loss sums of whole batches do."""
    dataset = open_dataset(work)
    held = sides_of(dataset, 1000).test
    path = tawt.embed(work, "encoder", splits=["held_out"], device="cpu", out=tmp_path / "e.parquet").path
    table = pq.read_table(path).sort_by("subject_id")
    own = embedded(load_embedding(work / "runs" / "encoder", dataset.vocabulary, work, None, "cpu"), held,
                   dataset.time_origin, "kept")  # fmt: skip
    ids = held.split.subject_ids[held.subjects]
    written = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    assert np.allclose(own[np.argsort(ids)], written, atol=1e-5)
    decoder = load_decoder(work / "runs" / "decoder")
    single = log_likelihoods(decoder, held, dataset.time_origin, "kept")
    assert (single < 0).all() and np.isclose(single.sum(), -_cost_of_batches(decoder, held.split), rtol=1e-5)


def _cost_of_batches(decoder, split) -> float:
    import torch

    from tawt.batching.loader import PackedLoader
    from tawt.config.next_event import DRAWN
    from tawt.objectives.next_event import loss_sums
    from tawt.objectives.next_targets import make_targets

    total = 0.0
    loader = PackedLoader(split, decoder.vocabulary, decoder.config.batching)
    for host in loader.sequential(make=lambda batch, number: batch):
        targets = make_targets(
            host, decoder.vocabulary, decoder.heads.knots, decoder.heads.told_types, how=decoder.heads.how
        )
        with torch.no_grad():
            tokens = decoder.encoder.closed(*decoder.encoder.opened(host.tensors())).tokens
            tables = decoder.encoder.embedding.data_type.weight, decoder.encoder.embedding.value.category_rows
            total += sum(float(x) for x in loss_sums(decoder.heads, tables, tokens, targets, DRAWN).values())
    return total


def test_sides_have_nobody_in_common(work: Path) -> None:
    """Train, test and reference are apart however they are chosen; a control is the same records each time."""
    dataset = open_dataset(work)
    sides = sides_of(dataset, 1000)
    ids = [one.split.subject_ids[one.subjects] for one in (sides.train, sides.test, sides.reference)]
    assert len(np.unique(np.concatenate(ids))) == sum(map(len, ids)) and sides.tuned
    few = sides_of(dataset, 5)
    assert [one.n_subjects for one in (few.train, few.test, few.reference)] == [5, 5, 5]
    drawn = control("markov", sides.train, 20, dataset.vocabulary, seed=1)
    first, again = ([part.time for part in drawn.parts()] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert n_of_own(of_dataset(dataset), dataset) == sum(dataset.split(x).n_subjects for x in dataset.split_names)
    assert n_of_own(drawn, dataset) == 0


def test_the_command_line_says_the_same(work: Path, markov: Path, tmp_path: Path) -> None:
    """A dry run foretells and writes nothing; the table, the record and rows of numbers are printed, and where they are."""
    runner = CliRunner()
    ask = ["assess", str(markov), "-w", str(work), "--out", str(tmp_path / "said"), "--no-fidelity"]
    dry = runner.invoke(app, [*ask, "--dry-run"])
    assert dry.exit_code == 0 and "test is held_out" in dry.output and not (tmp_path / "said").exists()
    said = runner.invoke(app, [*ask, "--format", "csv"])
    assert said.exit_code == 0 and "DCR share,synthetic" in said.stdout and "tawt check" in said.output


def test_a_set_that_was_changed_is_not_judged_and_what_failed_has_failed(
    work: Path, markov: Path, tmp_path: Path
) -> None:
    """Other files under the same provenance are refused; asking fewer people makes no failed gate vanish."""
    swapped = Path(shutil.copytree(markov, tmp_path / "swapped"))
    with data_files(swapped)[0].open("ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError, match="as it was published"):
        tawt.assess(swapped, work, fidelity=False)
    copies = work.parent / "few_copies"
    with pytest.raises(PrivacyError) as error:
        tawt.generate(work, control="copies", subjects=40, out=copies, **ONE)
    names = [name.strip("`'") for name in re.findall(r"--publish-anyway ('[^']*'|\S+)", error.value.hint)]
    tawt.generate(work, control="copies", subjects=40, out=copies, publish_anyway=names, **ONE)
    again = tawt.assess(copies, work, fidelity=False, n=5)
    assert again.found.privacy.verdict.outcome != "failed", "the case is not met"
    told = json.loads((copies / "provenance.json").read_text())
    assert told["outcome"] == "failed"
    assert {one["gate"] for one in told["verdicts"] if one["outcome"] == "failed"} == set(names)
    said = json.loads((again.folder / "assessment.json").read_text())
    assert said["outcome"] == "failed" and set(said["failed_before"]) == set(names)
    text, page = (again.folder / "assessment.txt").read_text(), (again.folder / "report.html").read_text()
    for told in ("\n".join(said["verdict"]), text, page):
        is_copies, has_failed, now = (told.index(what) for what in ("control copies", "has failed", "Nobody can tell"))
        assert is_copies < has_failed < now and all(name in told[has_failed:now] for name in names)
    assert 'class="verdict failed"' in page


def test_a_set_that_was_learned_from_others_is_compared_with_them_and_no_more(
    work: Path, markov: Path, tmp_path: Path
) -> None:
    """It overwrites nothing that is known of it, attacks nobody and gets no verdict; it is compared apart, and that is said."""
    write_hospital(tmp_path / "raw", n_subjects=100, seed=8)
    tawt.ingest(tmp_path / "raw", "demo", tmp_path / "w", settings=("splits.held_out=0.3", "splits.train=0.4",
                "splits.tuning=0.3"), **ONE)  # fmt: skip
    tawt.build_vocab(tmp_path / "w", **ONE)
    tawt.assess(markov, work, fidelity=False)
    held = [markov / "provenance.json", *sorted((markov / "assessment").iterdir())]
    before = [path.read_bytes() for path in held]
    for said, ask in (
        ("was learned from others", {}),
        ("was learned from others", {"out": markov / "assessment", "dry_run": True}),
        ("leaves nothing to measure", {"out": tmp_path / "no", "fidelity": False}),
    ):
        with pytest.raises(ConfigError, match=said):
            tawt.assess(markov, tmp_path / "w", **ask)
    result = tawt.assess(markov, tmp_path / "w", with_transformer=False, out=tmp_path / "said")
    assert [path.read_bytes() for path in held] == before
    assert result.found.fidelity is not None and result.found.privacy is None and result.found.outcome is None
    assert "learned from others" in result.found.not_measured["privacy"] + result.found.verdict[0]
    assert "It was learned from others" in (result.folder / "report.html").read_text()


def test_a_smaller_set_comes_in_by_the_same_door(work: Path, markov: Path, tmp_path: Path) -> None:
    """Real people, files that are not as they were published, and what was learned from others than the people of the
    workspace that is named for it, are no set that was learned from fewer."""
    swapped = Path(shutil.copytree(markov, tmp_path / "swapped"))
    shutil.copy(data_files(swapped)[0], swapped / "data" / "more.parquet")
    for kind, said, folder in (
        (ConfigError, "under their own ids", work),
        (ConfigError, "under their own ids", work / "events"),
        (DatasetError, r"data/more\.parquet", swapped),
    ):
        with pytest.raises(kind, match=said):
            tawt.assess(markov, work, curve=True, smaller=[f"{folder}={work}"], dry_run=True)
    other = Path(shutil.copytree(markov, tmp_path / "other", ignore=shutil.ignore_patterns("assessment")))
    told = json.loads((other / "provenance.json").read_text())
    write_sealed(other / "provenance.json", {key: told[key] for key in told if key != "seal"} | {"dataset": "0" * 16})
    with pytest.raises(ConfigError, match=f"was learned from others than the people of {work}"):
        tawt.assess(markov, work, curve=True, smaller=[f"{other}={work}"], dry_run=True)


def test_a_provenance_of_other_types_ends_before_anything_is_written(work: Path, markov: Path, tmp_path: Path) -> None:
    """Its seal holds, for anybody can make one; no page is left that the set knows nothing of."""
    own = Path(shutil.copytree(markov, tmp_path / "own", ignore=shutil.ignore_patterns("assessment")))
    told = json.loads((own / "provenance.json").read_text())
    for changed in ({"verdicts": [{"outcome": "failed"}]}, {"held_to": [[1]]}, {"n_train": -5}):
        write_sealed(own / "provenance.json", {key: told[key] for key in told if key != "seal"} | changed)
        with pytest.raises(DatasetError, match=f"`{next(iter(changed))}` does not fit"):
            tawt.assess(own, work, fidelity=False)
        assert not (own / "assessment").exists()


def test_nothing_is_written_through_a_link(work: Path, markov: Path, tmp_path: Path) -> None:
    """An assessment folder that leads elsewhere is refused, and what lies there stays as it was."""
    own, elsewhere = Path(shutil.copytree(markov, tmp_path / "own")), tmp_path / "elsewhere"
    shutil.rmtree(own / "assessment", ignore_errors=True)
    elsewhere.mkdir()
    (elsewhere / "report.html").write_text("mine")
    (own / "assessment").symlink_to(elsewhere)
    with pytest.raises(TawtError, match="link"):
        tawt.assess(own, work, fidelity=False)
    assert (elsewhere / "report.html").read_text() == "mine" and len(list(elsewhere.iterdir())) == 1
