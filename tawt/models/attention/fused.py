"""The kernel of our own on CUDA: rotation, decay and recency within one pass over packed documents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tawt.models.attention import fused_kernels as kernels
from tawt.models.attention.batch_geometry import SPAN, Geometry
from tawt.models.attention.terms import Terms

TURNED = 32
"""Tokens that a program turns."""


@dataclass(frozen=True)
class Tiling:
    """How a kernel is cut into programs, and how each is run."""

    side: int
    """Tokens of a tile, whose sums a program keeps; divides `SPAN`."""
    step: int
    """Tokens that it visits at once."""
    warps: int
    stages: int
    registers: int | None = None
    """Most registers of a thread, so that more programs run at once; None = as many as there are."""


def tilings(dtype: torch.dtype, d_head: int, capability: int = 80) -> dict[str, Tiling]:
    """Return the tiles of each kernel for a number format, a head's width and a compute capability.

    Those for half precision are the fastest that were measured on an H100 (`docs/benchmarks.md`). All fit the 99 KB
    that a program has on compute capability 8.6.
    """
    if dtype == torch.float32:
        return dict.fromkeys(("forward", "to_queries", "to_keys"), Tiling(32, 32, 4 if d_head <= 64 else 8, 1))
    if d_head > 64:
        return {"forward": Tiling(64, 32, 4, 2), "to_queries": Tiling(64, 32, 8, 2), "to_keys": Tiling(64, 32, 8, 2)}
    if capability < 90:
        return {"forward": Tiling(64, 64, 4, 3), "to_queries": Tiling(64, 32, 4, 3), "to_keys": Tiling(64, 64, 4, 2)}
    # what bounds the gradient of keys is how many programs a multiprocessor holds
    return {
        "forward": Tiling(64, 32, 4, 3, registers=96), "to_queries": Tiling(64, 32, 4, 3),
        "to_keys": Tiling(64, 32, 4, 3, registers=168),
    }  # fmt: skip


def fused_attention(qkv: Tensor, terms: Terms, where: Geometry) -> Tensor:
    """Attention within documents; rotation is part of it.

    Only the output, one number per row, and what was turned are kept for the gradient. No sum is by atomics, so
    results are equal bit for bit from run to run.

    Args:
        qkv: `(t, 3, n_heads, d_head)`, queries, keys and values, not turned.
        terms: Strengths of the terms; without bucket and cosine.
        where: The batch's geometry, made for `fused`.

    Returns:
        `(t, n_heads, d_head)` in the dtype of `qkv`.
    """
    assert terms.buckets is None and terms.amplitudes is None, "choose_kernel keeps these from here"
    slopes, recency = (x.float() if x is not None else None for x in (terms.slopes, terms.recency))
    learned = slopes is not None and slopes.requires_grad
    out: Tensor = _attend(
        qkv, slopes, recency, where.cos, where.sin, where.fading, where.times, where.first, where.past, where.order,
        where.rule.linear, where.causal, learned,
    )[0]  # fmt: skip
    return out


def fused_packed(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry) -> Tensor:
    """Do the same as `fused_attention` to `(n_heads, t, d_head)` queries, keys and values, none of them turned."""
    return fused_attention(torch.stack((q, k, v)).permute(2, 0, 1, 3), terms, where).transpose(0, 1)


@torch.library.custom_op("tawt::attend", mutates_args=())
def _attend(
    qkv: Tensor,
    slopes: Tensor | None,
    recency: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    fading: Tensor | None,
    times: Tensor | None,
    first: Tensor,
    past: Tensor,
    order: Tensor,
    linear: bool,
    causal: bool,
    learned: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, log sums of weights, and turned queries and keys: the gradient needs them again."""
    out, log_sum, turned = _attend_shapes(qkv, slopes, recency, cos)
    n, _, n_heads, d_head = qkv.shape
    tiling = tilings(qkv.dtype, d_head, _capability(qkv))["forward"]
    with torch.cuda.device_of(qkv):
        if cos is not None:
            kernels.turn[n_heads, -(-n // TURNED)](
                qkv, turned, cos, sin, n, *qkv.stride()[:3],
                D=d_head, WIDE=_wide(d_head), SIDE=TURNED, HALF=cos.shape[-1], num_warps=4,
            )  # fmt: skip
        kernels.forward[n_heads, len(order) * (SPAN // tiling.side)](
            *_inputs(qkv, turned), out, log_sum, first, past, times, slopes, fading, recency, order, n,
            *_strides(qkv, turned), **_options(tiling, qkv, slopes, recency, linear, causal),
        )  # fmt: skip
    return out, log_sum, turned


@_attend.register_fake
def _attend_shapes(
    qkv: Tensor, slopes: Tensor | None, recency: Tensor | None, cos: Tensor | None, *more: Any
) -> tuple[Tensor, Tensor, Tensor]:
    n, _, n_heads, d_head = qkv.shape
    turned = (2, n_heads, n, d_head) if cos is not None else (0,)
    return (
        qkv.new_empty(n, n_heads, d_head),
        qkv.new_empty(n_heads, n, dtype=torch.float32),
        qkv.new_empty(turned),
    )


@torch.library.custom_op("tawt::attend_backward", mutates_args=())
def _attend_backward(
    d_out: Tensor,
    out: Tensor,
    log_sum: Tensor,
    turned: Tensor,
    qkv: Tensor,
    slopes: Tensor | None,
    recency: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    fading: Tensor | None,
    times: Tensor | None,
    first: Tensor,
    past: Tensor,
    order: Tensor,
    linear: bool,
    causal: bool,
    learned: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `qkv`, slopes and recency; empty for strengths that are not learned or not there."""
    n, _, n_heads, d_head = qkv.shape
    half = cos.shape[-1] if cos is not None else 0
    tiling = tilings(qkv.dtype, d_head, _capability(qkv))
    to_queries, to_keys = tiling["to_queries"], tiling["to_keys"]
    n_tiles = len(order) * (SPAN // to_queries.side)
    d_qkv = qkv.new_empty(qkv.shape)
    by_row = log_sum.new_empty(n_heads, n, 2)
    # a share of each tile, then one sum in a fixed order
    d_slopes = log_sum.new_empty((n_heads, n_tiles) if learned else 0)
    d_recency = log_sum.new_empty((n_heads, n_tiles) if recency is not None else 0)
    q, k, v = _inputs(qkv, turned)
    d_out = d_out.contiguous()
    place = (first, past, times, slopes, fading, recency, order, n, *_strides(qkv, turned))
    with torch.cuda.device_of(qkv):
        kernels.to_queries[n_heads, n_tiles](
            q, k, v, out, log_sum, d_out, by_row, d_qkv, d_slopes, d_recency, cos, sin, *place,
            HALF=half, LEARNED=learned, **_options(to_queries, qkv, slopes, recency, linear, causal),
        )  # fmt: skip
        kernels.to_keys[n_heads, len(order) * (SPAN // to_keys.side)](
            q, k, v, d_out, by_row.view(torch.int64), d_qkv, cos, sin, *place,
            HALF=half, **_options(to_keys, qkv, slopes, recency, linear, causal),
        )  # fmt: skip
    # a sum of nothing would be a launch
    return d_qkv, d_slopes.sum(-1) if learned else d_slopes, d_recency.sum(-1) if recency is not None else d_recency


@_attend_backward.register_fake
def _backward_shapes(
    d_out: Tensor,
    out: Tensor,
    log_sum: Tensor,
    turned: Tensor,
    qkv: Tensor,
    slopes: Tensor | None,
    recency: Tensor | None,
    *more: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    n_heads, learned = qkv.shape[2], more[-1]
    sums = (n_heads if learned else 0, n_heads if recency is not None else 0)
    return qkv.new_empty(qkv.shape), log_sum.new_empty(sums[0]), log_sum.new_empty(sums[1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.linear, ctx.causal, ctx.learned = inputs
    ctx.save_for_backward(*output, *tensors)
    ctx.has_recency = inputs[2] is not None


def _gradient(ctx: Any, d_out: Tensor, *of_the_rest: Tensor) -> tuple[Tensor | None, ...]:
    d_qkv, d_slopes, d_recency = _attend_backward(d_out, *ctx.saved_tensors, ctx.linear, ctx.causal, ctx.learned)
    return d_qkv, d_slopes if ctx.learned else None, d_recency if ctx.has_recency else None, *[None] * 10


_attend.register_autograd(_gradient, setup_context=_keep)


def _capability(x: Tensor) -> int:
    major, minor = torch.cuda.get_device_capability(x.device) if x.is_cuda else (8, 0)
    return 10 * major + minor


def _wide(d_head: int) -> int:
    """Width of a tile: a power of two, and no product of the hardware is narrower than 16."""
    return max(16, 1 << (d_head - 1).bit_length())


def _inputs(qkv: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as the kernels read them."""
    q, k, v = qkv.unbind(1)
    return (turned[0], turned[1], v) if turned.numel() else (q, k, v)


def _strides(qkv: Tensor, turned: Tensor) -> tuple[int, int, int, int]:
    """From token to token and from head to head, of queries and keys, and of values."""
    n, _, _, d_head = qkv.shape
    own = (qkv.stride(0), qkv.stride(2))
    assert qkv.stride(3) == 1, "the numbers of a head lie side by side"
    return *((d_head, n * d_head) if turned.numel() else own), *own


def _options(
    tiling: Tiling, qkv: Tensor, slopes: Tensor | None, recency: Tensor | None, linear: bool, causal: bool
) -> dict[str, Any]:
    d_head = qkv.shape[-1]
    exact = torch.get_float32_matmul_precision() == "highest"
    return {
        "scale": 1 / math.sqrt(d_head), "D": d_head, "WIDE": _wide(d_head), "SIDE": tiling.side, "STEP": tiling.step,
        "DECAY": slopes is not None, "LINEAR": linear, "RECENCY": recency is not None, "CAUSAL": causal,
        # of float32: three products of TF32 are one of float32
        "PRECISION": "tf32x3" if exact else "tf32", "num_warps": tiling.warps, "num_stages": tiling.stages,
        "maxnreg": tiling.registers,
    }  # fmt: skip
