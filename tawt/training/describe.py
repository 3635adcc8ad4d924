"""What a run folder tells of how the run was made."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata

from tawt.config.load import dump
from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.run import say_unfinished
from tawt.dataset.reader import fingerprint_of
from tawt.files import whole, write_sealed, write_text
from tawt.heads.task import TASK
from tawt.machine import version_of
from tawt.seals import BLANK, LIST, filled, sha256_file
from tawt.training.setup import Setup
from tawt.training.versions import Start, Versions, read_versions, write_versions

_PACKAGES = ("tawt", "torch", "numpy", "pyarrow", "pydantic", "safetensors")


def describe_run(setup: Setup) -> None:
    """Write how the run is made: config, vocabulary, versions, seed, the weights that it started from, and every
    installed package.

    Of a run that goes on with other versions or on another device, `versions.json` keeps under
    `earlier` what the steps before were made with.
    """
    run, config, compute, init = setup.run, setup.config, setup.compute, setup.init
    # what is there changes from here on
    say_unfinished(run, setup.start_step, promise=False)
    (run / LIST).unlink(missing_ok=True)
    describe_config(setup)
    if setup.task is not None:
        write_sealed(run / TASK, setup.task.spec.model_dump(mode="json"))
    with whole(run / VOCABULARY) as aside:
        aside.write_bytes(setup.vocabulary.content)
    new = setup.checkpoint is None
    versions = Versions(
        packages={name: version_of(name) for name in _PACKAGES},
        python=platform.python_version(),
        machine=platform.machine(),
        device=str(compute.device),
        precision=compute.precision,
        threads=compute.threads,
        processes=setup.world.size,
        seed=config.train.seed,
        vocabulary=setup.vocabulary.sha256,
        read=fingerprint_of(setup.splits),
        stale=setup.stale,
        reasons=compute.reasons,
        init=Start(weights=os.path.relpath(init, run), sha256=sha256_file(init)) if init is not None and new else None,
    )
    before = read_versions(run) if setup.start_step else None
    write_versions(run, versions.since(setup.start_step, before) if before is not None else versions)
    write_text(run / "packages.txt", filled("".join(f"{line}\n" for line in (*_freeze(), f"# {BLANK}"))))


def describe_config(setup: Setup) -> None:
    """Write the resolved config of a run."""
    write_text(setup.run / "config.yaml", filled(f"{dump(setup.config)}# {BLANK}\n"))


@cache
def _freeze() -> list[str]:
    told = [one.metadata for one in metadata.distributions()]  # read once each, for there are hundreds
    return sorted({f"{one['Name']}=={one['Version']}" for one in told if one["Name"]}, key=str.lower)
