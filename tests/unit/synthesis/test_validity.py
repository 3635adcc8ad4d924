"""Rules: each is planted and seen, its raw rate is exact, and what is done with it is what was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.config.load import load
from tawt.config.rules import OfAge, RulesConfig
from tawt.contracts.contract import own_contract
from tawt.dataset.records import OF_TRIPLETS, Records
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import ConfigError
from tawt.project import asset
from tawt.synthesis.parts import Tally
from tawt.synthesis.validity import Broken, Rules

HOUR = 3_600_000_000
YEAR = 8766 * HOUR
CODES = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "MEDS_BIRTH", "MEDS_DEATH", "GENDER//F", "GENDER//M", "LAB//NA", "DIAGNOSIS//ICD//10//O80",
         "HOSPITAL_DISCHARGE//HOME", "DX//C61", "Sex", "DX//NEWBORN"]  # fmt: skip
BIRTH, DEATH, F, M, NA, DELIVERY, OUT, PROSTATE, SEX, NEWBORN = range(4, 14)
NONE, NUMERIC, CATEGORY, UNIT_UNKNOWN = 0, 1, 2, 5


def vocabulary(folder: Path, normalization: str = "zscore"):
    """A vocabulary of these codes, one of which has numbers, and one texts."""
    rows = []
    for i, code in enumerate(CODES):
        number, text = i == NA, i == SEX
        row = dict.fromkeys(own_contract("vocabulary").names)
        rows.append(row | {
            "data_type": i, "code": code, "n_rows": 50, "n_subjects": 50, "n_values": 50 * number, "center": 140.0 * number,
            "value_kind": "special" if i < 4 else "numeric" if number else "categorical" if text else "none",
            "scale": 4.0 if number else 1.0, "normalization": normalization if number else "none",
            "unit": "mmol/L" if number else None, "mean": 140.0 if number else None, "std": 4.0 if number else None,
            "bin_edges": [138.0, 142.0] if number else [], "n_bins": 3 * number, "categories": ["female", "male"] if text else [],
            "quantiles": [100.0 + i for i in range(101)] if number else None, "n_value_subjects": 50 * number,
            "category_subjects": [25, 25] if text else [], "description": "Cancer of the prostate" if i == PROSTATE else None,
        })  # fmt: skip
    schema = own_contract("vocabulary").arrow_schema()
    path = folder / "vocabulary.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return read_vocabulary(path)


def records(*walks) -> Records:
    """Records of (data_type, time or None of a static, value, token, status)."""
    rows = [event for walk in walks for event in walk]
    kind, time, value, token, status = (
        [(*row, *(0.0, 0, NONE)[len(row) - 2 :])[i] for row in rows] for i in range(5)
    )  # fmt: skip
    is_static = np.array([moment is None for moment in time])
    return Records(
        np.arange(1, 1 + len(walks)), np.zeros(len(walks), np.int64), np.cumsum([0, *map(len, walks)]), is_static,
        np.array([0 if moment is None else moment for moment in time], dtype=np.int64), np.array(kind, dtype=np.int32),
        np.array(value, dtype=np.float32), np.array(token, dtype=np.int32), np.array(status, dtype=np.uint8),
    )  # fmt: skip


SODIUM = (NA, 5 * HOUR, 0.5, 3, NUMERIC)
FINE = [(F, None), (BIRTH, 0), SODIUM, (DELIVERY, 30 * YEAR), (DEATH, 40 * YEAR), (OUT, 40 * YEAR + HOUR)]
PLANTED = {
    "backwards": [(F, None), (BIRTH, 0), (NA, 5 * HOUR, 0.5, 3, NUMERIC), (OUT, 4 * HOUR)],
    "out_of_range": [(BIRTH, 0), (NA, HOUR, 40.0, 3, NUMERIC)],
    "unknown_value": [(BIRTH, 0), (OUT, HOUR, 1.0, 1, NUMERIC)],
    "unknown_unit": [(BIRTH, 0), (NA, HOUR, 0.0, 0, UNIT_UNKNOWN)],
    "births": [(BIRTH, 0), (BIRTH, HOUR)],
    "deaths": [(BIRTH, 0), (DEATH, HOUR), (DEATH, HOUR)],
    "after_death": [(BIRTH, 0), (DEATH, HOUR), (OUT, 2 * HOUR), (NA, 2 * HOUR, 0.5, 3, NUMERIC)],
    "statics": [(F, None), (M, None), (BIRTH, 0)],
    "of_sex.pregnancy": [(M, None), (BIRTH, 0), (DELIVERY, 30 * YEAR)],
    "of_sex.prostate": [(SEX, None, 0.0, 2, CATEGORY), (BIRTH, 0), (PROSTATE, 60 * YEAR)],
    "of_age.pregnancy": [(F, None), (BIRTH, 0), (DELIVERY, 5 * YEAR)],
    "of_age.newborn": [(BIRTH, 0), (NEWBORN, 3 * YEAR)],
    "of_age.lifetime": [(BIRTH, 0), (OUT, 130 * YEAR)],
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """The rules that come with tawt, with a plausible range of sodium."""
    config = load(RulesConfig, asset("pipelines/rules.yaml"))
    return Rules(config, vocabulary(tmp_path_factory.mktemp("rules")), {"LAB//NA": (90.0, 200.0)}, True)


def test_a_record_that_could_be_real_breaks_nothing(rules):
    """A delivery, a death, and what is written down after it, of a woman of thirty."""
    given = records(FINE, [(SEX, None, 0.0, 3, CATEGORY), (BIRTH, 0), (PROSTATE, 60 * YEAR)], [(M, None)])
    held = rules.hold(given)
    assert {name for name, one in held.broken.items() if one.events} == set() and held.n_dropped == held.n_clipped == 0
    for name in OF_TRIPLETS:
        assert np.array_equal(getattr(held.records, name), getattr(given, name)), name
    assert set(held.broken) == set(PLANTED) | {"of_sex.uterus"}


@pytest.mark.parametrize("name", PLANTED)
def test_each_rule_is_seen_and_its_raw_rate_is_exact(rules, name):
    """One planted event in three records is one event and one record, of no other rule; afterwards there is none."""
    held = rules.hold(records(FINE, PLANTED[name], FINE))
    found = {rule: (one.events, one.records) for rule, one in held.broken.items() if one.events}
    assert found == {name: (1, 1)} and held.broken[name].of_records == 3
    again = rules.hold(held.records)
    assert not any(one.events for one in again.broken.values())
    untouched = held.records.take(np.array([0]))
    assert np.array_equal(untouched.time, records(FINE).time), "records beside it stay as they are"
    assert len(held.rejected) == (held.broken[name].repair == "reject_record")


def test_a_static_fact_stands_once(rules):
    """The same one again is broken as a second sex is, in its own record alone; the first stays."""
    twice = [(F, None), (OUT, None), (OUT, None), (SEX, None, 0.0, 2, CATEGORY)]
    held = rules.hold(records(twice, [(F, None), (OUT, None)]))
    assert held.broken["statics"].events == 2 and held.records.data_type.tolist() == [F, OUT, F, OUT]


def test_rates_are_of_what_a_rule_speaks_of(rules):
    """A rate is of the events that could break it: of numbers with a range, of deaths, of deliveries of a known sex."""
    unknown = [[(DELIVERY, 30 * YEAR)], [(F, None), (M, None), (DELIVERY, 30 * YEAR)]]
    held = rules.hold(
        records(FINE, *(PLANTED[name] for name in ("out_of_range", "deaths", "of_sex.pregnancy")), *unknown)
    )
    told = {name: (one.events, one.of_events) for name, one in held.broken.items()}
    assert told["out_of_range"] == (1, 2) and told["deaths"] == (1, 3) and told["of_sex.pregnancy"] == (1, 2)
    assert held.broken["out_of_range"].rate == 0.5 and told["births"] == (0, 4)


@pytest.mark.parametrize("normalization", ["zscore", "quantile"])
def test_clipping_moves_to_the_bound_and_its_bin(tmp_path, normalization):
    """A number beyond is the plausible bound afterwards, in the unit that it is told in; a time is that of the row before."""
    words = vocabulary(tmp_path, normalization)
    rules = Rules(RulesConfig(), words, {"LAB//NA": (120.0, 150.0)}, True)
    high, low = (rules.meanings.coder.normalize(np.array([NA]), np.array([x]))[0] for x in (190.0, 101.0))
    given = records(
        [(NA, 5 * HOUR, high, 3, NUMERIC), (NA, 4 * HOUR, low, 1, NUMERIC), (NA, 6 * HOUR, 0.0, 2, NUMERIC)]
    )
    held = rules.hold(given)
    mended = held.records
    numbers = rules.meanings.numbers(mended.data_type, mended.value, mended.value_status)
    assert numbers[:2].tolist() == [150.0, 120.0] and mended.value_token.tolist()[:2] == [3, 1]
    assert mended.time.tolist() == [5 * HOUR, 5 * HOUR, 6 * HOUR] and held.n_clipped == 2
    assert held.broken["out_of_range"].events == 2 and held.broken["backwards"].events == 1


def test_what_is_done_is_what_was_asked(rules, tmp_path):
    """One rule drops, clips or rejects as its YAML says; of events that are gone nothing is clipped."""
    given = records(FINE[:5], [(BIRTH, 0), (NA, HOUR, 40.0, 3, NUMERIC)])
    lengths = {}
    for repair in ("clip", "drop_event", "reject_record"):
        path = tmp_path / "rules.yaml"
        path.write_text(f"out_of_range: {{repair: {repair}}}\n")
        own = Rules(load(RulesConfig, path), rules.vocabulary, {"LAB//NA": (90.0, 200.0)}, True)
        held = own.hold(given)
        lengths[repair] = held.records.lengths.tolist()
        assert held.broken["out_of_range"].events == 1
    assert lengths == {"clip": [5, 2], "drop_event": [5, 1], "reject_record": [5]}
    assert held.rejected.tolist() == [2] and held.records.subject_id.tolist() == [1]


def test_ages_come_from_births_or_from_a_number_of_years(rules):
    """Where times count from elsewhere, an age is known from a static number, and nothing is said where it is not."""
    elsewhere = Rules(rules.config, rules.vocabulary, {}, False)
    held = elsewhere.hold(records(PLANTED["of_age.pregnancy"], PLANTED["of_age.lifetime"]))
    assert not any(one.events for one in held.broken.values()) and held.broken["of_age.pregnancy"].of_events == 0
    named = replace(rules.vocabulary, codes=tuple("Age" if code == "LAB//NA" else code for code in CODES))
    aged = Rules(rules.config, named, {}, False)
    years = (NA, None, (5 - 140) / 4, 1, NUMERIC)
    held = aged.hold(records([years, (F, None), (DELIVERY, HOUR)], [(F, None), (DELIVERY, HOUR)]))
    assert (held.broken["of_age.pregnancy"].events, held.broken["of_age.pregnancy"].of_events) == (1, 1)


def test_rules_that_do_not_hold_are_told(tmp_path):
    """An unknown key, a repair that a rule has not, and a pattern that is none, each with its line."""
    path = tmp_path / "rules.yaml"
    for text, said in (
        ("birth: {repair: clip}", "birth"), ("births: {codes: x, repair: clip}", "drop_event"),
        ("after_death: {allowed: ['(']}", "regular expression"),
        ("after_death: {allowed: ['a{1,4294967296}']}", "regular expression"),
        (f"after_death: {{allowed: ['{'(' * 3000}a{')' * 3000}']}}", "regular expression"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load(RulesConfig, path)


def test_ages_that_descend_are_no_rule():
    """A rule from 10 to 1 year would hold of nobody: it is refused, and one age alone is a rule."""
    with pytest.raises(ValueError, match="the lower one first"):
        OfAge(codes="x", years=(10, 1))
    assert OfAge(codes="x", years=(1, 1)).years == (1, 1)


@pytest.mark.parametrize(("text", "said"), [
    ('of_sex: {"\\ud800": {codes: A, sex: male}}', "half of a surrogate pair"),
    ("births: {codes: '[[a]'}", "regular expression"),
])  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_rules_that_could_not_be_told_are_refused_where_they_stand(tmp_path, text, said):
    """A name that no file can be written with, and a pattern that Python warns of, before anything is drawn."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(RulesConfig, path)


def test_no_count_of_few_real_people_follows_from_others():
    """All events less those that are written are those of few: neither the sum nor what a rule speaks of is told."""
    known = {"births": Broken(0, 6012, 0, 40, "drop_event"), "own": Broken(40, 6012, 30, 40, "drop_event")}
    for n_left, n_dropped, is_told in ((5, 5, False), (40, 40, True), (40, 30, True), (300, 5, False), (0, 0, True)):
        tally = Tally(n_subjects=40, n_events=6012 - n_left, n_raw_events=6012, n_dropped=n_dropped, broken=known)
        assert ("6012" in str((tally.counts(True), tally.raw(True)))) == is_told
        assert "6012" in str(tally.counts(False)) and "6012" in str(tally.raw(False))
    for n_rejected, is_told in ((0, True), (1, False), (10, False), (11, True)):
        tally = Tally(
            n_subjects=150 - n_rejected, n_events=6012, n_raw_events=6012 + 50 * n_rejected, n_rejected=n_rejected
        )
        asked = {"numbers": [0, 149]} | tally.about(True)
        assert (asked["numbers"] is not None) == (asked["n_subjects"] is not None) == is_told
        assert "numbers" not in tally.about(False) and tally.about(False)["n_subjects"] is not None
