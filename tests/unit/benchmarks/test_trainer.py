"""The trainer's benchmark compares ways to compute one thing."""

from __future__ import annotations

from pathlib import Path

import torch


def test_padded_rows_are_trained_as_packed_documents_are(trainer: None, tmp_path: Path) -> None:
    """The step on padded rows, with its own attention, has the gradients of the step on the packed batch."""
    import trainer as bench

    from tawt.config.model import DecayConfig, ModelConfig

    loader, vocabulary = bench.batches_of([9, 30, 17], tmp_path)
    assert loader.n_batches(0) == 1
    packed = loader.batch(0).tensors()
    cells, index = bench.padded(packed, bench.documents(packed))
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ffn": 32, "dropout": 0.0}
    for learned in (False, True):
        model = bench.Model(ModelConfig(**shape, decay=DecayConfig(learned=learned)), vocabulary)
        found = []
        for step, case in (
            (bench.make_step(model), bench.Case(packed, packed.n_tokens)),
            (bench.on_padded(model), bench.Case(cells, len(index), index)),
        ):
            step(case)
            found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        assert len(found[0]) == len(found[1]) > 10
        for ours, other in zip(*found, strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-6)
