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
    from tawt.runs.load import load_decoder

    workspace, world = tmp_path_factory.mktemp("grammar"), World()
    write(workspace, world, SUBJECTS)
    result = tawt.pretrain(workspace, config(STEPS), device="cpu")
    return world, open_dataset(workspace), load_decoder(result.run), result.metrics["tuning"]
