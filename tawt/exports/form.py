"""The forms of MEDS that events are handed on in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.meds import MEDS_VERSION, NAME
from tawt.errors import ConfigError, nearest

Version = Literal["0.4", "0.3.3"]
VERSIONS: tuple[str, ...] = get_args(Version)
_OLD_KEYS = (NAME, "dataset_version", "etl_name", "etl_version", "meds_version")
_CODES = pa.schema([("code", pa.string()), ("description", pa.string()), ("parent_codes", pa.list_(pa.string()))])


@dataclass(frozen=True)
class Form:
    """A version of MEDS, and whether a code ends in its unit."""

    version: str = "0.4"
    codes_with_units: bool = False

    @property
    def meds_version(self) -> str:
        """The release of MEDS that a dataset names."""
        return self.version if self.is_old else MEDS_VERSION

    @property
    def is_old(self) -> bool:
        """Whether it is from before `text_value` was a column of MEDS and `dataset.json` had keys of others."""
        return self.version == "0.3.3"

    @property
    def is_kept(self) -> bool:
        """Whether rows are in it as they are in a workspace."""
        return not self.is_old and not self.codes_with_units

    def schema(self, columns: pa.Schema) -> pa.Schema:
        """Return columns as it has them: in 0.3.3 a text is one of the dataset's own, and none forbids nulls."""
        if not self.is_old:
            return columns
        texts = (pa.string() if pa.types.is_large_string(one.type) else one.type for one in columns)
        return pa.schema([pa.field(one.name, kind) for one, kind in zip(columns, texts, strict=True)])

    def rows(self, events: pa.Table) -> pa.Table:
        """Return rows of events in it."""
        if self.codes_with_units:
            codes = with_unit(events["code"], events["unit"])
            events = events.set_column(events.schema.get_field_index("code"), events.schema.field("code"), codes)
        return events.cast(self.schema(events.schema))

    def codes(self, known: pa.Table, pairs: Iterable[tuple[str, str | None]]) -> pa.Table:
        """Return the meanings of codes in it.

        Args:
            known: Those of the events.
            pairs: The codes that rows have, each with each unit that it has there.
        """
        fields = known.schema if not self.is_old else _CODES
        if not self.codes_with_units:
            return known.select(fields.names).cast(fields)
        said = {row["code"]: row for row in known.to_pylist()}
        rows = []
        for code, unit in sorted(pairs, key=lambda pair: (pair[0], pair[1] is not None, pair[1] or "")):
            row = said[code]
            own = {} if unit is None else {"parent_codes": [code, *(row["parent_codes"] or [])]}
            rows.append({**row, "code": _named(code, unit), "data_type": code, "unit": unit, **own})
        more = [pa.field("data_type", pa.string()), pa.field("unit", pa.string())]
        return pa.Table.from_pylist(rows, pa.schema([*fields, *more]))

    def about(self, said: dict[str, Any], license: str) -> dict[str, Any]:
        """Return `dataset.json` in it.

        Args:
            said: That of the events.
            license: Terms of use; empty = not stated.
        """
        told = {**said, "meds_version": self.meds_version}
        if self.is_old:
            return {key: told[key] for key in _OLD_KEYS if key in told}
        return {**told, **({"license": license} if license else {})}


def form_of(version: str, codes_with_units: bool) -> Form:
    """Return a form that was asked for.

    Raises:
        ConfigError: There is no such version.
    """
    if version not in VERSIONS:
        known = " or ".join(VERSIONS)
        raise ConfigError(f"--version {version}", f"is none, expected {known}", nearest(version, VERSIONS))
    return Form(version, codes_with_units)


def with_unit(code: pa.ChunkedArray, unit: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return codes as CODE//UNIT where there is a unit."""
    named = pc.binary_join_element_wise(code.cast(pa.string()), unit.cast(pa.string()), "//")
    return pc.coalesce(named, code.cast(pa.string()))


def _named(code: str, unit: str | None) -> str:
    return code if unit is None else f"{code}//{unit}"
