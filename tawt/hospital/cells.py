"""The two event tables of the invented hospital as records of text cells, traps included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.hospital.course import NEVER, Rows, Stays
from tawt.hospital.dictionary import ITEM_IDS, ITEMS, TEXTS
from tawt.hospital.files import COLUMNS
from tawt.hospital.traps import CHART_TRAPS, LAB_TRAPS, SECOND_RESULT, Spoiled, Trap, texts_of

CHUNK = 100_000
_UNITS = np.array([item.unit for item in ITEMS] + [""] * len(TEXTS), dtype=object)
_DECIMALS = np.array([item.decimals for item in ITEMS] + [0] * len(TEXTS))
_SPREAD = np.array([item.spread for item in ITEMS] + [0.0] * len(TEXTS))
_BOUNDS = np.array([(item.low, item.high) for item in ITEMS] + [(-np.inf, np.inf)] * len(TEXTS))
_BOUND_TEXTS = np.array([(f"{item.low:g}", f"{item.high:g}") for item in ITEMS] + [("", "")] * len(TEXTS), dtype=object)

Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Names:
    """The hospital's own numbers for subjects, admissions and intensive care stays."""

    subject: Ints
    hadm: Ints
    stay: Ints


def lab_cells(
    rows: Rows, spoiled: Spoiled, order: Ints, stays: Stays, names: Names, rng: np.random.Generator
) -> Iterator[Sequence[str]]:
    """Yield the records of `labevents` in the given order."""
    words = texts_of(rows, rng)
    n_moments = int(rows.moment.max()) + 1
    delay = rng.integers(15, 60, n_moments)
    priority = choose(("ROUTINE", "STAT", ""), n_moments, rng)
    provider = choose([f"P{i:05d}" for i in range(400)] + [""] * 100, n_moments, rng)
    hadm = np.append(names.hadm.astype(str).astype(object), "")
    specimen = 40_000_000 + rng.permutation(n_moments)
    for chosen in np.array_split(order, len(order) // CHUNK + 1):
        row = spoiled.row[chosen]
        item, moment = rows.item[row], rows.moment[row]
        number, value = _value(rows, spoiled, chosen, words, LAB_TRAPS)
        number_text = np.where(np.isnan(number), "", value)
        off = (number < _BOUNDS[item, 0]) | (number > _BOUNDS[item, 1])
        twin = spoiled.copy[chosen] == SECOND_RESULT
        cells: dict[str, Texts] = {
            "labevent_id": _str(np.where(twin, len(rows.item) + chosen, row) + 1),
            "subject_id": _str(names.subject[rows.subject[row]]),
            "hadm_id": hadm[rows.stay[row]],
            "specimen_id": _str(specimen[moment]),
            "itemid": _str(ITEM_IDS[item]),
            "order_provider_id": provider[moment],
            "charttime": times(rows.minute[row]),
            "storetime": times(rows.minute[row] + delay[moment]),
            "value": value,
            "valuenum": number_text,
            "valueuom": _UNITS[item],
            "ref_range_lower": _BOUND_TEXTS[item, 0],
            "ref_range_upper": _BOUND_TEXTS[item, 1],
            "flag": np.where(off, "abnormal", "").astype(object),
            "priority": priority[moment],
            "comments": np.full(len(row), "", dtype=object),
        }
        yield from _spoiled_rows("hosp/labevents", cells, LAB_TRAPS, spoiled, chosen)


def chart_cells(
    rows: Rows, spoiled: Spoiled, order: Ints, stays: Stays, names: Names, rng: np.random.Generator
) -> Iterator[Sequence[str]]:
    """Yield the records of `chartevents` in the given order."""
    words = texts_of(rows, rng)
    n_moments = int(rows.moment.max()) + 1
    delay = rng.integers(1, 40, n_moments)
    caregiver = rng.integers(1_000, 99_999, len(stays.subject))
    for chosen in np.array_split(order, len(order) // CHUNK + 1):
        row = spoiled.row[chosen]
        item, stay = rows.item[row], rows.stay[row]
        number, value = _value(rows, spoiled, chosen, words, CHART_TRAPS)
        cells: dict[str, Texts] = {
            "subject_id": _str(names.subject[rows.subject[row]]),
            "hadm_id": _str(names.hadm[stay]),
            "stay_id": _str(names.stay[stay]),
            "caregiver_id": _str(caregiver[stay]),
            "charttime": times(rows.minute[row]),
            "storetime": times(rows.minute[row] + delay[rows.moment[row]]),
            "itemid": _str(ITEM_IDS[item]),
            "value": value,
            "valuenum": np.where(np.isnan(number), "", value),
            "valueuom": _UNITS[item],
            "warning": np.full(len(row), "0", dtype=object),
        }
        yield from _spoiled_rows("icu/chartevents", cells, CHART_TRAPS, spoiled, chosen)


def _value(
    rows: Rows, spoiled: Spoiled, chosen: Ints, words: Texts, traps: tuple[Trap, ...]
) -> tuple[NDArray[np.float64], Texts]:
    """Return numbers and their texts: scaled where a trap changes the unit, shifted in second results."""
    row, trap = spoiled.row[chosen], spoiled.trap[chosen]
    item = rows.item[row]
    decimals = _DECIMALS[item]
    number = rows.number[row].copy()
    for index, kind in enumerate(traps):
        if kind.scale != 1.0:
            number[trap == index] *= kind.scale
            decimals = np.where(trap == index, 1, decimals)
    second = spoiled.copy[chosen] == SECOND_RESULT
    number[second] += np.maximum(_SPREAD[item[second]], 10.0 ** -decimals[second])
    value = words[row]
    for places in np.unique(decimals):
        mine = np.flatnonzero((decimals == places) & ~np.isnan(number))
        value[mine] = [f"{x:.{places}f}" for x in number[mine].tolist()]
    return number, value


def _spoiled_rows(
    table: str, cells: dict[str, Texts], traps: tuple[Trap, ...], spoiled: Spoiled, chosen: Ints
) -> Iterator[Sequence[str]]:
    """Put the traps' texts into their cells and yield the records, the short ones cut."""
    trap = spoiled.trap[chosen]
    for index, kind in enumerate(traps):
        mine = np.flatnonzero(trap == index)
        for column, texts in kind.cells.items():
            cells[column][mine] = np.array(texts, dtype=object)[chosen[mine] % len(texts)]
    keep = {index: kind.keep_fields for index, kind in enumerate(traps) if kind.keep_fields}
    records: Iterator[Sequence[str]] = zip(*(cells[name].tolist() for name in COLUMNS[table]), strict=True)
    for record, index in zip(records, trap.tolist(), strict=True):
        yield record[: keep[index]] if index in keep else record


def times(minute: Ints) -> Texts:
    """Return minutes since 1970 as `YYYY-MM-DD HH:MM:00`, "" for `NEVER`."""
    text = np.datetime_as_string(minute.astype("datetime64[m]").astype("datetime64[s]"))
    letters = text.view(np.uint32).reshape(len(minute), -1)
    letters[:, 10] = ord(" ")
    out = text.astype(object)
    out[minute == NEVER] = ""
    return out


def _str(numbers: Ints) -> Texts:
    out = np.empty(len(numbers), dtype=object)
    out[:] = [str(x) for x in numbers.tolist()]
    return out


def choose(choices: Sequence[str], n: int, rng: np.random.Generator) -> Texts:
    """Draw `n` of the choices, each as likely."""
    return np.array(choices, dtype=object)[rng.integers(0, len(choices), n)]
