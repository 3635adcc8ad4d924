"""FlexAttention as far as a CPU runs it, its block mask, and which kernel is chosen."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from packs import KINDS, TERMS, a_config, a_layout, a_pack, worst

from tawt.batching.batch import to_device
from tawt.config.model import DecayConfig
from tawt.errors import ConfigError, DeviceError
from tawt.models.attention import (
    Terms,
    block_mask,
    choose_kernel,
    flex_packed,
    geometry,
    reference_attention,
    varlen_packed,
)
from tawt.models.attention.graphs import allow_graphs
from tawt.models.attention.terms import cosine_frequencies

N = 640
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _nothing_compiled():
    """Each test starts as a process of its own does: other shapes have taught torch's compiler nothing."""
    torch.compiler.reset()


@pytest.mark.parametrize("shape", ["log", "linear"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "none")
def test_flex_equals_reference(kind, causal, shape):
    """Output, and gradients of learned slopes and bucket biases, are the reference's; times are exact over decades."""
    decay = DecayConfig(shape=shape, tau_hours=1.0 if shape == "log" else 20.0)
    if causal and "recency" in kind:
        kind = tuple(term for term in kind if term != "recency")  # it would tell where the end is
    config, layout, tensors, terms, _ = a_pack(kind, decay=decay, causal=causal)
    q, k, v, grad = (torch.nn.functional.pad(x, (0, 0, 0, N - 500)) for x in tensors)
    own = {
        n: getattr(terms, n).clone().requires_grad_() for n in ("slopes", "buckets") if getattr(terms, n) is not None
    }
    terms, made = replace(terms, **own), []
    for kernel in ("flex", "reference"):
        where = geometry(config, layout, kernel=kernel, static_length=N)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*flex_attention called without torch.compile.*")
            out = (
                flex_packed(q, k, v, terms, where)
                if kernel == "flex"
                else reference_attention(q, k, v, terms, where, cosine_frequencies(config))
            )
        made.append([out.detach(), *(torch.autograd.grad(out, list(own.values()), grad) if own else ())])
    assert len(made[0]) == 1 + len(own) and worst(*made) < 2e-5


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [(1, 2, 37, 300, 160), (128, 128, 384), (640,), (1,) * 200, (100, 29, 511)])
def test_the_block_mask_is_torchs_own(lengths, causal):
    """The mask made of document bounds equals, tensor by tensor, the one that torch makes by asking every pair."""
    from torch.nn.attention.flex_attention import create_block_mask

    ours = block_mask(a_layout(lengths).bounds, N, causal)
    theirs = create_block_mask(ours.mask_mod, None, None, N, N, device="cpu")
    mine, others = ours.as_tuple(), theirs.as_tuple()
    assert sum(isinstance(x, torch.Tensor) for x in mine) == 8
    for a, b in zip(mine, others, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else callable(a) or a == b


def test_a_geometry_for_compiled_kernels_differs_in_tensors_only():
    """Batches of other documents give geometries whose plain values and shapes are the same, but for the bounds of
    documents, whose number is marked as one that varies: so nothing is compiled again."""
    config = a_config(TERMS)

    def plain(kernel, lengths):
        where = geometry(config, a_layout(lengths), kernel=kernel, static_length=1024, max_seqlen=512)
        return {
            name: (tuple(x.shape), x.dtype) if isinstance(x, torch.Tensor) else x
            for name, x in vars(where).items()
            if name not in ("blocks", "cu_seqlens")
        }

    for kernel in ("flex", "varlen"):
        assert plain(kernel, (5, 300, 17)) == plain(kernel, (512, 40, 1, 80, 200))
    where = geometry(config, a_layout((5, 300, 17)), kernel="varlen", static_length=1024, max_seqlen=512)
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph

    total = torch.compile(lambda starts: starts.diff().max() * 2, backend=backend, dynamic=False)
    for lengths in ((5, 300, 17), (512, 40, 1, 80, 200), (1,) * 100):
        where = geometry(config, a_layout(lengths), kernel="varlen", static_length=1024, max_seqlen=512)
        assert total(where.cu_seqlens) == 2 * max(*lengths, 128)
    assert len(seen) == 1


def test_more_graphs_are_kept_than_torch_would():
    """A function that is compiled for a dozen shapes stays compiled for all of them, not for the first eight."""
    from torch._dynamo.utils import counters

    allow_graphs()
    counters.clear()

    def double(x):
        return x * 2

    compiled = torch.compile(double, backend="eager", dynamic=False)
    for n in range(2, 14):
        compiled(torch.ones(n))
    assert counters["stats"]["unique_graphs"] == 12


def test_a_block_mask_moves_with_its_batch():
    """All tensors of a layout's block mask go to the device that the layout goes to; the one left behind stays."""
    layout = a_layout((5, 300))
    mask = block_mask(layout.bounds, 384)
    moved = to_device(replace(layout, blocks=mask), "meta", non_blocking=True).blocks
    assert moved.kv_indices.device.type == moved.full_q_num_blocks.device.type == "meta"
    assert mask.kv_indices.device.type == "cpu" and moved.BLOCK_SIZE == mask.BLOCK_SIZE


def test_padding_for_varlen_is_cut_into_documents_that_fit():
    """No document of a padded batch is longer than the longest allowed, and those of the padding are blocks."""
    where = geometry(a_config(()), a_layout((5, 30)), kernel="varlen", static_length=1024, max_seqlen=300)
    bounds = where.cu_seqlens.tolist()
    assert bounds[:3] == [0, 5, 35] and bounds[-1] == 1024 and where.max_seqlen == 300
    assert bounds[3:] == [128, 256, 384, 512, 640, 768, 896, 1024]
    assert max(b - a for a, b in pairwise(bounds)) <= 300


@pytest.mark.parametrize("n", [100, 127, 128, 129, 300, 640])
def test_padding_attends_to_a_block_at_most(n):
    """What is padded costs blocks in the number of its tokens, not of their square; the device's documents are the mask's."""
    layout = a_layout((n,))
    mask = block_mask(layout.bounds, 1024)
    dense = mask.to_dense()[0, 0].sum(-1)
    assert dense[-(-n // 128) :].max() <= 1 and mask.seq_lengths == (1024, 1024)
    where = geometry(a_config(("decay",)), layout, kernel="flex", static_length=1024)
    i, j = torch.meshgrid(torch.arange(1024), torch.arange(1024), indexing="ij")
    assert torch.equal(where.blocks.mask_mod(0, 0, i, j), mask.mask_mod(0, 0, i, j))


@pytest.mark.parametrize("kind", [("rotary",), ("cosine",), ("recency",), ("rotary", "cosine", "recency")])
def test_varlen_hands_the_flash_kernel_equal_scores(kind, monkeypatch):
    """With a plain stand-in for the flash kernel, channels and padding of widths give the reference's output."""
    module = pytest.importorskip("torch.nn.attention.varlen")

    def stand_in(q, k, v, starts_q, starts_k, longest_q, longest_k):
        assert q.shape == k.shape == v.shape and q.shape[-1] % 8 == 0 and longest_q == longest_k == 300
        out = torch.zeros_like(v)
        assert torch.equal(starts_q, starts_k)
        for a, b in pairwise(starts_q.tolist()):
            scores = torch.einsum("ihd,jhd->hij", q[a:b], k[a:b]) / q.shape[-1] ** 0.5
            out[a:b] = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v[a:b])
        return out

    monkeypatch.setattr(module, "varlen_attn", stand_in)
    config, layout, (q, k, v, _), terms, _ = a_pack(kind)
    out = varlen_packed(q, k, v, terms, geometry(config, layout, kernel="varlen"))
    plain = geometry(config, layout, kernel="reference")
    assert worst([out], [reference_attention(q, k, v, terms, plain, cosine_frequencies(config))]) < 2e-5


@pytest.mark.parametrize("d_head", [16, 24, 64])
def test_ages_in_bf16_keep_their_digits(d_head, monkeypatch):
    """Two channels carry an age of decades in bf16 to better than 1e-3, up to the kernel and at widths that it pads, where
    one would be wrong by several hundredths."""
    module = pytest.importorskip("torch.nn.attention.varlen")

    given = []
    monkeypatch.setattr(module, "varlen_attn", lambda q, k, v, *_: given.extend((q[:, 0], k[:, 0])) or v)
    config, layout, _, _, _ = a_pack(("recency",), d_head=d_head)
    zero = torch.zeros(4, 500, d_head, dtype=torch.bfloat16)
    where = geometry(config, layout, kernel="varlen")
    varlen_packed(zero, zero, zero, Terms(recency=torch.full((4,), 0.7)), where)
    q, k = (x.double() for x in given)
    assert q.shape[1] == d_head + 8  # two channels, padded
    exact = -0.7 * torch.log1p(layout.age_hours.double())
    assert (exact - exact.bfloat16().double()).abs().max() > 0.01, "the case is not met"
    assert ((q @ k.mT)[0] / q.shape[1] ** 0.5 - exact).abs().max() < 1e-3


def test_the_places_of_our_own_kernel():
    """Each token has its document's bounds, padding is documents of one token, the longest come first, and the difference
    of two times is that of float64 over decades; a static has none."""
    lengths = (5, 300, 17)
    layout, n = a_layout(lengths), 384
    where = geometry(a_config(("decay",), decay={"tau_hours": 3.0}), layout, kernel="fused", static_length=n)
    spans = [span for span in layout.spans for _ in range(span[1] - span[0])] + [(i, i + 1) for i in range(322, n)]
    assert list(zip(where.first.tolist(), where.past.tolist(), strict=True)) == spans
    assert where.order.tolist() == [4, 0, 1, 2, 3, 5], "317 tokens from the second document on, 305, thrice 300, 64"
    pairs = where.times[:322].view(torch.float32).view(-1, 2)
    assert torch.equal(pairs.isnan().any(1), layout.is_static)
    timed = pairs[~layout.is_static]
    apart = timed[:, None] - timed
    exact = (layout.hours[~layout.is_static][:, None] - layout.hours[~layout.is_static]) / 3
    assert (apart[..., 0] - exact).abs().max() > 1e-3, "the case is not met: one float32 is enough"
    assert ((apart.sum(-1) - exact).abs() <= 2e-7 * exact.abs() + 2e-9).all()


@pytest.fixture
def triton_is(monkeypatch):
    """Say whether Triton is installed, and finds a compiler."""
    right = importlib.util.find_spec

    def say(installed: bool, compiler: str | None = "cc") -> None:
        monkeypatch.setattr("tawt.models.attention.choose.shutil.which", lambda name: compiler)
        monkeypatch.setattr("tawt.models.attention.choose.Path.is_file", lambda path: True)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: installed or None if name == "triton" else right(name)
        )

    return say


def test_auto_takes_our_own_kernel_where_it_can(triton_is):
    """On CUDA with Triton, rotary, decay and recency run on the kernel of our own in any format; other terms do not."""
    pytest.importorskip("torch.nn.attention.varlen")
    triton_is(True)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for kind in ((), ("rotary",), ("rotary", "decay"), ("rotary", "decay", "recency")):
            assert choose_kernel(a_config(kind), CUDA, dtype)[0] == "fused"
    name, reason = choose_kernel(a_config(("decay", "bucket")), CUDA, torch.bfloat16)
    assert name == "flex" and "fused cannot: bucket" in reason and "varlen cannot" in reason
    assert choose_kernel(a_config(("cosine",)), CUDA, torch.bfloat16)[0] == "varlen"
    assert choose_kernel(a_config(("decay",), d_head=192), CUDA, torch.bfloat16)[0] == "flex"
    assert choose_kernel(a_config(("decay",)), CPU, torch.bfloat16)[0] == "packed"
    triton_is(False)
    name, reason = choose_kernel(a_config(("decay",)), CUDA, torch.bfloat16)
    assert name == "flex" and "Triton is not installed" in reason
    triton_is(True, compiler=None)
    name, reason = choose_kernel(a_config(("decay",)), CUDA, torch.bfloat16)
    assert name == "flex" and "no C compiler" in reason


def test_auto_takes_the_fastest_kernel_that_can(triton_is):
    """Without our own: on CPU tiles; on CUDA flash where every term fits it, FlexAttention for a bias, tiles for the rest."""
    pytest.importorskip("torch.nn.attention.varlen")
    triton_is(False)
    half, rotary = torch.bfloat16, a_config(("rotary", "cosine", "recency"))
    assert choose_kernel(a_config(), CPU, torch.float32)[0] == "packed"
    assert choose_kernel(rotary, CUDA, half)[0] == "varlen"
    assert choose_kernel(rotary, CUDA, torch.float32)[0] == "flex"
    wide = a_config(("decay", "cosine"), d_head=128)
    assert choose_kernel(wide, CUDA, half)[0] == "flex" and choose_kernel(wide, CUDA, torch.float32)[0] == "packed"
    assert choose_kernel(a_config(("rotary", "decay")), CUDA, half)[0] == "flex"
    assert choose_kernel(a_config(d_head=8), CUDA, half)[0] == "packed"
    dropping = a_config(("rotary",), attention_dropout=0.1)
    assert choose_kernel(dropping, CUDA, half)[0] == "packed"
    assert choose_kernel(dropping, CUDA, half, training=False)[0] == "varlen"
    assert "decay" in choose_kernel(a_config(("decay",)), CUDA, half)[1]


@pytest.mark.parametrize(
    ("changes", "device", "dtype", "error", "what"),
    [
        ({"kernel": "flex"}, CPU, torch.float32, DeviceError, "CUDA"),
        ({"kernel": "flex", "attention_dropout": 0.1}, CUDA, torch.bfloat16, ConfigError, "attention_dropout"),
        ({"kernel": "flex", "d_head": 8}, CUDA, torch.bfloat16, ConfigError, "8 wide"),
        ({"kernel": "fused"}, CPU, torch.float32, DeviceError, "CUDA"),
        ({"kernel": "fused", "kind": ("bucket",)}, CUDA, torch.bfloat16, ConfigError, "bucket"),
        ({"kernel": "fused", "attention_dropout": 0.1}, CUDA, torch.bfloat16, ConfigError, "attention_dropout"),
        ({"kernel": "fused", "d_head": 192}, CUDA, torch.bfloat16, ConfigError, "192 wide"),
        ({"kernel": "varlen"}, CUDA, torch.bfloat16, ConfigError, "decay"),
        ({"kernel": "varlen", "kind": ("rotary",)}, CUDA, torch.float32, ConfigError, "float32"),
        ({"kernel": "varlen", "kind": (), "d_head": 512}, CUDA, torch.float16, ConfigError, "512 wide"),
    ],
)
def test_a_kernel_that_cannot_is_refused_with_the_reason(changes, device, dtype, error, what):
    """A kernel that was asked for and cannot run stops with what keeps it and what to set."""
    with pytest.raises(error, match=what) as caught:
        choose_kernel(a_config(**changes), device, dtype)
    assert "auto" in caught.value.hint


def test_a_model_trained_on_cuda_is_read_on_cpu():
    """At inference on CPU, a config that asks for a CUDA kernel runs on the tile kernel, and says so."""
    name, reason = choose_kernel(a_config(kernel="flex"), CPU, torch.float32, training=False)
    assert name == "packed" and "flex" in reason
