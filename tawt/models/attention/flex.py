"""FlexAttention on packed documents: the kernel of CUDA for terms that add a bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.channels import with_channels
from tawt.models.attention.graphs import allow_graphs
from tawt.models.attention.terms import Terms

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

FORWARD: dict[str, Any] = {"fwd_num_warps": 8}
"""Options of the forward kernel where scores get a term. With the four warps that torch takes for heads of 64 in half
precision, a thread of an H100 keeps 3.6 KB of its scores in memory, for want of registers (ptxas, sm_90)."""


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    allow_graphs()
    return torch.compile(flex_attention, dynamic=False)


def flex_packed(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry) -> Tensor:
    """Attention within documents by FlexAttention, compiled on CUDA; on CPU the plain form, which has no
    gradient of q, k, v.

    The gradient of learned slopes comes from a second forward pass, in one order of sums; that of bucket biases from
    FlexAttention itself, which adds in any order.

    Args:
        q: `(n_heads, t, d_head)`, already turned; t is the geometry's static length, a multiple of 128.
        k: As `q`.
        v: As `q`.
        terms: Strengths of the terms.
        where: The batch's geometry, made for `flex`.

    Returns:
        `(n_heads, t, d_head)` in the dtype of `q`.
    """
    scale = 1 / math.sqrt(v.shape[-1])
    q, k = with_channels(q, k, terms, where)
    slopes, table = terms.slopes, terms.buckets
    if slopes is None and table is None:
        return _run(q, k, v, None, where, scale)[0]
    still = slopes.detach().float() if slopes is not None else None
    bias = table.float() if table is not None else None
    if slopes is None or not slopes.requires_grad or not torch.is_grad_enabled():
        return _run(q, k, v, _score(still, bias, where), where, scale)[0]
    out, log_sum = _run(q, k, v, _score(still, bias, where), where, scale, True)
    with torch.no_grad():
        # weights times the fade, normalized: d out / d slope = -sum_j w_j D_j (v_j - out)
        faded, log_faded = _run(q, k, v, _score(still, bias, where, weighed=True), where, scale, True)
        share = (log_faded - log_sum.detach()).exp()[..., None]
        step = torch.where(share > 0, -share * (faded.float() - out.detach().float()), 0.0)
    # adds 0, carries the gradient
    return out + ((slopes - slopes.detach()).float()[:, None, None] * step).to(out.dtype)


def _run(
    q: Tensor, k: Tensor, v: Tensor, score: ScoreMod | None, where: Geometry, scale: float, with_sum: bool = False
) -> tuple[Tensor, Tensor]:
    """`(n_heads, t, d_head)` output and, if asked for, `(n_heads, t)` float32 log sums."""
    from torch.nn.attention import flex_attention as module

    run: Any = _compiled() if q.is_cuda and not torch.compiler.is_compiling() else module.flex_attention
    more: dict[str, Any] = {}
    if with_sum:
        # named so since torch 2.9
        more = {"return_aux": module.AuxRequest(lse=True)} if hasattr(module, "AuxRequest") else {"return_lse": True}
    if score is not None and q.is_cuda and q.dtype != torch.float32 and 64 <= v.shape[-1] < 128:
        more["kernel_options"] = dict(FORWARD)
    got = run(q[None], k[None], v[None], score_mod=score, block_mask=where.blocks, scale=scale, **more)
    if not with_sum:
        return got[0], got[0]
    out, aux = got
    return out[0], (aux if isinstance(aux, Tensor) else aux.lse)[0]


def _score(slopes: Tensor | None, table: Tensor | None, where: Geometry, weighed: bool = False) -> ScoreMod:
    """Return what is added to a score; `weighed` adds the logarithm of the fade as well."""
    coarse, fine, is_static, rule = where.coarse, where.fine, where.is_static, where.rule
    assert coarse is not None and fine is not None

    def score(s: Tensor, batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        # two float32 to a time: the difference is as good as in float64, over decades
        gap = ((coarse[i] - coarse[j]) + (fine[i] - fine[j])).abs()
        gap = torch.where(is_static[i] | is_static[j], 0.0, gap)
        if slopes is not None:
            fade = rule.fade(gap)
            s = s - slopes[head] * fade
            if weighed:
                s = s + torch.log(fade)
        if table is not None:
            s = s + table[head, rule.bucket(gap)]
        return s

    return score
