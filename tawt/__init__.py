"""Raw hospital records to sorted triplets, and a self-supervised transformer that understands time.

Each command of the command line is one function here, with the same name and arguments; nothing heavy is imported
before it is called for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tawt.errors import TawtError as TawtError
    from tawt.pipeline.check import check as check
    from tawt.pipeline.check_meds import check_meds as check_meds
    from tawt.pipeline.ingest import build_vocab as build_vocab
    from tawt.pipeline.ingest import ingest as ingest
    from tawt.pipeline.ingest import run as run
    from tawt.pipeline.inspect import quarantined as quarantined
    from tawt.pipeline.inspect import show as show
    from tawt.pipeline.inspect import sql as sql
    from tawt.pipeline.inspect import stages as stages
    from tawt.pipeline.query import query as query
    from tawt.tasks.compare import compare as compare
    from tawt.tasks.demo import demo as demo
    from tawt.tasks.embed import embed as embed
    from tawt.tasks.hub import TawtModel as TawtModel
    from tawt.tasks.plot import plot as plot
    from tawt.tasks.pretrain import pretrain as pretrain
    from tawt.tasks.sweep import sweep as sweep

_HOME = {
    "TawtError": "tawt.errors",
    "TawtModel": "tawt.tasks.hub",
    "build_vocab": "tawt.pipeline.ingest",
    "check": "tawt.pipeline.check",
    "check_meds": "tawt.pipeline.check_meds",
    "compare": "tawt.tasks.compare",
    "demo": "tawt.tasks.demo",
    "embed": "tawt.tasks.embed",
    "ingest": "tawt.pipeline.ingest",
    "plot": "tawt.tasks.plot",
    "pretrain": "tawt.tasks.pretrain",
    "quarantined": "tawt.pipeline.inspect",
    "query": "tawt.pipeline.query",
    "run": "tawt.pipeline.ingest",
    "show": "tawt.pipeline.inspect",
    "sql": "tawt.pipeline.inspect",
    "stages": "tawt.pipeline.inspect",
    "sweep": "tawt.tasks.sweep",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name == "__version__":
        from tawt.machine import version_of

        return version_of("tawt")
    raise AttributeError(f"module `tawt` has no attribute `{name}`")


def __dir__() -> list[str]:
    return __all__
