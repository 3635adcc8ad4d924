"""What drafts take tables of known shapes for: invented ones, as MIMIC-III, eICU, OMOP and a clinic write theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tawt.pipeline.cases import rows_of
from tawt.project import Project
from tawt.sources.case_files import Case
from tawt.sources.draft import contract_of
from tawt.sources.draft_files import files_of, pipeline
from tawt.sources.drafted import Drafted
from tawt.sources.look import Look, look_below

N = 40


def _raw(tmp_path: Path, tables: dict[str, tuple[str, list[str]]], encoding: str = "utf-8") -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, (header, rows) in tables.items():
        (raw / f"{name}.csv").parent.mkdir(exist_ok=True)
        (raw / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return raw


def _drafted(tmp_path: Path, tables: dict[str, tuple[str, list[str]]], subject: str | None = None) -> Look:
    return look_below(_raw(tmp_path, tables), 1000, subject)


def _by_name(drafted: Look) -> dict[str, Drafted]:
    return {table.name: table for table in drafted.tables}


def _numbered(header: str, rows: list[str]) -> tuple[str, list[str]]:
    return f"ROW_ID,{header}", [f"{i},{row}" for i, row in enumerate(rows, start=1)]


def _events(ids: list[int]) -> list[str]:
    return [f"{1 + n % 20},{ids[n % len(ids)]},2150-03-02 08:{n:02}:00,{n}.5" for n in range(N)]


@pytest.fixture
def mimic() -> dict[str, tuple[str, list[str]]]:
    """Two tables of numbers whose codes are as like as their dictionaries, in one folder, with a number of each row."""
    chart, labs = [220045, 220179, 220210, 223761, 226253], [50912, 50931, 50971, 50983, 51006]
    return {
        "CHARTEVENTS": _numbered("SUBJECT_ID,ITEMID,CHARTTIME,VALUENUM", _events(chart)),
        "LABEVENTS": _numbered("SUBJECT_ID,ITEMID,CHARTTIME,VALUENUM", _events(labs)),
        "OUTPUTEVENTS": _numbered("SUBJECT_ID,ITEMID,CHARTTIME,VALUE", _events([226559, 226560, 220045])),
        "D_ITEMS": _numbered("ITEMID,LABEL", [f"{i},item {i}" for i in [*chart, 226559, 226560]]),
        "D_LABITEMS": _numbered("ITEMID,LABEL", [f"{i},lab {i}" for i in labs]),
        "DIAGNOSES": _numbered("SUBJECT_ID,ICD9_CODE,CHARTTIME", [row.replace(",2150", "89,2150") for row in _events([38, 4038, 8, 9, 7])]),
        "D_ICD": _numbered("ICD9_CODE,LABEL", [f"{z}{i}89,icd {z}{i}" for i in (38, 4038, 8, 9, 7) for z in ("", "0")]),
        "PATIENTS": _numbered(
            "SUBJECT_ID,GENDER,DOB,DOD,DOD_HOSP,DOD_SSN,EXPIRE_FLAG",
            [f"{n},F,2090-01-01,{dod},{dod if n % 2 else ''},{dod},{int(n > 15)}"
             for n in range(1, 21) for dod in ["2160-01-01" if n > 15 else ""]],
        ),
    }  # fmt: skip


def test_dictionaries_are_known_by_their_codes(tmp_path: Path, mimic: dict[str, tuple[str, list[str]]]) -> None:
    """Each table is named by the dictionary that knows its codes, behind numbers of rows; two tables may share one."""
    drafted = _drafted(tmp_path, mimic)
    tables = _by_name(drafted)
    assert [table.name for table in tables["d_items"].names] == ["chartevents", "outputevents"]
    assert [table.name for table in tables["d_labitems"].names] == ["labevents"]
    assert tables["d_items"].guess.codes == ("ITEMID",)
    assert [table.name for table in tables["d_icd"].names] == ["diagnoses"]  # whose codes differ by zeros in front
    assert (tables["chartevents"].prefix, tables["outputevents"].prefix, tables["labevents"].prefix) == (
        "ITEMS", "ITEMS", "LABEVENTS",
    )  # fmt: skip
    assert any("names the codes of chartevents, outputevents" in note for note in drafted.notes())


def test_no_dictionary_names_what_it_does_not_know(tmp_path: Path, mimic: dict[str, tuple[str, list[str]]]) -> None:
    """A dictionary of the same column's name and other numbers names nothing, nor does one of two that know all alike."""
    del mimic["D_ITEMS"], mimic["D_ICD"]
    mimic["D_ONE"] = mimic["D_OTHER"] = mimic.pop("D_LABITEMS")
    drafted = _drafted(tmp_path, mimic)
    assert not any(table.names for table in drafted.tables)
    notes = drafted.notes()
    assert any("UNDECIDED: `d_one` and `d_other` both know its codes" in note for note in notes)
    assert any("left out: has no subject, and another table knows the same codes" in note for note in notes)


def test_codes_are_found_where_a_dictionary_names_them(tmp_path: Path) -> None:
    """A column of an unknown name is the code where a dictionary knows its cells."""
    ids = [4711, 4712, 4713, 4714, 4715]
    tables = _by_name(_drafted(tmp_path, {
        "werte": ("patnr,lfdnr,kanal,zeit,ergebnis", [f"{n % 9},{n},{ids[n % 5]},2024-03-02 08:{n:02},{n}.5" for n in range(N)]),
        "kanaele": ("kanal,klartext", [f"{i},Kanal {i}" for i in ids]),
    }))  # fmt: skip
    assert tables["werte"].guess.codes == ("kanal",) and tables["kanaele"].guess.label == "klartext"


def test_of_persons_only_what_was_always_so_is_static(tmp_path: Path, mimic: dict[str, tuple[str, list[str]]]) -> None:
    """A death, of several that tell it, is an event and no key; totals, states and outcomes are left out, and said."""
    header, rows = mimic["PATIENTS"]
    mimic["PATIENTS"] = (f"{header},EXPENSES,MARITAL", [f"{row},{n}.5,{'MS'[n % 2]}" for n, row in enumerate(rows)])
    drafted = _drafted(tmp_path, mimic)
    guess = _by_name(drafted)["patients"].guess
    assert (guess.time, guess.death, guess.birth) == (None, "DOD", ("DOB",))
    assert guess.traits == ("GENDER",) and not guess.measured and not guess.events
    notes = "\n".join(drafted.notes())
    assert "nothing says since when these are so, and they are not read: `EXPENSES`, `MARITAL`" in notes
    assert "may be of later, or tell the outcome, and is not read: `EXPIRE_FLAG`" in notes


def test_dates_of_persons_are_events_and_move_no_sex(tmp_path: Path) -> None:
    """Where persons have dates, sex stays static for all, and what nobody says was always so is told at the last of a person's
    dates, also of one who lacks one of them."""
    rows = [f"{n},{'FM'[n % 2]},2019-03-{1 + n % 20:02},{'2020-02-02' if n % 2 else ''},{n % 5}" for n in range(N)]
    (table,) = _drafted(tmp_path, {"people": ("pid,sex,registered_on,transplanted,ckd_stage", rows)}).tables
    case = yaml.safe_load(files_of("c", [table], rows_of)["tests/sql/c.yaml"])["event_parts.people"]
    given = case["given"]["raw.people"][0]
    days = {
        row["code"].rpartition("//")[2]: row["time"] and row["time"][:10]
        for row in case["expect"]
        if not row["_reason"]
    }
    assert days.pop("SEX") is None
    assert days == {
        "REGISTERED_ON": given["registered_on"],
        "TRANSPLANTED": given["transplanted"],
        "CKD_STAGE": given["transplanted"],
    }
    assert "greatest(registered_on, transplanted)" in files_of("c", [table], rows_of)[
        "sql/c/event_parts/people.sql"
    ] and "told at the last of `registered_on`, `transplanted`" in "\n".join(table.guess.notes)


def test_a_time_that_is_mostly_empty_is_no_key(tmp_path: Path) -> None:
    """Where one of two times is seldom there the other is taken; where there is none, the table is left out and said."""
    rows = [f"{n % 9},BP,{n},{'2024-03-02' if n % 4 == 0 else ''},2024-03-02 08:{n:02}" for n in range(N)]
    header = "patient_id,test,result,charttime,stored"
    tables = {"a": (header, rows), "b": ("patient_id,test,result,charttime", [row.rpartition(",")[0] for row in rows])}
    drafted = _drafted(tmp_path, tables)
    found = _by_name(drafted)
    assert found["a"].guess.time == "stored" and found["b"].guess.kind == "other"
    assert any("a: `charttime` is empty in 75% of the records, and is not read" in note for note in drafted.notes())
    left_out = "b: left out: no time says when its records were known: `charttime` is empty in 75% of the records"
    assert any(left_out in note for note in drafted.notes()) and not any("UNDECIDED" in n for n in drafted.notes())


@pytest.fixture
def units() -> dict[str, tuple[str, list[str]]]:
    """Tables whose records name a stay in minutes since it began; one table says which person each stay is of."""
    stays = [f"{141000 + n},00{n % 7}-{n % 7},{'MF'[n % 2]},{'> 89' if n % 9 == 0 else 60 + n % 9},{2014 + n % 2},Alive"
             for n in range(20)]  # fmt: skip
    labs = [f"{n},{141000 + n % 20},{n},GLU,{n}.5" for n in range(N)]
    drugs = [f"{n},{141000 + n % 20},{n},Heparin,{'Yes' if n % 9 == 0 else 'No'}" for n in range(N)]
    return {
        "patient": ("patientunitstayid,uniquepid,gender,age,hospitaldischargeyear,unitdischargestatus", stays),
        "lab": ("labid,patientunitstayid,labresultoffset,labname,labresult", labs),
        "medication": ("medicationid,patientunitstayid,drugstartoffset,drugname,drugordercancelled", drugs),
    }


@pytest.mark.parametrize("subject", [None, "uniquepid"])
def test_the_subject_is_the_person(
    tmp_path: Path, units: dict[str, tuple[str, list[str]]], subject: str | None
) -> None:
    """Records that name only a stay are joined to the table of the person, and stays stand apart; it is said."""
    drafted = _drafted(tmp_path, units, subject)
    tables = _by_name(drafted)
    assert tables["patient"].guess.subject == "uniquepid"
    assert tables["lab"].owner is tables["patient"] and tables["lab"].guess.stay == "patientunitstayid"
    assert set(tables["patient"].guess.measured + tables["patient"].guess.traits) == {"age", "gender"}
    notes = "\n".join(drafted.notes())
    assert "lab, medication name only `patientunitstayid`, and their records are joined to patient" in notes
    assert "UNDECIDED: nothing says how long after one another the stays of a subject were" in notes
    assert "some cells are bounds, as `> 89`, and are left out as unparseable: `age`" in notes
    assert "records where `drugordercancelled` says yes are dropped" in notes
    cases = files_of("clinic", drafted.tables, rows_of)["tests/sql/clinic.yaml"] if subject is None else ""
    made = ('"LAB//a word", numeric_value: 1.5', "drop:marked_error", "2000-01-01 01:31:00", "PATIENT//AGE")
    assert subject is not None or all(one in cases for one in made)


def test_a_stay_as_the_subject_is_told_loudly(tmp_path: Path, units: dict[str, tuple[str, list[str]]]) -> None:
    """Where the user wants stays, that persons lie in several splits is the first thing to look at."""
    drafted = _drafted(tmp_path, units, subject="patientunitstayid")
    assert not any(table.owner for table in drafted.tables)
    assert drafted.notes()[0].startswith("WRONG FOR SPLITS: the subject is `patientunitstayid`, a stay")


def test_records_that_lead_to_no_subject_are_told_loudly(
    tmp_path: Path, units: dict[str, tuple[str, list[str]]]
) -> None:
    """Where no table says whose the stays are, the tables that name them are left out, the first thing to look at; so is one
    of outcomes alone, with its columns."""
    del units["patient"]
    units["people"] = ("uniquepid,gender", [f"P-{n},F" for n in range(9)])
    units["outcomes"] = ("uniquepid,SOFA,died", [f"P-{n},{n},{n % 2}" for n in range(9)])
    units["clinic"] = ("mrn,sex", [f"{n}77,F" for n in range(9)])
    drafted = _drafted(tmp_path, units, subject="uniquepid")
    notes = drafted.notes()
    assert notes[0].startswith("LEFT OUT: lab, medication have neither `uniquepid` nor the number of a stay")
    assert {table.name for table in drafted.tables if table.has_events} == {"people", "clinic"}
    assert "UNDECIDED: `mrn` of clinic is taken for the subject, and shares no cell with `uniquepid`" in notes
    assert "outcomes: nothing says since when these are so, and they are not read: `SOFA`" in notes


@pytest.mark.parametrize(("name", "known"), [("Q-{}-B", True), ("{}", True), ("Z{}", False)])
def test_names_of_files_are_ids_like_others(tmp_path: Path, name: str, known: bool) -> None:
    """Where each file of a folder is of one subject, the column that has their names elsewhere is the subject's; what only
    counts records is not; where none has them, the tables that are left out are told first, with their records."""
    files = {
        f"pumps/{name.format(1000 + n)}": ("zeit,groesse,wert", [f"2024-03-02 08:0{i},UF,{n}{i}" for i in range(4)])
        for n in range(12)
    }
    ids = [("Q-{}-B" if name == "Z{}" else name).format(1000 + n) for n in range(20)]
    tables = {
        "personen": ("pat_code,geschlecht", [f"{one},F" for one in ids]),
        "labor": ("zeile,pat_code,entnahme,test,wert", [f"{n},{ids[n % 20]},2024-03-02 08:30,K,{n}.5" for n in range(2000)]),
    }  # fmt: skip
    drafted = _drafted(tmp_path, {**files, **tables})
    by_name = _by_name(drafted)
    if known:
        assert {t: one.guess.subject for t, one in by_name.items()} == {
            "pumps": "_member", "labor": "pat_code", "personen": "pat_code",
        }  # fmt: skip
        assert "the subject is `pat_code`: the names of the files of pumps are ids of it" in drafted.notes()
    else:
        assert by_name["pumps"].guess.subject == "_member"
        assert drafted.notes()[0].startswith("LEFT OUT: labor, with 2,000 records: no column is known to say")


def test_what_is_said_of_times_holds_for_the_draft(tmp_path: Path) -> None:
    """A number that runs is no time; what is said of days is said of those that are read; few empty cells are not none; and
    records end with the last death."""
    drugs = [f"{n % 9},{1 + n:07},C0{n % 3},2.3.20,{4 + n % 9}.3.20,{n}" for n in range(400)]
    people = [f"{n},1.2.3{n},F,{'5.6.21' if n < 3 else ''}" for n in range(9)]
    labs = [f"{n % 9},K,{'' if n == 7 else '2.3.20 08:30'},{n}" for n in range(400)]
    drafted = _drafted(tmp_path, {
        "drugs": ("patient,order_no,atc,beginn,ende,dose", drugs), "people": ("patient,birth,sex,death_date", people),
        "labs": ("patient,test,taken,result", labs),
    })  # fmt: skip
    notes = "\n".join(drafted.notes())
    assert "form that is not known" not in notes and "of the day: `beginn` of drugs; `death_date` of people\n" in notes
    assert "labs: `taken` is empty in less than 1% of the records" in notes
    assert "hundred years up to 2021-06-30" in notes


def test_records_several_tables_away_from_their_subject_are_joined(tmp_path: Path) -> None:
    """A result names an order and that a stay, whose person a table of ids alone has: each step has one record of an id; what
    counts from a stay that far away is left out. An order lends its times."""
    orders = [f"{n:07},E{n % 20},2024-03-02 0{n % 9}:{n % 60:02},2024-03-03 0{n % 9}:{n % 60:02}" for n in range(N)]
    drafted = _drafted(tmp_path, {
        "results": ("order_no,analyte,result", [f"{n % N:07},Na,{n}" for n in range(2 * N)]),
        "curves": ("order_no,minutes,test,value", [f"{n % N:07},{n},BP,{n}.5" for n in range(2 * N)]),
        "orders": ("order_no,encounter_id,collected,resulted", orders),
        "links": ("encounter_id,patient", [f"E{n},P{n % 7}" for n in range(20)]),
        "people": ("patient,sex", [f"P{n},F" for n in range(7)]),
    })  # fmt: skip
    tables, notes = _by_name(drafted), "\n".join(drafted.notes())
    assert {one: table.guess.kind for one, table in tables.items()} == {
        "results": "results", "curves": "other", "orders": "wide", "links": "link", "people": "wide",
    }  # fmt: skip
    assert "their records are joined to orders, and by it to links, which says whose they are" in notes
    assert "curves: left out: its times count from a stay, to which only orders leads" in notes
    files = files_of("clinic", drafted.tables, rows_of)
    cases = yaml.safe_load(files["tests/sql/clinic.yaml"])["event_parts.results"]
    (whole,) = cases["expect"]
    assert whole["subject_id"] == 1 and whole["time"] < whole["available_time"] and whole["_reason"] is None
    assert {*cases["given"]} == {"raw.results", "raw.orders", "raw.links"}


def test_tables_that_repeat_others_are_off_and_empty_ones_are_one_line(tmp_path: Path) -> None:
    """Eras, which are made from occurrences, are drafted and off; tables without a record are told together."""
    rows = [f"{n % 9},{4000 + n % 5},2024-03-0{1 + n % 5},2024-03-09" for n in range(N)]
    tables: dict[str, tuple[str, list[str]]] = {
        "condition_occurrence": ("person_id,condition_concept_id,condition_start_date,condition_end_date", rows),
        "condition_era": ("person_id,condition_concept_id,condition_era_start_date,condition_era_end_date", rows),
        "dose_era": ("person_id,drug_concept_id,dose_era_start_date", []),
        "note": ("note_id,person_id,note_text", []),
    }
    drafted = _drafted(tmp_path, tables)
    assert [table.name for table in drafted.tables if table.off is not None] == ["condition_era"]
    assert "off: [event_parts.condition_era]  # guessed: derived from" in pipeline("clinic", drafted.tables)
    assert "not read, a header and no record: dose_era, note" in drafted.notes()


def test_missing_ids_are_marked_and_results_told(tmp_path: Path) -> None:
    """`NA` as an id is no subject; as a result it is read as missing and told; as a code it may be sodium, and stays.

    Where times have a zone, the days that have none are named."""
    rows = [f"{'NA' if n % 9 == 0 else f'P-{n % 7}'},{('NA', 'K')[n % 2]},2024-03-02T08:{n:02}:00Z,{('NA', 'low')[n % 3 == 0]}"
            for n in range(N)]  # fmt: skip
    deaths = [f"P-{n},2024-03-09" for n in range(7)]
    drafted = _drafted(tmp_path, {"labs": ("patient,test,taken,result", rows), "deaths": ("patient,died_on", deaths)})
    contract = contract_of(_by_name(drafted)["labs"])
    assert "patient: {type: subject, as: subject_id, marks: [NA]}" in contract
    assert "result: {type: string, marks: [NA]}" in contract and "test: string" in contract
    notes = "\n".join(drafted.notes())
    assert "`patient` is missing in some records: they are quarantined" in notes
    assert "`NA` in `result` is read as missing" in notes
    assert "UNDECIDED: times have a zone" in notes and "days without one may end hours too early: `died_on`" in notes


def test_a_clinic_that_writes_commas_is_read(tmp_path: Path) -> None:
    """Semicolons, Latin-1, days first, decimals behind commas, cases in the place of persons: its stages say what they should."""
    cases = [f"{500 + n};{n % 17};0{1 + n % 9}.03.2024 08:15;1{n % 9}.03.2024 18:30;Müller" for n in range(20)]
    labs = [f"{500 + n % 20};{1 + n % 3};0{1 + n % 9}.03.2024 09:{n:02};{('5,4', '<0,1', 'negativ', '140')[n % 4]};mmol/l;"
            f"{'JN'[n % 5 > 0]}" for n in range(N)]  # fmt: skip
    vitals = [f"{500 + n % 20};0{1 + n % 9}.03.2024 09:{n:02};{36 + n % 3},{n % 9};{60 + n}" for n in range(N)]
    raw = _raw(tmp_path, {
        "Fälle": ("Fallnr;PatNr;Aufnahme;Entlassung;Nachname", cases),
        "Labor": ("Fallnr;Parameternr;Abnahme;Ergebnis;Einheit;storniert", labs),
        "Parameter": ("Parameternr;Bezeichnung", ["1;Kalium", "2;Natrium", "3;Kreatinin"]),
        "Vitalwerte": ("Fallnr;Messzeit;Temperatur;Puls", vitals),
    }, "latin-1")  # fmt: skip
    drafted = look_below(raw, 1000)
    tables = _by_name(drafted)
    assert {name: table.owner is not None for name, table in tables.items()} == {
        "falle": False, "labor": True, "parameter": False, "vitalwerte": True,
    }  # fmt: skip
    assert tables["labor"].guess.codes == ("Parameternr",) and "storniert" in tables["labor"].guess.marked
    assert tables["labor"].signs == {"Ergebnis": (",", "")} and tables["vitalwerte"].signs == {"Temperatur": (",", "")}
    cases = files_of("clinic", drafted.tables, rows_of)["tests/sql/clinic.yaml"]
    assert cases.count("numeric_value: 1.5") == 4 and "unit: mg" in cases and "drop:marked_error" in cases


def test_drugs_are_told_apart_by_what_came_of_them(tmp_path: Path) -> None:
    """What says that a drug was not given is read beside it; a code of 0 gives way to the name; a number that means two things
    has its type; what else has few words is named."""
    drafted = _drafted(tmp_path, {
        "mar": ("pid,medication,charttime,event_txt,ward", [
            f"{n % 9},Heparin,2024-03-02 08:{n:02},{('Administered', 'Not Given')[n % 2]},{'AB'[n % 2]}" for n in range(N)]),
        "prescriptions": ("pid,starttime,drug,ndc", [
            f"{n % 9},2024-03-02 08:{n:02},{('Saline', 'Aspirin')[n % 2]},{n % 2 and 4711}" for n in range(N)]),
        "drgs": ("pid,coded,drg_type,drg_code,description", [
            f"{n % 9},2024-03-02 08:{n:02},{'AH'[n % 2]},{163 + n % 3},of {n % 6}" for n in range(N)]),
    })  # fmt: skip
    tables = _by_name(drafted)
    assert tables["mar"].guess.text == "event_txt" and tables["drgs"].guess.codes == ("drg_type", "drg_code")
    assert (tables["prescriptions"].guess.codes, tables["prescriptions"].guess.instead) == (("ndc",), "drug")
    notes = "\n".join(drafted.notes())
    assert "mar: has few different words beside `medication`, and is not read: `ward`" in notes
    assert "prescriptions: `ndc` is 0 or empty in 50% of the records: there `drug` is the code" in notes
    files = files_of("c", [tables["prescriptions"]], rows_of)
    (case,) = yaml.safe_load(files["tests/sql/c.yaml"]).values()
    case["given"]["raw.prescriptions"] = [
        {**case["given"]["raw.prescriptions"][0], "ndc": ndc} for ndc in (None, "0", "0042")
    ]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    asked = {"given": case["given"], "expect": []}
    rows = rows_of(Case("c", "event_parts.prescriptions", Path(), asked, {}), Project.at(tmp_path))
    assert [row["code"] for row in rows] == [f"PRESCRIPTIONS//{code}" for code in ("a word", "a word", "0042")]


def test_what_is_not_understood_is_told(tmp_path: Path) -> None:
    """Numbers that stand for nothing, units in cells, a second time that is not always later, and times in unknown forms are
    named; a stay that is listed twice still leads to its person, and so does a second number of a person."""
    at = [f"2024-03-02 {8 + n // 20:02}:{n % 20:02}:00" for n in range(N)]
    visits = [f"{300 + 7 * n},{n},2024-03-01 07:00,2024-03-09 08:15" for n in range(N)]
    drafted = _drafted(tmp_path, {
        "people": ("pid,mrn,sex,Geb.datum", [f"{n},M{n},F,1950-01-{1 + n % 28:02}" for n in range(N)]),
        "vitals": ("pid,taken,hr,spo2", [f"{n % 9},{at[n]},{-9 if n % 7 == 0 else 60 + n},{90 + n % 9} %" for n in range(N)]),
        "labs": ("pid,test,taken,result,second", [
            f"{n % 9},K,{at[n]},{n}.5,{at[n - 1] if n % 4 == 0 else '2024-03-02 20:00:00'}" for n in range(N)]),
        "chem": ("pid,collected,verified_on,k", [f"{n % 9},{at[n]},44299.{n:02},4.5" for n in range(N)]),
        "digits": ("pid,collected,reported,k", [f"{n % 9},{at[n]},2024030212{n:02},4.5" for n in range(N)]),
        "compact": ("pid,test,taken,result", [f"{n % 9},K,17093688{n:02},{n}.5" for n in range(N)]),
        "visits": ("visit_id,pid,admitted,discharged", [*visits, *visits[:9]]),
        "problems": ("visit_id,icd,noted", [f"{300 + 7 * n},I{n % 9},{at[n]}" for n in range(N)]),
        "calls": ("mrn,reason,taken", [f"M{n},{'ab'[n % 2]},{at[n]}" for n in range(N)]),
    })  # fmt: skip
    tables, notes = _by_name(drafted), "\n".join(drafted.notes())
    assert "vitals: UNDECIDED: `-9` in `hr` may mean missing" in notes
    assert "most cells are a number with a unit, as `5 %`, and are read as texts: `spo2`" in notes
    assert "labs: UNDECIDED: `second` may say when a record could be read" in notes
    assert "compact: left out: no time says when its records were known: `taken` (as `9999999999`) may be one" in notes
    assert "chem: UNDECIDED: `verified_on` (as `99999.99`) may be a time in a form that is not known" in notes
    assert "it would tell when a record could be read, which is taken to be at `collected` already" in notes
    assert tables["chem"].guess.measured == ("k",) and tables["digits"].guess.ready == "reported"
    assert 'reported: {type: timestamp, format: "%Y%m%d%H%M"}' in contract_of(tables["digits"])
    assert (tables["problems"].owner, tables["calls"].owner) == (tables["visits"], tables["people"])
    assert tables["people"].guess.birth == ("Geb.datum",) and "LEFT OUT" not in notes


LATE = [
    "DECEASED",
    "DISPOSITION",
    "TODESURSACHE",
    "FINAL_DIAGNOSIS",
    "PRIMARY_DX",
    "DRG",
    "FALLPAUSCHALE",
    "VERWEILDAUER",
    "ICU_DAYS",
    "MAX_LACTATE",
    "SEPSIS",
    "AKI_STAGE",
    "WIEDERAUFNAHME",
    "ICU_ADMISSION",
    "DRG_GEWICHT",
    "N_LABS",
    "initial_lactate",
    "icd_code",
    "altered_mental_status",
    "durée",
    "sortie_vers",
]
EARLY = [
    "admission_type",
    "Aufnahmegrund",
    "insurance",
    "age",
    "sex",
    "referral_source",
    "motif_admission",
    "tipo_ingreso",
    "opnamereden",
]


def test_of_a_stay_only_what_is_known_at_its_start_is_told_then(tmp_path: Path) -> None:
    """Names that no list knows, and codes, are told at the end, or not; what is told when is listed; begin and end are events."""
    columns = [*LATE, *EARLY]
    rows = [f"{n % 9},{n},2024-03-0{1 + n % 5} 08:15:00,2024-03-1{n % 9} 09:30:00," + ",".join("ABC"[n % 3] for _ in columns)
            for n in range(N)]  # fmt: skip
    drafted = _drafted(
        tmp_path, {"encounters": (f"patient_id,encounter_id,started,fertig_am,{','.join(columns)}", rows)}
    )
    (table,) = drafted.tables
    told = {*table.guess.traits, *table.guess.measured, *table.guess.codes}
    assert table.guess.kind == "wide" and table.guess.end == "fertig_am" and "icd_code" in table.guess.late
    assert not {*LATE} & (told - {*table.guess.late}) and {*EARLY} == told - {*table.guess.late}
    notes = "\n".join(drafted.notes())
    assert all(f"`{column}`" in notes for column in columns)
    cases = files_of("clinic", drafted.tables, rows_of)["tests/sql/clinic.yaml"]
    assert "code: ENCOUNTERS," in cases and "ENCOUNTERS//FERTIG_AM" in cases


def test_days_are_known_at_their_end(tmp_path: Path) -> None:
    """Days that are written with 0:00 are days: a death stands at its end, or where another table has the moment; a day beside
    a clock is one moment; deaths of OMOP have no code of what they are of."""
    midnight = [f"2150-03-0{1 + n % 5} 00:00:00" for n in range(N)]
    drafted = _drafted(tmp_path, {
        "patients": ("subject_id,sex,DOD", [f"{n},F,{midnight[n]}" for n in range(N)]),
        "stays": ("subject_id,stay_id,admittime,dischtime,deathtime",
                  [f"{n},{n},2150-03-01 08:15,2150-03-09 09:30,2150-03-05 07:{n:02}" for n in range(N)]),
        "results": ("subject_id,test,day,result", [f"{n},K,{midnight[n]},{n}.5" for n in range(N)]),
        "vitals": ("subject_id,Datum,Uhrzeit,Puls", [f"{n % 3},2150-03-02,8:{n:02},80" for n in range(N)]),
    })  # fmt: skip
    files = files_of("clinic", drafted.tables, rows_of)
    sql = {name: files[f"sql/clinic/event_parts/{name}.sql"] for name in ("patients", "results", "vitals")}
    assert "coalesce(died_at, end_of_day(dod))" in sql["patients"]
    assert (
        "end_of_day(day_) as available_time" in sql["results"] or "end_of_day(day) as available_time" in sql["results"]
    )
    assert "day_and_clock(datum, uhrzeit) as datum" in sql["vitals"] and "end_of_day" not in sql["vitals"]
    cases = files["tests/sql/clinic.yaml"]
    assert "MEDS_DEATH" in cases and "a day and the time on it are joined" in "\n".join(drafted.notes())


def test_a_death_has_no_code_of_its_record(tmp_path: Path) -> None:
    """The type of a record of OMOP's deaths is not what it is of, and its cause is told at the death."""
    rows = [f"{n},2015-03-0{1 + n % 9},,{1 + n % 2},I21" for n in range(N)]
    header = "person_id,death_date,death_datetime,death_type_concept_id,icd"
    (table,) = _drafted(tmp_path, {"death": (header, rows)}).tables
    assert (table.guess.kind, table.guess.death, table.guess.codes) == ("wide", "death_date", ("icd",))


def test_results_are_known_when_they_came(tmp_path: Path) -> None:
    """A second time that is never before the first says when a result could be read, whatever it is called; words of a state
    drop a record, those of a doubt by another reason, and what tells two apart is in their identity."""
    rows = [f"{n % 3},K,2024-03-02 08:{n:02},2024-03-02 1{n % 9}:00,{n % 2}.5,{('ok', 'storniert')[n % 7 == 0]},{'GGV'[n % 3]},{n % 5}"
            for n in range(N)]  # fmt: skip
    twice = [f"{row.rpartition(',')[0]},7" for row in rows]
    drafted = _drafted(
        tmp_path, {"labor": ("patient,test,Abnahme,zurueck,wert,Zustandsstatus,Sicherheit,Kanal", [*rows, *twice])}
    )
    guess = drafted.tables[0].guess
    assert (guess.time, guess.ready, guess.identity) == ("Abnahme", "zurueck", ("Kanal",))
    assert guess.marked == {"Zustandsstatus": ("storniert",), "Sicherheit": ("v",)}
    sql = files_of("c", drafted.tables, rows_of)["sql/c/event_parts/labor.sql"]
    assert "zurueck as available_time" in sql
    assert sql.count("drop:") == 2 and "lower(sicherheit) in ('v') then 'drop:marked_doubtful'" in sql


def test_what_a_record_holds_is_known_when_it_could_be_read(tmp_path: Path) -> None:
    """With a column per measurement, as with a code per record, a second time says when it could be read, be it in the table
    of the specimen; of a stay what is told at its begin is known then. What was only ordered tells no result."""
    at = [f"2024-03-02 08:{n:02}:00" for n in range(N)]
    micro = [f"{n % 9},{at[n]},2024-03-04 09:{n:02}:00,{'EK'[n % 2]},{n}.5" for n in range(N)]
    specimens = [f"S{1000 + 3 * n},{n % 9},{at[n]},2024-03-03 07:{n:02}:00" for n in range(N)]
    orders = [f"O{1000 + 3 * n},{n % 9},{at[n]},urgent" for n in range(N)]
    named = {"specimen": "S", "panel": "S", "order": "O"}
    results = {k: [f"{v}{1000 + 3 * n},{'KN'[n % 2]},{n}.5" for n in range(N)] for k, v in named.items()}
    drafted = _drafted(tmp_path, {
        "micro": ("patient,collected,validated_at,organism,mic", micro),
        "specimens": ("specimen_id,patient,collected,reported", specimens),
        "results": ("specimen_id,analyte,value", results["specimen"]),
        "measured": ("specimen_id,patient,taken,analyte,value", [
            row.replace(",", f",{n % 9},{at[n]},", 1) for n, row in enumerate(results["panel"])]),
        "orders": ("order_id,patient,ordered_at,priority", orders),
        "ordered": ("order_id,analyte,value", results["order"]),
        "visits": ("patient,visit_id,admitted,discharged,updated,sex,ward", [
            f"{n},{n},2024-03-01 07:00,2024-03-09 08:15,2024-03-11 09:{n:02},F,{'AB'[n % 2]}" for n in range(N)]),
    })  # fmt: skip
    of = [table for table in drafted.tables if table.name in ("micro", "specimens", "results", "measured", "visits")]
    cases = yaml.safe_load(files_of("c", of, rows_of)["tests/sql/c.yaml"])

    def known(name: str, table: str, column: str, time: str) -> None:
        case = cases[f"event_parts.{name}"]
        told = [row for row in case["expect"] if not row["_reason"]]
        assert told and {row["available_time"] for row in told} == {case["given"][f"raw.{table}"][0][column]}
        assert {row["time"] for row in told} == {case["given"][f"raw.{table if name == 'results' else name}"][0][time]}

    known("micro", "micro", "validated_at", "collected")
    known("results", "specimens", "reported", "collected")
    known("measured", "specimens", "reported", "taken")
    visit = {
        row["code"]: row.get("available_time", row["time"])
        for row in cases["event_parts.visits"]["expect"]
        if not row["_reason"]
    }
    given = cases["event_parts.visits"]["given"]["raw.visits"][0]
    assert [visit[f"VISITS//{name}"] for name in ("SEX", "WARD")] == [given["admitted"], given["updated"]]
    notes = "\n".join(drafted.notes())
    assert "results: has no time: told at `collected` of `specimens`" in notes
    assert "ordered name only" not in notes and "results name only `specimen_id`" in notes
    assert "ordered: left out: `ordered_at` is when they were begun or asked for" in notes


@pytest.mark.parametrize(
    ("here", "there", "type_", "forms"),
    [
        ("{:05}", "{}", "int64", ""), ("{}", "{}\u00a0", "int64", None), ("a-{}", "A-{}", "subject", "`A-9` beside `a-9`"),
        ("{}.0", "{}", "subject", "`9` beside `9.0`"), ("P-{}", "p{}", "subject", "`a9` beside `A-9`"),
        ("{}", "P{}", "subject", "`A9` beside `9`"), ("{{{}}}", "{}", "subject", "`9` beside `{9}`"),
        ("02-{}", "2-{}", "subject", "`9-9` beside `09-9`"), ("{0}-{0}", "{0}{0}", "subject", "`9` beside `9-9`"),
    ],
)  # fmt: skip
def test_ids_that_differ_in_their_writing_are_told(
    tmp_path: Path, here: str, there: str, type_: str, forms: str | None
) -> None:
    """Zeros or blanks around numbers in one table and not in another: read in one way; else it is told what ids look like
    in each, and how many join, in shapes alone."""
    drafted = _drafted(tmp_path, {
        "people": ("pid,sex", [f"{here.format(n)},F" for n in range(21, 51)]),
        "labs": ("pid,test,taken,result", [f"{there.format(21 + n % 12)},K,2024-03-02 08:{n:02},{n}.5" for n in range(N)]),
    })  # fmt: skip
    notes = "\n".join(drafted.notes())
    contract = contract_of(_by_name(drafted)["people"])
    assert f"pid: {{type: {type_}, as: subject_id}}" in contract
    assert ("whose record it is; " in contract) is (forms is not None) is ("ids" in notes)
    assert "guessed: 12 ids" in notes or forms != ""
    assert not forms or (
        f"({forms}; here" in notes and "UNDECIDED: " in notes and "none of " in notes and "of labs" in notes
    )


def test_stays_and_codes_that_differ_in_their_writing_are_joined_or_told(tmp_path: Path) -> None:
    """Numbers of stays with zeros in front in one table are read as numbers; a code in other letters than its name is told; few
    ids are not counted out; a zero in one column alone makes two ids."""
    labs = [f"{100 + n % 20:06},{'abcdefgh'[n % 8]}x,2024-03-02 08:{n:02},{n}.5" for n in range(N)]
    drafted = _drafted(tmp_path, {
        "stays": ("patient_id,stay_id,admitted,discharged",
                  [f"{'007' if n == 1 else n},{100 + n},2024-03-01 08:00,2024-03-09 09:30" for n in range(20)]),
        "labs": ("stay_id,test,taken,result", labs), "tests": ("test,label", [f"{c}X,name {c}" for c in "abcdefgh"]),
    })  # fmt: skip
    tables, notes = _by_name(drafted), "\n".join(drafted.notes())
    assert tables["labs"].owner is tables["stays"] and tables["labs"].types["stay_id"] == "int64"
    assert "guessed: 20 ids have zeros in front or blanks around them" in notes
    assert "UNDECIDED: fewer than 11 ids" in notes and "so they have no name" in notes and "split in two" in notes


def test_what_lies_behind_the_first_records_is_seen(tmp_path: Path) -> None:
    """The order of day and month is told from all records, as is what tells alike ones apart, and which come once."""
    rows = [f"{1 + n % 50},K,{1 + n % 12}/{1 + n % 9}/2021 08:{n % 60:02},{n}.5,{n}" for n in range(200)]
    late = [f"{1 + n % 50},K,04/25/2021 09:00,7.5,{n + 200}" for n in range(200)]
    raw = _raw(tmp_path, {"labs": ("patient,test,taken,result,lab_id", [*rows, *late])})
    (table,) = look_below(raw, 100).tables
    assert 'format: "%m/%d/%Y %H:%M"' in contract_of(table) and not any("UNDECIDED" in n for n in table.guess.notes)
    assert table.guess.identity == ("lab_id",)
    (raw / "labs.csv").write_text("\n".join(["patient,test,taken,result", *(row.rpartition(",")[0] for row in rows)]))
    (table,) = look_below(raw, 100).tables
    assert "UNDECIDED whether day first or month first" in contract_of(table)


def test_a_table_of_ascii_is_written_as_its_neighbours(tmp_path: Path) -> None:
    """An encoding is told from the whole of a file: ASCII is that of the others, and a letter at the end of one counts."""
    raw = _raw(tmp_path, {"a": ("patient;test;taken;result", ["1;K;2024-03-02 08:00;1.5"] * 9000)})
    with (raw / "a.csv").open("ab") as file:
        file.write("2;Größe;2024-03-02 08:00;1.5\n".encode("latin-1"))
    (raw / "b.csv").write_text("patient;sex\n1;F\n2;M\n")
    (raw / "stays").mkdir()
    for n in range(25):
        (raw / "stays" / f"{n}.txt").write_bytes("patient;Zeit;Größe\n1;2024-03-02 08:00;180\n".encode("latin-1"))
    text = pipeline("clinic", look_below(raw, 1000).tables)
    assert "table: stays" in text and 'csv: {delimiter: ";", encoding: latin-1}' in text and "tables:" not in text


def test_a_table_of_images_is_not_drafted_but_said(tmp_path: Path) -> None:
    """What the guide says of the table of images is said for all sources: where it lies there with what it must have, the
    draft switches it on and describes the others alone; a table of that name without it is one of the others."""
    labs = ("patient,test,taken,result", [f"{1 + n % 9},K,2024-03-02 08:{n:02}:00,{n}.5" for n in range(N)])
    images = [f"{1 + n % 9},2024-03-02 09:{n:02}:00,images/{n}.png,cxr" for n in range(N)]
    drafted = _drafted(tmp_path, {"labs": labs, "images/manifest": ("subject_id,time,path,kind", images)})
    files = files_of("clinic", drafted.tables, rows_of, drafted.images)
    assert {*_by_name(drafted)} == {"labs"} and not [path for path in files if "manifest" in path]
    assert yaml.safe_load(files["pipelines/clinic.yaml"])["images"] is True
    assert any(note.startswith("images/manifest: ") for note in drafted.notes())
    (tmp_path / "other").mkdir()
    other = _drafted(tmp_path / "other", {"labs": labs, "images/manifest": ("patient,taken,file,kind", images)})
    assert {*_by_name(other)} == {"labs", "manifest"} and not other.images


def test_bounds_and_texts_of_results_are_read(tmp_path: Path) -> None:
    """What stands beside a number and says that it is a bound is heard; of two texts, the one that only says the code again is
    no result."""
    exams = [f"{1 + n % 9},2024-03-02 08:{n:02},exam/{n % 4},of {n % 4},{'ab'[n % 3 > 0]}" for n in range(N)]
    drafted = _drafted(tmp_path, {
        "exam": ("patient,taken,examcode,examvalue,examtext", exams),
        "labs": ("patient,test,taken,result,refills,vorzeichen", [f"{1 + n % 9},K,2024-03-02 08:{n:02},{n}.5,0,{'<> '[n % 3]}" for n in range(N)]),
    })  # fmt: skip
    tables = _by_name(drafted)
    assert tables["exam"].guess.text == "examtext" and tables["labs"].guess.side == "vorzeichen"
    files = files_of("c", drafted.tables, rows_of)
    assert "then 'censored_low'" in files["sql/c/event_parts/labs.sql"]
    assert "labs" in files["tests/sql/c.yaml"]


@pytest.mark.parametrize(
    ("codes", "value", "is_sodium"),
    [(["K", "NA", "GLU"], "4.5", True), (["K", "NA"], "", False), (["potassium", "NA", "glucose"], "4.5", False)],
)
def test_sodium_is_a_code(tmp_path: Path, codes: list[str], value: str, is_sodium: bool) -> None:
    """`NA` among short codes and names, in records with a result, is one of them; else it is read as missing; both are told."""
    rows = [(code, value if code == "NA" else "4.5") for n in range(N) for code in [codes[n % len(codes)]]]
    drafted = _drafted(tmp_path, {
        "labs": ("pid,code,taken,result", [f"{n % 9},{code},2024-03-02 08:{n:02},{v}" for n, (code, v) in enumerate(rows)]),
    })  # fmt: skip
    contract, notes = contract_of(_by_name(drafted)["labs"]), "\n".join(drafted.notes())
    assert ("code: {type: string, marks: [NA]}" in contract) is not is_sodium
    assert ("`NA` in `code` is read as sodium" in notes) is is_sodium
    assert ("or `NA`, which is read as missing, in" in notes) is not is_sodium


def test_versions_of_a_table_are_told(tmp_path: Path) -> None:
    """Tables of the same columns whose names differ by a version, a letter or a number alone are drafted apart, and told."""
    rows = ("pid,test,taken,result", [f"{n % 9},K,2024-03-02 08:{n:02},4.5" for n in range(N)])
    raw = _raw(tmp_path, dict.fromkeys(["labs_old", "labs_new", "labs", "vitals"], rows))
    (raw / "v2").mkdir()
    (raw / "v2" / "vitals.csv").write_bytes((raw / "vitals.csv").read_bytes())
    said = [note for note in look_below(raw, 1000).notes() if "drafted apart" in note]
    assert [note.partition(" have")[0] for note in said] == [
        "UNDECIDED: labs, labs_new, labs_old", "UNDECIDED: vitals, v2_vitals"
    ]  # fmt: skip


def test_units_in_the_names_of_columns_are_guessed(tmp_path: Path) -> None:
    """Numbers of a column have the unit that its name says, and a guess is marked; others have none."""
    rows = [f"{n % 9},2024-03-02 08:{n:02},{n}.5,{90 + n},36.{n % 9}" for n in range(N)]
    files = files_of("c", _drafted(tmp_path, {"chem": ("pid,taken,crp,glucose_mg_dl,Temp [°C]", rows)}).tables, rows_of)
    assert "then 'degC'\n    end as unit,  -- guessed: as the names" in files["sql/c/event_parts/chem.sql"]
    assert "glucose_mg_dl: float64  # guessed: a number in mg/dL" in files["schemas/c/chem.yaml"]
    case = yaml.safe_load(files["tests/sql/c.yaml"])["event_parts.chem"]
    assert {row["code"]: row.get("unit") for row in case["expect"]} == {
        "CHEM//CRP": None,
        "CHEM//GLUCOSE_MG_DL": "mg/dL",
    }
