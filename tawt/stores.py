"""A folder in an object store, of any kind that fsspec opens: whole objects come and go, and errors tell no key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tawt.errors import ConfigError, FileError, TawtError, printable
from tawt.files import make_folder
from tawt.places import leads_below
from tawt.room import room_error

AT_ONCE = 8
"""Objects that come or go at once."""
_FILES = ("file", "local")
One = TypeVar("One")
Other = TypeVar("Other")
Given = TypeVar("Given")


class Store:
    """A folder in an object store. Who may read it is what its bucket says: nothing is made public here.

    Args:
        url: As `s3://BUCKET/FOLDER`.
        kind: Of the errors that tell what is wrong with what is in it.

    Raises:
        ConfigError: The URL is none, may name a user or a key, or is of a kind that nothing here opens.
    """

    def __init__(self, url: str, kind: type[TawtError] = FileError) -> None:
        self.url, self._kind = url.rstrip("/"), kind
        # before anything is said of it: whatever is wrong with it besides, an error would repeat the key
        if re.search("[@?#]", url):
            raise ConfigError(
                "the store's URL", "may name a user or a key (it has one of @?#), expected none",
                "give keys as the store's own tools read them, as in AWS_ACCESS_KEY_ID",
            )  # fmt: skip
        scheme, found, rest = url.partition("://")
        if not re.fullmatch("[a-z0-9]+", scheme) or not found or not rest.strip("/"):
            raise ConfigError(url, "is no URL of a workspace, expected one", "as s3://BUCKET/FOLDER")
        import fsspec

        # what a store holds is asked of it each time: others change it
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        options |= {"auto_mkdir": True} if scheme in _FILES else {}
        with self._told(self.url):
            try:
                self._system, self._root = fsspec.core.url_to_fs(self.url, **options)
                self._of_files = scheme in _FILES
            except (ImportError, ValueError) as error:
                known = isinstance(error, ImportError)
                hint = (
                    'pip install "tawt[s3]"' if scheme in ("s3", "s3a") else "install what fsspec opens such URLs with"
                )
                absent = "cannot be opened, for what does is not installed"
                what = absent if known else "is of no kind that is known"
                raise ConfigError(url, f"{what}, expected one of fsspec's", hint) from None

    def place(self, name: str) -> str:
        """Return the URL of an object, by its name in the folder."""
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return a small object; None where there is none."""
        return self._asked(self.place(name), lambda: bytes(self._system.cat_file(f"{self._root}/{name}")), None)

    def write(self, name: str, content: bytes, private: bool = False) -> None:
        """Write a small object, in the place of what is there; `private` is as of `put`."""
        with self._told(self.place(name)):
            self._make_private(name, private)
            self._system.pipe_file(f"{self._root}/{name}", content)

    def get(self, name: str, path: Path) -> bool:
        """Write an object to a file; return whether there is one."""

        def got() -> bool:
            self._system.get_file(f"{self._root}/{name}", str(path))
            return True

        return self._asked(self.place(name), got, False, path)

    def put(self, path: Path, name: str, private: bool = False) -> None:
        """Write a file to an object, in the place of what is there.

        Where objects are files, a private one is from its first byte on the owner's alone, as is the folder that is
        made for it, if what stands there does not say more. In a bucket it is for the bucket to say.
        """
        with self._told(self.place(name)):
            self._make_private(name, private)
            self._system.put_file(str(path), f"{self._root}/{name}")

    def _make_private(self, name: str, private: bool) -> None:
        path = Path(self._root) / name
        if private and self._of_files and not path.exists():
            Path(self._root).mkdir(parents=True, exist_ok=True)
            make_folder(path.parent, private)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def names(self, folder: str) -> list[str]:
        """Return the names of all objects below a folder of it."""
        place = f"{self._root}/{folder}"
        found: list[str] = self._asked(self.place(folder), lambda: self._system.find(place), [])
        below = (name for name in found if name.startswith(f"{place}/") and not name.endswith("/"))
        names = sorted(name[len(self._root) + 1 :] for name in below)
        for name in names:  # a store has no folders, and takes any name: here it would be a place
            if not leads_below(name):
                raise self._kind(
                    self.place(folder), f"has an object whose name leads elsewhere ({printable(name)}), expected what "
                    "tawt wrote", "find out who put it there, and remove it",
                )  # fmt: skip
        return names

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, whether they are there or not."""
        each(names, self._remove)

    def _remove(self, name: str) -> None:
        self._asked(self.place(name), lambda: self._system.rm_file(f"{self._root}/{name}"), None)

    def _asked(self, place: str, act: Callable[[], One], absent: Other, path: Path | None = None) -> One | Other:
        """Return what an act on an object gives; `absent` where there is no such object."""
        with self._told(place, path):
            try:
                return act()
            except FileNotFoundError as error:
                if _lacks_bucket(error):
                    raise
                return absent

    @contextmanager
    def _told(self, place: str, path: Path | None = None) -> Iterator[None]:
        """Tell of a store that does not answer as it should: its errors are of many kinds, and can name keys."""
        try:
            yield
        except TawtError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and (full := room_error(error, path or "the workspace")) is not None:
                raise full from None
            if _lacks_bucket(error):
                raise self._kind(
                    self.url, "is in a bucket that is not there, expected one that is",
                    "look at its name, its region and the server that is asked; or make it with the store's own tools",
                ) from None  # fmt: skip
            raise self._kind(
                place, f"cannot be reached ({type(error).__name__}), expected a store that takes and hands over",
                "look at its address, at your keys for it and at what they allow; then run this again",
            ) from None  # fmt: skip


def _lacks_bucket(error: BaseException) -> bool:
    """Return whether a store said that it has no such bucket: what opens it may tell so as of an object."""
    said = getattr(error.__cause__ or error, "response", None)
    about = said.get("Error") if isinstance(said, dict) else None
    return isinstance(about, dict) and about.get("Code") == "NoSuchBucket"


def each(names: Iterable[Given], act: Callable[[Given], One]) -> list[One]:
    """Do something with each of several objects, several at once; an error leaves those that have not begun."""
    todo: Sequence[Given] = list(names)
    if len(todo) < 2:
        return [act(one) for one in todo]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            return [job.result() for job in [pool.submit(act, one) for one in todo]]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
