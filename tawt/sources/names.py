"""The words by which columns of hospital tables are known, and how names are compared and written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import count

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
LATE = r"disch|last|entlass|sortie|egreso|salida|ontslag|dimission|uscita"
OUTCOME = (
    r"death|dead|died|deceas|expire|mortal|surviv|outcome|lengthofstay|^los$|losdays|label$|readmi|rehosp|alive|exitus"
    r"|verst[oe]rb|uberleb|^todes|^tod$|wiederaufnahm|liegedauer|verweildauer|^deces|fallec|^muert|overled|heropname"
    r"|reingreso|rientro|^has.*data$|lifetime|outstanding|balance"
)
CHANGED = (
    r"(?<!marital)(?<!smoking)(?<!smoker)(?<!civil)(?<!family)(?<!code)(?<!employment)(status|statut|estado|stato)\d*$"
)
"""What is written over as things go on."""
CERTAINTY = r"sicherheit|certainty|verificationstatus|certitude|certeza"
"""How sure a diagnosis is."""
WRONG = (
    "storniert", "storno", "cancelled", "canceled", "cancel", "entered-in-error", "entered in error",
    "entered_in_error", "error", "void", "voided", "deleted", "rejected", "invalid", "retracted", "nullified",
    "not done", "not-done", "not given", "gelöscht", "geloescht", "ungültig", "fehler", "fehlerhaft", "annulliert",
    "annulé", "annulée", "annule",
    "anulado", "anulada", "cancelado", "cancelada", "geannuleerd", "vervallen", "annullato", "annullata",
)  # fmt: skip
"""What a state says of a record that is wrong or cancelled."""
YES = ("yes",)
"""In the place of such words, where a column says yes or no."""
DOUBTFUL = (
    "v", "a", "verdacht", "verdachtsdiagnose", "vermutet", "ausgeschlossen", "ausschluss", "suspected", "suspicion",
    "unconfirmed", "provisional", "differential", "refuted", "excluded", "ruled out", "rule out", "sospecha", "suspect",
)  # fmt: skip
"""What says of a diagnosis that it is none yet."""
END = (
    r"end(e|time|date|dt|at|$)|stop|out(time|date|$)|disch|entlass|^(date|fecha|data|heure|hora)?(de)?fin(de\w*)?$|sortie"
    r"|(^|fecha|de)alta$|egreso|salida|ontslag|^eind|einde?$|dimission|uscita|datafine$|abgang"
)
LEFT = r"disch|entlass|sortie|(^|fecha|de)alta$|egreso|ontslag|dimission|out(time|date|$)"
"""Ends that are those of a stay."""
ADMITTED = r"admi(t|ss)|aufnahme|^in(time|date)$|ingreso|entree|hospitali[sz]|opname|ricover"
"""Times that are the beginning of a stay."""
ASKED = r"order|request|schedul|plan|book|anford|auftrag|angeford|termin"
"""Times at which something was only asked for."""
PARENTS = (
    r"^(specimen|sample|accession|probe|order|request|auftrag|report|befund|panel|exam|study)(id|nr|no|num|number)?$"
)
"""Names of what results belong to."""
DEATH = (
    r"^dod|death|died|deceas|verst[oe]rb|^(tod|sterbe)(es)?(datum|zeit|tag|$)|^deces|deces$|fallec|defunc|muerte|overlijd"
    r"|overled|decess|^morte|morte$|exitus"
)
READY = (
    r"store|entered|^resulted$|verif|report|revis|updat|creat(ed|ion)|recorded|avail|result(ed)?(time|date|at)|erfass|validier"
    r"|freigabe|angelegt|befund|ergebniszeit|valid(ation|at|ated|e|ee)?(time|date|at|le)?$|validatedon$|rendu|resultat|resultado|informe"
    r"|registr|enregistr|saisi|uitslag|gerapporteerd|referto|refertazione|risultat"
)
BAD_TIME = (
    rf"{END}|{READY}|{DEATH}|birth|dob|geburt|naiss|nacim|geboorte|nascita|entry|modif|valid|due|expir|verbatim|schedul"
    r"|edreg|thru|through|ge.?ndert"
)
GOOD_TIME = (
    r"chart|start|taken|collect|drawn|perform|observ|measur|event|admit|intime|begin|service|effective|entnahme"
    r"|abnahme|aufnahme|messzeit|prelev|prelievo|toma$|^toma|extracc|afname|mesur|debut|inicio|inizio|entree|ingreso"
    r"|opname|ricovero"
)
BIRTH = r"^dob$|birth|^geb(datum|dat|tag|am)?$|geburt|naiss|nacim|geboorte|nascita"
FROM_BIRTH = (
    r"sexe?$|^sex|gender|geschlecht|^sesso$|^geslacht|^genero|(^|patient|pat|primary)race|ethnic|blood(group|type)|blutgruppe"
    r"|rh(esus)?factor|birth(place|country|weight)|geburts(ort|land|gewicht)|genotype"
)
"""What is so from the first day of a life on."""
FROM_START = (
    r"admi(t|tted|tting|ssion)(type|kind|class|category|mode|route|urgency|priority|source|src|origin|from|via|location|loc"
    r"|reason|diagnosis|dx|complaint|height|weight|age|service|unit|ward|department|dept|hour|weekday)"
    r"|(type|source|reason|mode|place|origin)(of|for)(the)?(admission|visit|encounter)"
    r"|^(admission|visit|encounter|stay|case|episode|unit)(detail)?(type|class|kind|category|concept|reason|sourcevalue|source$)"
    r"|aufnahme(art|typ|grund|anlass|diagnose|station|abteilung|fachabteilung|gewicht|grosse|quelle|weg|modus|ort|alter)$"
    r"|^einweis|^fallart|^behandlungsart|^(chief|presenting)complaint|^triage|^arrival(mode|transport|source)"
    r"|^referral(source|type|reason|from|by)?$|^referr(ed|er|ing)(by|from|provider|physician|hospital)?$"
    r"|^(patient|anchor)?(age|alter|edad|leeftijd|eta)(years?|jahre|(at|bei)?(admission|admit|visit|aufnahme|encounter))?$"
    r"|^(primary|secondary)?(insurance|insurer|payer|payor|versicherung|krankenkasse|kostentrager|seguro|mutuelle)(type|class|art|name)?$"
    r"|^(language|langue|sprache|muttersprache|idioma|taal|religion|konfession|marital(status)?|familienstand)$"
    r"|^first(careunit|ward(id)?|unit|service|department)$|^unittype$"
    r"|^(admission|body|korper|patient)?(height|weight|grosse|gewicht|taille|poids|peso|altezza)(cm|kg|in|lbs?)?$"
    r"|(motif|mode|type|provenance|service)(d|de|a|l)*(admission|entree|hospitalisation)|^(provenance|procedencia|provenienza)$"
    r"|(motivo|tipo|via|procedencia|origen|servicio)(de|al)?(ingreso|admision|hospitalizacion)"
    r"|opname(reden|type|soort|diagnose|bron|afdeling)|^herkomst$"
    r"|(motivo|tipo|modalita|provenienza|reparto)(di|del)?(ricovero|ammissione|accettazione)"
)
"""What is so when a stay begins: of one that ends, all else is told at its end."""
CLOCK = r"uhrzeit$|^zeit$|^time(ofday)?$"
"""Names of a time of the day, in whatever form that is written."""
COUNTERS = r"^(row|rec(ord)?|line|seq|lfd|index)(id|nr|num|number|no)?$|^(_row|_unnamed\w*|rownames?)$"
"""Names of columns that number the records of a table."""
DERIVED = r"_era$|^observation_period$|_derived$|^derived_"
"""Names of tables that are made from others."""
ERROR = (
    r"^((is|was|has|in)?(error|fehler|cancel+ed|void(ed)?|deleted|rejected|storno|storniert|enteredinerror)"
    r"(flag|code|yn|ind)?)$|cancel+ed$|storniert$|^cancelreason$"
)
"""Columns that mark a record as wrong or cancelled."""
OFFSETS = {r"offset|minutes?$|^minutes?|mins$": 1, r"^hours?|hours?$|^iculos$": 60}
CODES = (
    "itemid", "code", "icdcode", "icd9code", "icd10code", "ndc", "loinc", "labname", "test", "testname", "parameter",
    "variable", "param", "item", "itemname", "analyte", "measurement", "labtest", "labtestname", "observation", "drug",
    "drugname", "medication", "diagnosis", "diagnosisstring", "treatmentstring", "icd9", "icd10", "icd", "cpt",
    "hcpcscd", "drgcode", "procedure", "procedurecode", "treatment", "resultname", "eventtype", "event", "name",
    "label", "description", "category", "type", "bezeichnung", "currservice", "orgname",
    "diagnose", "analyt", "untersuchung", "kuerzel", "kurzel", "parametername",
    "wirkstoff", "praparat", "medikament", "medicament", "medicamento", "farmaco", "geneesmiddel", "atc", "atccode",
)  # fmt: skip
CODED = (
    r"code\d*$|cd$|kode$|^drg(?!.*(gewicht|weight|cost|kosten))|^icd|"
    r"^(ops|cpt|atc|hcpcs|ccsr?|snomed|msdrg)(nr)?$|dx$|visitconceptid$"
)
"""Columns whose numbers are codes."""
SURE = 18
"""So many of these names are seldom anything else."""
NUMBERS = (
    "valuenum", "valueasnumber", "numericvalue", "valuenumeric", "resultnum", "labresult", "resultvalue", "result",
    "value", "val", "wert", "messwert", "ergebnis", "measurementvalue", "reading", "amount",
    "dosevalrx", "dose", "dosis", "dosierung", "menge", "dosage", "quantity", "rate",
)  # fmt: skip
TEXTS = (
    "valueasstring", "valuetext", "textvalue", "labresulttext", "resulttext", "value", "result", "resultvalue",
    "valuesourcevalue", "wert", "messwert", "ergebnis", "val", "dosis", "dosage", "text",
)  # fmt: skip
SIDES = {
    "<": "low", "<=": "low", "≤": "low", "lt": "low", "le": "low", "less than": "low", "4171756": "low",
    "4171754": "low",
    ">": "high", ">=": "high", "≥": "high", "gt": "high", "ge": "high", "greater than": "high", "4172704": "high",
    "4171755": "high", "=": "", "==": "", "eq": "", "4172703": "", "0": "", "~": "",
}  # fmt: skip
"""What stands beside a number, as in OMOP's `operator_concept_id` -> on which side of it the result lies."""
OPERATOR = r"operatorconceptid$"
"""Such a column of OMOP, whatever is in it."""
UNITS = r"^(unit|units|uom|einheit)$|(uom|unit|units|unitsourcevalue|measurenamesystem|einheit)$"
LABELS = (
    "label", "longtitle", "title", "conceptname", "name", "description", "longdescription", "displayname", "display",
    "term", "text", "bezeichnung", "shorttitle", "shortdescription",
)  # fmt: skip
SYSTEMS = ("codesystem", "system", "codingsystem", "codetype", "codeversion", "vocabulary", "vocabularyid")
"""Names of what says in which system a code is one."""
DONE = r"^(event|action|administration|given|mar)(txt|text|type|status|action|result)?$|^event_?txt$"
"""What says of a drug or an order whether it was given or done."""
PERSONAL = (
    r"name$|^(first|last|middle|maiden|prefix|suffix|ssn|passport|drivers|lat|lon|address|street|city|county|state|zip"
    r"|postcode|plz|phone|email|fips|birthplace)$|address|phone|email|passport|zipcode|telefon|strasse|anschrift|wohnort"
)
IDS = (
    r"(id|key|seq|nr|number|uuid|guid|rowid|num)\d*$|^(_row|_unnamed\w*|rownames?|index)$"
    r"|(order|request|req|sample|specimen|visit|encounter|admission|report|lab|accession|auftrag|befund|serial|file|ref"
    r"|batch|patient|subject|registration|reg|test|line|row|record|hospital|hosp|mr|case|chart|document|doc|event|exam"
    r"|item)no\d*$"
)


def flat(name: str) -> str:
    """Return a name as it is compared: small letters without accents, and digits; the name of a file stays apart."""
    return (
        name if name == "_member" else "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum())
    )


def plain(name: str, taken: Iterable[str] = (), reserved: frozenset[str] = frozenset()) -> str:
    """Return a name that needs no quotes in SQL, another than those taken."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    word = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_") or "column"
    if word[0].isdigit():
        word = f"n{word}"
    if word in reserved:
        word += "_"
    known = set(taken)
    if word not in known:
        return word
    return next(w for i in count(2) if (w := f"{word}_{i}") not in known)
