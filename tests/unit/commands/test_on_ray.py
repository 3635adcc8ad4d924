"""The workers of a real Ray cluster on this machine make the bytes of one process, also when some of them are killed."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tawt
from tawt.commands import on_ray
from tawt.errors import ConfigError, StageError
from tests.unit.conftest import Hospital
from tests.unit.pipeline.test_stability import hashes, reasons

if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install -c constraints.txt ray", allow_module_level=True)
QUICK = {"threads": 1, "memory_limit": "500MB"}
N_WORKERS = 3


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    """`sys.path` is left as it was: packages that Ray carries with it would count as installed in all tests behind these."""
    before = [*sys.path]
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def address(path: None) -> Iterator[str]:
    """A cluster of three workers, which tawt is told of by its address."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    begun = ray.init(num_cpus=N_WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield begun.address_info["gcs_address"]
    ray.shutdown()


def raised(error: Exception) -> Iterator[None]:
    """Raise an error where a value is asked for."""
    raise error
    yield


def workers() -> list[int]:
    """The processes that do tasks of tawt now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::tawt "):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def is_as_made_alone(w: Path, hospital: Hospital) -> bool:
    """Whether all that is promised is of the same bytes as in the hospital, all is finished, and nothing lies aside."""
    asides = [path for path in (w / ".aside").rglob("*") if path.is_file()]
    return hashes(w) == hashes(hospital.workspace) and asides == [] and all(one.ok for one in tawt.check(w))


def test_workers_that_are_killed_lose_nothing(hospital: Hospital, tmp_path: Path, address: str) -> None:
    """Three of them end without a word while they are at work; ingest and build-vocab give the bytes of one process."""
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < 3:
            for pid in workers()[:1]:
                time.sleep(0.1 * len(killed))
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.3)

    threading.Thread(target=kill, daemon=True).start()
    where: dict[str, Any] = {"executor": "ray", "address": address, **QUICK}
    heard: list[dict[str, Any]] = []
    tawt.ingest(hospital.raw, "demo", tmp_path / "w", settings=("shards=3",), report=heard.append, **where)
    tawt.build_vocab(tmp_path / "w", report=heard.append, **where)
    assert len(killed) == 3 and is_as_made_alone(tmp_path / "w", hospital)
    shared_out = {one["stage"] for one in heard if one["event"] == "progress"}
    assert shared_out == {"events", "triplets", "dataset"}, "made by shards, on several workers"
    assert reasons(tawt.run("+dataset", tmp_path / "w", **where)) == {}


def test_workers_make_again_what_was_let_go(hospital: Hospital, tmp_path: Path, address: str) -> None:
    """With `keep: last` what stays is of the bytes of one process; events of another split have staging made again first."""
    where: dict[str, Any] = {"executor": "ray", "address": address, **QUICK}
    w, settings = tmp_path / "w", ("shards=3", "keep=last")
    tawt.ingest(hospital.raw, "demo", w, settings=settings, **where)
    tawt.build_vocab(w, **where)
    alone = {name: one for name, one in hashes(hospital.workspace).items() if not name.startswith("triplets/")}
    assert hashes(w) == alone and not list(w.glob("staging/*")) and all(one.ok for one in tawt.check(w))
    ran = reasons(tawt.ingest(hospital.raw, "demo", w, settings=(*settings, "splits.seed=5"), **where))
    assert ran["staging.labevents"] == "let go, and event_parts.labs reads it" and "codes.labs" not in ran
    assert not list(w.glob("event_parts/*")) and tawt.query("select count(*) from events", w)[0][0].as_py() > 0


def test_what_ends_a_task_ends_the_command(hospital: Hospital, tmp_path: Path, address: str) -> None:
    """The error is the worker's own; what was made stays, and the same command without Ray goes on with it."""
    w = Path(shutil.copytree(hospital.workspace, tmp_path / "w"))
    shard = next((w / "events" / "data" / "train").glob("*.parquet"))
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(tawt.TawtError) as told:
        tawt.run("triplets", w, force=True, executor="ray", address=address, **QUICK)
    assert shard.name in told.value.where and "tawt run events" in told.value.hint
    tawt.run("events,triplets", w, force=True, **QUICK)
    assert is_as_made_alone(w, hospital)


def test_a_worker_hands_on_no_cell_that_a_library_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an error that is not ours the kind alone goes through Ray, which writes down what it is given."""

    def quote(task: on_ray.Task) -> None:
        raise ValueError("could not convert 'canary'")

    monkeypatch.setattr(on_ray, "_do", quote)
    task = on_ray.Task("w", "events", "k", False, False, None, 1, None)
    said = on_ray.do_task(task)
    assert "ValueError" in said["what"] and said["where"] == "events" and "canary" not in str(said)


def test_a_cluster_of_this_machine_obeys_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no token gives it no orders, what Ray logs is the owner's alone, and both go with it; where it does not start, that
    is said, and no address that nobody gave."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not loaded
    with pytest.raises(ConfigError, match="not installed"):
        on_ray.on_ray(None, None, None)
    assert "RAY_AUTH_MODE" not in os.environ, "who has loaded it has chosen"
    monkeypatch.delitem(sys.modules, "ray")
    on_ray._keep_others_out()
    assert os.environ["RAY_AUTH_MODE"] == "token" and len(os.environ["RAY_AUTH_TOKEN"]) == 64
    seen: list[dict[str, Any]] = []

    def init(**how: Any) -> None:
        mode = stat.S_IMODE(Path(how["_temp_dir"]).parent.stat().st_mode)
        seen.append({**how, "mode": mode})
        if len(seen) > 1:
            raise TimeoutError("no raylet came\nmore")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    with on_ray._cluster(ray, None):
        assert seen[0]["mode"] == 0o700
    assert not Path(seen[0]["_temp_dir"]).parent.exists()
    with (
        pytest.raises(ConfigError, match=r"did not start on this machine \(TimeoutError: no raylet came\)"),
        on_ray._cluster(ray, None),
    ):
        pass


def test_what_ray_itself_ends_is_told() -> None:
    """As where a worker has no tawt, or the cluster is gone: by its kind, for what Ray says can be long and quote what it ran."""
    import ray

    driver, lost = (
        object.__new__(on_ray._Driver),
        ray.exceptions.RayTaskError("do_task", "canary", ImportError("canary")),
    )
    driver._ray = SimpleNamespace(exceptions=ray.exceptions, get=lambda one: one())
    with pytest.raises(StageError) as told:
        driver._end(on_ray.Task("w", "events", "k", False, False, None, 1, None), lambda: next(raised(lost)))
    assert "ended by Ray (RayTaskError)" in told.value.what and "canary" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"executor": "dask"}, "is none, expected local or ray"),
        ({"address": "localhost:1"}, "expected none"),
        ({"executor": "ray", "part": "1/2"}, "expected one of the two"),
    ],
)
def test_options_that_do_not_go_together_are_told(own_workspace: Path, options: dict[str, str], what: str) -> None:
    """Nothing is begun."""
    with pytest.raises(ConfigError, match=what):
        tawt.run("dataset", own_workspace, **options)
    assert not (own_workspace / ".aside" / "parts").exists()


def test_ray_that_is_not_there_is_named(own_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError) as told:
        tawt.run("dataset", own_workspace, executor="ray")
    assert told.value.hint == 'pip install "tawt[ray]"'


def test_a_cluster_that_is_not_there_is_told(own_workspace: Path) -> None:
    """With the address that was given."""
    import ray

    ray.shutdown()
    with pytest.raises(ConfigError, match="leads to no Ray cluster"):
        tawt.run("dataset", own_workspace, executor="ray", address="127.0.0.1:1")
