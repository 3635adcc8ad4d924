"""The documents against the code: generated pages are current, and every command, key, link and example is real."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import tawt.project
from tawt.config.load import read_yaml
from tawt.contracts.contract import Contract

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tawt_docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = _load()
FILES = generate.files()
COMMANDS = generate.commands()


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def _command_lines(text: str) -> list[str]:
    lines = [line for language, block in _blocks(text) if language == "" for line in block.splitlines()]
    return [line for line in lines if line.startswith("tawt ")]


def _problems(line: str) -> list[str]:
    """Return what is wrong with a `tawt ...` line: an unknown command or option, too many or too few words."""
    words = shlex.split(line, comments=True)[1:]
    if not words or words[0] in ("--help", "--version", "COMMAND"):
        return []
    command = COMMANDS.get(words[0])
    if command is None:
        return [f"no command `{words[0]}`"]
    known = generate.options(command)
    wanted = {p.name for p in command.params if p.required}
    places = [p for p in command.params if p.param_type_name == "argument"]
    problems, rest = [], words[1:]
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            option = known.get(word.partition("=")[0])
            if option is None:
                problems.append(f"no option `{word}`")
                continue
            wanted.discard(option.name)
            if not option.is_flag and "=" not in word and rest:
                rest.pop(0)
        elif places:
            # one that repeats takes all that follows
            wanted.discard((places[0] if places[0].nargs == -1 else places.pop(0)).name)
        else:
            problems.append(f"one word too many: `{word}`")
    return problems + [f"`{name}` is missing" for name in sorted(wanted)]


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_generated_file_is_current(path: Path) -> None:
    """Each reference page and JSON schema is what the code gives now; `python docs/generate.py` makes it so."""
    assert path.read_text(encoding="utf-8") == FILES[path]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented(name: str) -> None:
    """Each command has a sentence and an example that works, each option a help text, and the README a row."""
    command = COMMANDS[name]
    sentence, mark, example = command.help.partition("\n\nExample: ")
    assert sentence[0].isupper() and not sentence.endswith(".") and mark
    assert example.startswith(f"tawt {name}") and _problems(example) == []
    assert [p.name for p in command.params if not p.help] == []
    assert f"`tawt {name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert name.replace("-", "_") in tawt.__all__


def test_a_config_field_is_documented() -> None:
    """Each key of a pipeline, of a pretraining run and of a contract has a docstring, and each section too."""
    sections = [section for tree, _ in generate.TREES.values() for _, section in generate.sections(tree)]
    assert len(sections) > 12
    for section in [*sections, *(section for _, section in generate.sections(Contract))]:
        assert section.__doc__, section
        assert [key for key, field in section.model_fields.items() if not field.description] == [], section


@pytest.mark.parametrize("tree", [tree for tree, _ in generate.TREES.values()])
def test_each_section_has_a_place_on_the_page(tree: type[BaseModel]) -> None:
    """What a config's schema knows of sections the page of configs tells too, also of those that may be left out."""
    defined = tree.model_json_schema().get("$defs", {})
    told = {section.__name__ for _, section in generate.sections(tree)}
    assert {name for name, one in defined.items() if "properties" in one} <= told


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_names_only_what_there_is(path: Path) -> None:
    """Each `tawt` line in a block can be typed, each one in a sentence names a real command and option, each link leads
    to a file and heading, and Python parses."""
    text = path.read_text(encoding="utf-8")
    wrong = {}
    if not (path.parent.name == "reference" and path.name == "cli.md"):
        wrong = {line: _problems(line) for line in _command_lines(text) if _problems(line)}
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`(tawt [^`]+)`", prose):
        named = [problem for problem in _problems(line) if problem.startswith("no ")]
        if named:
            wrong[line] = named
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        file, _, heading = target.partition("#")
        if file.startswith("https://"):
            continue
        page = (path.parent / file).resolve() if file else path
        if not page.exists():
            wrong[target] = ["no such file"]
        elif heading:
            titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            if heading not in slugs:
                wrong[target] = ["no such heading"]
    assert wrong == {}
    for language, block in _blocks(text):
        if language == "python" and path.parent.name != "reference":
            compile(block, _name(path), "exec")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("tawt ingst raw -w W", "no command `ingst`"),
        ("tawt ingest raw -p meds -w W --fast", "no option `--fast`"),
        ("tawt ingest raw more -p meds -w W", "one word too many: `more`"),
        ("tawt ingest raw -w W", "`pipeline` is missing"),
        ("tawt pretrain --device cuda", "`workspace` is missing"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, problem: str) -> None:
    """The search above finds a misspelt command, an unknown option, and words too many or too few."""
    assert _problems(line) == [problem]


def test_the_pages_hold_command_lines() -> None:
    """The search above has something to find: every command stands in a block of the README or a guide."""
    pages = [ROOT / "README.md", *(ROOT / "docs" / "guides").glob("*.md")]
    lines = [line for page in pages for line in _command_lines(page.read_text(encoding="utf-8"))]
    assert {line.split()[1] for line in lines} >= set(COMMANDS) - {"demo"}


def test_the_readme_names_what_ci_runs() -> None:
    """The set-up commands of the README exist, and CI runs the one that tests."""
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    scripts = re.findall(r"^bash (scripts/\w+\.sh)$", readme, flags=re.MULTILINE)
    assert scripts == ["scripts/demo.sh", "scripts/test.sh"]
    assert all((ROOT / script).is_file() for script in scripts)
    assert ci.splitlines()[-1] == "exec bash scripts/test.sh"


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=_name)
def test_a_config_that_comes_with_tawt_fits_its_json_schema(path: Path) -> None:
    """Each YAML file names the schema that editors check it with, fits it, and would not with an unknown key."""
    jsonschema = pytest.importorskip("jsonschema")
    text = path.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / first.partition("=")[2]).read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    data, _ = read_yaml(path)
    assert [error.message for error in validator.iter_errors(data)] == []
    assert list(validator.iter_errors({**data, "nonsense": 1}))


def test_every_concept_begins_with_three_triplets() -> None:
    """A page of concepts shows a table of three triplets before it explains, and the page of words defines them."""
    rows = {}
    for page in sorted((ROOT / "docs" / "concepts").glob("*.md")):
        before, _, _ = page.read_text(encoding="utf-8").partition("\n## ")
        table = re.search(r"^\|[-|: ]+\|\n((?:\|.*\|\n)+)", before, re.MULTILINE)
        rows[page.stem] = len(table[1].splitlines()) if table else 0
    assert rows == dict.fromkeys(rows, 3)


def test_the_words_of_the_house_are_defined_once() -> None:
    """The page of words has a line for each, and each of its parts is linked from elsewhere."""
    text = (ROOT / "docs" / "concepts" / "words.md").read_text(encoding="utf-8")
    defined = re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)
    wanted = {"record", "row", "measurement", "event part", "driving", "key cell", "moment", "document", "window"}
    assert len(defined) == len(set(defined)) and wanted | {"part", "built-in stage", "layer", "stale", "place"} <= set(
        defined
    )
    linked = {
        anchor for page in PAGES for anchor in re.findall(r"words\.md#([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert linked == {"data", "stages", "training"}


def test_every_page_is_reached_from_the_index() -> None:
    """Each guide, concept and reference page has its link on the first page, and no link leads nowhere."""
    docs = ROOT / "docs"
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", (docs / "index.md").read_text()))
    assert linked == {str(path.relative_to(docs)) for path in docs.rglob("*.md")} - {"index.md"}
