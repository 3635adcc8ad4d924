"""A task -> one select over `events`: a row is a label, or a sample that a rule left out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tawt.contracts.dataset import US_PER_HOUR
from tawt.labels.language import duration
from tawt.labels.predicates_sql import Query, add_events, hits, sums, values
from tawt.labels.sections import Window
from tawt.labels.task import Task
from tawt.labels.windows import index_moment
from tawt.labels.windows_sql import Rule, Samples, count_within, samples_of

"""Microseconds."""
_DAY = 24 * US_PER_HOUR
_KEYS = ("subject_id", "prediction_time")


@dataclass(frozen=True)
class Compiled:
    """A task as SQL."""

    drafts: str
    """One row is a label (`_rule` null), or a sample (`_trigger`) that the rule of number `_rule` left out.

    `_closes` of a label is the last moment that it was looked for in."""
    columns: tuple[str, ...]
    """The columns of a label."""
    rules: tuple[Rule, ...]
    """What is asked of a sample, in order."""

    @property
    def select(self) -> str:
        """One select that gives the labels alone, sorted; rows of one moment and of equal labels are one."""
        most = [name for name in ("label_count",) if name in self.columns]
        kept = [name for name in self.columns if name not in most]
        named = ", ".join([*kept, *(f"max({name}) as {name}" for name in most)])
        return (
            f"select {named} from (\n{self.drafts}\n) where _rule is null group by {', '.join(kept)} "
            f"order by {', '.join(kept)}"
        )  # fmt: skip


def compile_task(task: Task, events: str = "events", clock: str = "time", ranged: bool = False) -> Compiled:
    """Compile a task to DuckDB SQL.

    Args:
        task: The task; the side of a window that `index_timestamp` names is the prediction time, else the trigger is.
        events: The relation of events as it stands in `from`.
        clock: `time`, or `available_time`: a record is then what could be read of it.
        ranged: Whether it is of the subjects from `$low` to `$high` alone.

    Raises:
        ConfigError: A regular expression is none.
    """
    query = Query(task, events, clock, ranged)
    add_events(query)
    samples = samples_of(query)
    branches = _branches(samples, samples.columns[index_moment(task)])
    rules = [*samples.rules, *map(Rule, _LATER)]
    extra = [column for column in _EXTRA if any(column in one for one in branches)]
    out = "\nunion all by name\n".join(
        "select " + ", ".join(f"{text} as {column}" for column, text in one.items()) + f" from {relation} s {joins}"
        for one, relation, joins in _texts(branches)
    )
    query.add("asked", out)
    last = _sampled(task, query, len(samples.rules) + len(_LATER) - 1)
    failed = (
        f'select subject_id, failed as _rule, "trigger" as _trigger from {samples.relation} where failed is not null'
    )
    return Compiled(
        query.text(f"select * from {last}\nunion all by name\n{failed}"), (*_KEYS, *extra), tuple(rules)
    )  # fmt: skip


_LATER = ("the label's value is there", "new onset", "observed up to the horizon", "sampling")
_VALUE, _ONSET, _HORIZON, _ = range(len(_LATER))
_EXTRA = (
    "target", "horizon_hours", "boolean_value", "integer_value", "float_value", "categorical_value", "duration_hours",
    "label_count", "prior_count",
)  # fmt: skip


class _Branch(dict[str, str]):
    """Column -> expression, of one label of one horizon."""

    relation = ""
    joins = ""


def _texts(branches: list[_Branch]) -> list[tuple[_Branch, str, str]]:
    return [(one, one.relation, f"{one.joins} where s.failed is null") for one in branches]


def _branches(samples: Samples, at: str) -> list[_Branch]:
    task = samples.query.task
    base = {"subject_id": "s.subject_id", "prediction_time": f"s.{at}", "_trigger": 's."trigger"'}
    window = task.label_window
    if window is None:
        one = _Branch(base | {"boolean_value": "null::boolean", "_rule": "null::smallint", "_peeks": "false"})
        one.relation = samples.relation
        return [one]
    branches = []
    for label in task.windows[window].label:
        for horizon in task.horizons or ("",):
            one = _Branch(base)
            one.relation = samples.relation
            _ask(samples, one, window, label, horizon, at)
            if len(task.windows[window].label) > 1:
                one["target"] = f"'{label}'"
            branches.append(one)
    return branches


def _ask(samples: Samples, one: _Branch, name: str, label: str, horizon: str, at: str) -> None:
    query, task, first = samples.query, samples.query.task, len(samples.rules)
    window = task.windows[name]
    begin, stop = (f"s.{samples.columns[f'{name}.{side}']}" for side in ("start", "end"))
    one.joins += "left join record r on s.subject_id = r.subject_id "
    within, until, until_inclusive = "", stop, window.end_inclusive
    if horizon:
        length = duration(horizon)
        ends = f"({begin} + to_microseconds({length}))"
        one["horizon_hours"] = f"{length / US_PER_HOUR!r}::double"
        # what ends the window earlier keeps its own inclusiveness; the horizon itself is within
        until, until_inclusive = f"least({stop}, {ends})", True
        if not window.end_inclusive:
            until = f"case when {ends} < {stop} then {ends} else {stop} - to_microseconds(1) end"
        closed = f"({stop} <= least({ends}, r.last))" if window.bounds[1] is not None else "false"
        within = f"r.last >= {ends} or {closed}"
    joins, count = count_within(query, label, begin, until, window.start_inclusive, until_inclusive)
    one.joins += joins + " "
    one.joins += f"asof left join {sums(query, label)} b on s.subject_id = b.subject_id and s.{at} >= b.time "
    one["label_count"], one["prior_count"] = count, "coalesce(b.upto, 0)"
    value = _value(query, one, name, label, begin, stop, at)
    rules = [f"when {value} is null then {first + _VALUE}"] if value else []
    if task.only_new:
        rules.append(f"when {one['prior_count']} > 0 then {first + _ONSET}")
    if within:
        rules.append(f"when not ({count} > 0 or {within}) then {first + _HORIZON}")
    one["_rule"] = f"(case {' '.join(rules)} end)::smallint" if rules else "null::smallint"
    one["_peeks"] = f"{begin} <{'=' * window.start_inclusive} s.{at}"
    others = [f"s.{samples.columns[f'{other}.end']}" for other in task.windows if other != name]
    one["_closes"] = f"greatest({', '.join([*others, f'({until})'])})"


def _value(query: Query, one: _Branch, name: str, label: str, begin: str, stop: str, at: str) -> str | None:
    """Add the columns of the label; return what must be there for one."""
    task = query.task
    window = task.windows[name]
    if task.label_type == "binary":
        one["boolean_value"] = f"{one['label_count']} > 0"
    elif task.label_type == "count":
        one["integer_value"] = one["label_count"]
    elif task.label_type == "time_to_event":
        sign = "<" + "=" * window.start_inclusive
        one.joins += f"asof left join {hits(query, label)} t on s.subject_id = t.subject_id and {begin} {sign} t.time "
        seen = f"coalesce(t.time <{'=' * window.end_inclusive} {stop}, false)"
        one["boolean_value"] = seen
        ends = f"case when {seen} then t.time else least({stop}, r.last) end"
        one["duration_hours"] = f"(epoch_us({ends}) - epoch_us(s.{at})) / {US_PER_HOUR}.0::double"
    else:
        value = _aggregate(query, one, window, label, begin, stop, f"windows.{name}.label")
        if task.label_type == "value":
            one["float_value"] = f"{value}::float"
        else:
            # an edge is read as the value was
            index = " + ".join(f"({value}::float >= {edge!r}::float)::bigint" for edge in task.bins)
            one["integer_value"] = index
            one["categorical_value"] = f"({list(bin_names(task.bins))!r})[{index} + 1]"
        return value
    return None


def bin_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the classes between edges, as `<4`, `4 to 6` and `>=6`."""
    told = [f"{edge:g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(told)]
    return (f"<{told[0]}", *between, f">={told[-1]}")


def _aggregate(query: Query, one: _Branch, window: Window, label: str, begin: str, stop: str, key: str) -> str:
    of, task = values(query, label, key), query.task
    low, high = ">" + "=" * window.start_inclusive, "<" + "=" * window.end_inclusive
    if task.label_agg in ("first", "last"):
        near, far, side = (begin, stop, f"<{low[1:]}") if task.label_agg == "first" else (stop, begin, f">{high[1:]}")
        one.joins += f"asof left join {of} v on s.subject_id = v.subject_id and {near} {side} v.time "
        inside = f"v.time {high} {far}" if task.label_agg == "first" else f"v.time {low} {far}"
        return f"(case when {inside} then v.value end)"
    how = f"{task.label_agg}(v.value)"
    if task.label_agg == "slope":  # through one moment there is none
        days = f"(epoch_us(v.time) - epoch_us({begin})) / {_DAY}.0"
        how = f"case when count(*) > 1 then regr_slope(v.value, {days}) end"
    name = query.add(
        f"whole_{label}",
        f'select s.subject_id, s."trigger", {how} as value from {one.relation} s '
        f"join {of} v on s.subject_id = v.subject_id and v.time {low} {begin} and v.time {high} {stop} "
        "where s.failed is null group by all",
    )
    one.joins += f'left join {name} w on s.subject_id = w.subject_id and s."trigger" = w."trigger" '
    return "w.value"


def _sampled(task: Task, query: Query, rule: int) -> str:
    """Add the drawing of samples; return the relation that holds the drafts."""
    if task.sampling == "all":
        return "asked"
    order, source = "prediction_time", "asked"
    if task.sampling != "first":
        # step by step: a macro writes out what it is given at each of its places
        query.add("seeded", f"select *, tawt_hash(subject_id, {task.seed}) as _who from asked")
        query.add("keyed", "select * exclude _who, xor(_who, epoch_us(prediction_time)) as _key from seeded")
        source = query.add("dealt", f"select * exclude _key, tawt_hash(_key, {task.seed}) as _order from keyed")
        order = "_order, prediction_time"
    rank = f"dense_rank() over (partition by subject_id, _rule is null order by {order})"
    drawn = f"case when _rule is null and {rank} > {task.max_per_subject or 1} then {rule} else _rule end"
    return query.add("drawn", f"select * replace (({drawn})::smallint as _rule) from {source}")
