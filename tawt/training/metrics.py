"""`metrics.jsonl`: one JSON object per line, the truth about how a run went."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tawt.files import publish_file

SPEED_FIELDS = ("tokens_per_s", "seconds")
"""What two runs of the same config may differ in."""


class MetricsFile:
    """The file of one run, open for appending.

    Args:
        path: RUN/metrics.jsonl.
        last_step: Lines of later steps are cut, and a torn last line with them: they belong to steps that
            will be made again.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= last_step]
        aside = path.with_name(f".{path.name}.tmp")
        with aside.open("w", encoding="utf-8") as file:
            file.writelines(_line(line) for line in kept)
        publish_file(aside, path)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; it must have `step`."""
        self._file.write(_line(line))
        self._file.flush()

    def sync(self) -> None:
        """Make sure that all lines are on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics file; none if it is not there."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break  # a kill in the middle of a write
    return lines


def _line(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"
