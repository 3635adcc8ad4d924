"""An invented hospital whose images tell something: who dies hangs on the record, on a chest picture, and on chance.

Everybody has one admission, which lasts longer than a day. A first blood gas tells `u`: its pO2 is
`exp(mean - spread u)`, with the mean and the spread of the dictionary. A chest picture (`tawt.hospital.chest`) shows
`v`. Who dies in the admission is drawn by `tawt.hospital.known`, so the risk of each is known at 24 hours, and with it
the AUC that nobody can beat. All else that is measured says nothing.

Of some there is no picture by then, of some there are several. Some pictures are taken, or can be read, after 24 hours
alone: these show who dies, so that who sees them answers better than can be. Two files, of two people, are broken; both
people have others.

`HospitalSummary.truth` holds, of each subject, `subject_id`, `u`, `v`, `n_images` by 24 hours, broken ones too, the
best answers of who looks at `both`, the `record` or the `image`, and `died` (0 or 1). The raw folder has none of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.hospital.cells import Names, lab_cells, times
from tawt.hospital.chest import MOST, picture
from tawt.hospital.course import NEVER, Physiology, Rows, Stays, by_time
from tawt.hospital.dictionary import INDEX, ITEMS, LABS
from tawt.hospital.files import png, write_table
from tawt.hospital.invent import HospitalSummary, hold_asked
from tawt.hospital.known import LOOKS, best_auc, chance, seen
from tawt.hospital.people import admissions, patients
from tawt.hospital.traps import LAB_TRAPS, spoil

LEAST_PICTURED = 100
"""Subjects."""
ASKED_HOURS = 24
"""Hours after admission at which risks are known."""
N_IMAGES = (0.15, 0.65, 0.14, 0.06)
"""Shares of the subjects of whom there are so many images by then."""
LATE, N_BROKEN = 0.2, 2
_GAS = (50820, 50821)
_PANEL = (50912, 50971, 51222)
_DRAWS = ((60, _GAS + _PANEL), (60 * 13, _PANEL), (60 * 30, _PANEL))
"""Minutes after admission, and what is measured then."""
_TOLD_BY = INDEX[50821]


def write_pictured(out: Path, *, n_subjects: int = 8000, seed: int = 0) -> HospitalSummary:
    """Write `hosp/*.csv.gz`, `images/manifest.csv.gz` and PNG files under `out`: the same for the same seed.

    Raises:
        ConfigError: Fewer than 100 subjects, or a negative seed.
    """
    hold_asked(n_subjects, seed, LEAST_PICTURED)
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, n_subjects))
    died = rng.random(n_subjects) < chance(u, v)
    stays = _stays(died, rng)
    names = Names(
        10_000_000 + rng.choice(9_999_999, n_subjects, replace=False),
        20_000_000 + rng.choice(9_000_000, n_subjects, replace=False),
        np.zeros(0, dtype=np.int64),
    )
    labs = _labs(stays, u, rng)
    spoiled = spoil(labs, LAB_TRAPS, NEVER, rng)
    order = rng.permutation(len(spoiled.row))
    written = {
        "hosp/patients": patients(stays, names, labs, rng),
        "hosp/admissions": admissions(stays, names, rng),
        "hosp/labevents": lab_cells(labs, spoiled, order, stays, names, rng),
        "hosp/d_labitems": sorted((x.itemid, x.label, "Blood", x.category) for x in LABS),
    }
    n_rows = {table: write_table(out, table, rows) for table, rows in written.items()}
    n_images = rng.choice(len(N_IMAGES), n_subjects, p=N_IMAGES)
    n_rows["images/manifest"], n_late = _images(out, stays, names, n_images, v, rng)
    traps = spoiled.counts | {
        "broken_image": N_BROKEN, "late_image": n_late, "no_image": int((n_images == 0).sum()),
        "several_images": int((n_images > 1).sum()),
    }  # fmt: skip
    known = np.where(n_images > 0, v, np.nan)
    columns = {"subject_id": names.subject, "u": u, "v": v, "n_images": n_images, "died": died.astype(np.int64)}
    columns |= {name: seen(u, known, looks) for name, looks in LOOKS.items()}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    truth = tuple(dict(zip(columns, row, strict=True)) for row in rows)
    best = {name: best_auc(looks, 1 - N_IMAGES[0]) for name, looks in LOOKS.items()}
    return HospitalSummary(n_subjects, seed, n_rows, dict(sorted(traps.items())), truth, best)


def _stays(died: Bools, rng: np.random.Generator) -> Stays:
    n, day = len(died), 24 * 60
    start = np.datetime64("2110-01-01", "m").astype(np.int64) + rng.integers(0, 75 * 365 * day, n)
    hours = 1.5 * ASKED_HOURS + rng.gamma(2.0, 20.0, n)
    nothing = np.zeros(n, dtype=np.int64)
    return Stays(np.arange(n), start, hours, nothing + NEVER, nothing, np.zeros(n, dtype=np.bool_), died)


def _labs(stays: Stays, u: Floats, rng: np.random.Generator) -> Rows:
    n = len(stays.subject)
    subject = np.tile(stays.subject, len(_DRAWS))
    minute = np.concatenate([stays.start + after + rng.integers(0, 30, n) for after, _ in _DRAWS])
    parts = [
        (np.repeat(np.arange(n) + i * n, len(items)), np.tile([INDEX[one] for one in items], n))
        for i, (_, items) in enumerate(_DRAWS)
    ]
    moment, item = (np.concatenate(column) for column in zip(*parts, strict=True))
    number = Physiology(n, rng).numbers(subject, minute, moment, item, rng)
    tells = item == _TOLD_BY
    gas = ITEMS[_TOLD_BY]
    number[tells] = np.round(np.exp(gas.mean - gas.spread * u[subject[moment[tells]]]), gas.decimals)
    return by_time(subject, subject, minute, moment, item, number, tells)


def _images(
    out: Path, stays: Stays, names: Names, n_images: Ints, v: Floats, rng: np.random.Generator
) -> tuple[int, int]:
    """Write the images and their table; return how many records it has, and of how many it is too late."""
    at = ASKED_HOURS * 60
    in_time = np.repeat(stays.subject, n_images)
    late = np.flatnonzero(rng.random(len(n_images)) < LATE)
    taken = np.where(
        rng.random(len(late)) < 0.5, at + rng.integers(30, 600, len(late)), at - rng.integers(5, 60, len(late))
    )
    subject = np.concatenate([in_time, late])
    time = np.concatenate([rng.integers(60, at - 200, len(in_time)), taken])
    ready = np.concatenate([time[: len(in_time)] + rng.integers(20, 120, len(in_time)),
                            np.maximum(taken, at) + rng.integers(20, 120, len(late))])  # fmt: skip
    severity = np.concatenate([v[in_time], np.where(stays.died[late], MOST, -MOST)])
    several = np.flatnonzero(n_images[in_time] > 1)
    broken = rng.choice(several, N_BROKEN, replace=False)
    while len(np.unique(in_time[broken])) < N_BROKEN:  # both of one person, of whom no other may be left
        broken = rng.choice(several, N_BROKEN, replace=False)
    rows = []
    for i, (whose, shown) in enumerate(zip(subject.tolist(), severity.tolist(), strict=True)):
        file = png(picture(shown, rng))
        if i in broken:
            # one was cut off on its way, in place of the other stands what a server said
            file = file[: len(file) // 2] if i == broken[0] else b"<html>504 Gateway Time-out</html>\n"
        number = int(names.subject[whose])
        path = f"images/p{number % 100:02d}/{number}_{i}.png"
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(file)
        rows.append((number, path))
    began = stays.start[subject]
    texts = times(began + time), times(began + ready)
    records = [(rows[i][0], texts[0][i], texts[1][i], rows[i][1], "cxr") for i in rng.permutation(len(rows))]
    return write_table(out, "images/manifest", records), len(late)
