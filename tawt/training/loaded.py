"""What a training loads: batches of train, and of tuning where there is anybody to validate on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tawt.batching.left import make_cutter, salts_of
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError
from tawt.heads.targets import Task
from tawt.modalities.fusion.beside import Finder
from tawt.modalities.fusion.looking import Looking
from tawt.modalities.fusion.pairs import Pairing
from tawt.training.choices import loader_config
from tawt.training.folder import Report


@dataclass(frozen=True, eq=False)
class Found:
    """What is found beside the records of a split."""

    finder: Finder | None = None
    """What joins them; None = nothing."""
    pairing: Pairing | None = None
    """What they are paired with; None = nothing."""


def found_in(
    looking: Looking | None, split: Split | None, vocabulary: Vocabulary, config: PretrainConfig, training: bool
) -> Found:
    """Return what is found beside the records of a split."""
    if looking is None or split is None:
        return Found()
    finder, objective = looking.finder(split, vocabulary), config.objective
    return Found(
        finder if objective.teaches(config.modalities.fusion.how) else None,
        Pairing(finder, split, objective.paired.whole_share, salts_of(config, training))
        if objective.paired.weight
        else None,
    )


def hold_pairs(loader: PackedLoader) -> None:
    """Hold that images of two people can be told apart.

    Raises:
        ConfigError: There are no two.
    """
    if len(loader.paired_subjects(0)) < 2:
        raise ConfigError(
            "objective.paired", "tells images of different people apart, and in a pass over train no two have one of "
            "which a record came before, expected more", "attach images to more people, or lower "
            "objective.paired.whole_share; or set objective.paired.weight=0",
        )  # fmt: skip


def tuning_loader(
    split: Split | None,
    vocabulary: Vocabulary,
    config: PretrainConfig,
    report: Report,
    task: Task | None,
    found: Found,
) -> PackedLoader | None:
    """Return the batches of validation; None where there is nobody to validate on, which is told.

    Raises:
        ConfigError: There is nobody, and the run is to choose by it.
    """
    asked = split is not None and (task is None or np.isin(task.asked.subject_id, split.subject_ids).any())
    if split is not None and split.n_triplets and asked:
        return loader_of(split, vocabulary, config, False, task, found)
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
    found: Found,
) -> PackedLoader:
    """Return the batches of a split, of a task's prediction times if there is one."""
    # cutting asks when a record could be read
    return PackedLoader(
        split, vocabulary, loader_config(config, training), config.train.seed,
        with_available=bool(config.objective.forecast.weight),
        cutter=make_cutter(config, True) if training else None,
        asked=None if task is None else task.asked,
        pairing=found.pairing,
        beside=found.finder,
    )  # fmt: skip
