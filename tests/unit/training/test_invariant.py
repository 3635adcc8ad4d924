"""Embeddings at prediction times do not hang on what comes later, to the bit; and where they do, it is found."""

from __future__ import annotations

import numpy as np

from tawt.commands.pretrain import pretrain
from tawt.dataset.reader import open_dataset
from tawt.runs import invariant
from tawt.runs.embedding import load_embedding

HOUR = 3_600_000_000


def test_what_is_later_changes_no_bit(workspace, config, with_train, monkeypatch):
    """Of subjects asked about in the middle of their records none changes; a loader that is told of a later time
    than the one at which the records end gives others."""
    run = pretrain(workspace, with_train(config, max_steps=1), device="cpu", out=workspace / "runs" / "base").run
    dataset = open_dataset(workspace)
    embedding = load_embedding(run, dataset.vocabulary, workspace, None, "cpu")
    subject, time = [], []
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            own = split.columns(i).timestamp[int(split.n_static[i]) :]
            if len(own) > 4:
                subject.append(int(split.subject_ids[i]))
                time.append(int(split.origins[i] + own[len(own) // 2]))
    asked = np.array(subject), np.array(time)
    assert not invariant.embeddings_that_change(dataset, embedding, *asked).any()
    real = invariant.Asked
    monkeypatch.setattr(invariant, "Asked", lambda who, when: real(who, when + 10**15))
    assert invariant.embeddings_that_change(dataset, embedding, *asked).mean() > 0.5
