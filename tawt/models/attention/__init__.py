"""Attention that knows time, over packed documents: one definition, and kernels held to it.

The score of head h between tokens i and j of one document, with dt = t_i - t_j in hours:

    rotary(q_i, t_i) . rotary(k_j, t_j) / sqrt(d_head)      `rotary`; without it the plain product
      - slope_h * log1p(|dt| / tau)                         `decay`; with `shape: linear`, slope_h * |dt| / tau
      + bias_h[bucket(|dt|)]                                `bucket`; 0 below the shortest gap, last above the longest
      + sum_m amplitude_hm * cos(w_m * dt)                  `cosine`
      - recency_h * log1p(age_j / tau)                      `recency`; age_j = hours from j to the prediction time

A static has no time: what `rotary` turns is 0 for it, so it matches by the rest of the head alone; its distance to
everything is 0, and so is its age. Weights are the softmax over the document's tokens; a document never sees another.

Kernels, all `kernel(q, k, v, terms, where) -> out` on `(n_heads, t, d_head)`, queries and keys turned by `rotate`:

    reference_attention   the definition, written plainly; any device
    packed_attention      tile by tile, backward by hand; any device, the one for CPU
    fused_packed          our own, in Triton: `rotary`, which it does itself, `decay`, `recency`; CUDA (module `fused`)
    varlen_packed         the plain flash kernel: `rotary`, `cosine` and `recency`, CUDA in half precision
    flex_packed           FlexAttention: any terms, CUDA

Nothing of the size of the square of a batch's tokens is ever made.
"""

from tawt.models.attention.batch_geometry import Geometry, geometry
from tawt.models.attention.blocks import block_mask
from tawt.models.attention.channels import rotate, with_channels
from tawt.models.attention.choose import choose_kernel
from tawt.models.attention.flex import flex_packed
from tawt.models.attention.layer import TimeAwareAttention
from tawt.models.attention.packed import packed_attention
from tawt.models.attention.reference import reference_attention
from tawt.models.attention.terms import Terms, decay_slopes
from tawt.models.attention.varlen import varlen_packed

__all__ = [
    "Geometry",
    "Terms",
    "TimeAwareAttention",
    "block_mask",
    "choose_kernel",
    "decay_slopes",
    "flex_packed",
    "geometry",
    "packed_attention",
    "reference_attention",
    "rotate",
    "varlen_packed",
    "with_channels",
]
