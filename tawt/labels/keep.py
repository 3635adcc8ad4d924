"""Keeps a label set in a workspace: whole or not at all, sealed, with what it was made of, and finds its task again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from tawt.builtin.all import graph_of
from tawt.contracts.contract import own_contract
from tawt.contracts.label_set import FILE, FOLDER, AboutLabels, about_labels, label_path
from tawt.errors import ConfigError, TawtError
from tawt.files import digest, publish_file, write_parquet
from tawt.labels.find import asked_for
from tawt.labels.task import Task, read_task
from tawt.pipeline.workspace import Workspace
from tawt.seals import holds


def task_hash(task: Task) -> str:
    """Return the hash of all that the labels of a task hang on: a word more, or a predicate beside it, changes none."""
    used = {name for name, _ in task.needed()}
    said = task.model_dump(mode="json", exclude={"metadata", "description"})
    for section in ("predicates", "patient_demographics"):
        said[section] = {name: one for name, one in said[section].items() if name in used}
    return digest(said)


def reason_to_make(workspace: Workspace, name: str, made_of: Mapping[str, str], force: bool) -> str | None:
    """Return why a label set is to be made; None where it is up to date.

    Args:
        workspace: Where.
        name: Of the label set.
        made_of: What it would be made of.
        force: Whether it is made in any case.

    Raises:
        ConfigError: A file of somebody else's has its place.
    """
    path, other = label_path(workspace.root, name), workspace.root / FOLDER / f"{name}.parquet"
    about = about_labels(path) if path.is_file() else None
    for place in (other, *([path] if about is None else [])):
        if place.exists():
            raise ConfigError(
                str(place), f"is there and was not written by `tawt label`, expected nothing called `{name}`",
                "move it away, or give another name: `--name NAME`",
            )  # fmt: skip
    if about is None or force:
        return "new" if about is None else "forced"
    if not holds(path):
        return "damaged"
    keys = dict.fromkeys([*made_of, *about.made_of])
    changed = [key for key in keys if made_of.get(key) != about.made_of.get(key)]
    return ", ".join(f"{key} changed" for key in changed) or None


def keep(workspace: Workspace, name: str, labels: pa.Table, about: AboutLabels) -> None:
    """Write a label set of a workspace that this command holds."""
    contract = own_contract("label_sets")
    there = [column for column in contract.columns if column.name in labels.column_names]
    schema = pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in there], about.metadata())
    keys = [(key, "ascending", "at_start") for key in contract.sorted_by if key in schema.names]
    aside, final = workspace.start(f"{FOLDER}.{name}", None) / FILE, label_path(workspace.root, name)
    write_parquet(aside, labels.select(schema.names).cast(schema).sort_by(keys), compression="zstd")
    final.parent.mkdir(parents=True, exist_ok=True)
    publish_file(aside, final)


def hold_task(task: Task, about: AboutLabels | None, given: str | Path) -> None:
    """Hold a task that is given to the one that labels were made of.

    Args:
        task: As it was read.
        about: What the labels say of themselves.
        given: What the task was given as.

    Raises:
        ConfigError: It is another.
    """
    if about is None or task_hash(task) != about.made_of.get("task"):
        of = f", `{about.task}`" if about is not None and "task" in about.made_of else ""
        what = f"is not the task that the labels are of{of}, expected it"
        raise ConfigError(str(given), what, "give that one, or leave it out; or make the labels of this one")


def task_of(
    opened: Workspace, about: AboutLabels | None, aces: str | Path | None, predicates: str | Path | None
) -> Task | None:
    """Return the ACES task that a label set is of: the one that is given, or the ready one of its name."""
    of = about.made_of.get("task") if about is not None else None
    if aces is not None:
        task = read_task(Path(aces), Path(predicates) if predicates is not None else None)
        hold_task(task, about, aces)
        return task
    if about is None or of is None:
        return None
    try:
        asked = asked_for(about.task, graph_of(opened), opened.pipeline.source)
        ready = asked.read() if asked.form == "aces" else None
    except TawtError:
        return None
    return ready if ready is not None and task_hash(ready) == of else None
