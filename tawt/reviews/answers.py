"""What raters said of the records of a review, read back from the files that its page saves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AwareDatetime, Field, ValidationError

from tawt.arrays import Bools, Floats, Ints
from tawt.config.base import Section
from tawt.errors import FileError, listed
from tawt.files import read_json
from tawt.readers import GIVEN, read_record
from tawt.seals import hold

FORMAT = "tawt.review/1"
FLAGS = ("order", "value", "combination")
"""What may be impossible about a record."""
MOST = 5
"""Ratings are from 1 to that."""
Scale = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Number = Annotated[int, Field(strict=True, ge=1)]
_AGAIN = "it cannot be made again: take the folder from a copy"
_HINT = "give a file that the page of this review saved, as it was saved"


class Answer(Section):
    """What one rater says of one record."""

    item: Number
    """Number of the record in the page, from 1."""
    invented: Scale | None = None
    """1 surely real .. 5 surely invented."""
    plausible: Scale | None = None
    """1 not at all .. 5 entirely."""
    order: bool = False
    """Whether it holds an impossible order."""
    value: bool = False
    """Whether it holds an impossible value."""
    combination: bool = False
    """Whether it holds an impossible combination."""
    note: Annotated[str, Field(max_length=2000)] = ""
    """What and why, in words."""


_EXPECTED = {
    "item": "the number of a record",
    **dict.fromkeys(("invented", "plausible"), f"a whole number from 1 to {MOST}, or null"),
    **dict.fromkeys(FLAGS, "true or false"),
    "note": "a text of at most 2,000 characters",
}
"""What each key of an answer may be."""


class Answers(Section):
    """One file of answers."""

    format: Literal["tawt.review/1"]
    review: str
    """What the review is known by."""
    rater: Annotated[str, Field(min_length=1, max_length=40)]
    """Initials: answers of one rater are told from those of others by them."""
    saved: AwareDatetime
    """When: of two answers of one rater to one record the later counts."""
    answers: tuple[Answer, ...]
    """In any order, of as many records as were rated."""


class Key(Section):
    """Which records of a review are real; the file that stays where it was written."""

    format: Literal["tawt.review/1"]
    review: str
    """What the review is known by."""
    synthetic: tuple[bool, ...]
    """Of each record of the page, in its order."""
    subject_id: tuple[int, ...]
    """Of each, in the set that it is of."""


@dataclass(frozen=True, eq=False)
class Ratings:
    """What `r` raters say of `n` records."""

    raters: tuple[str, ...]
    """In the order of their names."""
    invented: Floats
    """`(r, n)`, 1 to 5; NaN where it was left open."""
    plausible: Floats
    """`(r, n)`, as invented."""
    flags: Bools
    """`(r, n, 3)`, see `FLAGS`."""
    notes: tuple[tuple[int, str, str], ...]
    """Record, rater and what was written, by record."""
    n_replaced: int = 0
    """Answers that a later one of the same rater took the place of."""

    @property
    def n_items(self) -> Ints:
        """`(r,)`, records of which a rater said anything on a scale."""
        found: Ints = (np.isfinite(self.invented) | np.isfinite(self.plausible)).sum(1)
        return found


def read_ratings(paths: Iterable[Path], key: Key) -> Ratings:
    """Read files of answers.

    Args:
        paths: One or more; several of one rater are one.
        key: Of the review.

    Raises:
        FileError: A file is absent, damaged, was edited into something else, or is of another review.
    """
    files = sorted((_read(path, key) for path in paths), key=lambda one: one.saved)
    said: dict[str, dict[int, Answer]] = {}
    n_replaced = 0
    for file in files:
        own = said.setdefault(" ".join(file.rater.split()).casefold(), {})
        for answer in file.answers:
            n_replaced += answer.item in own and own[answer.item] != answer
            own[answer.item] = answer
    names = {" ".join(file.rater.split()).casefold(): " ".join(file.rater.split()) for file in files}
    raters, n = sorted(said), len(key.synthetic)
    invented, plausible = np.full((2, len(raters), n), np.nan)
    flags, notes = np.zeros((len(raters), n, len(FLAGS)), dtype=np.bool_), []
    for i, rater in enumerate(raters):
        for item, answer in said[rater].items():
            invented[i, item - 1] = np.nan if answer.invented is None else answer.invented
            plausible[i, item - 1] = np.nan if answer.plausible is None else answer.plausible
            flags[i, item - 1] = [getattr(answer, flag) for flag in FLAGS]
            if answer.note:
                notes.append((item, names[rater], answer.note))
    return Ratings(tuple(names[one] for one in raters), invented, plausible, flags, tuple(sorted(notes)), n_replaced)


def _read(path: Path, key: Key) -> Answers:
    if not os.path.lexists(path):
        raise FileError(str(path), "is not there, expected a file that the page of the review saved", _HINT)
    told = read_json(path)  # what cannot be read is told by the reading below
    if told is not None and told.get("format") != FORMAT:
        raise FileError(str(path), "holds no answers to a review, expected a file that its page saved", _HINT)
    _hold_answers(path, told)
    found = read_record(path, Answers, _HINT)
    if found.review != key.review:
        raise FileError(
            str(path), f"is of another review, expected answers to `{key.review}`",
            "give the folder of the review that was answered",
        )  # fmt: skip
    if not found.rater.strip():
        raise FileError(str(path), "names no rater, expected initials", _HINT)
    items = [answer.item for answer in found.answers]
    if beyond := sorted({item for item in items if item > len(key.synthetic)}):
        what = f"rates {listed([f'{n}' for n in beyond])}, expected records 1 to {len(key.synthetic)}"
        raise FileError(str(path), what, _HINT)
    if len(items) > len(set(items)):
        raise FileError(str(path), "rates a record twice, expected each once", _HINT)
    return found


def _hold_answers(path: Path, told: Mapping[str, Any] | None) -> None:
    """Tell by its record which answer is none; what a file says otherwise is told by whoever reads it."""
    said = told.get("answers") if told is not None else None
    for place, one in enumerate(said if isinstance(said, list) else [], 1):
        try:
            Answer.model_validate(one)
        except (ValidationError, RecursionError) as error:
            wrong = (
                error.errors(include_url=False, include_input=False)[0] if isinstance(error, ValidationError) else None
            )
            key = str(wrong["loc"][0]) if wrong and wrong["loc"] else ""
            item = one.get("item") if isinstance(one, dict) else None
            of = f"record {item}" if type(item) is int else f"its answer {place}"
            if key not in _EXPECTED:  # a name of somebody's own
                raise FileError(str(path), f"has another key at {of}, expected {', '.join(_EXPECTED)}", _HINT) from None
            raise FileError(
                str(path), f"has no `{key}` at {of} that may be, expected {_EXPECTED[key]}", _HINT
            ) from None


def read_key(folder: Path) -> Key:
    """Read the key of a review, and hold the page to its list: other records under the same numbers were not rated.

    The page, which holds real people, may be gone when answers are in.

    Raises:
        FileError: The key or the list is absent, or one of the three is not as it was written.
    """
    path = folder / KEY
    if not path.is_file():
        raise FileError(str(folder), f"has no {KEY}, expected the folder that `tawt review` wrote", GIVEN)
    key = read_record(path, Key, _AGAIN, sealed=True)
    hold(folder, [KEY, *([PAGE] if os.path.lexists(folder / PAGE) else [])], _AGAIN)
    return key


KEY = "key.json"
"""File of a review that says which records are real; sealed."""
PAGE = "page.html"
"""What raters see."""
