"""What a prior may be told of somebody: a class, as a sex or a label, or a number, as a year of birth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError


@dataclass(frozen=True)
class Known:
    """One thing that is known."""

    name: str
    classes: tuple[str, ...]
    """Those of more than 10 people; empty = a number."""
    mean: float = 0.0
    """Of a number, over train."""
    deviation: float = 1.0
    """The same, never 0."""

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return len(self.classes) or 1

    def encoded(self, given: object, n: int) -> Tensor:
        """Return the columns `(n, width)` float64 of one class or number, or of one for each.

        Raises:
            ConfigError: It is none of the classes, or no number.
        """
        values = np.broadcast_to(np.asarray(given), (n,))
        if not self.classes:
            try:
                numbers = values.astype(np.float64)
            except (TypeError, ValueError):
                numbers = np.array([np.nan])
            if not np.isfinite(numbers).all():
                raise ConfigError(f"`{self.name}`", "is no number, expected one", "give one")
            return torch.from_numpy((numbers - self.mean) / self.deviation)[:, None]
        texts = values.astype(str)
        if not np.isin(texts, self.classes).all():
            raise ConfigError(
                f"`{self.name}`", f"is another one, expected {', '.join(self.classes)}",
                f"classes of fewer than {SMALL_CELL + 1} subjects are not learned",
            )  # fmt: skip
        return torch.from_numpy((texts[:, None] == np.array(self.classes)).astype(np.float64))


def known_of(known: Mapping[str, Mapping[int, str | float]], subjects: Ints) -> tuple[Known, ...]:
    """Return what is known, as far as enough of some subjects have it.

    Raises:
        ConfigError: A class or a number is known of too few of them.
    """
    found = []
    for name, of in known.items():
        own = [of[who] for who in subjects.tolist() if who in of]
        enough = len(own) > SMALL_CELL
        if any(isinstance(one, str) for one in own):
            texts, counts = np.unique([str(one) for one in own], return_counts=True)
            classes = tuple(texts[counts > SMALL_CELL].tolist())
            found.append(Known(name, classes))
            enough = bool(classes)
        elif enough:
            numbers = np.array(own, dtype=np.float64)
            found.append(Known(name, (), float(numbers.mean()), float(numbers.std()) or 1.0))
        if not enough:
            raise ConfigError(
                f"`{name}`", f"is known of fewer than {SMALL_CELL + 1} subjects alike, expected more", "leave it out"
            )
    return tuple(found)


def columns_of(
    what: tuple[Known, ...], known: Mapping[str, Mapping[int, str | float]], subjects: Ints
) -> tuple[Bools, Floats]:
    """Return of which subjects all is known, `(s,)`, and its columns of those, `(m, columns)`."""
    who = subjects.tolist()
    there = np.array([
        all(one in known[k.name] and (not k.classes or str(known[k.name][one]) in k.classes) for k in what)
        for one in who
    ], dtype=np.bool_)  # fmt: skip
    own = subjects[there].tolist()
    columns = [k.encoded([known[k.name][one] for one in own], len(own)).numpy() for k in what]
    return there, np.concatenate([*columns, np.zeros((len(own), 0))], 1)


def learned_of(
    known: Mapping[str, Mapping[int, str | float]], subjects: Ints
) -> tuple[tuple[Known, ...], Bools, Floats]:
    """Return what is known, of which subjects all of it is, and its columns of those: see `columns_of`.

    Raises:
        ConfigError: A class, a number, or all of it is known of too few of them.
    """
    what = known_of(known, subjects)
    there, columns = columns_of(what, known, subjects)
    if len(columns) <= SMALL_CELL:
        what_is = f"is fitted to fewer than {SMALL_CELL + 1} subjects, expected more"
        raise ConfigError("prior", what_is, "use `normal`, or leave out what is known of few")
    return what, there, columns


def hold_given(given: Mapping[str, object], known: Mapping[str, Mapping[int, str | float]], subjects: Ints) -> None:
    """Hold that what is asked for can be learned of some subjects, and is something that enough of them are.

    Raises:
        ConfigError: It cannot, or is none.
    """
    for one in learned_of(known, subjects)[0]:
        one.encoded(given[one.name], 1)
        if not one.classes:
            _hold_number(one.name, float(str(given[one.name])), [known[one.name].get(who) for who in subjects.tolist()])


def _hold_number(name: str, given: float, facts: Iterable[object]) -> None:
    """Hold that a number lies where those of many people do: between means over as many as may be told of."""
    numbers = np.sort(np.array([one for one in facts if one is not None], dtype=np.float64))
    low, high = (f"{part.mean():.4g}" for part in (numbers[: SMALL_CELL + 1], numbers[-SMALL_CELL - 1 :]))
    if not float(low) <= given <= float(high):
        raise ConfigError(
            f"`{name}`", f"is {given:g}, of which nothing is known, expected {low} to {high}",
            "these are the means of the eleven lowest and the eleven highest of train; give a number between them",
        )  # fmt: skip
