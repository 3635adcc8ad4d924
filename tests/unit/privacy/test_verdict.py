"""The oracle table in direction and band, gates that say when they cannot tell, and curves over people of train."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tawt.dataset.records import joined
from tawt.errors import ConfigError, ContractError
from tawt.fidelity.summaries import summary_of
from tawt.privacy.canaries import BY_CHANCE
from tawt.privacy.curve import attacked, curve, fitted
from tawt.privacy.found import Found, more, share
from tawt.privacy.membership import Attack
from tawt.privacy.people import People, people_of
from tawt.privacy.suite import assess, beside
from tawt.privacy.verdict import _tpr, gate, gate_of_copies, hold_gates, verdict
from tests import toy

N = 800


@pytest.fixture(scope="module")
def toys():
    """Train, test and reference, fresh samples, copies of all and of a tenth, and independent marginals."""
    train = toy.oracle(N, 1)
    made = {
        "train": train, "test": toy.oracle(N, 2), "reference": toy.oracle(N, 3), "oracle": toy.oracle(N, 4),
        "indep": toy.indep(train, 5), "copy100": toy.copy(train, 1.0, 6), "copy10": toy.copy(train, 0.1, 7),
    }  # fmt: skip
    summary = summary_of(made["reference"].records)
    return {name: people_of(one.records, summary.of) for name, one in made.items()}


@pytest.fixture(scope="module")
def found(toys):
    """What attacks find, by generator."""
    return {
        name: assess(toys["train"], toys["test"], toys[name], toys["reference"], n_draws=16)
        for name in ("oracle", "indep", "copy100", "copy10")
    }


BANDS = {
    "oracle": {"dcr_share": (0.45, 0.55), "nnaar": (-0.04, 0.025), "aa_test": (0.47, 0.53), "nndr_ratio": (0.9, 1.1),
               "authenticity": (0.75, 0.88), "auc": (0.47, 0.53), "tpr_1": (0, 0.02)},
    "indep": {"dcr_share": (0.45, 0.56), "nnaar": (-0.03, 0.03), "aa_test": (0.72, 0.85), "nndr_ratio": (0.9, 1.1),
              "authenticity": (0.9, 1), "auc": (0.46, 0.54), "tpr_1": (0, 0.02)},
    "copy100": {"dcr_share": (0.99, 1), "nnaar": (0.45, 0.55), "aa_test": (0.45, 0.55), "nndr_ratio": (0, 0.02),
                "authenticity": (0, 0.01), "auc": (0.99, 1), "tpr_1": (0.99, 1)},
    "copy10": {"dcr_share": (0.51, 0.6), "nnaar": (0.03, 0.1), "aa_test": (0.47, 0.53), "nndr_ratio": (0, 0.05),
               "authenticity": (0.66, 0.8), "auc": (0.51, 0.57), "tpr_1": (0.09, 0.14)},
}  # fmt: skip


@pytest.mark.parametrize("name", BANDS)
def test_attacks_find_what_they_are_known_to_find(found, name):
    """The numbers of a known process lie where an experiment of other code found them."""
    one = found[name]
    values = {key: each.value for key, each in one.distances.items()}
    values |= {key: each.value for key, each in one.membership["distance"].found.items()}
    outside = {key: values[key] for key, (low, high) in BANDS[name].items() if not low <= values[key] <= high}
    assert outside == {}


def test_copies_fail_and_fresh_samples_pass(found):
    """No gate fails a safe set; a tenth of copies fails those that look at single people, and AUC does not see it."""
    outcomes = {
        name: {one.name: one.outcome for one in verdict(assessment).gates} for name, assessment in found.items()
    }
    assert "failed" not in outcomes["oracle"].values() and "failed" not in outcomes["indep"].values()
    # these copies are a little noisy
    assert outcomes["copy100"].pop("verbatim copies") == "passed" and set(outcomes["copy100"].values()) == {"failed"}
    caught = {name for name, outcome in outcomes["copy10"].items() if outcome == "failed"}
    assert {"membership by distance", "near copies", "NNDR to train / to test, 5th percentile"} <= caught
    assert found["copy10"].membership["distance"].found["auc"].value < 0.57
    assert [verdict(found[name]).outcome for name in ("copy10", "copy100")] == ["failed", "failed"]
    assert verdict(found["oracle"]).n == N and "membership by likelihood" in verdict(found["oracle"]).not_made


def test_a_single_copy_is_no_pass():
    """One record that is somebody's cannot tell of itself; five of them fail."""
    sets = [toy.oracle(150, 100 + i).records for i in range(3)]
    describe = summary_of(sets[2]).of
    train, test, reference = (people_of(one, describe) for one in sets)
    for n, outcome in ((1, "cannot tell"), (5, "failed")):
        copied = people_of(sets[0].take(np.arange(n)), describe)
        gates = verdict(assess(train, test, copied, reference, n_draws=8)).gates
        assert next(one.outcome for one in gates if one.name == "near copies") == outcome


def test_one_verbatim_copy_of_a_long_record_fails():
    """One of 600, to the last value, which the gate of near copies lets pass; a short one, or one value changed, does not."""
    sets = [toy.oracle(600, 100 + i).records for i in range(4)]
    describe = summary_of(sets[2]).of
    train, test, reference = (people_of(one, describe) for one in sets[:3])
    long, short = (int(np.flatnonzero(which)[0]) for which in (sets[0].lengths >= 20, sets[0].lengths < 20))
    changed = replace(sets[0], value=sets[0].value + 1)
    for copied, outcome in (
        (sets[0].take(np.array([long])), "failed"), (sets[0].take(np.array([short])), "passed"), (changed.take(np.array([long])), "passed"),
    ):  # fmt: skip
        given = people_of(joined([sets[3].take(np.arange(599)), copied]), describe)
        told = verdict(assess(train, test, given, reference, n_draws=5))
        gates = {one.name: one for one in told.gates}
        assert gates["verbatim copies"].outcome == outcome and gates["near copies"].outcome != "failed"
        assert (told.outcome == "failed") == (outcome == "failed")
        assert outcome == "passed" or "fewer than 11" in gates["verbatim copies"].found.text()


def test_real_people_under_other_ids_fail_whoever_they_are(toys):
    """A set of the test, or of the reference, is nearer to train than nobody, and fails all the same; a safe one does not."""
    sets = toys["train"], toys["test"]
    for name, outcome in (("test", "failed"), ("reference", "failed"), ("oracle", "passed")):
        said = {one.name: one.outcome for one in verdict(assess(*sets, toys[name], toys["reference"], n_draws=5)).gates}
        assert said["real people"] == outcome and said["near copies"] == "passed", name


def test_so_few_people_cannot_tell(toys):
    """Of 200 people a safe set passes no gate of membership or NNAAR; how many would be enough is said, and enough."""
    said = verdict(assess(*(toys[name].first(200) for name in ("train", "test", "oracle", "reference")), n_draws=16))
    by_name = {one.name: one for one in said.gates}
    assert said.outcome == "cannot tell" and said.n == 200
    for name in ("membership by distance", "NNAAR"):
        assert by_name[name].outcome == "cannot tell" and 500 < by_name[name].enough < 4000


def test_what_was_not_given_is_said(toys):
    """Without other real people, or with too few records, gates cannot tell and say why; nothing is passed by silence."""
    alone = verdict(assess(*(People(toys[name].features) for name in ("train", "test", "oracle")), n_draws=5))
    reasons = {one.name: one.found.reason for one in alone.gates if one.outcome == "cannot tell"}
    assert "no other real people" in reasons["membership by distance ratio"] and "near copies" in reasons
    few = verdict(assess(*(toys[name].first(20) for name in ("train", "test", "oracle", "reference")), n_draws=5))
    of_few = {one.name: one.outcome for one in few.gates if "attributes" not in one.name}
    assert of_few.pop("verbatim copies") == "passed" and {*of_few.values()} == {"cannot tell"}


def test_a_likelihood_and_canaries_are_gates_where_they_are_given(toys):
    """A model that remembers its people fails by what it is told alone."""
    rng = np.random.default_rng(0)
    train, test = (
        People(toys[name].features, likelihood=rng.normal(size=N) + shift)
        for name, shift in (("train", 1), ("test", 0))
    )
    bits = Found(6.0, 5.0, 7.0, 20)
    said = verdict(assess(train, test, toys["oracle"], exposure={1: bits, 8: bits}, n_draws=5))
    assert {"membership by likelihood", "exposure of canaries, bits"} <= set(said.failed) and not said.not_made
    assert gate("bits", Found(1.5, 1.0, 2.0, 20), BY_CHANCE + 1, BY_CHANCE, 20).outcome == "passed"


@pytest.mark.parametrize(
    ("value", "half", "outcome"),
    [
        (0.0, 0.02, "passed"),
        (0.0, 0.05, "cannot tell"),
        (-0.03, 0.05, "passed"),
        (0.04, 0.02, "failed"),
        (0.04, 0.05, "cannot tell"),
    ],
)
def test_a_gate_that_cannot_fail_is_none(value, half, outcome):
    """It passes where it is within the bound and would have seen more, fails where chance is no reason; else neither."""
    one = gate("NNAAR", Found(value, value - half, value + half, 100), 0.03, 0, 100)
    assert one.outcome == outcome and (one.enough is not None) == (outcome == "cannot tell")
    if one.enough:
        n = one.enough
        again = gate("NNAAR", Found(0.0, -half * (100 / n) ** 0.5, half * (100 / n) ** 0.5, n), 0.03, 0, n)
        assert again.outcome == "passed"
    mirrored = gate("least", Found(1 - value, 1 - value - half, 1 - value + half, 100), 0.97, 1, 100)
    assert mirrored.outcome == outcome and mirrored.is_least


@pytest.mark.parametrize(("value", "half"), [(0.0, 0.05), (0.035, 0.05), (0.04, 0.05)])
def test_so_many_people_would_be_enough(value, half):
    """With as much found and an interval that shrinks by the root of the people, the gate tells; of a tenth fewer it does not."""

    def of(n):
        own = half * (200 / n) ** 0.5
        return gate("NNAAR", Found(value, value - own, value + own, n), 0.03, 0, n)

    enough = of(200).enough
    assert of(200).outcome == of(int(0.9 * enough)).outcome == "cannot tell" != of(enough).outcome


def copied(n_copies, n, others=0, n_others=200):
    """The gate of near copies, of so many of so many records, and of other people."""
    found = {"synthetic": np.arange(n) < n_copies, "test": np.arange(n_others) < others}
    return gate_of_copies("near copies", beside(found), min(n, n_others))


@pytest.mark.parametrize(("n_copies", "others"), [(0, 0), (12, 11), (30, 31)])
def test_of_copies_so_many_people_would_be_enough(n_copies, others):
    """As many in 100 of so many people tell, and of a tenth fewer they do not; a set of 12 needs no more than one of 200."""
    enough = copied(n_copies, 200, others).enough
    for n, tells in ((enough, True), (int(0.9 * enough), False)):
        again = copied(round(n_copies * n / 200), n, round(others * n / 200), n)
        assert (again.outcome != "cannot tell") == tells
    assert copied(0, 12).enough == copied(0, 200).enough < 400


def test_what_would_be_enough_tells_no_count_of_few():
    """Of 1 to 10 people who are found, or copied, it is one number, whatever their count is."""

    def found(hits):
        return Attack(200, 200, {"tpr_1": Found(hits / 200, 0, 1, 200, hits)})

    attacks = {_tpr("membership", found(hits)).enough for hits in range(1, 11)}
    copies = {copied(hits, 200).enough for hits in range(1, 6)}
    assert len(attacks) == len(copies) == 1 and None not in attacks | copies


def test_a_curve_shows_who_remembers_few(toys):
    """A generator that copies 50 people, however many it is given, gives few away, and hides among many."""

    def fit(own):
        fresh = toys["oracle"].first(len(own), 3).features.copy()
        fresh[:50] = toys["train"].features[own[:50]]
        return People(fresh)

    train, test = (People(toys[name].features) for name in ("train", "test"))
    over = curve(fitted(fit, train, (200, N)), test, n_draws=10)
    rates = [point.membership["distance"].found["tpr_1"].value for point in over.points]
    assert over.sizes == (200, N) and rates[0] > 0.2 > 0.1 > rates[1] and over.verdicts[0].outcome == "failed"
    some = dict(zip((50, 200), fitted(lambda own: own, train, (50, 200)), strict=True))
    assert set(some[50][1]) <= set(some[200][1]) and np.array_equal(some[50][0].features, train.features[some[50][1]])
    with pytest.raises(ConfigError, match="1 to"):
        next(fitted(fit, train, (N + 1,)))


def test_one_set_attacked_with_fewer_people_tells_less(toys):
    """With 150 members and others the interval is wider than with all; what the set was learned from stays said."""
    sets = [toys[name] for name in ("train", "test", "copy10")]
    over = attacked(*sets, (150, N), toys["reference"], n_draws=10)
    widths = [one.membership["distance"].found["auc"] for one in over.points]
    assert widths[0].high - widths[0].low > 1.7 * (widths[1].high - widths[1].low)
    assert [point.n for point in over.points] == [N, N] and [point.sizes["train"] for point in over.points] == [150, N]
    text = json.dumps(over.to_json(), allow_nan=False)
    assert json.loads(text)["points"][1]["verdict"]["outcome"] == "failed" and over.render().row_count == 2
    assert verdict(over.points[0]).render().row_count > 8


def test_two_spaces_have_to_pass_both(toys, found):
    """What is found in embeddings alone fails the set; what hangs on no distance is asked once."""
    plain = assess(toys["train"], toys["test"], toys["copy100"], toys["reference"], space="embeddings", n_draws=5)
    said = verdict([found["oracle"], plain])
    names = [one.name for one in said.gates]
    assert said.outcome == "failed" and names.count("near copies") == 1
    assert "NNAAR, embeddings" in said.failed and "NNAAR, summaries" not in said.failed


def test_shares_and_their_difference():
    """Intervals of shares never end at a point where nobody was found; two that are alike differ by 0."""
    none, all_ = share(0, 100), share(100, 100)
    assert none.value == 0 and none.high == pytest.approx(0.037, abs=1e-3) and all_.low == pytest.approx(1 - none.high)
    assert share(0, 0).value is None and more(share(0, 0), none).value is None
    assert more(share(56, 70), share(48, 80)).low == pytest.approx(0.0524, abs=1e-4)  # Newcombe's own example
    assert more(share(56, 70), share(48, 80)).high == pytest.approx(0.3339, abs=1e-4)


def test_few_people_are_not_told(found):
    """A share that rests on 1 to 10 people is told as below a bound, with no interval to count back from."""
    for one in (share(4, 2000), share(1996, 2000), more(share(300, 2000), share(4, 2000))):
        told = one.to_json()
        assert told["value"] is told["low"] is told["high"] is None and "fewer than 11" in told["reason"]
        assert "0.002" not in one.text() and "4" not in told["reason"].replace("0.994", "")
    assert share(11, 2000).to_json()["value"] == pytest.approx(0.0055) and share(0, 2000).text().startswith("0 (")
    assert Found(0.5, 0.4, 0.6, 7).to_json()["value"] is None and Found(0.5, 0.4, 0.6, 7).to_json()["n"] == 0
    for assessment in found.values():
        text = json.dumps([assessment.to_json(), verdict(assessment).to_json()], allow_nan=False)
        assert "n_hits" not in text


def test_what_does_not_fit_is_refused(toys):
    """Fewer traces than records, and features of other kinds."""
    with pytest.raises(ContractError, match="one for each row"):
        People(toys["train"].features[:5], toys["train"].traces)
    with pytest.raises(ContractError, match="columns"):
        assess(People(np.zeros((50, 3))), People(np.zeros((50, 3))), People(np.zeros((50, 4))), n_draws=1)


def test_every_gate_that_is_told_can_be_named():
    """Names that `generate` takes are those that a verdict tells, of one space and of several; others are none."""
    sides = [toy.oracle(60, seed).records for seed in range(4)]
    describe = summary_of(sides[3]).of
    people = [people_of(one, describe, (1, 2)) for one in sides]
    several = [assess(*people, n=60), assess(*people, n=60, space="embeddings")]
    told = [gate.name for gate in verdict(several).gates]
    assert len(told) > 12
    hold_gates(told)
    wrong = ["copies", "NNAARs", "", "membership by distnace", "attributes from the nearest 7",
             "NNAAR, rarest tenth", "membership by distance, rarest tneth"]  # fmt: skip
    for name in wrong:
        with pytest.raises(ConfigError, match="is no gate"):
            hold_gates([name])


def test_why_a_number_is_not_there_stands_once_and_a_difference_is_called_one(toys):
    """Rates of few at each of several sizes: one sentence below the table; what is below 0 is no share."""
    sets = [toys[name] for name in ("train", "test", "copy10")]
    table = attacked(*sets, (20, 40, 60), toys["reference"], n_draws=10).render()
    cells = [cell for column in table.columns for cell in column.cells]
    why = "of fewer than 100 others 1 % is less than one person"
    assert cells.count("- (1)") >= 6 and not any(why in cell for cell in cells)
    assert str(table.caption).count(why) == 1
    found = more(share(20, 400), share(40, 400))
    assert found.value < 0 and found.text().startswith("difference -0.05 (") and "is_difference" not in found.to_json()
