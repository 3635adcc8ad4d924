"""What stays in a run folder once there is another checkpoint, and what goes."""

from __future__ import annotations

from pathlib import Path

from tawt.config.train import TrainConfig
from tawt.contracts.run import say_unfinished
from tawt.places import remove
from tawt.training.best import Lines, say_best
from tawt.training.checkpoint import by_step


def settle(run: Path, step: int, tuning: Lines, config: TrainConfig) -> None:
    """Say what stays after a checkpoint, and remove what does not; a kill on the way leaves it to be done again.

    Args:
        run: The run folder.
        step: Of the checkpoint.
        tuning: The validations up to it.
        config: What is kept.
    """
    old = outdated_checkpoints(run, step, config.keep_checkpoints)
    worse = say_best(run, tuning, config) if config.keep_best else []
    say_unfinished(run, step, [*old, *worse])
    for folder in old:
        remove_checkpoint(folder)
    for path in worse:
        path.unlink()


def outdated_checkpoints(run: Path, step: int, keep: int) -> list[Path]:
    """Return the checkpoints that may go once there is one of this step: all but the newest `keep`."""
    made = sorted(by_step(run / "checkpoints"))
    # later ones are of a run that was taken up again before them: what follows them is made anew
    later = [path for other, path in made if other > step]
    return [path for other, path in made if other <= step][:-keep] + later


def remove_checkpoint(folder: Path) -> None:
    """Remove a folder so that a kill in the middle leaves nothing under its name."""
    gone = folder.with_name(f".{folder.name}.tmp")
    remove(gone)
    folder.rename(gone)
    remove(gone)
