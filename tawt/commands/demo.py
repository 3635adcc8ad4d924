"""`tawt demo`: an invented hospital through every command, by the same public functions that the commands call."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.commands.build_vocab import build_vocab
from tawt.commands.embed import EmbedResult, embed
from tawt.commands.ingest import ingest
from tawt.commands.pretrain import PretrainResult, pretrain
from tawt.contracts.embeddings import PARTS
from tawt.contracts.workspace import HOSPITAL
from tawt.errors import ConfigError
from tawt.files import alone, write_sealed
from tawt.hospital.invent import HospitalSummary, write_hospital
from tawt.objectives.parts import weights
from tawt.pipeline.holding import hold
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.workspace import LOCK
from tawt.places import remove
from tawt.training.device import choose_compute

RUN = "demo"
CONFIG = "pretrain_demo"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    workspace: Path
    hospital: HospitalSummary
    data: RunResult
    """Ingest and build-vocab together."""
    training: PretrainResult
    embedding: EmbedResult
    seconds: float

    def summary(self) -> list[tuple[str, str]]:
        """Return what was made, as rows to print."""
        made = {stage.stage: stage.manifest for stage in self.data.stages if stage.manifest is not None}
        triplets = sum(account.n_rows_out for account in made["dataset"].accounts)
        rows = [
            ("invented subjects", f"{self.hospital.n_subjects:,} (seed {self.hospital.seed})"),
            ("raw records", f"{sum(self.hospital.n_rows.values()):,}"),
            ("kinds of traps planted", f"{len(self.hospital.traps)}"),
            ("data_types", f"{made['vocabulary'].facts['n_data_types']:,}"),
            ("triplets in mapped shards", f"{triplets:,}"),
            ("parameters", f"{self.training.plan.parameters.total:,}"),
        ]
        weigh = weights(self.training.plan.config.objective)
        for split in ("train", "tuning"):
            line = self.training.metrics.get(split)
            if line is None:
                continue
            rows.append((f"loss on {split}", f"{line['loss']:.3f}, trivial baseline {line['baseline']:.3f}"))
            parts = [key.removeprefix("loss_") for key in line if key.startswith("loss_")]
            rows += [
                (
                    f"  {part}, weight {weigh[part]:g}",
                    f"{line[f'loss_{part}']:.3f}, trivial baseline {line[f'baseline_{part}']:.3f}",
                )
                for part in parts
            ]
        rows += [
            ("embeddings", f"{self.embedding.n_subjects:,} x {self.embedding.d_embedding} in {self.embedding.path}"),
            ("weights", str(self.training.weights)),
            ("time", f"{self.seconds:.0f} s"),
        ]
        return rows


def demo_plan(workspace: str | Path = "tawt-demo", *, n_subjects: int = 300, seed: int = 0) -> list[tuple[str, str]]:
    """Return what a demo would do, and why; nothing is written.

    Raises:
        ConfigError: The workspace is there and is not a demo's.
    """
    root = Path(workspace).expanduser()
    old = "it replaces an earlier demo" if _is_taken(root) else "a new folder"
    return [
        (f"invent {n_subjects:,} subjects in {root / 'raw'}", f"seed {seed}; {old}"),
        ("ingest and build-vocab", "every stage of the pipeline `demo`: all are new"),
        (f"pretrain in {root / 'runs' / RUN}", f"config {CONFIG}"),
        (f"embed the {n_subjects:,} subjects", "from the run's last weights"),
    ]


def _is_taken(root: Path) -> bool:
    """Return whether an earlier demo stands there."""
    taken = root.exists() and (not root.is_dir() or any(path.name != LOCK for path in root.iterdir()))
    if taken and not (root / HOSPITAL).is_file():
        raise ConfigError(str(root), "is there and is not a demo's, expected a new folder", "tawt demo -w OTHER")
    return taken


def demo(
    workspace: str | Path = "tawt-demo",
    *,
    n_subjects: int = 300,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    report: Report = lambda event: None,
    train_report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> DemoResult:
    """Invent a hospital, then ingest, build the vocabulary, pretrain and embed.

    Args:
        workspace: Made anew; only a folder that an earlier demo made is replaced.
        n_subjects: Invented subjects.
        seed: Of the hospital; the same seed gives the same bytes.
        device: cpu, cuda or auto.
        threads: Threads of the data stages.
        report: Hears the data stages.
        train_report: Hears the training.

    Raises:
        ConfigError: The workspace is there and is not a demo's, or another command is at work in it.
        DeviceError: The device is not there.
    """
    started = time.perf_counter()
    root = Path(workspace).expanduser()
    # before an earlier demo is replaced, and before a lock is laid into a folder of somebody else's
    choose_compute(device)
    _is_taken(root)
    with hold(root):
        return _demo(root, started, n_subjects, seed, device, threads, report, train_report)


def _demo(
    root: Path,
    started: float,
    n_subjects: int,
    seed: int,
    device: str,
    threads: int | None,
    report: Report,
    train_report: Callable[[dict[str, Any]], None],
) -> DemoResult:
    """Do what `demo` says in a workspace that is held from the first byte to the last."""
    if _is_taken(root):
        _clear(root)
    # the mark comes first: a demo that was stopped anywhere can be replaced by the next one
    write_sealed(root / HOSPITAL, {})
    hospital = write_hospital(root / "raw", n_subjects=n_subjects, seed=seed)
    write_sealed(root / HOSPITAL, json.loads(hospital.to_json()))
    first = ingest(root / "raw", "demo", root, threads=threads, report=report)
    second = build_vocab(root, threads=threads, report=report)
    data = replace(first, stages=first.stages + second.stages, notes=first.notes + second.notes)
    training = pretrain(root, CONFIG, device=device, out=root / "runs" / RUN, report=train_report)
    embedding = embed(root, RUN, device=device)
    return DemoResult(root, hospital, data, training, embedding, time.perf_counter() - started)


def _clear(root: Path) -> None:
    """Remove an earlier demo, unless anybody writes in its runs and embeddings.

    Those go first, all that is there under the locks that who writes it would hold, and by name: what came there after
    they were looked at is somebody's, is in the way of its folder's removal, and ends this.
    """
    folders: list[Path] = []
    files: list[Path] = []
    locks: set[Path] = set()
    for name in ("runs", "embeddings"):
        for at, inner, names in os.walk(root / name):
            place = Path(at)
            own = [place / file for file in (*names, *inner) if (place / file).is_symlink() or file in names]
            folders, files = [*folders, place], files + own
            locks |= {place / LOCK} if name == "runs" else {_lock_of(path) for path in own}
    with ExitStack() as held:
        for lock in sorted(locks):
            held.enter_context(_taken(lock))
        for path in (*files, *locks):
            path.unlink(missing_ok=True)
        for place in reversed(folders):
            try:
                place.rmdir()
            except OSError:
                raise _in_use(place) from None
        for path in root.iterdir():
            if path.name != LOCK:
                remove(path)


def _lock_of(path: Path) -> Path:
    """The lock of who writes a file of embeddings; what lies hidden beside one, its lock too, is of it."""
    path = path.parent if path.parent.name.endswith(PARTS) else path
    name = path.stem[1:] if path.name.startswith(".") else path.name
    return path.with_name(f".{name}.lock")


@contextmanager
def _taken(lock: Path) -> Iterator[None]:
    """Hold a lock, and leave none where there was none."""
    made = not lock.exists()
    with alone(lock, _in_use(lock.parent)):
        try:
            yield
        finally:
            if made:
                lock.unlink(missing_ok=True)


def _in_use(place: Path) -> ConfigError:
    return ConfigError(
        str(place), "is in use by another tawt command, expected a demo that is at rest",
        "wait for it to end, or `tawt demo -w OTHER`",
    )  # fmt: skip
