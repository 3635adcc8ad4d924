"""What a label set says, told from events: which code makes a label positive, and who is asked about at all."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.dataset import US_PER_HOUR
from tawt.labels.leaks.stays import lay_out_stays
from tawt.labels.leaks.verdict import Verdict, clean, unverified

FEWEST = 5
"""Labels of each answer, below which no code is taken for what they tell."""
_HIT, _MISS = 0.99, 0.01
_CHANCE, _SOME, _APART = 1e-6, 0.1, 0.9


@dataclass(frozen=True)
class Outcome:
    """The code that labels tell of."""

    code: str
    n_positive: int
    """Positive labels."""
    n_before: int
    """Of these, those that no later event of the code explains, and an earlier one does."""
    n_again: int
    """Positive labels before which the code was there."""

    @property
    def name(self) -> str:
        """What may be told of it."""
        return self.code if self.n_positive > SMALL_CELL else "one code"


def outcome_of(connection: duckdb.DuckDBPyConnection, answers: pa.Table) -> Outcome | None:
    """Return the code whose events around the prediction time decide each label; None where no one code does.

    A code is also all that begin with its first part, or its first two. A label is positive where the code comes
    within some time after the prediction time, or, if that explains it, came within some time before.

    Args:
        connection: Where `events` is a relation.
        answers: `subject_id`, `prediction_time` (us) and `positive` (null = not known), as many as are to be looked at.
    """
    connection.register("looked_at", answers)
    rows = connection.execute(f"""
        with a as (
            select row_number() over (order by subject_id, prediction_time) as i, subject_id,
            make_timestamp(prediction_time) as t, positive from looked_at where positive is not null
        ), n as (select count_if(positive) as p, count_if(not positive) as q from a),
        named as (
            select distinct subject_id, time, unnest([
                code, split_part(code, '//', 1), split_part(code, '//', 1) || '//' || split_part(code, '//', 2)
            ]) as code from events semi join a using (subject_id) where time is not null
        ), near as (
            select a.i, a.positive, e.code, min(e.time) filter (e.time > t) - any_value(t) as next,
            any_value(t) - max(e.time) filter (e.time <= t) as back
            from a join named e using (subject_id) group by a.i, a.positive, e.code
        ), reach as (
            select code, max(next) filter (positive) as ahead,
            max(next) filter (positive and back is null) as ahead_alone,
            max(back) filter (positive and next is null) as behind from near group by code
        )
        select code, any_value(p), any_value(q),
        count_if(positive and next is not null), count_if(not positive and next <= ahead),
        count_if(positive), count_if(not positive and (
            coalesce(next <= coalesce(ahead_alone, ahead), false) or coalesce(back <= behind, false)
        )), count_if(positive and back is not null), count_if(positive and next is null and back is not null)
        from near join reach using (code), n group by code having any_value(p) >= {FEWEST} and any_value(q) >= {FEWEST}
    """).fetchall()  # fmt: skip
    after, around = [], []
    for code, p, q, hit, false, any_hit, any_false, again, before in rows:
        if hit >= _HIT * p and false <= _MISS * q:
            after.append((false - hit, str(code), Outcome(str(code), p, 0, again)))
        elif any_hit >= _HIT * p and any_false <= _MISS * q and before:
            around.append((any_false - any_hit - before, str(code), Outcome(str(code), p, before, again)))
    found = sorted(after or around, key=lambda one: one[:2])
    return found[0][2] if found else None


def audit_outcome(outcome: Outcome | None, told_prior: bool) -> list[Verdict]:
    """Say of labels that no task is known of where the event that they tell of lies.

    Args:
        outcome: As of `outcome_of`.
        told_prior: Whether the labels themselves say what was there before.
    """
    if outcome is None:
        why = "no one code decides the labels, and no task says how their window lies: look where they are made"
        return [unverified("LABEL_IN_INPUT", why)]
    if outcome.n_before:
        told = f"{few(outcome.n_before)} positive labels tell of {outcome.name}, which is known by then"
        return [Verdict("LABEL_IN_INPUT", "leak", told)]
    out = [clean("LABEL_IN_INPUT", f"each positive label is followed by {outcome.name}, which decides it")]
    if told_prior:
        return out
    if outcome.n_again:
        told = f"{few(outcome.n_again)} positive labels tell of {outcome.name}, which was there before"
        return [*out, Verdict("REPEATED_EVENT", "leak", told), Verdict("POST_OUTCOME_INSTANCE", "leak", told)]
    told = f"{outcome.name}, which the labels tell of, was there before none that is positive"
    return [*out, clean("REPEATED_EVENT", told), clean("POST_OUTCOME_INSTANCE", told)]


def audit_cohort(connection: duckdb.DuckDBPyConnection) -> Verdict:
    """Compare what comes later of stays that are asked about with those that are not, and were going on as well.

    Args:
        connection: Where `events` and `asked` are relations.
    """
    code = "COHORT_FUTURE_INFORMATION"
    found = []
    kinds: list[str | None] = [*lay_out_stays(connection)]
    for kind in kinds or [None]:
        after, alike, told = connection.execute("""
            with offsets as (
                select make_timestamp(a.prediction_time) - s.began as after from asked a
                asof join (from stays where kind is not distinct from ?) s
                on s.subject_id = a.subject_id and make_timestamp(a.prediction_time) >= s.began
            )
            select mode(after), avg((after = (select mode(after) from offsets))::int),
            count(*) / (select count(*) from asked) from offsets
        """, [kind]).fetchall()[0]  # fmt: skip
        found.append((min(alike or 0.0, told or 0.0), after, kind))
    share, after, kind = max(found, key=lambda one: one[0])
    if share < _APART:
        return unverified(code, "prediction times are at no one time of a stay: whether what comes later decides who "
                          "is asked about must be looked at where labels are made")  # fmt: skip
    connection.execute("""
        create or replace temp table going_on as
        select s.subject_id, epoch_us(s.ended - s.began - ?) as rest, exists (
            select 1 from asked a where a.subject_id = s.subject_id
            and make_timestamp(a.prediction_time) between s.began and s.ended
        ) as asked from stays s where s.kind is not distinct from ? and s.ended > s.began + ?
    """, [after, kind, after])  # fmt: skip
    return _compared(connection, code)


def _compared(connection: duckdb.DuckDBPyConnection, code: str) -> Verdict:
    n, n_other, least, most = connection.execute("""
        select count_if(asked), count_if(not asked), min(rest) filter (asked), max(rest) filter (asked) from going_on
    """).fetchall()[0]
    if not n:
        return unverified(code, "no stay goes on after its prediction time: nothing tells who could have been asked")
    if n_other <= SMALL_CELL:
        return clean(code, f"stays that were going on and are not asked about: {few(n_other)} of {n + n_other:,}")
    below, above, auroc = connection.execute("""
        with ranked as (
            select *, rank() over (order by rest) + (count(*) over (partition by rest) - 1) / 2 as r from going_on
        )
        select count_if(not asked and rest < ?), count_if(not asked and rest > ?),
        (sum(r) filter (asked) - ? * (? + 1) / 2) / (? * ?) from ranked
    """, [least, most, n, n, n, n_other]).fetchall()[0]  # fmt: skip
    told = f"{n:,} stays are asked about and {n_other:,} that were going on are not"
    for beyond, words, bound in ((below, "longer", least), (above, "less", most)):
        # had chance chosen whom to ask, some of those would be among them
        if beyond > max(SMALL_CELL, _SOME * n_other) and (1 - beyond / (n + beyond)) ** n < _CHANCE:
            hours = f"{bound / US_PER_HOUR:,.0f} h"
            return Verdict(code, "leak", f"{told}: each that is asked about went on for {words} than {hours}, and "
                           f"{beyond:,} of the others did not")  # fmt: skip
    if max(auroc, 1 - auroc) > _APART:
        return Verdict(code, "leak", f"{told}: how long they go on tells which (AUROC {max(auroc, 1 - auroc):.2f})")
    if max(auroc, 1 - auroc) > 0.65:
        return unverified(code, f"{told}: those go on for another time (AUROC {max(auroc, 1 - auroc):.2f}); was that "
                          "so for a reason that was known by then?")  # fmt: skip
    return clean(code, f"{told}, and how long they go on does not tell which")
