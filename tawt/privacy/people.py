"""Sets of records as attackers see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.dataset.records import Cohort
from tawt.errors import ContractError
from tawt.privacy.distances import prefix
from tawt.privacy.identity import quasi_identifiers
from tawt.privacy.nearest import Matrix
from tawt.privacy.traces import Traces, traces_of


@dataclass(frozen=True, eq=False)
class People:
    """`n` records."""

    features: Matrix
    """`(n, d)`, scaled so that a step of each means about the same: summaries, or embeddings."""
    traces: Traces | None = None
    """What came, and when; None = attacks that need it are left out."""
    quasi: Ints | None = None
    """`(n, q)`, values of quasi-identifiers, as whole numbers; None = nothing is known from elsewhere."""
    likelihood: Floats | None = None
    """`(n,)`, score of a likelihood attack, see `by_likelihood`; None = none is made."""

    def __post_init__(self) -> None:
        traces = None if self.traces is None else self.traces.span
        for name, own in (("traces", traces), ("quasi", self.quasi), ("likelihood", self.likelihood)):
            if own is not None and len(own) != self.n:
                what = f"have {len(own):,} records, expected {self.n:,}, one for each row of features"
                raise ContractError(name, what)

    @property
    def n(self) -> int:
        """Records."""
        return len(self.features)

    def take(self, subjects: Ints) -> People:
        """Return some of them, `(m,)` numbers, in that order."""
        return People(
            self.features[subjects],
            self.traces and self.traces.take(subjects),
            None if self.quasi is None else self.quasi[subjects],
            None if self.likelihood is None else self.likelihood[subjects],
        )

    def first(self, n: int, salt: int = 0) -> People:
        """Return at most so many of them, drawn; fewer are a part of more."""
        return self if n >= self.n else self.take(prefix(self.n, n, salt))


def people_of(cohort: Cohort, describe: Callable[[Cohort], Matrix], quasi: Sequence[int] = ()) -> People:
    """Go through a cohort and keep what attacks need.

    Args:
        cohort: Records.
        describe: Cohort -> features `(n, d)`, always on the scale of one reference.
        quasi: Data_types of quasi-identifiers.
    """
    known = quasi_identifiers(cohort, quasi) if quasi else None
    return People(np.asarray(describe(cohort)), traces_of(cohort), known)
