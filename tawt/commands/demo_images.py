"""`tawt demo --images`: who dies, told from records, images and both, beside the best that can be told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.commands.demo_place import CONFIG, RUN, hold_demo, invented
from tawt.commands.evaluate import evaluate
from tawt.commands.finetune import finetune
from tawt.commands.label import label
from tawt.commands.pretrain import pretrain
from tawt.config.modalities import Fusion
from tawt.evaluation.metrics import Binary
from tawt.evaluation.predictions import Predictions, read_predictions
from tawt.evaluation.resample import N_DRAWS, Difference, Interval
from tawt.evaluation.table import Row, compare
from tawt.evaluation.withheld import withheld
from tawt.evaluations.result import EvaluateResult
from tawt.hospital.invent import HospitalSummary
from tawt.hospital.pictured import write_pictured
from tawt.modalities.needed import needed
from tawt.pipeline.holding import hold
from tawt.pipeline.run import Report, RunResult
from tawt.places import real

PIPELINE, TASK = "demo_images", "in_hospital_mortality_24h"
LOOKS: dict[str, tuple[Fusion | None, str]] = {
    "both": ("gate", "record and images"), "record": (None, "record"), "image": ("alone", "images"),
}  # fmt: skip
"""What a run looks at -> how contents join, and what a table calls it; with the first one others are compared."""
STEPS = (
    "train.max_steps=200", "train.warmup_steps=20", "train.validate_every=200", "train.checkpoint_every=200",
    "model.pooling=per_type", "model.readout.n_queries=1", "model.readout.d_type=8",
)  # fmt: skip
"""Of pretraining: of a day's record little is to be learned, and each value is read out by its data_type."""
TAUGHT = ("augment.variable_dropout=0", "augment.event_dropout=0", "train.warmup_steps=9", "train.patience=0")
"""Of each run: what tells the risk is measured once, and a network of images that begins at nothing takes its time."""
PICTURES = ("modalities.image.size=32", "modalities.image.augment=0.1", "modalities.fusion.dropout=0.1")
OF_IMAGES = ("train.lr=2e-3", "train.warmup_steps=60", "batching.tokens_per_batch=1024")
"""Of the run that looks at images alone; the encoder that it learned is that of the run that looks at both."""
OF_BOTH = ("train.lr=3e-3", "train.warmup_steps=20")
"""Of the run that looks at both, where what joins them begins at nothing."""
EPOCHS = {"image": 6.0, "record": 4.0, "both": 12.0}


@dataclass(frozen=True)
class Held:
    """A run beside what is known."""

    looks: str
    """What both look at."""
    auc: Interval
    """Of the run."""
    known: Interval
    """Of the best answer, on the same people."""
    less: Difference
    """The run less the best answer."""
    less_first: Difference | None
    """The run less the first one, None of that."""
    expected: float
    """What the best answer has among all people there could be."""


@dataclass(frozen=True)
class ImagesResult:
    """What the demo made."""

    workspace: Path
    hospital: HospitalSummary
    data: RunResult
    """Ingest and build-vocab together."""
    evaluation: EvaluateResult
    """The runs beside one another, and the first with fewer images."""
    held: tuple[Held, ...]
    """Each run beside what is known."""
    n_asked: int
    """People who were asked about."""
    seconds: float

    def rows(self) -> list[tuple[str, ...]]:
        """Return each run beside what is known, as rows to print."""
        return [
            (
                one.looks, _in(one.auc), _in(one.known, ends=False), f"{one.expected:.3f}", _in(one.less, "+"),
                "" if one.less_first is None else _in(one.less_first, "+"),
            )
            for one in self.held
        ]  # fmt: skip


def images_plan(root: Path, n_subjects: int, seed: int) -> list[tuple[str, str]]:
    """Return what the demo would do, and why; see `demo_plan`."""
    old = "it replaces an earlier demo" if hold_demo(root) else "a new folder"
    runs = [(f"finetune {name_of(looks)}", f"looks at {told}") for looks, (_, told) in reversed(LOOKS.items())]
    return [
        (f"invent {n_subjects:,} subjects and chest pictures in {root / 'raw'}", f"seed {seed}; {old}"),
        ("ingest, build-vocab and label", f"every stage of the pipeline `{PIPELINE}`, and {TASK}: all are new"),
        (f"pretrain {RUN}", f"config {CONFIG}, a short while"),
        *runs,
        ("evaluate", "on people not seen, beside their risk as it is known"),
    ]


def name_of(looks: str) -> str:
    """Return the run that looks at something."""
    return f"{RUN}-{looks}"


def demo_images(
    root: Path,
    n_subjects: int,
    seed: int,
    device: str,
    threads: int | None,
    report: Report,
    train_report: Callable[[dict[str, Any]], None],
    settings: tuple[str, ...] = (),
) -> ImagesResult:
    """Invent a hospital with images, learn who dies from its records, its images and both, and hold that to the truth.

    See `demo`; `settings` are overrides of all trainings.
    """
    started = time.perf_counter()
    # before an earlier demo is replaced
    needed("PIL.Image", "Pillow")
    with hold(root):
        hospital, data = invented(root, write_pictured, PIPELINE, n_subjects, seed, threads, report)
        label(TASK, root, threads=threads)
        run = root / "runs" / RUN
        pretrain(root, CONFIG, device=device, out=run, settings=(*STEPS, *settings), report=train_report)
        taught = real(root / "runs" / name_of("image")) / "model.safetensors"
        still = (f"modalities.image.weights={json.dumps(str(taught))}", "modalities.image.frozen=true")
        more = {"image": (*PICTURES, *OF_IMAGES), "record": (), "both": (*PICTURES, *OF_BOTH, *still)}
        for looks, own in more.items():
            fusion, told = LOOKS[looks]
            train_report({"event": "note", "text": f"{name_of(looks)} learns {TASK} from the {told}"})
            finetune(
                root, TASK, run, mode="head", fusion=fusion, epochs=EPOCHS[looks],
                device=device, settings=(*TAUGHT, *own, *settings), out=root / "runs" / name_of(looks),
                report=train_report,
            )  # fmt: skip
        train_report({"event": "note", "text": "asking all of them of people not seen, whole and with images lost"})
        found = evaluate(root, TASK, [name_of(looks) for looks in LOOKS], baselines=(), device=device)
        asked = {looks: read_predictions(found.folder / f"{name_of(looks)}.parquet") for looks in LOOKS}
        held = tuple(
            _held(looks, asked[looks], hospital, row) for looks, row in zip(LOOKS, found.comparison.rows, strict=True)
        )
    n_asked = len(next(iter(asked.values())).subject_id)
    return ImagesResult(root, hospital, data, found, held, n_asked, time.perf_counter() - started)


def _held(looks: str, said: Predictions, hospital: HospitalSummary, row: Row) -> Held:
    """Hold what a run said to the best answer of who looks at the same."""
    best = {int(one["subject_id"]): one[looks] for one in hospital.truth}
    assert isinstance(said.outcome, Binary), "who dies is a matter of yes or no"
    known = replace(said, outcome=Binary(said.outcome.truth, [best[one] for one in said.subject_id.tolist()]))
    both = compare({"known": known, "run": said}, "known", only=("auroc",), n_draws=N_DRAWS)
    truth, run = both.without(withheld(both.titles, said.outcome, said.subject_id)).rows
    assert run.differences is not None
    auc, of_truth = run.metrics["auroc"], truth.metrics["auroc"]
    less_first = None if row.differences is None else row.differences["auroc"]
    return Held(LOOKS[looks][1], auc, of_truth, run.differences["auroc"], less_first, hospital.best_auc[looks])


def _in(one: Interval, sign: str = "", ends: bool = True) -> str:
    if one.value is None or one.low is None or one.high is None:
        return one.reason or ""
    return f"{one.value:{sign}.3f}" + (f" [{one.low:{sign}.3f}, {one.high:{sign}.3f}]" if ends else "")
