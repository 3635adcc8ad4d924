"""The layers of the flow, in its order: what each reads, where its contract is, and what its rows are like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer: a folder of the workspace, and where its stages are SQL, a folder of `sql/<source>/`."""

    name: str
    reads: tuple[str, ...] = ()
    """Layers that its SQL may read; none = its one stage is built in and has its name."""
    contract: str = "{source}/{layer}/{name}"
    """Where the contract of a stage is, below `schemas/`."""
    after: tuple[str, ...] = ()
    """Stages that it waits for, whether it reads them or not: its rows are held to theirs."""
    row_wise: bool = False
    """Whether each record is told by itself: none can be lost or repeated."""
    sharded: bool = False
    """Whether its rows are spread over files by their subject."""
    numbered: bool = True
    """Whether its rows carry the number of the record that they come from."""
    ordered: bool = False
    """Whether it is sorted when it is whole, for its selects may look at several rows and give them in any order."""
    measured: bool = False
    """Whether a row is a measurement: of somebody, at a time, with a value that follows from what there is of it."""
    spare: tuple[str, ...] = ()
    """Columns that its selects may leave out: they are null then, a list is empty."""
    one_file: str = ""
    """Name of the one file, sorted and of the contract's columns alone, that a stage's rows are laid out in at last."""
    rows: str = ""
    """Folder of a stage's output that its rows are in."""
    suffix: str = ".parquet"
    """Of the files that hold its rows; what is Parquet can be queried."""
    passing: bool = False
    """Whether its files need not stay once all that reads them is made."""
    command: str = "ingest"
    """The command that makes it."""

    @property
    def built_in(self) -> bool:
        """Whether its one stage is code."""
        return not self.reads


LAYERS = {
    layer.name: layer
    for layer in (
        Layer("subjects", numbered=False),
        Layer("staging", ("raw",), row_wise=True, passing=True),
        Layer("links", ("staging",), ordered=True),
        Layer("contents", numbered=False),
        Layer("codes", ("staging",), "codes", ordered=True, spare=("description", "parent_codes")),
        Layer(
            "event_parts",
            ("staging", "links", "contents"),
            "event_parts",
            sharded=True,
            passing=True,
            measured=True,
            spare=("time", "numeric_value", "text_value", "unit", "raw_value"),
        ),  # fmt: skip
        Layer("events", sharded=True, numbered=False, rows="data"),
        Layer(
            "labels",
            ("staging", "links", "events"),
            after=("events",),
            contract="label_sets",
            numbered=False,
            ordered=True,
            one_file="labels.parquet",
        ),
        Layer("vocabulary", numbered=False, command="build-vocab"),
        Layer("triplets", sharded=True, numbered=False, passing=True, command="build-vocab"),
        Layer("dataset", sharded=True, numbered=False, suffix=".arrow", command="build-vocab"),
        Layer("content_events", numbered=False, command="build-vocab"),
    )
}
"""Name -> layer, in the order of the flow."""
SHARDS = "shards"
"""Folder that keeps of each stage with shards what every one was made of, and counted: no part of what the stage gave.
"""
TASKS = "tasks"
"""Folder beside those of the layers that holds ready tasks, which `tawt label` reads."""
SQL_LAYERS = tuple(layer for layer in LAYERS.values() if not layer.built_in)
BUILT_IN = "|".join(layer.name for layer in LAYERS.values() if layer.built_in)
"""What names of built-in stages are like."""
STAGE = rf"(?:{'|'.join(layer.name for layer in SQL_LAYERS)})\.[^./\\][^/\\]*|{BUILT_IN}"
"""What names of stages are like."""


def layer_of(stage: str) -> Layer:
    """Return the layer of a stage, by its name."""
    return LAYERS[stage.partition(".")[0]]


def raw_table(name: str) -> str | None:
    """Return the raw table that an input is; None where it is a stage."""
    layer, _, table = name.partition(".")
    return table if layer == "raw" else None


def made_by(command: str) -> tuple[str, ...]:
    """Return the names of the layers that a command makes."""
    return tuple(layer.name for layer in LAYERS.values() if layer.command == command)


PASSING = tuple(layer.name for layer in LAYERS.values() if layer.passing)
"""The layers whose files need not stay."""
VOCABULARY_STAGES = made_by("build-vocab")
"""The stages behind events, in their order."""
