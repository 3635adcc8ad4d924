"""How far a kernel, or the whole model, is from the definition computed exactly, and how far it may be.

Shared by the tests of this folder and by `tests/benchmarks/gpu.py`; needs what the trainer needs and nothing more.
Errors are largest differences, relative to the largest number of each tensor. What they may be follows from the
rounding of the number format, `eps`:

    fp32         256 eps = 3e-5: gaps become logarithms of up to 13, whose rounding moves a score by some eps, and sums
                 run over hundreds of tokens
    bf16, fp16   8 eps = 6e-2 and 8e-3 for a kernel: queries, keys, weights and results are rounded once each, by half
                 an eps, and a score adds up a few of these; 16 eps for gradients of a whole model, through its layers

An error in a term, a mask or a gradient moves results by tenths, far outside of these. Products are in full float32
here: `measured_exactly` turns TF32 off, which has the mantissa of fp16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import packs
import torch
from torch import Tensor
from torch.nn.functional import pad

from tawt.batching.batch import to_device
from tawt.batching.example import Example
from tawt.batching.fill import filled, sizes_of
from tawt.batching.layout import Layout
from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.config.load import build, merge
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.models import attention, encoder
from tawt.models.attention import Terms, block_mask, flex, geometry, rotate
from tawt.models.attention.blocks import BLOCK, whole_steps, with_padding
from tawt.models.attention.choose import FLASH_TERMS, FUSED_TERMS
from tawt.models.dropout import LEVELS, draw_bytes
from tawt.objectives.baselines import count_baselines
from tawt.objectives.contrastive import info_nce
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import PretrainModel, build_model
from tawt.training.choices import loader_config, static_step
from tawt.training.device import DTYPES

KERNELS: dict[str, Callable[..., Tensor]] = {
    "packed": attention.packed_attention,
    "fused": lambda *given: import_module("tawt.models.attention.fused").fused_packed(*given),  # where there is Triton
    "flex": attention.flex_packed,
    "varlen": attention.varlen_packed,
}
"""All that are held to `reference_attention`."""
TERMS = {
    "no terms": (),
    "rotary": ("rotary",),
    "rotary + channels": ("rotary", "cosine", "recency"),
    "rotary + decay": ("rotary", "decay"),
    "rotary + decay + recency": ("rotary", "decay", "recency"),
    "bucket": ("bucket",),
    "all": ("rotary", "decay", "bucket", "cosine", "recency"),
}
EDGE = 1e-5
"""No gap of a pack is nearer to an edge of two buckets, in buckets, so that rounding cannot choose another one."""
TINY = {
    "model": {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ffn": 96, "dropout": 0.0},
    "batching": {"tokens_per_batch": 1024, "max_length": 256},
}
MODELS: dict[str, dict[str, Any]] = {
    "rotary + decay": {},
    "learned decay + bucket": {"model": {"attention": ["decay", "bucket"], "decay": {"learned": True}}},
    "flash terms, swiglu": {"model": {"attention": ["rotary", "cosine", "recency"], "ffn": "swiglu"}},
    "timestamps, per_type, forecast": {
        "model": {
            "granularity": "timestamp",
            "pooling": "per_type",
            "combine": "concat",
            "readout": {"n_types": 4},
            "ffn": "swiglu",
        },
        "objective": {"forecast": {"weight": 1.0, "n_types": 4}},
    },
    "cls, contrastive": {
        "model": {"pooling": "cls", "time": ["sinusoidal", "delta"]},
        "objective": {"contrastive": {"weight": 1.0}},
    },
}
"""Configs of small models that together use every part, laid on `TINY`."""


@dataclass(frozen=True)
class Parity:
    """How far something is from the exact result, and how far it may be."""

    forward: float
    forward_may: float
    backward: float | None
    """None: what it runs on gives no gradient."""
    backward_may: float

    @property
    def holds(self) -> bool:
        """Whether both are as near as they must be; a number that is none is not."""
        return self.forward <= self.forward_may and (self.backward is None or self.backward <= self.backward_may)

    def __str__(self) -> str:
        back = "no gradient" if self.backward is None else f"{self.backward:.1e} of {self.backward_may:.1e}"
        return f"forward {self.forward:.1e} of {self.forward_may:.1e}, backward {back}"


@contextmanager
def measured_exactly() -> Iterator[None]:
    """Let products of float32 on CUDA be products of float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def may_differ(dtype: torch.dtype, half: int = 8) -> float:
    """Return how far results in a number format may be from exact ones; `half` is the number of eps in bf16 and fp16."""
    return torch.finfo(dtype).eps * (256 if dtype == torch.float32 else half)


def runs_on(kernel: str, kind: tuple[str, ...], dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a kernel exists for these terms, this number format and this device."""
    if kernel in ("packed", "flex"):
        return True
    if kernel == "fused":
        return device.type == "cuda" and set(kind) <= FUSED_TERMS
    return device.type == "cuda" and dtype != torch.float32 and set(kind) <= FLASH_TERMS


@cache
def clear_layout(config: ModelConfig, lengths: tuple[int, ...]) -> Layout:
    """Return a random layout none of whose gaps lies at the edge of two buckets."""
    rule = geometry(config, packs.a_layout((2,)), kernel="reference").rule
    for seed in range(1000):
        layout = packs.a_layout(lengths, seed)
        if all(_nearest_edge(rule, layout, a, b) > EDGE for a, b in layout.spans):
            return layout
    raise AssertionError("no random layout keeps clear of the edges")


def _nearest_edge(rule: Any, layout: Layout, a: int, b: int) -> float:
    hours = layout.hours[a:b][~layout.is_static[a:b]]
    gap = (hours[:, None] - hours).abs()
    place = gap[gap > 0].log() * rule.scale + rule.offset
    place = place[(place > 0.5) & (place < rule.n_buckets - 0.5)]
    return float((place - place.round()).abs().min()) if len(place) else 1.0


def kernel_parity(
    name: str,
    kind: tuple[str, ...],
    dtype: torch.dtype,
    device: torch.device,
    *,
    lengths: tuple[int, ...] = (1, 2, 37, 300, 160),
    d_head: int = 32,
    n_heads: int = 4,
) -> Parity:
    """Compare a kernel with the definition in float64 on the host, both given the same rounded numbers.

    Rotation is part of what is compared. A flex kernel on CPU gives no gradient of queries, keys and values.
    """
    config = packs.a_config(kind, n_heads, d_head)
    layout = clear_layout(config, lengths)
    generator = torch.Generator().manual_seed(len(kind))
    n = sum(lengths)
    tensors = [torch.randn(n_heads, n, d_head, generator=generator).to(dtype) for _ in range(4)]
    terms = packs.strengths(config)

    exactly = geometry(config, layout, kernel="reference")
    frequencies = attention.terms.cosine_frequencies(config)
    definition = partial(attention.reference_attention, frequencies=frequencies)
    exact = packs.run(_turned(definition), [x.double() for x in tensors], packs.in_double(terms), exactly)

    static = None if name == "packed" else whole_steps(n + 1, BLOCK)
    there = to_device(layout, device)
    where = geometry(config, there, kernel=name, static_length=static, max_seqlen=max(lengths))
    wide = [pad(x, (0, 0, 0, (static or n) - n)).to(device) for x in tensors]
    moved = Terms(**{key: x.to(device) for key, x in vars(terms).items() if x is not None})
    work = KERNELS[name] if name == "fused" else _turned(KERNELS[name])
    with measured_exactly():
        if name == "flex" and device.type == "cpu":
            with torch.no_grad():
                ours = [work(*wide[:3], moved, where)]
            exact = exact[:1]
        else:
            ours = packs.run(work, wide, moved, where)
    # the padding is cut off: it is documents of its own, whose gradient is 0
    ours = [x[:, :n] if i < 4 else x for i, x in enumerate(ours)]
    ours = [x.double().cpu() for x in ours]
    may = may_differ(dtype)
    return Parity(packs.worst(ours[:1], exact[:1]), may, packs.worst(ours[1:], exact[1:]) if ours[1:] else None, may)


def _turned(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Any) -> Tensor:
        return kernel(rotate(q, where), rotate(k, where), v, terms, where)

    return run


def same_blocks(device: torch.device, lengths: tuple[int, ...] = (1, 2, 37, 300, 160)) -> bool:
    """Return whether the block mask made of bounds is the one that torch makes of all pairs."""
    from torch.nn.attention.flex_attention import create_block_mask

    layout = packs.a_layout(lengths)
    n = whole_steps(layout.n_tokens + BLOCK, BLOCK)
    sizes = torch.tensor(with_padding(layout.bounds, n)).diff()
    document = torch.repeat_interleave(torch.arange(len(sizes)), sizes).to(device)
    ours = block_mask(layout.bounds, n).to(device).to_dense()
    theirs = create_block_mask(lambda b, h, i, j: document[i] == document[j], None, None, n, n, device=device)
    return torch.equal(ours, theirs.to_dense())


def a_config(name: str, **sections: dict[str, Any]) -> PretrainConfig:
    """Return the config `MODELS[name]` laid on `TINY`, with `sections` laid on that."""
    return build(PretrainConfig, merge(merge(TINY, MODELS[name]), sections), name)


def examples(
    workspace: Path, config: PretrainConfig, n: int = 1, with_blocks: bool = False
) -> tuple[PretrainModel, list[Example]]:
    """Return an untrained model whose heads have left their start at zero, and batches of a workspace."""
    dataset = open_dataset(workspace)
    vocabulary = dataset.vocabulary
    ahead = bool(config.objective.forecast.weight)
    loader = PackedLoader(
        dataset.split("train"),
        vocabulary,
        loader_config(config, True),
        0,
        with_available=ahead,
        cutter=make_cutter(config, True),
    )
    batches = [loader.batch(number) for number in range(n)]
    baselines = count_baselines(loader.split.shards, vocabulary, config.objective, iter(batches))
    model = build_model(config, vocabulary, 0)
    model.start_at(baselines)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.heads.parameters():  # a head of zeros would hide every gradient below it
        if not parameter.detach().any():
            parameter.data.normal_(0, 0.05, generator=generator)
    step = static_step(config)
    blocks = (lambda layout: block_mask(layout.bounds, whole_steps(layout.n_tokens, step))) if with_blocks else None
    prepare = Preparer(config, vocabulary, baselines, True, blocks)
    return model, [prepare(batch, number) for number, batch in enumerate(batches)]


def loss_and_gradient(
    model: PretrainModel, example: Example, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return the parts of the loss and the gradient of all parameters, `(p,)` and `(n,)` float64 on the host."""
    config, device = model.config, next(model.parameters()).device
    model.zero_grad(set_to_none=True)
    moved = example.to(device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        out = model(moved)
    parts = [out.sums[p] / max(example.counts.get(p, 1), 1) for p in out.sums]
    if out.projection is not None:
        assert moved.view_of is not None
        contrast = info_nce(out.projection, moved.view_of, config.objective.contrastive.temperature)
        parts.append(contrast / len(moved.view_of))
    losses = torch.stack(parts)
    scale = 1024.0 if dtype == torch.float16 else 1.0  # as a loss scaler would: small gradients must not become 0
    (losses.sum() * scale).backward()
    gradients = [
        p.grad.flatten() / scale if p.grad is not None else torch.zeros_like(p).flatten() for p in model.parameters()
    ]
    return losses.detach().double().cpu(), torch.cat(gradients).double().cpu()


def block_parity(dtype: torch.dtype, device: torch.device, compiled: bool = False, dropout: float = 0.3) -> Parity:
    """Compare a gated block that drops by given bytes with its definition in float32 on the host: no bytes, but masks."""
    config = packs.a_config(("rotary", "decay"), 2, 32)
    config = config.model_copy(update={"ffn": "swiglu", "d_ffn": 96, "dropout": dropout})
    layout = clear_layout(config, (1, 2, 37, 60))
    n, kernel = layout.n_tokens, "fused" if device.type == "cuda" else "packed"
    torch.manual_seed(0)
    block, x, more = encoder.Block(config), torch.randn(n, config.d_model), torch.randn(n, config.d_model)
    chances, weight = draw_bytes((2, n, config.d_model), torch.device("cpu")), torch.randn(2, n, config.d_model)
    level = round(dropout * LEVELS)
    kept = [(own >= level) * (LEVELS / (LEVELS - level)) for own in chances]

    def definition(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        where = geometry(config, layout, kernel="reference")
        x = x + more * kept[0]
        x = x + block.attention(block.norm_attention(x), where) * kept[1]
        values, gates = block.ffn.inner(block.norm_ffn(x)).chunk(2, -1)
        return x, block.ffn.outer(values * gates * gates.sigmoid())

    def run(work: Callable[..., Any], on: torch.device, dtype: torch.dtype) -> list[Tensor]:
        block.to(on).train().zero_grad()
        leaves = [t.to(on).requires_grad_() for t in (x.clone(), more.clone())]
        with torch.autocast(on.type, dtype=dtype, enabled=dtype != torch.float32):
            out = work(*leaves)
        sum((w * o.float()).sum() for w, o in zip(weight.to(on), out, strict=True)).backward()
        gradients = [t.grad for t in (*leaves, *block.parameters()) if t.grad is not None]
        return [t.detach().double().cpu() for t in (*out, *gradients)]

    exact = run(definition, torch.device("cpu"), torch.float32)
    where = geometry(config, to_device(layout, device), kernel=kernel)
    through = torch.compile(encoder._through) if compiled else encoder._through
    with measured_exactly():
        ours = run(lambda x, more: through(block, x, more, where, chances.to(device)), device, dtype)
    may = may_differ(dtype)
    return Parity(packs.worst(ours[:2], exact[:2]), may, packs.worst(ours[2:], exact[2:]), may_differ(dtype, 16))


def model_parity(
    workspace: Path, name: str, dtype: torch.dtype, device: torch.device, kernel: str = "auto", compiled: bool = False
) -> tuple[Parity, str]:
    """Compare a whole pretraining model with the same one on the host in float32, on the definition's kernel.

    The gradient's error is the length of the difference beside the length of the gradient.

    Returns:
        The comparison, and which kernel ran.
    """
    config = a_config(name)
    model, given = examples(workspace, config)
    plain = config.model_copy(update={"model": config.model.model_copy(update={"kernel": "reference"})})
    definition = build_model(plain, open_dataset(workspace).vocabulary, 0)
    definition.load_state_dict(model.state_dict())
    definition.train()
    exact = loss_and_gradient(definition, given[0])

    asked = config.model.model_copy(update={"kernel": kernel})
    model.encoder.config = asked
    model.to(device).train()
    static = static_step(config) if device.type == "cuda" else None
    longest = config.batching.max_length + 1  # a [CLS] token comes on top
    fills = compiled and static is not None and given[0].view_of is None
    model.prepare(device, dtype, static_step=static, compiled=compiled, max_seqlen=longest, filled=fills)
    if fills:  # as in training, and then all of it is compiled
        assert static is not None
        given = [filled(given[0], sizes_of(given, config.batching.tokens_per_batch, static))]
    with measured_exactly():
        ours = loss_and_gradient(model, given[0], dtype)
    forward = float((ours[0] - exact[0]).abs().max() / exact[0].abs().max())
    backward = float((ours[1] - exact[1]).norm() / exact[1].norm())
    return Parity(forward, may_differ(dtype), backward, may_differ(dtype, 16)), model.encoder.kernel


def forget_graphs() -> None:
    """Make what is compiled next start as in a process of its own."""
    torch._dynamo.reset()
    flex._compiled.cache_clear()


def recompiles(
    workspace: Path, name: str, device: torch.device, dtype: torch.dtype, kernel: str = "", n_batches: int = 4
) -> int:
    """Return how many graphs later batches add to those of the first one of their padded length, forward and backward.

    With `kernel`, that one is traced whatever the device has, without code being generated, and forward only: what
    decides whether a graph fits a batch is then tried where the kernel itself cannot run.
    """
    from torch._dynamo.utils import counters

    config = a_config(name)
    model, given = examples(workspace, config, n_batches, with_blocks=kernel != "varlen")
    model.to(device).train()
    longest = config.batching.max_length + 1
    model.encoder.prepare(device, dtype, static_step(config), compiled=not kernel, max_seqlen=longest)
    if kernel:
        model.encoder.kernel = kernel
        model.encoder._one = torch.compile(encoder._through, backend="eager", dynamic=False)
    forget_graphs()
    counters.clear()
    made = []
    for example in given:
        if kernel:
            with torch.no_grad():
                model.encoder(example.to(device).batch)
        else:
            loss_and_gradient(model, example, dtype)
        made.append(counters["stats"]["unique_graphs"])
    assert made[0] and len({tuple(e.batch.layout.bounds) for e in given if e.batch.layout}) == n_batches
    lengths = {whole_steps(e.batch.layout.n_tokens, static_step(config)) for e in given if e.batch.layout}
    return max(0, made[-1] - len(lengths) * made[0])  # one graph may serve all lengths


def precisions(device: torch.device) -> dict[str, torch.dtype]:
    """Return the number formats that a device has."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return {name: dtype for name, dtype in DTYPES.items() if name != "bf16"}
    return DTYPES


def refusal(error: Exception) -> str:
    """Return the kind of an error and its first line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:300]
