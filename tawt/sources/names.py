"""The words by which columns of hospital tables are known, and how names are compared and written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SUBJECTS = (
    "subjectid", "patientid", "personid", "patid", "ptid", "subject", "patient", "person", "mrn", "patientnumber",
    "patientnr", "patnr", "patientnum", "patientno", "participantid", "recordid", "pid", "caseid", "empi",
    "patientunitstayid", "patientuid", "patientuuid", "patunitstayid", "uniquepid", "patientennr", "patientennummer",
    "patientenid", "patnummer", "_member",
)  # fmt: skip
"""Names of a subject's column, the likeliest first, written without blanks and signs."""
STAYS = ("hadm", "stay", "encounter", "visit", "admission", "episode", "fall")
CASES = ("caseid", "recordid")
"""Names of a subject's column that are as often the number of a stay."""
LATE = r"disch|last|entlass"
OUTCOME = (
    r"death|dead|died|expire|mortal|surviv|outcome|lengthofstay|^los$|losdays|label$|readmi|alive|verst[oe]rb"
    r"|^has.*data$|lifetime|outstanding|balance"
)
CHANGED = r"(?<!marital)(?<!smoking)(?<!smoker)(?<!civil)(?<!family)(?<!code)(?<!employment)status\d*$"
"""What is written over as things go on."""
BAD_TIME = (
    r"end(e|time|date|dt|at|$)|stop|out(time|date|$)|disch|death|dod|died|birth|dob|geburt|store|entered|entry|verif"
    r"|report|revis|updat|modif|creat(ed|ion)|valid|due|expir|verbatim|schedul|edreg|thru|through|recorded|avail"
    r"|entlass|erfass|freigabe|ge.?ndert|angelegt"
)
GOOD_TIME = (
    r"chart|start|taken|collect|drawn|perform|observ|measur|event|admit|intime|begin|service|effective|entnahme"
    r"|abnahme|aufnahme|messzeit"
)
READY = (
    r"store|entered|verif|report|revis|updat|creat(ed|ion)|recorded|avail|result(ed)?(time|date|at)|erfass|validier"
    r"|freigabe|angelegt"
)
END = r"end(e|time|date|dt|at|$)|stop|out(time|date|$)|disch|entlass"
DEATH = r"^dod|death|died|deceas|verst[oe]rb|^(tod|sterbe)(es)?(datum|zeit|tag|$)"
FROM_BIRTH = (
    r"sex$|^sex|gender|geschlecht|(^|patient|pat|primary)race|ethnic|blood(group|type)|blutgruppe|rh(esus)?factor"
    r"|birth(place|country|weight)|geburts(ort|land|gewicht)|genotype"
)
"""What is so from the first day of a life on."""
FROM_START = r"^age|^alter|height|weight|gr(oe|ö|o)sse|gewicht|admi(t|ss)|aufnahme|baseline|initial|^first|unittype"
"""What is so when a stay begins."""
COUNTERS = r"^(row|rec(ord)?|line|seq|lfd|index)(id|nr|num|number|no)?$|^(_row|_unnamed\w*|rownames?)$"
"""Names of columns that number the records of a table."""
DERIVED = r"_era$|^observation_period$|^cohort|_derived$|^derived_"
"""Names of tables that are made from others."""
ERROR = (
    r"^((is|was|has|in)?(error|fehler|cancel+ed|void(ed)?|deleted|rejected|storno|storniert|enteredinerror)"
    r"(flag|code|yn|ind)?)$|cancel+ed$|storniert$|^cancelreason$"
)
"""Columns that mark a record as wrong or cancelled."""
BIRTH = r"^dob$|birth|geburt"
OFFSETS = {r"offset|minutes?$|^minutes?|mins$": 1, r"^hours?|hours?$|^iculos$": 60}
CODES = (
    "itemid", "code", "icdcode", "icd9code", "icd10code", "ndc", "loinc", "labname", "test", "testname", "parameter",
    "variable", "param", "item", "itemname", "analyte", "measurement", "labtest", "labtestname", "observation", "drug",
    "drugname", "medication", "diagnosis", "diagnosisstring", "treatmentstring", "icd9", "icd10", "icd", "cpt",
    "hcpcscd", "drgcode", "procedure", "procedurecode", "treatment", "resultname", "eventtype", "event", "name",
    "label", "description", "category", "type", "bezeichnung", "currservice", "orgname",
    "diagnose", "analyt", "untersuchung", "kuerzel", "kürzel", "parametername",
)  # fmt: skip
SURE = 18
"""So many of these names are seldom anything else."""
NUMBERS = (
    "valuenum", "valueasnumber", "numericvalue", "valuenumeric", "resultnum", "labresult", "resultvalue", "result",
    "value", "val", "wert", "messwert", "ergebnis", "measurementvalue", "reading", "amount",
    "dosevalrx", "dose", "quantity", "rate",
)  # fmt: skip
TEXTS = (
    "valueasstring", "valuetext", "textvalue", "labresulttext", "resulttext", "value", "result", "resultvalue",
    "valuesourcevalue", "wert", "messwert", "ergebnis", "val",
)  # fmt: skip
UNITS = r"^(unit|units|uom|einheit)$|(uom|unit|units|unitsourcevalue|measurenamesystem|einheit)$"
LABELS = (
    "label", "longtitle", "title", "conceptname", "name", "description", "longdescription", "displayname", "display",
    "term", "text", "bezeichnung", "shorttitle", "shortdescription",
)  # fmt: skip
PERSONAL = (
    r"name$|^(first|last|middle|maiden|prefix|suffix|ssn|passport|drivers|lat|lon|address|street|city|county|state|zip"
    r"|postcode|plz|phone|email|fips|birthplace)$|address|phone|email|passport|zipcode|telefon|stra(ss|ß)e|anschrift|wohnort"
)
IDS = r"(id|key|seq|nr|number|uuid|guid|rowid|num)\d*$|^(_row|_unnamed\w*|rownames?|index)$"


def flat(name: str) -> str:
    """Return a name as it is compared: in lower case, letters and digits alone; the name of a file stays apart."""
    return name if name == "_member" else "".join(c for c in name.casefold() if c.isalnum())


def plain(name: str, taken: Iterable[str] = (), reserved: frozenset[str] = frozenset()) -> str:
    """Return a name that needs no quotes in SQL, another than those taken."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    word = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_") or "column"
    if word[0].isdigit():
        word = f"n{word}"
    if word in reserved:
        word += "_"
    known = set(taken)
    return next(w for w in (word, *(f"{word}_{i}" for i in range(2, len(known) + 3))) if w not in known)
