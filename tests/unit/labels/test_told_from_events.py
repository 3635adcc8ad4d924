"""What an audit tells from events alone: how subjects were dealt out, whose statistics those on record are, and clocks."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tawt.labels.leaks.clocks import Behind, audit_clocks, times_of
from tawt.labels.leaks.dealt import audit_dealt
from tawt.labels.leaks.fitted import audit_statistics
from tawt.labels.leaks.stays import lay_out_stays
from tawt.labels.leaks.verdict import Verdict, worst_of

DAY = timedelta(days=1)
N = 60


def connected(rows: list[tuple]) -> duckdb.DuckDBPyConnection:
    """An engine of one thread with events of subject, time, code, number and text."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("""create table events(subject_id bigint, time timestamp, code varchar, numeric_value float,
        text_value varchar, value_status varchar, available_time timestamp, source varchar, source_row bigint, unit varchar)
    """)
    connection.executemany(
        "insert into events(subject_id, time, code, numeric_value, text_value, value_status) values (?, ?, ?, ?, ?, ?)",
        rows,
    )
    return connection


def dealt(
    start: dict[int, datetime], days: float, calendar: str = "kept", site: dict[int, str] | None = None
) -> dict[str, Verdict]:
    """What is said of subjects of whom the last third is in held_out, each with two events some days apart."""
    rows = [(i, at + k * days * DAY, "A", None, None, "none") for i, at in start.items() for k in (0, 1)]
    rows += [(i, None, "SITE", None, name, "category") for i, name in (site or {}).items()]
    splits = {"train": [*range(40)], "held_out": [*range(40, N)]}
    return {one.code: one for one in audit_dealt(connected(rows), splits, calendar)}


def test_a_split_by_time_is_held_to_it() -> None:
    """Splits in the order of time may not overlap, nor be of shifted dates; others claim nothing."""
    years = {i: datetime(2000, 1, 1) + i * 100 * DAY for i in range(N)}
    assert dealt(years, 1)["SPLIT_ORDER"].status == "clean"
    said = dealt(years, 2000)["SPLIT_ORDER"]
    assert said.status == "leak" and "go on behind the first of held_out" in said.told
    assert "shifted" in dealt(years, 1, "shifted")["SPLIT_ORDER"].told
    back = {i: years[N - 1 - i] for i in years}
    assert "held_out lies before train" in dealt(back, 1)["SPLIT_ORDER"].told
    mixed = {i: years[(i * 7) % N] for i in years}
    assert dealt(mixed, 2000)["SPLIT_ORDER"].told.startswith("splits are not in the order of time")
    at_once = dealt(dict.fromkeys(years, years[0]), 1, "none")["SPLIT_ORDER"]
    assert (at_once.status, "AUROC 0.50" in at_once.told) == ("clean", True)


def test_sites_on_both_sides_are_a_leak_of_a_split_by_site_alone() -> None:
    """Sites that are parted are clean, one that is on both sides of parted ones leaks, and mixed ones claim nothing."""
    years = {i: datetime(2000, 1, 1) for i in range(N)}
    parted = {i: f"S{i // 20}" for i in range(N)}
    more = {i: "S0" if i < 13 or i >= 52 else f"S{1 + (i > 26) + (i >= 40)}" for i in range(N)}
    assert dealt(years, 1)["SITE_OVERLAP"].status == "not verified"
    assert dealt(years, 1, site=parted)["SITE_OVERLAP"].status == "clean"
    said = dealt(years, 1, site=more)["SITE_OVERLAP"]
    assert "1 of 4 sites" in said.told
    assert said.status == "leak"
    mixed = dealt(years, 1, site={i: f"S{i % 3}" for i in range(N)})["SITE_OVERLAP"]
    assert mixed.status == "clean" and "3 of 3 sites are on both sides" in mixed.told


def test_stays_and_records_begin_where_they_do() -> None:
    """A stay goes to the next end of its own kind or the death; a weight at birth is no birth, and begins a record."""
    at = datetime(2000, 1, 1)

    def laid(*rows: tuple[int, str, int]) -> tuple[list[str], list[tuple]]:
        connection = connected([(who, at + day * DAY, code, None, None, "none") for who, code, day in rows])
        kinds = lay_out_stays(connection)
        found = connection.execute("select kind, subject_id, began, ended from stays order by all").fetchall()
        return kinds, [(kind, who, (began - at).days, (ended - at).days) for kind, who, began, ended in found]

    plain = laid((1, "MEDS_BIRTH", 0), (1, "BIRTH_WEIGHT", 3), (1, "A", 9), (2, "MEDS_BIRTH//X", 1), (2, "A", 2))
    assert plain == ([], [(None, 1, 3, 9), (None, 2, 2, 2)])
    kinds, stays = laid(
        (1, "HOSPITAL_ADMISSION//ER", 0), (1, "ICU_ADMISSION", 1), (1, "ICU_DISCHARGE", 2), (1, "HOSPITAL_DISCHARGE", 5),
        (2, "HOSPITAL_ADMISSION", 0), (2, "DEATH_FORM", 1), (2, "MEDS_DEATH", 4), (3, "ED_ADMISSION", 0), (3, "A", 1),
    )  # fmt: skip
    assert kinds == ["HOSPITAL_", "ICU_"]
    assert stays == [("HOSPITAL_", 1, 0, 5), ("HOSPITAL_", 2, 0, 4), ("ICU_", 1, 1, 2)]


@pytest.mark.parametrize("of", ["train", "all", "other mean", "other scale", "another text"])
def test_statistics_on_record_are_counted_again(of: str) -> None:
    """Those of train are clean; those of all splits, of which that is said, and single ones that are off are not."""
    rng, rows = np.random.default_rng(0), []
    for i in range(N):
        rows += [
            (i, datetime(2000, 1, 1), "K", float(np.float32(rng.normal(4 + i / 20))), None, "numeric") for _ in range(3)
        ]
        rows += [(i, datetime(2000, 1, 1), "CULTURE", None, "POS" if i < 40 else "NEG", "category")]
    splits = {"train": [*range(40)], "held_out": [*range(40, N)]}
    own = [row for row in rows if row[0] < 40 or of == "all"]
    values = np.array([row[3] for row in own if row[2] == "K"])
    k = {
        "code": "K", "value_kind": "numeric", "n_rows": len(values), "n_values": len(values), "n_subjects": 40,
        "mean": values.mean(), "std": values.std(), "center": values.mean(), "scale": values.std(), "categories": [],
        "quantiles": np.sort(values)[[0, -1]].tolist(), "normalization": "zscore",
    }  # fmt: skip
    culture = {**k, "code": "CULTURE", "n_rows": len(own) // 4, "n_values": 0, "mean": None, "categories": ["POS"]}
    k |= {"other mean": {"mean": k["mean"] + 0.01}, "other scale": {"scale": k["scale"] * 1.01}}.get(of, {})
    culture |= {"another text": {"categories": ["POS", "NEG"]}}.get(of, {})
    said = audit_statistics(connected(rows), pa.Table.from_pylist([k, culture]), splits)
    assert said.status == ("clean" if of == "train" else "leak"), said
    assert ("2 are those of all splits" in said.told) == (of == "all")


def test_an_event_is_held_to_the_times_of_its_record() -> None:
    """A record that was stored later than its event counts as known is a leak, as is an amount before its end."""
    at = datetime(2000, 1, 1)
    connection = connected([(i, at, "DOSE", float(i), None, "numeric") for i in range(20)])
    connection.execute("update events set source = 'event_parts.doses', source_row = subject_id, unit = 'mg'")
    connection.execute("""create table staging_doses as select subject_id as _row, time as starttime,
        time + to_hours(10 + subject_id::int) as endtime, time + interval 5 hours as storetime, 1 as n from events""")
    connection.register("asked", pa.table({"subject_id": range(20), "prediction_time": [_us(at) + 3_600_000_000] * 20}))
    behind = [Behind("event_parts.doses", "staging_doses", times_of(connection, "staging_doses"))]
    assert behind[0].times == ["starttime", "endtime", "storetime"]
    said = worst_of(audit_clocks(connection, behind))
    assert {code: one.codes for code, one in said.items()} == {
        "AVAILABILITY_LAG": ("DOSE",), "INTERVAL_CROSSING": ("DOSE",),
    }  # fmt: skip
    for mend in ("unit = 'mg/h'", "available_time = time + interval 40 hours"):
        connection.execute(f"update events set {mend}")
        assert worst_of(audit_clocks(connection, behind))["INTERVAL_CROSSING"].status == "clean"
    assert "AVAILABILITY_LAG" not in worst_of(audit_clocks(connection, behind))
    assert audit_clocks(connection, [])[0].status == "not verified"


def _us(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1)) / timedelta(microseconds=1))
