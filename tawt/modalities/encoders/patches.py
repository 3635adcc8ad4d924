"""A small transformer over the patches of an image.

Source: Dosovitskiy et al., An image is worth 16x16 words, 2021.
"""

from __future__ import annotations

from torch import Tensor, nn, zeros
from torch.nn import functional

from tawt.config.modalities import VitConfig


class _Block(nn.Module):
    def __init__(self, d_model: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention, self.norm_ffn = (nn.LayerNorm(d_model) for _ in range(2))
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.inner, self.outer = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)
        for last in (self.out, self.outer):
            nn.init.normal_(last.weight, std=(last.in_features * 2 * n_layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        m, n, d = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(m, n, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(m, n, d))
        return x + self.outer(functional.gelu(self.inner(self.norm_ffn(x))))


class PatchTransformer(nn.Module):
    """Patches with learned places, pre-norm blocks, the mean over all patches.

    Args:
        config: Its shape.
        size: Pixels of a side, a multiple of `config.patch`.
        channels: Of the image.
        d_embedding: What comes out.
    """

    def __init__(self, config: VitConfig, size: int, channels: int, d_embedding: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, config.d_model, config.patch, config.patch)
        self.place = nn.Parameter(zeros((size // config.patch) ** 2, config.d_model).normal_(std=0.02))
        self.blocks = nn.Sequential(
            *(_Block(config.d_model, config.n_heads, config.n_layers) for _ in range(config.n_layers))
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.out = nn.Linear(config.d_model, d_embedding)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, channels, size, size)` -> `(m, d_embedding)`."""
        x = self.patches(inputs).flatten(2).transpose(1, 2) + self.place
        return self.out(self.norm(self.blocks(x)).mean(1))
