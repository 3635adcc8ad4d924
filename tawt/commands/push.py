"""`tawt push` and `tawt pull`: a whole workspace to an object store, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.builtin.all import graph_of
from tawt.commands.in_store import hold_free, joined
from tawt.contracts.workspace import PIPELINE, is_workspace
from tawt.errors import ConfigError, FileError
from tawt.pipeline.holding import hold
from tawt.pipeline.keys import Now
from tawt.pipeline.letting_go import lacks
from tawt.pipeline.manifest import Manifest, make_again, manifest_at, read_manifest
from tawt.pipeline.of_store import hold_own, mark_stored, refuse_undoing, remember_alike, went_on
from tawt.pipeline.presence import Part, Presence
from tawt.pipeline.records_there import bring_ledger, hold_forgotten, send_prepared
from tawt.pipeline.stored import Stored
from tawt.pipeline.workspace import STORED, open_workspace
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.stores import Store

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Moved:
    """What went to a store, or came from it."""

    stages: tuple[Manifest, ...]
    """All that are finished."""
    n_moved: int
    """Of these, the ones that were not there."""


def push(
    url: str, workspace: str | Path, *, force: bool = False, report: Report = lambda event: None
) -> Moved:  # fmt: skip
    """Put a workspace into an object store: what is there of it already is not sent again, what else is there goes.

    Args:
        url: Of a folder there, empty or with this workspace, as `s3://BUCKET/FOLDER`: of a kind that fsspec opens.
        workspace: Which. Runs, embeddings and what is evaluated stay here.
        force: Whether all is sent anew, and what was made elsewhere since both were last the same is replaced.
        report: Hears, stage by stage, how many of all are there.

    Raises:
        ConfigError: The URL is none, or another workspace lies there, or more of this one than is here, or one
            that more people opted out of, or that was made elsewhere since.
        FileError: A file is not as it was written, or the store cannot be reached.
    """
    root, store = Path(workspace).expanduser(), Store(url)
    open_workspace(root)
    with hold(root):
        say: Callable[[str], None] = lambda text: report({"event": "note", "text": text})  # noqa: E731
        opened, stored = open_workspace(root), Stored(root, store, say)
        if store.read(PIPELINE) is None:
            pass  # an empty place may be this one's, whatever was before
        elif (root / STORED).is_file():
            hold_own(root, store.url)
        else:
            raise ConfigError(
                store.url, "holds a workspace already, expected an empty folder or the place of this one",
                f"give another; `{command('pull', store.url, workspace='FOLDER')}` brings the one that is there",
            )  # fmt: skip
        hold_free(stored, None)
        with Presence(stored.board, Part(1, 1), say):  # two would take each other's for what nobody lists
            hold_forgotten(store, root)
            found = [manifest_at(path) for path in sorted((root / "manifests").glob("*.json"))]
            here = [one for one in found if one is not None and read_manifest(opened, one.stage) is not None]
            there = {one.stage: one for one in stored.finished()}
            _hold_whole(root, store.url, {one.stage for one in here}, there)
            newer = went_on(root, {one.stage: one for one in here}, [] if force else there.values())
            refuse_undoing(
                store.url, "made elsewhere since this folder was the same", newer,
                f"`{command('pull', url, workspace=root)}` brings that; "
                f"`{command('push', url, workspace=root, force=True)}` puts what is here in its place",
            )  # fmt: skip
            known = {stage: (one.state, one.files) for stage, one in there.items()}
            to_send = [one for one in here if force or known.get(one.stage) != (one.state, one.files)]
            for one in to_send:
                _hold(root, one)
            mark_stored(root, store.url)
            graph = graph_of(opened)
            send_prepared(store, opened, graph, Now(opened))
            _tell(report, 0, len(to_send))
            for n, one in enumerate(to_send, 1):
                stored.made(one, anew=True)
                _tell(report, n, len(to_send))
            stored.sweep()
            remember_alike(root, here)
    return Moved(tuple(here), len(to_send))


def pull(
    url: str, workspace: str | Path, *, raw: str | Path | None = None, force: bool = False,
    report: Report = lambda event: None,
) -> Moved:  # fmt: skip
    """Bring a whole workspace from an object store: every file is held to its hash, what is here already stays.

    Args:
        url: Of a workspace there.
        workspace: The folder, new or of the same workspace.
        raw: Where its raw tables are on this machine, for commands that read them.
        force: Whether what was made here since this folder and the store were last the same is replaced.
        report: Hears, stage by stage, how many of all are here.

    Raises:
        ConfigError: There is none there, or the folder holds another workspace, or this one as it was made here since.
        FileError: A file there is not as it was written, or the store cannot be reached.
    """
    root, store = Path(workspace).expanduser(), Store(url)
    with ExitStack() as held:
        held.enter_context(hold(root))
        if not force:
            _hold_own_work(root, store)
        stored = held.enter_context(joined(root, url, Path(raw).expanduser() if raw is not None else None, report))
        assert stored is not None
        opened, there = open_workspace(root), stored.finished()
        if torn := stored.torn:  # not to be found out by who needs it, when what wrote it may be gone
            what = f"is not as it was written, expected what {torn[0]} wrote"
            again = command("run", torn[0], workspace=root, store=url, raw="RAW_DIR")
            raise FileError(
                stored.store.place(f"manifests/{torn[0]}.json"), what,
                f"`{again}` makes it again; or `{command('push', url, workspace='FOLDER')}` from where it is whole",
            )  # fmt: skip
        here = {one.stage: read_manifest(opened, one.stage) for one in there}
        to_bring = [one for one in there if lacks(here[one.stage], one)]
        _tell(report, 0, len(to_bring))
        for n, one in enumerate(to_bring, 1):
            stored.bring([one.stage], {one.stage: one})
            _tell(report, n, len(to_bring))
        bring_ledger(store, root)
        remember_alike(root, there)
    return Moved(tuple(there), len(to_bring))


def _hold_own_work(root: Path, store: Store) -> None:
    """Hold that nothing was made here which the store has not, before anything of it is replaced."""
    hold_own(root, store.url)
    if is_workspace(root):
        opened, there = open_workspace(root), Stored(root, store, lambda text: None).finished()
        mine = [known for one in there if (known := read_manifest(opened, one.stage)) is not None]
        refuse_undoing(
            str(root), f"made here since it was the same as {store.url}",
            went_on(root, {one.stage: one for one in there}, mine),
            f"`{command('push', store.url, workspace=root)}` puts it there; or give a new folder with -w; "
            f"`{command('pull', store.url, workspace=root, force=True)}` puts what is there in its place",
        )  # fmt: skip


def _tell(report: Report, n_done: int, n: int) -> None:
    if n:
        report({"event": "part", "n_done": n_done, "n_rows": n})


def _hold_whole(root: Path, url: str, here: set[str], there: Mapping[str, Manifest]) -> None:
    """Hold that all stages that are there are here: who is forgotten here would stay in the others."""
    if others := sorted(there.keys() - here):
        more = f" and {len(others) - 1} more" if others[1:] else ""
        raise ConfigError(
            str(root), f"holds no finished {others[0]}{more}, which the store has, expected all of it: who is "
            "forgotten here would stay there",
            f"`{command('pull', url, workspace='FOLDER')}` brings all, to forget and to push from there; what `tawt "
            "forget` took out is made again by `tawt run`",
        )  # fmt: skip


def _hold(root: Path, manifest: Manifest) -> None:
    for name, sha256 in manifest.hashes_here.items():
        if sha256_file(root / name) != sha256:
            what = "is not as it was written, expected what its stage wrote"
            raise FileError(str(root / name), what, make_again(root, manifest.stage))
