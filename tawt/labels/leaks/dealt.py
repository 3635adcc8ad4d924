"""How subjects were dealt out: whether splits follow a calendar, or the hospitals that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.meds import IS_BIRTH, IS_DEATH
from tawt.labels.leaks.verdict import Verdict, clean, unverified

SITES = "(?i)^(site|hospital.?id|cent(er|re)|facility|institution|care.?site|clinic)([^a-z]|$)"
"""What codes of a hospital begin with."""
_ORDERED, _CHANCE = 0.95, 0.5


def audit_dealt(
    connection: duckdb.DuckDBPyConnection, splits: Mapping[str, Sequence[int]], calendar: str
) -> list[Verdict]:
    """Look whether splits are in the order of time, or of sites, and hold what is so to the end.

    Args:
        connection: Where `events` is a relation.
        splits: Who is in which split.
        calendar: What the dates of the source mean: kept, shifted or none.
    """
    sides = [name for name in ("train", "held_out") if splits.get(name)]
    if len(sides) < 2:
        why = "there is no held_out beside train"
        return [unverified("SPLIT_ORDER", why), unverified("SITE_OVERLAP", why)]
    subject = np.concatenate([np.asarray(splits[name], dtype=np.int64) for name in sides])
    held = np.concatenate([np.full(len(splits[name]), name == "held_out") for name in sides])
    connection.register("sides", pa.table({"subject_id": subject, "held": held}))
    return [_order(connection, calendar), _sites(connection)]


def _order(connection: duckdb.DuckDBPyConnection, calendar: str) -> Verdict:
    code = "SPLIT_ORDER"
    rows: Any = connection.execute(f"""
        with r as (
            select subject_id, min(time) as first, max(time) as last from events
            where time is not null and not {IS_BIRTH} and not {IS_DEATH} group by subject_id
        ), each as (select s.held, r.* from r join sides s using (subject_id)),
        ranked as (
            select held, rank() over (order by first) + (count(*) over (partition by first) - 1) / 2 as i from each
        )
        select (select (sum(i) filter (held) - count_if(held) * (count_if(held) + 1) / 2)
                / (count_if(held) * count_if(not held)) from ranked),
        (select count_if(not held and last >= (select min(first) from each where held)) from each),
        (select count_if(held and first <= (select max(last) from each where not held)) from each)
    """).fetchall()[0]
    after, n_train, n_held = float(rows[0] or 0.0), int(rows[1]), int(rows[2])
    if max(after, 1 - after) < _ORDERED:
        return clean(code, f"splits are not in the order of time (AUROC {after:.2f}): none is claimed by it")
    if calendar != "kept":
        told = f"splits are in the order of time (AUROC {after:.2f}), and the dates are {calendar}"
        return Verdict(code, "leak", told)
    if after < 0.5:
        return Verdict(code, "leak", "held_out lies before train: what is learned is later than what it is tested on")
    if n_train:
        told = (
            f"records of {few(n_train)} subjects of train go on behind the first of held_out, and {few(n_held)} of "
            "held_out begin before the last of train"
        )
        return Verdict(code, "leak", told)
    return clean(code, "held_out begins behind the end of train")


def _sites(connection: duckdb.DuckDBPyConnection) -> Verdict:
    code = "SITE_OVERLAP"
    rows = connection.execute(f"""
        with of as (
            select distinct e.subject_id, s.held, e.code || coalesce('//' || text_value, '') as site
            from events e join sides s using (subject_id) where regexp_matches(e.code, '{SITES}')
        )
        select count_if(held), count_if(not held) from of group by site having count(*) > {SMALL_CELL}
    """).fetchall()
    if len(rows) < 2:
        return unverified(code, "no code names the hospital of a subject: whether those that are tested on were "
                          "trained on must be looked at where the tables come from")  # fmt: skip
    n = np.array(rows, dtype=np.float64)
    share = n[:, 0].sum() / n.sum()
    both = int((n > 0).all(1).sum())
    # how many would lie on both sides had subjects been dealt out without a look at their site
    expected = float((1 - share ** n.sum(1) - (1 - share) ** n.sum(1)).sum())
    if both == 0:
        return clean(code, f"each of {len(n):,} sites is on one side: held_out is of others than train")
    if both < _CHANCE * expected:
        return Verdict(code, "leak", f"{both:,} of {len(n):,} sites are on both sides, of splits that go by the site")
    return clean(code, f"{both:,} of {len(n):,} sites are on both sides: subjects were dealt out whatever their "
                 "site, and held_out is no other hospital")  # fmt: skip
