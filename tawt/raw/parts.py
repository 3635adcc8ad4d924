"""Which files are parts of one table, told by their names: a number or a day tells them apart, a letter does not."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"\d+(?:(?:[-_. ]?(?:of|von|q|to|bis)[-_. ]?|[-_.])\d+)*"
_SERIES = re.compile(
    rf"(?P<stem>(?:.*?[^\d_. -])?)(?P<sep>[-_. ]?){_NUMBER}|{_NUMBER}(?P<gap>[-_. ])(?P<rest>.*\D)", re.ASCII
)
"""A name with a number, a day or a month behind it, or in front."""
_SETS = re.compile(r"(.+?)[-_. ]?(\d+|(?<=[-_. ])[a-z])", re.ASCII)
"""A name of a folder or an archive of small files, of which there may also be `a` and `b`."""
_OF_SYSTEMS = ("icd", "ops", "atc")
"""Names behind which a number is no part."""
ANY = ("", "part", "chunk", "file", "data", "export", "split", "shard", "batch")
"""Names that say nothing of a table: its folder does."""


class Named(NamedTuple):
    """What the name of a part has in common with those of the others."""

    stem: str
    patterns: tuple[str, ...] = ()
    """That mean the parts; none where the name has no number."""


def named_part(name: str, is_small: bool) -> Named:
    """Return what the name of a file has in common with those of other parts of its table.

    Args:
        name: The file's, without what says how it is written.
        is_small: Whether it is a folder or an archive of small files.
    """
    if is_small:
        return Named(found[1] if (found := _SETS.fullmatch(name)) else name)
    found = _SERIES.fullmatch(name)
    if found is None or (found["stem"] or "").endswith(_OF_SYSTEMS):
        return Named(name)
    if found["rest"] is not None:
        return Named(found["rest"], (f"[0-9]*{found['gap']}{found['rest']}",))
    return Named(found["stem"], tuple(f"{found['stem']}{found['sep']}{any_}" for any_ in ("*", "[0-9]*")))
