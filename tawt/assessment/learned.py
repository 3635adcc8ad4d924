"""Tasks that are learned from real and from synthetic records: features up to prediction times, and what came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tawt.arrays import Bools
from tawt.assessment.sides import Sides
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError
from tawt.evaluation.features import Recipe, features_at
from tawt.fidelity.suite import CEILING, SYNTHETIC, Task
from tawt.fidelity.summaries import Matrix
from tawt.fidelity.utility import Labelled
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.heads.labels import label_file, read_labels

_RECIPE: Recipe = "summaries"


def answers_of(workspace: Path, task: str, make: Callable[[], object] | None = None) -> LabelSet:
    """Return a label set of yes or no, less the rows of which nothing is known.

    Args:
        workspace: Whose.
        task: Its name.
        make: What makes it where it is not there; None = nothing does.

    Raises:
        ConfigError: There is none, or it asks for something else.
    """
    try:
        file = label_file(workspace, task)
    except ConfigError:
        if make is None:
            raise
        make()
        file = label_file(workspace, task)
    labels = read_labels(file)
    if KINDS[labels.kind].family != "binary" or len(labels.asked) != 1:
        raise ConfigError(str(file), "asks for more than a yes or no, expected one", "choose another with `--task`")
    return labels.rows(~labels.without)


def task_of(
    real: LabelSet, real_dataset: TripletDataset, synthetic: LabelSet, synthetic_dataset: TripletDataset, sides: Sides
) -> Task:
    """Return a task as fidelity asks it: features are on the scale of train, what is not known is its mean.

    Args:
        real: Answers of real people.
        real_dataset: Their records.
        synthetic: Answers of the synthetic set.
        synthetic_dataset: Its records, in the same vocabulary.
        sides: Who learns, and who is asked.
    """
    of = {name: side.split.subject_ids[side.subjects] for name, side in
          (("train", sides.train), ("test", sides.test), (CEILING, sides.reference))}  # fmt: skip
    rows = {name: real.rows(np.isin(real.subject_id, ids)) for name, ids in of.items()}
    known = np.isin(synthetic.subject_id, np.concatenate(
        [synthetic_dataset.split(name).subject_ids for name in synthetic_dataset.split_names]))  # fmt: skip
    rows[SYNTHETIC] = synthetic.rows(known)
    first = features_at(real_dataset, rows["train"].subject_id, rows["train"].time, _RECIPE)
    matrices = {"train": first.matrix}
    for name in ("test", CEILING, SYNTHETIC):
        dataset = synthetic_dataset if name == SYNTHETIC else real_dataset
        own = rows[name]
        matrices[name] = features_at(dataset, own.subject_id, own.time, _RECIPE, first.names).matrix
    with np.errstate(invalid="ignore"):
        n = np.maximum((~np.isnan(first.matrix)).sum(0), 1)
        mean = np.nansum(first.matrix, 0) / n
        std = np.sqrt(np.nansum((first.matrix - mean) ** 2, 0) / n)
    std[~(std > 1e-6)] = 1

    def labelled(name: str) -> Labelled:
        matrix: Matrix = np.nan_to_num((matrices[name] - mean) / std, nan=0.0).clip(-10, 10).astype(np.float32)
        label: Bools = rows[name].value[:, 0] > 0
        return Labelled(matrix, label, rows[name].subject_id)

    return Task(labelled("train"), labelled("test"), {SYNTHETIC: labelled(SYNTHETIC), CEILING: labelled(CEILING)})
