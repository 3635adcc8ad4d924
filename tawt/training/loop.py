"""The training loop, from top to bottom.

Step `s` uses batches `s * k .. s * k + k - 1` of the loader; process `r` of `w` takes every `w`-th of them. Masks,
views and dropout follow from (seed, number of the batch). So the weights after a step depend on the weights before
it and on the step's number alone, and a run may be stopped and continued anywhere, by any number of processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

import torch

from tawt.batching.batch import in_one_piece
from tawt.batching.example import Example
from tawt.batching.fill import Sizes, filled, sizes_of
from tawt.batching.host import HostBatch
from tawt.objectives.parts import PAIRED, kl_share, subjects_of
from tawt.training.best import best_steps, counted, is_over, keep_weights
from tawt.training.checkpoint import Checkpoint, full_weights, save_checkpoint
from tawt.training.distributed import put_away
from tawt.training.health import embedding_health, latent_health
from tawt.training.metrics import START, MetricsFile, means
from tawt.training.optim import drops, learning_rate
from tawt.training.plan import N_LOOKED_AT, without_gradient, without_position
from tawt.training.repeatable import repeatable
from tawt.training.scaler import LEAST
from tawt.training.settle import settle
from tawt.training.setup import Setup
from tawt.training.signals import stop_requested
from tawt.training.step import Counted, Stepper, tally
from tawt.training.watch import AllStop, Delayed, first_bad, not_finite

FOUND = ("found_paired", "found_by_chance")
"""Names of `tawt.objectives.contrastive.found` in lines of metrics, as shares of the pairs."""

FEW_STEPS = 3
"""Steps until gradients have come through: what begins at zero lets none pass before its own first step."""


class Logger(Protocol):
    """Where lines of metrics go beside `metrics.jsonl`."""

    def write(self, line: dict[str, Any]) -> None:
        """Take a line."""

    def close(self) -> None:
        """End."""


class Trainer:
    """One pretraining run in memory, as one of its processes sees it.

    Args:
        setup: Of the run.
        stepper: Made of it.
        loggers: Where lines of metrics go too.
    """

    def __init__(self, setup: Setup, stepper: Stepper, loggers: Sequence[Logger] = ()) -> None:
        self.setup, self.stepper, self.loggers = setup, stepper, loggers
        self.config, self.world, self.report = setup.config.train, setup.world, setup.report
        self.skipped = setup.checkpoint.state.skipped if setup.checkpoint is not None else 0
        """Steps that the loss scaler of fp16 skipped so far."""
        self._pending = Delayed(setup.compute.device)
        self._fixed: list[Example] = []
        self._sizes = self._first_sizes() if setup.replayed[0] else None
        self._says_idle = True

    def fit(self) -> dict[str, Any]:
        """Train to the end; return the last line of metrics of each split.

        Raises:
            TrainingError: A loss or the gradient is not finite.
            KeyboardInterrupt: SIGINT or SIGTERM came; a checkpoint of the last whole step was saved first.
        """
        setup, config, world, start_step = self.setup, self.config, self.world, self.setup.start_step
        k = setup.batches_per_step
        goes_on = setup.checkpoint is not None
        self.metrics = MetricsFile(setup.run / "metrics.jsonl", start_step if goes_on else -1, world.first)
        if goes_on and self._ended(start_step):
            self._close()
            return self.metrics.last
        if not config.max_steps:
            self._only_look()
            return self.metrics.last
        self._began = time.perf_counter()
        from_probe = setup.task is not None and setup.config.objective.label.start == "probe"
        if from_probe and not goes_on and config.validate_every:
            self._measured(0, START)  # what the steps are held to
        batches = setup.train.stream(start_step * k + world.rank, world.size, make=self._make)
        try:
            with stop_requested() as stop, repeatable(setup.compute.device):
                for step in range(start_step, config.max_steps):
                    done = step + 1
                    self._pending.begin()
                    others_stop = self._step(step, list(islice(batches, k // world.size)), stop.is_set())
                    # several processes stop where all know of it: a step later
                    stopping = others_stop if world.several else stop.is_set()
                    finished = done == config.max_steps
                    if config.validate_every and (done % config.validate_every == 0 or finished):
                        self.validate(done)
                        finished = self._ended(done)
                    if finished or (config.health_every and done % config.health_every == 0):
                        self._look(done)
                    if done % config.checkpoint_every == 0 or finished or stopping:
                        self.save(done)
                    if finished:
                        break
                    if stopping:
                        self.report({"event": "stopped", "step": done, "resume": setup.resume_command})
                        raise KeyboardInterrupt
        finally:
            batches.close()
            self._close()
        return self.metrics.last

    def _only_look(self) -> None:
        """Make no step: the head is what a probe has found."""
        try:
            self.validate(0)
            self.save(0)
        finally:
            self._close()

    def _step(self, step: int, examples: list[Example], stop: bool) -> bool:
        """Make one optimizer step and read what became of earlier ones; return whether a process was asked to stop."""
        rate = learning_rate(step, self.config)
        counted = self.stepper.count(examples, stop)
        if step == self.setup.start_step:
            for part in self.stepper.parts:
                if not counted.count[part]:
                    self.report({"event": "note", "text": without_position(part, "the first step")})
        kl = kl_share(self.setup.config.objective, step)
        results = self.stepper.step(rate, examples, counted, kl, drops(step, self.config))
        self._pending.put(results, {"step": step, "rate": rate, "counted": counted})
        self._read()
        return counted.stop

    def _read(self, everything: bool = False) -> None:
        """Write the lines of the steps whose results have come; stop at what is not finite."""
        for results, seconds, about in self._pending.due(everything):
            sums, bad, rest = self.stepper.read(results)
            self._check(about["step"], sums, bad, rest)
            counted: Counted = about["counted"]
            done, now = about["step"] + 1, time.perf_counter()
            line = {
                "step": done, "split": "train", **means(self.stepper.weight, sums, counted.baseline, counted.count),
                "lr": about["rate"], "grad_norm": rest["grad_norm"], "tokens": counted.tokens,
            }  # fmt: skip
            if self.stepper.scaler.enabled:
                self.skipped += int(rest["skipped"])
                if rest["skipped"]:
                    line["grad_norm"] = None  # it overflowed, and JSON has no infinity
                line |= {"scale": rest["scale"], "skipped": self.skipped}
            line |= {"tokens_per_s": round(counted.tokens / seconds, 1), "seconds": round(seconds, 4)}
            if done % self.config.log_every == 0 or done == self.config.max_steps:
                self._write(line)
            self._tell(line, (now - self._began) / (done - self.setup.start_step))

    def _check(self, step: int, sums: dict[str, float], bad: list[int], rest: dict[str, float]) -> None:
        k, scaler = self.setup.batches_per_step, self.stepper.scaler
        part = first_bad(list(sums.values()), list(sums))
        if part is not None or (rest["skipped"] and not scaler.enabled):
            weight = self.stepper.names[int(rest["worst"])]
            what = f"the loss part `{part}`" if part else f"the gradient of `{weight}`"
            raise not_finite(step + 1, what, [step * k + i for i in (bad or range(k))], self.setup.train.source)
        if scaler.enabled and rest["scale"] < LEAST:
            weight = self.stepper.names[int(rest["worst"])]
            raise AllStop(
                f"step {step + 1}", f"the fp16 loss scale fell to {rest['scale']:.1e}, expected at least {LEAST:.1e}: "
                f"the gradient of `{weight}` overflows at any scale",
                "use `--set train.precision=bf16` or fp32, or lower train.lr",
            )  # fmt: skip

    @torch.no_grad()
    def validate(self, step: int) -> dict[str, Any]:
        """Return the line of metrics of the first `validate_batches` of `tuning`, always with the same
        masks; every process computes all of them."""
        line = self._measured(step, "tuning")
        if not line:
            return {}
        if step in best_steps(counted(self.metrics.tuning, self.config), self.config.keep_best):
            weights = full_weights(self.setup.model)
            if self.world.first:
                keep_weights(self.setup.run, step, weights)
        self.report({"event": "validation", **line})
        return line

    @torch.no_grad()
    def _measured(self, step: int, called: str) -> dict[str, Any]:
        """Write and return the line of metrics of what is looked at of `tuning`; empty where there is none."""
        self._read(everything=True)
        if self.setup.tuning is None:
            return {}
        if not self._fixed:
            examples = self.setup.tuning.sequential(make=self.setup.prepare[1])
            first = list(islice(examples, self.config.validate_batches))
            examples.close()
            self._fixed = [example.to(self.setup.compute.device) for example in first]
        self.stepper.entry.eval()
        parts = self.stepper.parts
        sums = torch.stack([self.stepper.evaluate(example) for example in self._fixed])
        put_away(self.stepper.spread)
        # one process speaks for all
        told = self.world.total(sums.sum(0) if self.world.first else torch.zeros_like(sums[0])).tolist()
        told, found = told[: len(parts)], told[len(parts) :]
        part = first_bad(told, parts)
        if part is not None:
            bad = (~sums.isfinite()).any(1).nonzero().flatten().tolist() or list(range(len(sums)))
            kept = "no checkpoint was made of this step"
            what = f"the loss part `{part}` of tuning"
            raise not_finite(step, what, bad, self.setup.tuning.sequential_source, kept)
        each = [tally(example, parts, self.stepper.compared) for example in self._fixed]
        count = {part: sum(one[0][part] for one in each) for part in parts}
        baseline = {part: sum(one[1][part] for one in each) for part in parts}
        means_of = means(self.stepper.weight, dict(zip(parts, told, strict=True)), baseline, count)
        tokens = sum(example.n_tokens for example in self._fixed)
        # of a task, prediction times of one subject may lie in several batches
        subjects = {
            f"subjects_{part}": len(torch.cat([subjects_of(example, part) for example in self._fixed]).unique())
            for part in parts if count[part]
        }  # fmt: skip
        latents = latent_health(self.setup.model, self._fixed, self.setup.compute)
        pairs = dict(zip(FOUND, (n / count[PAIRED] for n in found), strict=False)) if count.get(PAIRED) else {}
        line = {"step": step, "split": called, **means_of, **subjects, **latents, **pairs, "tokens": tokens}
        self._write(line)
        return line

    def save(self, step: int) -> Checkpoint:
        """Save a checkpoint after `step` steps, once every line up to it is on disk.

        Raises:
            DatasetError: What the steps were made of was written to: the checkpoint before is the last that holds.
        """
        self._read(everything=True)
        for split in self.setup.splits:
            split.hold()
        first, run = self.world.first, self.setup.run
        self.metrics.sync()
        state = self.setup.state(step=step, scaler=self.stepper.scaler.state(), skipped=self.skipped)
        made = save_checkpoint(run, self.setup.model, self.stepper.optimizer, state, first)
        if first:
            settle(run, step, self.metrics.tuning, self.config)
        self.report({"event": "checkpoint", "step": step, "path": str(made.folder)})
        if made.idle and self._says_idle and step >= FEW_STEPS:
            self.setup.note(without_gradient(made.idle, step))
        self._says_idle &= step < FEW_STEPS
        return made

    def _ended(self, step: int) -> bool:
        return is_over(step, self.metrics.tuning, self.config)

    def _look(self, step: int) -> None:
        """Write a line about the embeddings of `tuning`."""
        self._read(everything=True)
        if self.setup.tuning is None or not (self.world.first or self.setup.sharded):
            return
        spread: Any = self.stepper.spread
        if self.setup.sharded:  # what lies outside the blocks; all processes look, as each holds a share
            spread.unshard()
        looked = embedding_health(self.setup.model, self.setup.tuning, self.setup.compute, self.setup.vocabulary)
        put_away(spread)
        self._write({"step": step, "split": "health", **looked})

    def _first_sizes(self) -> Sizes:
        """Return the sizes to which the examples of a run are filled up, whichever step it goes on from."""
        setup = self.setup
        first = [setup.prepare[0](setup.train.batch(number), number) for number in range(N_LOOKED_AT)]
        assert setup.static is not None
        return sizes_of(first, setup.config.batching.tokens_per_batch, setup.static)

    def _make(self, batch: HostBatch, number: int) -> Example:
        example = self.setup.prepare[0](batch, number)
        if self.setup.compute.device.type != "cuda":
            return example
        return in_one_piece(filled(example, self._sizes) if self._sizes is not None else example, pin=True)

    def _write(self, line: dict[str, Any]) -> None:
        self.metrics.write(line)
        for logger in self.loggers:
            logger.write(line)

    def _close(self) -> None:
        self.metrics.close()
        for logger in self.loggers:
            logger.close()

    def _tell(self, line: dict[str, Any], seconds_per_step: float) -> None:
        told = {name: line[name] for name in ("step", "loss", "baseline", "lr", "tokens_per_s")}
        most = self.config.max_steps
        self.report({"event": "step", "max_steps": most, **told, "eta_s": (most - line["step"]) * seconds_per_step})
