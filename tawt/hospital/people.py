"""Who the invented patients are, and when they were in the hospital."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tawt.hospital.cells import Names, choose, times
from tawt.hospital.course import NEVER, Rows, Stays


def patients(stays: Stays, names: Names, labs: Rows, rng: np.random.Generator) -> list[tuple[object, ...]]:
    """Return the records of `patients`, in no order; of who was never admitted the first laboratory value counts."""
    n = len(names.subject)
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, stays.subject, stays.start)
    was_in = np.bincount(stays.subject, minlength=n) > 0
    outside = ~was_in[labs.subject]
    np.minimum.at(first, labs.subject[outside], labs.minute[outside])
    year = first.astype("datetime64[m]").astype("datetime64[Y]").astype(np.int64) + 1970
    age = np.minimum(np.round(rng.normal(64, 17, n)).clip(18), 91).astype(np.int64)
    death = np.full(n, NEVER)
    last = np.searchsorted(stays.subject, np.arange(n), side="right") - 1
    end = stays.start[last] + (stays.hours[last] * 60).astype(np.int64)
    later = (rng.random(n) < 0.06) & was_in
    death[later] = end[later] + rng.integers(1440, 300 * 1440, n)[later]
    gone = stays.died[last] & was_in
    death[gone] = end[gone]
    group = 2008 + 3 * rng.integers(0, 5, n)
    dod = [text[:10] for text in times(death)]
    gender = np.where(rng.random(n) < 0.48, "F", "M")
    rows = list(zip(names.subject, gender, age, year, (f"{g} - {g + 2}" for g in group), dod, strict=True))
    return [rows[i] for i in rng.permutation(n)]


def admissions(stays: Stays, names: Names, rng: np.random.Generator) -> list[tuple[object, ...]]:
    """Return the records of `admissions`, in no order."""
    n = len(stays.subject)
    end = stays.start + (stays.hours * 60).astype(np.int64)
    by_ambulance = rng.random(n) < 0.6
    arrived = np.where(by_ambulance, stays.start - rng.integers(90, 600, n), NEVER)
    left = np.where(by_ambulance, stays.start - rng.integers(0, 60, n), NEVER)

    def of_subject(*choices: str) -> NDArray[np.object_]:
        """The same for all admissions of a subject."""
        return choose(choices, len(names.subject), rng)[stays.subject]

    home = choose(("HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB"), n, rng)
    rows = list(
        zip(
            names.subject[stays.subject],
            names.hadm,
            times(stays.start),
            times(end),
            times(np.where(stays.died, end, NEVER)),
            choose(("EW EMER.", "URGENT", "OBSERVATION ADMIT", "ELECTIVE"), n, rng),
            [f"P{i:05d}" for i in rng.integers(0, 400, n)],
            choose(("EMERGENCY ROOM", "PHYSICIAN REFERRAL", "TRANSFER FROM HOSPITAL"), n, rng),
            np.where(stays.died, "DIED", home),
            of_subject("Medicare", "Medicaid", "Private", "Other"),
            of_subject("English", "English", "English", "Spanish", ""),
            of_subject("MARRIED", "SINGLE", "WIDOWED", "DIVORCED", ""),
            of_subject("WHITE", "WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "HISPANIC/LATINO", "UNKNOWN"),
            times(arrived),
            times(left),
            stays.died.astype(int),
            strict=True,
        )
    )
    return [rows[i] for i in rng.permutation(n)]
