"""What a decoder is told of a whole record: a few numbers, read off the record by a pretrained encoder.

    states of the encoder -> learned queries, one pooling each -> mean, log deviation -> z ~ q(z | record)

The encoder sees both ways, so `z` is of all that a document holds; of a record longer than the longest document it is
of that window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.arrays import Words
from tawt.batching.batch import PackedBatch
from tawt.chance import draw, uniform
from tawt.config.latent import LatentConfig
from tawt.config.model import ModelConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.encoder import Encoder
from tawt.models.pooling import Queries

READS = 32
"""Numbers that a query pools."""
LEAST_LOG, MOST_LOG = -6.0, 2.0
"""Log deviations lie between these."""
ACTIVE = 0.01
"""Nats of divergence, or variance of the mean over records, above which a number of the latent says something."""


@dataclass(frozen=True)
class Posterior:
    """What records say of their latents; `k = n_queries * d_latent`."""

    mean: Tensor
    """`(d, k)` float32."""
    log_deviation: Tensor
    """`(d, k)` float32."""

    def drawn(self, noise: Tensor) -> Tensor:
        """Return `(d, k)`, draws by standard normal noise of that shape."""
        return self.mean + self.log_deviation.exp() * noise

    def divergence(self) -> Tensor:
        """Return how far each number is from the prior N(0, 1), `(d, k)` nats.

        Source: Kingma and Welling, 2014, appendix B.
        """
        double = 2 * self.log_deviation
        return 0.5 * (self.mean.square() + double.exp() - 1 - double)


class Latent(nn.Module):
    """Reads documents, and says what their latents may be.

    The means start spread out, so that the decoder can find out what they mean; the deviations are narrow at first.

    Args:
        config: With the encoder's shape.
        vocabulary: Of the run.
    """

    def __init__(self, config: LatentConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        assert config.model is not None, "the shape of a latent's encoder is known when the model is made"
        model, n = config.model, config.n_queries
        self.n_queries, self.d_latent, self.trains_encoder = n, config.d_latent, config.trains_encoder
        self.encoder = Encoder(model, vocabulary)
        for name, parameter in self.encoder.named_parameters():
            # nothing is read from its own readout
            parameter.requires_grad_(config.trains_encoder and not name.startswith("pooling."))
        self.queries = Queries(model.d_model, torch.zeros(n), model.readout.tau_hours)
        self.to_read = nn.Linear(model.d_model, n * READS, bias=False)
        self.norm = nn.LayerNorm(READS + 1)
        bound = (READS + 1) ** -0.5
        self.to_mean = nn.Parameter(torch.empty(n, READS + 1, config.d_latent).normal_(std=bound))
        self.to_deviation = nn.Parameter(torch.zeros(n, READS + 1, config.d_latent))
        self.mean = nn.Parameter(torch.zeros(n, config.d_latent))
        self.deviation = nn.Parameter(torch.full((n, config.d_latent), -1.0))

    def train(self, mode: bool = True) -> Latent:
        """Set whether it trains; an encoder that does not learn reads as it did when it was pretrained."""
        super().train(mode)
        if not self.trains_encoder:
            self.encoder.eval()
        return self

    def forward(self, batch: PackedBatch) -> Posterior:
        """Return the posteriors of a batch's documents, of whatever length and in whatever company."""
        with torch.set_grad_enabled(self.trains_encoder and torch.is_grad_enabled()):
            encoded = self.encoder(batch)
        tokens, layout = encoded.tokens, encoded.layout
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.float()
            pooled = self.queries(tokens, self.to_read(tokens), layout).view(-1, self.n_queries, READS)
            # a mean of states does not say of how many
            lengths = (layout.cu_seqlens[1:] - layout.cu_seqlens[:-1]).float().log1p()
            read = torch.cat([pooled, lengths[:, None, None].expand(-1, self.n_queries, 1)], 2)
            read = functional.gelu(self.norm(read)).transpose(0, 1)
            mean = torch.baddbmm(self.mean[:, None], read, self.to_mean).transpose(0, 1).flatten(1)
            log = torch.baddbmm(self.deviation[:, None], read, self.to_deviation).transpose(0, 1).flatten(1)
        return Posterior(mean, log.clamp(LEAST_LOG, MOST_LOG))


def encoder_of(model: ModelConfig) -> ModelConfig:
    """Return the shape of an encoder as a latent reads with it: without a readout of its own."""
    return model if model.pooling in ("mean", "max", "cls") else model.model_copy(update={"pooling": "mean"})


def normals(words: Words, n: int) -> Tensor:
    """Return `(b, n)` float32, standard normal numbers that only each word decides, `(b,)`."""
    each = uniform(draw(words[:, None] + np.arange(n, dtype=np.uint64)))
    return torch.special.ndtri(torch.from_numpy(np.clip(each, 2.0**-54, 1 - 2.0**-53))).float()
