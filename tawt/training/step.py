"""One optimizer step over the batches of all processes, with the gradient of one big batch.

Each part of the loss is a sum over its positions, divided by their number in the whole step. So it does not matter
how the step's tokens are cut into batches, or the batches dealt to processes. Nothing here makes the host wait for
the device: an update that must not happen is skipped on the device, and the loop hears of it later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tawt.batching.example import Example
from tawt.chance import draw
from tawt.config.latent import KL
from tawt.models.dropout import stop_dropping
from tawt.objectives.compared import Compared, compared_of
from tawt.objectives.contrastive import found
from tawt.objectives.parts import CONTRASTIVE, PAIRED, divisors, weights
from tawt.objectives.pretrain_model import PretrainModel
from tawt.training.checkpoint import load_optimizer
from tawt.training.distributed import local, reducing, spread
from tawt.training.gradient_cache import GradientCache
from tawt.training.graphs import Replays
from tawt.training.optim import SHARE, make_optimizer
from tawt.training.scaler import LossScaler
from tawt.training.setup import Setup

_DROPOUT = 6
_OVER_ALL = (CONTRASTIVE, PAIRED)


class Entry(nn.Module):
    """The model with plain tensors as outputs, which DDP and FSDP can follow."""

    def __init__(self, model: PretrainModel, parts: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.parts = tuple(part for part in parts if part not in _OVER_ALL)

    def forward(self, example: Example) -> tuple[Tensor | None, Tensor | None]:
        """Sums of the parts `(p,)`, and the projections, see `Outputs`; None where there are none."""
        out = self.model(example)
        sums = torch.stack([out.sums[part] for part in self.parts]) if self.parts else None
        return sums, out.projection


@dataclass(frozen=True)
class Counted:
    """What the hosts know of a step before it is made, over all processes."""

    count: dict[str, int]
    """Positions of each part."""
    baseline: dict[str, float]
    """What the trivial prediction costs, summed over them."""
    tokens: int
    """Tokens."""
    stop: bool
    """Whether a process was asked to stop."""
    keys: list[Tensor]
    """What is compared with what, of each of the step's batches in order; empty where nobody asks."""


def tally(
    example: Example, parts: Sequence[str], compared: Compared | None = None
) -> tuple[dict[str, int], dict[str, float]]:
    """Return positions and the cost of the trivial prediction of each part of one batch; of what is compared, within
    the batch."""
    counts = {part: example.counts[part] for part in parts if part not in _OVER_ALL}
    baseline = {part: example.baseline[part] for part in parts if part not in _OVER_ALL}
    if compared is not None:
        keys = compared.keys(example)
        counts[compared.part], baseline[compared.part] = compared.count(keys), compared.baseline_sum(keys)
    return counts, baseline


class Stepper:
    """Makes optimizer steps: the model spread over the processes, its optimizer and the scale of its loss.

    Args:
        setup: Of the run; its model is on its device, with the weights that the run starts from.

    Raises:
        CheckpointError: The optimizer's state of the checkpoint is broken, or does not fit.
        DeviceError: FSDP on CPU with a torch that gets it wrong.
    """

    def __init__(self, setup: Setup) -> None:
        config, model = setup.config, setup.model
        self.setup, self.compute, self.world = setup, setup.compute, setup.world
        self.weight = weights(config.objective)
        self.parts = tuple(self.weight)
        self.compared = compared_of(config.objective)
        self.cache = None if self.compared is None else GradientCache(self.world, self.compared)
        self.entry = Entry(model, self.parts)
        """The model as one process calls it, for validation."""
        blocks, how = list(model.encoder.blocks), config.train.parallel
        self.spread = spread(self.entry, blocks, self.world, how, self.compute.device)
        """The same over all processes, for training."""
        self.optimizer = make_optimizer(
            model,
            config.train,
            config.objective.label.encoder_rate if setup.task is not None else 1.0,
            setup.learned,
        )
        self.scaler = LossScaler(self.compute.device, self.compute.dtype == torch.float16)
        if setup.checkpoint is not None:
            load_optimizer(setup.checkpoint, model, self.optimizer)
            self.scaler.load(setup.checkpoint.state.scaler)
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.names: list[str] = list(self.named)
        device = self.compute.device
        self._broken = torch.zeros((), dtype=torch.bool, device=device)
        self._weights = torch.zeros(len(self.parts), device=device)
        """What each part of a batch's loss is multiplied by; a captured graph reads it where it is."""
        self._replays = Replays(self._gradient, device, self._weights) if setup.replayed[0] else None

    def count(self, examples: Sequence[Example], stop: bool) -> Counted:
        """Let the hosts of all processes tell one another what they are about to compute.

        Args:
            examples: This process's batches, still on the host.
            stop: Whether this process was asked to stop.
        """
        parts, n = self.parts, len(self.parts)
        # of several batches, what is compared is counted below over all of them
        alone = self.compared if self._n_batches(examples) == 1 else None
        each = [tally(example, parts, alone) for example in examples]
        told = [float(sum(one[0].get(part, 0) for one in each)) for part in parts]
        told += [float(sum(one[1].get(part, 0.0) for one in each)) for part in parts]
        told += [float(sum(example.n_tokens for example in examples)), float(stop)]
        total = self.world.total(torch.tensor(told, dtype=torch.float64)).tolist()
        counts = {part: round(total[i]) for i, part in enumerate(parts)}
        baseline = {part: total[n + i] for i, part in enumerate(parts)}
        keys: list[Tensor] = []
        if self.cache is not None and self.compared is not None and alone is None:
            keys = self.cache.keys([self.compared.keys(example) for example in examples])
            whole, part = torch.cat(keys), self.compared.part
            counts[part], baseline[part] = self.compared.count(whole), self.compared.baseline_sum(whole)
        return Counted(counts, baseline, round(total[2 * n]), total[2 * n + 1] > 0, keys)

    def step(
        self, rate: float, examples: Sequence[Example], counted: Counted, kl: float = 1.0, drops: bool = True
    ) -> Tensor:
        """Change the weights by one step; skipped on the device where a loss or gradient is not finite.

        Args:
            rate: Learning rate.
            examples: This process's batches, on the host, in order.
            counted: See `count`.
            kl: Share of its weight that the divergence of a latent has yet.
            drops: Whether there is dropout yet; where there was none once, there is none again.

        Returns:
            What happened, for `read`, a float64 vector on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group[SHARE]
        self.spread.train()
        if not drops and stop_dropping(self.setup.model) and self._replays is not None:
            self._replays = Replays(self._gradient, self.compute.device, self._weights)
        # where graphs are replayed, gradients stay where they are
        self.optimizer.zero_grad(set_to_none=self._replays is None)
        device, pin = self.compute.device, self.compute.device.type == "cuda"
        among = divisors(counted.count)
        scale = [self.weight[part] * (kl if part == KL else 1) / among[part] for part in self.parts]
        self._weights.copy_(torch.tensor(scale, pin_memory=pin), non_blocking=True)
        pulls: list[Tensor] | None = None
        if self._replays is None:
            examples = [example.to(device, non_blocking=True) for example in examples]
        if counted.keys and self.cache is not None:
            with torch.no_grad():
                projections = self._projections(examples)
            pulls = self.cache.pulls(projections, counted.keys)
        sums = torch.zeros(len(self.parts), dtype=torch.float64, device=device)
        bad = torch.zeros(self._n_batches(examples), dtype=torch.float64, device=device)
        for i, example in enumerate(examples):
            self._seed(example)
            if self._replays is not None:
                own = self._replays(example)
            else:
                with reducing(self.spread, i == len(examples) - 1):
                    own = self._gradient(example, self._weights, None if pulls is None else pulls[i])
            sums += own
            bad[self.world.rank + i * self.world.size] = (~own.isfinite().all()).double()
        told = self.world.total(torch.cat([sums, bad]))
        return torch.cat([told, self._update(told[: len(self.parts)])])

    @torch.no_grad()
    def evaluate(self, example: Example) -> Tensor:
        """Return the sum of each part over one batch, `(p,)` float64, and behind them, where records and contents are
        compared, `contrastive.found`; all of that within the batch."""
        with self.compute.autocast():
            sums, projection = self.entry(example)
        told = [sums.double()] if sums is not None else []
        if self.compared is not None:
            assert projection is not None
            keys = self.compared.keys(example)
            told.append(self.compared.loss(projection, keys).double()[None])
            if self.compared.part == PAIRED:
                record, content = projection.chunk(2, 1)
                told.append(found(record, content, keys))
        return torch.cat(told)

    def read(self, results: Sequence[float]) -> tuple[dict[str, float], list[int], dict[str, float]]:
        """Take apart what `step` returned.

        Returns:
            The sum of each part, the step's batches (counted within it) whose loss is not finite, and the rest:
            `grad_norm`, `worst` (place of the first bad gradient in `names`), `scale`, `skipped`.
        """
        n = len(self.parts)
        norm, worst, scale, skipped = results[-4:]
        at = [i for i, bad in enumerate(results[n:-4]) if bad]
        rest = {"grad_norm": norm, "worst": worst, "scale": scale, "skipped": skipped}
        return dict(zip(self.parts, results[:n], strict=True)), at, rest

    def _n_batches(self, examples: Sequence[Example]) -> int:
        return len(examples) * self.world.size

    def _seed(self, example: Example) -> None:
        """Seed dropout by the batch, so that neither process nor accumulation matters, and both passes drop alike."""
        torch.manual_seed(int(draw([example.number], _DROPOUT, self.setup.config.train.seed)[0]) >> 1)

    def _forward(self, example: Example) -> tuple[Tensor | None, Tensor | None]:
        with self.compute.autocast():
            out: tuple[Tensor | None, Tensor | None] = self.spread(example)
        return out

    def _gradient(self, example: Example, weights: Tensor, pull: Tensor | None = None) -> Tensor:
        """Add a batch's share of the gradient to those that are there; return its sums per part."""
        own, loss = self._loss(example, weights, pull)
        # DDP and FSDP take the mean over the processes, and this is a sum
        (loss * self.scaler.scale * self.world.size).backward()
        return own

    def _loss(self, example: Example, weights: Tensor, pull: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return a batch's sums per part, and its share of the step's loss."""
        sums, projection = self._forward(example)
        terms = [weights[: len(sums)] * sums] if sums is not None else []
        told = sums.detach().double() if sums is not None else torch.zeros(0, device=self.compute.device).double()
        if self.compared is not None:
            assert projection is not None
            if pull is None:
                loss = self.compared.loss(projection, self.compared.keys(example))
                terms.append(weights[-1:] * loss)
                told = torch.cat([told, loss.detach().double()[None]])
            else:
                gradient, loss = pull[:-1].view_as(projection), pull[-1]
                terms.append(weights[-1:] * (projection * gradient).sum())
                told = torch.cat([told, loss.double()[None]])
        return told, torch.cat(terms).sum()

    def _projections(self, examples: Sequence[Example]) -> list[Tensor]:
        found = []
        for example in examples:
            self._seed(example)
            found.append(self._forward(example)[1])
        return [projection.float() for projection in found if projection is not None]

    def _update(self, sums: Tensor) -> Tensor:
        """Clip and step, or not; return norm, place of the first bad gradient, scale, and whether it was skipped."""
        trained = [(name, p) for name, p in self.named.items() if p.grad is not None]
        self.names = [name for name, _ in trained]
        gradients = [local(p.grad) for _, p in trained if p.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))
        if any(p.grad is not g for (_, p), g in zip(trained, gradients, strict=True)):
            norms = self.world.total(norms.square()).sqrt()
        norms = norms / self.scaler.scale
        norm = torch.linalg.vector_norm(norms)
        good_loss, good_gradient = sums.isfinite().all(), norm.isfinite()
        # once broken, always: steps that are on their way already must not change the weights either
        self._broken |= ~good_loss if self.scaler.enabled else ~(good_loss & good_gradient)
        skip = self._broken | ~good_gradient
        clip = (self.setup.config.train.clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, clip / self.scaler.scale)
        self.optimizer.found_inf = skip.float()  # type: ignore[attr-defined]  # as GradScaler hands it over
        self.optimizer.step()
        used = self.scaler.scale.clone()
        self.scaler.update(~good_gradient)
        worst = (~norms.isfinite()).float().argmax()
        return torch.stack([x.double() for x in (norm, worst, used, skip)])
