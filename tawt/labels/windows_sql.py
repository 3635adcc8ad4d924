"""The windows of a task, one after the other: where each begins and ends for a sample, and what is within."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tawt.labels.language import RECORD_END, RECORD_START, TRIGGER, Bound
from tawt.labels.predicates_sql import Query, hits, sums
from tawt.labels.rules import ordered
from tawt.labels.sections import Window


class Rule(NamedTuple):
    """What is asked of a sample."""

    text: str
    """As it is told."""
    window: str = ""
    """The window that asks it; empty where none does."""


@dataclass
class Samples:
    """The samples so far: a relation of `(subject_id, trigger, failed, ...)`, and the rules that they went through."""

    query: Query
    relation: str
    columns: dict[str, str] = field(default_factory=lambda: {TRIGGER: '"trigger"'})
    """Point in time, as `input.end` -> its column."""
    rules: list[Rule] = field(default_factory=list)
    """What was asked; `failed` holds the number of the first that a sample does not fulfil."""

    def step(self, extra: str, joins: str = "") -> None:
        """Add columns, from `s`, the samples so far, and what is joined to them."""
        name = f"s{sum(one.startswith('s') and one[1:].isdigit() for one in self.query.relations)}"
        self.query.add(name, f"select s.*, {extra} from {self.relation} s {joins}")
        self.relation = name

    def ask(self, rule: Rule, holds: str, joins: str = "") -> None:
        """Add a rule; a sample that does not fulfil it, or of which that is unknown, has failed."""
        name = f"s{sum(one.startswith('s') and one[1:].isdigit() for one in self.query.relations)}"
        failed = f"case when s.failed is null and not coalesce({holds}, false) then {len(self.rules)} else s.failed end"
        text = f"select s.* replace (({failed})::smallint as failed) from {self.relation} s {joins}"
        self.query.add(name, text)
        self.relation = name
        self.rules.append(rule)


def samples_of(query: Query) -> Samples:
    """Add the moments of the trigger, and what must hold of their subjects."""
    task = query.task
    query.add("s0", f'select subject_id, time as "trigger", null::smallint as failed from {hits(query, task.trigger)}')
    samples = Samples(query, "s0", rules=[Rule(f"trigger: {task.trigger}")])
    known = task.all_predicates
    for name in [name for name, _ in task.needed() if name in known and known[name].static]:
        of = query.numbers[name]
        has = f"s.subject_id in (select subject_id from marks where p = {of} and time is null)"
        samples.ask(Rule(f"static: {name}"), has)
    for name in ordered(task):
        add_window(samples, name, task.windows[name])
    return samples


def add_window(samples: Samples, name: str, window: Window) -> None:
    """Add both sides of a window and the rules that it makes."""
    start, end = window.bounds
    sides = (("end", end), ("start", start)) if window.from_end else (("start", start), ("end", end))
    both = window.start_inclusive and window.end_inclusive
    for n, (side, one) in enumerate(sides):
        # what bounds a window from its other side may stand at that side itself where the window is not empty then: so
        # ACES documents it; es-aces 0.7.3 also lets it where the bound alone is within, and gives empty windows
        _add_side(samples, name, side, one, may_be_there=n == 1 and both)
    begin, stop = samples.columns[f"{name}.start"], samples.columns[f"{name}.end"]
    sides_told = f"{window.start or 'record start'} to {window.end or 'record end'}"
    samples.ask(Rule(f"{name}: {sides_told}", name), f"{begin} <= {stop}")
    for predicate, (low, high) in window.has.items():
        joins, count = count_within(
            samples.query, predicate, f"s.{begin}", f"s.{stop}", window.start_inclusive, window.end_inclusive
        )
        asked = [f"{count} >= {low}" if low is not None else "", f"{count} <= {high}" if high is not None else ""]
        samples.ask(Rule(f"{name} has {predicate}: {low} to {high}", name), " and ".join(filter(None, asked)), joins)


def _add_side(samples: Samples, name: str, side: str, one: Bound | None, may_be_there: bool) -> None:
    point = f"{name}.{side}"
    column = samples.columns[point] = f'"{point}"'
    if one is None or (one.predicate == (RECORD_START if side == "start" else RECORD_END) and one.sibling):
        edge = "first" if side == "start" else "last"
        joins = "left join record r on s.subject_id = r.subject_id"
        samples.step(f"case when s.failed is null then r.{edge} end as {column}", joins)
        return
    anchor = samples.columns[f"{name}.{one.anchor}" if one.sibling else one.anchor]
    if not one.toward:
        offset = f" + to_microseconds({one.offset})" if one.offset else ""
        samples.step(f"case when s.failed is null then s.{anchor}{offset} end as {column}")
        return
    of = hits(samples.query, one.predicate)
    sign = ("<" if one.toward == "->" else ">") + "=" * may_be_there
    samples.step(
        f"case when s.failed is null then h.time end as {column}",
        f"asof left join {of} h on s.subject_id = h.subject_id and s.{anchor} {sign} h.time",
    )


def count_within(
    query: Query,
    predicate: str,
    begin: str,
    stop: str,
    begin_inclusive: bool,
    stop_inclusive: bool,
) -> tuple[str, str]:
    """Return the joins and the expression that count a predicate from one point to another.

    Args:
        query: The select.
        predicate: What is counted; of a derived one the moments.
        begin: The first point, as SQL of `s`.
        stop: The last one.
        begin_inclusive: Whether what is at the first point counts.
        stop_inclusive: Whether what is at the last point counts.
    """
    of = sums(query, predicate)
    low, high = "c_before", "c_upto"
    up_to, before = ">" + "=" * stop_inclusive, ">" + "=" * (not begin_inclusive)
    joins = (
        f"asof left join {of} {high} on s.subject_id = {high}.subject_id and {stop} {up_to} {high}.time "
        f"asof left join {of} {low} on s.subject_id = {low}.subject_id and {begin} {before} {low}.time"
    )
    return joins, f"greatest(coalesce({high}.upto, 0) - coalesce({low}.upto, 0), 0)"
