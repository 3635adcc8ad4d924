"""A generator of latents that a critic cannot tell from those of records: a GAN where records are short of numbers.

Source: Gulrajani et al., Improved training of Wasserstein GANs, 2017; in a latent space, Yoon et al., EHR-Safe, 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 96
BATCH = 128
PENALTY = 10.0
"""Weight of the critic's gradient's distance from 1."""
CRITICS = 3
"""Steps of the critic for each of the generator."""


class Generator(nn.Module):
    """Noise, and what is known, to latents; it starts as a Gaussian whose mean follows what is known in a line.

    Args:
        width: Numbers of a latent.
        n_known: Columns of what is known.
    """

    def __init__(self, width: int, n_known: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width))
        self.slope = nn.Parameter(torch.zeros(n_known, width))
        self.line = nn.Parameter(torch.eye(width))
        self.inner, self.further = nn.Linear(width + n_known, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.outer = nn.Linear(HIDDEN, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    @torch.no_grad()
    def start_at(self, z: Tensor, known: Tensor) -> None:
        """Start at the line through latents `(n, width)` over what is known, and the covariance around it."""
        centre, at = z.mean(0), known.mean(0)
        # classes sum to 1, so that many lines are the same: the least of them
        self.slope.copy_(torch.linalg.lstsq(known - at, z - centre, driver="gelsd").solution)
        self.mean.copy_(centre - at @ self.slope)
        left = (z - self.mean - known @ self.slope).double()
        self.line.copy_(torch.linalg.cholesky(left.T @ left / len(z) + 1e-6 * torch.eye(z.shape[1])))

    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """`(b, width)` and `(b, n_known)` -> `(b, width)`."""
        hidden = functional.silu(self.inner(torch.cat([noise, known], 1)))
        line = self.mean + known @ self.slope + noise @ self.line.T
        return line + self.outer(functional.silu(self.further(hidden)))


class Critic(nn.Module):
    """How much latents look like those of records, `(b, width)` and `(b, n_known)` -> `(b,)`."""

    def __init__(self, width: int, n_known: int) -> None:
        super().__init__()
        self.inner, self.further = nn.Linear(width + n_known, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.outer = nn.Linear(HIDDEN, 1)

    def forward(self, z: Tensor, known: Tensor) -> Tensor:
        """See the class."""
        hidden = functional.silu(self.inner(torch.cat([z, known], 1)))
        return self.outer(functional.silu(self.further(hidden)))[:, 0]


def fit_generator(z: Tensor, known: Tensor, seed: int, steps: int) -> Generator:
    """Return a generator of latents; equal arguments give equal weights, and torch's random state is left as it was.

    Args:
        z: `(n, width)` float32.
        known: `(n, n_known)` float32, what is known of each.
        seed: Of weights, batches and noise.
        steps: Of the generator. Its last half is averaged: an adversary goes round what it would reach.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, critic = Generator(z.shape[1], known.shape[1]), Critic(z.shape[1], known.shape[1])
        generator.start_at(z, known)
        makes, tells = (torch.optim.Adam(m.parameters(), lr=3e-4, betas=(0.0, 0.9)) for m in (generator, critic))
        mean = {name: torch.zeros_like(p) for name, p in generator.named_parameters()}
        for step in range(steps):
            for _ in range(CRITICS):
                at = torch.randint(len(z), (BATCH,))
                with torch.no_grad():
                    made = generator(torch.randn(BATCH, z.shape[1]), known[at])
                loss = critic(made, known[at]).mean() - critic(z[at], known[at]).mean()
                loss = loss + PENALTY * _steepness(critic, z[at], made, known[at])
                tells.zero_grad()
                loss.backward()
                tells.step()
            at = torch.randint(len(z), (BATCH,))
            makes.zero_grad()
            (-critic(generator(torch.randn(BATCH, z.shape[1]), known[at]), known[at]).mean()).backward()
            makes.step()
            if step >= (first := steps // 2):
                for name, p in generator.named_parameters():
                    mean[name] += (p.detach() - mean[name]) / (step - first + 1)
    generator.load_state_dict(mean)
    return generator.eval()


def _steepness(critic: Critic, real: Tensor, made: Tensor, known: Tensor) -> Tensor:
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * made).requires_grad_()
    slope = torch.autograd.grad(critic(between, known).sum(), between, create_graph=True)[0]
    return (slope.norm(dim=1) - 1).square().mean()
