"""What a task asks, as a head needs to know it: kept beside the weights of a run."""

from __future__ import annotations

from typing import Literal

from tawt.config.base import Section

TASK = "task.json"
"""File of a run folder that says what its head was asked."""


AGE = -1
"""In place of a data_type: years since the birth."""
IS_KNOWN, NUMBER = -1, 0
"""What of a data_type is told: whether it is known, or its number; else the token of a category."""


class Fact(Section):
    """One thing that a head is told beside an embedding."""

    data_type: int
    """Its index in the vocabulary of the run, or `AGE`."""
    what: int
    """`IS_KNOWN`, `NUMBER`, or the token of a category."""
    mean: float = 0.0
    """Of the number, among the training labels."""
    scale: float = 1.0
    """Its standard deviation."""


class TaskSpec(Section):
    """One task. `k` outputs."""

    format: Literal["tawt.task/1"] = "tawt.task/1"
    name: str
    """Of the label set."""
    kind: str
    """What is asked, of `tawt.heads.kinds`."""
    outputs: tuple[str, ...]
    """Names of the `k` outputs: targets, classes or intervals."""
    prior: tuple[float, ...]
    """`(k,)`, rates (or means) among the training labels, as a head without an embedding would answer: probabilities,
    0 for numbers, mean counts, hazards."""
    mean: tuple[float, ...] = ()
    """`(k,)`, of numbers."""
    scale: tuple[float, ...] = ()
    """`(k,)`, their standard deviations."""
    edges: tuple[float, ...] = ()
    """`(k,)`, ends of the intervals of a time to an event, hours from the prediction time; the last may be beyond."""
    class_weight: tuple[float, ...] = ()
    """`(k,)` of classes, `(2 k,)` of yes and no (no first); none = 1."""
    statics: tuple[Fact, ...] = ()
    """What the head is told beside the embedding, in its order."""
    labels_sha256: str
    """Of the file that the run learned from."""
    taught_sha256: str = ""
    """Of what a teacher said where there was no label; none = there was no teacher."""
