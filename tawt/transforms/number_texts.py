"""Texts that are numbers to who reads them, and were none to their source: `1,234.5`, `5.4*`, `5.4 mmol/L`.

No ordinal, grade (`1+`), range, ratio, fraction or date is one.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

WRITTEN, WORDED = "of another notation", "with a word behind"
"""Digits with a comma, point or blank between, at most a flag behind; and a number with one word behind."""
_NUMBER = r"[+-]?(?:\d{1,3}(?:[ ,'.]\d{3})+(?:[.,]\d+)?|\d*[.,]\d+|\d+)"
_BETWEEN = r"[+-]?(?:\d{1,3}(?:[ ,'.]\d{3})+(?:[.,]\d+)?|\d*[.,]\d+)"
_FLAG = r"\s*(?:\*+|!+|\(?(?:H{1,2}|L{1,2})\)?)"
_IS_WRITTEN = rf"^\s*(?:{_BETWEEN}|{_NUMBER}{_FLAG})\s*$"
_IS_WORDED = rf"^\s*{_NUMBER}\s*[\p{{L}}%°][\p{{L}}\d%°/^.*-]*\s*$"
_IS_OTHER = r"(?i)\d\s*(?:st|nd|rd|th|am|pm|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\p{L}*[-/.\d]*)\s*$"
"""Ordinals, times of day, and dates."""


def number_texts(code: pa.DictionaryArray, text: pa.DictionaryArray) -> list[tuple[str, int, int, int]]:
    """Count texts by data_type; each different one is looked at once.

    Args:
        code: The data_type of each row, [n_rows].
        text: Its text, [n_rows]; none is null.

    Returns:
        Of each code, sorted: it, its rows, those of another notation, and those with a word behind.
    """
    if not len(code):
        return []
    size = len(text.dictionary)
    pairs = code.indices.to_numpy().astype(np.int64) * size + text.indices.to_numpy()
    pairs, n = np.unique(pairs, return_counts=True)
    said = pl.Series(text.dictionary.take(pa.array(pairs % size)).to_pylist(), dtype=pl.String)
    written = said.str.contains(_IS_WRITTEN)
    worded = said.str.contains(_IS_WORDED) & ~said.str.contains(_IS_OTHER) & ~written
    frame = pl.DataFrame(
        {"code": pairs // size, "n": n, WRITTEN: n * written.to_numpy(), WORDED: n * worded.to_numpy()}
    )
    names = code.dictionary.to_pylist()
    return sorted((names[place], *counts) for place, *counts in frame.group_by("code").sum().iter_rows())
