"""What only the rows of a stage tell of its author's mistakes: told with stage, column, count and a way out, no cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tawt
from tawt.errors import StageError, TawtError
from tawt.pipeline.cases import rows_of, run_case
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.run import RunResult
from tawt.pipeline.telling import lines_of, warnings_of
from tawt.project import Project
from tawt.sources.case_files import Case

NAMES = ("subject_id", "code", "value", "ward")
STAGING = """-- One row is one reading.
select whole(subject_id) as subject_id, code, number(value) as value, ward, _row,
    null::varchar as _reason
from raw.readings
"""
PART = """-- One row is one reading as an event.
select
    r.subject_id, '2020-01-01 08:00:00'::timestamp as time, r.code, r.value as numeric_value,
    null::varchar as text_value, null::varchar as unit, null::varchar as raw_value,
    '2020-01-01 08:00:00'::timestamp as available_time, 'numeric'::varchar as value_status, r._row,
    null::varchar as _reason
from staging.readings as r
"""
RECORDS = [(1, "SECRET a", 5), (1, "b", 6), (2, "SECRET a", 7), (3, "c", 8), (3, "c", 9)]
TIME = "'2020-01-01 08:00:00'::timestamp"


@pytest.fixture
def ingested(make_project, tmp_path: Path):
    """`ingested(part, staging, grain)`: the workspace of a project of one table with these texts."""

    def make(part: str = PART, staging: str = STAGING, grain: tuple[str, ...] = (), **more: str) -> RunResult:
        types = ("int64", "string", "float64", "string")
        staged = [{"name": name, "type": type_} for name, type_ in zip(NAMES, types, strict=True)]
        raw = make_project([{"name": name, "type": "string"} for name in NAMES], staged, staging, part)
        contract = tmp_path / "assets" / "schemas" / "lab" / "staging" / "readings.json"
        contract.write_text(json.dumps({**json.loads(contract.read_text()), "grain": grain}))
        for name, text in more.items():
            path = tmp_path / "assets" / "sql" / "lab" / name / "readings.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        rows = "".join(f"{subject},{code},{value},w,SECRET\n" for subject, code, value in RECORDS)
        (raw / "readings.csv").write_text(",".join(NAMES) + ",Sample Kind\n" + rows)
        return tawt.ingest(raw, "lab", tmp_path / "w", threads=1)

    return make


def _made(done: RunResult) -> Manifest:
    (one,) = (one.manifest for one in done.stages if one.stage == "event_parts.readings")
    assert one is not None
    return one


def _case(what: str, when: str = "r.value > 6") -> str:
    return f"case when {when} then {what} else "


MISTAKES = {
    "an unknown status": (
        ("'numeric'::varchar as", f"{_case(chr(39) + 'numerik' + chr(39))}'numeric' end as"),
        "gives 3 rows a `value_status` that is none", "did you mean `numeric`"),
    "a status that is a cell": (("'numeric'::varchar as", "r.code as"), "gives 5 rows a `value_status`", "known: absent"),
    "a null status": (
        ("'numeric'::varchar as", f"{_case('null')}'numeric' end as"), "`value_status` is null in 3 kept rows", "_reason"),
    "a null code": ((" r.code,", f" {_case('null')}r.code end as code,"), "`code` is null in 3 kept rows", "code:missing"),
    "an empty code": ((" r.code,", f" {_case(chr(39) * 2)}r.code end as code,"), "gives 3 rows a `code` without a", "code:m"),
    "a blank code": ((" r.code,", " '  ' as code,"), "gives 5 rows a `code` without a letter", "quarantine:code:missing"),
    "a null subject": (
        (" r.subject_id,", " nullif(r.subject_id, 3) as subject_id,"), "`subject_id` is null in 2 kept", "subject_id:missing"),
    "an infinite time": (
        (f" {TIME} as time", f" {_case(chr(39) + 'infinity' + chr(39) + '::timestamp')}{TIME} end as time"),
        "gives 3 rows a `time` that is infinite or not of the years 1000 to 2999", "moment"),
    "a time before all": ((f" {TIME} as time", f" {TIME} - interval 2019 years as time"), "gives 5 rows a `time`", "believable"),
    "a time after all": ((f" {TIME} as time", f" {TIME} + interval 7979 years as time"), "gives 5 rows a `time`", "believable"),
    "readable never": (
        (f" {TIME} as available", " 'infinity'::timestamp as available"), "gives 5 rows a `available_time`", "believable"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_row_that_can_be_none_is_told_as_the_authors_mistake(mistake: str, ingested, tmp_path: Path) -> None:
    """A status, a code, a subject or a time that is none is counted under its stage; nothing of it is published. A case
    that gives the same rows is refused in the same words."""
    (old, new), what, hint = MISTAKES[mistake]
    assert old in PART
    with pytest.raises(TawtError) as caught:
        ingested(PART.replace(old, new))
    assert caught.value.where == "event_parts.readings" and what in caught.value.what and hint in caught.value.hint
    assert "SECRET" not in str(caught.value) + caught.value.hint
    assert not (tmp_path / "w" / "event_parts" / "readings").exists()
    rows = [dict(zip(NAMES, row, strict=False)) for row in RECORDS]
    with pytest.raises(type(caught.value)) as tried:
        run_case(
            Case("lab", "event_parts.readings", Path(), {"given": {"raw.readings": rows}, "expect": []}, {}), Project()
        )
    assert (str(tried.value), tried.value.hint) == (str(caught.value), caught.value.hint)


def test_a_row_without_the_time_of_its_data_type_is_no_fact(ingested, tmp_path: Path) -> None:
    """It is quarantined, in an ingest as in a case. A fact is what its author wrote a null for, of a data_type that has no
    times, or what `is_static` says it of; a time that is empty makes none, if it were of all rows."""
    part = PART.replace(f" {TIME} as time", f" case when r.value > 5 then {TIME} end as time").replace(
        f"{TIME} as available_time", "null::timestamp as available_time"
    )

    cells = [dict(zip(NAMES, row, strict=False)) for row in RECORDS]

    def account(text: str) -> tuple[dict[str, int], object]:
        one = _made(ingested(text))
        one.accounts[0].check(one.stage)
        case = Case("lab", "event_parts.readings", Path(), {"given": {"raw.readings": cells}, "expect": []}, {})
        rows, n = rows_of(case, Project()), one.facts.get("without_time")
        assert [row["_reason"] for row in rows].count("quarantine:time:missing") == (n or 0)
        assert all("_at_its_time" not in row for row in rows)
        return {route.reason: route.n_records for route in one.accounts[0].routes}, n

    assert account(part) == ({"time:missing": 1}, 1)
    assert account(part.replace("r.value > 5 then", "r.value < 7 then").replace("r.code,", "'x' as code,")) == (
        {"time:missing": 3},
        3,
    )
    assert account(part.replace("r.code,", "r.value::varchar as code,")) == ({}, None)
    assert any(
        "rows have no time under a condition" in line
        for line in lines_of(_made(ingested(part.replace("r.code,", "r.value::varchar as code,"))))
    )
    rare = PART.replace(f" {TIME} as time", f" nullif({TIME}, case when r.value = 5 then {TIME} end) as time")
    assert account(rare.replace("r.code,", "r.value::varchar as code,")) == ({"time:missing": 1}, 1)
    assert account(PART.replace(f" {TIME} as time", f" nullif({TIME}, {TIME}) as time")) == ({"time:missing": 5}, 5)
    both = rare.replace("r._row,\n    null::varchar as _reason", "r._row").replace("r.code,", "'t' || r.code as code,")
    facts = both.partition("select\n")[2].replace(rare[rare.index("nullif(") : rare.index(" as time,")], "null")
    facts = facts.replace("'t' || r.code as code", "'f' || r.code")
    assert account(f"{both} union all select {facts}") == ({}, 1)  # whose record is in events by its fact
    assert account(part.replace("r.code,", "r.code, r.value = 5 as is_static,")) == ({}, None)
    assert account(part.replace("r.code,", "r.value::varchar as code, false as is_static,")) == ({"time:missing": 1}, 1)
    # beside another part, whose files were not written anew
    (tmp_path / "assets/sql/lab/event_parts/second.sql").write_text(PART.replace("r.code,", "'second' as code,"))
    assert account(part) == ({"time:missing": 1}, 1)


def test_a_time_taken_for_when_it_could_be_read_is_counted(ingested) -> None:
    """Apart where its cell was empty and where it could not be read; many of these are warned of."""
    staging = STAGING.rstrip().replace(
        "as _reason\n", "as _reason, case when value = '5' then 'value:unparseable' end as _faults\n"
    )
    part = PART.replace(f"{TIME} as available_time", f"case when r.value > 6 then {TIME} end as available_time")
    made = _made(ingested(part, staging))
    assert made.facts["at_its_time"] == {"rows": 5, "taken": 2, "unread": 1}
    assert next(lines_of(made)).startswith("available_time taken from time: <11 rows, of which <11 have a cell")
    assert "`key:`" in next(warnings_of(made, 0.19)) and not list(warnings_of(made, 0.2))
    assert not _made(ingested()).facts


def test_a_grain_that_does_not_hold_is_told_with_counts(ingested, tmp_path: Path) -> None:
    """Rows that share what their contract calls their grain are kept, and told with counts, by `check` too; else nothing
    is said."""
    (note,) = [one for one in ingested(grain=("subject_id",)).notes if "share" in one]
    assert [one.detail for one in tawt.check(tmp_path / "w") if one.check == "staging.readings: rows"] == [
        f"note: {note}"
    ]
    assert note.startswith("staging.readings gives 4 of 5 rows that share `subject_id` with another")
    assert "`grain`" in note
    assert not [one for one in ingested(grain=("subject_id", "value")).notes if "share" in one]


def test_a_grain_names_columns(ingested) -> None:
    """A grain of a column that the contract does not have is an error with the nearest name."""
    with pytest.raises(TawtError) as caught:
        ingested(grain=("subjectid",))
    assert "subjectid" in str(caught.value) and "`subject_id`" in str(caught.value) + caught.value.hint


def test_a_dictionary_that_says_a_code_twice_is_told(ingested) -> None:
    """The contract of codes has one row per code: a dictionary with more is told with their number."""
    done = ingested(codes="-- One.\nselect code, ward as description, null::varchar[] as parent_codes, _row, "
                 "null::varchar as _reason from staging.readings\n")  # fmt: skip
    (note,) = (note for note in done.notes if "share" in note)
    assert note.startswith("codes.readings gives 4 of 5 rows that share `code` with another: ")
    assert "drop:listed_before" in note


def test_a_label_that_stands_twice_is_told(ingested) -> None:
    """A subject has one label at one time."""
    done = ingested(labels=f"-- One.\nselect subject_id, {TIME} as prediction_time, true as boolean_value, _row, "
                 "null::varchar as _reason from staging.readings\n")  # fmt: skip
    (note,) = (note for note in done.notes if note.startswith("labels.readings"))
    assert note.startswith("labels.readings is not written: ") and "more than the" in note


def test_a_join_that_multiplies_records_is_said_with_counts(ingested, tmp_path: Path) -> None:
    """Records that give several rows of a code behind a join are warned of with counts, by `check` too; without a join
    they are meant."""
    twice = PART.replace("r.code, r.value", "r.code, unnest([1, 2]) * r.value")
    assert not list(warnings_of(_made(ingested(twice)), 0.1))  # what is unfolded is meant
    own = PART.replace(
        " as r\n", " as r join (select subject_id, value as other from staging.readings) using (subject_id)\n"
    )
    made = _made(ingested(own))
    assert made.facts["multiplied"] == {"records": 4, "rows": 8, "most": 2}
    (said,) = warnings_of(made, 0.1)
    assert "<11 records of staging.readings give <11 rows, up to 2 of a code each" in said
    assert [one for one in tawt.check(tmp_path / "w") if said in one.detail]
    staging = tmp_path / "assets" / "sql" / "lab" / "staging"
    (staging / "wards.sql").write_text(STAGING.replace("raw.readings", "raw.wards"))
    schemas = tmp_path / "assets" / "schemas" / "lab"
    for folder, own in (
        (schemas, {"name": "raw.wards", "paths": ["wards"]}),
        (schemas / "staging", {"name": "staging.wards"}),
    ):
        (folder / "wards.json").write_text(json.dumps({**json.loads((folder / "readings.json").read_text()), **own}))
    (tmp_path / "raw" / "wards.csv").write_text(",".join(NAMES) + "\n1,x,,A\n1,x,,B\n2,x,,A\n3,x,,A\n")
    joined = PART.replace(
        "from staging.readings as r", "from staging.readings as r join staging.wards as w using (subject_id)"
    )
    made = _made(ingested(joined))
    assert made.facts["multiplied"] == {"records": 2, "rows": 4, "most": 2}
    assert "staging.wards" in next(warnings_of(made, 0.1))


def test_a_number_that_is_none_is_counted_as_the_authors(ingested, tmp_path: Path) -> None:
    """Under `numeric` too it becomes unparsed: the row is kept, with a reason of its own and a warning."""
    made = _made(
        ingested(
            PART.replace(
                "r.value as numeric_value",
                f"{_case(chr(39) + 'nan' + chr(39) + '::double')}r.value end as numeric_value",
            )
        )
    )
    assert [(one.column, one.reason, one.n_cells) for one in made.accounts[0].faults] == [
        ("numeric_value", "not_finite", 3)
    ]
    assert "<11 rows have a `numeric_value` that is NaN or infinite" in next(warnings_of(made, 0.1))
    counts = tawt.query(
        "select value_status, count(*) n from events group by all order by all", tmp_path / "w"
    ).to_pylist()
    assert counts == [
        {"value_status": "numeric", "n": 2},
        {"value_status": "unparsed", "n": 2},
    ]  # two of them are alike now


def test_numbers_that_became_texts_are_lost_numbers(ingested) -> None:
    """What the merge finds of them stands among the facts of events."""
    text = "case when r.value > 6 then '1,5' end as text_value"
    part = PART.replace("null::varchar as text_value", text).replace("r.code,", "'x' as code,")
    part = part.replace("r.value as numeric_value", "case when r.value <= 6 then r.value end as numeric_value")
    done = ingested(part.replace("'numeric'::varchar as value_status, ", ""))
    (facts,) = (one.manifest.facts for one in done.stages if one.stage == "events" and one.manifest is not None)
    assert facts["lost_percent"] == {"data types of fewer than 11 subjects": 50}  # 2 of 4; one was a duplicate
    assert facts["numbers"] == facts["lost_numbers"] == {}


def test_the_error_is_a_stage_error(ingested) -> None:
    """It ends a command with 1, as any mistake of a stage."""
    with pytest.raises(StageError) as caught:
        ingested(PART.replace(" r.code,", " '' as code,"))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "stage", "hint"),
    [
        (
            STAGING.replace("ward,", '"sample kind" as ward,'),
            "staging",
            "does not name it: add it to schemas/lab/readings.json",
        ),
        (
            STAGING.replace("ward,", '(raw.readings."Sample Kind") as ward,'),
            "staging",
            "add it to schemas/lab/readings.json",
        ),
        (STAGING.replace("ward,", "wrad as ward,"), "staging", "did you mean `ward`?"),
        (PART.replace("r.value", "r.valu"), "event_parts", "did you mean `value`?"),
        (PART.replace("r.value", "nothing_like_it"), "event_parts", "tawt sql event_parts.readings"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_the_one_that_is_meant(
    text: str, stage: str, hint: str, ingested
) -> None:
    """One that the files have and the contract does not name is to be added there; else the nearest name is told."""
    with pytest.raises(StageError, match=r"does not fit its relations at line \d near `") as caught:
        ingested(**{"staging" if stage == "staging" else "part": text})
    assert caught.value.where == f"{stage}.readings" and hint in caught.value.hint
    assert "SECRET" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("part", "what", "hint"),
    [
        (PART.replace("r.code,", "r.code, 'x' as code,"), "gives `code` 2 times, expected once", "another name"),
        (PART.replace("-- One row is one reading as an event.\n", "with readings as (from staging.readings)\n")
         .replace("from staging.readings as r", "from reading as r"), "reads `reading`", "did you mean `readings`?"),
        (PART.replace("from staging.readings as r", "from staging.readings as r join staging.readings as o using (code)").replace("r._row", "_row"),
         "names a column that several of its relations have at line", "say whose: `readings._row`"),
        (PART.replace(" r.code,", " order as code,"), "does not parse at line", '`order` is a word of SQL'),
        (PART.replace("r.value as", "(1 / (r.value - 5))::integer::utinyint as"), "stopped with the error", "number(...)"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_run_is_told_with_a_way_out(part: str, what: str, hint: str, ingested) -> None:
    """A name given twice, a misspelled step and an error of the engine each end in one line with what to do."""
    with pytest.raises(TawtError) as caught:
        ingested(part)
    assert what in caught.value.what and hint in caught.value.hint and "event_parts.readings" in caught.value.where


def test_records_of_which_most_are_quarantined_are_warned_of(ingested, tmp_path: Path, monkeypatch) -> None:
    """Half of them is a warning of ingest and check; where nothing of a table is left, `check` fails."""
    monkeypatch.setitem(globals(), "RECORDS", RECORDS[:4])

    def told(when: str) -> tuple[list[str], list[tuple[bool, str]]]:
        reason = f"case when {when} then 'quarantine:value:unparseable' end as _reason"
        done = ingested(PART, STAGING.replace("null::varchar as _reason", reason))
        (staged,) = (one.manifest for one in done.stages if one.stage == "staging.readings")
        found = [one for one in tawt.check(tmp_path / "w") if one.check == "staging.readings: rows"]
        return list(warnings_of(staged, 0.1)), [(one.ok, one.detail) for one in found]

    assert told("_row < 2") == ([], [])
    (line,), (finding,) = told("_row <= 2")
    assert "quarantined, most by `value:unparseable`" in line and finding == (True, f"warning: {line}")
    (line,), (finding,) = told("true")
    assert line.startswith("staging.readings: all <11 records of raw.readings") and finding == (False, line)
