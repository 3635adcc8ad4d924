"""Ways in which contents join the embeddings of documents.

`h` is a document's embedding, `c` what its contents of a modality sum up to, `m` 1 where there are any. A document
without contents is chosen apart, and never computed through: its numbers are the record's own, bit for bit. But for
`Alone`, which reads nothing of the record.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.modalities import FusionConfig
from tawt.modalities.fusion.beside import Beside
from tawt.modalities.fusion.summed import Summed, TimeBias, weighed
from tawt.models.segments import segment_sum, take

_HOLDS = 3.0
"""What a gate starts at: the record has 95 in 100."""


class Way(nn.Module):
    """One of `concat`, `attention`, `gate`, `late` and `alone`.

    Args:
        config: How.
        d_embedding: Width of a document's embedding.
        n_modalities: How many there are.
    """

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        self.summed = Summed(config.d_content, config.n_heads, config.tau_hours)
        self.d_beside = n_modalities * (config.d_content + 1)

    def beside(self, contents: Tensor, found: Beside, d: int) -> tuple[Tensor, Tensor]:
        """Return what `d` documents have of each modality, `(d, n, d_content)`, 0 for none, and `m`, `(d, n)`."""
        segment, n = found.document * self.n_modalities + found.modality, d * self.n_modalities
        there = segment_sum(contents.new_ones(len(contents)), segment, n) > 0
        summed = self.summed(contents, found.age_hours, segment, n)
        return summed.view(d, self.n_modalities, -1), there.view(d, -1)

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        """Join contents `(m, d_content)` to embeddings `(d, d_embedding)`, or to outputs: the same shape."""
        raise NotImplementedError


class Concat(Way):
    """`h + W' gelu(W [h; m c + (1 - m) stand-in; m])`, of all modalities; `W'` starts at zero."""

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__(config, d_embedding, n_modalities)
        self.stand_in = nn.Parameter(torch.zeros(n_modalities, config.d_content))
        self.inner = nn.Linear(d_embedding + self.d_beside, 2 * config.d_content)
        self.outer = _zeroed(nn.Linear(2 * config.d_content, d_embedding))

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        summed, there = self.beside(contents, found, len(embedding))
        filled = torch.where(there[:, :, None], summed, self.stand_in)
        joined = embedding + self.outer(functional.gelu(self.inner(_flat(embedding, filled, there))))
        return torch.where(there.any(1, keepdim=True), joined, embedding)


class Attention(Way):
    """`h + W' sum softmax(q(h) k(c) / sqrt(d) + b(age)) v(c)`, over all contents of a document; `W'` starts at zero."""

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__(config, d_embedding, n_modalities)
        width, self.n_heads = config.d_content, config.n_heads
        self.norm = nn.LayerNorm(d_embedding)
        self.query = nn.Linear(d_embedding, width, bias=False)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.by_time = TimeBias(config.n_heads, config.tau_hours)
        self.by_modality = nn.Parameter(torch.zeros(n_modalities, config.n_heads))
        self.outer = _zeroed(nn.Linear(width, d_embedding, bias=False))
        del self.summed  # it weighs by the document, too

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        d, m, d_head = len(embedding), len(contents), contents.shape[1] // self.n_heads
        query = take(self.query(self.norm(embedding)), found.document).view(m, self.n_heads, d_head)
        scores = (query * self.key(contents).view(m, self.n_heads, d_head)).sum(2) * d_head**-0.5
        scores = scores + self.by_time(found.age_hours) + take(self.by_modality, found.modality)
        seen = weighed(scores, self.value(contents), found.document, d)
        there = segment_sum(contents.new_ones(m), found.document, d) > 0
        return torch.where(there[:, None], embedding + self.outer(seen), embedding)


class Gate(Way):
    """`z h + (1 - z) tanh(W c)` with `z = sigmoid(W' [h; c; m])`, of all modalities; `z` is 1 where there is none.

    Source: Arevalo et al., Gated multimodal units for information fusion, 2017; the record's own part is `h` itself
    here, not `tanh(W'' h)`, so that `z = 1` is the record's own path.
    """

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__(config, d_embedding, n_modalities)
        self.gate = _zeroed(nn.Linear(d_embedding + self.d_beside, d_embedding))
        nn.init.constant_(self.gate.bias, _HOLDS)
        self.value = nn.Linear(self.d_beside, d_embedding, bias=False)

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        summed, there = self.beside(contents, found, len(embedding))
        given = _flat(embedding, summed, there)
        z = torch.sigmoid(self.gate(given))
        joined = z * embedding + (1 - z) * torch.tanh(self.value(given[:, embedding.shape[1] :]))
        return torch.where(there.any(1, keepdim=True), joined, embedding)


class Late(Way):
    """`y + W [c; m]`, of all modalities: `y` are the outputs of the record's head, in place of `h`; `W` starts at
    zero."""

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__(config, d_embedding, n_modalities)
        self.outer = _zeroed(nn.Linear(self.d_beside, d_embedding, bias=False))

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        summed, there = self.beside(contents, found, len(embedding))
        joined = embedding + self.outer(_flat(embedding[:, :0], summed, there))
        return torch.where(there.any(1, keepdim=True), joined, embedding)


class Alone(Way):
    """`W [m c + (1 - m) stand-in; m]`, of all modalities, in place of `h`: what contents tell without the record."""

    def __init__(self, config: FusionConfig, d_embedding: int, n_modalities: int) -> None:
        super().__init__(config, d_embedding, n_modalities)
        self.stand_in = nn.Parameter(torch.zeros(n_modalities, config.d_content))
        self.outer = nn.Linear(self.d_beside, d_embedding)

    def forward(self, embedding: Tensor, contents: Tensor, found: Beside) -> Tensor:
        summed, there = self.beside(contents, found, len(embedding))
        filled = torch.where(there[:, :, None], summed, self.stand_in)
        told = self.outer(_flat(embedding[:, :0], filled, there))
        # never the record, which so has a gradient of 0 in each step
        return torch.where(torch.ones_like(there[:, :1]), told, embedding)


WAYS: dict[str, type[Way]] = {"concat": Concat, "attention": Attention, "gate": Gate, "late": Late, "alone": Alone}


def _flat(embedding: Tensor, beside: Tensor, there: Tensor) -> Tensor:
    return torch.cat((embedding, beside.flatten(1), there.to(beside.dtype)), 1)


def _zeroed(linear: nn.Linear) -> nn.Linear:
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear
