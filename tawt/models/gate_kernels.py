"""SwiGLU's gate in Triton: forward and backward, a part of a row per program, each number read once."""

import triton
import triton.language as tl


@triton.jit
def _numbers(inner, width, BLOCK: tl.constexpr):
    """Place, and value and gate, of a program's part of a row."""
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = column < width
    x = tl.load(inner + 2 * row * width + column, mask=there, other=0.0).to(tl.float32)
    gate = tl.load(inner + (2 * row + 1) * width + column, mask=there, other=0.0).to(tl.float32)
    return row, column, there, x, gate


@triton.jit
def forward(inner, out, width, BLOCK: tl.constexpr):
    """Write `x * silu(gate)`, `(t, width)`, of `(t, 2 * width)`: the values of a row, then its gates."""
    row, column, there, x, gate = _numbers(inner, width, BLOCK)
    tl.store(out + row * width + column, (x * gate * tl.sigmoid(gate)).to(out.dtype.element_ty), mask=there)


@triton.jit
def backward(d_out, inner, d_inner, width, BLOCK: tl.constexpr):
    """Write the gradient of `inner`."""
    row, column, there, x, gate = _numbers(inner, width, BLOCK)
    given = tl.load(d_out + row * width + column, mask=there, other=0.0).to(tl.float32)
    share = tl.sigmoid(gate)
    d_x, d_gate = given * gate * share, given * x * share * (1.0 + gate * (1.0 - share))
    tl.store(d_inner + 2 * row * width + column, d_x.to(d_inner.dtype.element_ty), mask=there)
    tl.store(d_inner + (2 * row + 1) * width + column, d_gate.to(d_inner.dtype.element_ty), mask=there)
