"""Where metrics go beside `metrics.jsonl`: TensorBoard, trackio and Weights & Biases, each an extra.

An adapter is opened before the first step, so that a missing package is an error at once. From then on it can only
fall silent: whatever it raises is noted once, and the run goes on without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError
from tawt.room import hold_memory

Note = Callable[[str], None]
_MODULES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
_NO_SCALARS = ("step", "split")


class Logger(Protocol):
    """What takes the lines of `metrics.jsonl`."""

    def write(self, line: Mapping[str, Any]) -> None:
        """Take a line; it has `step` and `split`."""

    def close(self) -> None:
        """Finish."""


def require_loggers(config: PretrainConfig) -> None:
    """Make sure that the packages of `train.loggers` are there, without importing them.

    Raises:
        ConfigError: One is not installed.
    """
    for name in config.train.loggers:
        if importlib.util.find_spec(_MODULES[name]) is None:
            raise _missing(name)


def open_loggers(
    config: PretrainConfig, run: Path, *, start_step: int = 0, note: Note = lambda text: None
) -> list[Logger]:
    """Open the adapters that `train.loggers` names.

    Args:
        config: The run's config, which they record too.
        run: The run folder; its name is the run's name everywhere.
        start_step: Steps made already: what an earlier process logged beyond them is taken back where that can be.
        note: Told once where an adapter fails later.

    Raises:
        ConfigError: A package is not installed, or its adapter does not open.
    """
    opened: list[Logger] = []
    for name in config.train.loggers:
        try:
            opened.append(_Guarded(name, _OPEN[name](config, run, start_step), note))
        except ModuleNotFoundError:
            raise _missing(name) from None
        except Exception as error:
            hold_memory(error, f"train.loggers: {name}")
            raise ConfigError(
                "train.loggers", f"`{name}` does not open ({type(error).__name__}), expected it to take metrics",
                f"set it up as its manual says, or leave `{name}` out",
            ) from None  # fmt: skip
    return opened


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of metrics, named SPLIT/KEY."""
    return {
        f"{line['split']}/{key}": float(value)
        for key, value in line.items()
        if key not in _NO_SCALARS and isinstance(value, int | float)
    }


class _Guarded:
    """An adapter that cannot stop a run."""

    def __init__(self, name: str, inner: Logger, note: Note) -> None:
        self.name, self.inner, self.note = name, inner, note
        self.failed = False

    def write(self, line: Mapping[str, Any]) -> None:
        """Hand a line on, unless the adapter has failed before."""
        self._try(lambda: self.inner.write(line))

    def close(self) -> None:
        """Finish, failed or not."""
        if self.failed:
            with contextlib.suppress(Exception):
                self.inner.close()
        else:
            self._try(self.inner.close)

    def _try(self, action: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:
            self.failed = True
            self.note(f"{self.name} failed ({type(error).__name__}): the run goes on without it")


class _TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, config: PretrainConfig, run: Path, start_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge = start_step + 1 if start_step else None
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=purge)

    def write(self, line: Mapping[str, Any]) -> None:
        for name, value in scalars(line).items():
            self.writer.add_scalar(name, value, line["step"])

    def close(self) -> None:
        self.writer.close()


class _Trackio:
    """A local trackio database, `trackio show` to look at it."""

    def __init__(self, config: PretrainConfig, run: Path, start_step: int) -> None:
        self.trackio: Any = importlib.import_module("trackio")
        self.trackio.init(project="tawt", name=run.name, config=config.model_dump(mode="json"), resume="allow")

    def write(self, line: Mapping[str, Any]) -> None:
        self.trackio.log(scalars(line), step=line["step"])

    def close(self) -> None:
        self.trackio.finish()


class _WeightsAndBiases:
    """A Weights & Biases run; offline unless `WANDB_MODE` says otherwise, since nothing leaves a hospital unasked."""

    def __init__(self, config: PretrainConfig, run: Path, start_step: int) -> None:
        wandb: Any = importlib.import_module("wandb")
        # the same folder is the same run, so that a resumed one goes on in its curves
        identity = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
        self.run = wandb.init(
            project="tawt", name=run.name, id=identity, resume="allow", dir=str(run),
            mode=os.environ.get("WANDB_MODE", "offline"), config=config.model_dump(mode="json"),
        )  # fmt: skip

    def write(self, line: Mapping[str, Any]) -> None:
        self.run.log(scalars(line), step=line["step"])

    def close(self) -> None:
        self.run.finish()


_OPEN: dict[str, Callable[[PretrainConfig, Path, int], Logger]] = {
    "tensorboard": _TensorBoard,
    "trackio": _Trackio,
    "wandb": _WeightsAndBiases,
}


def _missing(name: str) -> ConfigError:
    return ConfigError(
        "train.loggers", f"names `{name}`, which is not installed, expected its package",
        f'pip install "tawt[{name}]", or leave it out',
    )  # fmt: skip
