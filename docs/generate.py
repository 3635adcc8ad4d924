"""Writes the reference pages and the JSON schemas from the code: `python docs/generate.py [--check]`.

Commands come from the app, keys from the config trees, columns from the contracts, errors and functions from their
docstrings. `--check` writes nothing and exits with 1 where a file is not what would be written.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import itertools
import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import tawt
import tawt.errors
from tawt.batching.batch import PackedBatch
from tawt.cli.app import app
from tawt.config.pipeline import PipelineConfig
from tawt.config.rules import RulesConfig
from tawt.config.sweep import SweepConfig
from tawt.config.train import PretrainConfig
from tawt.contracts.contract import Contract, read_contract
from tawt.contracts.reasons import REASONS
from tawt.contracts.table import Table
from tawt.contracts.types import SHORT, TYPES
from tawt.database.macros import load_macros
from tawt.labels.leaks.catalogue import leaks_page
from tawt.pipeline.manifest import Manifest
from tawt.project import Project
from tawt.runs.hub import Embedded
from tawt.sources.tables import Tables

ROOT = Path(__file__).resolve().parents[1]
TREES: dict[str, tuple[type[BaseModel], str]] = {
    "pipeline": (PipelineConfig, "A pipeline: `pipelines/mimic_iv.yaml`, `tawt ingest --pipeline`."),
    "pretrain": (PretrainConfig, "A pretraining run: `pipelines/pretrain_small.yaml`, `tawt pretrain --config`."),
    "table": (Table, "A raw table: `schemas/mimic_iv/labevents.yaml`. Its name is that of the file."),
    "sweep": (SweepConfig, "Arms times seeds, run in turn: `tawt sweep`."),
    "rules": (RulesConfig, "What invented records are held to: `pipelines/rules.yaml`, `tawt generate --rules`."),
}
SCHEMAS: dict[str, type[BaseModel]] = {
    "pipeline": PipelineConfig, "pretrain": PretrainConfig, "sweep": SweepConfig, "rules": RulesConfig,
    "contract": Contract, "manifest": Manifest,
}  # fmt: skip
NOTE = "<!-- made by docs/generate.py: edit the code, then run it again -->\n"


def commands() -> dict[str, Any]:
    """Return the commands by name, in the order of the help."""
    return dict(typer.main.get_command(app).commands)


def options(command: Any) -> dict[str, Any]:
    """Return a command's arguments and options by every spelling."""
    return {spelling: p for p in command.params for spelling in (*p.opts, *p.secondary_opts)}


def cli_page() -> str:
    """Return `cli.md`."""
    callbacks = {info.name: info.callback for info in app.registered_commands}
    out = [NOTE, "# Commands\n"]
    out.append("Data is printed on stdout, all else on stderr. Exit codes: 0 done, 1 an error or a failed check,")
    out.append("2 wrong usage or config, 130 interrupted. `tawt --help`, `tawt --version`, `tawt COMMAND --help`.\n")
    for name, command in commands().items():
        sentence, _, example = command.help.partition("\n\nExample: ")
        hints = typing.get_type_hints(callbacks[name])
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)
        out += [f"## tawt {name}\n", f"{sentence}.\n", "```", f"tawt {name} {usage}".rstrip() + " [OPTIONS]", "```\n"]
        out += ["| | | default | |", "|---|---|---|---|"]
        for p in command.params:
            spelled = f"`{p.name.upper()}`" if p in arguments else ", ".join(f"`{o}`" for o in p.opts)
            if p.required:
                default = "required"
            else:
                default = "" if p.default is None or p.default is False else f"`{_plain(p.default)}`"
            out.append(f"| {spelled} | {_type(hints[p.name])} | {default} | {_cell(p.help)} |")
        out += ["", f"Example: `{example}`\n", f"In Python: [`tawt.{name.replace('-', '_')}`](api.md)\n"]
    return "\n".join(out)


def config_page() -> str:
    """Return `config.md`."""
    out = [NOTE, "# Config\n"]
    out.append("A YAML file is checked against one of these trees; an unknown key is an error that names the nearest")
    out.append("known one and the line. `--set a.b=value` lays a value over the file. Editors that read")
    out.append("`# yaml-language-server: $schema=...` complete keys from `schemas/*.schema.json`.\n")
    for title, (tree, sentence) in TREES.items():
        out += [f"## {title.capitalize()}\n", f"{sentence}\n"]
        for path, section in sections(tree):
            heading = f"`{path}`" if path else "top level"
            out += [f"### {title}: {heading}\n", f"{_sentence(section)}\n"]
            out += ["| key | type | default | |", "|---|---|---|---|"]
            for key, field in section.model_fields.items():
                name = field.alias or key
                out.append(f"| `{name}` | {_field_type(field)} | {_default(field)} | {_cell(field.description)} |")
            out.append("")
    return "\n".join(out)


def sections(
    tree: type[BaseModel], path: str = "", known: set[type[BaseModel]] | None = None
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section of a config tree with its dotted path; `[]` marks a list and `.*` a mapping.

    One that may be left out is yielded where it is not `known` by another path.
    """
    known = set() if known is None else known
    known.add(tree)
    yield path, tree
    for key, field in tree.model_fields.items():
        optional = typing.get_origin(field.annotation) in (types.UnionType, typing.Union)
        for option, mark in _inner(field.annotation):
            if isinstance(option, type) and issubclass(option, BaseModel) and not (optional and option in known):
                yield from sections(option, f"{path}.{key}{mark}".lstrip("."), known)


def _inner(annotation: Any) -> Iterator[tuple[Any, str]]:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        yield args[0], "[]"
    elif origin is dict:
        yield args[1], ".*"
    elif origin in (types.UnionType, typing.Union):
        yield from ((one, "") for one in args)
    else:
        yield annotation, ""


def schemas_page() -> str:
    """Return `schemas.md`."""
    out = [NOTE, "# Relations\n"]
    out.append("What each relation promises, from the contracts in `schemas/`. A stage whose output differs fails.")
    out.append("`?` marks a column that may be null, *optional* one that may be absent.\n")
    folder = ROOT / "schemas"
    groups = {
        "Every source": [read_contract(p) for p in sorted(folder.glob("*.json")) if not p.name.endswith(".schema.json")]
    }
    for source in sorted(p.name for p in folder.iterdir() if p.is_dir()):
        tables = Tables(Project(), source)
        staged = (tables.contract("staging", name) for name in tables)
        groups[f"Source {source}"] = [*tables.values(), *(one for one in staged if one is not None)]
    for title, contracts in groups.items():
        out.append(f"## {title}\n")
        for contract in contracts:
            out += [f"### {contract.name}\n", f"{contract.description}\n"]
            if contract.paths:
                absent = "" if contract.required else "; the table may be absent"
                out.append(f"Found at {' or '.join(f'`{p}`' for p in contract.paths)} below the raw root{absent}.\n")
            if contract.sorted_by:
                out.append(f"Sorted by {', '.join(f'`{c}`' for c in contract.sorted_by)}.\n")
            out += ["| column | type | |", "|---|---|---|"]
            for column in contract.columns:
                may = ("?" if column.nullable else "") + ("" if column.required else ", *optional*")
                unit = f" ({column.unit})" if column.unit else ""
                out.append(f"| `{column.name}` | {column.type}{may} | {_cell(column.description)}{unit} |")
            out.append("")
            if contract.reasons:
                out.append(
                    f"Adds to the words of a `_reason`: {', '.join(f'`{word}`' for word in contract.reasons)}.\n"
                )
    out += [
        "## Words of a _reason\n",
        "Every stage may give these as `<rule>` or `<reason>`; `reasons` in the contract of a",
        "raw table adds others, for all that comes from it.\n",
    ]
    out += ["| word | |", "|---|---|", *(f"| `{word}` | {meaning} |" for word, meaning in REASONS.items()), ""]
    return "\n".join(out)


def macros_page() -> str:
    """Return `macros.md`."""
    out = [NOTE, "# Macros\n"]
    out.append("What reads the cells of raw tables, in every stage and in `tawt query`; the text of each is in")
    out.append(
        "`sql/shared/macros/NAME.sql`, its case in `tests/sql/shared/macros/NAME.yaml`. A file of the same path in"
    )
    out.append("your own project takes its place. Of `name := null`, the argument may be left out.\n")
    out += ["| macro | |", "|---|---|"]
    out += [
        f"| `{_cell(one.head)}` | {_cell(one.sentence)} |" for one in sorted(load_macros().listed, key=lambda m: m.name)
    ]
    return "\n".join(out)


def errors_page() -> str:
    """Return `errors.md`."""
    raised: dict[str, list[str]] = {}
    for name, function in functions():
        for error, when in docstring(function)["Raises"]:
            raised.setdefault(error, []).append(f"- [`tawt.{name}`](api.md): {when}")
    out = [NOTE, "# Errors\n"]
    out.append("An error is one line, `error: <where>: <what is there>, expected <what should be>`, a blank line and,")
    out.append("where there is one, `hint: <command or edit>`. It never holds a cell value. Every error is a")
    out.append("`tawt.TawtError` with the attributes `where`, `what` and `hint`; its kinds are in `tawt.errors`.\n")
    for name, error in inspect.getmembers(tawt.errors, inspect.isclass):
        if issubclass(error, tawt.TawtError) and error is not tawt.TawtError:
            out += [f"## {name}\n", f"{_sentence(error)} Exit code {error.exit_code}.\n", *raised.get(name, []), ""]
    return "\n".join(out)


def functions() -> list[tuple[str, Any]]:
    """Return the public functions by name."""
    return [(n, getattr(tawt, n)) for n in tawt.__all__ if inspect.isfunction(getattr(tawt, n))]


def docstring(thing: Any) -> dict[str, Any]:
    """Return a Google docstring as `{"text": str, "Args": [(name, text)], "Returns": [("", text)], ...}`."""
    parts: dict[str, Any] = {"text": [], "Args": [], "Returns": [], "Raises": [], "Source": []}
    title = "text"
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line.endswith(":") and line[:-1] in parts:
            title = line[:-1]
        elif title == "text":
            parts["text"].append(line)
        elif title in ("Args", "Raises") and line.startswith("    ") and not line.startswith("     "):
            name, _, rest = line.strip().partition(": ")
            parts[title].append((name, rest))
        elif line.strip():
            name, text = parts[title].pop() if parts[title] else ("", "")
            parts[title].append((name, f"{text} {line.strip()}".strip()))
    return {**parts, "text": "\n".join(parts["text"]).strip()}


def api_page() -> str:
    """Return `api.md`."""
    out = [NOTE, "# Python\n", "Each command is one function of `tawt`; nothing heavy is imported before it is used.\n"]
    for name, function in functions():
        out += [f"## tawt.{name}\n", *_called(f"tawt.{name}", function)]
    for name, kind in classes():
        out += [f"## tawt.{name}\n", docstring(kind)["text"] + "\n"]
        for method, function in inspect.getmembers(kind, lambda m: inspect.isfunction(m) or inspect.ismethod(m)):
            if method in vars(kind) and not method.startswith("_"):
                out += [f"### tawt.{name}.{method}\n", *_called(f"tawt.{name}.{method}", function)]
    out += ["## Tensors\n", "What goes into the model and comes out of it.\n"]
    for kind in (PackedBatch, Embedded):
        out += [f"### {kind.__name__}\n", docstring(kind)["text"] + "\n"]
        out += [f"- `{field}`: {said}" for field, said in _described(kind).items()] + [""]
    out += ["## Results\n", "What the functions hand back.\n"]
    for result in _results():
        out += [f"### {result.__name__}\n", f"{_sentence(result)}\n"]
        out += [f"- `{f}: {a}`" for f, a in inspect.get_annotations(result).items()] + [""]
    return "\n".join(out)


def classes() -> list[tuple[str, Any]]:
    """Return the public classes by name, errors aside."""
    public = [(n, getattr(tawt, n)) for n in tawt.__all__]
    return [(n, kind) for n, kind in public if inspect.isclass(kind) and not issubclass(kind, Exception)]


def _called(name: str, function: Any) -> list[str]:
    """Return how a function is called, and what its docstring says."""
    parts, signature = docstring(function), inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.name != "self"]
    shown = [_parameter(p) for p in own]
    if any(p.kind is p.KEYWORD_ONLY for p in own):
        shown.insert(next(i for i, p in enumerate(own) if p.kind is p.KEYWORD_ONLY), "*")
    lines = "".join(f"    {parameter},\n" for parameter in shown)
    out = ["```python", f"{name}(\n{lines}) -> {signature.return_annotation}", "```\n", parts["text"] + "\n"]
    for title in ("Args", "Returns", "Raises"):
        if parts[title]:
            out += [f"{title}:\n", *(f"- `{n}`: {t}" if n else f"- {t}" for n, t in parts[title]), ""]
    return out


def _described(kind: type) -> dict[str, str]:
    """Return the fields of a dataclass and the docstrings under them."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(said.value.value.split())
        for field, said in itertools.pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) and isinstance(said.value.value, str)
    }


def _parameter(p: inspect.Parameter) -> str:
    default = "" if p.default is p.empty else " = " + ("..." if callable(p.default) else repr(p.default))
    return f"{p.name}: {p.annotation}{default}"


def _results() -> list[type]:
    found: dict[str, type] = {}
    for _, function in functions():
        home = importlib.import_module(function.__module__)
        for name in str(inspect.signature(function).return_annotation).replace("]", "[").split("["):
            result = getattr(home, name, None)
            if inspect.isclass(result) and result.__module__.startswith("tawt."):
                found[name] = result
    return [found[name] for name in sorted(found)]


def _sentence(thing: type) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _plain(value: Any) -> str:
    return str(value.value if isinstance(value, enum.Enum) else value)


def _type(annotation: Any) -> str:
    """Return a type in words."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin is tuple:
        several = args[-1] is Ellipsis
        return f"list of {_type(args[0])}" if several else f"{len(args)} x {_type(args[0])}"
    if origin is list:
        return f"{_type(args[0])}, any number of times"
    if origin is dict:
        return f"mapping to {_type(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path"}.get(
        annotation, str(annotation)
    )


def _field_type(field: Any) -> str:
    bounds = [f"{sign} {getattr(m, name)}" for m in field.metadata for name, sign in _SIGNS.items() if hasattr(m, name)]
    return ", ".join([_cell(_type(field.annotation)), *bounds])


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or isinstance(field.default, BaseModel):
        return ""
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(value)}`"


def schema(model: type[BaseModel]) -> str:
    """Return a JSON schema; the docstrings of fields become descriptions, which editors show."""
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}, indent=2)
        + "\n"
    )


def table_schema() -> str:
    """Return the JSON schema of a raw table, whose columns may also be a mapping, and whose name is its file's."""
    made = json.loads(schema(Table))
    listed, known = made["properties"]["columns"], made["$defs"]
    named = {**known["RawColumn"], "required": ["type"]}
    known["NamedColumn"] = {**named, "properties": {k: v for k, v in named["properties"].items() if k != "name"}}
    types = {"enum": [*TYPES, *SHORT]}
    mapping = {"type": "object", "additionalProperties": {"anyOf": [types, {"$ref": "#/$defs/NamedColumn"}]}}
    made["properties"]["columns"] = {
        "description": listed.pop("description"), "anyOf": [listed, mapping], "title": listed.pop("title")
    }  # fmt: skip
    made["required"] = [key for key in made["required"] if key != "name"]
    return json.dumps(made, indent=2) + "\n"


def files() -> dict[Path, str]:
    """Return every generated file and its text."""
    pages = {
        "cli": cli_page,
        "config": config_page,
        "schemas": schemas_page,
        "macros": macros_page,
        "errors": errors_page,
        "leaks": leaks_page,
        "api": api_page,
    }
    texts = {ROOT / "docs" / "reference" / f"{name}.md": page().rstrip() + "\n" for name, page in pages.items()}
    texts[ROOT / "schemas" / "table.schema.json"] = table_schema()
    return texts | {ROOT / "schemas" / f"{name}.schema.json": schema(model) for name, model in SCHEMAS.items()}


def main() -> int:
    """Write the files, or with `--check` say which are stale."""
    stale = [(p, text) for p, text in files().items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if "--check" in sys.argv[1:]:
            print(f"error: {path.relative_to(ROOT)}: is stale, expected what the code says")
            print("\nhint: python docs/generate.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
