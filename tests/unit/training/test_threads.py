"""The thread count is measured once per workspace, machine, torch and model."""

from __future__ import annotations

import time

import pytest
import torch

from tawt.commands.pretrain import pretrain
from tawt.config.load import load
from tawt.config.train import PretrainConfig
from tawt.training import device, setup, threads
from tawt.training.distributed import World
from tawt.training.threads import fastest, known_threads, measure, measured_threads


@pytest.fixture(autouse=True)
def passive(monkeypatch):
    """Threads that sleep on a machine of three CPUs; torch has one thread again afterwards."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for module in (threads, device):
        monkeypatch.setattr(module, "usable_cpus", lambda: 3)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("asked", [0, 3])
def test_each_of_several_processes_has_one_thread(config, asked, tmp_path):
    """Unless it was said how many: two processes that measured would each find the machine half used."""
    world = World(size=2, local_size=2)
    tree = config.model_copy(update={"train": config.train.model_copy(update={"threads": asked})})
    for dry_run in (False, True):
        compute = setup._compute(tmp_path, tree, None, "cpu", world, None, dry_run)
        assert compute.threads == (asked or 1)
        assert (compute.reasons["threads"] == "one for each of 2 processes") == (not asked)


def test_more_threads_must_be_clearly_faster():
    """The fewest threads win unless more are 1.15 times as fast; the reason holds the ratio."""
    assert fastest({1: 1.0, 2: 0.95, 3: 0.9}) == (
        1,
        "measured: 2 threads 1.1 x one, 3 threads 1.1 x one, which is not worth it",
    )
    assert fastest({1: 1.5, 2: 1.0, 3: 0.95}) == (2, "measured: 2 threads 1.5 x one")
    assert fastest({1: 3.0, 2: 2.0, 3: 1.0})[0] == 3


def test_the_faster_count_is_found_and_torch_left_as_it_was():
    """Work that takes half the time with two threads is measured so."""
    seconds = measure(lambda: time.sleep(0.02 / min(2, torch.get_num_threads())), range(1, 4))
    assert fastest(seconds)[0] == 2 and torch.get_num_threads() == 1


def test_no_more_threads_are_tried_than_the_user_allows(tmp_path, monkeypatch):
    """`OMP_NUM_THREADS` bounds what is measured, as it bounds every other program; nothing is measured where it is 1."""
    assert device.most_threads() == 3
    for asked, most in (("2", 2), ("2,4", 2), ("many", 3), ("0", 3), ("99", 3)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert device.most_threads() == most
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    count, reason = measured_threads(tmp_path, {"d": 1}, lambda: pytest.fail("measured"))
    assert count == 1 and "OMP_NUM_THREADS" in reason


def test_a_measurement_is_kept_by_machine_torch_and_model(tmp_path, monkeypatch):
    """A second run of a workspace takes what the first measured; another model, torch or machine is measured anew."""
    calls = []
    assert known_threads(tmp_path, {"d": 1}) is None
    first = measured_threads(tmp_path, {"d": 1}, lambda: calls.append(1))
    assert calls and known_threads(tmp_path, {"d": 1})[0] == first[0]
    calls.clear()
    again = measured_threads(tmp_path, {"d": 1}, lambda: calls.append(1))
    assert not calls and again[0] == first[0] and "kept in threads.json" in again[1]
    measured_threads(tmp_path, {"d": 2}, lambda: calls.append(1))
    assert calls
    monkeypatch.setattr(threads, "machine", lambda: "another")
    assert known_threads(tmp_path, {"d": 1}) is None


def test_a_run_records_its_count_and_repeats_with_it(workspace, config, with_train):
    """With `threads: 0` the run's config holds the measured count, so running that config again needs no measurement and
    ends in the same bytes; a resumed run keeps the count too."""
    config = with_train(config, threads=0, max_steps=6)
    run = pretrain(workspace, config, device="cpu").run
    kept = load(PretrainConfig, run / "config.yaml").train.threads
    assert kept >= 1 and (workspace / "threads.json").exists()
    (workspace / "threads.json").unlink()
    again = pretrain(workspace, run / "config.yaml", device="cpu", out=workspace / "runs" / "again")
    assert not (workspace / "threads.json").exists()
    assert again.weights.read_bytes() == (run / "model.safetensors").read_bytes()
    resumed = pretrain(workspace, config, device="cpu", resume=True)
    assert resumed.plan.compute.threads == kept and resumed.plan.reasons["threads"] == "as the run began"
