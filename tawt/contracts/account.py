"""Where the records of a stage went, and where those that it rejected stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from tawt.config.base import Section
from tawt.contracts.layers import layer_of
from tawt.errors import StageError

Count = Annotated[int, Field(ge=0, le=1 << 53)]
"""Of rows or bytes: a sum of thousands of them is an int64 yet."""
MALFORMED = "line"
"""The column that a line which is no record is filed under."""


class Route(Section):
    """Records that left a stage for one reason."""

    kind: str
    """`drop` or `quarantine`."""
    reason: str
    """`<rule>` or `<column>:<reason>`."""
    n_records: Count


class Fault(Section):
    """Cells that rows which are kept go without: what stood there was not what its column holds."""

    column: str
    reason: str
    n_cells: Count


class Account(Section):
    """The balance of a stage, counted from its files: in = kept + dropped + quarantined."""

    driving: str
    """The input whose records are counted."""
    n_records_in: Count
    whole: bool = True
    """Whether all that its input holds came in; else that is counted which it was made of: one split of events, or what
    a select gave of them, for they number no records."""
    n_records_kept: Count
    n_rows_out: Count
    """Rows written; more than the records kept where a record gives several."""
    routes: tuple[Route, ...] = ()
    n_rows_added: dict[str, Count] = {}
    """Rows that no record stands behind, by the rule that added them (`not_measured`)."""
    faults: tuple[Fault, ...] = ()
    """Cells that the rows written go without, by column and reason."""

    @classmethod
    def of_rows(cls, driving: str, n_in: int, n_dropped: int = 0, rule: str = "") -> Account:
        """Return the account of a built-in stage: a row for each row, but for those dropped by a rule."""
        routes = (Route(kind="drop", reason=rule, n_records=n_dropped),) if n_dropped else ()
        kept = n_in - n_dropped
        return cls(driving=driving, n_records_in=n_in, n_records_kept=kept, n_rows_out=kept, routes=routes)

    def counts_records(self, stage: str) -> bool:
        """Return whether its input numbers records: else what came out of a select is all that was counted."""
        return self.whole or layer_of(stage).built_in

    def count(self, kind: str) -> int:
        """Return the records that went one way."""
        return sum(route.n_records for route in self.routes if route.kind == kind)

    def check(self, stage: str, others: Sequence[str] = ()) -> None:
        """Hold the balance.

        Args:
            stage: Its name.
            others: What it reads beside the input that drives it.

        Raises:
            StageError: Records came in and are nowhere.
        """
        lost = self.n_records_in - self.n_records_kept - self.count("drop") - self.count("quarantine")
        if lost:
            raise StageError(
                stage,
                f"{abs(lost):,} of {self.n_records_in:,} records of {self.driving} "
                + ("have neither an output row nor a _reason" if lost > 0 else "are counted twice")
                + ", expected each once",
                (f"name {' or '.join(others)} first in the text, if its records are told; else " if others else "")
                + "keep the record, or give it `drop:<rule>` or `quarantine:<column>:<reason>` as _reason",
            )


class Places(Section):
    """Where the records behind a stage stand; nothing is known of those that were merged of several tables."""

    files: tuple[str, ...] = ()
    """The raw files behind it, relative."""
    starts: tuple[Count, ...] = ()
    """The number of each one's first record."""

    @model_validator(mode="after")
    def _pair(self) -> Places:
        if len(self.files) != len(self.starts):
            raise ValueError("has raw files without the number of each one's first record")
        return self

    def of(self, numbers: npt.NDArray[np.int64], unknown: str) -> list[str]:
        """Return the file that each record stands in; `unknown` where that is not known."""
        if not self.files:
            return [unknown] * len(numbers)
        return [self.files[i] for i in np.searchsorted(np.asarray(self.starts), numbers, side="right") - 1]


@dataclass(frozen=True)
class Rejected:
    """What a stage rejected: `_row` and `_reason`, and lines that are no records."""

    table: pa.Table
    lines: list[tuple[str, int, str]]

    def unless(self, kept: npt.NDArray[np.bool_]) -> Rejected:
        """Return one reason per record, of those records that gave no output row at all; quarantine before drop."""
        numbers = self.table["_row"].to_numpy()
        lost = numbers >= len(kept)
        lost[~lost] = ~kept[numbers[~lost]]
        table = self.table.filter(pa.array(lost))
        ordered = table.append_column("_last", pc.invert(pc.starts_with(table["_reason"], "quarantine:"))).sort_by(
            [("_row", "ascending"), ("_last", "ascending"), ("_reason", "ascending")]
        )
        rows = ordered["_row"].to_numpy()
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = rows[1:] != rows[:-1]
        return Rejected(ordered.drop_columns(["_last"]).filter(pa.array(first)), self.lines)

    def routes(self) -> tuple[Route, ...]:
        """Return the counts by reason, by name."""
        counted = pc.value_counts(self.table["_reason"])
        counts = {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
        for _, _, kind in self.lines:
            key = f"quarantine:{MALFORMED}:{kind}"
            counts[key] = counts.get(key, 0) + 1
        return tuple(
            Route(kind=reason.partition(":")[0], reason=reason.partition(":")[2], n_records=n)
            for reason, n in sorted(counts.items())
        )

    def quarantined(self) -> pa.Table:
        """Return `_row`, `column` and `reason` of the quarantined records."""
        table = self.table.filter(pc.starts_with(self.table["_reason"], "quarantine:"))
        parts = pc.extract_regex(table["_reason"], r"^quarantine:(?P<column>.+):(?P<reason>[^:]+)$")
        return pa.table({"_row": table["_row"], **{key: pc.struct_field(parts, key) for key in ("column", "reason")}})
