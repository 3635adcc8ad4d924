"""Takes the records of those who opted out out of the map of subjects and out of staging, as an ingest leaves them out.

Staging tells each record by itself, so what is left is what the raw files would give: these are not read, and need not
be there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tawt.contracts.account import Account, Route
from tawt.contracts.layers import raw_table
from tawt.contracts.opted_out import NOBODY, OptedOut, remember
from tawt.contracts.reasons import FORGOTTEN
from tawt.contracts.subjects import MAP, with_key
from tawt.database.connect import connect, identifier, interruptible, literal, parquet_files, wrapped_errors
from tawt.database.limits import Limits
from tawt.files import digest, keep_private, link
from tawt.pipeline.commit import commit
from tawt.pipeline.faults import count_faults, held_faults
from tawt.pipeline.gone import in_staging, known_gone
from tawt.pipeline.keys import OPTED_OUT
from tawt.pipeline.manifest import Manifest, read_here, read_manifest
from tawt.pipeline.plan import input_of
from tawt.pipeline.sql_stage import is_out
from tawt.pipeline.subject_map import whole_map
from tawt.pipeline.workspace import Workspace
from tawt.readers import parquet_schema
from tawt.sources.graph import Graph
from tawt.sources.owners import asked_of, owners_of
from tawt.sources.stage import Stage


def take_out(
    workspace: Workspace, graph: Graph, limits: Limits, tell: Callable[[str, int], None]
) -> None:  # fmt: skip
    """Take them out of every stage of raw tables that is finished; one that is without them already stays as it is, and
    one that was let go, which holds no record, is to be made anew.

    Args:
        workspace: Held by this command, with those who opted out written down.
        graph: Its stages.
        limits: Threads and memory.
        tell: Hears of each stage how many records were taken out of it.

    Raises:
        SourceError: A file of it is damaged.
        FileError: The map of subjects is.
    """
    who = workspace.opted_out
    assert who is not None
    with (
        closing(connect(limits, [workspace.root], workspace.spill, macros=())) as connection,
        wrapped_errors("tawt forget", workspace=workspace.root, limits=limits),
    ):
        who = remember(workspace.root, who, in_staging(connection, workspace, graph, who))
    staged = [stage for stage in graph.stages.values() if stage.layer.row_wise or stage.serves]
    # what is told by others goes before these
    for stage in sorted(staged, key=lambda stage: (not stage.serves, "subject_id" in stage.contract.names)):
        manifest = read_here(workspace, stage.name)
        if manifest is None or manifest.components.keys.get(OPTED_OUT) == who.known:
            continue
        folder = workspace.start(stage.name, None)
        if stage.serves:
            n = _of_map(workspace, manifest, who, folder)
            mended = manifest.model_copy(update={"accounts": _fewer(manifest.accounts, n)})
        else:
            with (
                closing(connect(limits, [workspace.root], workspace.spill, macros=(), keep_order=True)) as connection,
                wrapped_errors(stage.name, workspace=workspace.root, limits=limits),
            ):
                n = _of_table(connection, workspace, graph, stage, manifest, who, folder)
            mended = manifest.model_copy(update={"accounts": (_account(stage, manifest, n, folder),)})
        keys, inputs = manifest.components.keys | {OPTED_OUT: who.known}, dict(manifest.components.inputs)
        for served in (one.name for one in staged if one.serves and one.name in inputs):
            if (made := read_manifest(workspace, served)) is not None:
                inputs[served] = made.content
        for owner in (graph.stages[owner] for owner, _ in owners_of(stage, graph)):
            made = read_manifest(workspace, owner.name) if owner.layer.row_wise else None
            read = made.components.inputs if made is not None else {}
            inputs |= {one: read[one] for one in map("raw.{}".format, asked_of(stage, graph)) if one in read}
        components = manifest.components.model_copy(update={"keys": keys, "inputs": inputs})
        update = {"components": components, "fingerprint": digest(components.model_dump())}
        commit(workspace, folder, _quarantine(workspace, manifest), mended.model_copy(update=update))
        tell(stage.name, n)


def _of_map(workspace: Workspace, manifest: Manifest, who: OptedOut, folder: Path) -> int:
    """Write the map of subjects without them aside; return how many had a number."""
    place = workspace.output(manifest.stage) / MAP
    key, rows = whole_map(place)
    gone = who.among(rows["subject_id"].to_numpy())
    for made, final in ((folder, place.parent), (folder / MAP, place)):
        made.touch()
        keep_private(made, final)
    pq.write_table(with_key(rows.filter(pa.array(~gone)), key), folder / MAP, compression="zstd")
    return int(gone.sum())


def _fewer(accounts: tuple[Account, ...], n: int) -> tuple[Account, ...]:
    """Return the accounts of a map with so many subjects less: of the first tables, which most are first met in."""
    found = []
    for account in accounts:
        found.append(account.model_copy(update={"n_rows_out": max(0, account.n_rows_out - n)}))
        n -= account.n_rows_out - found[-1].n_rows_out
    return tuple(found)


def _of_table(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, graph: Graph, stage: Stage, manifest: Manifest,
    who: OptedOut, folder: Path,
) -> int:  # fmt: skip
    """Write a staged table without them aside; return how many records were theirs."""
    files, n = input_of(workspace.root, manifest).rows, 0
    named: list[str] = []
    if "subject_id" in stage.contract.names:
        there = {*parquet_schema(files[0]).names}
        others = [name for name in _of_ids(graph, stage) if name != "subject_id" and name in there]
        gone = _numbers(connection, files, who, ["subject_id", *others])
        theirs, named = (_is_gone("subject_id"), others) if len(gone) else ("false", [])
        connection.register("_gone", pa.table({"number": gone}))
    else:
        known = known_gone(stage, graph, who)
        theirs = is_out(stage, who, known) or "false"
        connection.register("_gone", pa.table({"mark": known.marks if known is not None else []}))
    hit = " or ".join([theirs, *map(_is_gone, named)])
    nobody = ", ".join(f"if({_is_gone(name)}, {NOBODY}, {identifier(name)}) as {identifier(name)}" for name in named)
    for file in files:
        source, place = parquet_files([file]), literal(str(folder / file.name))
        counts = f"select count(*) filter ({theirs}), count(*) filter ({hit}) from {source}"
        n_theirs, n_hit = connection.sql(counts).fetchall()[0]
        if not n_hit:
            link(file, folder / file.name)
            continue
        n += n_theirs
        given = f"* replace ({nobody})" if named else "*"
        rest = f"select {given} from {source} where not ({theirs})"
        copy = f"copy ({rest}) to {place} (format parquet, compression snappy)"
        interruptible(connection, partial(connection.execute, copy))
    return n


def _is_gone(column: str) -> str:
    return f"coalesce({identifier(column)} in (from _gone), false)"


def _numbers(
    connection: duckdb.DuckDBPyConnection, files: list[Path], who: OptedOut, columns: list[str]
) -> pa.Array:  # fmt: skip
    """Return the subjects in columns of some files who opted out."""
    met = " union ".join(f"select {identifier(name)} as number from {parquet_files(files)}" for name in columns)
    found = connection.sql(f"select number from ({met}) where number is not null order by number").to_arrow_table()
    numbers = found["number"].combine_chunks()
    return numbers.filter(pa.array(who.among(numbers.to_numpy(zero_copy_only=False)), pa.bool_()))


def _of_ids(graph: Graph, stage: Stage) -> list[str]:
    """Return the columns of a staged table that hold numbers for ids which are text."""
    contract = graph.raw_contracts.get(str(raw_table(stage.inputs[0])))
    columns = contract.columns if contract is not None else ()
    return [str(getattr(one, "plain", one.name)) for one in columns if one.type == "subject"]


def _account(stage: Stage, manifest: Manifest, n: int, folder: Path) -> Account:
    """Return where the records of a stage went, with those that were taken out."""
    account, rule = manifest.accounts[0], FORGOTTEN
    n_before = sum(route.n_records for route in account.routes if (route.kind, route.reason) == ("drop", rule))
    routes = [route for route in account.routes if (route.kind, route.reason) != ("drop", rule)]
    if n + n_before:
        routes.append(Route(kind="drop", reason=rule, n_records=n + n_before))
    faults = held_faults(stage, count_faults(sorted(folder.glob("*.parquet"))))
    return account.model_copy(
        update={
            "n_records_kept": account.n_records_kept - n, "n_rows_out": account.n_rows_out - n,
            "routes": tuple(sorted(routes, key=lambda route: f"{route.kind}:{route.reason}")), "faults": faults,
        }
    )  # fmt: skip


def _quarantine(workspace: Workspace, manifest: Manifest) -> Path | None:
    """Return what a stage quarantined, beside its place: it lists numbers of records alone, and stays."""
    place = workspace.quarantine(manifest.stage)
    if not place.is_file():
        return None
    aside = workspace.aside / f"{manifest.stage}.quarantine.parquet"
    aside.unlink(missing_ok=True)
    link(place, aside)
    return aside
