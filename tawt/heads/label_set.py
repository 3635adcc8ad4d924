"""Labels as a head learns them: one row per subject and prediction time, with all that is asked there side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.cells import named

_OWN = re.compile(r"label|[\d.e+]+ h")
"""What is asked where there are no targets: the names are not of the labels."""


@dataclass(frozen=True, eq=False)
class LabelSet:
    """`r` prediction times, and `c` things that are asked at each."""

    name: str
    """Of the file without its suffix, or of the folder of a `labels.parquet`."""
    sha256: str
    """Of the file."""
    kind: str
    """What is asked, of `tawt.heads.kinds`."""
    subject_id: Ints
    """`(r,)`."""
    time: Ints
    """`(r,)`, us since 1970-01-01."""
    asked: tuple[str, ...]
    """Names of what is asked, `(c,)`: targets and horizons."""
    value: NDArray[np.float64]
    """`(r, c)`: yes is 1 and no is 0; a number; the place of the class in `classes`; NaN = not known. Of a time to an
    event, whether it was seen."""
    duration: NDArray[np.float64]
    """`(r, c)`, hours to the event or to the end of watching; empty for other kinds."""
    prior: NDArray[np.float64]
    """`(r, c)`, how often it had come before; NaN = not told; empty where no row tells it."""
    classes: tuple[str, ...] = ()
    """Names of classes."""

    def __len__(self) -> int:
        return len(self.subject_id)

    @property
    def without(self) -> NDArray[np.bool_]:
        """`(r,)`, where nothing is known of what is asked."""
        return np.asarray(np.isnan(self.value).all(1))

    def named(self, names: Sequence[str]) -> dict[str, str]:
        """Return what classes, or things that are asked, may be called: hours, and what enough people have, by name."""
        holds = self.value[:, 0] == np.arange(len(self.classes))[:, None] if self.classes else ~np.isnan(self.value).T
        n = [len(np.unique(self.subject_id[one])) for one in holds]
        people = dict(zip(self.classes or self.asked, n, strict=True))
        told = named({name: people.get(name, 0) for name in names})
        return {name: name if not self.classes and _OWN.fullmatch(name) else told[name] for name in names}

    def rows(self, chosen: NDArray[np.bool_] | Ints) -> LabelSet:
        """Return some rows."""
        return replace(
            self, subject_id=self.subject_id[chosen], time=self.time[chosen], value=self.value[chosen],
            duration=self.duration[chosen], prior=self.prior[chosen],
        )  # fmt: skip

    def only(self, i: int, kind: str) -> LabelSet:
        """Return one of the things that are asked, at the same prediction times: alone it is of that kind."""
        own = slice(i, i + 1)
        return replace(
            self, kind=kind, asked=self.asked[own], value=self.value[:, own], duration=self.duration[:, own],
            prior=self.prior[:, own],
        )  # fmt: skip
