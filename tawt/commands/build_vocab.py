"""`tawt build-vocab`: events -> a vocabulary, by itself or behind another one, triplets and a memory-mapped dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tawt.builtin.all import all_stages, graph_of
from tawt.builtin.vocabulary import UNKNOWN_BEFORE
from tawt.commands.carry_coverage import CarryResult, read_found
from tawt.commands.executors import executor_of, refuse_both
from tawt.commands.in_store import joined, made_there
from tawt.contracts.basis import Basis, basis_of
from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.layers import VOCABULARY_STAGES
from tawt.database.limits import Limits
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import ConfigError, DatasetError, StaleError, nearest
from tawt.modalities.contents import drop_left
from tawt.pipeline.fingerprint import keys_of
from tawt.pipeline.holding import hold as hold_workspace
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, needed, stand, standing
from tawt.pipeline.manifest import read_manifest, unfinished
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.stale import Reason, Why, about_pipeline, all_in_words, in_words
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import make
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.readers import table_of
from tawt.seals import LIST, hold, sha256_file
from tawt.shell import command
from tawt.transforms.extend import growth


def build_vocab(
    workspace: str | Path,
    *,
    extend: bool | str | Path = False,
    freeze: bool | str | Path = False,
    anew: bool = False,
    settings: tuple[str, ...] = (),
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    executor: str = "local",
    address: str | None = None,
    store: str | None = None,
    dry_run: bool = False,
    check_room: bool = True,
    report: Report = lambda event: None,
) -> RunResult:
    """Turn events into a vocabulary, triplets and a memory-mapped dataset.

    What they are made from is brought up to date first: a stage that was edited runs again, and what follows it.

    Args:
        workspace: A workspace that `ingest` made.
        extend: Go on from the vocabulary that is there, or from that of a run (its name in WORKSPACE/runs or its
            folder), a shared model or a file: what is old stays as it is. It is kept in the workspace, so that it is
            gone on from until another is given.
        freeze: Keep the vocabulary that is there, or that of a run of this workspace, as it is, to the last bit, also
            when records come: a code that it does not know is unknown. It stays so until another is asked for.
        anew: Go on from none any more.
        settings: Overrides of its pipeline, `key=value`; they are kept in the workspace.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        force: Run every stage, even what is up to date.
        executor: `local`, this process, or `ray`, the workers of a Ray cluster that see workspace and raw tables under
            the same paths; `threads` and `memory_limit` are then those of each.
        address: Of the Ray cluster; by default that of `RAY_ADDRESS`, else one of this machine alone.
        store: As of `ingest`.
        dry_run: Only say what would run, and why.
        check_room: Whether it does not begin where its disk has too little room for what it makes.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, an override is wrong or of an earlier stage, or there is nothing to extend.
        DatasetError: What is to be extended cannot be read.
        RoomError: The disk has too little room.
        SourceError: A stage that reads raw tables was edited, and they are not here.
        StageError: A stage cannot run, or does not balance.
    """
    root, limits = Path(workspace).expanduser(), Limits.of(threads, memory_limit)
    refuse_both(executor, store)
    do = executor_of(executor, address, threads, memory_limit)
    if store is None:
        open_workspace(root, settings)
    with joined(root, store, None, report, dry_run=dry_run) as stored, hold_workspace(root, dry_run):
        opened = open_workspace(root, settings)  # as the command before left it
        if stored is not None and (extend or freeze):
            stored.bring(["vocabulary"], {one.stage: one for one in stored.finished()})
        given = [("--extend", extend)] * (extend is not False) + [("--freeze", freeze)] * (freeze is not False)
        if given or anew:
            opened = replace(opened, given_basis=_basis(opened, given, anew))
        if settings:
            _refuse_earlier(open_workspace(root), opened, settings)
        graph, now = all_stages(opened), Now(opened)
        graph_here = graph.without_tables(opened.ingested.absent_tables)
        there = standing(opened, graph_here, now)
        if stored is not None:
            found = {name: one for name, one in stored.there(graph_here).items() if one is not None}
            there, do = stand(graph_here, opened, found, now), made_there(stored)
        first = needed(there, "dataset")
        _hold_taken_over(opened, first, now)
        for note in about_pipeline(opened, now):
            report({"event": "note", "text": note})
        before = [one for one in first if not one.stands and one.stage.name not in VOCABULARY_STAGES]
        if before:
            why = all_in_words({one.stage.name: one.stale or (Reason(Why.UNFINISHED, "it"),) for one in before})
            report({"event": "note", "text": f"what the vocabulary is made from is brought up to date first: {why}"})
        chosen = (*(one.stage.name for one in before), *VOCABULARY_STAGES)
        forced = VOCABULARY_STAGES if force else ()
        words = [("--anew",)] * anew + [(how, *(() if of is True else (str(of),))) for how, of in given]
        asked, looked = (
            Asked("build-vocab", tuple(chain(*words)), settings),
            {one.stage.name: one.manifest for one in there},
        )
        made = make(
            opened, graph, chosen, limits, forced, dry_run, report, asked, hold=check_room, do=do, there=looked, now=now
        )
        if not dry_run:
            drop_left(root)
        return made


def _hold_taken_over(workspace: Workspace, needs: Sequence[Standing], now: Now) -> None:
    """Refuse to build by settings that were edited since, or less a table that has come: an ingest takes both over."""
    source, again = now.source, command("build-vocab", workspace=workspace.root)
    if source.fault:
        raise StaleError(str(workspace.root), f"{source.fault}, expected a pipeline that holds", source.mend)
    if came := [reason for one in needs for reason in one.stale if reason.why is Why.CAME]:
        raise StaleError(
            str(workspace.root), f"{in_words(dict.fromkeys(came))}, expected it to be read, or gone",
            f"`{ingest_again(workspace)} && {again}`",
        )  # fmt: skip
    edits = {one.stage.name: now.edited(keys_of(one.stage, workspace.pipeline.source)) for one in needs}
    for name, found in edits.items():
        if found:
            raise StaleError(
                str(workspace.root), f"{name} is of a pipeline that was edited since the ingest "
                f"({', '.join(one.detail for one in found)}), expected the edit to be taken over, or back",
                f"`{ingest_again(workspace, edited=True)} && {again}`",
            )  # fmt: skip


def _refuse_earlier(before: Workspace, after: Workspace, settings: tuple[str, ...]) -> None:
    """Refuse settings that finished stages of `ingest` were made without: they would be kept, and mean nothing."""
    again = ingest_again(after)
    stood = {one.stage.name for one in standing(before, graph_of(before)) if one.stands}
    for one in standing(after, graph_of(after)):
        if one.stage.name in stood and one.stage.name not in VOCABULARY_STAGES and not one.stands:
            raise ConfigError(
                "--set", f"changes what {one.stage.name} is made from ({in_words(one.stale)}), expected settings of "
                f"{', '.join(VOCABULARY_STAGES)}",
                f"give it to `{again}`, then build the vocabulary",
            )  # fmt: skip


def _basis(workspace: Workspace, given: Sequence[tuple[str, bool | str | Path]], anew: bool) -> Basis:
    """Return what the vocabulary is to go on from, or be.

    Raises:
        ConfigError: There is nothing there, or several are asked for.
        DatasetError: It is no vocabulary.
    """
    if len(given) + anew > 1:
        names = [name for name, _ in given] + ["--anew"] * anew
        what = f"{' and '.join(names)} ask for several vocabularies, expected one of them"
        raise ConfigError("build-vocab", what, "leave the others out")
    if anew:
        return Basis(None)
    ((option, which),) = given
    path, of = _vocabulary_of(workspace, option, which)
    content, how = read_vocabulary(path, "give another, or take it from a copy").content, {}
    if option == "--freeze":  # of this place, where a code is known by itself
        how = {"frozen": True, "by_code": True}
    return basis_of(content, of, **how)


def _vocabulary_of(workspace: Workspace, option: str, which: bool | str | Path) -> tuple[Path, str]:
    """Return the file that is to be gone on from, and what it is called."""
    own = workspace.output("vocabulary") / VOCABULARY
    if isinstance(which, bool):
        manifest = read_manifest(workspace, "vocabulary")
        if manifest is None or sha256_file(own) not in manifest.hashes.values():
            raise ConfigError(
                option, f"goes on from {own}, which {unfinished(workspace, 'vocabulary')}, expected one",
                f"name a run: `{command('build-vocab', option, 'RUN', workspace=workspace.root)}`",
            )  # fmt: skip
        return own, workspace.root.name
    given = Path(which).expanduser()
    places = [folder / VOCABULARY for folder in (workspace.root / "runs" / which, given, given / "vocabulary")]
    path = next((one for one in (given, *places) if one.is_file()), None)
    if path is None:
        known = [one.parent.name for one in sorted((workspace.root / "runs").glob(f"*/{VOCABULARY}"))]
        raise ConfigError(
            f"{option} {which}", "is no run, shared model, workspace or file of a vocabulary, expected one",
            nearest(str(which), known) or "give the folder of a run of `tawt pretrain`",
        )  # fmt: skip
    if path != given and (path.parent / LIST).is_file():
        hold(path.parent, (VOCABULARY,), "take it from a copy", DatasetError)
    return path, path.parent.name if path != given else path.stem


def kept(workspace: Workspace) -> CarryResult | None:
    """Return how far records lie from those that a frozen vocabulary was fitted on; None where it is not frozen.

    Raises:
        FileError: The record of it is damaged.
    """
    basis, manifest = workspace.basis, read_manifest(workspace, "vocabulary")
    if basis is None or basis.record is None or not basis.record.frozen or manifest is None:
        return None
    vocabulary = read_vocabulary(workspace.output("vocabulary") / VOCABULARY, manifest.stage)
    return read_found(workspace, basis.record.of, vocabulary, True, (), kept=True)


@dataclass(frozen=True)
class Extension:
    """What a vocabulary has beside the one that it goes on from."""

    of: str
    """What that is called."""
    n_unknown: int | None
    """Rows of train that it did not know; None = all of few people."""
    n_rows: int
    """Rows of train."""
    grown: tuple[tuple[str, str, int | None], ...]
    """Data_type, what of it is new, its rows in train; those of few people together."""


def extension(workspace: Workspace) -> Extension | None:
    """Return what the vocabulary of a workspace has beside the one that it goes on from; None where there is none.

    Raises:
        FileError: That one is damaged.
    """
    basis, manifest = workspace.basis, read_manifest(workspace, "vocabulary")
    if basis is None or basis.record is None or basis.record.frozen or manifest is None:
        return None
    base, table = (table_of(one) for one in (basis.content(), _read(workspace)))
    n = manifest.facts.get(UNKNOWN_BEFORE, 0)
    n_unknown = n if isinstance(n, int) else 0
    grown = tuple(growth(base, table, n_unknown))
    known = n_unknown if not n_unknown or any(n for _, what, n in grown if what.endswith("new")) else None
    return Extension(basis.record.of, known, manifest.accounts[0].n_records_in, grown)


def _read(workspace: Workspace) -> bytes:
    return (workspace.output("vocabulary") / VOCABULARY).read_bytes()
