"""Which of several processes that share a run out are at work, told by signs that each writes again and again.

No lock is held: on a shared file system one may outlive its holder, or keep nobody out. What two processes do at once
is done twice, and comes out the same; these signs spare that, and say whom the others wait for.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tawt.errors import ConfigError, StageError, TawtError, printable
from tawt.pipeline.board import Board

PARTS = "parts"
"""Folder aside where the parts of a run tell of themselves."""


@dataclass(frozen=True)
class Part:
    """One of `n` processes that share a run out: number `i`, from 1."""

    i: int
    n: int

    @classmethod
    def of(cls, text: str) -> Part:
        """Return a part that is written `i/N`.

        Raises:
            ConfigError: It is none.
        """
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        part = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= part.i <= part.n:
            raise ConfigError(
                f"--part {printable(text)}", "is no part, expected i/N with i from 1 to N", "as --part 2/8"
            )
        return part

    def __str__(self) -> str:
        return f"{self.i}/{self.n}"

    @property
    def name(self) -> str:
        """What files of it are called."""
        return f"{self.i}-of-{self.n}"

    @property
    def sign(self) -> str:
        """Under which name it tells of itself."""
        return f"{self.name}.json"


class Presence:
    """A part that is at work, within a `with`: it waits until no other process is the same part.

    Args:
        board: Where parts tell of themselves.
        part: Which it is.
        say: Hears that it waits.
        alike: What is the same for all parts, by its name.
    """

    def __init__(
        self, board: Board, part: Part, say: Callable[[str], None], alike: Mapping[str, str] | None = None
    ) -> None:
        self._board, self._part, self._say = board, part, say
        self._told: dict[str, Any] = {"token": secrets.token_hex(8), "host": socket.gethostname(), "pid": os.getpid()}
        self._told["alike"] = {**(alike or {})}
        self._ended, self._beats = threading.Event(), 0
        self._lost = False

    @property
    def token(self) -> str:
        """What no other process is called."""
        return str(self._told["token"])

    def __enter__(self) -> Presence:
        while not self._board.take(self._part.sign, self._said(), self._wait_for_others()):
            time.sleep(self._board.beat_seconds / 2)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(TawtError, OSError):  # what ended it is to be told, not that it could not be told here
            if self._lost or self._read().get("token") != self.token:
                return
            if error is None:
                self._board.remove(self._part.sign)
            else:
                # what libraries say may quote a cell
                self._told["failed"] = str(error) if isinstance(error, TawtError) else type(error).__name__
                self._write()

    def hold(self) -> None:
        """Hold that no other process took this one for gone.

        Raises:
            StageError: One did, and is this part now.
        """
        if self._lost:
            raise StageError(
                f"part {self._part}", "was silent for long, and another process is this part now, expected to be alone",
                "let that one go on",
            )  # fmt: skip

    def _wait_for_others(self) -> bytes:
        """Return what stands there when no other process is this part any more."""
        signs, said = Signs(self._board, self._part.n), False
        while True:
            text = self._board.read(self._part.sign)
            other = said_in(text)
            if not other or "failed" in other or not _may_live(other):
                return text
            if signs.silent(self._part.i) > self._board.still_seconds:
                return text
            if not said:
                place = f"process {other.get('pid')} of {other.get('host')}"
                self._say(f"part {self._part} is at work already, or was stopped there ({place}): waits for it to end")
                said = True
            time.sleep(self._board.beat_seconds / 2)

    def _beat(self) -> None:
        while not self._ended.wait(self._board.beat_seconds):
            with suppress(TawtError, OSError):  # the next may come through; what is at work tells of what lasts
                if self._read().get("token") not in (None, self.token):
                    self._lost = True
                    return
                self._write()

    def _read(self) -> dict[str, Any]:
        return said_in(self._board.read(self._part.sign))

    def _write(self) -> None:
        self._board.write(self._part.sign, self._said())

    def _said(self) -> bytes:
        self._beats += 1
        return json.dumps({**self._told, "beat": self._beats}).encode()


class Signs:
    """What the parts of a run let others see.

    Args:
        board: Where they tell of themselves.
        n: How many there are.
    """

    def __init__(self, board: Board, n: int) -> None:
        self._board, self._n = board, n
        self._seen: dict[int, tuple[dict[str, Any], float]] = {}
        self._begun = self._read_all(range(1, n + 1))

    def silent(self, i: int) -> float:
        """Return for how long part `i` has given no sign, as far as it was looked at, s."""
        said, now = self._read_all([i])[i], time.monotonic()
        before = self._seen.setdefault(i, (said, now))
        if before[0] != said:
            self._seen[i] = (said, now)
        return now - self._seen[i][1]

    def failed(self, i: int) -> str:
        """Return what ended part `i` since these were begun to be looked at; empty where nothing did."""
        said = self._read_all([i])[i]
        return str(said.get("failed", "")) if said != self._begun[i] else ""

    def had_failed(self, i: int) -> str:
        """Return what had ended part `i` before these were begun to be looked at, where it has not begun again."""
        return str(self._begun[i].get("failed", "")) if self._read_all([i])[i] == self._begun[i] else ""

    def differs(self, i: int, alike: Mapping[str, str]) -> list[str]:
        """Return in words what is not the same for part `i`; nothing where it has not been at work since."""
        said = self._read_all([i])[i]
        theirs = said.get("alike", {}) if said != self._begun[i] else {}
        there = {name: theirs.get(name, here) for name, here in alike.items()}
        return [f"{name} {there[name]}, and {here} here" for name, here in alike.items() if there[name] != here]

    def look_anew(self) -> None:
        """Forget how long parts have been silent: nobody has waited for them."""
        self._seen.clear()

    def _read_all(self, parts: Collection[int]) -> dict[int, dict[str, Any]]:
        return {i: said_in(self._board.read(Part(i, self._n).sign)) for i in parts}


def said_in(content: bytes) -> dict[str, Any]:
    """Return what a part says of itself; nothing where it says nothing, or is about to."""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _may_live(said: dict[str, Any]) -> bool:
    """Return whether a process may be there: of this machine it is known."""
    pid = said.get("pid")
    if said.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()
