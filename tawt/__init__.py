"""Raw hospital records to sorted triplets, and a self-supervised transformer that understands time.

Each command of the command line is one function here, with the same name and arguments; nothing heavy is imported
before it is called for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tawt.commands.assess import assess as assess
    from tawt.commands.attempt import attempt as attempt
    from tawt.commands.audit import audit as audit
    from tawt.commands.build_vocab import build_vocab as build_vocab
    from tawt.commands.carry import carry as carry
    from tawt.commands.cases import test as test
    from tawt.commands.compare import compare as compare
    from tawt.commands.demo import demo as demo
    from tawt.commands.diff import diff as diff
    from tawt.commands.embed import embed as embed
    from tawt.commands.evaluate import evaluate as evaluate
    from tawt.commands.export import export as export
    from tawt.commands.extend import extend as extend
    from tawt.commands.fetch import fetch as fetch
    from tawt.commands.finetune import finetune as finetune
    from tawt.commands.forget import forget as forget
    from tawt.commands.generate import generate as generate
    from tawt.commands.ingest import ingest as ingest
    from tawt.commands.init import init as init
    from tawt.commands.label import label as label
    from tawt.commands.label import label_tasks as label_tasks
    from tawt.commands.lineage import lineage as lineage
    from tawt.commands.look import show as show
    from tawt.commands.look import stages as stages
    from tawt.commands.plot import plot as plot
    from tawt.commands.pretrain import pretrain as pretrain
    from tawt.commands.push import pull as pull
    from tawt.commands.push import push as push
    from tawt.commands.query import query as query
    from tawt.commands.rejected import dropped as dropped
    from tawt.commands.rejected import quarantined as quarantined
    from tawt.commands.review import ratings as ratings
    from tawt.commands.review import review as review
    from tawt.commands.risk import risk as risk
    from tawt.commands.run import run as run
    from tawt.commands.sql import sql as sql
    from tawt.commands.sql import write_sql as write_sql
    from tawt.commands.sweep import sweep as sweep
    from tawt.errors import TawtError as TawtError
    from tawt.quality.meds import check_meds as check_meds
    from tawt.quality.workspace import check as check
    from tawt.runs.embedder import TawtEmbedder as TawtEmbedder
    from tawt.runs.hub import TawtModel as TawtModel

_HOME = {
    "TawtEmbedder": "tawt.runs.embedder",
    "TawtError": "tawt.errors",
    "TawtModel": "tawt.runs.hub",
    "assess": "tawt.commands.assess",
    "attempt": "tawt.commands.attempt",
    "audit": "tawt.commands.audit",
    "build_vocab": "tawt.commands.build_vocab",
    "carry": "tawt.commands.carry",
    "check": "tawt.quality.workspace",
    "check_meds": "tawt.quality.meds",
    "compare": "tawt.commands.compare",
    "demo": "tawt.commands.demo",
    "diff": "tawt.commands.diff",
    "dropped": "tawt.commands.rejected",
    "embed": "tawt.commands.embed",
    "export": "tawt.commands.export",
    "extend": "tawt.commands.extend",
    "evaluate": "tawt.commands.evaluate",
    "fetch": "tawt.commands.fetch",
    "finetune": "tawt.commands.finetune",
    "forget": "tawt.commands.forget",
    "generate": "tawt.commands.generate",
    "ingest": "tawt.commands.ingest",
    "init": "tawt.commands.init",
    "label": "tawt.commands.label",
    "label_tasks": "tawt.commands.label",
    "lineage": "tawt.commands.lineage",
    "plot": "tawt.commands.plot",
    "pretrain": "tawt.commands.pretrain",
    "pull": "tawt.commands.push",
    "push": "tawt.commands.push",
    "quarantined": "tawt.commands.rejected",
    "query": "tawt.commands.query",
    "ratings": "tawt.commands.review",
    "review": "tawt.commands.review",
    "risk": "tawt.commands.risk",
    "run": "tawt.commands.run",
    "show": "tawt.commands.look",
    "sql": "tawt.commands.sql",
    "stages": "tawt.commands.look",
    "sweep": "tawt.commands.sweep",
    "test": "tawt.commands.cases",
    "write_sql": "tawt.commands.sql",
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
