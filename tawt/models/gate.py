"""SwiGLU's gate on CUDA by kernels of our own: as torch compiles it, its gradient reads most numbers twice."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from tawt.models import gate_kernels as kernels

BLOCK = 1024
"""Columns of a program."""


@torch.library.custom_op("tawt::gated", mutates_args=())
def gated(inner: Tensor) -> Tensor:
    """Return `x * silu(gate)`, `(t, width)`, of `(t, 2 * width)` on CUDA: the values of a row, then its gates."""
    inner, out = inner.contiguous(), _gated_shape(inner)
    _launch(kernels.forward, inner, out, out.shape[1])
    return out


@gated.register_fake
def _gated_shape(inner: Tensor) -> Tensor:
    return inner.new_empty(len(inner), inner.shape[1] // 2)


@torch.library.custom_op("tawt::gated_backward", mutates_args=())
def _gated_backward(d_out: Tensor, inner: Tensor) -> Tensor:
    d_out, inner = d_out.contiguous(), inner.contiguous()
    d_inner = torch.empty_like(inner)
    _launch(kernels.backward, d_out, inner, d_inner, d_out.shape[1])
    return d_inner


@_gated_backward.register_fake
def _backward_shape(d_out: Tensor, inner: Tensor) -> Tensor:
    return torch.empty_like(inner, memory_format=torch.contiguous_format)


def _launch(kernel: Any, *given: Any) -> None:
    first, width = given[0], given[-1]
    with torch.cuda.device_of(first):
        kernel[len(first), triton.cdiv(width, BLOCK)](*given, BLOCK=BLOCK, num_warps=4)


def _keep(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, d_out: Tensor) -> Tensor:
    d_inner: Tensor = _gated_backward(d_out, *ctx.saved_tensors)
    return d_inner


gated.register_autograd(_gradient, setup_context=_keep)
