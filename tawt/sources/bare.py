"""Which cells mean the same, however they are written, and what two columns share of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def bare(cell: str) -> str:
    """Return a cell as ids are compared: in small letters, without blanks, zeros in front of a number, those behind its
    point, and signs between letters and digits."""
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", "".join(unicodedata.normalize("NFKC", cell).casefold().split()))
    text = re.sub(r"[_/]", "-", re.sub(r"^(-?\d+)\.0+$", r"\1", text))
    return re.sub(r"^[{(\[#]+|[})\]]+$|(?<=[a-z])[-.#:]+(?=\d)|(?<=\d)[-#:]+(?=[a-z])", "", text)


def hashed(cells: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return what stands for some cells in this process, sorted."""
    return np.unique(np.fromiter(map(hash, cells), np.int64))


def common(some: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return what is in both, of sorted ones."""
    if not len(others):
        return others
    return some[others[np.searchsorted(others, some).clip(max=len(others) - 1)] == some]
