"""Pretrained models of tables from weights on disk, by a stub that has the public form of `tabpfn` and `tabicl`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from tawt.errors import ConfigError
from tawt.evaluation import tabular
from tawt.evaluation.rows import Rows
from tawt.evaluation.tabular import given_weights, offline, tabular_baselines

STUB = """
import os, socket
import numpy as np
from pathlib import Path
SEEN = []
class _Model:
    def __init__(self, *, n_estimators=8, model_path="auto", device="auto", random_state=0{more}):
        assert Path(model_path).is_file(), "it would be downloaded"
        self.device, self.text = device, Path(model_path).read_text()
    def fit(self, X, y):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        SEEN.append((X.shape, y.dtype.kind, self.device))
        if self.text == "asks":
            socket.create_connection(("192.0.2.1", 443), timeout=1)
        if self.text == "broken":
            raise RuntimeError("cell 17.5 of somebody")
        self.X, self.y = np.nan_to_num(X), y
        self.classes_ = np.unique(y)
        return self
    def _near(self, X):
        return ((np.nan_to_num(X)[:, None] - self.X) ** 2).sum(2).argsort(1)[:, :15]
class {name}Classifier(_Model):
    def predict_proba(self, X):
        return (self.y[self._near(X)][:, :, None] == self.classes_).mean(1)
class {name}Regressor(_Model):
    def predict(self, X):
        return self.y[self._near(X)].mean(1)
"""
RNG = np.random.default_rng(3)
N = 300
X = np.concatenate([RNG.normal(size=(N, 6)), np.full((N, 1), np.nan)], 1)
FIT, TEST = np.arange(N) < 200, np.arange(N) >= 200
ONE_LABEL = np.where(X[:, 0] > 0, 1.0, 0.0)


def rows_of(truth: np.ndarray) -> Rows:
    """The rows, one a subject."""
    return Rows(np.arange(N), np.zeros(N), truth, FIT, np.zeros(N), TEST)


@pytest.fixture(params=["TabPFN", "TabICL"])
def named(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model whose package is there, as a stub."""
    more = ", allow_auto_download=True" if request.param == "TabICL" else ""
    module = request.param.lower()
    (tmp_path / f"{module}.py").write_text(STUB.format(name=request.param, more=more))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    yield request.param
    sys.modules.pop(module, None)


def said(name: str, path: Path, truth: np.ndarray, task: str, told: list[str] | None = None) -> np.ndarray:
    """What a model says of the test rows, of weights that lie at a path."""
    recipe, fit = tabular_baselines({name: path}, "cpu", (told if told is not None else []).append)[name]
    assert recipe == "summaries"
    return fit(X, rows_of(truth), task, 0)(X[TEST])


def test_a_model_of_tables_learns_from_weights_on_disk(named: str, tmp_path: Path) -> None:
    """Yes or no, classes and numbers, from a file or the one of its kind in a folder; features of nobody are left out."""
    for kind in ("classifier-v2.ckpt", "regressor-v2.ckpt"):
        (tmp_path / kind).write_text("fine")
    chance = said(named, tmp_path, ONE_LABEL, "binary")
    assert chance.shape == (100,) and chance[ONE_LABEL[TEST] == 1].mean() > chance[ONE_LABEL[TEST] == 0].mean() + 0.3
    several = said(named, tmp_path / "classifier-v2.ckpt", np.digitize(X[:, 0], [-0.7, 0.7]), "classes")
    assert several.shape == (100, 3) and several.sum(1) == pytest.approx(1)
    numbers = said(named, tmp_path, X[:, 0], "numbers")
    assert np.corrcoef(numbers, X[TEST, 0])[0, 1] > 0.5
    assert {(shape[1], device) for shape, _, device in sys.modules[named.lower()].SEEN} == {(6, "cpu")}
    both = tmp_path / "both"
    both.mkdir()
    (both / "v3.5.safetensors").write_text("fine")  # of one file that does both, which is called after neither
    assert np.array_equal(said(named, both, ONE_LABEL, "binary"), chance)
    assert np.array_equal(said(named, both, X[:, 0], "numbers"), numbers)
    (tmp_path / "classifier-v3.ckpt").write_text("fine")
    with pytest.raises(ConfigError, match="holds 2 files of weights with `classif`"):
        said(named, tmp_path, ONE_LABEL, "binary")


def test_what_it_cannot_take_is_left_out_and_told(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than it takes are drawn, the same by the same seed, and features that few rows have go first."""
    (tmp_path / "w.ckpt").write_text("fine")
    small = tabular.Package(named.lower(), f"{named}Classifier", f"{named}Regressor", 150, 50, 4, 2, {})
    monkeypatch.setitem(tabular.TABULAR, named, small)
    told: list[str] = []
    one = said(named, tmp_path / "w.ckpt", ONE_LABEL, "binary", told)
    assert np.array_equal(one, said(named, tmp_path / "w.ckpt", ONE_LABEL, "binary"))
    assert told == [
        f"{named} learns from 50 of 200 rows, drawn at random: more it does not take on CPU",
        f"{named} is given 4 of 6 features, those that most rows have",
    ]
    assert sys.modules[named.lower()].SEEN[0][0] == (50, 4)
    with pytest.raises(ConfigError, match="has 3 classes to learn, expected 2"):
        said(named, tmp_path / "w.ckpt", np.digitize(X[:, 0], [-0.7, 0.7]), "classes")


def test_what_is_missing_or_broken_is_one_line(named: str, tmp_path: Path) -> None:
    """No network, no package, no weights, and weights that the package does not read; nothing of its words is told."""
    for text, match in (("asks", "asks for the network"), ("broken", "ended with RuntimeError")):
        (tmp_path / "w.ckpt").write_text(text)
        with pytest.raises(ConfigError, match=match) as error:
            said(named, tmp_path / "w.ckpt", ONE_LABEL, "binary")
        assert "17.5" not in str(error.value) and "--weights" in error.value.hint
    sys.modules[named.lower()] = None  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="cannot be imported") as error:
        said(named, tmp_path / "w.ckpt", ONE_LABEL, "binary")
    assert error.value.hint == f"pip install {named.lower()}"
    for given, match in (
        ("TabPNF=x", "names no model"),
        ("TabPFN", "names no model"),
        (f"{named}=/nowhere", "is not there"),
    ):
        with pytest.raises(ConfigError, match=match):
            given_weights([given])


def test_the_network_is_closed_and_opened_again() -> None:
    """Within, neither a name is looked up nor a machine is reached; afterwards all is as it was."""
    before = socket.socket.connect, socket.getaddrinfo
    with offline():
        with pytest.raises(OSError, match="closed"):
            socket.getaddrinfo("huggingface.co", 443)
        with pytest.raises(OSError, match="closed"), socket.socket() as one:
            one.connect(("127.0.0.1", 9))
    assert (socket.socket.connect, socket.getaddrinfo) == before
