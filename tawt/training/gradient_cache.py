"""A loss over all documents of a step whose documents lie in several batches and processes, in the memory of one batch.

All documents of the step are candidates. Their projections come from a first pass without gradient; from them the
gradient at each projection, which a second pass carries on batch by batch.

Source: Gao et al., Scaling deep contrastive learning batch size under memory limited setup, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tawt.objectives.compared import Compared
from tawt.training.distributed import World


class GradientCache:
    """What the processes of a step tell one another of its documents.

    Batches are counted over all processes: the first of each, then the second of each.

    Args:
        world: The processes.
        compared: The loss.
    """

    def __init__(self, world: World, compared: Compared) -> None:
        self.world, self.compared = world, compared

    def keys(self, own: Sequence[Tensor]) -> list[Tensor]:
        """Return what is compared with what in each of the step's batches, on the hosts; `own` is this process's."""
        sizes = self.world.gather(torch.tensor([len(keys) for keys in own]))
        most = max(1, *(int(size.max()) for size in sizes))
        gathered = self.world.gather(torch.stack([_filled(keys, most) for keys in own]))
        return [gathered[r][i][: int(sizes[r][i])] for i in range(len(own)) for r in range(self.world.size)]

    def pulls(self, own: Sequence[Tensor], keys: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradient of the loss at each own batch's projections, and behind it what the batch tells of it.

        Args:
            own: Projections `(d, p)` of this process's batches.
            keys: See `keys`.
        """
        sizes, w = [len(one) for one in keys], self.world.size
        everyone = self._gather(own, sizes)
        leaf = torch.cat(everyone).requires_grad_()
        whole = torch.cat(list(keys))
        if leaf.is_cuda:
            whole = whole.pin_memory().to(leaf.device, non_blocking=True)
        loss = self.compared.loss(leaf, whole)
        (gradient,) = torch.autograd.grad(loss, leaf)
        pieces = gradient.split(sizes)
        mine = [pieces[self.world.rank + i * w] for i in range(len(own))]
        told = shares(loss.detach(), own, everyone, self.world.first)
        return [torch.cat([piece.reshape(-1), share[None]]) for piece, share in zip(mine, told, strict=True)]

    def _gather(self, own: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        most, w = max(1, *sizes), self.world.size
        gathered = self.world.gather(torch.stack([_filled(p, most) for p in own]))
        return [gathered[r][i][: sizes[i * w + r]] for i in range(len(own)) for r in range(w)]


def _filled(rows: Tensor, n: int) -> Tensor:
    """Return rows with zeros behind them, `n` in all."""
    return functional.pad(rows, (0, 0) * (rows.dim() - 1) + (0, n - len(rows)))


def shares(loss: Tensor, own: Sequence[Tensor], everyone: Sequence[Tensor], first: bool) -> list[Tensor]:
    """Return what each own batch tells of a loss that is of the step as a whole.

    The first batch of the first process tells it. Where it is not finite, those batches tell it whose projections
    are not, so that no other is blamed.

    Args:
        loss: Of the step.
        own: Projections of this process's batches.
        everyone: Those of all batches.
        first: Whether this is the first process.
    """
    sound = torch.stack([projection.isfinite().all() for projection in everyone]).all()
    told = []
    for i, projection in enumerate(own):
        share = loss if first and i == 0 else torch.zeros_like(loss)
        share = torch.where(sound, share, torch.zeros_like(loss))
        told.append(torch.where(projection.isfinite().all(), share, torch.full_like(loss, torch.nan)))
    return told
