"""What an engine stage hands back to the runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tawt.pipeline.manifest import Account


@dataclass(frozen=True)
class EngineResult:
    """The accounts, facts and notes of an engine stage that wrote its files aside."""

    accounts: tuple[Account, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
