"""A decoder of an automaton with known chances: its risks beside the known ones, and what each estimator costs.

    OMP_NUM_THREADS=1 python tests/benchmarks/grammar.py [SUBJECTS] [STEPS] [CONTINUATIONS]

Prints the chance of death within a day after each data_type: known, and by M0, M1 and M2, each with its standard error;
variance times events of each, and how many events a second one core draws.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "grammar"))

from world import DEATH, HOUR, SPECIAL, N, World, config, first_events, write

import tawt
from tawt.batching.loader import PackedLoader
from tawt.dataset.reader import open_dataset
from tawt.risks.simulate import METHODS, Question, Simulation, simulate
from tawt.runs.load import load_decoder

HOURS = 24


def main() -> None:
    """Learn, simulate, print."""
    n_subjects, steps, n = (int(x) for x in (*sys.argv[1:], *("2000", "400", "200")[len(sys.argv) - 1 :]))
    workspace, world = Path(tempfile.mkdtemp()), World()
    write(workspace, world, n_subjects)
    began = time.process_time()
    run = tawt.pretrain(workspace, config(steps), device="cpu").run
    print(f"{n_subjects:,} subjects, {steps} steps: {time.process_time() - began:.0f} s of CPU time")
    torch.set_num_threads(1)
    decoder, dataset = load_decoder(run), open_dataset(workspace)
    prompts = first_events(PackedLoader(dataset.split("tuning"), dataset.vocabulary, decoder.config.batching).batch(0))
    watched = torch.zeros(len(dataset.vocabulary), dtype=torch.bool)
    watched[SPECIAL + DEATH] = True
    question = Question(watched, np.full(N, HOURS * HOUR))
    began = time.process_time()
    found = simulate(decoder, prompts.tensors(), question, Simulation(n))
    seconds = time.process_time() - began
    events = int(found.steps["M0"].sum() + found.steps["M2"].sum())
    print(f"{events:,} events, {events / seconds:,.0f} a second of CPU time")
    print("known", np.round([world.risk(kind, HOURS, 20_000, 7) for kind in range(N)], 3))
    for name in METHODS:
        error = (found.each[name].std(1) / n**0.5).mean()
        print(name, np.round(found.chance(name), 3), f"+- {error:.3f}, variance times events {found.cost(name):.3f}")


if __name__ == "__main__":
    main()
