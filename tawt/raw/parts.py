"""Which files are parts of one table, told by their names: a number or a day tells them apart, no letter or version."""

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
VERSION = r"v|vers?|version|rev|revision|release|copy|kopie|backup|bak|draft|entwurf"
"""What says of a name that a number behind it is that of a version."""
_VERSIONED = re.compile(rf"(?:.*[-_. ])?(?:{VERSION})", re.IGNORECASE)
"""A name behind which a number is that of a version."""
_TELLS_APART = re.compile(
    rf"(?<![^\W_])(?:(?:{VERSION}|old|new|alt|neu|orig(?:inal)?|final|corrected|fixed|latest|prev(?:ious)?)[-_. ]?\d*"
    r"|[a-z]|\(?\d+\)?)(?![^\W_])",
    re.IGNORECASE,
)
"""What tells a version of a table, or one of a letter, from another."""
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
        found = _SETS.fullmatch(name)
        return Named(name if found is None or _VERSIONED.fullmatch(found[1]) else found[1])
    found = _SERIES.fullmatch(name)
    stem = "" if found is None else found["stem"] or ""
    if found is None or stem.endswith(_OF_SYSTEMS) or _VERSIONED.fullmatch(stem):
        return Named(name)
    if found["rest"] is not None:
        return Named(found["rest"], (f"[0-9]*{found['gap']}{found['rest']}",))
    return Named(found["stem"], tuple(f"{found['stem']}{found['sep']}{any_}" for any_ in ("*", "[0-9]*")))


def without_version(place: str) -> str:
    """Return the place of a table without what tells it from another version, or another one of a letter."""
    return re.sub(r"[-_. ()/]+", "/", _TELLS_APART.sub("", place)).strip("/")
