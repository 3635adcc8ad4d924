"""The macros of a project: what is one, what it may hold, and which one counts where several folders have it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest

from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.database.macros import hold_calls, load_macros
from tawt.database.parse import parse
from tawt.errors import ConfigError, StageError
from tawt.project import Project
from tawt.sources.macro_cases import run_macro_case
from tawt.sources.sql_file import read_sql


def project(folder: Path, **macros: str) -> Project:
    """Write macros into a project; a text that is no statement becomes the body of one over `cell`."""
    for name, text in macros.items():
        path = folder / "sql" / "shared" / "macros" / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if "create" in text else f"-- Says it.\ncreate macro {name}(cell) as\n    {text}\n")
    return Project.at(folder)


def ask(project: Project | None, text: str) -> object:
    """Return what a select of one value gives on a connection with macros."""
    with connect(Limits(1, "100MB"), [], project=project) as connection:
        return connection.execute(text).fetchall()[0][0]


def test_each_macro_is_made_before_what_calls_it(tmp_path: Path) -> None:
    """Names in any order: what calls another comes after it, and both can be called."""
    own = project(tmp_path, a="b(cell) || '!'", b="c(cell)", c="trim(cell)")
    assert [one.name for one in load_macros(own).listed if len(one.name) == 1] == ["c", "b", "a"]
    assert ask(own, "select a(' x ')") == "x!"


def test_a_macro_of_the_project_takes_the_place_of_the_one_that_comes_with_tawt(tmp_path: Path) -> None:
    """It counts also for the macros that call it."""
    own = project(tmp_path, clock_time="timestamp '2000-01-01'")
    assert load_macros(own).names == load_macros().names
    assert str(ask(own, "select moment('noon')")) == "2000-01-01 00:00:00"
    assert ask(None, "select moment('noon')") is None


def test_a_select_tells_the_macros_that_it_hangs_on() -> None:
    """Those that it calls, and those that these call, so that an edit of one of them is seen."""
    tree = parse("select cell_fault('age', age, whole(age)) from raw.people")
    assert tree is not None
    used = [one.name for one in load_macros().used(tree)]
    assert {"cell_fault", "whole", "unread", "clock_time", "words"} <= set(used)
    assert "moment" not in used


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max(cell)", "calls `max`"),
        ("row_number() over ()", "calls `row_number over`"),
        ("(select 1)", "does not end in one expression"),
        ("cell, cell", "does not end in one expression"),
        ("cell as other", "does not end in one expression"),
        ("table select 1", "does not end in one expression"),
        ("cell;", "does not end in one expression"),
        ("random()", "calls `random`"),
        ("current_date", "calls `current_date`"),
        ("repeat(cell, 10000000)", "calls `repeat`"),
        ("getenv('HOME')", "calls `getenv`"),
        ("trm(cell)", "calls `trm`"),
        ("other", "names `other`"),
        ("$zone", "names the parameter `$zone`"),
        ("unnest([1, 2])", "calls `unnest`"),
        ("create macro wrong(cell) as trim(cell)", "makes `wrong`"),
        ("create table wrong(cell) as select 1", "is not of the form"),
        ("create macro one(cell) as one(cell)", "calls itself"),
    ],
)
def test_what_is_no_macro_of_one_row_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """Anything but one expression over the parameters, made of functions of cells, is told at once."""
    with pytest.raises(StageError) as refused:
        load_macros(project(tmp_path, one=text))
    assert said in str(refused.value) and refused.value.where.startswith("macro one")


@pytest.mark.parametrize("name", ["trim", "date", "left", "tawt_hash"])
def test_a_name_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    """A macro changes no function of the engine and no type, and not what shards follow from."""
    with pytest.raises(StageError, match="macro"):
        load_macros(project(tmp_path, **{name: "create macro " + name + "(cell) as 'x'"}))


def test_a_function_of_the_parameters_alone_may_be_written_out(tmp_path: Path) -> None:
    """The parameter of a lambda is a name within it."""
    own = project(tmp_path, letters="list_transform(string_split(cell, ''), lambda x: upper(x))")
    assert ask(own, "select letters('ab')") == ["A", "B"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('- {cell: " a ", gives: a}', []),
        ('- {cell: " a ", gives: b}', ["line 1: gives 'a', expected 'b'"]),
        ('- {cell: ~, gives: ~}\n- {cell: b, gives: ~}', ["line 2: gives 'b', expected None"]),
        ('- {call: "one(upper(\'a\'))", gives: A}', []),
        ('- {call: "one(3)", gives: 3}', ["line 1: does not run"]),
        ('- {call: "one(cell)", gives: 3}', ["line 1: names `cell`"]),
    ],
)  # fmt: skip
def test_a_case_of_a_macro_tells_what_differs(line: str, said: list[str], tmp_path: Path) -> None:
    """One line per cell whose value is another, or for which it does not run."""
    case = tmp_path / "one.yaml"
    case.write_text(line)
    differences = run_macro_case(case, project(tmp_path, one="trim(cell)"))
    assert [one[: len(wanted)] for one, wanted in zip(differences, said, strict=True)] == said


@pytest.mark.parametrize(
    "call",
    [
        "1; copy (select 1) to 'FOLDER/made'; select 1",
        "1; attach 'FOLDER/made' as made; select 1",
        "(select content from read_text('FOLDER/one.yaml'))",
        "(select count(*) from glob('FOLDER/*'))",
        "content from read_text('FOLDER/one.yaml')",
        "one('a'); set enable_external_access = true",
        "getenv('HOME')",
        "repeat('x', 1000000000)",
    ],
)
def test_a_case_of_a_macro_is_one_expression_and_reaches_nothing(call: str, tmp_path: Path) -> None:
    """A project comes from elsewhere: its cases read no file, write none and set nothing, whatever they say."""
    case = tmp_path / "one.yaml"
    case.write_text(f'- {{call: "{call}", gives: 1}}'.replace("FOLDER", str(tmp_path)))
    (said,) = run_macro_case(case, project(tmp_path, one="trim(cell)"))
    assert said.startswith(("line 1: does not end in one expression", "line 1: calls `"))
    assert not (tmp_path / "made").exists()


def test_macros_that_double_are_refused_by_name_before_they_are_made(tmp_path: Path) -> None:
    """In a chain of files or within one body: the engine would write out a billion terms, and be deaf meanwhile."""
    chain = {f"m{i:02}": f"m{i + 1:02}(cell) || m{i + 1:02}(cell)" for i in range(30)}
    with pytest.raises(StageError, match=r"macro m\d+ .*more than 20,000 terms"):
        load_macros(project(tmp_path / "chain", m30="trim(cell)", **chain))
    nested = "one(" * 31 + "cell" + ")" * 31
    with pytest.raises(StageError, match=r"macro two .*more than 20,000 terms"):
        load_macros(project(tmp_path / "nested", one="cell || cell", two=nested))
    own = load_macros(project(tmp_path / "stage", one="cell || cell"))
    (stage := tmp_path / "labs.sql").write_text(f"select _row, {nested} as code from raw.labs")
    with pytest.raises(StageError, match=r"staging.labs .*more than 20,000 terms"):
        read_sql(stage, "staging", own)


@pytest.mark.parametrize("line", ["- {cell: a}", "- {cel: a, gives: a}", "- {cell: a, b: c, gives: a}", "cell: a", ""])
def test_a_case_of_another_form_is_an_error(line: str, tmp_path: Path) -> None:
    """A typing error is no case that passes because it says nothing."""
    case = tmp_path / "one.yaml"
    case.write_text(line)
    with pytest.raises(ConfigError):
        run_macro_case(case, project(tmp_path, one="trim(cell)"))


def test_a_macro_that_gives_another_type_than_those_before_it_need_is_told(tmp_path: Path) -> None:
    """A project's macro stands in the place of tawt's: the one that it no longer fits is named, with what it calls."""
    with pytest.raises(StageError, match=r"macro offset_of \(offset_of\.sql\): does not fit the macros .*whole"):
        connect(Limits.of(1), [], project=project(tmp_path, whole="cell"))


@pytest.mark.parametrize(
    ("head", "call", "fits"),
    [
        ("half(cell, more)", "half(seen)", False),
        ("half(cell)", "half(seen, 2)", False),
        ("half(cell, more := ['a, b', 'c'])", "half(seen, more := ['d'])", True),
        ("half(cell, more := 'a, b')", "HALF(seen)", True),
        ("half(cell, more)", "half(more := 2, cell := seen)", True),
        ("half(cell, more)", "half(more := 2)", False),
    ],
)
def test_a_macro_that_takes_more_or_fewer_than_it_is_called_with_is_blamed(
    head: str, call: str, fits: bool, tmp_path: Path
) -> None:
    """Whoever edits a macro is told where it is called, and which file to mend; constants may be left out."""
    macros = load_macros(project(tmp_path, half=f"-- Half.\ncreate macro {head} as cell"))
    tree = parse(f"select {call} from raw.readings")
    assert tree is not None
    with nullcontext() if fits else pytest.raises(StageError, match=r"stage: calls `half` with .*, expected") as caught:
        hold_calls(tree, macros.listed, "stage")
    if not fits:
        assert head in str(caught.value) and caught.value.hint.endswith("half.sql")
    refused = nullcontext() if fits else pytest.raises(duckdb.BinderException)
    with connect(Limits.of(1), [], project=Project.at(tmp_path)) as connection, refused:
        connection.execute(f"select {call} from (select 1 as seen)")
