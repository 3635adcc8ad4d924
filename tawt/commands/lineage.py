"""Where a stage comes from: the stages and raw files behind it, as a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tawt.builtin.all import seen_stage
from tawt.contracts.account import MALFORMED
from tawt.contracts.layers import raw_table
from tawt.pipeline.ledger import Standing, standing
from tawt.pipeline.manifest import Manifest

_SCHEMA = pa.schema([("depth", pa.int64()), ("name", pa.string()), ("rows", pa.int64()), ("state", pa.string())])


@dataclass
class _Tree:
    """The lines of a tree so far, and what stands in it already."""

    there: dict[str, Standing]
    lines: list[dict[str, object]] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def add(self, depth: int, name: str, rows: int | None, state: str) -> None:
        self.lines.append({"depth": depth, "name": name, "rows": rows, "state": state})

    def add_stage(self, depth: int, name: str) -> None:
        one = self.there[name]
        manifest = one.manifest
        rows = manifest.n_rows if manifest is not None else None
        again = name in self.told and bool(one.stage.inputs)
        self.add(depth, name, rows, f"{one.state}, see above" if again else one.state)
        if again:
            return
        self.told.add(name)
        for other in one.stage.inputs:
            if raw_table(other) is not None:
                self._add_raw(depth + 1, other, manifest)
            else:
                self.add_stage(depth + 1, other)

    def _add_raw(self, depth: int, name: str, manifest: Manifest | None) -> None:
        if manifest is None:
            self.add(depth, name, None, "not read")
            return
        account = next(account for account in manifest.accounts if account.driving == name)
        self.add(depth, name, account.n_records_in, "raw")
        places = manifest.places
        if not places.files:  # it reads several tables
            return
        malformed = sum(r.n_records for r in account.routes if r.reason.startswith(f"{MALFORMED}:"))
        ends = [*places.starts[1:], account.n_records_in - malformed + 1]
        for file, start, end in zip(places.files, places.starts, ends, strict=True):
            self.add(depth + 1, file, end - start, "file")


def lineage(stage: str, workspace: str | Path) -> pa.Table:
    """Tell what a stage was made from, up to the raw files.

    Args:
        stage: `<layer>.<name>`, or a built-in stage.
        workspace: A workspace that `ingest` made.

    Returns:
        The lines of a tree from its root: `depth` (0 = the stage itself; a line belongs to the last one before it that
        is less deep), `name`, `rows` (of a raw table all records that were read, of a raw file those that are records),
        `state`. What stands in the tree twice has its own inputs once.

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes the workspace is at work.
    """
    with seen_stage(stage, workspace, as_ran=True) as (opened, graph, _):
        tree = _Tree({one.stage.name: one for one in standing(opened, graph)})
    tree.add_stage(0, stage)
    return pa.Table.from_pylist(tree.lines, schema=_SCHEMA)
