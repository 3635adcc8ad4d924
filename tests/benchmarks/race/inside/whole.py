"""Run tawt from raw tables to events, and to mapped shards unless only events are asked for.

whole.py RAW OUT MEMORY_LIMIT THREADS SHARDS events|shards
"""

import sys
from typing import Any

import tawt

raw, out, limit, threads, shards, until = sys.argv[1:]


def report(event: dict[str, Any]) -> None:
    """Say how long a stage took."""
    if event["event"] == "done" and event["manifest"] is not None:
        print(f"    {event['stage']:<28} {event['manifest'].seconds:7.2f} s")


given: dict[str, Any] = {"memory_limit": limit, "threads": int(threads), "report": report}
tawt.ingest(raw, "mimic_iv", out, settings=() if shards == "auto" else (f"shards={shards}",), **given)
if until == "shards":
    tawt.build_vocab(out, **given)
