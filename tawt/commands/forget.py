"""`tawt forget`: subjects who ask for it go out of a workspace, and do not come back with the raw files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tawt.builtin.all import graph_of
from tawt.contracts.dataset import DATASET, SPLITS, DatasetManifest
from tawt.contracts.opted_out import OptedOut, new_opt_out, write_opted_out
from tawt.contracts.subjects import MAP
from tawt.contracts.workspace import AUDITS, CARRIED, EVALUATIONS, RISKS
from tawt.database.limits import Limits
from tawt.errors import ConfigError, FileError, SourceError, TawtError
from tawt.files import ASIDE
from tawt.labels.held import label_judges
from tawt.pipeline.holding import hold as hold_workspace
from tawt.pipeline.manifest import read_here, read_manifest
from tawt.pipeline.raw_tables import raw_tables
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.subject_map import whole_map
from tawt.pipeline.taking_out import take_out
from tawt.pipeline.undone import Asked, begin, read_undone
from tawt.pipeline.work import make
from tawt.pipeline.workspace import OF_STAGES, Workspace, open_workspace, write_records
from tawt.places import remove
from tawt.quality.absence import Looked
from tawt.readers import read_parquet, read_record, read_text
from tawt.room import naming
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.owners import told_by_none
from tawt.training.versions import VERSIONS, read_versions
from tawt.transforms.subject_numbers import numbers_of

TRAINED, PERHAPS, CHOSEN = "trained on them", "perhaps: it read another dataset than is there", "chosen by them"
"""How a run learned from subjects, what weighs most first."""
SUBJECT_SPLITS = Path("metadata", "subject_splits.parquet")
_FOLDERS = (EVALUATIONS, AUDITS, RISKS, CARRIED, "labels")
"""Folders of which each folder is made at once, and made anew by the command that made it."""
_NAMED = 3
_HERE = "tawt forget"
"""Where ids stand that the command itself names."""
_WHOLE = re.compile("[-+]?[0-9]{1,19}")
"""What the raw tables take for a whole number: neither digits of other scripts nor 1_000."""


@dataclass(frozen=True)
class Forgotten:
    """What became of those who asked to be forgotten."""

    n_asked: int
    """Subjects that were given."""
    n_there: int
    """Of them, or of those who were given before, how many had a record in the workspace."""
    n_all: int
    """Who opted out of it by now."""
    taken: dict[str, int]
    """Stage of raw tables -> records that were taken out."""
    run: RunResult
    """What was made anew of the rest."""
    removed: tuple[str, ...]
    """What told of them and was no stage's: files and folders of the workspace."""
    learned: dict[str, str]
    """Runs that learned from them, or may have -> how."""
    n_files: int
    """Files that were looked into in the end: none of them tells of anybody who opted out."""
    perhaps: tuple[str, ...] = ()
    """Files in which a number like one of theirs stands, which may be a count."""
    unread: tuple[str, ...] = ()
    """Files that are neither table nor text: nobody looked into them."""
    absent: tuple[str, ...] = ()
    """Where those were given of whom there was no event, nor anything asked before."""
    told_by_none: tuple[str, ...] = ()
    """Staged tables of measurements that may hold theirs: nothing says whose a record of them is."""


def forget(
    subjects: str | int | Path | Sequence[str | int | Path] = (),
    *,
    workspace: str | Path,
    threads: int | None = None,
    memory_limit: str | None = None,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> Forgotten:
    """Take subjects out of a workspace, prove that they are out, and keep them out at every later ingest.

    Their records go out of staging, which takes no raw file unless it was let go (`keep: last`); what follows is made
    anew, but for shards that none of them was in. Embeddings, predictions and labels that tell of them are removed. Raw
    files are not changed.

    Args:
        subjects: Ids as the raw tables have them, or files with one a line; none = go on with those given before.
        workspace: A workspace that `ingest` made.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        dry_run: Only say what would be done; nothing is written.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, an id is none, or nobody is given.
        FileError: A file of the workspace is damaged, or tells of them yet.
        StageError: A stage cannot run on the rest.
    """
    root, limits = Path(workspace).expanduser(), Limits.of(threads, memory_limit)
    open_workspace(root)
    with hold_workspace(root, dry_run), naming(root):
        opened = open_workspace(root)
        graph = graph_of(opened)
        listed, before = _listed(subjects), opened.opted_out
        numbers = _numbers(opened, graph, listed)
        absent = _absent(opened, dict(zip(numbers, listed.values(), strict=True)), before)
        untold = tuple(told_by_none(graph, [name for name in graph.stages if not _torn(opened, name)]))
        who = (before or new_opt_out()).joined_by(numbers)
        if not who.marks:
            raise ConfigError("tawt forget", "is given nobody, and nobody opted out before", "give ids, or a file")
        n_there, learned = _learned(opened, who)
        known = (TRAINED, PERHAPS, CHOSEN)
        runs = {name: min(found, who.runs.get(name, found), key=known.index) for name, found in learned.items()}
        who = replace(who, runs={**who.runs, **runs})
        names = _made(opened, graph)
        if dry_run:
            given = replace(opened, given_local=opened.local.model_copy(update={"opt_out_key": who.key}))
            run = make(given, graph, names, limits, True, True, report, Asked("forget"))
            found = Forgotten(len(numbers), n_there, len(who.marks), {}, run, (), dict(who.runs), 0)
            return replace(found, absent=absent, told_by_none=untold)
        _hold_raw(opened, graph, names)
        # first it is written down: from here on no command brings them back, and any may go on
        write_records(replace(opened, given_local=opened.local.model_copy(update={"opt_out_key": who.key})))
        write_opted_out(root, who)
        opened = open_workspace(root)
        remove(root / ASIDE)
        taken: dict[str, int] = {}
        begin(opened, Asked("forget"), names)
        take_out(opened, graph, limits, taken.__setitem__)
        if opened.basis is not None:
            again = command("build-vocab", workspace=root, anew=True)
            text = f"the vocabulary is, or goes on from, one that was fitted before; `{again}` fits it without them"
            report({"event": "note", "text": text})
        judges = label_judges(opened, limits, go_on=True)
        run = make(opened, graph, names, limits, False, False, report, Asked("forget"), judges)
        looked, removed = _cleared(opened, who)
        return Forgotten(
            len(numbers), n_there, len(who.marks), {name: n for name, n in taken.items() if n}, run, removed,
            dict(who.runs), looked.n_files, _named(root, looked.perhaps), _named(root, looked.unread), absent, untold,
        )  # fmt: skip


def _listed(subjects: str | int | Path | Iterable[str | int | Path]) -> dict[str, str]:
    """Return ids, of files their lines, each with where it was given: nobody's id is told in a message."""
    given = [subjects] if isinstance(subjects, str | int | Path) else list(subjects)
    found: dict[str, str] = {}
    for one in given:
        path = Path(str(one)).expanduser()
        if path.is_file():
            text = read_text(path, "give ids with one a line", ConfigError, "a text file in UTF-8")
            for number, line in enumerate(text.splitlines(), 1):
                if (id_ := line.strip().strip('"')) != "subject_id":
                    found.setdefault(id_, f"{path} line {number}")
        else:
            found.setdefault(str(one).strip(), _HERE)
    return {id_: place for id_, place in found.items() if id_}


def _numbers(workspace: Workspace, graph: Graph, ids: Mapping[str, str]) -> list[int]:
    """Return the number of each id: itself, or where ids are text, the one that it has or would get."""
    maps = [name for name, stage in graph.stages.items() if stage.serves]
    if not maps:
        for id_, where in ids.items():
            if not _WHOLE.fullmatch(id_) or not -(1 << 63) <= int(id_) < 1 << 63:
                also = ", nor a file that is there" if where == _HERE else ""
                raise ConfigError(
                    where, f"is given an id that is no whole number{also}, expected those of this pipeline's subjects",
                    "give ids as the raw tables have them, or a file with one a line",
                )  # fmt: skip
        return [int(id_) for id_ in ids]
    key = workspace.local.subject_key
    if ids and key is None:
        raise ConfigError(str(workspace.root), "has no numbers of subjects yet", "ingest first, then forget")
    place = workspace.output(maps[0]) / MAP
    known = dict(zip(*(whole_map(place)[1][name].to_pylist() for name in ("id", "subject_id")), strict=True)) if (
        place.is_file()
    ) else {}  # fmt: skip
    hashed = numbers_of(bytes.fromhex(key or ""), [*ids]).tolist()
    return [known.get(one, number) for one, number in zip(ids, hashed, strict=True)]


def _absent(workspace: Workspace, given: Mapping[int, str], before: OptedOut | None) -> tuple[str, ...]:
    """Return where those were given who have no event here, and were not forgotten before."""
    path = workspace.output("events") / SUBJECT_SPLITS
    if not path.is_file():
        return ()
    there = {*read_parquet(path, ["subject_id"])["subject_id"].to_pylist()}
    new = [number for number in given if before is None or before.mark(number) not in before.marks]
    return tuple(given[number] for number in new if number not in there)


def _learned(workspace: Workspace, who: OptedOut) -> tuple[int, dict[str, str]]:
    """Return how many of them have an event, and the runs that learned from them, by the dataset that is there."""
    path = workspace.output("events") / SUBJECT_SPLITS
    n_of = dict.fromkeys(SPLITS, 0)
    if path.is_file():
        rows = read_parquet(path, ["subject_id", "split"])
        gone = who.among(rows["subject_id"].to_numpy())
        for split, is_gone in zip(rows["split"].to_pylist(), gone.tolist(), strict=True):
            n_of[split] += is_gone
    if not any(n_of.values()):
        return 0, {}
    dataset = None
    with suppress(TawtError):
        dataset = read_record(workspace.root / "dataset" / DATASET, DatasetManifest, sealed=True)
    read_now = dataset.fingerprint("train", "tuning") if dataset is not None else None
    found = {}
    for path in sorted((workspace.root / "runs").rglob(VERSIONS)):
        name, made = path.parent.relative_to(workspace.root / "runs").as_posix(), None
        with suppress(TawtError):
            made = read_versions(path.parent)
        if made is None or made.read is None or made.read != read_now:
            found[name] = PERHAPS
        elif n_of["train"]:
            found[name] = TRAINED
        elif n_of["tuning"]:
            found[name] = CHOSEN
    return sum(n_of.values()), found


def _made(workspace: Workspace, graph: Graph) -> list[str]:
    """Return the stages that were made, but those of raw tables, which are mended where they lie: of these, those that
    a kill left unfinished and others need, which must read the raw files again, and those that follow from them."""
    undone = read_undone(workspace)
    left = undone.left(workspace.root) if undone is not None else []
    there = {name: name in left or not _torn(workspace, name) for name in graph.stages}
    of_raw = {name for name, stage in graph.stages.items() if stage.layer.row_wise or stage.serves}
    named = [name for name in graph.stages if there[name] and name not in of_raw]
    needed = {other for name in named for other in graph.stages[name].inputs if other in of_raw}
    needed |= {other for name in needed for other in graph.stages[name].inputs if other in of_raw}
    again = {name for name in needed if _torn(workspace, name)} | _gone(workspace, of_raw)
    again |= {name for name in of_raw if there[name] and not again.isdisjoint(graph.stages[name].inputs)}
    return [name for name in graph.stages if name in named or name in again]


def _torn(workspace: Workspace, stage: str) -> bool:
    return read_manifest(workspace, stage) is None


def _gone(workspace: Workspace, stages: Iterable[str]) -> set[str]:
    """Return those of some stages that were let go."""
    return {one for one in stages if not _torn(workspace, one) and read_here(workspace, one) is None}


def _hold_raw(workspace: Workspace, graph: Graph, names: Sequence[str]) -> None:
    """Refuse to begin where stages of raw tables were let go, which are made anew without them, and these are not here.

    Raises:
        SourceError: They are not.
    """
    if gone := sorted(_gone(workspace, [name for name in names if graph.stages[name].layer.row_wise])):
        try:
            raw_tables(workspace, graph.raw_contracts)
        except SourceError as error:
            what = f"{error.what}: {gone[0]} was let go (`keep: last`), and is made anew without those who opted out"
            raise SourceError(error.where, what, error.hint) from None


def _cleared(workspace: Workspace, who: OptedOut) -> tuple[Looked, tuple[str, ...]]:
    """Remove what tells of them and is no stage's, then look into everything that is left.

    Raises:
        FileError: Something tells of them yet, which nobody here may remove.
    """
    root, key = workspace.root, workspace.local.subject_key
    removed = []
    for path in Looked(workspace, who, key).telling:
        first, *rest = path.relative_to(root).parts
        made = first in OF_STAGES and (first != "labels" or read_manifest(workspace, f"labels.{rest[0]}") is not None)
        if first == "embeddings":
            removed.append(path)
        elif first in _FOLDERS and rest and not made:
            removed.append(root / first / rest[0])
    for path in dict.fromkeys(removed):
        remove(path)
    looked = Looked(workspace, who, key)
    if looked.telling:
        named = _named(root, looked.telling)
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise FileError(
            str(root), f"tells of those who opted out yet: {', '.join(named[:_NAMED])}{more}, expected no file to",
            f"move them out, or make their stages again, and then `{command('forget', workspace=root)}`",
        )  # fmt: skip
    return looked, _named(root, dict.fromkeys(removed))


def _named(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(root).as_posix() for path in paths)
