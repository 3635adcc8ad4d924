"""Compare the kernels of our own with the definition through Triton's interpreter, on CPU; print JSON.

In a process of its own, because Triton decides when it is imported whether it interprets. What is printed is, by case,
the largest difference of output and gradients, relative to the largest number of each.
"""

from __future__ import annotations

import json
import math
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
from packs import a_config, a_layout, a_pack, in_double, run, strengths, worst
from torch.nn.functional import pad

from tawt.models.attention import TimeAwareAttention, fused, geometry, reference_attention, rotate
from tawt.models.gate import gated

LENGTHS = (1, 2, 70, 20)
"""The third holds whole tiles, which go without a mask, and shares others."""


def _definition(q, k, v, terms, where):
    return reference_attention(rotate(q, where), rotate(k, where), v, terms, where)


def _causal(q, k, v, terms, where):
    out = []
    for i, (a, b) in enumerate(where.spans):
        scores = q[:, a:b] @ k[:, a:b].mT / math.sqrt(q.shape[-1])
        scores = scores - terms.slopes[:, None, None] * where.fade(i, 0, b - a, q.dtype)
        later = torch.ones(b - a, b - a, dtype=torch.bool).triu(1)
        out.append(scores.masked_fill(later, -math.inf).softmax(-1) @ v[:, a:b])
    return torch.cat(out, 1)


def against(definition, kind, dtype=torch.float32, causal=False, **shape) -> float:
    """Return how far a padded pack is from the definition; what the padding gets for a gradient counts as well."""
    config, layout, tensors, terms, where = a_pack(kind, LENGTHS, dtype, kernel="reference", causal=causal, **shape)
    exact = run(definition, [x.double() for x in tensors], in_double(terms), where)
    n, static = sum(LENGTHS), 128
    where = geometry(config, layout, kernel="fused", static_length=static)
    ours = run(fused.fused_packed, [pad(x, (0, 0, 0, static - n)) for x in tensors], terms, where)
    beyond = max(float(x[:, n:].abs().max()) for x in ours[1:4])
    return beyond + worst([x[:, :n] if i < 4 else x for i, x in enumerate(ours)], exact)


def layer() -> tuple[float, int]:
    """Return how far a layer is from the definition, compiled and not, and the graphs that two packs made."""
    config = a_config(("rotary", "decay"), 2, 16)
    module, x, graphs = TimeAwareAttention(config), torch.randn(40, 32), []

    def through(module, x, where):
        return module(x, where)

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    off = 0.0
    compiled = torch.compile(through, backend=counting, dynamic=False)
    for lengths in ((30, 10), (3, 37)):
        got = []
        for way, kernel in ((through, "reference"), (through, "fused"), (compiled, "fused")):
            module.zero_grad()
            leaf = x.clone().requires_grad_()
            out = way(module, leaf, geometry(config, a_layout(lengths), kernel=kernel))
            out.square().sum().backward()
            got.append([out.detach(), leaf.grad, *[p.grad for p in module.parameters()]])
        off = max(off, worst(got[1], got[0]), worst(got[2], got[0]))
    return off, len(graphs)


def gate() -> float:
    """Return how far SwiGLU's gate is from its definition, output and gradient; rows are wider than a program."""
    inner, off = torch.randn(5, 3000, requires_grad=True), torch.randn(5, 1500)
    got = []
    for work in (gated, lambda x: x[:, :1500] * x[:, 1500:] * x[:, 1500:].sigmoid()):
        out = work(inner)
        got.append([out.detach(), *torch.autograd.grad(out, inner, off)])
    return worst(*got)


def operator() -> list[str]:
    """Return what torch's own check of an operator says."""
    where = geometry(a_config(("decay",), 1, 16), a_layout((3, 17)), kernel="fused")
    qkv = torch.randn(20, 3, 1, 16, requires_grad=True)
    slopes = strengths(a_config(("decay",), 1, 16)).slopes.requires_grad_()
    given = (qkv, slopes, None, None, None, None, where.times, where.first, where.past, where.order, False, False, True)
    said = [torch.library.opcheck(fused._attend, given), torch.library.opcheck(gated, (torch.randn(4, 6),))]
    return sorted({word for each in said for word in each.values()})


if __name__ == "__main__":
    every = ("rotary", "decay", "recency")
    print(
        json.dumps(
            {
                "no terms": against(_definition, (), n_heads=2),
                "every term, padded heads": against(_definition, every, n_heads=2, d_head=24),
                "linear decay": against(_definition, ("decay",), n_heads=1, decay={"shape": "linear"}),
                "fp16": against(_definition, ("rotary", "decay"), torch.float16, n_heads=1, d_head=72),
                "causal": against(_causal, ("decay",), causal=True, n_heads=1),
                "layer": layer(),
                "gate": gate(),
                "operator": operator(),
            }
        )
    )
