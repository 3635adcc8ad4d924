"""Examples filled up to few sizes: what is added costs nothing, teaches nothing, and sizes hang on no history."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from tawt.batching.batch import in_one_piece, piece_of, shape_of, tensors_of, to_device
from tawt.batching.fill import ADDED, filled, sizes_of
from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.objective import ForecastConfig, ObjectiveConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.dataset.reader import open_dataset
from tawt.objectives.baselines import count_baselines
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import _after, build_model

MODELS = [
    {"pooling": "mean"},
    {"pooling": "max"},
    {"pooling": "cls", "granularity": "timestamp"},
    {"pooling": "per_type", "granularity": "timestamp", "combine": "concat"},
    {"pooling": "per_type", "time": ["time2vec", "delta", "calendar"]},
    {"causal": True, "time": ["time2vec", "delta", "minute"]},
]
ENCODER = ObjectiveConfig(masked={"variables": 0.3, "token_weight": 1.0}, forecast=ForecastConfig(weight=1.0))
DECODER = ObjectiveConfig(
    masked={"weight": 0.0},
    next={
        "weight": 1.0, "later_weight": 0.1, "n_later": 8, "n_hours": 2, "n_days": 2, "quiet_hours": 5, "n_due": 8,
        "due_to_others": True, "numbers_so_far": True, "hours_after": True,
    },
)  # fmt: skip


@pytest.fixture
def examples(tmp_path, write_dataset):
    """`examples(model)`: a model whose heads have left zero, and some examples of it."""
    write_dataset(tmp_path / "w", {"train": [60]}, max_static=2)

    def make(model):
        causal = model.get("causal", False)
        config = PretrainConfig(
            model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, dropout=0.0, **model),
            batching=BatchingConfig(tokens_per_batch=512, max_length=128, order="by_type" if causal else "drawn"),
            objective=DECODER if causal else ENCODER,
            train=TrainConfig(max_steps=1, threads=1),
        )
        dataset = open_dataset(tmp_path / "w")
        loader = PackedLoader(
            dataset.split("train"), dataset.vocabulary, config.batching, 0,
            with_available=True, cutter=make_cutter(config, True),
        )  # fmt: skip
        batches = [loader.batch(number) for number in range(4)]
        baselines = count_baselines(
            loader.split.shards, dataset.vocabulary, config.objective, batches, people=loader.split.people
        )
        made = build_model(config, dataset.vocabulary, 0)
        made.start_at(baselines)
        torch.manual_seed(0)
        for parameter in made.heads.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(0, 0.1)
        prepare = Preparer(config, dataset.vocabulary, baselines, True)
        return made, [prepare(batch, number) for number, batch in enumerate(batches)]

    return make


def learned(model, example):
    """Losses, and the gradient of all weights."""
    model.zero_grad()
    sums = model(example).sums
    torch.stack(list(sums.values())).sum().backward()
    return sums, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shape", MODELS, ids=str)
def test_what_is_added_costs_and_teaches_nothing(examples, shape):
    """Losses and gradients of an example are those of the same one filled up, of whatever tokens and readout."""
    model, made = examples(shape)
    sizes = sizes_of(made[:2], 640, 128)
    for example in made:
        full = filled(example, sizes)
        assert full.n_tokens == example.batch.n_tokens < full.batch.n_tokens
        assert full.batch.layout.n_tokens > example.batch.layout.n_tokens
        assert full.counts == example.counts
        asked, before = (len(one.masked.type_at if one.next is None else one.next.before) for one in (full, example))
        assert asked > before
        (sums, gradients), (like, those) = learned(model, full), learned(model, example)
        for part, total in sums.items():
            torch.testing.assert_close(total, like[part], rtol=1e-5, atol=1e-5)
        assert gradients.keys() == those.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, those[name], rtol=1e-4, atol=1e-5)


def test_most_examples_have_the_same_shapes(examples):
    """Examples of a run differ in all their sizes; filled up they agree."""
    _, made = examples({})
    sizes = sizes_of(made[:2], 512, 512)
    assert len({tuple(x.shape for x in tensors_of(example)) for example in made}) == len(made)
    assert len({tuple(x.shape for x in tensors_of(filled(example, sizes))) for example in made}) == 1


def test_examples_of_one_shape_compile_once(examples):
    """What is compiled of one example fits all of its shape, also where a length differs that no tensor shows."""
    model, made = examples({"pooling": "mean"})
    model.eval()
    sizes = sizes_of(made, 640, 128)
    sizes = replace(sizes, lists={**dict.fromkeys(sizes.lists, 512), "logits": 8})
    full = [filled(example, sizes) for example in made]
    assert len({shape_of(example) for example in full}) > len({tuple(x.shape for x in tensors_of(e)) for e in full})
    torch.compiler.reset()
    compiled, seen = torch.compile(_after, backend="eager"), set()
    for example in full * 2:
        before, known = counters["stats"]["unique_graphs"], shape_of(example) in seen
        compiled(model, model.encoder.opened(example.batch), example)
        assert not known or counters["stats"]["unique_graphs"] == before
        seen.add(shape_of(example))
    torch.compiler.reset()


def test_one_that_is_larger_than_the_first_gets_the_next_size(examples):
    """An example that does not fit takes a multiple of the sizes, and loses nothing."""
    model, made = examples({})
    small = replace(sizes_of(made, 512, 128), documents=3)
    small = replace(small, lists=dict.fromkeys(small.lists, 5))
    full = filled(made[0], small)
    assert len(full.masked.value_at) % 5 == 0 and full.batch.n_documents % 3 == 0
    torch.testing.assert_close(learned(model, full)[0], learned(model, made[0])[0], rtol=1e-5, atol=1e-5)


def test_a_full_example_gets_empty_documents(examples):
    """Where no token is missing, documents are added that hold none, and the others keep their losses and gradients."""
    for pooling in ("mean", "max", "attention", "per_type"):
        model, made = examples({"pooling": pooling})
        n = made[0].batch.n_tokens
        full = filled(made[0], replace(sizes_of(made, 512, 128), triplets=n, documents=100))
        assert full.batch.n_tokens == n and full.batch.n_documents == 100 > made[0].batch.n_documents
        (sums, gradients), (like, those) = learned(model, full), learned(model, made[0])
        torch.testing.assert_close(sums, like, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradients, those, rtol=1e-4, atol=1e-5)


def test_documents_that_are_added_are_short_and_not_empty(examples):
    """With [CLS] tokens each has a token at least, 64 at most, lies behind the real ones, and is nobody's."""
    _, made = examples({"granularity": "timestamp", "pooling": "cls"})
    full = filled(made[0], replace(sizes_of(made, 1024, 1024), documents=1)).batch
    real, layout = made[0].batch.n_documents, full.layout
    lengths = [b - a for a, b in layout.spans]
    assert layout.bounds[-1] == layout.n_tokens == int(layout.cu_seqlens[-1])
    assert min(lengths) > 0 and max(lengths[real:]) <= 64 and len(lengths) > real
    assert set(full.subject_id[real:].tolist()) == {ADDED} and full.is_static[made[0].batch.n_tokens :].all()
    assert layout.cls_at.tolist() == list(layout.bounds[:-1])
    assert torch.equal(layout.document, torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)))


def test_a_piece_of_memory_moves_at_once_and_holds_the_same(examples):
    """Tensors laid end to end are equal to those that were there, and still in one piece where they were moved to."""
    _, made = examples({})
    piece = in_one_piece(made[0])
    assert piece_of(made[0]) is None and piece_of(piece) is not None
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(piece), tensors_of(made[0]), strict=True))
    moved = to_device(piece, "cpu")
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(moved), tensors_of(made[0]), strict=True))
    assert piece_of(to_device(piece, "meta")).device.type == "meta"
    assert [x.dtype for x in tensors_of(to_device(piece, "meta"))] == [x.dtype for x in tensors_of(made[0])]
