"""The dirt of real extracts, as data: which cells of which share of records are spoiled, and how."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tawt.hospital.course import Rows
from tawt.hospital.dictionary import ITEM_IDS, ITEMS, TEXTS

LEAST = 3
"""Every trap is set at least this often."""


class Trap(NamedTuple):
    """Texts put into the cells of a `share` of the records of `itemids` (of every numeric item if empty)."""

    name: str
    share: float
    cells: dict[str, tuple[str, ...]]
    itemids: tuple[int, ...] = ()
    scale: float = 1.0
    keep_fields: int | None = None


_NONSENSE = ("HEMOLYZED", "see comment", "1.2.3", "n/a")
_COMMENT = (
    "Sample hemolyzed, result may be\nfalsely elevated",
    'Called to "charge nurse", read back\nand confirmed',
)
_TIMES = (
    Trap("impossible_time", 0.001, {"charttime": ("2150-13-45 99:00:00", "2150-02-30 12:00:00")}),
    Trap("empty_time", 0.001, {"charttime": ("",)}),
    Trap("far_future_time", 0.0005, {"charttime": ("9999-12-31 23:59:00",)}),
)

LAB_TRAPS = (
    Trap("below_bound", 0.25, {"value": ("<0.01",), "valuenum": ("", "0.01")}, (51003,)),
    Trap("above_bound", 0.01, {"value": (">1000",), "valuenum": ("", "1000")}, (50931,)),
    Trap("unit_mmol", 0.06, {"valueuom": ("mmol/L",)}, (50931,), scale=1 / 18.016),
    Trap("unit_spelling", 0.05, {"valueuom": ("MG/DL", "mg/dl", " mg/dL")}, (50912, 51006, 50960)),
    Trap("unit_spelling", 0.05, {"valueuom": ("10*9/L", "10^3/uL", "K/UL")}, (51301, 51265)),
    Trap("unit_unknown", 0.002, {"valueuom": ("arb. units", "furlong/L")}),
    Trap("empty_value", 0.025, {"value": ("",), "valuenum": ("",)}),
    Trap("unparseable_value", 0.002, {"value": _NONSENSE, "valuenum": _NONSENSE}),
    Trap("out_of_range", 0.005, {"value": ("999",), "valuenum": ("999",)}, (50971,)),
    Trap("empty_itemid", 0.0005, {"itemid": ("",)}),
    Trap("quoted_comment", 0.005, {"comments": _COMMENT}),
    Trap("short_row", 0.0003, {}, keep_fields=5),
    *_TIMES,
)

CHART_TRAPS = (
    Trap("out_of_range", 0.002, {"value": ("9999",), "valuenum": ("9999",)}, (220045,)),
    Trap("temperature_misfiled", 0.01, {"itemid": ("223762",)}, (223761,)),
    Trap("empty_value", 0.015, {"value": ("",), "valuenum": ("",)}),
    Trap("unparseable_value", 0.001, {"value": _NONSENSE, "valuenum": _NONSENSE}),
    Trap("empty_itemid", 0.0003, {"itemid": ("",)}),
    *_TIMES,
)

COPIES = (("duplicate_row", 0.002), ("tie_same_item", 0.002))
"""Records written twice: to the byte, and as a second result of one item in the same minute."""

SECOND_RESULT = 2
"""How `Spoiled.copy` marks the latter."""


class Spoiled(NamedTuple):
    """The records to write, copies included, and what is done to each."""

    row: NDArray[np.int64]
    copy: NDArray[np.int64]
    """0 for the record itself, else 1 + the index in `COPIES`."""
    trap: NDArray[np.int64]
    """Index of the trap in the table's traps, -1 for none."""
    counts: dict[str, int]


def spoil(rows: Rows, traps: tuple[Trap, ...], lone: int, rng: np.random.Generator) -> Spoiled:
    """Choose the records that each trap spoils, one trap each; planted ones and `lone`'s stay clean."""
    n = len(rows.item)
    chosen = np.full(n, -1)
    counts: dict[str, int] = {}
    free = (rows.item < len(ITEMS)) & ~rows.planted & (rows.subject != lone)
    itemid = ITEM_IDS[rows.item]
    for index, trap in enumerate(traps):
        fit = np.flatnonzero(free & np.isin(itemid, trap.itemids) if trap.itemids else free)
        picked = _pick(fit, trap.share, rng)
        chosen[picked], free[picked] = index, False
        counts[trap.name] = counts.get(trap.name, 0) + len(picked)
    row, copy = [np.arange(n)], [np.zeros(n, dtype=np.int64)]
    for index, (name, share) in enumerate(COPIES):
        picked = _pick(np.flatnonzero(free), share, rng)
        free[picked] = False
        row.append(picked)
        copy.append(np.full(len(picked), 1 + index))
        counts[name] = len(picked)
    record = np.concatenate(row)
    return Spoiled(record, np.concatenate(copy), chosen[record], counts)


def texts_of(rows: Rows, rng: np.random.Generator) -> NDArray[np.object_]:
    """Return the words of the records whose item answers in words, "" elsewhere."""
    out = np.full(len(rows.item), "", dtype=object)
    for index, (_, words) in enumerate(TEXTS.values()):
        mine = np.flatnonzero(rows.item == len(ITEMS) + index)
        out[mine] = np.array(words, dtype=object)[rng.integers(0, len(words), len(mine))]
    return out


def _pick(fit: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    wanted = min(len(fit), max(LEAST, round(share * len(fit))))
    return np.sort(rng.choice(fit, wanted, replace=False))
