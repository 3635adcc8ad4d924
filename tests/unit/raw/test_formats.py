"""How a file is written is told from the end of its name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.raw.formats import bare_name, format_of, unpacked_name


@pytest.mark.parametrize(
    ("name", "suffix", "bare"),
    [
        ("Labs.CSV.GZ", ".csv.gz", "labs"),
        ("labs.csv", ".csv", "labs"),
        ("2020.01.PARQUET", ".parquet", "2020.01"),
        ("labs.tsv.csv", ".csv", "labs.tsv"),
        ("set-a.TAR.xz", ".tar.xz", "set-a"),
        ("set-a.tgz", ".tgz", "set-a"),
        ("13.tarn.txt", ".txt", "13.tarn"),
        ("labs.tar.csv", ".csv", "labs.tar"),
        ("set-a.tar.gz.md5", "", "set-a.tar.gz.md5"),
        ("labs.gz", "", "labs.gz"),
    ],
)
def test_a_name_ends_as_the_file_is_written(name: str, suffix: str, bare: str) -> None:
    """The longest end that is known counts, in any case, wherever else such letters stand."""
    form = format_of(Path("x.tar/y.parquet") / name)
    assert (form.suffix, bare_name(Path(name))) == (suffix, bare)
    assert form.is_archive == (suffix in (".tar.xz", ".tgz")) and form.is_parquet == (suffix == ".parquet")
    assert form.is_table == (suffix in (".csv", ".csv.gz", ".txt", ".parquet")) and not form.is_tabbed
    assert form.is_gzip == (suffix == ".csv.gz")


def test_a_byte_of_what_is_packed_stands_for_more_text() -> None:
    """Archives, packed tables and Parquet are counted for several bytes of text, plain files for one, in any case."""
    sizes = [
        format_of(Path(name)).text_per_byte
        for name in ("a.CSV.GZ", "a.TGZ", "a.tar.xz", "a.PARQUET", "a.tsv", "a.tar", "a.psv")
    ]
    assert sizes == [8, 8, 12, 6, 1, 1, 1]


def test_what_is_packed_has_the_name_of_its_folder() -> None:
    """Every end of a packed file is taken off, and no other."""
    assert [unpacked_name(Path(name)) for name in ("v1.0.zip", "set-a.tar.GZ", "set-a.tar.zst", "b.txt")] == [
        "v1.0", "set-a", "set-a", "b.txt",
    ]  # fmt: skip
