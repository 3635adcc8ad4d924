"""How few people are told of, and the cells, of a grid that hangs on no single number, that a number is told as."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tawt.arrays import Floats, Ints

SMALL_CELL = 10
"""Counts of people from 1 to this are told of nobody: shown as `<11`, withheld from what is shared."""
RARE = f"data types of fewer than {SMALL_CELL + 1} subjects"
"""Stands for those that are not named: their names can be what somebody wrote."""
_STEP = 20
_ROUND = np.array([float(f"{lead}e{k}") for k in range(-323, 308) for lead in (1, 2, 5)])


def few(n: int) -> str:
    """Return a count of people, or of their rows, as it may be told: exact above 10, else `<11`; 0 stays 0."""
    return f"<{SMALL_CELL + 1}" if 0 < n <= SMALL_CELL else f"{n:,}"


def named(people: Mapping[str, int]) -> dict[str, str]:
    """Return what each of some answers may be called: its name where more than 10 people have it, else its number."""
    few = f"of fewer than {SMALL_CELL + 1} subjects"
    return {name: name if n > SMALL_CELL else f"answer {i}, {few}" for i, (name, n) in enumerate(people.items(), 1)}


def told(counts: Mapping[str, int]) -> dict[str, str]:
    """Return counts of rows as texts: few are told as `<11`.

    Where those would follow from the others and their sum, as many of the others as it takes are told as `40+`.
    """
    as_, small = apart(counts, ""), [n for n in counts.values() if 0 < n <= SMALL_CELL]
    texts = {name: few(n) for name, n in counts.items()}
    led = [name for name, n in counts.items() if n > SMALL_CELL and as_.get(name) != name]
    if not as_ and (led or sum(small) > SMALL_CELL):  # so few in all that nothing but their sum may be known
        most = f"<{(sum(counts.values()) // _STEP + 1) * _STEP}"
        return {name: most if n else "0" for name, n in counts.items()}
    # a floor by what is known of all of them together tells no more
    spare = sum(small) + sum(counts[name] for name in led) - SMALL_CELL * len(small)
    floor = max(spare // _STEP * _STEP if len(led) == 1 else 0, SMALL_CELL + 1)
    return texts | dict.fromkeys(led, f"{floor:,}+")


def apart(counts: Mapping[str, int], rest: str, nameless: Collection[str] = ()) -> dict[str, str]:
    """Return what each part of a known sum is told as: its name, or what it is told together with others as.

    Those of few are told together, with the nameless. If that is few as well, others, by name, are told with them,
    until what is of few is no sum and no difference of what is told. Where they never are so many, nothing is told.
    """
    hidden = {name: n for name, n in counts.items() if n <= SMALL_CELL or name in nameless}
    few = [n for n in hidden.values() if 0 < n <= SMALL_CELL]
    together, led = sum(hidden.values()), []
    if few and (together <= SMALL_CELL or together in (len(few), SMALL_CELL * len(few))):
        for name in sorted(name for name in counts if name not in hidden):
            led.append(name)
            together += counts[name]
            if together >= (enough := (SMALL_CELL + 1) * len(led) + max(SMALL_CELL, len(few) + 1)):
                break
        if not led or together < enough:
            return {}
    told_as = " and ".join((*led, rest))
    return {name: told_as if name in hidden or name in led else name for name, n in counts.items() if n}


@dataclass(frozen=True)
class Part:
    """Rows that are one of the summands of a sum that is known."""

    name: str
    n_rows: int
    n_people: int
    """So many people at least have them."""


def untold_parts(parts: Sequence[Part]) -> set[str]:
    """Return the parts of a known sum that are not told: those of few people, and as many of the others as it takes.

    The smallest go first, until the rest of the sum is that of more than few people, and of more rows than would leave
    those of few with few.
    """
    hidden = [part for part in parts if part.n_rows and part.n_people <= SMALL_CELL]
    least = 2 * (SMALL_CELL + 1) if hidden else 0
    for part in sorted(parts, key=lambda one: (one.n_rows, one.name)) if hidden else ():
        if part.n_people > SMALL_CELL and part.n_rows:
            hidden.append(part)
            if sum(one.n_rows for one in hidden) >= least:
                break
            least += SMALL_CELL + 1
    return {part.name for part in hidden}


def together(parts: Sequence[Part]) -> tuple[set[str], str, int | None]:
    """Return the parts of a known sum that are told together, what they are called, and their rows.

    No rows where all are of few people: their sum is not told either.
    """
    gone = untold_parts(parts)
    led = [part.name for part in parts if part.name in gone and part.n_people > SMALL_CELL]
    n = sum(part.n_rows for part in parts if part.name in gone)
    return gone, " and ".join((*led, RARE)), n if led and n >= (SMALL_CELL + 1) * (len(led) + 1) else None


def round_number(most: npt.ArrayLike) -> Floats:
    """Return the largest 1, 2 or 5 x 10^k that is not above each of some positive numbers."""
    rounded: Floats = _ROUND[np.searchsorted(_ROUND, most, side="right") - 1]
    return rounded


def edge_steps(edges: Floats | Sequence[float], std: Floats | float, first: Ints | Sequence[int] = (0,)) -> Floats:
    """Return the width of each edge's cell: at most half of the gap to the nearer neighbour, so that no two meet.

    Args:
        edges: Of one data_type, or of several, one after the other, ascending in each.
        std: Of the data_type of each edge: the gap of an edge that has no neighbour.
        first: Where the edges of each data_type begin.
    """
    gaps = np.diff(edges, prepend=np.nan, append=np.nan)
    gaps[first] = np.nan
    nearer = np.fmin(gaps[:-1], gaps[1:])
    return round_number(np.where(np.isnan(nearer), std, nearer) / 2)


def center_step(scale: npt.ArrayLike) -> Floats:
    """Return the width of the cell of a median that is no edge: a quarter to five eighths of the scale."""
    return 2.5 * round_number(np.asarray(scale) / 4)


def middle(number: float, step: float) -> float:
    """Return the middle of a number's cell; cells of a width start at the multiples of it."""
    return (math.floor(number / step) + 0.5) * step
