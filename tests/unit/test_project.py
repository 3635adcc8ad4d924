"""A project: which of its files stand in the place of tawt's, which pipeline takes which project, and who finds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tawt
from tawt.config.named import resolve_pipeline
from tawt.config.pipeline import PipelineConfig
from tawt.errors import ConfigError, FileError, TawtError
from tawt.pipeline.run import RunResult
from tawt.pipeline.workspace import open_workspace
from tawt.project import Project, asset, asset_root
from tawt.sources.load import load_graph
from tawt.transforms.units import Units
from tests.unit.clinic import write

LABS = "sql/mimic_iv/event_parts/labs.sql"


def test_a_file_of_the_project_stands_in_the_place_of_tawts_and_all_others_stay(tmp_path: Path) -> None:
    """Files go by their paths, whole; hidden ones, such as an editor leaves, are none."""
    write(tmp_path, {LABS: "mine", "sql/mimic_iv/event_parts/.#labs.sql": "", "sql/mimic_iv/event_parts/new.sql": ""})
    project, own = Project.at(tmp_path), asset_root() / "sql/mimic_iv/event_parts"
    found = project.files("sql/mimic_iv/event_parts", ".sql")
    assert set(found) == {*(path.stem for path in own.glob("*.sql")), "new"}
    assert found["labs"] == project.find(LABS) == tmp_path / LABS and found["chart"] == own / "chart.sql"
    assert [project.owns(found[name]) for name in ("labs", "chart")] == [True, False]
    assert Project().find(LABS) == own / "labs.sql" and Project().find("sql/none.sql") is None


def test_a_pipeline_takes_the_project_of_its_file_or_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name asks the current folder, `pipelines/x.yaml` the folder around, another file its own or the current one."""
    here = write(tmp_path / "here", {"pipelines/mine.yaml": "", "sql/a.sql": ""})
    there = write(
        tmp_path / "there", {"pipelines/x.yaml": "", "lone/x.yaml": "", "beside/schemas/a": "", "beside/x.yaml": ""}
    )
    monkeypatch.chdir(here)
    for given, root in (
        ("mine", here),
        ("mimic_iv", here),
        (there / "pipelines" / "x.yaml", there),
        ("../there/pipelines/x.yaml", there),
        (there / "beside" / "x.yaml", there / "beside"),
        (there / "lone" / "x.yaml", here),
        (asset_root() / "pipelines" / "demo.yaml", None),
    ):
        assert Project.of(str(given)).root == root, given
    monkeypatch.chdir(tmp_path)
    assert Project.of("mimic_iv").root is None
    monkeypatch.chdir(here / "pipelines")
    assert Project.of("mine.yaml").root == here


def test_a_name_is_looked_for_in_the_current_folder_before_tawt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pipelines/NAME.yaml` of the current folder wins; one that is nowhere brings the nearest of both."""
    own = "name: mimic_iv\nsource: mimic_iv\ndescription: mine\n"
    write(tmp_path, {"pipelines/mimic_iv.yaml": own, "pipelines/clinic.yaml": own, "pipelines/broken.yaml": "a: ["})
    assert resolve_pipeline("mimic_iv").description != "mine"
    monkeypatch.chdir(tmp_path)
    assert resolve_pipeline("mimic_iv").description == resolve_pipeline("clinic").description == "mine"
    assert resolve_pipeline("meds").name == "meds"
    for given, hint in (("clinc", "`clinic`"), ("physionet_2012", "`physionet2012`")):
        with pytest.raises(ConfigError, match=f"--pipeline {given}: is no pipeline") as error:
            resolve_pipeline(given)
        assert hint in error.value.hint
    with pytest.raises(ConfigError, match=r"broken\.yaml:1"):
        resolve_pipeline("broken")
    with pytest.raises(ConfigError, match=r"clinic\.yaml: is no file here") as error:
        resolve_pipeline("clinic.yaml")
    assert error.value.hint == "--pipeline clinic"


def test_one_stage_of_the_project_is_laid_over_a_packaged_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-p mimic_iv` in a project takes its stage, every other one is tawt's, and `stages` says whose each one is."""
    text = asset(LABS).read_text(encoding="utf-8").replace("-- One row", "-- My row")
    write(tmp_path, {LABS: text})
    graph = load_graph(resolve_pipeline("mimic_iv"), Project.at(tmp_path))
    assert graph.stages.keys() == load_graph(resolve_pipeline("mimic_iv")).stages.keys()
    assert [name for name, stage in graph.stages.items() if stage.summary.startswith("My row")] == ["event_parts.labs"]
    monkeypatch.chdir(tmp_path)
    listed = {row["stage"]: row["of"] for row in tawt.stages(pipeline="mimic_iv").to_pylist()}
    assert [name for name, of in listed.items() if of == "project"] == ["event_parts.labs"]
    assert tawt.sql("event_parts.labs", pipeline="mimic_iv").text == text


def test_the_contract_of_a_built_in_stage_cannot_be_replaced(tmp_path: Path) -> None:
    """What tawt's own code relies on is named as such; a copy that says the same does no harm."""
    events = asset("schemas/events.json").read_text(encoding="utf-8")
    project = Project.at(write(tmp_path, {"schemas/events.json": events}))
    assert load_graph(resolve_pipeline("demo"), project).stages
    write(tmp_path, {"schemas/events.json": events.replace("subject_id", "person_id")})
    with pytest.raises(ConfigError, match="is the contract of a stage that is code of tawt's") as error:
        load_graph(resolve_pipeline("demo"), project)
    assert error.value.where == str(tmp_path / "schemas" / "events.json")


def test_a_folder_that_is_no_layer_is_told(clinic: Path) -> None:
    """A stage in a misspelt folder would never run, and nobody would say so."""
    write(clinic, {"sql/clinic/event_part/more.sql": ""})
    with pytest.raises(ConfigError, match="sql/clinic/event_part: is no layer") as error:
        load_graph(PipelineConfig(name="clinic", source="clinic"), Project.at(clinic))
    assert "`event_parts`" in error.value.hint


def test_a_source_that_is_nowhere_says_where_it_was_looked_for(clinic: Path) -> None:
    """The project's folder is named beside what comes with tawt, with the nearest source of both."""
    with pytest.raises(
        ConfigError, match=rf"below sql/ or schemas/, expected one in {clinic} or in what comes with tawt"
    ) as error:
        load_graph(PipelineConfig(name="clinic", source="clinc"), Project.at(clinic))
    assert "`clinic`" in error.value.hint


def test_a_workspace_finds_its_project_from_anywhere(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was ingested with is what every later command reads, wherever it is typed; an edit there is an edit."""
    ingested()
    monkeypatch.chdir(write(tmp_path / "elsewhere", {"sql/clinic/staging/readings.sql": "no select"}))
    stage = clinic / "sql" / "clinic" / "staging" / "readings.sql"
    assert tawt.sql("staging.readings", tmp_path / "w").text == stage.read_text(encoding="utf-8")
    stage.write_text(
        stage.read_text(encoding="utf-8").replace("number(glucose)", "number(glucose) * 18"), encoding="utf-8"
    )
    ran = tawt.run("staging.readings+", tmp_path / "w", threads=1)
    assert [one.stage for one in ran.stages if one.reason][:3] == ["staging.readings", "event_parts.readings", "events"]
    values = tawt.query("select numeric_value v from events order by v", tmp_path / "w")["v"].to_pylist()
    assert values == [5 * 18, 6 * 18]


def test_a_project_that_moved_is_named_and_taken_up_where_it_is(
    ingested: Callable[..., RunResult], clinic: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which folder is gone to who would run something; the command of the hint, typed where it is now, runs
    nothing again."""
    ingested()
    moved, workspace = clinic.rename(tmp_path / "moved"), tmp_path / "w"
    pipeline = str(workspace / "pipeline.yaml")
    for command in (lambda: tawt.run("events", workspace), lambda: tawt.ingest(raw, pipeline, workspace)):
        with pytest.raises(ConfigError, match=f"made with the project {clinic}, which is not there") as error:
            command()
        assert f"--pipeline {pipeline}" in error.value.hint
    monkeypatch.chdir(moved)
    assert "not run" not in tawt.stages(workspace)["state"].to_pylist()[:3]
    assert tawt.ingest(raw, pipeline, workspace, threads=1).n_run == 0
    monkeypatch.chdir(tmp_path)
    assert open_workspace(workspace).project.root == moved


def test_a_workspace_whose_memory_is_damaged_is_mended_by_its_own_pipeline(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the hint, typed in the project, remembers it again; elsewhere it names the file, as all others do,
    and nothing else is said to be wrong."""
    ingested()
    with (tmp_path / "w" / "local.json").open("a") as file:
        file.write("x")
    with pytest.raises(FileError, match="damaged") as error:
        tawt.stages(tmp_path / "w")
    assert f"--pipeline {tmp_path}/w/pipeline.yaml` again, in the folder of its project" in error.value.hint
    monkeypatch.chdir(tmp_path)
    assert [finding.check for finding in tawt.check(tmp_path / "w") if not finding.ok] == ["records"]
    with pytest.raises(FileError, match=r"local\.json: is damaged"):
        ingested(tmp_path / "w" / "pipeline.yaml")
    (tmp_path / "w" / "local.json").unlink()
    with pytest.raises(ConfigError, match=r"local\.json: is damaged or gone"):
        ingested(tmp_path / "w" / "pipeline.yaml")
    monkeypatch.chdir(clinic)
    assert ingested(tmp_path / "w" / "pipeline.yaml").n_run == 0
    assert open_workspace(tmp_path / "w").project.root == clinic


def test_a_current_folder_that_was_removed_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with tawt is found from there all the same."""
    monkeypatch.chdir(write(tmp_path / "here", {"sql/a.sql": ""}))
    shutil.rmtree(tmp_path / "here")
    assert Project.of("mimic_iv").root is None and resolve_pipeline("meds").name == "meds"
    with pytest.raises(ConfigError, match="is no project"):
        tawt.test()


def test_an_edit_that_a_workspace_does_not_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a folder with files of its source, a workspace that was made without a project says how to take them."""
    raw = write(tmp_path / "raw", {"data/0.csv": "subject_id,time,code,numeric_value\n1,2020-01-01 00:00:00,A,1\n"})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    tawt.ingest(raw, "meds", tmp_path / "w", threads=1)
    assert tawt.run("events", tmp_path / "w", threads=1).notes == ()
    (here / "sql").mkdir()
    tawt.write_sql("event_parts.measurements", pipeline="meds")
    (note,) = tawt.run("events", tmp_path / "w", threads=1).notes
    assert f"files of {here} are not those of this workspace" in note
    assert f"`tawt ingest {raw} -w {tmp_path / 'w'} --pipeline meds`" in note
    tawt.ingest(raw, "meds", tmp_path / "w", threads=1)
    assert tawt.run("events", tmp_path / "w", threads=1).notes == ()


def test_a_place_that_no_record_can_hold_is_refused(clinic: Path, raw: Path, tmp_path: Path) -> None:
    """The workspace could not remember it; nothing is written."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/pr\xff"))
    shutil.copytree(clinic, odd)
    with pytest.raises(ConfigError, match="not UTF-8"):
        tawt.ingest(raw, str(odd / "pipelines" / "clinic.yaml"), tmp_path / "w", threads=1)
    assert not (tmp_path / "w").exists()


def test_files_that_begin_with_a_mark_of_their_encoding_are_read(
    ingested: Callable[..., RunResult], clinic: Path
) -> None:
    """As editors and spreadsheets of Windows write them: pipelines, contracts, stages and seeds."""
    shutil.copytree(asset("sql/shared/seeds"), clinic / "sql" / "shared" / "seeds")
    for path in [path for path in clinic.rglob("*.*") if path.is_file()]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert ingested().n_run == 3


def test_a_project_that_is_left_out_is_told(ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path) -> None:
    """Ingesting again with the files of another folder, or of tawt alone, says whose files run no more."""
    ingested()
    other = shutil.copytree(clinic, tmp_path / "other")
    result = ingested(other / "pipelines" / "clinic.yaml")
    assert result.notes[0] == f"project {other}, in the place of {clinic}, whose files run no more"
    assert result.n_run == 0 and open_workspace(tmp_path / "w").project.root == other


def test_the_workspaces_own_pipeline_is_of_its_project(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hints say to type, `-p W/pipeline.yaml`, keeps the project, even where another one is the current folder."""
    ingested()
    monkeypatch.chdir(write(tmp_path / "elsewhere", {"sql/clinic/staging/readings.sql": "no select"}))
    assert ingested(tmp_path / "w" / "pipeline.yaml").n_run == 0
    assert open_workspace(tmp_path / "w").project.root == clinic


def test_a_seed_of_the_project_stands_in_the_place_of_tawts(tmp_path: Path) -> None:
    """Its rows are all there are; what is no number, or lacks a column, is told with its place."""
    seed = "sql/shared/seeds/unit_conversions.csv"
    pipeline, project = PipelineConfig(name="clinic", source="clinic"), Project.at(write(tmp_path, {seed: ""}))
    head = "concept,from_unit,to_unit,factor,offset\n"
    write(tmp_path, {seed: head + "glucose,mmol/L,mg/dL,18.016,\n"})
    units = Units.of(pipeline, project)
    assert units.conversions == {("glucose", "mmol/L", "mg/dL"): (18.016, 0)}
    assert units.spellings == Units.of(pipeline).spellings
    for text, said in (
        (head + "a,b,c,1,\na,b,d,two,\n", f"{tmp_path / seed}:3: `factor` is no number"),
        ("concept,from_unit,to_unit\na,b,c\n", f"{tmp_path / seed}: lacks the column `factor`"),
        (head, f"{tmp_path / seed}: has a header alone"),
    ):
        write(tmp_path, {seed: text})
        with pytest.raises(ConfigError) as error:
            Units.of(pipeline, project)
        assert str(error.value).startswith(said) and "project" in error.value.hint + said


def test_an_edited_seed_makes_the_events_anew(ingested: Callable[..., RunResult], clinic: Path) -> None:
    """A seed is a part of what the events are made from, whoever it belongs to."""
    ingested()
    seeds = shutil.copytree(asset("sql/shared/seeds"), clinic / "sql" / "shared" / "seeds")
    assert ingested().n_run == 0
    with (seeds / "plausible_ranges.csv").open("a") as file:
        file.write("zeal,mg/dL,10,2000\n")
    assert {one.stage: one.reason for one in ingested().stages if one.reason}[
        "events"
    ] == "seed plausible_ranges changed"


def _leaves(folder: Path, kind: str) -> str:
    """Make a project of which one thing leads out, and return the pipeline that reads it."""
    out, project = folder / "out", folder / "project"
    shutil.copytree(asset("sql/meds"), project / "sql" / "lab")
    shutil.copytree(asset("schemas/meds"), project / "schemas" / "lab")
    (project / "pipelines").mkdir()
    shutil.copytree(project, out)
    (project / "pipelines" / "lab.yaml").write_text("extends: meds\nsource: lab\n")
    (out / "pipelines" / "lab.yaml").write_text("extends: meds\nsource: lab\n")
    for place in ("sql/lab/event_parts/measurements.sql", "sql/lab/staging", "schemas/lab", "pipelines/lab.yaml"):
        if place.startswith(kind):
            shutil.rmtree(project / place) if (project / place).is_dir() else (project / place).unlink()
            (project / place).symlink_to(out / place)
    said = {"up": "../../out/pipelines/lab.yaml", "absolute": str(out / "pipelines" / "lab.yaml")}.get(kind)
    if said is not None:
        (project / "pipelines" / "lab.yaml").write_text(f"extends: {said}\n")
    return str(project / "pipelines" / "lab.yaml")


KINDS = ("sql/lab/event_parts", "sql/lab/staging", "schemas", "pipelines", "up", "absolute")


@pytest.mark.parametrize("kind", KINDS)
def test_what_leads_out_of_a_project_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, of a file or of a folder, and what is extended, by whichever name the pipeline is given: what is read of a
    project is kept in workspaces, and who wrote it may be somebody else."""
    pipeline = _leaves(tmp_path, kind)
    monkeypatch.chdir(tmp_path / "project")
    for given in (pipeline, "pipelines/lab.yaml", "lab"):
        with pytest.raises(TawtError, match=r"leads out of the project .*, expected a file in it") as caught:
            graph = load_graph(resolve_pipeline(given), Project.of(given))
            raise next(iter(graph.faulty.values()))  # a stage's own contract is its own fault
        assert "copy what it leads to" in caught.value.hint


def test_a_link_within_a_project_or_to_what_comes_with_tawt_is_followed(tmp_path: Path) -> None:
    """So is one that the project itself is."""
    pipeline = Path(_leaves(tmp_path, "none"))
    project = pipeline.parents[1]
    part = project / "sql" / "lab" / "event_parts" / "measurements.sql"
    part.rename(project / "part.sql")
    part.symlink_to(project / "part.sql")
    (project / "sql" / "shared").symlink_to(asset("sql/shared"))
    (tmp_path / "linked").symlink_to(project)
    assert tawt.sql("event_parts.measurements", pipeline=str(tmp_path / "linked" / "pipelines" / "lab.yaml"))
