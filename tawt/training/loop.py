"""The training loop, from top to bottom.

Step `s` uses batches `s * k .. s * k + k - 1` of the loader (`k` batches hold `accumulate_tokens`), masks
drawn from (seed, batch) and dropout seeded from (seed, step). So the weights after a step depend on the
weights before it and on the step's number alone, and a run may be stopped and continued anywhere.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.chance import draw
from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, VALIDATION, draw_masks, hide, may_lose
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import TrainingError
from tawt.models.build import PretrainModel
from tawt.objectives.baselines import Baselines
from tawt.objectives.masked import PARTS, Targets, baseline_sums, loss_sums, make_targets, weights
from tawt.training.checkpoint import Checkpoint, save_checkpoint
from tawt.training.device import Compute
from tawt.training.metrics import MetricsFile
from tawt.training.optim import learning_rate

_DROPOUT = 6
_NO_MEMORY = "can't allocate memory"
"""How torch says on CPU that memory ran out: a plain RuntimeError."""
Report = Callable[[dict[str, Any]], None]
Prepared = tuple[PackedBatch, Targets]


@dataclass
class Sums:
    """Loss and baseline of some batches, summed per part on the host."""

    loss: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    baseline: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))

    def add(self, loss: dict[str, Tensor], baseline: dict[str, Tensor], count: dict[str, int]) -> None:
        """Add a batch; the one place where the host waits for the device."""
        both = torch.stack([*(loss[p].detach() for p in PARTS), *(baseline[p] for p in PARTS)]).tolist()
        for i, part in enumerate(PARTS):
            self.loss[part] += both[i]
            self.baseline[part] += both[len(PARTS) + i]
            self.count[part] += count[part]

    def means(self, weight: dict[str, float]) -> dict[str, Any]:
        """Return mean loss and baseline, whole and by part; a part without a position is left out."""
        there = [part for part in PARTS if self.count[part]]
        out: dict[str, Any] = {}
        for name, sums in (("loss", self.loss), ("baseline", self.baseline)):
            mean = {part: sums[part] / self.count[part] for part in there}
            out[name] = sum(weight[part] * mean[part] for part in there)
            out |= {f"{name}_{part}": mean[part] for part in there}
        return out | {f"n_{part}": self.count[part] for part in there}


@dataclass
class Trainer:
    """One pretraining run in memory."""

    run: Path
    config: PretrainConfig
    vocabulary: Vocabulary
    compute: Compute
    model: PretrainModel
    optimizer: torch.optim.Optimizer
    baselines: Baselines
    train: PackedLoader
    tuning: PackedLoader | None
    state: dict[str, Any]
    """What each checkpoint's state.json holds beside the step."""
    report: Report
    resume_command: str = ""

    def __post_init__(self) -> None:
        self.losable = may_lose(self.vocabulary)
        self.weight = weights(self.config.objective)
        self._fixed: list[Prepared] = []

    def fit(self, start_step: int) -> dict[str, Any]:
        """Train from `start_step` to the end; return the last line of metrics of each split.

        Raises:
            TrainingError: A loss or the gradient is not finite, or memory ran out.
            KeyboardInterrupt: SIGINT or SIGTERM came; a checkpoint of the last whole step was saved first.
        """
        config, run = self.config.train, MetricsFile(self.run / "metrics.jsonl", start_step)
        per_step = batches_per_step(self.config)
        batches = self.train.stream(start_step * per_step)
        last: dict[str, Any] = {}
        began, tokens_seen = time.perf_counter(), 0
        try:
            with _stop_requested() as stop, _repeatable(self.compute.device):
                for step in range(start_step, config.max_steps):
                    at = time.perf_counter()
                    prepared = [
                        self._prepare(next(batches), TRAINING, config.seed, step * per_step + i)
                        for i in range(per_step)
                    ]
                    line = self._step(step, prepared)
                    seconds = time.perf_counter() - at
                    tokens_seen += line["tokens"]
                    line |= {"tokens_per_s": round(line["tokens"] / seconds, 1), "seconds": round(seconds, 4)}
                    done = step + 1
                    finished = done == config.max_steps
                    if done % config.log_every == 0 or finished:
                        run.write(line)
                        last["train"] = line
                    self._tell(line, (time.perf_counter() - began) / (done - start_step))
                    if config.validate_every and (done % config.validate_every == 0 or finished):
                        line = self.validate(done)
                        if line:
                            run.write(line)
                            last["tuning"] = line
                    if done % config.checkpoint_every == 0 or finished or stop.is_set():
                        run.sync()
                        self.save(done)
                    if stop.is_set() and not finished:
                        self.report({"event": "stopped", "step": done, "resume": self.resume_command})
                        raise KeyboardInterrupt
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or _NO_MEMORY in str(error)):
                raise
            batching = self.config.batching
            raise TrainingError(
                str(self.run),
                f"memory ran out ({type(error).__name__}) with batches of {batching.tokens_per_batch} tokens "
                f"and documents of up to {batching.max_length}, expected to fit",
                "halve batching.tokens_per_batch (and set train.accumulate_tokens to what it was), "
                "or halve batching.max_length",
            ) from None
        finally:
            batches.close()
            run.close()
        return last

    def _step(self, step: int, prepared: list[Prepared]) -> dict[str, Any]:
        """Make one optimizer step; the gradient is that of all its batches as one."""
        config = self.config.train
        rate = learning_rate(step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        torch.manual_seed(int(draw([step], _DROPOUT, config.seed)[0]) >> 1)
        total = {part: sum(targets.counts()[part] for _, targets in prepared) for part in PARTS}
        sums = Sums()
        self.optimizer.zero_grad(set_to_none=True)
        for batch, targets in prepared:
            loss, baseline = self._losses(batch, targets)
            terms = [loss[part] * (self.weight[part] / total[part]) for part in PARTS if total[part]]
            sum(terms, loss["value"] * 0).backward()
            sums.add(loss, baseline, targets.counts())
        for part in PARTS:
            if not math.isfinite(sums.loss[part]):
                raise self._not_finite(step, f"the loss part `{part}`")
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        total_norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = total_norm.item()
        if not math.isfinite(norm):
            raise self._not_finite(step, f"the gradient of {self._worst_gradient()}")
        torch.nn.utils.clip_grads_with_norm_(parameters, config.clip, total_norm)
        self.optimizer.step()
        tokens = sum(batch.n_tokens for batch, _ in prepared)
        return {"step": step + 1, "split": "train", **sums.means(self.weight), "lr": rate, "grad_norm": norm,
                "tokens": tokens}  # fmt: skip

    @torch.no_grad()
    def validate(self, step: int) -> dict[str, Any]:
        """Return the line of metrics of the first `validate_batches` of `tuning`, always with the same
        masks."""
        if self.tuning is None:
            return {}
        if not self._fixed:
            batches = self.tuning.sequential()
            first = list(islice(batches, self.config.train.validate_batches))
            batches.close()
            self._fixed = [self._prepare(b, VALIDATION, self.config.train.seed, i) for i, b in enumerate(first)]
        self.model.eval()
        sums = Sums()
        for batch, targets in self._fixed:
            sums.add(*self._losses(batch, targets), targets.counts())
        tokens = sum(batch.n_tokens for batch, _ in self._fixed)
        line = {"step": step, "split": "tuning", **sums.means(self.weight), "tokens": tokens}
        self.report({"event": "validation", **line})
        return line

    def save(self, step: int) -> Checkpoint:
        """Save a checkpoint after `step` steps."""
        keep = self.config.train.keep_checkpoints
        made = save_checkpoint(self.run, self.model, self.optimizer, {**self.state, "step": step}, keep)
        self.report({"event": "checkpoint", "step": step, "path": str(made.folder)})
        return made

    def _prepare(self, batch: PackedBatch, *salts: int) -> Prepared:
        masks = draw_masks(batch, self.config.objective, self.losable, *salts)
        targets = make_targets(batch, masks, self.vocabulary, self.config.objective)
        device = self.compute.device
        return hide(batch, masks).to(device, non_blocking=True), targets.to(device)

    def _losses(self, batch: PackedBatch, targets: Targets) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with self.compute.autocast():
            loss = loss_sums(self.model, self.model.encoder(batch), targets)
        return loss, baseline_sums(self.baselines, targets, self.vocabulary)

    def _not_finite(self, step: int, what: str) -> TrainingError:
        return TrainingError(
            f"step {step + 1}", f"{what} is not finite, expected a number; the weights were not changed",
            "lower train.lr or train.clip, or use `--set train.precision=fp32`",
        )  # fmt: skip

    def _worst_gradient(self) -> str:
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"`{name}`"
        return "all weights together"

    def _tell(self, line: dict[str, Any], seconds_per_step: float) -> None:
        told = {name: line[name] for name in ("step", "loss", "baseline", "lr", "tokens_per_s")}
        left = self.config.train.max_steps - line["step"]
        self.report(
            {"event": "step", "max_steps": self.config.train.max_steps, **told, "eta_s": left * seconds_per_step}
        )


def batches_per_step(config: PretrainConfig) -> int:
    """Return how many packed batches make up one optimizer step."""
    return max(1, -(-config.train.accumulate_tokens // config.batching.tokens_per_batch))


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On CPU, let no operator add in the order in which its threads happen to finish.

    Two threads otherwise sum the gradient of a gathered row by atomic additions, and equal runs end a bit apart.
    """
    if device.type != "cpu":
        yield
        return
    flags: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), flags.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    flags.fill_uninitialized_memory = False  # a check of its own, which costs time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        flags.fill_uninitialized_memory = before[1]


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into an event that the loop looks at between steps; a second one
    ends at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
