"""The cases of a project: rows that are written out, and what its stages and macros make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tawt.builtin.all import stages_of
from tawt.config.named import names_of, resolve_pipeline
from tawt.contracts.layers import SQL_LAYERS, raw_table
from tawt.contracts.table import SUFFIXES
from tawt.errors import ConfigError, ContractError, StageError, TawtError, nearest
from tawt.pipeline.cases import run_case
from tawt.pipeline.workspace import open_workspace
from tawt.project import Project, current_folder, is_project
from tawt.shell import command
from tawt.sources.case_files import CASES, Case, read_cases
from tawt.sources.macro_cases import run_macro_case
from tawt.sources.tables import without_keys

_MACROS = ("shared", "macros")


@dataclass(frozen=True)
class CaseResult:
    """What became of one case."""

    name: str
    """`<source>.<layer>.<stage>`, or `shared.macros.<macro>`."""
    file: Path
    line: int | None
    """Where it begins, in a file that holds several."""
    differences: tuple[str, ...]
    """What differs from what the case says, or why it could not be tried; none where it holds."""

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.differences

    @property
    def place(self) -> str:
        """The file, and in one that holds several the line and the stage."""
        return f"{self.file}:{self.line}: {self.name}" if self.line is not None else str(self.file)


@dataclass(frozen=True)
class CaseResults:
    """What became of the cases that were asked for."""

    results: tuple[CaseResult, ...]
    untested: tuple[str, ...]
    """Stages and macros of the project without a case."""
    declared: tuple[str, ...] = ()
    """Staging that no case holds, neither by itself nor on the way to another stage: it follows from its contract."""
    notes: tuple[str, ...] = ()
    """What an ingest by a pipeline of the project would say of its contracts."""

    @property
    def ok(self) -> bool:
        """Whether every case holds."""
        return all(result.ok for result in self.results)


def test(
    where: str | Path | None = None,
    *,
    match: str | None = None,
    workspace: str | Path | None = None,
    report: Callable[[CaseResult], None] = lambda result: None,
) -> CaseResults:
    """Run the cases of a project: `tests/sql/<source>.yaml`, `tests/sql/<source>/<layer>/<stage>.yaml`, and those of
    its macros.

    What an ingest by one of its pipelines would refuse before it reads a record fails too.

    Args:
        where: The project, a folder or file below its `tests/sql`, or a source; the current folder by default.
        match: Only cases with this in their name, as `labs` or `clinic.staging`.
        workspace: Instead of the current folder, the project of this workspace.
        report: Hears each result.

    Raises:
        ConfigError: There is no such project, source or case.
    """
    root, chosen = _chosen(where, workspace)
    project = Project.at(root)
    found = {file: cases_of(file, root) for file in _files(root / CASES)}
    asked = [case for file, cases in found.items() if _is_in(file, chosen, root) for case in cases]
    cases = [case for case in asked if match is None or match.lower() in case.name.lower()]
    if match is not None and not cases:
        raise ConfigError(
            f"-k {match}",
            "stands in no case's name, expected one that does",
            nearest(match, [one.name for one in asked]) if asked else "there is no case here yet",
        )
    results = []
    for case in cases:
        results.append(CaseResult(case.name, case.file, case.line, tuple(case.differences(project))))
        report(results[-1])
    below = chosen.relative_to(root / CASES).parts if chosen.is_relative_to(root / CASES) else ()
    if match is not None or len(below) > 1:  # single stages are asked for
        return CaseResults(tuple(results), ())
    sources = tuple(name.removesuffix(".yaml") for name in below)
    told = " ".join(text for one in results for text in one.differences)
    notes: list[str] = []
    for failed in _refused(project, sources, notes):
        if failed.differences[0] not in told:  # else a case says it
            results.append(failed)
            report(failed)
    cases = [case for cases in found.values() for case in cases]
    tested = {name for case in cases for name in case.holds}
    unknown = tuple(f"{case.name.partition('.')[0]}." for case in cases if not case.readable)
    own, declared = (
        tuple(one for one in names if one not in tested and not one.startswith(unknown))
        for names in _own(root, sources)
    )
    return CaseResults(tuple(results), own, declared, tuple(dict.fromkeys(notes)))


def _refused(project: Project, sources: tuple[str, ...], notes: list[str]) -> Iterator[CaseResult]:
    """Yield a project's pipelines that an ingest would refuse before it reads a record; of some sources, or of all.
    What it would say of contracts is noted."""
    for name in names_of(project, of_pipeline=True):
        file = project.find(f"pipelines/{name}.yaml")
        if file is None or not project.owns(file):
            continue
        try:
            pipeline = resolve_pipeline(name, (), project)
            if not sources or pipeline.source in sources:
                graph = stages_of(pipeline, project)
                notes += without_keys(graph.stages, graph.raw_contracts)
                for fault in graph.faulty.values():
                    yield CaseResult(f"pipelines.{name}", file, None, (_less(fault, file),))
        except TawtError as error:
            yield CaseResult(f"pipelines.{name}", file, None, (_less(error, file),))


@dataclass(frozen=True)
class FoundCase:
    """A case of a file, whatever it is of."""

    name: str
    file: Path
    holds: tuple[str, ...]
    """The stages that it tries: its own, and staging on the way from raw rows."""
    try_on: Callable[[Project], list[str]]
    """Says what differs, by the files of a project."""
    line: int | None = None
    readable: bool = True
    """Whether it is known which stages it tries."""

    def differences(self, project: Project) -> list[str]:
        """Return one line per difference; a case that cannot be tried differs too."""
        try:
            return self.try_on(project)
        except (ConfigError, ContractError, StageError) as error:
            return [_less(error, self.file)]


def cases_of(file: Path, root: Path) -> list[FoundCase]:
    """Return the cases of a file of a project; one that cannot be read is one that differs."""
    parts = file.relative_to(root / CASES).with_suffix("").parts
    name = ".".join(parts)
    if parts[:-1] == _MACROS:
        return [FoundCase(name, file, (name,), lambda project: run_macro_case(file, project))]
    try:
        cases = read_cases(file, root / CASES)
    except ConfigError as error:
        said = [_less(error, file)]
        return [FoundCase(name, file, (), lambda project: said, readable=False)]
    return [FoundCase(one.name, file, (one.name, *_on_the_way(one)), partial(run_case, one), one.line) for one in cases]


def _less(error: TawtError, file: Path) -> str:
    """Return what is said of a file that is named beside it, and what mends it."""
    said = re.sub(r"^:(\d+): ", r"line \1: ", str(error).removeprefix(str(file))).removeprefix(": ")
    return f"{said} ({error.hint})" if error.hint else said


def _on_the_way(case: Case) -> Iterator[str]:
    given = case.said.get("given")
    for name in given if isinstance(given, dict) else ():
        if (table := raw_table(name)) is not None:
            yield f"{case.source}.staging.{table}"


def _chosen(where: str | Path | None, workspace: str | Path | None) -> tuple[Path, Path]:
    """Return the folder of a project, and the folder or file of the cases that are asked for."""
    root = current_folder()
    if workspace is not None:
        opened = open_workspace(Path(workspace).expanduser())
        if opened.project.root is None:
            raise ConfigError(
                str(workspace), "was made without a project, expected one that has cases",
                f"see `{command('sql', 'STAGE', workspace=workspace)} --write`",
            )  # fmt: skip
        root = opened.project.root
    if where is not None and (path := root / Path(where).expanduser()).exists():
        path = path.resolve()
        for folder in (path, *path.parents):
            if folder.parts[-2:] == CASES.parts:
                return folder.parents[1], path
        if is_project(path) or (path / CASES).is_dir():
            return path, path
    if not is_project(root) and not (root / CASES).is_dir():
        raise ConfigError(
            str(root), f"is no project, expected a folder with `sql/` and `{CASES}/`", "give its path: tawt test PATH"
        )
    if where is None:
        return root, root
    project = Project.at(root)
    sources = {*project.folders("sql"), *project.folders("schemas")}
    sources |= {path.stem for path in (root / CASES).glob("[!.]*")}
    if str(where) not in sources:
        raise ConfigError(str(where), "is no project, case or source, expected one", nearest(str(where), sources))
    return root, root / CASES / str(where)


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("[!.]*")) if file.suffix in (".yaml", ".yml") and file.is_file()]


def _is_in(file: Path, chosen: Path, root: Path) -> bool:
    """Return whether a file is among what is asked for; that of a source beside its folder is."""
    beside = chosen.parent == root / CASES and file.with_suffix("") == chosen
    return file.is_relative_to(chosen) or beside


def _own(root: Path, sources: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the stages and macros of a project's own, of one source or of all, and those that contracts imply."""
    layers = [layer.name for layer in SQL_LAYERS]
    files = [path.relative_to(root / "sql").with_suffix("").parts for path in sorted(root.glob("sql/*/*/[!.]*.sql"))]
    own = [".".join(parts) for parts in files if parts[1] in layers or parts[:2] == _MACROS]
    tables = [path for path in sorted(root.glob("schemas/*/[!.]*")) if path.suffix in SUFFIXES and path.is_file()]
    declared = [f"{path.parent.name}.staging.{path.stem}" for path in tables]
    declared = [name for name in declared if name not in own]
    if sources:
        own, declared = ([one for one in names if one.startswith(f"{sources[0]}.")] for names in (own, declared))
    return own, declared
