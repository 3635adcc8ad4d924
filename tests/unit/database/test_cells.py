"""Three hundred invented cells beside what whoever wrote them meant: no macro takes one for another number or time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.transforms.units import Units

RANDOM = random.Random(9)
UNITS = ["", "mg/dL", "mmol/L", "%", "mL/min/1.73m2", "mmol L-1", "U/L"]
LOW, HIGH = ("<", "<=", "less than ", "LESS THAN OR EQUAL TO "), (">", ">=", "Greater than ")


def _number() -> tuple[str, float]:
    whole, decimals = RANDOM.randrange(10**4), RANDOM.choice(["", ".5", ".25", ".0", "e2", "E-3"])
    text = RANDOM.choice(["", "", "-", "+"]) + str(whole) + decimals
    return text, float(text)


def _result(i: int) -> tuple[str, str, float | None]:
    """A cell, its status and its number."""
    text, value = _number()
    odd, unit = str(RANDOM.randrange(10)), RANDOM.choice(UNITS)
    if i % 5 == 0:
        return f" {text} ", "numeric", value
    if i % 5 in (1, 2):
        signs, status = RANDOM.choice([(LOW, "censored_low"), (HIGH, "censored_high")])
        return RANDOM.choice(signs) + RANDOM.choice(["", " "]) + text + " " * bool(unit) + unit, status, value
    if i % 5 == 3:
        said = RANDOM.choice(
            [f"<{odd} and >1", f">={odd}<10", f"<{odd}mg-10mg", f"<{odd}-10", f"> {odd} to 9", f"<{odd} mg - 12 mg"]
        )
        return said, "unparsed", None
    return (
        RANDOM.choice([f"{odd}-10", f"<1:{odd}", f"{odd} mg", f"{odd}+", "NEG", f"> {odd},000", f"{odd}/9"]),
        "category",
        None,
    )


def _time() -> tuple[str, datetime | None]:
    seen = datetime(1900, 1, 1) + timedelta(seconds=RANDOM.randrange(150 * 366 * 86400))
    forms = {"%Y-%m-%d %H:%M:%S": "S", "%Y-%m-%dT%H:%M": "M", "%Y/%m/%d": "d", "%Y-%m-%d %I:%M:%S %p": "S"}
    form = RANDOM.choice([*forms])
    known = {"S": seen, "M": seen.replace(second=0), "d": datetime(seen.year, seen.month, seen.day)}[forms[form]]
    behind = RANDOM.choice(["", "", " ", " x", "EST", ":", " 7", "+1"])
    return seen.strftime(form) + behind, known if not behind.strip() else None


def _whole() -> tuple[str, int | None]:
    n = RANDOM.randrange(10**7)
    good = RANDOM.choice(["", "+", "-", " "])
    text, bad = good + str(n), RANDOM.choice(["", "", "", ".0", "e1", "_0", ",0", "x", " 1"])
    return text + bad, int(text) if not bad else None


def test_each_cell_is_what_was_meant() -> None:
    """Results, times and whole numbers, odd ones among them."""
    results, times, wholes = (
        [_result(i) for i in range(150)],
        [_time() for _ in range(75)],
        [_whole() for _ in range(75)],
    )
    with connect(Limits.of(1, "200MB"), []) as connection:
        ask = lambda text, cells: connection.execute(text, [cells]).fetchall()  # noqa: E731
        judged = ask(
            "with s as (select result_text(unnest($1)) as said), j as (select *, result_status(said, null::double, null) as v from s) "
            "select v, result_number(v, said, null) from j", [cell for cell, *_ in results],
        )  # fmt: skip
        assert [(cell, *got) for (cell, *_), got in zip(results, judged, strict=True)] == results
        read = ask("select moment(unnest($1))", [cell for cell, _ in times])
        assert [(cell, got) for (cell, _), (got,) in zip(times, read, strict=True)] == times
        read = ask("select whole(unnest($1))", [cell for cell, _ in wholes])
        assert [(cell, got) for (cell, _), (got,) in zip(wholes, read, strict=True)] == wholes


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("mU/L", "MU/L", False), ("g/L", "G/L", False), ("MBq", "mBq", False), ("mM", "mm", False), ("pmol/L", "Pmol/L", False),
     ("mmol/l", "mmol/L", True), ("MMOL/L", "mmol/L", True), ("MG/DL", "mg/dL", True), ("G/DL", "g/dL", True), ("NG/ML", "ng/mL", True)],
)  # fmt: skip
def test_a_capital_that_makes_another_unit_is_none_of_spelling(one: str, other: str, same: bool) -> None:
    """In the engine and in the seeds: mega is not milli; a unit in capitals is what it is in small letters."""
    with connect(Limits.of(1, "200MB"), []) as connection:
        assert connection.execute("select same_unit($1, $2)", [one, other]).fetchall() == [(same,)]
    units = Units({one.lower(): "x"}, {}, {}, {})
    assert ({units.spelled(one), units.spelled(other)} == {"x"}) is same
