"""Numbers that lose their unit, names that are nowhere, columns and subjects that only some files name: each is said."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.contracts.cells import apart, told
from tawt.contracts.value_status import ValueStatus
from tawt.errors import ConfigError
from tawt.raw.find import find_raw_tables
from tawt.sources.tables import Tables
from tawt.transforms.columns import people_of
from tawt.transforms.losses import IN_TEXT, counted, in_words, statuses, warning
from tawt.transforms.number_texts import WORDED, WRITTEN, number_texts
from tawt.transforms.unit_rules import PairRules
from tawt.transforms.units import Units
from tests.unit.days import QUICK, Day

UNIT, RANGE, FINE = int(ValueStatus.UNIT_UNKNOWN), int(ValueStatus.OUT_OF_RANGE), int(ValueStatus.NUMERIC)


def test_lost_numbers_are_told_by_data_type_with_share_and_unit() -> None:
    """The worst first; what fewer than 11 people have, were it in many rows, is not named, for it is a cell."""
    pairs = [("NA", "mmol/L"), ("NA", "odd"), ("NA", "1234 Smith"), ("K", None), ("NOTE//Mrs Smith", "mg"), ("CL", "x")]
    pairs += [("Smith's own", "mg"), ("CL", "Smith's unit")]
    rules = PairRules({pair: i for i, pair in enumerate(pairs)}, [])
    numbers = [(0, FINE, 80), (1, UNIT, 35), (2, UNIT, 5), (0, RANGE, 2), (3, UNIT, 3), (3, FINE, 97), (4, FINE, 2)]
    of_rules = [(0, 40), (1, 20), (2, 5), (3, 60), (4, 3), (5, 12), (6, 2), (7, 10)]
    people = {"NA": 50, "K": 60, "NOTE//Mrs Smith": 3, "CL": 12, "Smith's own": 2}
    facts = counted([*numbers, (4, UNIT, 1), (5, UNIT, 12)], [], of_rules[:6], rules, people)
    more = counted([(6, UNIT, 400), (7, UNIT, 300)], [("Smith's own", 900, 800, 0)], of_rules, rules, people)
    rare = "data types of fewer than 11 subjects"
    assert "Smith" not in str((facts, more)) and facts["numbers"] == {} and more["numbers"] == {"CL": 300}
    assert facts["lost_percent"] == {"CL": 100, "NA": 40, rare: 40}
    # 4 others, 3 of K; with CL alone they would follow from 11 and more; and 2 of the range of NA are all there are
    assert in_words(facts) == ["unit_unknown: CL and NA and other data types 56: odd and other units 44, x 12"]
    assert in_words(more) == [
        "unit_unknown: other data types 400: other units 400",
        "unit_unknown: CL 300 of 300 (100.0%): other units 300",
        "number_in_text: other data types 800: of another notation 800",
    ]
    warned = "2 data_types lost more than 90.0% of their numbers (`most_lost`)"
    assert warning(more, 0.9) == f"{warned}: CL (100.0%), {rare}"
    hardly = counted([(0, UNIT, 60), (0, FINE, 3), (3, FINE, 90)], [], of_rules, rules, people)
    assert hardly["numbers"] == {} and "NA" in str(warning(hardly, 0.8))  # 3 are left
    said = warning(counted([(0, FINE, 80), (1, UNIT, 40)], [], of_rules, rules, people), 0.1)
    assert said == "1 data_types lost more than 10.0% of their numbers (`most_lost`): NA (33.3%)"


def _grouped(counts: dict[str, int]) -> object:
    together: Counter[str] = Counter()
    for name, told_as in apart(counts, "others").items():
        together[told_as] += counts[name]
    return sum(counts.values()), tuple(sorted(together.items()))


def _as_told(counts: dict[str, int]) -> object:
    return sum(counts.values()), tuple(sorted(told(counts).items()))


@pytest.mark.parametrize("publish", [_grouped, _as_told])
def test_no_count_of_few_follows_from_what_is_told(publish: Callable[[dict[str, int]], object]) -> None:
    """Of all tables of a sum, those that are told alike never agree in a count of few: even who knows how it is told,
    and the sum, cannot find one."""
    alike: dict[object, list[tuple[int, ...]]] = {}
    for total in range(11, 46):
        for first, second in itertools.product(range(total + 1), repeat=2):
            if first + second <= total:
                table = (first, second, total - first - second)
                alike.setdefault(publish(dict(zip("ABC", table, strict=True))), []).append(table)
    for tables in alike.values():
        assert not any(len(one) == 1 and 0 < min(one) <= 10 for one in map(set, zip(*tables, strict=True)))


@pytest.mark.parametrize("seed", range(5))
def test_sums_and_differences_of_facts_are_none_of_few(seed: int) -> None:
    """Of random numbers: what a status has beside some data_types, a data_type beside some units, and all its numbers
    beside those that it lost, is nothing or more than few."""
    rng = np.random.default_rng(seed)
    for _ in range(40):
        codes = [chr(65 + i) for i in range(rng.integers(1, 5))]
        pairs = [(code, unit) for code in codes for unit in ("mg", "g", None)]
        rules = PairRules({pair: i for i, pair in enumerate(pairs)}, [])
        drawn = [
            (i, s, int(rng.choice([0, 1, 9, 10, 11, 12, 25, 300]))) for i in range(len(pairs)) for s in (UNIT, FINE)
        ]
        people = dict(zip(codes, rng.integers(5, 40, len(codes)).tolist(), strict=True))
        facts = counted([one for one in drawn if one[2]], [], [(i, 11) for i in range(len(pairs))], rules, people)
        parts = {tuple(key.split("\t")[1:]): n for key, n in facts["lost_numbers"].items()}
        of: Counter[str] = Counter()
        for (code, _unit), n in parts.items():
            of[code] += n
        total = sum(n for _, status, n in drawn if status == UNIT)
        wholes = [(total, list(of.values())), *((n, [of[code]]) for code, n in facts["numbers"].items())]
        wholes += [(n, [m for (one, _unit), m in parts.items() if one == code]) for code, n in of.items()]
        for whole, some in wholes if of else ():
            for chosen in itertools.chain.from_iterable(itertools.combinations(some, n) for n in range(len(some) + 1)):
                assert not 0 < whole - sum(chosen) <= 10, (facts, total)


@pytest.mark.parametrize("n_groups", [1, 7, 5000])
def test_people_are_counted_once_for_all_their_rows(n_groups: int) -> None:
    """By group, many or few to a subject, exactly where few have it; none where there is no row."""
    rng = np.random.default_rng(n_groups)
    subject = np.sort(rng.integers(-40, 1 + n_groups, 40_000))
    group = np.minimum(
        rng.geometric(max(0.2, 1 / n_groups), len(subject)) * rng.integers(1, 90, len(subject)), n_groups
    )
    met = np.bincount([g for g, _ in {*zip((group - 1).tolist(), subject.tolist(), strict=True)}], minlength=n_groups)
    people = people_of(group - 1, subject, n_groups)
    assert (np.where(people > 10, 11, people) == np.minimum(met, 11)).all()
    assert people_of(group[:0], subject[:0], n_groups).tolist() == [0] * n_groups


FORMS = {
    "1,234.5": WRITTEN, "12 345": WRITTEN, "5,4": WRITTEN, "-5,4": WRITTEN, "1.234.567": WRITTEN, "5.4*": WRITTEN,
    "5.4 H": WRITTEN, "7 L": WRITTEN, "12 (HH)": WRITTEN, "5.4 mmol/L": WORDED, "5mg": WORDED, "40 %": WORDED,
    "1,200 mL": WORDED, "3 µg": WORDED,
    **dict.fromkeys(
        ("POS", "1+", "+1", "7", "2nd", "4th", "10-20", "5 - 6", "120/80", "1:40", "1/2", "2020-01-02", "01.02.2020",
         "12 Jan", "3-Mar-2020", "8 am", "08:30", "5 of 10", "GCS 15", "<5", "", "1 2", "12 34", "1.2.3"), ""),
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_a_text_is_a_number_by_its_form(text: str) -> None:
    """Of another notation, or with a word behind; no grade, ordinal, range, ratio, fraction or date is one."""
    rows = pa.array([text, "x", text]).dictionary_encode()
    expected = (2 * (FORMS[text] == WRITTEN), 2 * (FORMS[text] == WORDED))
    assert number_texts(pa.array(["A", "A", "A"]).dictionary_encode(), rows) == [("A", 3, *expected)]


def test_numbers_in_texts_are_lost_where_most_are_numbers() -> None:
    """Over all shards, and by data_type: where most are texts, a number with a word behind is a text as they are."""
    rules = PairRules({("A", "mg"): 0, ("B", None): 1}, [])
    texts = [
        ("A", 20, 12, 8),
        ("A", 15, 0, 0),
        ("B", 30, 0, 20),
        ("C", 22, 11, 11),
        ("D", 25, 11, 11),
        ("E", 40, 0, 40),
    ]
    facts = counted([(0, FINE, 60), (1, FINE, 29)], texts, [], rules, dict.fromkeys("ABCDE", 11))
    assert facts["numbers"] == {"A": 80, "C": 22}
    assert facts["lost_numbers"] == {
        f"{IN_TEXT}\tA\tother units": 20,
        f"{IN_TEXT}\tC\t{WRITTEN}": 11, f"{IN_TEXT}\tC\t{WORDED}": 11,
    }  # fmt: skip
    assert "C (100.0%), A (25.0%)" in str(warning(facts, 0.1)) and in_words(facts)[0].startswith("number_in_text: C 22")


def test_statuses_are_shares_of_all_rows() -> None:
    """The most frequent first; few are not counted, nor told by the sum of all."""
    assert statuses({"absent": 25, "numeric": 75}) == "numeric 75 (75.0%), absent 25 (25.0%)"
    few = {"numeric": 75, "category": 25, "absent": 3}
    assert statuses(few) == "numeric 75 (72.8%), category 11+, absent <11"


def test_an_ingest_ends_with_the_statuses_and_what_was_lost(day: Day, tawt) -> None:
    """A range that few numbers keep is a warning at the end of ingest and in `check`, above the limit of the pipeline."""
    pipeline = day.project / "pipelines" / "lab.yaml"
    pipeline.write_text(pipeline.read_text() + "data_types: {LABS: {high: 60}}\n")
    ended = tawt("ingest", day.raw, "-p", pipeline, "-w", day.work, "--threads", 1)
    assert ended.code == 0 and "values: numeric " in ended.err and "out_of_range: LABS " in ended.err
    assert "warning: 1 data_types lost more than 10.0% of their numbers" in ended.err
    assert (
        "events: numbers" in (checked := tawt("check", "-w", day.work)).out and "warning: 1 data_types" in checked.out
    )
    anew = tawt("run", "events", "--force", "-w", day.work)
    assert (
        "values: numeric " in anew.err and "warning: 1 data_types lost" in anew.err and "lost numbers" not in anew.err
    )
    again = tawt("ingest", day.raw, "-p", pipeline, "-w", day.work, "--threads", 1, "--set", "most_lost=0.9")
    assert "warning" not in again.err and "ran nothing" in again.err


def test_where_no_event_came_that_is_told_and_no_data_type_is_blamed(day: Day, tawt) -> None:
    """Where records went is told then, and before any error that ends a command after stages ran."""
    pipeline = day.project / "pipelines" / "lab.yaml"
    settings = [word for one in ("parameters.least=1000", "data_types.LABS.high=60") for word in ("--set", one)]
    ended = tawt("ingest", day.raw, "-p", pipeline, "-w", day.work, "--threads", 1, *settings)
    assert ended.code == 0 and "listed_before 60" in ended.out and "there is no event, for no row came" in ended.err
    failed = tawt("build-vocab", "-w", day.work)
    assert failed.code == 1 and "where the records went: `tawt query" in failed.err
    settings = ("--set", "parameters.least=5", "--set", "data_types.LABZ.high=60")
    failed = tawt("ingest", day.raw, "-p", pipeline, "-w", day.work, "--threads", 1, *settings)
    assert failed.code == 2 and "listed_before 5" in failed.out and "data_types.LABZ" in failed.err


@pytest.mark.parametrize(
    ("setting", "where", "hint"),
    [
        ("data_types.LABS.concept=potasium", "data_types.LABS.concept", "potassium"),
        ("data_types.LABZ.high=5", "data_types.LABZ", "LABS"),
        ("data_types.Lactate.high=5", "data_types.Lactate", "data_types:"),  # which another source has
    ],
)
def test_a_name_that_is_nowhere_is_refused_with_the_nearest(day: Day, setting: str, where: str, hint: str) -> None:
    """A concept that no seed has, a data_type of no event and no dictionary, though a pipeline of another source knows it."""
    with pytest.raises(ConfigError) as caught:
        tawt.ingest(day.raw, str(day.project / "pipelines" / "lab.yaml"), day.work, settings=(setting,), **QUICK)
    assert caught.value.where == where and f"`{hint}`" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("data_types: {LABS: {concept: potasium}}", "data_types.LABS.concept", "potassium"),
        ("data_types: {LABZ: {high: 5}}", "data_types.LABZ", "LABS"),
        ("off: [event_parts.labz]", "off.0", "event_parts.labs"),
        ("order: [labz]", "order.0", "labs"),
        ("sample_from: staging.labz", "sample_from", "staging.labs"),
        ("tables: {labz: {header: true}}", "tables.labz", "labs"),
        ("zone: Berlin", "zone", "Europe/Berlin"),
    ],
)
def test_a_name_in_a_file_that_is_nowhere_is_told_with_its_line(day: Day, line: str, key: str, hint: str) -> None:
    """As any other mistake in a pipeline."""
    pipeline = day.project / "pipelines" / "lab.yaml"
    n = len((said := pipeline.read_text()).splitlines())
    pipeline.write_text(f"{said}{line}\n")
    with pytest.raises(ConfigError) as caught:
        tawt.ingest(day.raw, str(pipeline), day.work, **QUICK)
    assert caught.value.where == f"{pipeline}:{n + 1}" and f"`{key}`: " in caught.value.what
    assert f"`{hint}`" in caught.value.hint


def test_what_an_extract_lacks_is_said_and_no_mistake(hospital, own_workspace) -> None:
    """A data_type that a pipeline of tawt's speaks of may be in no event of a small extract or a sample."""
    settings = ("shards=3", "data_types.CHART//220210.high=99")
    assert tawt.ingest(hospital.raw, "demo", own_workspace, settings=settings, dry_run=True, **QUICK).n_run
    notes = tawt.ingest(
        hospital.raw, "demo", own_workspace, sample="5%", settings=(*settings, "data_types.X.low=0"), **QUICK
    )
    assert any("no event has " in note and "X" in note for note in notes.notes)


def test_pipelines_of_tawt_name_what_is_there() -> None:
    """Every concept of a pipeline that comes with tawt is one of the seeds'."""
    from tawt.config.named import resolve_pipeline

    pipelines = [resolve_pipeline(name) for name in ("demo", "mimic_iv", "physionet2012", "meds")]
    assert any(pipeline.data_types for pipeline in pipelines)
    for pipeline in pipelines:
        Units.of(pipeline).hold()


def test_subjects_that_a_file_of_splits_does_not_name_are_counted(day: Day) -> None:
    """They are split by hash, and it is said how many they are."""
    lines = "".join(f"{subject},train\n" for subject in range(1, 16))
    (day.raw / "splits.csv").write_text(f"subject_id,split\n{lines}")
    pipeline = str(day.project / "pipelines" / "lab.yaml")
    result = tawt.ingest(day.raw, pipeline, day.work, settings=("splits.file=splits.csv",), **QUICK)
    assert "splits.csv does not name 5 of 20 subjects: they are split by hash" in result.notes


def test_an_origin_at_births_that_nobody_has_is_said(day: Day) -> None:
    """`time_origin: birth` without a birth in train counts from first events, with a word that names the setting."""
    result = tawt.build_vocab(day.work, settings=("time_origin=birth",), **QUICK)
    assert any("`time_origin: birth` and train has no MEDS_BIRTH" in note for note in result.notes)


def test_a_column_that_some_files_lack_is_said(day: Day) -> None:
    """Of parts of a Parquet table that are joined by name: how many have it."""
    (day.raw / "labs.csv").unlink()
    folder = day.raw / "labs"
    folder.mkdir()
    rows = {"subject_id": ["1"], "seen": ["2020-01-01"], "number": ["5"]}
    for i in range(3):
        pq.write_table(pa.table(rows if i else {k: rows[k] for k in ("subject_id", "seen")}), folder / f"{i}.parquet")
    contract = day.project / "schemas" / "lab" / "labs.json"
    contract.write_text(
        contract.read_text().replace('"number", "type": "string"', '"number", "required": false, "type": "string"')
    )
    from tawt.pipeline.workspace import open_workspace

    opened = open_workspace(day.work)
    tables = Tables(opened.project, "lab")
    _, said = find_raw_tables(
        day.raw, opened.pipeline, {name: one for name, one in tables.items() if "images" not in name}, None
    )
    assert "raw.labs: column `number` is in 2 of 3 files, and reads as empty in the others" in said
    shutil.rmtree(folder)
