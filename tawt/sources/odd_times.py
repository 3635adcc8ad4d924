"""Columns that look like times and are in no form that is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from tawt.sources.kinds import kind_of
from tawt.sources.names import (
    ADMITTED,
    ASKED,
    BIRTH,
    CLOCK,
    CODED,
    CODES,
    DEATH,
    END,
    GOOD_TIME,
    IDS,
    NUMBERS,
    OFFSETS,
    READY,
    SUBJECTS,
    TEXTS,
    UNITS,
    flat,
)

_NAMED = (
    rf"{GOOD_TIME}|{END}|{READY}|{ADMITTED}|{ASKED}|{BIRTH}|{DEATH}|^(date|time|zeit|datum|fecha|when)"
    r"|(date|time|datum|zeit|fecha|dttm|dtm|dt|ts|stamp|day|tag|wann|week|woche)(utc|local)?$"
)
_OTHERS = rf"{IDS}|{CODED}|{UNITS}|(value|wert|amount|dose|rate|count|volume|menge|cost|charge|total|type|kind)s?$"
_BY_SHAPE = re.compile(
    r"(?=.*(?<!\d)(1[89]|2[0-3])\d\d(?!\d))(.*\d[:.h]\d\d|.*\b(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]))"
    r".*|(1[89]|2[0-3])\d\d-?W\d\d(-?\d)?",
    re.ASCII | re.IGNORECASE,
)
"""Texts that hardly are anything but times: a year, and a clock or the name of a month; or a year and a week."""
_WORDS = re.compile(
    r"[twz]|[ap]m|h|q|kw|utc|gmt|uhr|um|at|of|de|del|st|nd|rd|th|[cme]e?[sd]?t|pst|pdt|msk|ist|jst"
    r"|(mo|tu|we|th|fr|sa|su|di|mi|do|so|lu|ma|me|je|ve)[a-z]{0,8}"
    r"|(jan|feb|fev|m[aä]r|apr|abr|avr|ma[iy]|jun|jui|jul|aug|ao[uû]|ago|sep|o[ck]t|nov|de[czé])[a-zû]{0,7}",
    re.IGNORECASE,
)  # fmt: skip
"""What stands in a time in letters: days, months, zones."""
_MASK = str.maketrans({**dict.fromkeys("0123456789", "9"), **dict.fromkeys(map(chr, range(65, 91)), "A")})
_LONGEST, _DIGITS, _MOSTLY = 40, 4, 0.9


def unread_time(name: str, counted: Mapping[str | None, int]) -> str:
    """Return how the cells of a column look that seem to be times and are not read as such; empty where they do not.

    Args:
        name: Of the column.
        counted: Its cells, and how often each comes.
    """
    bare = flat(name)
    called = bare in (*CODES, *NUMBERS, *TEXTS, *SUBJECTS) or any(re.search(one, bare) for one in (_OTHERS, *OFFSETS))
    is_named = re.search(_NAMED, bare) is not None and not called
    is_clock = re.search(CLOCK, bare) is not None

    def least(kind: str) -> int:
        """Return how many digits a cell must have: of a decimal that is called a clock, three, as in 8.30."""
        return _DIGITS - 1 if is_clock and kind == "decimal" else _DIGITS + (kind in ("whole", "decimal"))

    n = n_times = n_like = 0
    masks: Counter[str] = Counter()
    for cell, often in counted.items():
        text = (cell or "").strip()
        kind = kind_of(text)
        if kind in ("empty", "mark"):
            continue
        n += often
        n_times += often * (kind == "time")
        n_digits = sum(map(str.isdigit, text))
        # a number of five digits counts days, one of more seconds, or is a day in digits alone
        is_like = all(_WORDS.fullmatch(word) for word in re.findall(r"[^\W\d_]+", text))
        by_name = is_named and kind != "clock" and is_like and n_digits >= least(kind)
        if kind != "time" and len(text) <= _LONGEST and (by_name or (kind == "text" and _BY_SHAPE.fullmatch(text))):
            n_like += often
            masks[text.upper().translate(_MASK)] += often
    seldom = n_like < 0.02 * n or (not n_times and len(masks) > 0.5 * len(counted) > 10)
    return max(masks, key=lambda mask: masks[mask]) if n_like + n_times >= _MOSTLY * n and masks and not seldom else ""


def said_of(columns: Mapping[str, str]) -> str:
    """Return columns with what their cells look like, as a note has them."""
    return ", ".join(f"`{column}` (as `{mask}`)" for column, mask in columns.items())
