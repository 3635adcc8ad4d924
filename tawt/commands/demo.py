"""`tawt demo`: an invented hospital through every command, by the same public functions that the commands call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.commands.demo_images import ImagesResult, demo_images, images_plan
from tawt.commands.demo_place import CONFIG, RUN, hold_demo, invented
from tawt.commands.embed import EmbedResult, embed
from tawt.commands.pretrain import PretrainResult, pretrain
from tawt.hospital.invent import LEAST_SUBJECTS, HospitalSummary, hold_asked, write_hospital
from tawt.hospital.pictured import LEAST_PICTURED
from tawt.objectives.parts import weights
from tawt.pipeline.holding import hold
from tawt.pipeline.run import Report, RunResult
from tawt.training.device import choose_compute

N_SUBJECTS, N_SUBJECTS_PICTURED = 300, 8000
"""Invented, where nobody says how many; so many with images that runs can be told apart."""


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


def demo_plan(
    workspace: str | Path = "tawt-demo", *, images: bool = False, n_subjects: int | None = None, seed: int = 0
) -> list[tuple[str, str]]:
    """Return what a demo would do, and why; nothing is written.

    Raises:
        ConfigError: The workspace is there and is not a demo's, or nobody can invent what is asked for.
    """
    root, n_subjects = Path(workspace).expanduser(), _size(images, n_subjects, seed)
    if images:
        return images_plan(root, n_subjects, seed)
    old = "it replaces an earlier demo" if hold_demo(root) else "a new folder"
    return [
        (f"invent {n_subjects:,} subjects in {root / 'raw'}", f"seed {seed}; {old}"),
        ("ingest and build-vocab", "every stage of the pipeline `demo`: all are new"),
        (f"pretrain in {root / 'runs' / RUN}", f"config {CONFIG}"),
        (f"embed the {n_subjects:,} subjects", "from the run's last weights"),
    ]


def demo(
    workspace: str | Path = "tawt-demo",
    *,
    images: bool = False,
    n_subjects: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    report: Report = lambda event: None,
    train_report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> DemoResult | ImagesResult:
    """Invent a hospital, then ingest, build the vocabulary, pretrain and embed.

    Args:
        workspace: Made anew; only a folder that an earlier demo made is replaced.
        images: Invent one with chest pictures, whose risks are known, and learn from records, pictures and both.
        n_subjects: Invented subjects; None = 300, with images 8,000.
        seed: Of the hospital; the same seed gives the same bytes.
        device: cpu, cuda or auto.
        threads: Threads of the data stages.
        report: Hears the data stages.
        train_report: Hears the training.

    Raises:
        ConfigError: The workspace is there and is not a demo's, another command is at work in it, or nobody can invent
            what is asked for.
        DeviceError: The device is not there.
        StageError: What decodes images is not installed.
    """
    started = time.perf_counter()
    root = Path(workspace).expanduser()
    # before an earlier demo is replaced, and before a lock is laid into a folder of somebody else's
    choose_compute(device)
    n_subjects = _size(images, n_subjects, seed)
    hold_demo(root)
    if images:
        return demo_images(root, n_subjects, seed, device, threads, report, train_report)
    with hold(root):
        return _demo(root, started, n_subjects, seed, device, threads, report, train_report)


def _size(images: bool, n_subjects: int | None, seed: int) -> int:
    usual, least = (N_SUBJECTS_PICTURED, LEAST_PICTURED) if images else (N_SUBJECTS, LEAST_SUBJECTS)
    n_subjects = usual if n_subjects is None else n_subjects
    hold_asked(n_subjects, seed, least)
    return n_subjects


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
    hospital, data = invented(root, write_hospital, "demo", n_subjects, seed, threads, report)
    training = pretrain(root, CONFIG, device=device, out=root / "runs" / RUN, report=train_report)
    train_report({"event": "note", "text": f"embedding the {n_subjects:,} subjects"})
    embedding = embed(root, RUN, device=device)
    return DemoResult(root, hospital, data, training, embedding, time.perf_counter() - started)
