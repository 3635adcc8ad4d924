"""A project: the user's folder of `pipelines/`, `sql/` and `schemas/`, laid over what comes with tawt.

A file of the project takes the place of tawt's of the same path, whole: no two files are ever merged. What comes with
tawt lies beside the package in a checkout, inside it in a wheel.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tawt.errors import ConfigError
from tawt.readers import MAX_WRITTEN_BYTES, read_text

_PACKAGE = Path(__file__).resolve().parent
SHARED = "shared"
"""Folder beside those of sources of what is said for all."""
FOLDERS = ("pipelines", "sql", "schemas")
"""What makes a folder a project: one of these in it."""


def asset_root() -> Path:
    """Return the folder that holds tawt's own `sql/`, `schemas/` and `pipelines/`."""
    packaged = _PACKAGE / "_assets"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def asset(relative: str) -> Path:
    """Return the path of a file or folder that comes with tawt, such as `schemas/events.json`.

    Raises:
        ConfigError: It is not there.
    """
    path = asset_root() / relative
    if not path.exists():
        raise ConfigError(relative, "does not come with this tawt, expected it beside the package", "reinstall tawt")
    return path


def current_folder() -> Path:
    """Return the current folder; where it was removed meanwhile, a path that leads nowhere."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.devnull) / "gone"


def is_project(folder: Path) -> bool:
    """Return whether a folder is one of tawt's shape, and may be looked into."""
    with suppress(OSError):
        return any((folder / name).is_dir() for name in FOLDERS)
    return False


@dataclass(frozen=True)
class Project:
    """The files that a pipeline is made of: those of a folder, before those that come with tawt."""

    root: Path | None = None
    """The folder; None = what comes with tawt alone."""

    @classmethod
    def at(cls, folder: Path) -> Project:
        """Return the project of a folder; a folder of another shape, and tawt's own, add nothing."""
        place = Path(os.path.realpath(folder))
        return cls(place if is_project(place) and place != Path(os.path.realpath(asset_root())) else None)

    @classmethod
    def here(cls) -> Project:
        """Return the project of the current folder."""
        return cls.at(current_folder())

    @classmethod
    def of(cls, name_or_file: str) -> Project:
        """Return the project that a pipeline is looked for in, or belongs to.

        A name is looked for in the current folder. A file `pipelines/x.yaml` belongs to the folder around, another one
        to the folder it lies in; where that is no project, the current folder is asked as for a name.
        """
        path = Path(os.path.normpath(current_folder() / Path(name_or_file).expanduser()))
        if path.suffix in (".yaml", ".yml") and path.parent.name == "pipelines":
            return cls.at(path.parents[1])
        beside = path.suffix in (".yaml", ".yml") and is_project(path.parent)
        return cls.at(path.parent) if beside else cls.here()

    @property
    def roots(self) -> list[Path]:
        """The folders, the one that wins first."""
        return [*([self.root] if self.root is not None else []), asset_root()]

    def find(self, *paths: str) -> Path | None:
        """Return the file of a path such as `sql/mimic_iv/event_parts/labs.sql`, or of several that mean the same;
        None where there is none. What a source does not say is said for all in `shared`."""
        of_all = [f"{top}/{SHARED}/{rest}" for top, _, rest in map(_parted, paths) if rest]
        there = (root / path for names in (paths, of_all) for root in self.roots for path in names)
        return next((self.own(path) for path in there if path.is_file()), None)

    def files(self, folder: str, suffix: str) -> dict[str, Path]:
        """Return the files of a folder whose names end so, by their stems and in order; hidden ones are none."""
        found: dict[str, Path] = {}
        for root in reversed(self.roots):
            for path in (root / folder).glob(f"[!.]*{suffix}"):
                if path.is_file():
                    found[path.name.removesuffix(suffix)] = self.own(path)
        return dict(sorted(found.items()))

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return sorted({path.name for root in self.roots for path in (root / folder).glob("[!.]*/")})

    def own(self, path: Path, said_at: str = "") -> Path:
        """Return a file that the project has, or that a file of it names.

        A project can come from somebody else, and what is read of it is kept in workspaces, which are shared.

        Args:
            path: The file.
            said_at: Where it is named; empty = it is the file of its own path.

        Raises:
            ConfigError: It lies, links followed, neither in the project nor in what comes with tawt.
        """
        if self.root is None or not (said_at or self.lies_in(path)):
            return path
        place = Path(os.path.realpath(path))
        if not any(place.is_relative_to(os.path.realpath(root)) for root in self.roots):
            raise ConfigError(
                said_at or str(path), f"leads out of the project {self.root}, expected a file in it",
                "copy what it leads to into the project",
            )  # fmt: skip
        return path

    def lies_in(self, path: Path) -> bool:
        """Return whether a file lies in the folder by its name, whatever of that is a link."""
        places = (Path(os.path.normpath(current_folder() / path)), Path(os.path.realpath(path.parent)) / path.name)
        return self.root is not None and any(place.is_relative_to(self.root) for place in places)

    def has(self, source: str) -> bool:
        """Return whether the user's folder has a file of a source, or one for all sources."""
        names = (f"sql/{source}", f"schemas/{source}", "sql/shared")
        return self.root is not None and any((self.root / name).is_dir() for name in names)

    def brings(self, source: str) -> bool:
        """Return whether there are files of a source, the user's or tawt's."""
        return source in {*self.folders("sql"), *self.folders("schemas")}

    def owns(self, path: Path) -> bool:
        """Return whether a file is the user's."""
        return self.root is not None and path.is_relative_to(self.root)

    def hold(self) -> None:
        """Refuse what the project would replace of tawt's own stages: their code knows these columns and no others.

        Raises:
            ConfigError: It has a contract of one that is another.
        """
        for path in sorted(asset("schemas").glob("*.json")):
            own = self.root / "schemas" / path.name if self.root is not None else path
            if path.name.endswith(".schema.json") or not own.is_file() or _text(own) == _text(path):
                continue
            raise ConfigError(
                str(own), "is the contract of a stage that is code of tawt's, expected none in a project",
                "take it out: a project has contracts of its raw tables and of its own stages, as "
                "schemas/SOURCE/TABLE.json",
            )  # fmt: skip


def _parted(path: str) -> tuple[str, str, str]:
    """Return the first folder of a path, the source that it is of, and the rest."""
    top, _, rest = path.partition("/")
    return top, *rest.partition("/")[::2]


def _text(path: Path) -> str:
    return read_text(path, "mend the file", ConfigError, "a contract", MAX_WRITTEN_BYTES)
