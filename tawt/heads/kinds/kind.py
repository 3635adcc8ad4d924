"""What a kind of task is to all that meets it: label files, heads, teachers and evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from tawt.config.label import LabelConfig
from tawt.errors import ConfigError
from tawt.evaluation.families import Family
from tawt.heads.label_set import LabelSet
from tawt.heads.task import TaskSpec

Numbers = NDArray[np.float64]
LEAST_EVENTS = 2
"""Of each answer among the training labels."""


@dataclass(frozen=True, eq=False)
class Said:
    """What came beside what was answered, as a family of measures has it in its files."""

    columns: dict[str, Any]
    """By the names of `schemas/predictions.json`."""
    names: tuple[str, ...] = ()
    """The classes or labels, where there are several."""
    horizons: tuple[float, ...] = ()
    """Hours, where survival is predicted."""


class Kind(ABC):
    """A kind of task, for one that is asked. All take `outputs`, `(d, k)` of any float type, of a head.

    Args:
        spec: The task.
        config: How the head is made.
    """

    name: ClassVar[str]
    """What options and files call it."""
    plural: ClassVar[str]
    """What a message calls several of them."""
    family: ClassVar[Family]
    """Which measures judge it."""
    reads: ClassVar[tuple[str, ...]]
    """Columns of labels that can answer it."""
    known_by: ClassVar[str] = ""
    """The column of labels by which it is known; none = it has to be named."""
    several: ClassVar[str] = ""
    """The kind that several of these at one time are; none = one is asked at a time."""
    alone: ClassVar[str] = ""
    """The kind that one of these is by itself; none = this one."""
    words: ClassVar[tuple[str, ...]] = ()
    """What 0 and 1 of the answers mean, where there is nothing else."""

    def __init__(self, spec: TaskSpec, config: LabelConfig) -> None:
        self.spec, self.config = spec, config

    @classmethod
    def values(cls, table: pa.Table, column: str, where: str) -> tuple[Numbers, tuple[str, ...]]:
        """Return the answers in rows of labels, NaN = not known, and the names of classes, if they are of some.

        Args:
            table: The rows.
            column: Of `reads`.
            where: The file, for messages.

        Raises:
            ConfigError: They are no answers of this kind.
        """
        return numbers_of(table[column]), ()

    @classmethod
    @abstractmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        """Return what training labels decide of a `TaskSpec`.

        Raises:
            ConfigError: There is nothing to tell apart.
        """

    @abstractmethod
    def targets(self, labels: LabelSet) -> tuple[Numbers, Numbers]:
        """Return what a head is to say, and how much each counts, `(r, k)` both; see `tawt.heads.targets.Targets`.

        Raises:
            ConfigError: The labels ask for something else.
        """

    @abstractmethod
    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of each document, `(d,)` in the type of `truth`.

        Args:
            outputs: `(d, k)`.
            truth: `(d, k)`; see `tawt.heads.targets`.
            weight: `(d, k)`, 0 where nothing is known.
        """

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Return the answers, `(d, k)`: probabilities, numbers in their own unit, or chances of no event so far."""

    @abstractmethod
    def start(self) -> Tensor:
        """Return the outputs `(k,)` of a head that knows the training labels alone."""

    @abstractmethod
    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs `(d, k)` of a teacher as truth and weight, `(d, k)` each, that a head can learn from."""

    @abstractmethod
    def outputs(self, fitted: Tensor) -> Tensor:
        """Return the outputs `(d, k)` of a head that says what a model says that was fitted to the truth."""

    @abstractmethod
    def said(self, labels: LabelSet, said: Numbers, horizons: Sequence[float] = ()) -> Said:
        """Return what came beside what was answered.

        Args:
            labels: `n` rows.
            said: `(n, k)`, as of `predict`.
            horizons: Hours at which a time to an event is asked about; none = those that the run learned.
        """

    def placed(self, labels: LabelSet) -> Numbers:
        """Return the answers in the order of the outputs, `(r, k)`; NaN = not known.

        Raises:
            ConfigError: The labels ask for what the run was not asked.
        """
        value = np.full((len(labels), len(self.spec.outputs)), np.nan)
        for i, name in enumerate(labels.asked):
            value[:, self.place(labels, name)] = labels.value[:, i]
        return value

    def place(self, labels: LabelSet, name: str) -> int:
        """Return which of the outputs a class or target of labels is.

        Raises:
            ConfigError: It is none.
        """
        if name not in self.spec.outputs:
            n, told = len(self.spec.outputs), labels.named([name])[name]
            raise ConfigError(
                labels.name, f"asks for `{told}`, expected one of the {n} answers of the run",
                "give the labels that the run learned, or learn these",
            )  # fmt: skip
        return self.spec.outputs.index(name)


def hold_each(labels: LabelSet, counts: dict[str, int]) -> None:
    """Hold that there is enough to learn of each answer.

    Raises:
        ConfigError: Of one there is not.
    """
    few = [name for name, n in counts.items() if n < LEAST_EVENTS]
    if few:
        raise ConfigError(
            labels.name, f"has fewer than {LEAST_EVENTS} training labels of `{few[0]}`, expected some of each answer",
            "label more subjects of train, or leave that answer out",
        )  # fmt: skip


def numbers_of(column: pa.ChunkedArray) -> Numbers:
    """Return a column as numbers, NaN = null; a whole number that is none of them as the nearest."""
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def as_tuple(numbers: Numbers) -> tuple[float, ...]:
    """Return an array as JSON can have it."""
    return tuple(map(float, numbers))
