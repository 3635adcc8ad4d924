"""A pipeline or a training config by its name, by its file, or as it is; the user's come before those of tawt."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tawt.config.base import one_or_more
from tawt.config.load import Places, build, extended, load, merge, overridden, overrides, read_yaml
from tawt.config.pipeline import PipelineConfig
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError, TawtError, nearest
from tawt.project import Project
from tawt.shell import shell_line


def resolve_pipeline(
    name_or_file: str, settings: str | Sequence[str] = (), project: Project | None = None
) -> PipelineConfig:
    """Return the pipeline of that name, the project's or one that comes with tawt, or of that YAML file.

    Args:
        name_or_file: The name, or the file.
        settings: Overrides, `key=value`.
        project: Where names are looked for, and those that a pipeline extends; None = as of `Project.of`.

    Raises:
        ConfigError: There is no such pipeline or file, or it is wrong.
    """
    data, path, places = _read_pipeline(name_or_file, project or Project.of(name_or_file))
    settings = one_or_more(settings)
    return build(PipelineConfig, merge(data, overrides(settings)), str(path), places, settings)


@contextmanager
def placed(name_or_file: str, settings: str | Sequence[str], project: Project) -> Iterator[None]:
    """Name the file and the line in what is said of a key of a pipeline that no override set."""
    try:
        yield
    except ConfigError as error:
        places = _read_pipeline(name_or_file, project)[2]
        plain = re.sub(r"\.\d+$", "", error.where) if error.where.startswith(("off.", "order.")) else error.where
        at = {".".join(map(str, key)): place for key, place in places.items()}.get(plain)
        if at is None or any(f"{error.where}.".startswith(f"{key}.") for key in overridden(settings)):
            raise
        raise ConfigError(at, f"`{error.where}`: {error.what}", error.hint) from None


def _read_pipeline(name_or_file: str, found: Project) -> tuple[dict[str, Any], Path, Places]:
    """Return what a pipeline's file says, laid on what it extends, with the file and the place of each key."""
    path = Path(name_or_file).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        named = _named(found, name_or_file, of_pipeline=True)
        if named is None:
            written = Path(f"{name_or_file}.yaml").expanduser()
            raise ConfigError(
                f"--pipeline {name_or_file}",
                f"is no pipeline, expected a name or a .yaml file: names are looked for in {_looked_in(found)}",
                f"give the file: --pipeline {shell_line(str(written))}"
                if written.is_file() and _is(written, of_pipeline=True)
                else nearest(name_or_file, names_of(found, of_pipeline=True)),
            )
        path = named
    elif not path.exists() and path.name == name_or_file and _named(found, path.stem, of_pipeline=True):
        raise ConfigError(f"--pipeline {name_or_file}", "is no file here, expected one", f"--pipeline {path.stem}")

    def base_of(file: Path, name: str) -> Path:
        if Path(name).suffix in (".yaml", ".yml"):
            if not (base := file.parent / Path(name).expanduser()).is_file():
                where = f"it is looked for from {file.parent}"
                raise ConfigError("", f"`extends: {name}` is not there, expected a file", where)
            return found.own(base, f"`extends: {name}`") if found.lies_in(file) else base
        # by its own name it extends the one whose place it takes
        named = _named(found, name, of_pipeline=True, beside=file)
        if named is None:
            known = [one for one in names_of(found, of_pipeline=True) if one != file.stem]
            raise ConfigError("", f"`extends: {name}` names no pipeline, expected one", nearest(name, known))
        return named

    data, places = extended(found.own(path), base_of)
    if places.get(("name",), "").rpartition(":")[0] != str(path):
        data["name"] = path.stem  # that of its file; a variant is no second one of the name
    return data, path, places


def _looked_in(project: Project) -> str:
    """Say where the file of a name may lie."""
    tawt = "among those that come with tawt"
    if project.root is None:
        return f"`pipelines/` of the current folder, which has none, and {tawt}"
    return f"{project.root / 'pipelines'} and {tawt}"


def resolve_config(config: str | Path | PretrainConfig, settings: Sequence[str]) -> tuple[str, PretrainConfig]:
    """Return a config's name and its tree with the overrides laid on.

    Raises:
        ConfigError: There is no such config, or it does not hold.
    """
    if isinstance(config, PretrainConfig):
        tree = merge(config.model_dump(), overrides(settings))
        return "pretrain", build(PretrainConfig, tree, "config", settings=settings)
    if not isinstance(config, str | os.PathLike):
        raise ConfigError("config", f"is a {type(config).__name__}, expected a name, a file or a PretrainConfig",
                          "give single keys as `settings`, as `train.max_steps=80`")  # fmt: skip
    path = config_file(config)
    name = path.resolve().parent.name if path.stem == "config" else path.stem
    return name, load(PretrainConfig, path, settings)


def config_file(config: str | Path) -> Path:
    """Return the file of a training config: itself, the project's of that name, or that which comes with tawt.

    Raises:
        ConfigError: There is no config of that name.
    """
    path = Path(config)
    if path.suffix in (".yaml", ".yml"):
        return path
    project = Project.of(str(config))
    named = _named(project, str(config), of_pipeline=False)
    if named is None:
        raise ConfigError(
            f"--config {config}", "is no config, expected a name or a .yaml file",
            nearest(str(config), names_of(project, of_pipeline=False)),
        )  # fmt: skip
    return named


def _named(project: Project, name: str, of_pipeline: bool, beside: Path | None = None) -> Path | None:
    """Return the file of a name: of the project, or beside the file that names it, or tawt's; None = there is none."""
    if Path(name).name != name:
        return None
    folders = [root / "pipelines" for root in project.roots]
    folders[-1:-1] = [beside.parent] if beside is not None else []
    files = [folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file()]
    others = [file for file in files if beside is None or not file.samefile(beside)]
    return next((project.own(file) for file in others if _is(file, of_pipeline)), None)


def names_of(project: Project, of_pipeline: bool) -> list[str]:
    return [name for name, file in project.files("pipelines", ".yaml").items() if _is(file, of_pipeline)]


def _is(file: Path, of_pipeline: bool) -> bool:
    """Return whether a config is of a pipeline, or else of a training; one that cannot be read may be either."""
    with suppress(TawtError):
        return bool({"source", "extends"} & set(read_yaml(file)[0])) == of_pipeline
    return True
