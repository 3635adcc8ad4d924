"""Lets the tests of this folder import `world`, and that one `shards`; the decoder that they share."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """The world, its dataset, a decoder that learned it, and the last losses."""
    from world import STEPS, SUBJECTS, World, config, write

    import tawt
    from tawt.dataset.reader import open_dataset
    from tawt.objectives.pretrain_model import build_model
    from tawt.runs.load import read_saved
    from tawt.training.checkpoint import load_weights

    workspace, world = tmp_path_factory.mktemp("grammar"), World()
    write(workspace, world, SUBJECTS)
    result = tawt.pretrain(workspace, config(STEPS), device="cpu")
    saved = read_saved(result.run)
    model = build_model(saved.config, saved.vocabulary, 0)
    load_weights(model, saved.weights)
    return world, open_dataset(workspace), model.eval(), result.metrics["tuning"]
