"""Where a plan runs: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable

from tawt.errors import ConfigError, nearest
from tawt.pipeline.run import RunResult
from tawt.pipeline.work import run_stages

EXECUTORS = ("local", "ray")


def executor_of(
    name: str, address: str | None, threads: int | None, memory_limit: str | None
) -> Callable[..., RunResult]:  # fmt: skip
    """Return what does a plan.

    Args:
        name: `local` or `ray`.
        address: Of the cluster.
        threads: Of each worker.
        memory_limit: Of each worker.

    Raises:
        ConfigError: There is none of that name, it is not installed, or this process needs no address.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"--executor {name}", f"is none, expected {' or '.join(EXECUTORS)}", nearest(name, EXECUTORS))
    if name == "ray":
        from tawt.commands.on_ray import on_ray

        return on_ray(address, threads, memory_limit)
    if address is not None:
        raise ConfigError(
            "--address", "is of a cluster, and this process runs all, expected none", "add --executor ray"
        )
    return run_stages


def refuse_both(executor: str, store: str | None) -> None:
    """Refuse a cluster that is to make a workspace in a store.

    Raises:
        ConfigError: It is.
    """
    if executor != "local" and store is not None:
        what = "makes a workspace in a folder that its workers share, expected no --store"
        raise ConfigError(
            f"--executor {executor}", what, "leave it out: parts (`--part i/N`) share nothing but a store"
        )
