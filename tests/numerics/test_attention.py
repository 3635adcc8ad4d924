"""The tile kernel against the plain definition, and the definition against its formula."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from packs import KINDS, TERMS, a_config, a_layout, a_pack, in_double, run, worst

from tawt.config.model import BucketConfig, CosineConfig, DecayConfig, RotaryConfig
from tawt.models.attention import (
    Terms,
    TimeAwareAttention,
    decay_slopes,
    dropping,
    geometry,
    packed_attention,
    reference_attention,
    rotate,
)
from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.terms import cosine_amplitudes, cosine_frequencies, gap_rule

SHAPES = {"log": DecayConfig(tau_hours=0.3), "linear": DecayConfig(shape="linear", tau_hours=50.0)}


def named(kind) -> str:
    """A name for a combination of terms."""
    return "+".join(kind) or "none"


def reference(config, dropout=0.0, seed=0):
    """The plain definition, as a kernel."""
    return partial(reference_attention, frequencies=cosine_frequencies(config), dropout=dropout, seed=seed)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_kernel_equals_reference_in_float64(kind, shape, dropout, monkeypatch):
    """With tiles of a few rows, output and all gradients are the reference's up to rounding: the formulas are the same."""
    monkeypatch.setattr(dropping, "TILE_FLOATS", 1 << 12)
    config, _, tensors, terms, where = a_pack(kind, dtype=torch.float64, decay=SHAPES[shape])
    assert len(dropping.tiles(300, 4)) > 2, "the case is not met"
    terms = in_double(terms)
    ours = run(packed_attention, tensors, terms, where, dropout, 7)
    # the channels of the cosine are made of angles in float32
    assert worst(ours, run(reference(config, dropout, 7), tensors, terms, where)) < (
        1e-5 if "cosine" in kind else 1e-12
    )


@pytest.mark.parametrize("kind", KINDS, ids=named)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-5), (torch.bfloat16, 6e-3), (torch.float16, 8e-4)])
def test_kernel_equals_reference_in_every_dtype(kind, dtype, close):
    """Against the reference in float64, only the rounding of the given dtype is left, and none of it in the terms' own."""
    config, _, tensors, terms, where = a_pack(kind, dtype=dtype, lengths=(1, 2, 37, 900))
    ours = run(packed_attention, tensors, terms, where)
    exact = run(reference(config), [x.double() for x in tensors], terms, where)
    assert ours[0].dtype == dtype
    assert worst([x.double() for x in ours[:4]], exact[:4]) < close
    assert worst([x.double() for x in ours[4:]], [x.double() for x in exact[4:]]) < 5e-5


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("kind", [(), ("rotary", "decay"), ("decay", "bucket", "cosine")], ids=named)
def test_causal_kernel_equals_causal_reference(kind, dropout, monkeypatch):
    """Tile by tile, output and gradients of what sees only what lies before it are the reference's."""
    monkeypatch.setattr(dropping, "TILE_FLOATS", 1 << 12)
    config, _, tensors, terms, where = a_pack(kind, dtype=torch.float64, causal=True)
    terms = in_double(terms)
    ours = run(packed_attention, tensors, terms, where, dropout, 7)
    close = 1e-5 if "cosine" in kind else 1e-12
    assert worst(ours, run(reference(config, dropout, 7), tensors, terms, where)) < close


@pytest.mark.parametrize("kernel", ["reference", "packed"])
def test_what_comes_later_changes_no_bit_of_what_was(kernel):
    """Of a causal pack, other keys and values from a token on leave every output before it as it was, and change its own."""
    config, _, (q, k, v, _), terms, where = a_pack(("rotary", "decay"), (40, 90), kernel=kernel, causal=True)
    attend = {"reference": reference(config), "packed": packed_attention}[kernel]
    before = attend(q, k, v, terms, where)
    k, v = k.clone(), v.clone()
    k[:, 100:], v[:, 100:] = 1e3, -1e3
    after = attend(q, k, v, terms, where)
    assert torch.equal(before[:, :100], after[:, :100])
    assert not torch.isclose(before[:, 100:], after[:, 100:]).any()


def test_the_definition_is_the_formula_of_the_docstring():
    """Each weight of the reference, all terms on, is the softmax of the scores written out pair by pair in Python floats."""
    config, layout, (q, k, v, _), terms, where = a_pack(TERMS, lengths=(7,), dtype=torch.float64, n_heads=2)
    is_static = torch.tensor([True, True, False, False, False, False, False])
    layout = a_layout((7,), static_share=0.0)
    layout = type(layout)(**{**vars(layout), "is_static": is_static, "hours": layout.hours.where(~is_static, 0.0)})
    where = geometry(config, layout, kernel="reference")
    q, k = rotate(q, where), rotate(k, where)
    out = reference(config)(q, k, v, in_double(terms), where)
    rule, hours = gap_rule(config), layout.hours.tolist()
    for h in range(2):
        for i in range(7):
            scores = []
            for j in range(7):
                gap = 0.0 if is_static[i] or is_static[j] else abs(hours[i] - hours[j])
                score = float(q[h, i] @ k[h, j]) / 4
                score -= float(terms.slopes[h]) * math.log1p(gap)
                score += float(terms.buckets[h, int(rule.bucket(torch.tensor(gap)))])
                for m, w in enumerate(cosine_frequencies(config).tolist()):
                    score += float(terms.amplitudes[h, m]) * math.cos(w * gap)
                score -= float(terms.recency[h]) * math.log1p(float(layout.age_hours[j]))
                scores.append(score)
            weights = torch.tensor(scores, dtype=torch.float64).softmax(0)
            assert torch.allclose(out[h, i], weights @ v[h], atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_finite_differences(dropout):
    """The backward written by hand agrees with numerical differentiation in float64, all terms on, dropout or not."""
    _, _, (q, k, v, _), terms, where = a_pack(TERMS, lengths=(1, 4, 6), dtype=torch.float64, n_heads=2, d_head=4,
                                              bucket=BucketConfig(n_buckets=4), cosine=CosineConfig(n_frequencies=2))  # fmt: skip
    own = list(vars(in_double(terms)).values())
    leaves = [x.clone().requires_grad_() for x in (q, k, v, *own)]
    assert torch.autograd.gradcheck(
        lambda q, k, v, *own: packed_attention(q, k, v, Terms(*own), where, dropout, 3), leaves
    )


def test_long_batches_keep_no_gaps_and_give_the_same_bits(monkeypatch):
    """Where the gaps of a batch are too many to keep, every tile makes its own, and no bit of output or gradient differs."""
    config, layout, tensors, terms, where = a_pack(("decay", "bucket"))
    kept = run(packed_attention, tensors, terms, where)
    monkeypatch.setattr("tawt.models.attention.batch_geometry.CACHED_GAPS", 0)
    short = geometry(config, layout, kernel="packed")
    assert where.fades is not None and short.fades is None and short.buckets is None
    assert all(torch.equal(a, b) for a, b in zip(kept, run(packed_attention, tensors, terms, short), strict=True))


@pytest.mark.parametrize("lengths", [(300, 200), (600,), (40,) * 30], ids=["two", "one", "many"])
def test_the_same_bits_at_any_number_of_threads(lengths):
    """Output and gradients, those of learned slopes and bucket biases too, do not depend on the number of threads."""
    _, _, tensors, terms, where = a_pack(TERMS, lengths=lengths)
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(run(packed_attention, tensors, terms, where, 0.1, 5))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert all(torch.equal(a, b) for a, b in zip(made[0], other, strict=True))


def test_bf16_inputs_are_accumulated_in_float32():
    """With bf16 inputs the kernel rounds once, at the end, also inside autocast."""
    config, _, (q, k, v, _), terms, where = a_pack(TERMS, dtype=torch.bfloat16)
    exact = reference(config)(q.float(), k.float(), v.float(), terms, where)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = packed_attention(q, k, v, terms, where)
    assert out.dtype == torch.bfloat16
    # half a unit in the last of 8 binary digits, of the number itself
    assert ((out.float() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()


def test_a_backward_pass_within_autocast_is_in_float32():
    """Whoever calls `backward()` inside autocast too gets the gradients that are computed outside it."""
    _, _, tensors, terms, where = a_pack(TERMS)
    outside = run(packed_attention, tensors, terms, where)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run(packed_attention, tensors, terms, where)
    assert all(torch.equal(a, b) for a, b in zip(outside, inside, strict=True))


def test_a_second_derivative_is_refused():
    """The backward by hand has no gradient of its own, and says so instead of giving a wrong one."""
    _, _, (q, k, v, grad), terms, where = a_pack()
    out = packed_attention(q.requires_grad_(), k, v, terms, where)
    (first,) = torch.autograd.grad(out, q, grad.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_far_scores_do_not_break_the_kernel():
    """Scores hundreds below their row's best, where exp underflows, still give the reference's numbers."""
    config, _, (q, k, v, grad), terms, where = a_pack(("decay",), lengths=(300,))
    tensors, steep = (q * 30, k, v, grad), Terms(slopes=terms.slopes * 20)
    ours, theirs = run(packed_attention, tensors, steep, where), run(reference(config), tensors, steep, where)
    spread = (q[0] * 30 @ k[0].mT / 4 - steep.slopes[0] * where.fades[0]).std()
    assert spread > 50, "the case is not met"
    assert all(torch.isfinite(x).all() for x in ours)
    assert worst(ours, theirs) < 1e-4


def test_dropped_weights_are_as_many_as_asked_and_the_mean_stays():
    """A share of the weights is dropped and the rest raised, so that the mean over many seeds is the output without dropout."""
    _, _, (q, k, v, _), terms, where = a_pack(("decay",), lengths=(40,))
    whole = packed_attention(q, k, v, terms, where)
    some = torch.stack([packed_attention(q, k, v, terms, where, 0.25, seed) for seed in range(400)])
    assert some.std(0).mean() > 0.05, "nothing was dropped"
    error = (some.mean(0) - whole) / (some.std(0) / 20 + 1e-6)
    assert error.abs().mean() < 1.2 and error.mean().abs() < 0.2
    stays = dropping.kept_of_document(3, 0, 4, 200, 0.25, torch.device("cpu"))
    assert float(stays.float().mean()) == pytest.approx(0.75, abs=0.005)
    nearly_all = dropping.kept_of_document(3, 0, 4, 200, 0.999999, torch.device("cpu"))
    assert float(nearly_all.float().mean()) < 0.001
    one, other = (dropping.kept_of_document(3, i, 4, 20, 0.25, torch.device("cpu")) for i in (0, 1))
    assert not torch.equal(one, other), "documents drop the same weights"


def test_dropout_is_the_seeds_and_only_while_training():
    """A layer drops attention weights while it trains, the same ones under the same seed of torch, and none at inference."""
    config = a_config(attention_dropout=0.2)
    layer, where = TimeAwareAttention(config), geometry(config, a_layout(), kernel="packed")
    x = torch.randn(500, config.d_model)

    def out(seed):
        torch.manual_seed(seed)
        return layer(x, where)

    assert torch.equal(out(0), out(0)) and not torch.equal(out(0), out(1))
    layer.eval()
    assert torch.equal(out(0), out(1))


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_the_layer_gives_the_same_with_reference_and_kernel(kind):
    """The whole layer, its own parameters' gradients included, is the same with both kernels."""
    config, layout = a_config(kind, decay=DecayConfig(learned=True)), a_layout()
    layer, made = TimeAwareAttention(config), []
    x, grad = torch.randn(2, 500, config.d_model)
    for kernel in ("packed", "reference"):
        y = layer(x, geometry(config, layout, kernel=kernel))
        made.append([y, *torch.autograd.grad(y, list(layer.parameters()), grad)])
    assert len(made[0]) == 3 + sum(term != "rotary" for term in kind)
    assert worst(*made) < 5e-5


def test_a_document_alone_attends_to_itself_only():
    """A document of one token gets back its own value."""
    _, _, (q, k, v, _), terms, where = a_pack(TERMS, lengths=(1, 4))
    assert torch.equal(packed_attention(q, k, v, terms, where)[:, 0], v[:, 0])


def test_a_static_length_changes_nothing():
    """Padding to a static length leaves the output of the batch's own tokens equal to the last bit, and finite beyond."""
    config, layout, (q, k, v, _), terms, where = a_pack(TERMS)
    padded = geometry(config, layout, kernel="packed", static_length=640)
    assert (
        isinstance(padded, Geometry)
        and padded.hours.shape == (640,)
        and padded.spans[: len(where.spans)] == where.spans
    )
    more = [torch.nn.functional.pad(x, (0, 0, 0, 140)) for x in (q, k, v)]
    out = packed_attention(*more, terms, padded)
    assert torch.equal(out[:, :500], packed_attention(q, k, v, terms, where)) and out.isfinite().all()


def test_a_minute_is_a_minute_after_a_century():
    """Gaps are right to 1e-4 for events a minute apart a century after the origin, where float32 hours would say 0 or 4."""
    layout = a_layout((3,), static_share=0.0)
    hours = torch.tensor([876_600.0, 876_600.0 + 1 / 60, 876_600.0 + 1 / 30], dtype=torch.float64)
    where = geometry(a_config(), type(layout)(**{**vars(layout), "hours": hours}), kernel="packed")
    assert hours.float().unique().numel() < 3, "the case is not met"
    assert where.fades[0][0].tolist() == pytest.approx([math.log1p(i / 60) for i in range(3)], rel=1e-4)


def test_rotary_scores_depend_on_differences_of_time_only():
    """Shifting all times by 60 years and 17 minutes leaves the scores of turned queries and keys as they were."""
    config = a_config(n_heads=1, d_head=64, rotary=RotaryConfig(fraction=1.0))
    layout = a_layout((50,), static_share=0.0)
    q, k = torch.randn(2, 1, 50, 64)

    def scores(shift: float) -> torch.Tensor:
        hours = torch.linspace(0, 3000, 50, dtype=torch.float64) + shift
        where = geometry(config, type(layout)(**{**vars(layout), "hours": hours}), kernel="packed")
        return rotate(q, where) @ rotate(k, where).mT

    assert torch.allclose(scores(0.0), scores(60 * 8766 + 17 / 60), atol=2e-5)
    assert not torch.allclose(scores(0.0), q @ k.mT, atol=1.0), "nothing was turned"


def test_buckets_stand_on_a_geometric_grid():
    """A gap below the shortest is in the first bucket, one above the longest in the last, an edge opens its bucket."""
    rule = gap_rule(a_config(bucket=BucketConfig(n_buckets=5, shortest_hours=0.1, longest_hours=100.0)))
    gaps = torch.tensor([0.0, 0.099, 0.1, 0.99, 1.0, 9.9, 10.0, 99.0, 100.0, 1e6])
    assert rule.bucket(gaps).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_slopes_halve_and_cosines_start_as_a_decay():
    """Slopes end with the free heads at zero; the cosines fall with the gap from the start, in heads that fade."""
    config = a_config(n_heads=4, decay=DecayConfig(steepest=2.0, n_free_heads=1))
    assert decay_slopes(config).tolist() == [2.0, 1.0, 0.5, 0.0]
    amplitudes = cosine_amplitudes(config)
    assert (amplitudes >= 0).all() and not amplitudes[3].any()
    gaps = torch.tensor([0.0, 1.0, 24.0, 720.0], dtype=torch.float64)
    sums = torch.outer(gaps, cosine_frequencies(config)).cos() @ amplitudes[0].double()
    assert (sums.diff() < 0).all()
