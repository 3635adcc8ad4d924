"""What is remembered of a raw file, so that it need not be read again."""

from __future__ import annotations

from tawt.config.base import Section


class TableSeen(Section):
    """A raw table as it was when it was read, or looked for."""

    identity: str = ""
    """What stages know it by; nothing where it was absent."""
    files: tuple[str, ...] = ()
    """Its files, by path below the raw root; none where it was absent."""
    places: tuple[str, ...] = ()
    """Where its contract looks for them."""


class RawSeen(Section):
    """A raw file as it was when it was hashed."""

    stamp: tuple[int, ...]
    """As `stamp` tells it: while it stays, so does the hash."""
    sha256: str
    n_records: int = 0
    """Records that it holds, counted from its bytes."""
    n_passed: int = 0
    """Files of an archive that are none of the table's."""
    n_hidden: int = 0
    """Files of an archive whose names say that they are no data."""
    n_blank: int = 0
    """Bytes of the longest stretch of blank lines in it, which the engine counts to the record behind them."""
    n_tail: int = 0
    """Bytes behind the last record, as UTF-8, that are no text: Ctrl-Z and NUL."""
    counted_as: str = ""
    """Digest of how text was said to be written when they were counted."""

    def is_as_large(self, now: tuple[int, ...]) -> bool:
        """Return whether the stamp of a file tells the size that it had."""
        return len(now) > 1 and now[1:2] == self.stamp[1:2]
