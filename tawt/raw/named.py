"""Files and folders that may have the names of people: alike in their columns, and named by no word of a hospital."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from tawt.errors import TawtError
from tawt.raw.formats import bare_name, format_of, is_hidden
from tawt.raw.found import FoundTable, PassedOver
from tawt.raw.identity import open_packed
from tawt.raw.many import of_members
from tawt.raw.parts import VERSION
from tawt.raw.small_files import names_of
from tawt.raw.sniff import rows_in

WhoseAt = Callable[[Sequence[str]], int | None]
"""Which column of a header says whose a record is; None = none does."""
_FEWEST, _MANY = 3, 11
"""So many names that are alike may be of people; so many are, whatever is in the files."""
_SAMPLE = 1 << 16
_WORDS = """
    a accession act admin administration admission admit adt adult age alert allerg allergy analyt anamnes anchor
    anesthesia antibiotic apache appointment arrival assessment atc aufnahme ausscheidung base bed befund behandlung bg
    bill bio biops blood bmi bolus bp breath care case ce chart chem chemistry child chunk clinic clinical code cohort
    complaint concept condition consult control count coverage cpt creatinine cxr cytolog daily data date day dbp death
    delivery demo demographic department detail device diagnos diagnose diagnosis diagnostic dialys dialysis dialyse
    dic dict dictionary discharge dose dosis drg drug ecg echo ed eeg ehr eingriff ekg emar encounter entlass episode
    er event exam export extract extra fall file final finding flow flowsheet fluid followup gas gcs gene general
    glucose haem hcpcs heart height hema hemo history hosp hospital hour hr icd icu id image imaging immunization in
    info infusion ingredient input insurance intake intervention inventory io item k key kg klin lab label labor
    laboratory list location log loinc long main map mar master mbp mean med medication medikament medicine member
    messung messwert meta micro microbiolog microbiology mimic mon monitor monitoring month mri name neuro note nurse
    nursing observation omop op operation ops or order out outcome output oxygen part pat pathology patient patienten
    payer people period person pharma pharmacy phenotype physical pid plan platelet potassium pressure prescription
    problem procedure prozedur provider pt pulse question radiology range rate raw rbc reading rec record ref
    reference registry rehab report request resp respiration respiratory result rhythm rr sample saps sat saturation
    sbp score select service set severity shard shift sign site smoking social sodium sofa source spec specimen split
    spo static station stat status stay stamm std step subject summary supply surgery surgical survey symptom t
    table temp temperatur temperature test text therapy time to train transfer transfusion treatment triage trial
    tuning unit uni untersuchung urin urine vaccine val value vent ventilation ventilator verlauf visit vital vitals
    vitalzeichen vocab vocabulary ward wbc week weight wide year zeit
    jan january feb february mar march apr april may jun june jul july aug august sep sept september oct october nov
    november dec december monday tuesday wednesday thursday friday saturday sunday held held test valid validation
    allergie aperiodic aps bewegung bga charting cv daten exposure freq hematology high holdout ii iii intensiv low
    measure measurement medikation mv nlp occurrence past periodic poe saps sepsis var wert werte
    norm normal of and by per with from the my new old orig original corrected fixed latest prev previous alt neu
"""
_LONG = "|".join(word for word in _WORDS.split() if len(word) > 2)
_SHORT = "|".join(word for word in _WORDS.split() if len(word) < 3)
_KNOWN = re.compile(rf"(?:(?:(?:{_LONG})(?:s|es|en)?)+|(?:{_SHORT})s?|{VERSION})\d*")


def stranger(name: str) -> str:
    """Return what of a name in small letters is no word of a hospital, number or letter; empty = nothing is."""
    parts = re.split(r"[^\w]+|_+", name)
    strange = [part for part in parts if not re.fullmatch(r"\w?\d*", part) and not _KNOWN.fullmatch(part)]
    return " ".join(strange if len(parts) == 1 else [*strange, *(p for p in parts if p.isdigit())]) if strange else ""


def as_one(
    root: Path,
    tables: Sequence[FoundTable],
    passed: Sequence[PassedOver],
    is_of_one: Callable[[Sequence[str]], bool],
    whose_at: WhoseAt,
) -> tuple[list[FoundTable], list[PassedOver]]:
    """Return tables, those whose names may be of people as one or passed over, and what is passed over without names.

    Args:
        root: The raw folder.
        tables: What was found.
        passed: What is passed over.
        is_of_one: Whether files of a header may hold one subject each.
        whose_at: Which column of a header says whose a record is.
    """
    left, told = list(tables), list(passed)
    for depth in range(max((table.place.count("/") for table in left), default=0) + 1):
        levels: dict[tuple[str, bool], dict[tuple[str, ...], list[FoundTable]]] = defaultdict(lambda: defaultdict(list))
        for table in left:
            if table.members is None and len(parts := table.place.split("/")) > depth and "*" not in parts[depth]:
                rest = parts[depth + 1 :]
                key = (*rest, "", *map(str.casefold, table.header))
                levels["/".join(parts[:depth]), bool(rest)][key].append(table)
        for (parent, in_folders), groups in levels.items():
            of_people = [one for one in groups.values() if _are_of_people(one, depth, is_of_one, whose_at)]
            if not of_people:
                continue
            names = {_at(one, depth) for alike in of_people for one in _mine(alike, depth)}
            # what lies in folders of people is theirs; beside their files a table of other columns is one of its own
            for alike in groups.values() if in_folders else of_people:
                if mine := [one for one in alike if (at := _at(one, depth)) in names or (in_folders and stranger(at))]:
                    left = [one for one in left if one not in mine]
                    found = _one_of(root, mine, left, depth, is_of_one)
                    left += [found] if isinstance(found, FoundTable) else []
                    told += [found] if isinstance(found, PassedOver) else []
            told = [_without_name(one, parent, depth) for one in told]
    return left, told


def _mine(alike: Sequence[FoundTable], depth: int) -> Sequence[FoundTable]:
    """Return which tables are named by people: all where most are, for a person may be called as a ward is."""
    strange = [one for one in alike if stranger(_at(one, depth))]
    return alike if 2 * len(strange) > len(alike) else strange


def _at(table: FoundTable, depth: int) -> str:
    return table.place.split("/")[depth].lower()


def _are_of_people(
    alike: Sequence[FoundTable], depth: int, is_of_one: Callable[[Sequence[str]], bool], whose_at: WhoseAt
) -> bool:
    """Return whether tables of the same columns are named by whose they are: by their names, and what is in them."""
    names = {name for table in alike if (name := stranger(_at(table, depth)))}
    if len(names) < _FEWEST:
        return False
    if len(names) >= _MANY or is_of_one(alike[0].header):
        return True
    column = whose_at(alike[0].header)
    if column is None:
        return False
    seen: set[str] = set()
    for table in alike:
        if not table.is_text or (whose := _only_one(table, column)) is None or whose in seen:
            return False
        seen.add(whose)
    return True


def _only_one(table: FoundTable, column: int) -> str | None:
    """Return the one cell that a column holds in the first records of a table; None where there are several."""
    cells: set[str] = set()
    for file in table.files:
        try:
            with open_packed(file, file.name) as stream:
                text = stream.read(_SAMPLE).decode(table.encoding or "utf-8", "replace")
        except (TawtError, OSError):
            return None
        rows = [*islice(rows_in(text, table.delimiter), 1, 500)]
        cells |= {row[column] for row in rows[:-1] or rows if len(row) == len(table.header)}
    return cells.pop() if len(cells) == 1 else None


def _one_of(
    root: Path,
    mine: Sequence[FoundTable],
    others: Sequence[FoundTable],
    depth: int,
    is_of_one: Callable[[Sequence[str]], bool],
) -> FoundTable | PassedOver:
    """Return the one table that tables make up, or why they are none; neither holds a name of theirs."""
    first, files = mine[0], tuple(file for table in mine for file in table.files)
    parts = first.place.split("/")
    parent, rest = "/".join(parts[:depth]), parts[depth + 1 :]
    ends = {format_of(file).suffix or file.suffix.lower() for file in files}
    place = "/".join([*parts[:depth], "*", *rest])
    told = place + (ends.pop() if len(ends) == 1 else "")
    of_people = f"{len(files)} files of the same columns whose names may be those of people"
    if len({(one.delimiter, one.encoding, one.is_text) for one in mine}) > 1 or ends:
        why = f"{of_people}, and not all written alike: give them the same delimiter, encoding and ending"
        return PassedOver(told, why)
    is_bare = is_of_one(first.header)
    if rest:
        if is_bare:
            why = (
                "lies in folders whose names may be those of subjects, which are not read, and no column says whose a "
                "record is: put the files into one folder, each under the name of its subject"
            )
            return PassedOver(told, why)
        if any(_fits(other.place, place) for other in others):
            return PassedOver(told, f"{of_people}, beside others of that name: put them into folders of their own")
        return replace(first, place=place, files=files, stem=rest[-1], is_named=True)
    folder, suffix = files[0].parent, files[0].suffix
    is_plain = first.is_text and not any(format_of(file).is_gzip for file in files)
    beside = [f for f in folder.iterdir() if f.is_file() and not is_hidden(f.name) and f not in set(files)]
    if is_plain and (is_bare or folder == root):
        same = [file for file in beside if file.suffix.lower() == suffix.lower()]
        pattern = _pattern(files, same) if same else ""
        if not same or pattern:
            found = of_members(list(files), parent or ".", suffix, f"{parent}/{pattern}".strip("/") if pattern else "")
            return replace(found, stem=root.name.lower()) if isinstance(found, FoundTable) and not parent else found
    elif not is_bare and folder != root:
        tables = [file for file in beside if format_of(file).is_table]
        if not tables:
            return replace(first, place=parent, files=files, is_named=True)
    if is_bare and not is_plain:
        return PassedOver(told, f"{of_people}, and no column says whose a record is: unpack them into plain text")
    why = f"{of_people}, and no pattern tells them from what else lies there: put them into a folder of their own"
    return PassedOver(told, why)


def _pattern(files: Sequence[Path], others: Sequence[Path]) -> str:
    """Return a pattern of some files of a folder, if what their names begin with is no name of one."""
    stem, pattern = names_of(files, others)
    return pattern if len(files) >= _MANY or not stranger(stem.lower()) else ""


def _fits(place: str, pattern: str) -> bool:
    parts, asked = place.lower().split("/"), pattern.lower().split("/")
    return len(parts) == len(asked) and all(map(fnmatch, parts, asked))


def _without_name(one: PassedOver, parent: str, depth: int) -> PassedOver:
    """Return what is passed over below a folder of people's names without such a name."""
    parts = one.place.split("/")
    if "/".join(parts[:depth]) != parent or len(parts) <= depth or "*" in parts[depth]:
        return one
    is_file = len(parts) == depth + 1
    if not stranger(bare_name(Path(parts[depth])) if is_file else parts[depth].lower()):
        return one
    name, end = bare_name(Path(parts[depth])), Path(parts[depth]).suffix
    parts[depth] = f"*{end}" if is_file else "*"
    of_files = {told for told in re.findall(r"`([^`]+)`", one.why) if is_file and bare_name(Path(told)) == name}
    why = one.why
    for told in of_files:
        why = why.replace(f"`{told}`", f"`*{told[len(name) :]}`")
    return PassedOver("/".join(parts), why)
