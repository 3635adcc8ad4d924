"""Every table below a folder is found, whatever its name and form."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.errors import SourceError
from tawt.raw.cells import cells_of
from tawt.raw.found import FoundTable
from tawt.raw.members import find_members
from tawt.raw.tables import tables_below
from tawt.sources.relate import by_name

TEXT = "pid,value\n1,5.4\n2,7\n"


def _found(root: Path) -> dict[str, FoundTable]:
    return {table.place: table for table in tables_below(root)[0]}


def _first(found: dict[str, FoundTable]) -> list[dict[str, list[str | None]]]:
    names = {f"t{i}": table for i, table in enumerate(found.values())}
    with cells_of(names, []) as cells:
        return [cells.first(name, 2)[0] for name in names]


def test_tables_are_found_in_every_form(tmp_path: Path) -> None:
    """CSV, gzip, tabs, semicolons, another encoding and Parquet give the same cells."""
    (tmp_path / "hosp").mkdir()
    (tmp_path / "hosp" / "Plain.CSV").write_text(TEXT)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "tabs.tsv").write_text(TEXT.replace(",", "\t"))
    (tmp_path / "semi.csv").write_text(TEXT.replace(",", ";"))
    (tmp_path / "wide.txt").write_bytes(TEXT.replace("pid", "Größe").encode("latin-1"))
    (tmp_path / "utf16.csv").write_bytes(TEXT.encode("utf-16"))
    pq.write_table(pa.table({"pid": [1, 2], "value": [5.4, 7.0]}), tmp_path / "typed.parquet")
    found = _found(tmp_path)
    assert sorted(found) == ["hosp/plain", "packed", "semi", "tabs", "typed", "utf16", "wide"]
    assert [list(cells.values()) for cells in _first(found)] == [[["1", "2"], ["5.4", "7"]]] * 7
    assert found["wide"].header == ("Größe", "value") and found["wide"].encoding == "latin-1"


def test_parts_are_one_table(tmp_path: Path) -> None:
    """Files that are alike but for a number, a folder of them, and an archive of small files are a table each."""
    (tmp_path / "labs").mkdir()
    (tmp_path / "stays").mkdir()
    for n in range(3):
        (tmp_path / f"outcomes-{n}.txt").write_text(TEXT)
        (tmp_path / "labs" / f"part-{n:03}.csv").write_text(TEXT)
    for n in range(30):
        (tmp_path / "stays" / f"{n}.psv").write_text("Hour|HR\n1|88\n")
    with tarfile.open(tmp_path / "set-a.tar.gz", "w:gz") as archive:
        for n in range(3):
            entry = tarfile.TarInfo(f"set-a/{n}.txt")
            entry.size = len(TEXT)
            archive.addfile(entry, io.BytesIO(TEXT.encode()))
    found = _found(tmp_path)
    assert {place: len(table.files) for place, table in found.items()} == {
        "labs": 3, "outcomes-*": 3, "set-a": 1, "stays": 30,
    }  # fmt: skip
    assert found["outcomes-*"].name == "outcomes"
    assert found["stays"].header == ("_member", "Hour", "HR") and found["set-a"].header[0] == "_member"
    assert _first({"stays": found["stays"]}) == [{"_member": ["0", "1"], "Hour": ["1", "1"], "HR": ["88", "88"]}]


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["labs_2019", "labs_2020"], {"labs_*": "labs"}),
        (["lab201901", "lab202012", "label"], {"lab[0-9]*": "lab", "label": "label"}),
        (["labs_2019-01", "labs_2020-12", "labs"], {"labs_*": "labs", "labs": "labs"}),
        (["2019_labs", "2020_labs"], {"[0-9]*_labs": "labs"}),
        (["labs_a", "labs_b"], {"labs_a": "labs_a", "labs_b": "labs_b"}),
        (["labs_1", "labs_2"], {"labs_*": "labs"}),
        (["labs_part1", "labs_part2"], {"labs_part*": "labs_part"}),
        (["labs_v1", "labs_v2"], {"labs_v1": "labs_v1", "labs_v2": "labs_v2"}),
        (["Labs.Rev1", "Labs.Rev2"], {"labs.rev1": "labs.rev1", "labs.rev2": "labs.rev2"}),
        (["d_icd9", "d_icd10"], {"d_icd9": "d_icd9", "d_icd10": "d_icd10"}),
    ],
)
def test_parts_have_numbers_or_dates(tmp_path: Path, names: list[str], places: dict[str, str]) -> None:
    """Tables are parts of one if a number, a year or a day tells them apart, which is no part of its name; letters and versions do
    not."""
    for name in names:
        (tmp_path / f"{name}.csv").write_text(TEXT)
    assert {place: table.name for place, table in _found(tmp_path).items()} == places


def test_small_files_begin_alike(tmp_path: Path) -> None:
    """A few files of a kind that is no table are one of small files, also in the raw folder itself; many tables are many."""
    for n in range(3):
        (tmp_path / f"{n}.psv").write_text("Hour|HR\n1|88\n")
    (tmp_path / "hosp").mkdir()
    for n in range(25):
        (tmp_path / "hosp" / f"table{'abcdefghijklmnopqrstuvwxyz'[n]}.csv").write_text(f"pid,value{n}\n1,5.4\n2,7\n")
    found = _found(tmp_path)
    small = found.pop(".")
    assert small.members is not None and small.members.folders == (".",) and len(small.files) == 3
    assert small.name == tmp_path.name.lower() and len(found) == 25
    assert find_members(tmp_path, small.members) == list(small.files)


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    """Packed folders, empty files, files without a header and names that come twice are passed over with the reason."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("labs.csv", TEXT)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bare.csv").write_text("1,5.4\n2,7\n")
    (tmp_path / "twice.csv").write_text("pid,PID\n1,2\n")
    (tmp_path / "people.csv").write_text("Zqvyx,F,Ward\nZqvyy,M,Ward\nZqvyz,F,Ward\n")
    (tmp_path / "README.txt").write_text("Our hospital.\n\nHello.\n")
    (tmp_path / "._labs.csv").write_text("junk")
    tables, passed = tables_below(tmp_path)
    assert tables == [] and sorted(one.place for one in passed) == [
        "all.zip", "bare.csv", "empty.csv", "people.csv", "twice.csv",
    ]  # fmt: skip
    assert ["column name `pid` twice" in one.why for one in passed if one.place == "twice.csv"] == [True]
    assert "5.4" not in repr(passed) and "Zqvy" not in repr(passed)


def test_two_files_of_one_table_are_told(tmp_path: Path) -> None:
    """Names that differ in their letter case alone are of one table, and an ingest would refuse them."""
    for name in ("Meds", "meds"):
        (tmp_path / f"{name}.csv").write_text("pid,drug\n1,A\n")
    tables, passed = tables_below(tmp_path)
    assert [table.name for table in tables] == ["meds"]
    assert ["`Meds.csv` and `meds.csv`" in one.why for one in passed] == [True]


def test_no_relation_is_called_as_the_layer_of_raw_tables() -> None:
    """A file `raw.csv` is read under another name."""
    assert list(by_name([FoundTable("raw", (Path("raw.csv"),), ("pid", "test"))])) == ["raw_"]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """A wrong path is one line."""
    with pytest.raises(SourceError, match="is no folder"):
        tables_below(tmp_path / "raw")


@pytest.mark.parametrize(
    ("names", "places", "small"),
    [
        (["people", "1001", "1007", "1020"], {"people", "."}, "[0-9]*.csv"),
        (["labs/1001", "labs/1007"], {"labs"}, "labs"),
        (["labs/p_1001", "labs/p_1007", "labs/items"], {"labs", "labs/items"}, "labs/p_*.csv"),
        (["people", "vitals_2019", "vitals_2020"], {"people", "vitals_*"}, None),
        (["people", "vitals_1", "vitals_2"], {"people", "vitals_*"}, None),
        (["people", "1001/vitals", "1007/vitals"], {"people"}, None),
    ],
)
def test_files_named_by_their_subjects_are_one_table(
    tmp_path: Path, names: list[str], places: set[str], small: str | None
) -> None:
    """Files with numbers for names that say nowhere whose they are hold one subject each, also beside others; years and a
    count from one do not name subjects, and the names of folders are not read, which is said."""
    for name in names:
        file = tmp_path / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text(TEXT if name.endswith(("people", "items")) else "time,hr\n2024-03-01 08:00,80\n")
    tables, passed = tables_below(tmp_path, lambda header: "pid" not in header)
    assert {table.place for table in tables} == places
    of_one = [table for table in tables if table.members is not None]
    assert [table.members.folders for table in of_one if table.members] == ([(small,)] if small else [])
    for table in of_one:
        assert table.members is not None and find_members(tmp_path, table.members) == sorted(table.files)
        assert len(table.files) == sum(name[-1] in "170" for name in names)
    assert [one.place for one in passed] == (["[0-9]*/vitals"] if "1001/vitals" in names else [])


def test_tables_of_numbered_folders_are_one(tmp_path: Path) -> None:
    """What lies under one name in folders that are numbers, and says whose it is, is one table."""
    for folder in ("2019", "2020"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labs.csv").write_text(TEXT)
    assert {table.place: len(table.files) for table in tables_below(tmp_path)[0]} == {"[0-9]*/labs": 2}


PEOPLE = (
    "Zqadam",
    "Zqvyn",
    "Baker",
    "O'Neil",
    "Smith_Anna",
    "zqp-1001",
    "Ward",
    "Ulrich",
    "Öztürk",
    "Xi",
    "Quinn",
    "Zqorro",
)
OF_ONE = "time,hr\n2024-03-01 08:00,80\n2024-03-01 09:00,81\n"


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize(
    ("form", "has_id", "odd", "place", "n_files"),
    [
        ("labs/{}.csv", False, "", "labs", 1),
        ("labs/{}.csv", True, "", "labs", 1),
        ("{}.csv", False, "", ".", 1),
        ("labs/{}.csv", False, "labs/items", "", 0),
        ("{}.csv", False, "people", "", 0),
        ("labs/{}.csv", False, "delimiter", "", 0),
        ("labs/{}.csv", True, "twin", "", 0),
        ("{}/vitals.csv", True, "", "*/vitals", 1),
        ("{}/vitals.csv", False, "", "", 0),
        ("site/{}/icu/vitals.csv", True, "", "site/*/icu/vitals", 1),
    ],
)
def test_no_file_is_called_as_a_person(
    tmp_path: Path, n: int, form: str, has_id: bool, odd: str, place: str, n_files: int
) -> None:
    """Files and folders that are alike, with names that are no words of a hospital, are one table, or passed over and
    counted; no name of one is in what is found or said, nor that of an empty file among them,
    or of one that is there twice."""
    for i, name in enumerate(PEOPLE[:n]):
        file = tmp_path / form.format(name)
        file.parent.mkdir(exist_ok=True, parents=True)
        text = "".join(
            (f"{i},{line}" if j else f"pid,{line}") if has_id else line
            for j, line in enumerate(OF_ONE.splitlines(True))
        )
        file.write_text(text.replace(",", ";") if odd == "delimiter" and i == 1 else text)
    if "/" in odd or odd == "people":
        (tmp_path / f"{odd}.csv").write_text("item,label\n1,a\n2,b\n")
    if "}/" in form or not n_files:
        (tmp_path / form.format("Zqempty")).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / form.format("Zqempty")).write_text("")
    if odd == "twin":
        (tmp_path / "labs" / "zqvyn.csv.gz").write_bytes(gzip.compress((tmp_path / "labs" / "Zqvyn.csv").read_bytes()))
    tables, passed = tables_below(
        tmp_path, lambda header: "pid" not in header and "time" in header, lambda header: 0 if "pid" in header else None
    )
    mine = [one for one in tables if one.place != odd]
    assert [one.place for one in mine] == [place] * n_files and len(tables) == n_files + (
        odd in ("people", "labs/items")
    )
    assert [len(one.files) for one in mine] == [n] * n_files
    said = " ".join(
        [*(f"{one.place} {one.why}" for one in passed), *(f"{one.name} {one.place}" for one in tables)]
    ).lower()
    assert not any(name.lower() in said for name in (*PEOPLE, "Zqempty") if name != "Ward")
    assert (f"{n} files" in said or "folders whose names" in said) == (n_files == 0)


def test_tables_of_many_subjects_stay_apart(tmp_path: Path) -> None:
    """Files of the same columns are tables of their own where each holds several subjects, or all the same one, or their
    names are words of a hospital; up to ten of them, then their names are not told."""

    def found(names: list[str], text: str) -> set[str]:
        for name in names:
            (tmp_path / f"{name}.csv").write_text(text)
        places = {one.place for one in tables_below(tmp_path, whose_at=lambda header: 0)[0]}
        for name in names:
            (tmp_path / f"{name}.csv").unlink()
        return places

    several, drugs = "pid,time,rate\n1,2024-03-01,5\n2,2024-03-01,6\n", ["dopamine", "milrinone", "norepinephrine"]
    words = [
        "labs", "vitals", "meds", "chartevents", "lab_results", "vitalsigns", "ward_a", "ward_b", "bloodgas", "diagnosen",
        "inputevents_2", "d_labitems", "heart_rate", "labs_mar",
    ]  # fmt: skip
    assert found(drugs, several) == {*drugs} and found(drugs, several.replace("\n2", "\n1")) == {*drugs}
    assert found(words, several) == {*words}
    assert found([f"drug{c}q" for c in "abcdefghijkl"], several) == {"."}
