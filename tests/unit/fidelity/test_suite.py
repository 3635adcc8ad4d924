"""All measures at once: the table of the toy process, faults that were planted, and what is told of whom."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tawt.assessment.likeness import likeness
from tawt.assessment.result import Assessed
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.records import OF_TRIPLETS
from tawt.errors import TawtError
from tawt.fidelity import values
from tawt.fidelity.discriminate import UNLEARNED
from tawt.fidelity.distances import surroundings
from tawt.fidelity.groups import Measure
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.portrait import some_of
from tawt.fidelity.suite import Task, judge
from tawt.fidelity.summaries import summary_of
from tawt.fidelity.utility import Labelled
from tests import toy

N, N_FAULTY = 800, 700


@pytest.fixture(scope="module")
def told():
    """The process judged by itself, beside shuffled marginals."""
    train, test, ceiling, fresh = (toy.oracle(N, seed) for seed in range(4))
    indep = toy.indep(train, 5)
    summary = summary_of(test.records)
    labelled = {name: Labelled(summary.of(one.records), one.label)
                for name, one in {"train": train, "test": test, "synthetic": fresh, "indep": indep}.items()}  # fmt: skip
    task = Task(labelled.pop("train"), labelled.pop("test"), labelled)
    return judge(
        fresh.records, test.records, ceiling.records, {"indep": indep.records}, n_types=toy.N_TYPES, tasks={"toy": task}
    )


def test_fresh_records_lie_where_real_ones_do_and_shuffled_ones_do_not(told):
    """The bands of the process: each measure of dependence separates the two; those of one marginal do not."""
    fresh, real, indep = (
        {name: m.value for name, m in told.sets[one].items()} for one in ("synthetic", "real", "indep")
    )
    bands = {  # a fresh set, shuffled marginals
        "prevalence": ((0.88, 1), (-1, 0.8)),
        "cooccurrence": ((0.85, 1), (-2, 0.5)),
        "sequence": ((0.93, 1), (-1, 0.2)),
        "autocorrelation": ((0, 0.12), (0.4, 0.7)),
        "variogram": ((0, 0.06), (0.5, 2)),
        "correlation": ((0, 0.045), (0.07, 1)),
        "discriminator_logistic": ((0.44, 0.56), (0.85, 1)),
        "discriminator_boosted": ((0.44, 0.56), (0.95, 1)),
        "tstr:toy": ((0.78, 0.86), (0.4, 0.65)),
        "trts:toy": ((0.78, 0.88), (0.4, 0.6)),
        "precision": ((0.75, 0.95), (0, 0.4)),
        "coverage": ((0.93, 1), (0, 0.5)),
        "mmd": ((-0.001, 0.001), (0.003, 1)),
    }
    for name, ((low, high), (low_indep, high_indep)) in bands.items():
        assert low <= fresh[name] <= high, (name, fresh[name])
        assert low_indep <= indep[name] <= high_indep, (name, indep[name])
        assert ":" in name or low <= real[name] <= high, (name, real[name])
    for name in ("ks", "w1"):  # blind to all dependence
        assert 0.04 < fresh[name] < 0.12 and abs(indep[name] - fresh[name]) < 0.03, name
    assert abs(fresh["trtr:toy"] - fresh["tstr:toy"]) < 0.03 and fresh["ratio:toy"] > 0.97 < fresh["kept:toy"] + 0.05


def test_each_number_has_its_interval_and_its_reason(told):
    """Within what the metric can be; where there is none it says why, and JSON has all of it."""
    for of in told.sets.values():
        for name, one in of.items():
            own = metric_of(name)
            if one.value is None or one.low is None:
                assert one.reason or name.startswith("importances"), name
            else:
                assert own.least <= one.low <= one.value <= one.high <= own.most, name
    assert told.sets["real"]["ks_above"].reason == "no interval: it counts data_types"
    again = json.loads(json.dumps(told.to_json(), allow_nan=False))
    assert again["format"] == "tawt.fidelity/1" and again["n_subjects"] == N
    assert again["sets"]["indep"]["sequence"]["value"] == told.sets["indep"]["sequence"].value
    assert again["metrics"]["sequence"] == {"title": "sequence R2", "better": "1"}
    text = told.text(width=200)
    for part in (
        "co-occurrence R2",
        "discriminator AUROC, boosted",
        "AUROC above chance that is kept, toy",
        "800 subjects",
        "indep",
    ):
        assert part in text, part
    assert all(metric_of(name).title in text for name in told.metrics), "what is measured is told"
    assert [one.ks for one in told.worst] == sorted((one.ks for one in told.worst), reverse=True) and len(
        told.worst
    ) == 10


@pytest.fixture(scope="module")
def faulty():
    """Real records judged, and the same ones with one fault each as controls."""
    test, real = toy.oracle(N_FAULTY, 1).records, toy.oracle(N_FAULTY, 2).records
    rng = np.random.default_rng(0)
    place = np.arange(len(real.time)) - real.bounds[:-1][real.subject]
    mixed = np.lexsort((rng.random(len(place)), real.subject))
    contents = ("data_type", "value", "value_token", "value_status")
    among = np.empty(len(place), np.int64)
    for kind in np.unique(real.data_type):
        own = np.flatnonzero(real.data_type == kind)
        among[own] = rng.permutation(own)
    common = np.bincount(real.data_type).argmax()
    faults = {
        "shuffled": replace(real, **{name: getattr(real, name)[mixed] for name in contents}),
        "truncated": real.keep(place < np.ceil(real.lengths / 2)[real.subject]),
        "shifted": replace(real, origin=real.origin + 79 * US_PER_HOUR),
        "slower": replace(real, time=real.time * 3),
        "exchanged": replace(real, value=real.value[among]),
        "moved": replace(real, value=real.value + np.float32(0.3)),
        "constant": replace(
            real, value=np.where(real.data_type == common, real.value[real.data_type == common].mean(), real.value)
        ),
        "missing": real.keep(~np.isin(real.data_type, np.arange(toy.FIRST, toy.FIRST + 12))),
        "unread": replace(real, value_status=np.where(rng.random(len(place)) < 0.2, 3, 1).astype(np.uint8)),
        "unknown": replace(real, data_type=np.where(real.data_type == 10, 64, real.data_type).astype(np.int32)),
    }
    assert set(contents) < set(OF_TRIPLETS)
    heard: list[str] = []
    found = judge(real, test, real, faults, n_types=toy.N_TYPES + 1, models=(), doing=heard.append)
    assert heard == ["synthetic", "real", *faults], "whose turn it is is told"
    return found


SEEN = {
    "shuffled": (("sequence", "autocorrelation"), ("prevalence", "cooccurrence", "ks", "events", "gaps")),
    "truncated": (("events", "span", "prevalence", "cooccurrence"), ("statuses", "at_once", "new_types")),
    "shifted": (("hours", "weekdays"), ("prevalence", "sequence", "ks", "gaps", "variogram", "correlation", "mmd")),
    "slower": (("gaps", "span", "recurrence", "cooccurrence_24h"), ("prevalence", "cooccurrence", "sequence", "ks", "autocorrelation")),
    "exchanged": (("variogram", "autocorrelation", "correlation"), ("prevalence", "sequence", "ks", "w1", "gaps", "recurrence")),
    "moved": (("ks", "w1", "ks_above", "mmd"), ("prevalence", "sequence", "gaps", "variogram", "autocorrelation", "recurrence")),
    "constant": (("ks_farthest",), ("prevalence", "sequence", "gaps", "events", "recurrence")),
    "missing": (("prevalence", "cooccurrence", "missing_types"), ("statuses", "new_types", "at_once")),
    "unread": (("statuses",), ("prevalence", "cooccurrence", "sequence", "gaps", "events", "recurrence")),
    "unknown": (("new_types", "missing_types"), ("events", "span", "gaps", "at_once")),
}  # fmt: skip
"""Fault -> measures that see it, and measures that do not."""


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_is_seen_by_what_is_for_it_and_by_nothing_else(faulty, fault):
    """Against the same records without the fault: worse than their interval, or the same number."""
    found, real = faulty.sets[fault], faulty.sets["real"]
    sees, blind = SEEN[fault]
    for name in sees:
        best = {"1": 1.0, "0": 0.0}[metric_of(name).better]
        ends = [abs(x - best) for x in (real[name].value, real[name].low, real[name].high) if x is not None]
        assert abs(found[name].value - best) > 1.1 * max(ends), (name, found[name], real[name])
    for name in blind:
        assert found[name].value == pytest.approx(real[name].value, abs=2e-3), (name, found[name], real[name])


def test_another_hour_of_the_day_is_told(faulty):
    """In the sum and by name, beside other real people; of a clock that means nothing nothing is told."""
    shifted = replace(faulty, sets={"synthetic": faulty.sets["shifted"], "real": faulty.sets["real"]})
    said = Assessed("x", {}, {}, "", fidelity=shifted).verdict[-2:]
    n = len([name for name in faulty.metrics if faulty.sets["real"][name].value is not None])
    assert f"By {n - 2} of {n} measures, of {N_FAULTY} people in each set" in said[0]
    assert said[1] == "It is farther in hour of day, total variation; day of week, total variation."
    real = toy.mixed(60, 1)
    for calendar, names in (("kept", {"hours", "weekdays"}), ("shifted", {"hours"}), ("none", set())):
        found = judge(real, real, real, n_types=12, models=(), calendar=calendar)
        assert {"hours", "weekdays"} & set(found.metrics) == names


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("whose", range(3))
def test_a_number_beyond_all_measure_warns_nobody_and_hides_nothing(whose):
    """The largest numbers that there are, in any set: no warning, and what does not hang on them is as without."""
    sets = [toy.oracle(120, seed).records for seed in range(3)]
    plain = judge(*sets, n_types=toy.N_TYPES, models=()).sets["synthetic"]
    value = sets[whose].value.copy()
    value[::50], value[25::50] = 3e38, -3e38
    sets[whose] = replace(sets[whose], value=value)
    found = judge(*sets, n_types=toy.N_TYPES, models=()).sets["synthetic"]
    assert found["sequence"] == plain["sequence"] and found["ks"].value < plain["ks"].value + 0.1
    assert 0.2 * plain["correlation"].value < found["correlation"].value < 5 * plain["correlation"].value


def test_sets_are_compared_by_as_many_subjects():
    """As the smallest has: a larger set is drawn from, and its embeddings with it."""
    small, large = toy.mixed(120, 1), toy.mixed(200, 2)
    x, y = (np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32) for n in (120, 200))
    embeddings = {"test": x, "synthetic": y, "real": x}
    found = judge(large, small, small, n_types=12, models=(), embeddings=embeddings)
    assert found.n_subjects == 120 and found.sets["real"]["prevalence"].value == 1 and "120 subjects" in found.text()
    taken = some_of(200, 120, 0)
    assert len({*taken.tolist()}) == 120 and taken.max() > 150
    assert (
        found.sets["synthetic"]["recall"] == surroundings(x, y[taken])["recall"] != surroundings(x, y[:120])["recall"]
    )
    few = judge(small.take(np.arange(40)), small, large, n_types=12, models=())
    assert few.n_subjects == 40 and few.sets["real"]["prevalence"].low is None
    assert few.sets["real"]["prevalence"].reason == "fewer than 100 subjects: no interval"


def test_a_data_type_of_few_people_is_not_named(monkeypatch):
    """However far it is from the real ones; one more person, and it is."""
    monkeypatch.setattr(values, "LEAST_VALUES", 5)
    real = toy.oracle(100, 1).records
    kind = int(np.bincount(real.data_type).argmax())
    who = np.unique(real.subject[real.data_type == kind])
    other = replace(real, value=real.value + np.where(real.data_type == kind, 9, 0).astype(np.float32))
    for n, named in ((10, False), (11, True)):
        test = real.keep((real.data_type != kind) | np.isin(real.subject, who[:n]))
        found = judge(other, test, real, n_types=toy.N_TYPES, models=())
        assert (kind in {one.data_type for one in found.worst}) == named


def test_a_set_of_nothing_is_told_from_one_of_something():
    """Records without events, or with statics alone, on either side: what is not defined is said, and nothing else ends."""
    real = toy.mixed(120, 1)
    for other in (real.keep(np.zeros(len(real.time), bool)), real.keep(real.is_static)):
        found = judge(other, real, real, n_types=12, models=())
        assert found.sets["synthetic"]["missing_types"].value > 0.5 and found.sets["synthetic"]["ks"].value is None
        turned = judge(real, other, other, n_types=12, models=())
        assert turned.sets["synthetic"]["new_types"].value > 0.5 and "not defined" in turned.text()


@pytest.mark.parametrize(("n", "lead"), [(24, "Nobody can tell whether it is like"), (120, "By ")])
def test_the_verdict_says_of_how_many_people_and_who_else_is_as_like(n, lead):
    """Marginals reach as much as themselves; what is far is in no sentence of likeness, nor is a model that cannot tell where
    another can. Of few people it says that nobody can tell, and nothing that speaks for or against."""
    test, real, other = (toy.oracle(n, seed).records for seed in (1, 2, 3))
    bad = toy.indep(toy.oracle(n, 4), 5).records
    found = judge(bad, test, real, {"copies": other, "marginals": bad}, n_types=toy.N_TYPES)
    said = Assessed("x", {}, {}, "", fidelity=found).verdict[1:]
    assert said[0].startswith(lead) and f"{n} people in each set" in said[0]
    first, controls, far = said if n > 24 else (said[0], "", "")
    assert "sequence R2" not in first and "AUROC" not in first and len(said) == (1 if n == 24 else 3)
    boosted = {name: of["discriminator_boosted"] for name, of in found.sets.items()}
    if n == 24:
        assert {one.value for one in boosted.values()} == {None} and "boosted" not in first + far
        assert UNLEARNED in found.text() and "boosted" not in found.scores
    else:
        assert all(one.value is not None for one in boosted.values()) and "boosted" in far
        assert far.startswith("It is farther in") and "sequence R2 " in far
        assert "`marginals`" in controls and "`copies`" not in controls


def test_of_few_people_what_is_no_chance_is_said_first():
    """Two dozen records that any model tells from real ones are not like them, however few they are."""
    real = {"discriminator_logistic": Measure(0.5), "sequence": Measure(0.8)}
    for auroc, first in (
        (0.99, "It is not like real records: discriminator AUROC, logistic 0.990"),
        (0.75, "Nobody can"),
    ):
        own = {"discriminator_logistic": Measure(auroc), "sequence": Measure(0.79)}
        found = SimpleNamespace(sets={"synthetic": own, "real": real}, metrics=[*real], n_subjects=24)
        (said,) = likeness(found)
        assert said.startswith(first) and "24 people in each set" in said and "sequence" not in said


def test_any_scores_can_tell_sets_apart():
    """A model of sequences, for one, that is given both sets and answers for each subject."""
    real, other = toy.mixed(120, 1), toy.mixed(120, 2)

    def tell(one, two):
        return np.zeros(one.n_subjects), np.ones(two.n_subjects)

    found = judge(other, real, real, n_types=12, models=(), discriminators={"lengths": tell})
    assert found.sets["synthetic"]["discriminator_lengths"].value == 1
    assert "discriminator AUROC, lengths" in found.text()


@pytest.mark.parametrize(("of", "what"), [
    ({"controls": {"real": toy.mixed(30, 3)}}, "control real: has the name of another set"),
    ({"controls": {"few": toy.mixed(5, 3)}}, "set few: has too few subjects, expected at least 20"),
    ({"models": ["forest"]}, "discriminator forest: is none, expected logistic or boosted"),
    ({"embeddings": {"test": np.ones((29, 2))}}, "embeddings of test: have 29 rows"),
    ({"embeddings": {}}, "embeddings of test: are not there"),
    ({"n_types": 11}, "records: have data_type 11, expected those of a vocabulary of 11"),
])  # fmt: skip
def test_what_cannot_be_judged_is_named(of, what):
    """A name that is taken, too few subjects, no such model, embeddings of others, another vocabulary."""
    real = toy.mixed(30, 1)
    with pytest.raises(TawtError, match=what):
        judge(real, real, real, **({"n_types": 12, "models": ()} | of))


def test_numbers_that_are_none_or_infinite_are_counted_and_told():
    """By set, of few as of few; what is measured of the others' numbers is a number still."""
    real, ceiling, other = (toy.oracle(120, seed).records for seed in (1, 2, 3))
    rows = np.flatnonzero(other.has_number)[::50]
    value = other.value.copy()
    value[rows] = np.resize([np.nan, np.inf, -np.inf], len(rows))
    few = ceiling.value.copy()
    few[np.flatnonzero(ceiling.has_number)[:3]] = np.nan
    found = judge(
        replace(other, value=value), real, replace(ceiling, value=few), n_types=toy.N_TYPES, models=(), most_paired=5
    )
    assert len(rows) > 10 and found.not_finite == {"test": 0, "synthetic": len(rows), "real": 3}
    text, told = "\n".join(found.lost), found.to_json()
    assert f"synthetic: {len(rows):,} numbers that are none or infinite" in text and "real: <11 numbers" in text
    assert told["not_finite"] == {"test": "0", "synthetic": f"{len(rows):,}", "real": "<11"} and "test:" not in text
    measured = ("ks", "w1", "autocorrelation", "variogram", "correlation", "mmd", "precision")
    assert all(found.sets["synthetic"][name].value is not None for name in measured)
