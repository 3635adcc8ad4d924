"""Every file of a workspace against the hash that was written with it, and what lies there beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tawt.contracts.basis import BASE, BASE_TABLE, base_fault
from tawt.contracts.dataset import THREADS
from tawt.contracts.subjects import MAP_AGAIN
from tawt.errors import FileError
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, mend_of, stale_of
from tawt.pipeline.letting_go import about_to_go
from tawt.pipeline.manifest import manifest_at
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.stale import about_pipeline, in_words, roots
from tawt.pipeline.workspace import INGEST, LEDGER, OF_STAGES, RECORDS, Workspace
from tawt.quality.carried import know_carried
from tawt.quality.finding import Finding, finding_of
from tawt.quality.labels import check_labels
from tawt.quality.measured import check_measured
from tawt.quality.runs import Runs, check_embeddings, fault_of, made_by
from tawt.quality.strangers import of_workspace, strangers
from tawt.quality.synthetic import check_synthetic, know_synthetic
from tawt.quality.unfinished import at_rest
from tawt.seals import holds, sha256_file
from tawt.shell import command


def check_files(
    workspace: Workspace, stages: list[Standing], now: Now, unread: Mapping[str, str] | None = None
) -> tuple[list[Finding], set[str]]:
    """Hold every file to its hash.

    Args:
        workspace: Where.
        stages: Of its pipeline.
        now: What it has behind the keys that stages hang on.
        unread: Records that cannot be read -> what is wrong with each.

    Returns:
        One finding per kind of file, and the stages whose files are as they were written.
    """
    root = workspace.root
    changed = {one.stage.name: _changed(workspace, one) for one in stages if one.manifest is not None}
    whole = {one.stage.name for one in stages if one.stands and not changed[one.stage.name]}

    def below(path: Path) -> str:
        return path.relative_to(root).as_posix()

    runs, labels, measured, embeddings, alien = at_rest(root / "runs", lambda: _look(workspace, stages))
    unfinished = f", {runs.n_unfinished} of them not finished" if runs.n_unfinished else ""
    return [
        _stages(workspace, stages, now, changed, whole),
        finding_of(
            "files",
            [
                name + (" is of no finished stage" if name.partition("/")[0] in OF_STAGES else " is none of tawt's")
                for name in map(below, alien)
            ],
            "none that tawt did not put there",
        ),
        _records(workspace, bool(whole), unread or {}),
        finding_of(
            "labels",
            [f"{below(path)} {fault}" for path, fault, _ in labels],
            "as they were written",
            next((mend for *_, mend in labels), ""),
        ),
        finding_of(
            "evaluations, audits and risks",
            [f"{below(path)} {fault}" for path, fault, _ in measured],
            "as they were written",
            next((mend for *_, mend in measured), ""),
        ),
        finding_of(
            "runs",
            [f"{below(path)} {fault}" for path, fault in sorted(runs.wrong.items())],
            f"{runs.n}, as they were written{unfinished}",
        ),
        finding_of(
            "embeddings",
            [f"{below(path)} {fault}" for path, fault in embeddings],
            "as they were written",
            next(filter(None, (made_by(root, path) for path, _ in embeddings)), ""),
        ),
        *check_synthetic(root),
    ], whole


def _look(
    workspace: Workspace, stages: Sequence[Standing]
) -> tuple[Runs, list[tuple[Path, str, str]], list[tuple[Path, str, str]], list[tuple[Path, str]], list[Path]]:
    """Return runs, what is wrong with label sets, with what was measured, with embeddings, and what is not tawt's."""
    root, known = workspace.root, of_workspace(workspace)
    know_carried(root, known)
    know_synthetic(root, known)
    for one in stages:
        path = workspace.manifest(one.stage.name)
        known.files.add(path)
        # of a stage that lost a file, the others are its still
        if (manifest := one.manifest or manifest_at(path)) is not None:
            known.files |= {root / name for name in manifest.files} | about_to_go(root, manifest)
            known.folders.add(workspace.output(one.stage.name))
    events = next((one.manifest.content for one in stages if one.stage.name == "events" and one.manifest), None)
    labels, measured = check_labels(root, known, events), check_measured(root, known)
    return Runs(root, known), labels, measured, check_embeddings(root, known), strangers(root, known)


def _stages(
    workspace: Workspace, stages: Sequence[Standing], now: Now, changed: Mapping[str, list[str]], whole: set[str]
) -> Finding:
    wrong = [f"{name} is missing or damaged" for one in stages for name in one.torn]
    wrong += [text for texts in changed.values() for text in texts]
    lost = [f"manifests/{one.stage.name}.json is missing" for one in stages if _lost(workspace, one)]
    own = roots({one.stage.name: one.stale for one in stages if one.manifest})
    stale = [f"{name} is stale: {in_words(why)}" for name, why in own.items()]
    stale += [f"{one.stage.name} is {one.state}" for one in stages if one.stage.fault and one.manifest is None]
    stale += about_pipeline(workspace, now, stale_of(stages))
    # what has its size is up to date for a command that is not told otherwise
    first = next((name for name, texts in changed.items() if texts), None)
    mend = (
        MAP_AGAIN
        if any(one.stage.name == first and one.stage.serves for one in stages)
        else command("run", first, workspace=workspace.root, force=True)
        if first is not None
        else _mend(workspace, stages, now)
    )
    none = [] if whole or wrong or lost or stale else ["none is finished"]
    n_gone = sum(bool(one.manifest and one.manifest.let_go) for one in stages)
    gone = f", of {n_gone} of them no files, as `keep: last` says" if n_gone else ""
    return finding_of("stages", wrong + lost + stale + none, f"{len(whole)} finished, as written{gone}", mend)


def _mend(workspace: Workspace, stages: Sequence[Standing], now: Now) -> str:
    """Return what brings up to date what is behind, as it is told wherever stages are listed."""
    if behind := [one.stage.name for one in stages if one.stale or one.stage.fault]:
        return mend_of(workspace, stages, behind[-1])
    if now.differing:
        return ingest_again(workspace, edited=True)
    return now.source.mend or command("run", "+dataset", workspace=workspace.root)


def _lost(workspace: Workspace, one: Standing) -> bool:
    """Return whether a stage has files and no manifest."""
    if one.manifest is not None or one.torn:
        return False
    output = workspace.output(one.stage.name)
    return any(path.is_file() for path in output.rglob("*")) or workspace.quarantine(one.stage.name).exists()


def _changed(workspace: Workspace, one: Standing) -> list[str]:
    assert one.manifest is not None
    hashes = one.manifest.hashes
    faults = {
        name: fault_of(workspace.root / name, lambda path, name=name: sha256_file(path) == hashes.get(name))  # type: ignore[misc]
        for name in one.manifest.files
    }
    return [f"{name} {fault}" for name, fault in faults.items() if fault is not None]


def _records(workspace: Workspace, finished: bool, unread: Mapping[str, str]) -> Finding:
    root, wrong = workspace.root, {}
    for name in (*RECORDS, THREADS):
        path = root / name
        if (path.exists() or path.is_symlink()) and (fault := fault_of(path, holds)):
            wrong[name] = "is not as it was written" if "changed" in fault else fault
        elif name in unread:
            wrong[name] = unread[name]
        elif finished and name in (INGEST, LEDGER) and not path.exists():
            wrong[name] = "is missing"
    with suppress(FileError):  # a damaged record is told above
        wrong |= base_fault(root)
    mend = command("run", "+dataset", workspace=root) if {*wrong} == {LEDGER} else ingest_again(workspace)
    if {*wrong} & {BASE, BASE_TABLE}:
        mend = f"take it from a copy, or `{command('build-vocab', workspace=root, anew=True)}`"
    return finding_of("records", [f"{name} {what}" for name, what in wrong.items()], "as they were written", mend)
