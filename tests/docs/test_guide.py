"""The guide on sources, typed from its first line to its last in an empty folder beside an invented export."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pyarrow.dataset as ds
import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "add-a-source.md"
DAY = "2024-03-{:02} 08:00"


def _export(raw: Path) -> None:
    """Write the five files that the guide speaks of: 40 persons, a stay each and one more, and what was measured."""
    people = range(1, 41)
    tables = {
        "patients": ["patient,dob,sex", *(f"{n},19{30 + n}-02-03,{'FM'[n % 2]}" for n in people)],
        "stays": [
            "patient,stay,admitted,discharged,ward",
            *(f"{n},{900 + n},{DAY.format(1 + n % 9)},{DAY.format(11 + n % 9)},{'AB'[n % 2]}" for n in people),
            f"1,999,{DAY.format(25)},{DAY.format(28)},A",
        ],
        "labs": [
            "patient,taken_at,stored_at,test,result,unit",
            *(
                f"{n},{2 + n % 9:02}.03.2024 08:{m:02},{2 + n % 9:02}.03.2024 09:{m:02},{test},{result},{unit}"
                for n in people
                for m, (test, result, unit) in enumerate(
                    [("GLU", 5 + n / 10, "mmol/L"), ("GLU", 90 + n, "mg/dL"), ("NIT", ["POS", "NEG"][n % 2], "")]
                )
            ),
        ],
        "tests": ["test,name", "GLU,Glucose", "NIT,Nitrite in urine"],
        "diagnoses": ["patient,stay,code", *(f"{n},{900 + n},{code}" for n in people for code in ("E11", "I10"))],
    }
    raw.mkdir()
    for name, lines in tables.items():
        (raw / f"{name}.csv").write_text("\n".join(lines) + "\n")


def test_the_guide_on_sources_works_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tawt) -> None:
    """Each file of the guide in its turn, and each command, lead from an unknown export to shards; nothing is lost."""
    monkeypatch.chdir(tmp_path)
    _export(tmp_path / "raw")
    blocks = r"(?:^`(?P<file>[\w/.]+)`\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
    commands = []
    for found in re.finditer(blocks, GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if found["file"]:
            Path(found["file"]).parent.mkdir(parents=True, exist_ok=True)
            Path(found["file"]).write_text(found["text"], encoding="utf-8")
        for line in found["text"].splitlines() if found["language"] == "" else ():
            if line.startswith("tawt "):
                ended = tawt(*shlex.split(line)[1:])
                assert ended.code == 0, f"{line}\n{ended.err}"
                commands.append(line.split()[1])
                if "--write" in line:  # as the guide says: the declaration counts again
                    Path("sql/clinic/staging/labs.sql").unlink()
    assert set(commands) == {"init", "ingest", "build-vocab", "sql", "query", "test", "show", "run", "check"}
    events = ds.dataset("work/clinic/events/data", format="parquet").to_table().to_pylist()
    codes = [row["code"] for row in events]
    assert {codes.count("MEDS_BIRTH"), codes.count("LABS//GLU") / 2, codes.count("DIAGNOSES//E11")} == {40}
    assert all(row["value_status"] == "numeric" for row in events if row["code"] == "LABS//GLU")
    assert ds.dataset("work/clinic/labels/readmission", format="parquet").count_rows() == 41
    assert list(Path("work/clinic/dataset/train").glob("*.arrow")) and Path("work/labs/events").is_dir()
