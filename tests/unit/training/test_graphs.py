"""When a batch is captured and when replayed, told by a stand-in for CUDA's graphs; the real ones are in `tests/gpu`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
import torch

from tawt.batching.batch import SIZE, in_one_piece
from tawt.config.objective import ContrastiveConfig, ObjectiveConfig
from tawt.errors import TrainingError
from tawt.training import graphs
from tawt.training.choices import choose_replay
from tawt.training.distributed import World
from tawt.training.graphs import Replays


@dataclass(frozen=True)
class Pack:
    """A batch of one tensor beside another."""

    x: torch.Tensor
    y: torch.Tensor
    length: int = field(default=0, metadata=SIZE)
    number: int = 0


class Graph:
    """Replays by running again what ran while it was captured."""

    def __init__(self):
        self.work = None

    def replay(self):
        """Run it."""
        self.work()

    def pool(self):
        """Return a name."""
        return "pool"


@pytest.fixture
def replays(monkeypatch):
    """A `Replays` on CPU of a sum, and what was run as it is, captured and replayed."""
    seen, pools = [], []

    @contextmanager
    def capturing(graph, pool, capture_error_mode):
        assert capture_error_mode == "thread_local"
        pools.append(pool)
        yield
        seen.append("captured")

    def run(pack, weights):
        seen.append("ran")
        return (pack.x.sum() + pack.y.sum())[None] * weights

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    made = Replays(run, torch.device("cpu"), torch.ones(1))
    made.seen, made.pools = seen, pools
    return made


def pack(n, value=1.0):
    """One piece of `2 n` numbers."""
    return in_one_piece(Pack(torch.full((n,), value), torch.full((n,), value)))


def test_shapes_are_captured_when_they_come_again(replays):
    """The first batch of a shape runs as it is, the second is captured; a third only has its bytes replaced."""
    assert replays(pack(3)).item() == 6
    assert replays.seen == ["ran"]
    with pytest.raises(TypeError):  # the stand-in has nothing to run yet: it was captured, and replayed
        replays(pack(3))
    assert replays.seen == ["ran", "ran", "captured"]
    (captured,) = replays._captured.values()
    captured.graph.work = lambda: captured.out.copy_(captured.piece.view(torch.float32)[:3].sum())
    assert replays(pack(3, 5.0)).item() == 15, "the graph reads the bytes of the batch at hand"
    assert replays(pack(4)).item() == 8 and replays.seen[-1] == "ran" and len(replays._captured) == 2


def test_a_length_that_no_tensor_shows_is_part_of_the_shape(replays):
    """What is made for one such length is not replayed with another; other numbers of a batch do not matter."""
    replays(pack(3))
    assert replays(replace(pack(3), length=1)).item() == 6 and replays.seen == ["ran", "ran"]
    with pytest.raises(TypeError):
        replays(replace(pack(3), length=1, number=7))
    assert replays.seen[-1] == "captured" and len(replays._captured) == 2


def test_graphs_share_their_memory(replays):
    """All but the first are captured into the pool of the one before."""
    for n in (3, 4):
        replays(pack(n))
        with pytest.raises(TypeError):
            replays(pack(n))
    assert replays.pools == [None, "pool"]


def test_there_are_only_so_many_graphs(replays, monkeypatch):
    """Batches of shapes beyond the most that are kept run as they are, however often they come."""
    monkeypatch.setattr(graphs, "MOST", 1)
    replays(pack(3))
    assert [replays(pack(n)).item() for n in (4, 4, 4)] == [8, 8, 8]
    assert len(replays._captured) == 1


@pytest.mark.parametrize(
    ("what", "told"), [("operation not permitted", TrainingError), ("out of memory", RuntimeError)]
)
def test_what_cannot_be_captured_is_told(replays, monkeypatch, what, told):
    """The user hears which setting does without graphs; memory that ends is another matter."""
    replays(pack(3))

    def refuse(*given):
        raise RuntimeError(what)

    monkeypatch.setattr(replays, "_run", refuse)
    with pytest.raises(told) as refused:
        replays(pack(3))
    assert isinstance(refused.value, TrainingError) == (told is TrainingError)
    assert told is RuntimeError or "train.compile=off" in str(refused.value.hint)


def test_graphs_are_for_one_process_and_the_kernel_of_our_own(config):
    """What is not replayed says why: other kernels, several processes, views, checkpointing, nothing compiled."""
    one, fused = World(), "fused"
    assert choose_replay(config, one, fused, True) == (True, "replayed as CUDA graphs")
    contrast = ObjectiveConfig(contrastive=ContrastiveConfig(weight=1.0))
    again = config.train.model_copy(update={"activation_checkpointing": True})
    for other, world, kernel, compiled in (
        (config, one, "flex", True), (config, World(0, 2), fused, True), (config, one, fused, False),
        (config.model_copy(update={"objective": contrast}), one, fused, True),
        (config.model_copy(update={"train": again}), one, fused, True),
    ):  # fmt: skip
        replayed, why = choose_replay(other, world, kernel, compiled)
        assert not replayed and why.startswith("not replayed as CUDA graphs: ")
