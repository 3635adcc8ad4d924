"""The shape of the project: small modules, imports down the flow, nothing that runs foreign data, a test per stage."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for path in (ROOT / "tawt").rglob("*.py") if "_assets" not in path.parts)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
_DATA = ("torch",)
_TRAINING = ("duckdb", "polars")
FLOW = {
    **dict.fromkeys(
        ("database", "raw", "sources", "pipeline", "builtin", "quality", "labels", "exports", "transforms"), _DATA
    ),
    **dict.fromkeys(
        (
            "dataset",
            "batching",
            "heads",
            "models",
            "objectives",
            "training",
            "runs",
            "synthesis",
            "assessment",
            "modalities",
            "modalities/encoders",
            "modalities/fusion",
        ),
        _TRAINING,
    ),
    **dict.fromkeys(
        (
            *("arrays", "chance", "distances", "errors", "files", "places", "readers", "seals", "machine", "project"),
            *("room", "shell", "stores", "cli", "hospital", "config", "contracts", "evaluation", "fidelity", "figures"),
            *("cards", "privacy", "reviews", "evaluations"),
        ),
        ("torch", "duckdb", "polars"),
    ),
}
"""Folder or module -> packages that nothing in it imports."""
TOGETHER = ("risks", "commands")
"""Where both worlds may meet."""
TRAINERS = ("runs", "training", "heads", "dataset", "modalities", "modalities/encoders", "modalities/fusion")
"""Folders from which no import leads to a package of the data stage, however far."""
RANK = [
    ("arrays", "chance", "distances", "errors", "files", "places", "readers", "seals", "machine", "project", "room", "shell", "stores"),
    ("config",), ("contracts",), ("transforms", "hospital", "modalities", "cards"), ("database",), ("raw",), ("sources",), ("pipeline",), ("builtin",),
    ("quality",), ("labels",), ("exports",), ("dataset",), ("evaluation", "fidelity", "privacy"), ("batching", "heads"), ("models",), ("modalities/encoders", "modalities/fusion"), ("objectives",), ("training",), ("runs",), ("synthesis",), ("assessment",),
    ("figures", "reviews", "risks", "evaluations"), ("commands",), ("cli",),
]  # fmt: skip
"""From the ground up; a module imports from its own rank and from those before."""


def _imported(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def _folder(path: Path) -> str:
    return _place(path.relative_to(ROOT / "tawt").with_suffix("").parts)


def _place(parts: tuple[str, ...]) -> str:
    """The folder of a module, or the folder within it that has a rank of its own."""
    own = "/".join(parts[:2])
    return own if any(own in folders for folders in RANK) else parts[0]


def test_no_module_is_longer_than_300_lines() -> None:
    """Each module can be read in one sitting."""
    long = {str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}


@pytest.mark.parametrize("folder", FLOW)
def test_a_folder_leaves_the_other_worlds_packages_alone(folder: str) -> None:
    """Data code names torch nowhere, and training code neither duckdb nor polars."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path, tree in TREES.items()
        if _folder(path) == folder
        for name in _imported(tree)
        if name.partition(".")[0] in FLOW[folder]
    }
    assert any(_folder(path) == folder for path in TREES) and found == set()


def test_what_trains_reaches_no_package_of_the_data_stage() -> None:
    """Nothing that `tawt.pretrain`, `embed` or a model import when they are imported leads to duckdb or polars."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }

    def leads(name: str, seen: set[str]) -> set[str]:
        found = set()
        for node in TREES[modules[name]].body:
            for step in _imported(ast.Module([node], [])) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                if step in modules and step not in seen:
                    seen.add(step)
                    found |= {f"{name} -> {way}" for way in leads(step, seen)}
                elif step.partition(".")[0] in ("duckdb", "polars"):
                    found.add(f"{name} -> {step}")
        return found

    trainers = [name for name, path in modules.items() if _folder(path) in TRAINERS]
    trainers += [
        f"tawt.commands.{name}"
        for name in ("pretrain", "embed", "finetune", "evaluate", "extend", "map", "sweep", "compare", "plot")
    ]
    assert "tawt.runs.hub" in trainers
    assert {way for name in trainers for way in leads(name, {name})} == set()


def test_imports_go_down_the_flow() -> None:
    """No module imports from a folder that comes after its own."""
    rank = {folder: i for i, folders in enumerate(RANK) for folder in folders}
    upward = {
        (str(path.relative_to(ROOT)), name)
        for path, tree in TREES.items()
        if _folder(path) in rank
        for name in _imported(tree)
        if name.startswith("tawt.") and rank[_place(tuple(name.split(".")[1:]))] > rank[_folder(path)]
    }
    assert upward == set()
    assert set(rank) | {"__init__", "__main__"} == {_folder(path) for path in MODULES}
    assert {*FLOW, *TOGETHER} == set(rank) and not set(FLOW) & {*TOGETHER}, "every room says what it leaves alone"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """What a module needs can be read before it, to the end, types included."""
    # a package's face hands names on, and is not what they hang on
    own = [path for path in MODULES if path.name != "__init__.py"]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in own}
    order = TopologicalSorter({name: set(_imported(TREES[path])) & set(names) for name, path in names.items()})
    assert set(order.static_order()) == set(names)


def test_nothing_runs_foreign_data() -> None:
    """No pickle, no `torch.load`, no `allow_pickle`, no unsafe YAML, no `eval` or `exec`, no shell."""
    found = []
    for path, tree in TREES.items():
        safe = {
            n.name
            for n in ast.walk(tree)
            if isinstance(n, ast.ClassDef) and any("SafeLoader" in ast.unparse(b) for b in n.bases)
        }
        names = {name.partition(".")[0] for name in _imported(tree)}
        found += [(path.name, name) for name in names & {"pickle", "dill", "joblib", "marshal", "shelve", "subprocess"}]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            keywords = {keyword.arg for keyword in node.keywords}
            if called in ("eval", "exec", "compile", "torch.load", "torch.save", "os.system", "yaml.unsafe_load"):
                found.append((path.name, called))
            loader = next((ast.unparse(k.value) for k in node.keywords if k.arg == "Loader"), "")
            unsafe = called == "yaml.load" and loader not in safe | {"yaml.SafeLoader"}
            if "allow_pickle" in keywords or unsafe:
                found.append((path.name, called))
    assert found == []


def test_every_stage_and_every_case_has_its_other_half() -> None:
    """Each SQL file has a unit test, each unit test a SQL file or a declared table; contracts are of what is written."""
    stages = {p.relative_to(ROOT / "sql").with_suffix("") for p in (ROOT / "sql").glob("*/*/*.sql")}
    cases = {p.relative_to(ROOT / "tests" / "sql").with_suffix("") for p in (ROOT / "tests" / "sql").glob("*/*/*.yaml")}
    tables = {p.relative_to(ROOT / "schemas") for p in (ROOT / "schemas").glob("*/*.yaml")}
    declared = {p.parent / "staging" / p.stem for p in tables}
    assert stages <= cases and cases <= stages | declared and stages
    staged = {p for p in stages if p.parts[1] == "staging"}
    contracts = {p.relative_to(ROOT / "schemas").with_suffix("") for p in (ROOT / "schemas").glob("*/staging/*.json")}
    assert staged == contracts


def test_each_test_says_what_it_holds() -> None:
    """Every test function has a docstring that ends as a sentence does, and asserts in its own body."""
    silent, idle = [], []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                name = f"{path.relative_to(ROOT)}: {node.name}"
                text = ast.get_docstring(node) or ""
                if not text.rstrip().endswith((".", "?")):
                    silent.append(name)
                if not any(map(_asserts, ast.walk(node))):
                    idle.append(name)
    assert silent == [] and idle == []


def _asserts(node: ast.AST) -> bool:
    """Whether it is an assert, or the name of a helper that is one, as `pytest.raises` or `assert_close`."""
    name = getattr(node, "attr", getattr(node, "id", ""))
    return isinstance(node, ast.Assert) or name in ("raises", "fail") or name.startswith("assert_")
