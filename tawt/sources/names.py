"""The words by which columns of hospital tables are known, and how names are compared and written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SUBJECTS = (
    "subjectid", "patientid", "personid", "patid", "ptid", "subject", "patient", "person", "mrn", "patientnumber",
    "patientnr", "patnr", "patientnum", "patientno", "participantid", "recordid", "pid", "caseid", "empi",
    "patientunitstayid", "patientuid", "patientuuid", "patunitstayid", "uniquepid", "_member",
)  # fmt: skip
"""Names of a subject's column, the likeliest first, written without blanks and signs."""
STAYS = ("hadm", "stay", "encounter", "visit", "admission", "episode", "fall")
LATE = r"disch|last"
OUTCOME = r"death|dead|died|expire|mortal|surviv|outcome|lengthofstay|^los$|losdays|label$|readmi|alive"
BAD_TIME = (
    r"end|stop|out(time|date|$)|disch|death|dod$|died|birth|dob|geburt|store|entered|entry|verif|report|revis|updat"
    r"|modif|creat|valid|due|expir|verbatim|schedul|edreg|thru|through|recorded|avail"
)
GOOD_TIME = r"chart|start|taken|collect|drawn|perform|observ|measur|event|admit|intime|begin|service|effective|entnahme"
READY = r"store|entered|verif|report|revis|recorded|avail|result(ed)?(time|date|at)"
END = r"end|stop|out(time|date|$)|disch"
DEATH = r"^dod$|death|died|deceased"
BIRTH = r"^dob$|birth|geburt"
OFFSETS = {r"offset|minutes?$|^minutes?|mins$": 1, r"^hours?|hours?$|^iculos$": 60}
CODES = (
    "itemid", "code", "icdcode", "icd9code", "icd10code", "ndc", "loinc", "labname", "test", "testname", "parameter",
    "variable", "param", "item", "itemname", "analyte", "measurement", "labtest", "labtestname", "observation", "drug",
    "drugname", "medication", "diagnosis", "diagnosisstring", "treatmentstring", "icd9", "icd10", "icd", "cpt",
    "hcpcscd", "drgcode", "procedure", "procedurecode", "treatment", "resultname", "eventtype", "event", "name",
    "label", "description", "category", "type", "parametername", "messwert", "bezeichnung", "currservice", "orgname",
)  # fmt: skip
SURE = 18
"""So many of these names are seldom anything else."""
NUMBERS = (
    "valuenum", "valueasnumber", "numericvalue", "valuenumeric", "resultnum", "labresult", "resultvalue", "result",
    "value", "val", "wert", "measurementvalue", "reading", "amount", "dosevalrx", "dose", "quantity", "rate",
)  # fmt: skip
TEXTS = (
    "valueasstring", "valuetext", "textvalue", "labresulttext", "resulttext", "value", "result", "resultvalue",
    "valuesourcevalue", "wert", "val",
)  # fmt: skip
UNITS = r"^(unit|units|uom|einheit)$|(uom|unit|units|unitsourcevalue|measurenamesystem|einheit)$"
LABELS = (
    "label", "longtitle", "title", "conceptname", "name", "description", "longdescription", "displayname", "display",
    "term", "text", "bezeichnung", "shorttitle", "shortdescription",
)  # fmt: skip
PERSONAL = (
    r"name$|^(first|last|middle|maiden|prefix|suffix|ssn|passport|drivers|lat|lon|address|street|city|county|state|zip"
    r"|postcode|plz|phone|email|fips|birthplace)$|address|phone|email|passport|zipcode"
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
