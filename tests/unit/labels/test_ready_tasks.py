"""Every ready task, held to a plain look at the events of an invented hospital."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tawt.labels.derive import derive
from tawt.labels.ready import ready_tasks
from tawt.labels.task import read_task
from tawt.project import Project
from tests.unit.conftest import Hospital, read_events
from tests.unit.labels.engine import connected

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POTASSIUM = "LAB//RESULT//50971"


class Record:
    """What one subject's events say, as sorted times."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        """Sort what has a time into what tasks ask for."""

        def at(*begins: str) -> list[datetime]:
            return sorted({row["time"] for row in rows if row["time"] and row["code"].startswith(begins)})

        self.all = at("")
        self.deaths = at("MEDS_DEATH", "HOSPITAL_DISCHARGE//DIED")
        self.stays = {kind: (at(f"{kind}_ADMISSION"), at(f"{kind}_DISCHARGE")) for kind in ("HOSPITAL", "ICU")}
        self.potassium = sorted(
            (row["time"], row["numeric_value"]) for row in rows
            if row["code"] == POTASSIUM and row["time"] and row["numeric_value"] is not None
        )  # fmt: skip

    def going_on(self, hours: float, kind: str = "HOSPITAL") -> Iterator[tuple[datetime, list[datetime]]]:
        """Yield when is asked in each stay that goes on then, and all ends of stays and lives behind it."""
        began, ended = self.stays[kind]
        ends = sorted({*ended, *self.deaths})
        for start in began:
            then = start + hours * HOUR
            dead = any(time <= then for time in self.deaths)
            if not dead and not any(start < time <= then for time in (*began, *ends)):
                yield then, [time for time in ends if time > then]


def mortality(hours: float, kind: str = "HOSPITAL") -> Callable[[Record], dict[datetime, Any]]:
    """Whether the end of the stay is a death."""
    return lambda own: {then: ends[0] in own.deaths for then, ends in own.going_on(hours, kind) if ends}


def readmission(own: Record) -> dict[datetime, Any]:
    """Whether another stay begins within 30 days of a discharge alive."""
    began, ended = own.stays["HOSPITAL"]
    alive = [time for time in ended if not any(death <= time for death in own.deaths)]
    return {time: any(time < start <= time + 30 * DAY for start in began) for time in alive}


def length(own: Record) -> dict[datetime, Any]:
    """Whether the end of the stay was seen, and after how many hours, or the record ends."""
    return {
        then: (bool(ends), ((ends[0] if ends else own.all[-1]) - then) / HOUR)
        for then, ends in own.going_on(24) if then <= own.all[-1]
    }  # fmt: skip


def within_a_week(own: Record) -> dict[datetime, Any]:
    """Whether the stay ends within 7 days of its beginning."""
    return {then: any(time <= then + 6 * DAY for time in ends) for then, ends in own.going_on(24)}


def next_potassium(own: Record) -> dict[datetime, Any]:
    """In which range the first potassium of the next day is."""
    found = {}
    for then, _ in own.going_on(24):
        if behind := [value for time, value in own.potassium if then < time <= then + DAY]:
            found[then] = ("<3.5", "3.5 to 4.5", "4.5 to 5", ">=5")[sum(behind[0] >= edge for edge in (3.5, 4.5, 5.0))]
    return found


def new_hyperkalemia(own: Record) -> dict[datetime, Any]:
    """Whether one who never had more than 5.5 gets it within two days."""
    high = [time for time, value in own.potassium if value > 5.5]
    asked = [then for then, _ in own.going_on(24) if not any(time <= then for time in high)]
    return {then: any(then < time <= then + 2 * DAY for time in high) for then in asked}


EXPECTED = {
    "in_hospital_mortality_24h": (mortality(24), ("boolean_value",)),
    "in_hospital_mortality_48h": (mortality(48), ("boolean_value",)),
    "icu_mortality_24h": (mortality(24, "ICU"), ("boolean_value",)),
    "readmission_30d": (readmission, ("boolean_value",)),
    "length_of_stay_24h": (length, ("boolean_value", "duration_hours")),
    "discharge_within_7d": (within_a_week, ("boolean_value",)),
    "next_potassium": (next_potassium, ("categorical_value",)),
    "new_hyperkalemia_48h": (new_hyperkalemia, ("boolean_value",)),
}


def with_more(hospital: Hospital) -> pa.Table:
    """The events of the hospital, in which some stays in the ICU end in death, and some people come back."""
    events = read_events(hospital.workspace).select(["subject_id", "time", "code", "numeric_value", "unit"])
    out = events.filter(pc.starts_with(events["code"], "ICU_DISCHARGE")).to_pylist()[::3]
    dead = [{**row, "time": row["time"] - HOUR, "code": "MEDS_DEATH"} for row in out]
    left = events.filter(pc.starts_with(events["code"], "HOSPITAL_DISCHARGE")).to_pylist()
    back = [
        {**row, "time": row["time"] + days * DAY, "code": "HOSPITAL_ADMISSION//AGAIN"}
        for days, some in ((20, left[1::4]), (45, left[3::4])) for row in some
    ]  # fmt: skip
    return pa.concat_tables([events, pa.Table.from_pylist(dead + back, events.schema)])


def test_each_ready_task_says_what_a_plain_look_at_the_events_says(hospital: Hospital) -> None:
    """Who is asked, when, and what came; of each task there are some of each answer."""
    events, rows = with_more(hospital), defaultdict(list)
    for row in events.to_pylist():
        rows[row["subject_id"]].append(row)
    records = {subject: Record(own) for subject, own in rows.items()}
    engine, own = connected(), Project()
    engine.register("of", events)
    engine.execute("insert into events by name select * from of")
    ready, codes = ready_tasks(own, "mimic_iv"), own.find("sql/mimic_iv/tasks/predicates.yaml")
    assert {*ready} == {*EXPECTED}
    for task, (plain, columns) in EXPECTED.items():
        made = derive(engine, read_task(ready[task], codes)).labels.to_pylist()
        told = {(row["subject_id"], row["prediction_time"]): tuple(row[name] for name in columns) for row in made}
        expected = {
            (subject, then): answer if isinstance(answer, tuple) else (answer,)
            for subject, record in records.items() for then, answer in plain(record).items()
        }  # fmt: skip
        assert told.keys() == expected.keys() and len(told) == len(made), task
        wrong = [key for key, answer in expected.items() if told[key] != pytest.approx(answer)]
        assert not wrong and len({*expected.values()}) > 1, task
