"""What a run folder tells of how the run was made."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from tawt.config.load import dump
from tawt.errors import CheckpointError
from tawt.files import whole, write_json, write_text
from tawt.machine import version_of
from tawt.readers import read_map
from tawt.seals import LIST, sha256_file
from tawt.training.setup import Setup

_PACKAGES = ("tawt", "torch", "numpy", "pyarrow", "pydantic", "safetensors")


def describe_run(setup: Setup) -> None:
    """Write how the run is made: config, vocabulary, versions, seed, the weights that it started from, and every
    installed package.

    Of a run that goes on with other versions or on another device, `versions.json` keeps under
    `earlier` what the steps before were made with.
    """
    run, config, compute, init = setup.run, setup.config, setup.compute, setup.init
    (run / LIST).unlink(missing_ok=True)  # what it lists of the steps before changes from here on
    write_text(run / "config.yaml", dump(config))
    with whole(run / "vocabulary.parquet") as aside:
        aside.write_bytes(setup.vocabulary.content)
    about = {
        "packages": {name: version_of(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(compute.device),
        "precision": compute.precision,
        "threads": compute.threads,
        "processes": setup.world.size,
        "seed": config.train.seed,
        "reasons": compute.reasons,
    }
    if init is not None and setup.checkpoint is None:
        about["init"] = {"weights": os.path.relpath(init, run), "sha256": sha256_file(init)}
    path = run / "versions.json"
    before = read_map(path, "move it away", CheckpointError) if setup.start_step and os.path.lexists(path) else None
    if before is not None:
        about |= {"init": before["init"]} if "init" in before else {}
        earlier = before.pop("earlier", [])
        if not isinstance(earlier, list):
            raise CheckpointError(str(path), "`earlier` is no list, expected what earlier steps were made with",
                                  "move it away")  # fmt: skip
        same = {**before, "reasons": None} == {**about, "reasons": None}
        about["earlier"] = earlier if same else [*earlier, {"until_step": setup.start_step, **before}]
        if not about["earlier"]:
            del about["earlier"]
    write_json(path, about)
    write_text(run / "packages.txt", "".join(f"{line}\n" for line in _freeze()))


def _freeze() -> list[str]:
    found = {(d.metadata["Name"], d.version) for d in metadata.distributions() if d.metadata["Name"]}
    return sorted((f"{name}=={version}" for name, version in found), key=str.lower)
