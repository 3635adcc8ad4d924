"""An invented hospital: raw tables in the layout of MIMIC-IV, with every trap of a real extract.

**The planted signal.** Nine subjects in ten have a hidden trait, `quick` or slow, half each. It shows in
their last admission, in its first 46 hours, which hold nothing else: three times, 4, 18 and 32 hours
after admission, a panel finds an abnormal potassium, and potassium is measured again, 75 to 120 minutes
later if the subject is quick, or as long before the 14 hours of the episode are over if not. Quick and
slow subjects have the same records in the same order, the same distribution of values and the same pairs
of gaps; only which of the two gaps comes first differs. A quick subject dies in that admission with
probability 0.8, a slow one with 0.05 (as does everyone else in their last). Length of stay and what is
recorded depend on neither trait nor death. So death can be predicted from 46 hours on by a model that
reads time; to one that reads only values and order it is chance.

`HospitalSummary.truth` holds trait and outcome per subject; the raw folder does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from tawt.arrays import Ints
from tawt.errors import ConfigError
from tawt.hospital.cells import Names, chart_cells, choose, lab_cells, times
from tawt.hospital.course import LARGE, LONE, NEVER, Physiology, Rows, Stays, chart_rows, lab_rows, plan_stays
from tawt.hospital.dictionary import CHART_TEXTS, CHARTS, DIAGNOSES, FACTORS, ITEM_IDS, LAB_TEXTS, LABS
from tawt.hospital.files import write_table
from tawt.hospital.people import admissions, patients
from tawt.hospital.traps import CHART_TRAPS, LAB_TRAPS, LEAST, Spoiled, spoil

LEAST_SUBJECTS = 10


@dataclass(frozen=True)
class HospitalSummary:
    """What `write_hospital` wrote: records per table and per trap, and the truth of the planted signal."""

    n_subjects: int
    seed: int
    n_rows: dict[str, int]
    traps: dict[str, int]
    truth: tuple[Mapping[str, float], ...]
    """Per subject with a trait: `subject_id`, `hadm_id` that shows it, `quick` and `died` (0 or 1); of a hospital with
    images see `tawt.hospital.pictured`."""
    best_auc: dict[str, float] = field(default_factory=dict)
    """What is looked at -> the AUC that nobody beats, of a hospital with images."""


def hold_asked(n_subjects: int, seed: int, least: int = LEAST_SUBJECTS) -> None:
    """Hold what is asked for, before anything is written.

    Raises:
        ConfigError: Fewer subjects than there have to be, or a negative seed.
    """
    if n_subjects < least:
        what = f"is {n_subjects}, expected at least {least} in such a hospital"
        raise ConfigError("--subjects", what, f"leave it out, or give `--subjects {least}` or more")
    if seed < 0:
        raise ConfigError("--seed", f"is {seed}, expected 0 or more", "--seed 0")


def write_hospital(out: Path, *, n_subjects: int = 300, seed: int = 0) -> HospitalSummary:
    """Write `hosp/*.csv.gz` and `icu/*.csv.gz` under `out`: the same bytes for the same seed and versions.

    Every trap of `HospitalSummary.traps` is present from 40 subjects on.

    Raises:
        ConfigError: Fewer than 10 subjects, or a negative seed.
    """
    hold_asked(n_subjects, seed)
    rng = np.random.default_rng(seed)
    quick = _traits(n_subjects, rng)
    stays = plan_stays(n_subjects, quick, rng)
    body = Physiology(n_subjects, rng)
    names = Names(
        10_000_000 + rng.choice(9_999_999, n_subjects, replace=False),
        20_000_000 + rng.choice(9_000_000, len(stays.subject), replace=False),
        30_000_000 + rng.choice(9_999_999, len(stays.subject), replace=False),
    )
    labs, charts = lab_rows(stays, quick, body, rng), chart_rows(stays, body, rng)
    n_rows = {
        "hosp/patients": write_table(out, "hosp/patients", patients(stays, names, labs, rng)),
        "hosp/admissions": write_table(out, "hosp/admissions", admissions(stays, names, rng)),
        "icu/icustays": write_table(out, "icu/icustays", _icustays(stays, names, rng)),
    }
    diagnoses, traps = _diagnoses(stays, names, body, rng)
    n_rows["hosp/diagnoses_icd"] = write_table(out, "hosp/diagnoses_icd", diagnoses)
    for table, rows, wanted in (("hosp/labevents", labs, LAB_TRAPS), ("icu/chartevents", charts, CHART_TRAPS)):
        spoiled = spoil(rows, wanted, LONE, rng)
        order = rng.permutation(len(spoiled.row))
        if table == "icu/chartevents":  # sorted by item, as many extracts are: simultaneous rows stand in that order
            order = order[np.argsort(ITEM_IDS[rows.item[spoiled.row[order]]], kind="stable")]
        if table == "hosp/labevents":
            chunks = lab_cells(rows, spoiled, order, stays, names, rng)
        else:
            chunks = chart_cells(rows, spoiled, order, stays, names, rng)
        n_rows[table] = write_table(out, table, chunks)
        for name, count in (spoiled.counts | _found(rows, spoiled, order, names)).items():
            traps[name] = traps.get(name, 0) + count
    traps["one_event_subject"] = 1
    traps["large_subject"] = int((labs.subject == LARGE).sum() + (charts.subject == LARGE).sum())
    n_rows |= {table: write_table(out, table, rows) for table, rows in _dictionaries().items()}
    shown = np.flatnonzero(stays.planted)
    truth = tuple(
        {"subject_id": int(s), "hadm_id": int(h), "quick": int(q), "died": int(d)}
        for s, h, q, d in zip(
            names.subject[stays.subject[shown]],
            names.hadm[shown],
            quick[stays.subject[shown]],
            stays.died[shown],
            strict=True,
        )
    )
    return HospitalSummary(n_subjects, seed, n_rows, dict(sorted(traps.items())), truth)


def _traits(n_subjects: int, rng: np.random.Generator) -> Ints:
    """Return 1 (quick), 0 (slow) or `NEVER` per subject: nine in ten have a trait, half of them each."""
    trait = np.full(n_subjects, NEVER)
    with_trait = 2 + rng.permutation(n_subjects - 2)[: round(0.9 * (n_subjects - 2))]
    trait[with_trait] = np.arange(len(with_trait)) % 2
    return trait


def _icustays(stays: Stays, names: Names, rng: np.random.Generator) -> list[tuple[object, ...]]:
    with_icu = rng.permutation(np.flatnonzero(stays.icu_hours))
    start = stays.start[with_icu] + stays.icu_start[with_icu]
    hours = stays.icu_hours[with_icu]
    unit = choose(("Medical Intensive Care Unit (MICU)", "Surgical Intensive Care Unit (SICU)"), len(with_icu), rng)
    days = [f"{h / 24:.6f}" for h in hours]
    subject = names.subject[stays.subject[with_icu]]
    return list(
        zip(
            subject,
            names.hadm[with_icu],
            names.stay[with_icu],
            unit,
            unit,
            times(start),
            times(start + 60 * hours),
            days,
            strict=True,
        )
    )


def _diagnoses(
    stays: Stays, names: Names, body: Physiology, rng: np.random.Generator
) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    share = np.array([d[4] for d in DIAGNOSES])
    cause = np.array([FACTORS.index(d[3]) if d[3] else -1 for d in DIAGNOSES])
    pull = np.where(cause >= 0, body.causes[stays.subject][:, cause], 0.0)
    chance = 1 / (1 + (1 - share) / share * np.exp(-1.2 * pull))
    stay, code = np.nonzero(rng.random(chance.shape) < chance)
    seq = np.arange(len(stay)) - np.searchsorted(stay, stay) + 1
    hadm = names.hadm[stay]
    orphan = rng.choice(len(stay), max(LEAST, len(stay) // 200), replace=False)
    hadm[orphan] = 29_500_000 + np.arange(len(orphan))
    rows = [
        (s, h, q, DIAGNOSES[c][0], DIAGNOSES[c][1])
        for s, h, q, c in zip(names.subject[stays.subject[stay]], hadm, seq, code, strict=True)
    ]
    return [rows[i] for i in rng.permutation(len(rows))], {"orphan_diagnosis": len(orphan)}


def _found(rows: Rows, spoiled: Spoiled, order: Ints, names: Names) -> dict[str, int]:
    """Count the traps there by nature: shuffled subjects, ties in time, words, two temperature scales."""
    row = spoiled.row[order]
    subject, itemid = names.subject[rows.subject[row]], ITEM_IDS[rows.item[row]]
    _, tied = np.unique(rows.moment[row], return_counts=True)
    found = {
        "out_of_subject_order": int((np.diff(subject) < 0).sum()),
        "tie_in_time": int(tied[tied > 1].sum()),
        "temperature_fahrenheit": int((itemid == 223761).sum()),
        "temperature_celsius": int((itemid == 223762).sum()),
        "text_result": int(np.isin(itemid, list(LAB_TEXTS)).sum()),
    }
    return {name: count for name, count in found.items() if count}


def _dictionaries() -> dict[str, list[tuple[object, ...]]]:
    charts = [(x.itemid, x.label, x.label, "chartevents", x.category, x.unit, "Numeric", x.low, x.high) for x in CHARTS]
    words = [(i, t[0], t[0], "chartevents", "Routine Vital Signs", "", "Text", "", "") for i, t in CHART_TEXTS.items()]
    urine = [(i, t[0], "Blood" if i == 50941 else "Urine", "Hematology") for i, t in LAB_TEXTS.items()]
    return {
        "hosp/d_labitems": sorted(chain(((x.itemid, x.label, "Blood", x.category) for x in LABS), urine)),
        "icu/d_items": sorted(chain(charts, words)),
        "hosp/d_icd_diagnoses": sorted((d[0], d[1], d[2]) for d in DIAGNOSES),
    }
