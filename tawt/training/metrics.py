"""`metrics.jsonl`: one JSON object per line, with a checksum of its rest: the truth about how a run went."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from tawt.config.train import MAX_STEPS
from tawt.contracts.run import begun_step
from tawt.errors import CheckpointError
from tawt.files import write_text
from tawt.objectives.parts import divisors
from tawt.readers import reading
from tawt.room import naming
from tawt.seals import line_without_seal, sealed_line

START = "start"
"""What the loss of tuning is called before the first step of a task; no validation, of which the best is chosen."""
HINT = "take the file from a copy, or move it away: curves, keep_best and patience then begin anew"


def means(
    weight: Mapping[str, float],
    loss: Mapping[str, float],
    baseline: Mapping[str, float],
    count: Mapping[str, int],
) -> dict[str, Any]:
    """Return mean loss and baseline, whole and by part; a part without a position is left out.

    Args:
        weight: Of each part.
        loss: Of each part, summed over its positions.
        baseline: The same of the trivial prediction.
        count: Positions of each part.
    """
    there = [part for part in weight if count[part]]
    out, among = dict[str, Any](), divisors(count)
    for name, sums in (("loss", loss), ("baseline", baseline)):
        mean = {part: sums[part] / count[part] for part in there}
        out[name] = sum(weight[part] * sums[part] / among[part] for part in there)
        out |= {f"{name}_{part}": mean[part] for part in there}
    return out | {f"n_{part}": count[part] for part in there}


class MetricsFile:
    """The file of one run, open for appending.

    Args:
        path: RUN/metrics.jsonl.
        last_step: Lines of later steps are cut, and a torn last line with them: they belong to steps that
            will be made again.
        writes: False in all processes but the first, which only follow along.
    """

    def __init__(self, path: Path, last_step: int, writes: bool = True) -> None:
        self.path = path
        self._file: IO[str] | None = None
        kept = [line for line in read_metrics(path) if line["step"] <= last_step]
        self.last: dict[str, dict[str, Any]] = {line["split"]: line for line in kept}
        """The last line of each split."""
        self.tuning: list[dict[str, Any]] = [line for line in kept if line["split"] == "tuning"]
        """The lines of validations, which early stopping and the best weights go by."""
        if not writes:
            return
        write_text(path, "".join(map(_line, kept)))
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; it must have `step` and `split`."""
        if line["split"] == "tuning":
            self.tuning.append(dict(line))
        self.last[line["split"]] = dict(line)
        if self._file is not None:
            with naming(self.path):
                self._file.write(_line(line))
                self._file.flush()

    def sync(self) -> None:
        """Make sure that all lines are on disk."""
        if self._file is not None:
            with naming(self.path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_metrics(path: Path, synced: int = 0) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics file; none if it is not there.

    A last line without its end is left out: the process that wrote it was killed.

    Args:
        path: RUN/metrics.jsonl.
        synced: Step of a checkpoint: lines up to it were on disk before it was made, so each has its end.

    Raises:
        CheckpointError: The file cannot be read, or another line is none of metrics.
    """
    if not os.path.lexists(path):
        return []
    with reading(path, "lines of metrics", HINT, CheckpointError):
        content = path.read_bytes()
    *texts, torn = content.split(b"\n")
    if (begun := begun_step(torn)) is not None and begun <= synced:
        texts.append(torn + b"?")  # no seal holds with it
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(line_without_seal(text) or b"")
        except (ValueError, RecursionError):
            line = None
        if not _is_metrics(line):
            raise CheckpointError(f"{path}:{number}", "is damaged, expected a line of metrics", HINT)
        lines.append(line)
    return lines


def _is_metrics(line: Any) -> bool:
    if not isinstance(line, dict) or line.get("split") not in ("train", "tuning", START, "health"):
        return False
    step = line.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= MAX_STEPS:
        return False
    return all(
        _is_number(value) or (key, value) == ("grad_norm", None) for key, value in line.items() if key != "split"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def lines_of(lines: Iterable[Mapping[str, Any]], split: str, last_step: int = MAX_STEPS) -> list[dict[str, Any]]:
    """Return the lines of one split up to a step, by step; of a step that stands twice the last."""
    by_step = {line["step"]: dict(line) for line in lines if line["split"] == split and line["step"] <= last_step}
    return [by_step[step] for step in sorted(by_step)]


def _line(line: Mapping[str, Any]) -> str:
    return sealed_line(json.dumps(line)) + "\n"
