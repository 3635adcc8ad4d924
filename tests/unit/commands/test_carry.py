"""Another place: its events in the vocabulary of a run of elsewhere, told before anything is computed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.commands import carry_coverage
from tawt.commands.carry_coverage import Drift
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.pipeline import DataType, PipelineConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.contracts.cells import Part, untold_parts
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, DatasetError, StaleError
from tawt.transforms.carry import _conversion, _There, drift
from tawt.transforms.triplets import Coder
from tawt.transforms.units import Units
from tests.unit.places import HOUR, write_place

SMALL = PretrainConfig(
    model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, pooling="per_type"),
    batching=BatchingConfig(tokens_per_batch=4096, max_length=512),
    train=TrainConfig(max_steps=2, threads=1, validate_every=2, validate_batches=1, warmup_steps=1),
)


def glucose(mean, spread=20):
    return lambda rng: float(rng.normal(mean, spread))


def text(rng):
    return str(rng.choice(["NEG", "POS"]))


THERE = {
    "LAB//GLUCOSE": ("Glucose [blood]", None, glucose(100), "mg/dL"), "LAB//NA": ("Sodium", ["LOINC/2951-2"], glucose(140, 4), "mmol/L"),
    "CHART//HR": ("Heart rate", None, glucose(80, 9), "bpm"), "URINE//NIT": ("Nitrite", None, text, None),
    "DX//I50": ("Heart failure", ["ICD10CM/I50"], None, None), "SAME": (None, None, glucose(5, 1), "mg/dL"),
}  # fmt: skip
HERE = {
    "glu": ("glucose  (BLOOD)", None, glucose(5.5, 1.1), "mmol/L"), "na": ("Natrium", ["LOINC/2951-2"], glucose(140, 4), "mmol/L"),
    "pulse": ("Puls", None, glucose(120, 9), "bpm"), "nit": ("Nitrite", None, text, None),
    "i50.1": ("Herzschwäche", ["ICD10CM/I50"], None, None), "SAME": (None, None, glucose(5, 1), "furlong"),
    "odd": ("Nobody knows", None, glucose(1), "mg/dL"),
}  # fmt: skip
SAID = ("data_types={glu: {concept: glucose, unit: mmol/L}, pulse: {concept: heart_rate}}",)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a run of it."""
    root = tmp_path_factory.mktemp("there")
    said = ("data_types={LAB//GLUCOSE: {concept: glucose}, CHART//HR: {concept: heart_rate}}",)
    tawt.ingest(write_place(root / "raw", THERE), "meds", root / "w", threads=1, settings=said)
    tawt.build_vocab(root / "w", threads=1)
    tawt.pretrain(root / "w", SMALL, device="cpu", out=root / "w" / "runs" / "x")
    return root / "w"


@pytest.fixture(scope="module")
def carried(there: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another place, ingested, whose events are carried into the vocabulary of the run; look, do not touch."""
    root = tmp_path_factory.mktemp("here")
    raw = write_place(root / "raw", HERE, seed=1, n_subjects=45)
    tawt.ingest(raw, "meds", root / "w", threads=1, settings=SAID)
    tawt.carry(root / "w", there / "runs" / "x", threads=1)
    return root / "w"


def rows(place: Path) -> pa.Table:
    """The triplets of a folder with the codes of its vocabulary."""
    codes = pq.read_table(place / "vocabulary" / "vocabulary.parquet")["code"]
    files = sorted((place / "triplets").rglob("*.parquet"))
    table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    return table.append_column("code", codes.take(table["data_type"]))


def _label(root: Path) -> np.ndarray:
    """Ask whether the number of a subject is even, after all else; return the subjects."""
    subjects = np.arange(1, 46)
    (root / "labels" / "odd").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({
        "subject_id": subjects, "prediction_time": pa.array(np.full(45, 300 * HOUR), pa.timestamp("us")),
        "boolean_value": subjects % 2 == 0,
    }), root / "labels" / "odd" / "labels.parquet")  # fmt: skip
    return subjects


def test_each_code_is_known_in_the_way_that_leads_to_it(there: Path, carried: Path) -> None:
    """Code, name, concept and parent lead to the data_type; units go by the rules, and what has none is unknown."""
    result = tawt.carry(carried, there / "runs" / "x")
    assert not result.made  # all of it is there
    ways = {one.code: (one.data_type, one.way, one.unit) for one in result.drift}
    assert ways == {
        "glu": ("LAB//GLUCOSE", "name", "mmol/L -> mg/dL"), "na": ("LAB//NA", "parents", "mmol/L"),
        "pulse": ("CHART//HR", "concept", "bpm"), "SAME": ("SAME", "code", "furlong, refused: mg/dL there"),
    }  # fmt: skip
    told = {one.way: (one.n_data_types, one.n_rows, one.n_subjects) for one in result.coverage}
    assert told == {
        "code": (1, 180, 45), "name": (2, 360, 45), "concept": (1, 180, 45), "parents": (2, 360, 45), "unknown": (1, 180, 45),
    }  # fmt: skip
    said = " | ".join(result.lines())
    assert "codes that it does not know, the most frequent first: odd" in said
    assert "knows 85.7% of the rows" in said and "of 45 of 45 subjects" in said
    assert "glu (mmol/L -> mg/dL) are converted" in said and "SAME (furlong, refused: mg/dL there) are left out" in said


def test_the_workspaces_own_vocabulary_is_not_carried(there: Path) -> None:
    """A run of the workspace itself is named as that, with the command that reads it; nothing is made."""
    with pytest.raises(tawt.TawtError, match="vocabulary of the workspace itself") as error:
        tawt.carry(there, "x")
    assert "tawt embed -w" in error.value.hint and not (there / "carried").exists()


def test_rows_of_few_people_are_not_counted(there: Path, carried: Path) -> None:
    """Neither those of a way, nor those of a part of a family, nor in what is said."""
    found = tawt.carry(carried, there / "runs" / "x")
    rows = [
        {"code": f"A//{i}", "n_rows": n, "n_subjects": people, "way": way}
        for i, (n, people, way) in enumerate([(144, 40, None), (8, 8, "code"), (30, 30, None)])
    ]
    (family,) = carry_coverage._families(rows)
    assert carry_coverage._unknown([{**rows[0], "code": "few", "n_subjects": 10}, *rows]) == ("A//0", "A//2")
    assert family.n_rows == 182 and family.n_known is None
    assert carry_coverage._rows(8, 182, 8, 40, True) == (None, None, 0)
    assert carry_coverage._rows(18, 180, 18, 40, False) == (18, 0.1, 18)
    said = replace(found, families=(family,)).lines()
    assert not any("A (" in line for line in said)
    assert any("14.3% of the rows are [UNK] to it" in line for line in said)


def test_rows_of_one_person_are_no_difference_of_what_is_told() -> None:
    """What is left of the sum of all rows, or of those that are unknown, is of a large family too, or nothing."""
    counts = {"HR": (500, 60, "code"), "LAB": (300, 55, "code"), "HRX": (248, 58, None), "ODD": (150, 50, None)}
    rows = [{"code": f"{n}//1", "n_rows": r, "n_subjects": p, "way": w} for n, (r, p, w) in counts.items()]
    assert {one.name: one.n_known for one in carry_coverage._families(rows)} == {
        "HR": 500,
        "LAB": 300,
        "HRX": 0,
        "ODD": 0,
    }
    found = carry_coverage._families([*rows, {"code": "YY//1", "n_rows": 1, "n_subjects": 1, "way": None}])
    assert {one.name: (one.n_rows, one.n_known) for one in found} == {
        "HR": (500, 500), "LAB": (300, 300), "HRX": (248, 0)
    }  # fmt: skip
    few = {"code": "HR//2", "n_rows": 2, "n_subjects": 1, "way": None}
    assert {one.name: one.n_known for one in carry_coverage._families([*rows, few])} == {
        "HR": None, "LAB": 300, "HRX": 0, "ODD": None
    }  # fmt: skip


def test_a_way_of_few_people_is_not_told_by_the_others() -> None:
    """Beside a way of few another is left out; of a way that all but few people have it is not said how many."""
    parts = [Part("code", 800, 60), Part("name", 40, 30)]
    assert untold_parts(parts) == set()
    assert untold_parts([*parts, Part("unknown", 3, 1)]) == {"name", "unknown"}
    assert carry_coverage._rows(249, 1000, 59, 60, False) == (249, 0.249, 0)
    assert carry_coverage._of_all(60, 60) == "60 of 60" and carry_coverage._of_all(40, 60) == "40 of 60"
    assert carry_coverage._of_all(59, 60) == "40+ of 60" and carry_coverage._of_all(1, 60) == "<11 of 60"


def test_drift_is_that_of_the_numbers(there: Path, carried: Path) -> None:
    """Sodium, which is alike, has moved little; a pulse of 40 more lies in other bins than there, nearly all of it."""
    found = {one.code: one for one in tawt.carry(carried, there / "runs" / "x").drift}
    assert found["na"].shift < 0.25 and found["na"].distance < 0.2
    assert found["pulse"].shift > 2 and found["pulse"].distance > 0.8
    assert found["SAME"].shift is None
    assert next(iter(found)) == "pulse"


def test_the_vocabulary_is_the_other_to_the_last_byte(there: Path, carried: Path) -> None:
    """Statistics stay those of there: numbers are converted, then normalized by them; a refused one says why."""
    (place,) = (carried / "carried").iterdir()
    name = "vocabulary/vocabulary.parquet"
    assert (place / name).read_bytes() == (there / name).read_bytes()
    known = {row["code"]: row for row in pq.read_table(place / name).to_pylist()}
    table = rows(place)
    events = pa.concat_tables(
        pq.read_table(file, partitioning=None) for file in sorted((carried / "events" / "data").rglob("*.parquet"))
    )
    own = {
        code: events.filter(pa.compute.equal(events["code"], code))["numeric_value"].to_numpy()
        for code in ("glu", "na")
    }
    for code, name_there, factor in (("glu", "LAB//GLUCOSE", 18.016), ("na", "LAB//NA", 1.0)):
        got = table.filter(pa.compute.equal(table["code"], name_there))["value"].to_numpy()
        row = known[name_there]
        wanted = (own[code].astype(np.float64) * factor - row["center"]) / row["scale"]
        np.testing.assert_allclose(np.sort(got), np.sort(wanted), rtol=1e-5, atol=1e-5)
    refused = table.filter(pa.compute.equal(table["code"], "SAME"))
    assert set(refused["value_status"].to_pylist()) == {5} and not refused["value"].to_numpy().any()
    assert table.filter(pa.compute.equal(table["code"], "[UNK]")).num_rows == 180
    texts = table.filter(pa.compute.equal(table["code"], "URINE//NIT"))["value_token"].to_pylist()
    assert set(texts) == {2, 3}  # the tokens of NEG and POS there; 1 is OTHER


def test_commands_tell_and_use_it(there: Path, carried: Path, tmp_path: Path) -> None:
    """`embed`, `finetune` and `evaluate` of a run of there carry what is not carried yet, tell it first, and reuse it."""
    root = Path(shutil.copytree(carried, tmp_path / "w", ignore=shutil.ignore_patterns("carried")))
    notes: list[str] = []

    def hear(event):
        notes.append(event.get("text", event["event"]))

    result = tawt.embed(root, there / "runs" / "x", device="cpu", report=hear)
    assert result.n_subjects == 45 and notes.index("embed") > notes.index(
        next(n for n in notes if "another vocabulary" in n)
    )
    (place,) = (root / "carried").iterdir()
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*.arrow")}
    subjects = _label(root)
    run = tawt.finetune(
        root, "odd", there / "runs" / "x", mode="probe", device="cpu", settings=("train.threads=1",)
    ).run
    found = tawt.evaluate(root, "odd", run, baselines=(), n_draws=10, device="cpu")
    assert [row.name for row in found.comparison.rows] == [run.name]
    vectors = tawt.TawtEmbedder(root, run, device="cpu").transform(
        {"subject_id": subjects, "prediction_time": np.full(45, 300 * HOUR * 1000).astype("datetime64[ns]")}
    )
    assert np.isfinite(vectors).all()
    assert before == {path: path.stat().st_mtime_ns for path in place.rglob("*.arrow")}
    gone = there.rename(there.with_name("gone"))  # the run of here says what it comes from, and what is carried as well
    try:
        assert not tawt.carry(root, run).made
    finally:
        gone.rename(there)
    shutil.rmtree(root / "labels" / "odd")
    assert [f for f in tawt.check(root) if not f.ok and f.check not in ("labels", "files")] == []


@pytest.mark.parametrize(
    ("here", "there"), [("mmol/L", "mg/dL"), ("mg/dL", "mmol/L"), ("degF", "degC"), ("degC", "degF")]
)
def test_a_rule_of_units_leads_both_ways(here: str, there: str) -> None:
    """What the seeds lead from one unit to another comes back by the same rule, offset and all."""
    said = {"temp" if "deg" in here else "glu": DataType(concept=None if "deg" in here else "glucose")}
    units = replace(Units.of(PipelineConfig(name="x", source="x")), data_types=said)
    (code,) = said
    known = _There([], {}, {}, {}, {}, {})
    factor, offset = _conversion(code, here, {"code": "y", "unit": there}, known, units) or (0.0, 0.0)
    wanted = {"mmol/L": 18.016 * 5, "mg/dL": 5 / 18.016, "degF": -15.0, "degC": 41.0}[here]
    assert factor * 5 + offset == pytest.approx(wanted)


def test_what_a_run_misses_is_told(there: Path, tmp_path: Path) -> None:
    """What it learned from and does not come, families that it does not know, and times that mean something else."""
    codes = {code: told for code, told in HERE.items() if code != "na"} | {"ODD//1": (None, None, None, None)}
    raw = write_place(tmp_path / "raw", codes, n_subjects=45)
    tawt.ingest(raw, "meds", tmp_path / "w", threads=1, settings=(*SAID, "time_origin=anchor"))
    result = tawt.carry(tmp_path / "w", there / "runs" / "x", threads=1)
    assert result.met == pytest.approx(5 / 6) and result.unmet == ("LAB//NA (Sodium)",)
    known = {one.name: (one.n_rows, one.n_known) for one in result.families}
    assert known["ODD"] == known["odd"] == (180, 0) and known["glu"] == (180, 180)
    said = result.lines()
    assert any("unknown rows are of ODD (180), odd (180)" in line for line in said)
    assert any("83.3% of what it learned from" in line and "LAB//NA (Sodium) do not" in line for line in said)
    assert any("from `anchor` here and from `first_event` there" in line for line in said)
    assert result.of == "x-of-w"


def test_few_people_do_not_move_by_chance(there: Path) -> None:
    """Numbers drawn as those of there lie apart by what is told for so few people, and are not told to have moved."""
    table = pq.read_table(there / "vocabulary" / "vocabulary.parquet")
    index = table["code"].to_pylist().index("CHART//HR")
    row, coder, rng, n = table.to_pylist()[index], Coder.of(table), np.random.default_rng(0), 15
    drawn = [drift(row, coder, index, np.sort(rng.normal(80, 9, n)), np.ones(n), n) for _ in range(200)]
    assert 0.5 < np.mean([one["shift"] for one in drawn]) / drawn[0]["chance"] < 1.5
    found = [Drift("", "", "", "", n, **one) for one in drawn]
    assert np.mean([one.shift > 0.25 for one in found]) > 0.8 and np.mean([one.moved for one in found]) < 0.1
    far = drift(row, coder, index, np.sort(rng.normal(140, 9, n)), np.ones(n), n)
    assert Drift("", "", "", "", n, **far).moved


def test_a_dry_run_writes_nothing(there: Path, carried: Path, tmp_path: Path) -> None:
    """Where nothing is carried yet it says what to do first; where it is, what would be."""
    root = Path(shutil.copytree(carried, tmp_path / "w", ignore=shutil.ignore_patterns("carried")))
    run, before = there / "runs" / "x", set()
    _label(root)

    def dry() -> None:
        tawt.embed(root, run, device="cpu", dry_run=True)

    tries = (
        dry,
        lambda: tawt.finetune(root, "odd", run, mode="probe", device="cpu", dry_run=True),
        lambda: tawt.pretrain(root, SMALL, init=run, device="cpu", out=root / "runs" / "y", dry_run=True),
    )
    before = {*root.rglob("*")}
    for attempt in tries:
        with pytest.raises(DatasetError, match="not yet in the vocabulary of x-of-w") as error:
            attempt()
        assert f"tawt carry {run} -w {root}" in str(error.value.hint) and {*root.rglob("*")} == before
    tawt.carry(root, run, threads=1)
    before = {*root.rglob("*")}
    for attempt in tries:
        attempt()
    assert {*root.rglob("*")} == before


def test_a_run_goes_on_and_is_audited_and_drawn_elsewhere(there: Path, carried: Path, tmp_path: Path) -> None:
    """`pretrain --init` reads the workspace in the run's vocabulary, also when it is resumed; so does an audit; a map of
    people of here stays here, and the run of there is left alone."""
    pytest.importorskip("matplotlib")
    root = Path(shutil.copytree(carried, tmp_path / "w"))
    run = there / "runs" / "x"
    theirs = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    _label(root)
    further = tawt.pretrain(root, SMALL, init=run, device="cpu", out=root / "runs" / "y").run
    assert (further / "vocabulary.parquet").read_bytes() == (run / "vocabulary.parquet").read_bytes()
    again = tawt.pretrain(root, SMALL, device="cpu", out=further, resume=True)
    assert again.plan.start_step == SMALL.train.max_steps
    assert tawt.embed(root, "y", device="cpu").n_subjects == 45
    tawt.build_vocab(root, threads=1)
    verdicts = {one.code: one for one in tawt.audit("odd", root, run=run, device="cpu").verdicts}
    assert (
        verdicts["FUTURE_EVENT"].status == "clean" and "embeddings of 45 subjects too" in verdicts["FUTURE_EVENT"].told
    )
    assert tawt.embed(root, run, labels="odd", device="cpu").path == root / "embeddings" / "x-of-w" / "odd.parquet"
    (drawn,) = tawt.plot(root, [run], labels="odd")
    assert drawn == root / "evaluations" / "odd" / "map-odd.png"
    assert theirs == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_it_is_never_stale_without_a_word(there: Path, carried: Path, tmp_path: Path) -> None:
    """What is made of events that have changed is made anew; of stale events nothing is made; damage is found."""
    root = Path(shutil.copytree(carried, tmp_path / "w"))
    run = there / "runs" / "x"
    tawt.run("+events", root, force=True, threads=1)
    assert not tawt.carry(root, run, threads=1).made  # the same events
    raw = write_place(tmp_path / "raw", HERE, seed=2, n_subjects=45)
    tawt.ingest(raw, "meds", root, threads=1, settings=SAID)
    assert any("made anew when it is used next" in f.detail for f in tawt.check(root))
    assert tawt.carry(root, run, threads=1).made
    (place,) = (root / "carried").iterdir()
    arrow = next((place / "dataset").rglob("*.arrow"))
    content = bytearray(arrow.read_bytes())
    content[len(content) // 2] ^= 1
    arrow.write_bytes(content)
    assert [f.check for f in tawt.check(root) if not f.ok] == [f"carried/{place.name}"]
    shutil.rmtree(raw)
    write_place(tmp_path / "raw", HERE, seed=3, n_subjects=44)
    with pytest.raises(StaleError, match="events: is stale"):
        tawt.carry(root, run, threads=1)


def test_its_own_runs_read_its_own_dataset(there: Path) -> None:
    """Where the vocabulary is the workspace's own, nothing is carried."""
    tawt.embed(there, "x", device="cpu")
    assert not (there / "carried").exists()
    assert open_dataset(there).vocabulary.codes[4:]
    with pytest.raises(CheckpointError):
        tawt.carry(there, "nobody")


@pytest.mark.parametrize("broken", ["dataset/dataset.json", "vocabulary/vocabulary.parquet"])
def test_a_broken_file_is_named_and_its_place_is_not_carried(there: Path, tmp_path: Path, broken: str) -> None:
    """A run of the workspace finds its own dataset with a bit flipped anywhere in it: told are the file and what makes
    it again."""
    work = tmp_path / "w"
    shutil.copytree(there, work)
    whole = (work / broken).read_bytes()
    for at in {whole.find(b'"vocabulary"') + 20, 2, len(whole) // 2}:
        (work / broken).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(tawt.TawtError) as caught:
            tawt.embed(work, "x", device="cpu")
        assert caught.value.where in (str(work / broken), str(work / "dataset" / "dataset.json"))
        assert not (work / "carried").exists()
    tawt.run(Path(broken).parent.name, work, force=True, threads=1)
    assert (work / broken).read_bytes() == whole
    tawt.embed(work, "x", device="cpu")


def test_one_that_was_killed_before_its_ledger_is_ended(
    carried: Path, there: Path, tmp_path: Path, monkeypatch
) -> None:
    """Its stages are all there, and yet it is gone on with: the ledger is written, and nothing says that it did not end."""
    root = Path(shutil.copytree(carried, tmp_path / "w"))
    shutil.rmtree(root / "carried")
    with monkeypatch.context() as patch:
        patch.setattr("tawt.pipeline.run.write_ledger", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tawt.carry(root, there / "runs" / "x", threads=1)
    (place,) = (root / "carried").iterdir()
    assert (place / "undone.json").exists() and not (place / "ledger.parquet").exists()
    tawt.carry(root, there / "runs" / "x", threads=1)
    assert (place / "ledger.parquet").exists() and not (place / "undone.json").exists()
    assert not tawt.carry(root, there / "runs" / "x", threads=1).made


def test_triplets_of_what_is_carried_do_not_stay(there, carried, tmp_path, tree):
    """With `keep: last`, as those of a workspace; what is made of them is the same, and nothing is wrong."""
    work = shutil.copytree(carried, tmp_path / "w")
    tawt.ingest(carried.parent / "raw", "meds", work, threads=1, settings=(*SAID, "keep=last"))
    (place,) = (work / "carried").glob("*")
    before = tree(place / "dataset")
    shutil.rmtree(place)
    assert tawt.carry(work, there / "runs" / "x", threads=1).made
    assert not tawt.carry(work, there / "runs" / "x", threads=1).made
    assert not list(work.rglob("triplets/*/*.parquet")) and not list(work.glob("staging/*"))
    assert tree(place / "dataset") == before and [finding for finding in tawt.check(work) if not finding.ok] == []
