"""What a training loads: batches of train, and of tuning where there is anybody to validate on."""

from __future__ import annotations

import numpy as np

from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError
from tawt.heads.targets import Task
from tawt.modalities.fusion.beside import Finder
from tawt.training.choices import loader_config
from tawt.training.folder import Report


def tuning_loader(
    split: Split | None,
    vocabulary: Vocabulary,
    config: PretrainConfig,
    report: Report,
    task: Task | None,
    finder: Finder | None,
) -> PackedLoader | None:
    """Return the batches of validation; None where there is nobody to validate on, which is told.

    Raises:
        ConfigError: There is nobody, and the run is to choose by it.
    """
    asked = split is not None and (task is None or np.isin(task.asked.subject_id, split.subject_ids).any())
    if split is not None and split.n_triplets and asked:
        return loader_of(split, vocabulary, config, False, task, finder)
    nobody = "there is no tuning subject" if task is None or split is None else "no tuning subject has a label"
    if config.train.final != "last":
        raise ConfigError(
            "train.final", f"is `{config.train.final}` and {nobody}, expected one to choose by",
            "use `--set train.final=last`",
        )  # fmt: skip
    report({"event": "note", "text": f"{nobody}: no validation"})
    return None


def loader_of(
    split: Split,
    vocabulary: Vocabulary,
    config: PretrainConfig,
    training: bool,
    task: Task | None,
    finder: Finder | None,
) -> PackedLoader:
    """Return the batches of a split, of a task's prediction times if there is one."""
    # cutting asks when a record could be read
    return PackedLoader(
        split, vocabulary, loader_config(config, training), config.train.seed,
        with_available=bool(config.objective.forecast.weight),
        cutter=make_cutter(config, True) if training else None,
        asked=None if task is None else task.asked,
        beside=finder,
    )  # fmt: skip
