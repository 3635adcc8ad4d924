"""Attacks over the number of people whom a synthetic set was learned from: what fails at many may succeed at few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from tawt.arrays import Ints
from tawt.contracts.cells import few
from tawt.errors import ConfigError
from tawt.privacy.distances import N_QUARTERS, prefix
from tawt.privacy.found import Found
from tawt.privacy.people import People
from tawt.privacy.suite import FORMAT, Assessment, assess
from tawt.privacy.verdict import SetVerdict, verdict


@dataclass(frozen=True, eq=False)
class Curve:
    """What attacks found, by number of people."""

    over: str
    """What grows: people of train, or those of them who are attacked."""
    sizes: tuple[int, ...]
    """Of each point."""
    points: tuple[Assessment, ...]

    @cached_property
    def verdicts(self) -> tuple[SetVerdict, ...]:
        """Of each point."""
        return tuple(verdict(point) for point in self.points)

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        points = zip(self.sizes, self.points, self.verdicts, strict=True)
        each = [{"n": few(n), "found": point.to_json(), "verdict": said.to_json()} for n, point, said in points]
        return {"format": FORMAT, "over": self.over, "points": each}

    def render(self) -> RichTable:
        """Return a table with a row a number of people; why a number is not there stands once, below."""
        reasons: dict[str, int] = {}

        def in_cell(found: Found | None) -> str:
            told = found.told() if found else None
            if found is None or told is None or told.value is not None or told.reason is None:
                return found.text() if found else "-"
            return f"- ({reasons.setdefault(told.reason, len(reasons) + 1)})"

        table = RichTable(title=f"attacks by {self.over}")
        attacks = [*dict.fromkeys(name for point in self.points for name in point.membership)]
        for name in ("n", "DCR share", "NNDR ratio", "NNAAR", *(f"TPR by {name}" for name in attacks), "verdict"):
            table.add_column(name, overflow="fold")
        for n, point, said in zip(self.sizes, self.points, self.verdicts, strict=True):
            cells = [point.distances.get(name) for name in ("dcr_share", "nndr_ratio", "nnaar")]
            cells += [point.membership[name].found["tpr_1"] if name in point.membership else None for name in attacks]
            table.add_row(few(n), *map(in_cell, cells), said.outcome)
        table.caption = Text("\n".join(f"({i}) {why}" for why, i in reasons.items())) if reasons else None
        return table


def fitted(
    fit: Callable[[Ints], People], train: People, sizes: Sequence[int], seed: int = 0
) -> Iterator[tuple[People, People]]:
    """Make a synthetic set of some people of train, then of more: the first are among them.

    Args:
        fit: Numbers of people in train -> records invented by what was learned from these alone.
        train: All that may be learned from.
        sizes: How many.
        seed: Of whom.

    Raises:
        ConfigError: There are not so many.
    """
    for n in sizes:
        _hold(n, train.n, "train")
        own = prefix(train.n, n, seed)
        yield train.take(own), fit(own)


def curve(
    pairs: Iterable[tuple[People, People]], test: People, reference: People | None = None, space: str = "summaries",
    n_draws: int = N_QUARTERS, seed: int = 0,
) -> Curve:  # fmt: skip
    """Attack synthetic sets that were learned from more and more people.

    Args:
        pairs: People whom a set was learned from, all of them, and the set; see `fitted`.
        test: Real people who were in none of them.
        reference: Other real people who were in none of them.
        space: What the features are.
        n_draws: As of `assess`.
        seed: Of draws.
    """
    points = tuple(
        assess(train, test, synthetic, reference, space=space, n_draws=n_draws, seed=seed) for train, synthetic in pairs
    )
    return Curve("people of train", tuple(point.n for point in points), points)


def attacked(
    train: People, test: People, synthetic: People, sizes: Sequence[int], reference: People | None = None,
    space: str = "summaries", n_draws: int = N_QUARTERS, seed: int = 0,
) -> Curve:  # fmt: skip
    """Attack one synthetic set with so many people of train, and as many others: what so few can tell of it.

    Args:
        train: All people whom the set was learned from.
        test: Real people who were not.
        synthetic: The set.
        sizes: How many are attacked.
        reference: Other real people.
        space: What the features are.
        n_draws: As of `assess`.
        seed: Of draws.

    Raises:
        ConfigError: There are not so many.
    """
    points = []
    for n in sizes:
        _hold(n, min(train.n, test.n), "train, or of test,")
        some = train.first(n, seed), test.first(n, seed)
        points.append(assess(*some, synthetic, reference, train.n, space, n_draws=n_draws, seed=seed))
    return Curve("people attacked", tuple(sizes), tuple(points))


def _hold(n: int, most: int, name: str) -> None:
    if not 1 <= n <= most:
        raise ConfigError("sizes", f"name {n:,} people of {name} expected 1 to {most:,}")
