"""Pretrained models of tables, TabPFN and TabICL, from weights that lie on disk; the network is closed to them."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.chance import Salt, shuffled
from tawt.errors import ConfigError, nearest
from tawt.evaluation.baselines import Fit, Say, Task, prevalence, spread
from tawt.evaluation.features import Recipe
from tawt.evaluation.rows import Rows

_OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TABPFN_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
    "TABPFN_ALLOW_CPU_LARGE_DATASET": "0", "TABPFN_NO_BROWSER": "1",
}  # fmt: skip
_FILES, _WORDS = (".ckpt", ".safetensors", ".pt"), ("regress", "classif")


@dataclass(frozen=True)
class Package:
    """A package of a pretrained model of tables, and what its authors say that it can take."""

    module: str
    of_classes: str
    """Name of its classifier."""
    of_numbers: str
    """Name of its regressor."""
    n_rows: int
    """Rows that it learns from at most."""
    n_rows_cpu: int
    """The same without a GPU."""
    n_features: int
    n_classes: int
    more: Mapping[str, Any]
    """Further settings."""


# source: github.com/PriorLabs/TabPFN (limits of version 2, the least; 1,000 rows on CPU), github.com/soda-inria/tabicl
TABULAR = {
    "TabPFN": Package("tabpfn", "TabPFNClassifier", "TabPFNRegressor", 10_000, 1_000, 500, 10, {}),
    "TabICL": Package(
        "tabicl", "TabICLClassifier", "TabICLRegressor", 100_000, 10_000, 2_000, 1_000, {"allow_auto_download": False}
    ),
}
"""Name of the baseline -> its package."""


def given_weights(given: Sequence[str]) -> dict[str, Path]:
    """Read `NAME=PATH` of each, which are there.

    Raises:
        ConfigError: One is not of that form, its name is none, or nothing lies there.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, _, path = text.partition("=")
        if name not in TABULAR or not path:
            what = f"names no model of tables, expected NAME=PATH with {' or '.join(TABULAR)}"
            raise ConfigError(f"--weights {text}", what, nearest(name, TABULAR))
        found[name] = Path(path).expanduser()
        if not found[name].exists():
            raise ConfigError(f"--weights {text}", "is not there, expected a file of weights or a folder of them")
    return found


def tabular_baselines(
    weights: Mapping[str, Path], device: str, tell: Callable[[str], None]
) -> dict[str, tuple[Recipe | None, Fit]]:
    """Return a baseline of each model whose weights are given.

    Args:
        weights: Name -> a file, or a folder in which one is called after a classifier or a regressor.
        device: cpu or cuda.
        tell: Hears what of the training rows and features is left out.
    """
    found: dict[str, tuple[Recipe | None, Fit]] = {}
    for name, path in weights.items():

        def fit(x: Floats, rows: Rows, task: Task, seed: int, name: str = name, path: Path = path) -> Say:
            return _fitted(name, path, device, tell, x, rows, task, seed)

        found[name] = ("summaries", fit)
    return found


def _fitted(
    name: str, path: Path, device: str, tell: Callable[[str], None], x: Floats, rows: Rows, task: Task, seed: int
) -> Say:
    package = TABULAR[name]
    made = _class(name, package, task)
    file = _file(name, path, task)
    own, columns = _kept(name, package, device, tell, x, rows, seed)
    y = rows.truth[own]
    if task != "numbers" and len(np.unique(y)) < 2:
        return prevalence(x, rows, task, seed)
    if task != "numbers" and len(np.unique(y)) > package.n_classes:
        what = f"has {len(np.unique(y))} classes to learn, expected {package.n_classes} at most"
        raise ConfigError(f"baseline {name}", what, f"leave {name} out")
    with _at_work(name, package):
        model = made(model_path=str(file), device=device, random_state=seed, **package.more)
        model.fit(x[own][:, columns], y if task == "numbers" else y.astype(np.int64))

    def say(asked: Floats) -> Floats:
        with _at_work(name, package):
            said = (model.predict if task == "numbers" else model.predict_proba)(asked[:, columns])
        if task == "numbers":
            return np.asarray(said, dtype=np.float64)
        classes = np.asarray(model.classes_, dtype=np.float64)
        return spread(np.asarray(said, dtype=np.float64), classes, rows.n_classes, task)

    return say


@contextmanager
def _at_work(name: str, package: Package) -> Iterator[None]:
    """Let a package work without the network, and end in its name where it fails."""
    try:
        with offline():
            yield
    except Exception as error:  # whatever the package raises; its words may quote cells
        why = "asks for the network, which is closed to it" if _is_offline(error) else f"ended with {_kind(error)}"
        raise ConfigError(
            f"baseline {name}", f"{package.module} {why}, expected weights that it reads",
            f"give weights of the installed version with `--weights {name}=FILE`",
        ) from None  # fmt: skip


def _class(name: str, package: Package, task: Task) -> Any:
    wanted = package.of_numbers if task == "numbers" else package.of_classes
    try:
        with offline():
            return getattr(importlib.import_module(package.module), wanted)
    except (ImportError, OSError, AttributeError):
        what = f"{package.module} with {wanted} cannot be imported, expected it"
        raise ConfigError(f"baseline {name}", what, f"pip install {package.module}") from None


def _file(name: str, path: Path, task: Task) -> Path:
    """Return the file of weights of a kind of task."""
    if path.is_file():
        return path
    word, other = _WORDS if task == "numbers" else _WORDS[::-1]
    there = [one for one in path.iterdir() if one.suffix in _FILES]
    own = [one for one in there if word in one.name.lower()]
    found = own or [one for one in there if other not in one.name.lower()]  # who does both says neither
    if len(found) != 1:
        what = f"holds {len(found)} files of weights with `{word}` in their name, expected one"
        raise ConfigError(f"--weights {name}={path}", what, "name the file")
    return found[0]


def _kept(
    name: str, package: Package, device: str, tell: Callable[[str], None], x: Floats, rows: Rows, seed: int
) -> tuple[Ints, Ints]:
    """Return the rows to learn from and the features, as many as the model takes; what is left out is told."""
    own = np.flatnonzero(rows.fit)
    most = package.n_rows_cpu if device == "cpu" else package.n_rows
    if len(own) > most:
        where = " on CPU" if device == "cpu" else ""
        tell(f"{name} learns from {most:,} of {len(own):,} rows, drawn at random: more it does not take{where}")
        own = np.sort(own[shuffled(len(own), Salt.TABULAR, seed)[:most]])
    known = (~np.isnan(x[own])).sum(0)
    columns = np.flatnonzero(known > 0)
    if len(columns) > package.n_features:
        tell(f"{name} is given {package.n_features:,} of {len(columns):,} features, those that most rows have")
        columns = np.sort(columns[np.argsort(-known[columns], kind="stable")[: package.n_features]])
    return own, columns


class _Offline(OSError):
    """Somebody asked for the network."""


def _is_offline(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _Offline) or "offline" in type(error).__name__.lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _kind(error: Exception) -> str:
    return type(error).__name__


@contextmanager
def offline() -> Iterator[None]:
    """Close the network to this process, whatever a package asks for; what goes to the same machine's files stays."""
    real, was = (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo), dict(os.environ)

    def refused(*args: Any, **more: Any) -> Any:
        raise _Offline("the network is closed")

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            return refused() if self.family in (socket.AF_INET, socket.AF_INET6) else call(self, address)

        return connect

    patched: Any = socket.socket
    patched.connect, patched.connect_ex = guarded(real[0]), guarded(real[1])
    socket.getaddrinfo = refused
    os.environ.update(_OFFLINE)
    try:
        yield
    finally:
        patched.connect, patched.connect_ex, socket.getaddrinfo = real
        for name in _OFFLINE:
            os.environ.pop(name, None)
            if name in was:
                os.environ[name] = was[name]
