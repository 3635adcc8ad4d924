"""Adapters of metrics: what they are given, and that they can stop no run."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from tawt.errors import ConfigError
from tawt.training import loggers
from tawt.training.loggers import open_loggers, require_loggers, scalars

LINE = {"step": 3, "split": "tuning", "loss": 1.5, "loss_value": 0.5, "n_value": 7, "note": "text"}


def _with(config, *names):
    return config.model_copy(update={"train": config.train.model_copy(update={"loggers": names})})


@pytest.fixture
def fake(monkeypatch):
    """`fake("wandb")`: a module of that name that keeps what it is called with."""

    def make(name: str, **broken: Exception) -> list[tuple]:
        calls: list[tuple] = []

        def record(what):
            def call(*args, **kwargs):
                calls.append((what, args, kwargs))
                if what in broken:
                    raise broken[what]
                return SimpleNamespace(log=record("log"), finish=record("finish"))

            return call

        module = ModuleType(name)
        for what in ("init", "log", "finish"):
            setattr(module, what, record(what))
        monkeypatch.setitem(sys.modules, name, module)
        return calls

    return make


def test_scalars_are_named_by_split_and_part():
    """Numbers become SPLIT/KEY; the step and texts do not."""
    assert scalars(LINE) == {"tuning/loss": 1.5, "tuning/loss_value": 0.5, "tuning/n_value": 7.0}


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_adapters_hand_lines_on(name, config, fake, tmp_path, monkeypatch):
    """A run is opened under its folder's name with its config, each line goes out with its step, and it is finished."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    calls = fake(name)
    (logger,) = open_loggers(_with(config, name), tmp_path / "steep")
    logger.write(LINE)
    logger.close()
    assert [what for what, _, _ in calls] == ["init", "log", "finish"]
    opened = calls[0][2]
    assert opened["name"] == "steep" and opened["config"]["train"]["lr"] == config.train.lr
    assert calls[1][1:] == ((scalars(LINE),), {"step": 3})
    if name == "wandb":
        assert opened["mode"] == "offline"
        monkeypatch.setenv("WANDB_MODE", "online")
        open_loggers(_with(config, name), tmp_path / "steep")
        assert calls[-1][2]["mode"] == "online" and calls[-1][2]["id"] == opened["id"]


def test_a_missing_package_is_an_error_before_training(config, tmp_path, monkeypatch):
    """The error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    for check in (lambda c: require_loggers(c), lambda c: open_loggers(c, tmp_path)):
        with pytest.raises(ConfigError, match="not installed") as error:
            check(_with(config, "wandb"))
        assert 'pip install "tawt[wandb]"' in error.value.hint
    require_loggers(config)


def test_an_adapter_that_does_not_open_is_an_error(config, tmp_path, fake):
    """What it raises at the start is named by its type alone."""
    fake("wandb", init=RuntimeError("a key"))
    with pytest.raises(ConfigError, match=r"`wandb` does not open \(RuntimeError\)") as error:
        open_loggers(_with(config, "wandb"), tmp_path)
    assert "a key" not in str(error.value)


def test_an_adapter_that_fails_later_is_noted_once(config, tmp_path, fake):
    """The run goes on without it: no line is handed on after the first failure, and closing it is silent."""
    calls, notes = fake("trackio", log=OSError("full"), finish=OSError("full")), []
    (logger,) = open_loggers(_with(config, "trackio"), tmp_path, note=notes.append)
    for _ in range(3):
        logger.write(LINE)
    logger.close()
    assert notes == ["trackio failed (OSError): the run goes on without it"]
    assert [what for what, _, _ in calls] == ["init", "log", "finish"]


def test_tensorboard_reads_the_scalars_back(config, tmp_path):
    """Event files hold each number at its step; a resumed run takes back what came after its checkpoint."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (logger,) = open_loggers(_with(config, "tensorboard"), tmp_path)
    for step in (1, 2, 3):
        logger.write(LINE | {"step": step, "loss": float(step)})
    logger.close()
    (logger,) = open_loggers(_with(config, "tensorboard"), tmp_path, start_step=2)
    logger.write(LINE | {"step": 3, "loss": 30.0})
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("tuning/loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
