"""The card of a MEDS dataset: README.md, made of counts, names and settings, with no value of a patient."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tawt.cards.croissant import croissant
from tawt.cards.facts import REST, DatasetFacts
from tawt.cards.markdown import table
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.meds import CARD, CROISSANT
from tawt.files import write_text

_TAGS = ("MEDS", "electronic-health-records", "time-series", "medical")


def write_cards(folder: Path, facts: DatasetFacts) -> None:
    """Write README.md and croissant.json of a MEDS dataset; the same facts give the same bytes."""
    write_text(folder / CARD, dataset_card(facts))
    write_text(folder / CROISSANT, json.dumps(croissant(facts), indent=2, ensure_ascii=False) + "\n")


def dataset_card(facts: DatasetFacts) -> str:
    """Return the text of a dataset's card."""
    front = {
        "license": "other",
        "license_name": facts.license or "not-stated",
        "pretty_name": facts.name,
        "tags": list(_TAGS),
    }
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {facts.name}\n\n{facts.description}\n\n{_WHAT}\n\n{_NOBODY if facts.is_synthetic else _PATIENTS}",
        f"## Subjects and rows\n\n{_counts(facts)}",
        f"## Codes\n\n{_codes(facts)}",
        f"## Times\n\n{facts.time_range}",
        f"## Values\n\n{_values(facts)}",
        f"## Columns\n\n{_columns(facts)}",
        f"## Made with\n\n{table(('what', 'name or version'), facts.made_by.items())}",
        f"## License\n\n{facts.license or _NO_LICENSE}",
        f"## Limits and intended use\n\n{_LIMITS}",
    ]
    return "\n\n".join(sections) + "\n"


def _counts(facts: DatasetFacts) -> str:
    text = table(("split", "subjects", "rows"), facts.splits)
    hidden = any(rows == "not told" for _, _, rows in facts.splits)
    return f"{text}\n\n{_FEW}" if hidden else text


def _codes(facts: DatasetFacts) -> str:
    n, known = facts.n_codes
    said = (
        f"{n:,} codes, {known:,} of which more than {SMALL_CELL} subjects have. "
        "What each means is said in\n`metadata/codes.parquet`."
    )
    if not facts.families:
        return said
    rows = [(f"`{name}`" if name != REST else name, n) for name, n in facts.families]
    return (
        f"{said} By the first part of those that more than {SMALL_CELL} have:\n\n{table(('first part', 'codes'), rows)}"
    )


def _values(facts: DatasetFacts) -> str:
    said = "Nothing is imputed: `value_status` says of each row what its value is, or why there is none."
    return f"{said}\n\n{table(('value_status', 'rows'), facts.values)}" if facts.values else said


def _columns(facts: DatasetFacts) -> str:
    rows = [(f"`{one.name}`", str(one.type), facts.meanings.get(one.name, "")) for one in facts.columns]
    return table(("column", "type", "meaning"), rows)


_WHAT = """\
Records of patients as sorted events, one row per measurement, in the Medical Event Data Standard (MEDS):
`data/<split>/<shard>.parquet`, and in `metadata/` the split of each subject and what each code means.
`croissant.json` says the same to machines."""

_PATIENTS = """\
**This folder holds patients' data.** This page and `croissant.json` tell of no single one; all else does."""

_NOBODY = "**These records are nobody's:** a model drew them, as the `provenance.json` that goes with them says."

_FEW = f"Counts from 1 to {SMALL_CELL} subjects are told as `<{SMALL_CELL + 1}`, their rows not at all, nor a sum."

_NO_LICENSE = "Not stated: whoever hands these records on has to say under which terms."

_LIMITS = """\
Meant for research, as the terms of the source allow.

- The records are of those who came to this place, and say what was measured, written down and billed there.
- A row that is missing was not recorded; that does not mean that nothing happened.
- What was dropped or could not be read is counted in the workspace that made this, not here."""
