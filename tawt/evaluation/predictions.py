"""The one form of predictions, of every kind: what a model said beside what came, with hashes of model and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from tawt.arrays import Floats, Ints
from tawt.contracts.contract import own_contract
from tawt.errors import ContractError, listed, nearest
from tawt.evaluation.classes import Classes, Labels
from tawt.evaluation.families import FAMILIES, Family
from tawt.evaluation.measure import Outcome
from tawt.evaluation.metrics import Binary
from tawt.evaluation.regression import Numbers
from tawt.evaluation.survival import Survival
from tawt.files import write_parquet
from tawt.readers import hold_seal, read_parquet

_TRUTH = ("subject_id", "prediction_time")
_BEFORE: dict[str, Family] = {
    "multiclass": "classes", "multilabel": "labels", "regression": "numbers", "survival": "time",
}  # fmt: skip
"""Words of files that were written before a family had one word everywhere."""
KIND, CLASSES, HORIZONS = "kind", "classes", "horizons"
MODEL, LABELS = "model", "labels"
"""Metadata: the hash of the weights, or of what else predicts, and of the label set."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one model said of `n` rows, beside what came."""

    kind: Family
    """What is predicted."""
    subject_id: Ints
    """`(n,)`."""
    prediction_time: Ints
    """`(n,)`, us since 1970-01-01; the rows are sorted by subject and time."""
    outcome: Outcome
    """What came and what was said: `Binary`, `Classes`, `Labels`, `Numbers` or `Survival`."""
    about: dict[str, str]
    """The file's metadata: `model` and `labels` are hashes."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes or labels, where there are several."""
        return getattr(self.outcome, "names", ())


def write_predictions(
    path: Path,
    columns: Mapping[str, Any],
    kind: Family,
    *,
    model: str,
    labels: str,
    names: Sequence[str] = (),
    horizons: Sequence[float] = (),
    about: Mapping[str, str] | None = None,
) -> None:
    """Write predictions, sorted by subject and time, once they are held to their contract.

    Args:
        path: The Parquet file.
        columns: By the names of `schemas/predictions.json`; lists of lists where a row has several numbers.
        kind: What is predicted.
        model: Hash of the weights, or of what else predicts.
        labels: Hash of the label set.
        names: The classes or labels, where there are several.
        horizons: Hours, where survival is predicted.
        about: What else the metadata are to say.

    Raises:
        ContractError: A column is missing, unknown or of another type, or holds what it cannot.
    """
    said = {KIND: kind, MODEL: model, LABELS: labels, CLASSES: json.dumps([*names]), HORIZONS: json.dumps([*horizons])}
    table = _typed(pa.table(dict(columns)), str(path)).sort_by([(name, "ascending") for name in _TRUTH])
    table = table.replace_schema_metadata({**(about or {}), **said})
    _predictions(table, str(path))
    write_parquet(path, table)


def read_predictions(path: Path) -> Predictions:
    """Read predictions, of tawt or in the form of MEDS-evaluation.

    Raises:
        FileError: The file is absent or is not Parquet.
        ContractError: A column is missing or of another type, has nulls or what it cannot hold, or a row is twice.
    """
    hold_seal(path)
    table = read_parquet(path)
    known = own_contract("predictions").names
    # a file of another tool may say more
    kept = _typed(table.select([name for name in table.column_names if name in known]), str(path))
    return _predictions(kept.sort_by([(name, "ascending") for name in _TRUTH]), str(path))


def aligned(models: Mapping[str, Predictions]) -> None:
    """Hold that all models were asked about the same rows, with the same truth: only then can they be compared.

    Raises:
        ContractError: A model has other rows, another truth, kind, classes or horizons than the first.
    """
    names = [*models]
    for name in names[1:]:
        one, other = models[names[0]], models[name]
        if one.kind != other.kind or one.names != other.names:
            raise ContractError(
                name, f"predicts {other.kind}, expected {one.kind} as `{names[0]}`, of the same classes"
            )
        if _horizons(one.outcome) != _horizons(other.outcome):
            raise ContractError(name, f"predicts survival at other horizons, expected those of `{names[0]}`")
        mine, theirs = ({*zip(p.subject_id.tolist(), p.prediction_time.tolist(), strict=True)} for p in (one, other))
        if mine != theirs:
            what = f"lacks {len(mine - theirs):,} rows and has {len(theirs - mine):,} others"
            raise ContractError(name, f"{what}, expected those of `{names[0]}`", "predict the same label set again")
        if n := sum(
            int((_truth(a) != _truth(b)).sum())
            for a, b in zip(_truths(one.outcome), _truths(other.outcome), strict=True)
        ):
            raise ContractError(name, f"has another truth in {n:,} cells, expected that of `{names[0]}`")


def _horizons(outcome: Outcome) -> list[float]:
    return outcome.horizons.tolist() if isinstance(outcome, Survival) else []


def _truths(outcome: Outcome) -> list[Floats]:
    if isinstance(outcome, Survival):
        return [outcome.time, outcome.event.astype(np.float64)]
    assert isinstance(outcome, Binary | Classes | Labels | Numbers)
    return [outcome.truth]


def _truth(values: Floats) -> Floats:
    return np.where(np.isnan(values), -1.0, values)  # what is not known is the same in both


def _typed(table: pa.Table, where: str) -> pa.Table:
    """Return the columns as the contract has them."""
    contract = {column.name: column for column in own_contract("predictions").columns}
    for name in table.column_names:
        if name not in contract:
            raise ContractError(where, f"has a column `{name}`, expected those of predictions", nearest(name, contract))
    for name in _TRUTH:
        if name not in table.column_names:
            raise ContractError(where, f"lacks the column `{name}`, expected it", "predictions are of rows of labels")
    schema = pa.schema([(name, contract[name].arrow_type) for name in table.column_names], table.schema.metadata)
    for name, field in zip(table.column_names, schema, strict=True):
        try:
            table.column(name).cast(field.type)
        except pa.ArrowException:  # its own words quote a cell
            what = f"column `{name}` is {table.schema.field(name).type}, expected {field.type}"
            raise ContractError(where, what) from None
    return table.cast(schema)


def _kind(table: pa.Table, about: Mapping[str, str], where: str) -> Family:
    found = [family for family, one in FAMILIES.items() if {*one.columns} <= {*table.column_names}]
    if KIND in about:
        word = _BEFORE.get(about[KIND], about[KIND])
        said = next((family for family in FAMILIES if family == word), None)
        if said is None:
            raise ContractError(where, f"says another kind than {listed(get_args(Family))}, expected one of them")
        if said in found:
            return said
        raise ContractError(where, f"is of {said}, expected the columns {listed(FAMILIES[said].columns)}")
    found = [family for family in found if family != "counts"]  # they look like numbers, and have to be named
    if len(found) != 1:
        what = "no kind of prediction" if not found else f"the columns of {listed(found)}"
        raise ContractError(
            where, f"has {what}, expected the columns of one", f"name it under `{KIND}` in its metadata"
        )
    return found[0]


def _predictions(table: pa.Table, where: str) -> Predictions:
    about = {
        key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items() if key != b"ARROW:schema"
    }
    kind = _kind(table, about, where)
    family = FAMILIES[kind]
    there = [name for name in (*family.columns, *family.may_have) if name in table.column_names]
    for name in (*_TRUTH, *there):
        if n := table.column(name).null_count:
            raise ContractError(where, f"column `{name}` has {n:,} nulls, expected none")
    subject = table.column("subject_id").to_numpy()
    time = table.column("prediction_time").cast(pa.int64()).to_numpy()
    if n := int(((np.diff(subject) == 0) & (np.diff(time) == 0)).sum()):
        raise ContractError(where, f"has {n:,} rows of a subject and time that are there already, expected one each")
    names, horizons = (_listed(about, key, where) for key in (CLASSES, HORIZONS))

    try:
        return Predictions(kind, subject, time, _outcome(kind, table.select(there), names, horizons, where), about)
    except ContractError as error:
        raise (
            error if error.where == where else ContractError(where, f"{error.where}: {error.what}", error.hint)
        ) from None


def outcome_of(kind: Family, columns: Mapping[str, Any], names: Sequence[str], horizons: Sequence[float]) -> Outcome:
    """Return what came and what was said, of columns as they would be written.

    Args:
        kind: What is predicted.
        columns: By the names of `schemas/predictions.json`.
        names: The classes or labels, where there are several.
        horizons: Hours, where survival is predicted.
    """
    return _outcome(kind, pa.table(dict(columns)), names, horizons, "predictions")


def _outcome(kind: Family, table: pa.Table, names: Sequence[str], horizons: Sequence[float], where: str) -> Outcome:
    def column(name: str) -> Any:
        if name not in table.column_names:
            return None
        one = table.column(name)
        if pa.types.is_list(one.type):
            rows = one.to_pylist()
            if len({len(row) for row in rows}) > 1:
                raise ContractError(where, f"column `{name}` has rows of several lengths, expected one")
            return np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
        return one.to_numpy(zero_copy_only=False) if one.type != pa.string() else one.to_pylist()

    return FAMILIES[kind].read(column, names, horizons)


def _listed(about: Mapping[str, str], key: str, where: str) -> list[Any]:
    try:
        found = json.loads(about.get(key, "[]"))
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise ContractError(where, f"has no list under `{key}` in its metadata, expected one in JSON")
    return found
