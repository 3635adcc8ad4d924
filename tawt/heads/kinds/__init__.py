"""Kinds of tasks, by the one word that options, labels, runs and evaluations have for each.

A new kind is one class in a file here, and its place below: see `kind.Kind` for what it says.
"""

from __future__ import annotations

from tawt.config.label import LabelConfig
from tawt.heads.kinds.binary import Binary, Labels
from tawt.heads.kinds.classes import Classes
from tawt.heads.kinds.counts import Counts
from tawt.heads.kinds.kind import Kind
from tawt.heads.kinds.numbers import Numbers
from tawt.heads.kinds.time import Time
from tawt.heads.task import TaskSpec

KINDS: dict[str, type[Kind]] = {one.name: one for one in (Time, Classes, Numbers, Binary, Labels, Counts)}
"""By name, in the order in which the columns of labels are asked which it is."""


def answers(spec: TaskSpec, config: LabelConfig) -> Kind:
    """Return how a task is answered."""
    return KINDS[spec.kind](spec, config)
