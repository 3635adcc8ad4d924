"""Every kernel and whole models against their definitions; what a CPU can run of it is run there too."""

from __future__ import annotations

from dataclasses import replace

import parity
import pytest
import torch

from tawt.models import encoder

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _each():
    return pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])


def _format(precision: str, device: torch.device) -> torch.dtype:
    formats = parity.precisions(device)
    if precision not in formats:
        pytest.skip(f"{torch.cuda.get_device_name(device)} has no {precision}")
    return formats[precision]


@pytest.mark.gpu
@_each()
@pytest.mark.parametrize("d_head", [16, 32, 64])
@pytest.mark.parametrize("kind", parity.TERMS)
@pytest.mark.parametrize("kernel", parity.KERNELS)
def test_a_kernel_equals_its_definition_on_cuda(kernel, kind, d_head, precision):
    """Output and all gradients of random packs are those of the definition in float64, to some eps of the format."""
    dtype = _format(precision, CUDA)
    if not parity.runs_on(kernel, parity.TERMS[kind], dtype, CUDA):
        pytest.skip(f"{kernel} does not take {kind} in {precision}")
    got = parity.kernel_parity(kernel, parity.TERMS[kind], dtype, CUDA, d_head=d_head)
    assert got.holds, str(got)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@_each()
@pytest.mark.parametrize("kind", ["rotary + channels", "all"])
@pytest.mark.parametrize("kernel", ["packed", "flex"])
def test_a_kernel_equals_its_definition_on_cpu(kernel, kind, precision):
    """The same comparison on CPU: the tile kernel with gradients, FlexAttention's plain form forward."""
    torch.compiler.reset()
    got = parity.kernel_parity(kernel, parity.TERMS[kind], parity.DTYPES[precision], CPU, lengths=(1, 2, 37, 90))
    assert got.holds, str(got)
    assert (got.backward is None) == (kernel == "flex")


def test_the_comparison_sees_a_wrong_term(monkeypatch):
    """A kernel with one slope a little off is outside of the tolerance of every number format."""
    right = parity.KERNELS["packed"]

    def wrong(q, k, v, terms, where):
        return right(q, k, v, parity.Terms(**{**vars(terms), "slopes": terms.slopes * 1.5}), where)

    monkeypatch.setitem(parity.KERNELS, "packed", wrong)
    for dtype in parity.DTYPES.values():
        assert not parity.kernel_parity("packed", ("decay",), dtype, CPU, lengths=(37, 90)).holds


@pytest.mark.parametrize("device", [pytest.param(CUDA, marks=pytest.mark.gpu), CPU], ids=str)
def test_the_block_mask_is_that_of_all_pairs(device):
    """Which blocks share a document, found from the bounds, is what torch finds from all pairs of tokens."""
    assert parity.same_blocks(device)


@pytest.mark.gpu
@_each()
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", parity.MODELS)
def test_a_whole_model_equals_its_definition_on_cuda(tmp_path, write_dataset, name, compiled, precision):
    """Losses and gradient of a pretraining model are those of the same one on the host, to some eps of the format."""
    write_dataset(tmp_path, {"train": [40], "tuning": [10]}, max_static=2)
    got, kernel = parity.model_parity(tmp_path, name, _format(precision, CUDA), CUDA, compiled=compiled)
    assert got.holds, f"{kernel}: {got}"


@pytest.mark.gpu
@_each()
@pytest.mark.parametrize("kernel", ["packed", "flex", "varlen"])
def test_one_model_is_the_same_through_every_kernel(tmp_path, write_dataset, kernel, precision):
    """A model whose terms fit all kernels gives the same losses and gradient through each."""
    dtype, name = _format(precision, CUDA), "flash terms, swiglu"
    if not parity.runs_on(kernel, ("rotary", "cosine", "recency"), dtype, CUDA):
        pytest.skip(f"{kernel} has no {precision}")
    write_dataset(tmp_path, {"train": [40], "tuning": [10]}, max_static=2)
    got, ran = parity.model_parity(tmp_path, name, dtype, CUDA, kernel)
    assert ran == kernel and got.holds, str(got)


@pytest.mark.gpu
@_each()
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_block_that_drops_equals_its_definition_on_cuda(compiled, precision):
    """States and all gradients of a block, with the same random bytes, are those of it in float32 on the host."""
    got = parity.block_parity(_format(precision, CUDA), CUDA, compiled=compiled)
    assert got.holds, str(got)


@_each()
def test_a_block_that_drops_equals_its_definition_on_cpu(precision):
    """The same comparison on CPU, through the tile kernel under autocast."""
    got = parity.block_parity(parity.DTYPES[precision], CPU)
    assert got.holds, str(got)


@_each()
def test_a_whole_model_equals_its_definition_on_cpu(tmp_path, write_dataset, precision):
    """The same comparison on CPU, through the tile kernel under autocast."""
    write_dataset(tmp_path, {"train": [20], "tuning": [5]}, max_static=2)
    got, kernel = parity.model_parity(tmp_path, "learned decay + bucket", parity.DTYPES[precision], CPU)
    assert kernel == "packed" and got.holds, str(got)


@pytest.mark.gpu
@pytest.mark.parametrize("name", parity.MODELS)
def test_later_batches_compile_nothing_on_cuda(tmp_path, write_dataset, name):
    """Batches of other documents run through the graphs that the first one made, forward and backward."""
    write_dataset(tmp_path, {"train": [60], "tuning": [10]}, max_static=2)
    dtype = list(parity.precisions(CUDA).values())[-1]
    assert parity.recompiles(tmp_path, name, CUDA, dtype) == 0


@pytest.mark.parametrize(("name", "kernel"), [("rotary + decay", "flex"), ("flash terms, swiglu", "varlen")])
def test_later_batches_trace_nothing_on_cpu(tmp_path, write_dataset, monkeypatch, name, kernel):
    """Traced forward on CPU, the CUDA kernels' graphs fit later batches as well; varlen_attn is stood in for."""
    write_dataset(tmp_path, {"train": [60], "tuning": [10]}, max_static=2)
    if kernel == "varlen":
        varlen = pytest.importorskip("torch.nn.attention.varlen")
        monkeypatch.setattr(varlen, "varlen_attn", lambda q, k, v, starts, *where: v * starts.diff().max())
    assert parity.recompiles(tmp_path, name, CPU, torch.float32, kernel) == 0


def test_the_count_of_graphs_sees_what_changes(tmp_path, write_dataset, monkeypatch):
    """A number of the host that differs from batch to batch makes a graph each."""
    write_dataset(tmp_path, {"train": [60], "tuning": [10]}, max_static=2)
    varlen, right = pytest.importorskip("torch.nn.attention.varlen"), encoder.geometry

    def changing(config, layout, **more):
        return replace(right(config, layout, **more), max_seqlen=layout.max_seqlen)

    monkeypatch.setattr(varlen, "varlen_attn", lambda q, k, v, starts, ends, longest, most: v * longest)
    monkeypatch.setattr(encoder, "geometry", changing)
    assert parity.recompiles(tmp_path, "flash terms, swiglu", CPU, torch.float32, "varlen") > 0
