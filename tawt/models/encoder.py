"""The encoder: token embeddings, pre-norm blocks over packed documents, readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tawt.batching.batch import PackedBatch, make_layout
from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.attention import Geometry, TimeAwareAttention, choose_kernel, geometry
from tawt.models.attention.batch_geometry import frequency_grids
from tawt.models.attention.blocks import BLOCK, whole_steps
from tawt.models.attention.graphs import allow_graphs
from tawt.models.beside import BesideRecords
from tawt.models.dropout import Dropout, draw_bytes
from tawt.models.embeddings import Added, TokenEmbedding
from tawt.models.pooling import DocumentPooling
from tawt.models.readout import PerTypeReadout
from tawt.models.segments import take


@dataclass(frozen=True)
class Encoded:
    """States of a batch's tokens."""

    tokens: Tensor
    """`(t, d_model)`."""
    layout: Layout
    """Where the tokens lie, and which triplets they are made of."""
    values: Tensor
    """`(n, d_model)`, the encoding of each triplet's value, before any attention."""

    def of_triplets(self) -> Tensor:
        """Return the state of each triplet's token, `(n, d_model)`."""
        return self.layout.of_triplets(self.tokens)


class FeedForward(nn.Module):
    """Two matrices and GELU, or three and SwiGLU.

    Source: Shazeer, GLU variants improve Transformer, 2020.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gated = config.ffn == "swiglu"
        self.inner = nn.Linear(config.d_model, config.d_ffn * (2 if self.gated else 1), bias=False)
        self.outer = nn.Linear(config.d_ffn, config.d_model, bias=False)

    def forward(self, x: Tensor, kernel: str = "") -> Tensor:
        """`(t, d_model)` -> `(t, d_model)`; where attention takes the kernel of our own, the gate does so too."""
        hidden = self.inner(x)
        if not self.gated:
            return self.outer(functional.gelu(hidden))
        if kernel == "fused":
            from tawt.models import gate  # where there is Triton

            return self.outer(gate.gated(hidden))
        hidden, gates = hidden.chunk(2, -1)
        return self.outer(functional.silu(gates) * hidden)


class Block(nn.Module):
    """Attention and feed-forward, each normalized before and added after."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.d_model, bias=False)
        self.attention = TimeAwareAttention(config)
        self.norm_ffn = nn.LayerNorm(config.d_model, bias=False)
        self.ffn = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, more: Tensor | None, where: Geometry, chances: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return states and what is still to be added to them, `(t, d_model)` both; `more` is that of the block before.

        The sum is left to the next block, where it is one pass with the norm. `chances` are those of dropout,
        `(2, t, d_model)` bytes, where they were drawn before.
        """
        first, second = (None, None) if chances is None else chances.unbind()
        x = _plus(x, more, self.dropout, first)
        x = _plus(x, self.attention(self.norm_attention(x), where), self.dropout, second)
        return x, self.ffn(self.norm_ffn(x), where.kernel)


class Encoder(nn.Module):
    """Packed triplets -> states of tokens -> one embedding per document.

    `prepare` sets how it computes; without it, each call takes the kernel that fits its device.
    """

    of_rotary: Tensor
    of_cosine: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config, vocabulary)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        # what each of the 2 * n_layers branches adds starts small, so the sum does not grow with depth
        # (GPT-2)
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear) and name.endswith(("attention.out", "ffn.outer")):
                nn.init.normal_(module.weight, std=(module.in_features * 2 * config.n_layers) ** -0.5)
        per_type = config.pooling == "per_type"
        self.pooling = PerTypeReadout(config, vocabulary) if per_type else DocumentPooling(config)
        # on the device, where a captured graph finds them
        for name, grid in zip(("of_rotary", "of_cosine"), frequency_grids(config), strict=True):
            self.register_buffer(name, grid, persistent=False)
        self.beside: BesideRecords | None = None
        """How what lies beside records joins them; None = the encoder looks at nothing beside them."""
        self.kernel = ""
        self.static_step: int | None = None
        self.max_seqlen: int | None = None
        self.checkpointed = self.narrow = False
        self._one: Callable[..., tuple[Tensor, Tensor]] = _through
        self._embed: Callable[..., tuple[Tensor, Tensor]] = _embedded

    @property
    def d_embedding(self) -> int:
        """Width of a document's embedding."""
        return self.pooling.d_embedding if isinstance(self.pooling, PerTypeReadout) else self.config.d_model

    def prepare(
        self,
        device: torch.device,
        dtype: torch.dtype,
        static_step: int | None = None,
        compiled: bool = False,
        activation_checkpointing: bool = False,
        max_seqlen: int | None = None,
        filled: bool = False,
    ) -> dict[str, str]:
        """Set how the blocks compute; weights and their names stay as they are.

        Args:
            device: Where it runs.
            dtype: What it computes in; under autocast, the dtype of that.
            static_step: Tokens to whose multiple every batch is padded within the blocks; None = as long as it is.
            compiled: Whether the blocks go through `torch.compile`, once for each length: that wants a `static_step`.
                States between blocks are in `dtype` then.
            activation_checkpointing: Whether blocks compute again in the backward pass what they did not keep.
            max_seqlen: Longest document of any batch, for a kernel that must know it beforehand.
            filled: Whether batches of training have few shapes (`tawt.batching.fill`): then the embedding is compiled
                too, for training.

        Returns:
            The reason of each choice, for the user, by `kernel`, `compile` and `activation_checkpointing`.

        Raises:
            ConfigError: The kernel that was asked for cannot run this model.
            DeviceError: It cannot run on this device.
        """
        self.kernel, reason = choose_kernel(self.config, device, dtype)
        self.static_step, self.max_seqlen = static_step, max_seqlen
        self.checkpointed = activation_checkpointing
        self.narrow = compiled and dtype != torch.float32
        if compiled:
            allow_graphs()
        # functions of modules: the weights keep their names, and one graph serves all blocks. The kernel of our own has
        # no shape in its code, so the second length makes one graph for all
        self._one = torch.compile(_through, dynamic=None if self.kernel == "fused" else False) if compiled else _through
        self._embed = torch.compile(_embedded) if compiled and filled else _embedded
        length = f"at lengths of whole {static_step} tokens" if static_step else "at each new length"
        kept = "blocks are computed again in the backward pass" if activation_checkpointing else "all activations kept"
        return {
            "kernel": f"{self.kernel}: {reason}",
            "compile": f"on: blocks compiled {length}" if compiled else "off",
            "activation_checkpointing": kept,
        }

    def forward(self, batch: PackedBatch) -> Encoded:
        """Return the states of a batch's tokens."""
        return self.closed(*self.opened(batch))

    def opened(self, batch: PackedBatch, told: Tensor | None = None) -> tuple[Tensor, Tensor | None, Layout, Tensor]:
        """Go through the blocks.

        Args:
            batch: Documents.
            told: `(d, d_model)`, what is added to each token of a document; None = nothing.

        Returns:
            States `(t, d_model)`, what is still to be added to them, where they lie, and the encoding of each triplet's
            value: what `closed` takes.
        """
        layout = batch.layout
        if layout is None:
            layout = make_layout(batch, self.config.granularity, with_cls=self.config.with_cls)
        added = None if self.beside is None or batch.beside is None else self.beside.added(batch.beside)
        x, values = (self._embed if self.training else _embedded)(self, batch, layout, added)
        x = x if told is None else x + take(told, layout.document).to(x.dtype)
        more: Tensor | None = None
        if self.blocks:
            x, more = self._through_blocks(x, layout)
        return x, more, layout, values

    def closed(self, x: Tensor, more: Tensor | None, layout: Layout, values: Tensor) -> Encoded:
        """Return the states of tokens, from what `opened` gives."""
        return Encoded(self.norm(_plus(x, more, self.dropout)), layout, values)

    def readout(self, encoded: Encoded, batch: PackedBatch) -> Tensor:
        """Return one embedding per document, `(d, d_embedding)` float32; it is computed in that, too."""
        tokens = encoded.tokens
        with torch.autocast(tokens.device.type, enabled=False):
            if isinstance(self.pooling, PerTypeReadout):
                out = self.pooling(tokens.float(), encoded.layout, encoded.values.float(), batch)
            else:
                out = self.pooling(tokens.float(), encoded.layout)
        if self.beside is None or batch.beside is None:
            return out
        return self.beside.embedding(out, batch.beside)

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return one embedding per document of a batch, `(d, d_embedding)` float32."""
        return self.readout(self(batch), batch)

    def states(self, batch: PackedBatch) -> Tensor:
        """Return the state of each triplet of a batch, `(n, d_model)`."""
        return self(batch).of_triplets()

    def _through_blocks(self, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        kernel = self.kernel or choose_kernel(self.config, x.device, _computes_in(x), self.training)[0]
        n = len(x)
        static = whole_steps(n, self.static_step) if self.static_step else None
        if static is None and kernel == "flex":  # whole blocks, and few lengths: each new one is compiled
            static = max(BLOCK, 1 << (n - 1).bit_length())
        where = geometry(
            self.config, layout, kernel=kernel, static_length=static, max_seqlen=self.max_seqlen,
            grids=(self.of_rotary, self.of_cosine),
        )  # fmt: skip
        if static is not None and static > n:
            x = functional.pad(x, (0, 0, 0, static - n))
        x, more = self._stack(x, where)
        return (x, more) if len(x) == n else (x[:n], more[:n])

    def _stack(self, x: Tensor, where: Geometry) -> tuple[Tensor, Tensor]:
        again = self.checkpointed and self.training and torch.is_grad_enabled()
        # FlexAttention must be compiled; of our own kernel, lengths that come in validation alone make no graph
        one = self._one if self.training or self.kernel != "fused" else _through
        more: Tensor | None = None
        chances: Sequence[Tensor | None] = [None] * len(self.blocks)
        if one is not _through:
            x = x.to(_computes_in(x)) if self.narrow else x
            more = torch.zeros_like(x, dtype=_computes_in(x))  # so that the first block is as the others
            if self.training and self.dropout.p and not again:  # which would keep the bytes of all blocks
                chances = draw_bytes((len(self.blocks), 2, *x.shape), x.device).unbind()
        for block, own in zip(self.blocks, chances, strict=True):
            given = (block, x, more, where, own)
            x, more = checkpoint(one, *given, use_reentrant=False) if again else one(*given)
        assert more is not None
        return x, more


def _through(
    block: nn.Module, x: Tensor, more: Tensor | None, where: Geometry, chances: Tensor | None
) -> tuple[Tensor, Tensor]:
    out: tuple[Tensor, Tensor] = block(x, more, where, chances)
    return out


def _embedded(encoder: Encoder, batch: PackedBatch, layout: Layout, added: Added | None) -> tuple[Tensor, Tensor]:
    x, values = encoder.embedding(batch, layout, added)
    return encoder.dropout(x), values


def _plus(x: Tensor, more: Tensor | None, dropout: Dropout, chances: Tensor | None = None) -> Tensor:
    """States with what a branch adds to them."""
    return x if more is None else x + dropout(more, chances)


def _computes_in(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
