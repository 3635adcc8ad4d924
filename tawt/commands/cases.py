"""The cases of a project: rows that are written out, and what its stages and macros make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tawt.builtin.all import stages_of
from tawt.config.named import names_of, resolve_pipeline
from tawt.contracts.layers import SQL_LAYERS
from tawt.database.macros import load_macros
from tawt.errors import ConfigError, ContractError, StageError, TawtError, nearest
from tawt.pipeline.workspace import open_workspace
from tawt.project import Project, current_folder, is_project
from tawt.shell import command
from tawt.sources.cases import run_case
from tawt.sources.macro_cases import run_macro_case

FOLDER = Path("tests") / "sql"
_MACROS = ("shared", "macros")


@dataclass(frozen=True)
class CaseResult:
    """What became of one case."""

    name: str
    """`<source>.<layer>.<stage>`, or `shared.macros.<macro>`."""
    file: Path
    differences: tuple[str, ...]
    """What differs from what the case says, or why it could not be tried; none where it holds."""

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.differences


@dataclass(frozen=True)
class CaseResults:
    """What became of the cases that were asked for."""

    results: tuple[CaseResult, ...]
    untested: tuple[str, ...]
    """Stages and macros of the project without a case."""

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
    """Run the cases of a project: `tests/sql/<source>/<layer>/<stage>.yaml`, and those of its macros.

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
    found = {file: _name(root, file) for file in _files(root / FOLDER) if file.is_relative_to(chosen)}
    own = [one for one in _own(root) if (root / FOLDER / one[1]).is_relative_to(chosen)]
    files = {file: name for file, name in found.items() if match is None or match.lower() in name.lower()}
    if match is not None and found and not files:
        raise ConfigError(
            f"-k {match}", "stands in no case's name, expected one that does", nearest(match, found.values())
        )
    results = []
    for file, name in files.items():
        results.append(CaseResult(name, file, tuple(run_one(file, project))))
        report(results[-1])
    below = chosen.relative_to(root / FOLDER).parts if chosen.is_relative_to(root / FOLDER) else ()
    if match is None and len(below) < 2:  # else single stages are asked for
        told = " ".join(text for one in results for text in one.differences)
        for failed in _refused(project, below):
            if failed.differences[0] not in told:  # else a case says it
                results.append(failed)
                report(failed)
    tested = {file.relative_to(root / FOLDER).with_suffix("") for file in found}
    return CaseResults(tuple(results), tuple(name for name, case in own if case not in tested) if match is None else ())


def _refused(project: Project, sources: tuple[str, ...]) -> Iterator[CaseResult]:
    """Yield a project's pipelines that an ingest would refuse before it reads a record; of some sources, or of all."""
    for name in names_of(project, of_pipeline=True):
        file = project.find(f"pipelines/{name}.yaml")
        if file is None or not project.owns(file):
            continue
        try:
            pipeline = resolve_pipeline(name, (), project)
            if not sources or pipeline.source in sources:
                stages_of(pipeline, project)
        except TawtError as error:
            yield CaseResult(f"pipelines.{name}", file, (str(error),))


def run_one(file: Path, project: Project) -> list[str]:
    """Run one case of a project, and return one line per difference; a case that cannot be tried differs too."""
    source, layer = file.parts[-3:-1]
    try:
        if (source, layer) == _MACROS:
            return run_macro_case(file, load_macros(project))
        if file.parts[-5:-3] != FOLDER.parts:
            return [f"lies at another place than {FOLDER}/SOURCE/LAYER/STAGE.yaml, where a case is found by its stage"]
        return run_case(file, project)
    except (ConfigError, ContractError, StageError) as error:
        return [str(error).removeprefix(f"{file}: ")]


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
            if folder.parts[-2:] == FOLDER.parts:
                return folder.parents[1], path
        if is_project(path) or (path / FOLDER).is_dir():
            return path, path
    if not is_project(root) and not (root / FOLDER).is_dir():
        raise ConfigError(
            str(root), f"is no project, expected a folder with `sql/` and `{FOLDER}/`", "give its path: tawt test PATH"
        )
    if where is None:
        return root, root
    project = Project.at(root)
    sources = {*project.folders("sql"), *project.folders("schemas")}
    sources |= {path.name for path in (root / FOLDER).glob("[!.]*/")}
    if str(where) not in sources:
        raise ConfigError(str(where), "is no project, case or source, expected one", nearest(str(where), sources))
    return root, root / FOLDER / str(where)


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("[!.]*")) if file.suffix in (".yaml", ".yml") and file.is_file()]


def _name(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root / FOLDER).with_suffix("").parts)


def _own(root: Path) -> list[tuple[str, Path]]:
    """Return the stages and macros of a project's own, each with the place of its case without its ending."""
    layers = [layer.name for layer in SQL_LAYERS]
    files = [path.relative_to(root / "sql").with_suffix("") for path in sorted((root / "sql").glob("*/*/[!.]*.sql"))]
    return [(".".join(file.parts), file) for file in files if file.parts[1] in layers or file.parts[:2] == _MACROS]
