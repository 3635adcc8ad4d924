"""`tawt label`: from a task, a stage or a file to a label set that says what it was made of, or to why there is none."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.config.named import resolve_pipeline
from tawt.contracts.account import Account
from tawt.contracts.label_set import about_labels, label_sets
from tawt.errors import ConfigError, ContractError, FileError, StageError, StaleError, TawtError
from tawt.files import write_parquet, write_sealed
from tawt.heads.labels import label_file, read_labels, read_times
from tawt.labels.compile import compile_task
from tawt.labels.count import counts_of, of_one_answer
from tawt.labels.find import asked_for, known_tasks
from tawt.labels.ready import PREDICATES, ready_tasks
from tawt.labels.task import read_predicates, read_task
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.manifest import Components, Manifest
from tawt.pipeline.workspace import open_workspace
from tawt.project import Project, asset
from tawt.seals import holds, sha256_file
from tawt.sources.load import load_graph
from tests.unit.conftest import Hospital

QUICK: dict[str, Any] = {"threads": 1, "memory_limit": "500MB"}
TASK = """predicates:
  admission: {code: {regex: "^HOSPITAL_ADMISSION"}}
  death: {code: MEDS_DEATH}
trigger: admission
windows:
  input: {start: null, end: trigger, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: null, start_inclusive: false, end_inclusive: true, label: death}
"""


@pytest.fixture(scope="module")
def work(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of events alone, which tests of this module fill; names are theirs."""
    copy = tmp_path_factory.mktemp("label") / "w"
    return Path(shutil.copytree(hospital.workspace, copy, ignore=shutil.ignore_patterns("dataset", "triplets")))


def _task(folder: Path, name: str, text: str = TASK) -> Path:
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def _files(work: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (work / "labels").rglob("*") if path.is_file()}


def test_a_ready_task_becomes_a_label_set(work: Path, tmp_path: Path, exposed) -> None:
    """It is sealed, sorted, found by its name, in agreement with plain SQL, and made once."""
    heard: list[dict[str, Any]] = []
    made = tawt.label("in_hospital_mortality_24h", work, report=heard.append, **QUICK)
    labels, about = pq.read_table(made.path), about_labels(made.path)
    assert made.path == label_file(work, made.name) and holds(made.path) and about is not None
    assert (made.reason, about.form, about.task) == ("new", "aces", "in_hospital_mortality_24h")
    assert {*about.made_of} == {"task", "events", "clock", "tawt"}
    assert read_labels(made.path).kind == "binary" and labels.equals(
        labels.sort_by([("subject_id", "ascending"), ("prediction_time", "ascending")])
    )
    (plain,) = tawt.query(
        """
        with a as (select distinct subject_id, time t from events where starts_with(code, 'HOSPITAL_ADMISSION')),
        o as (select subject_id, time t, contains(code, 'DIED') or starts_with(code, 'MEDS_DEATH') dead from events
              where starts_with(code, 'HOSPITAL_DISCHARGE') or starts_with(code, 'MEDS_DEATH')),
        s as (select a.subject_id, a.t, min(o.t) over w e, max(dead) over w dead
              from a join o on a.subject_id = o.subject_id and o.t > a.t
              window w as (partition by a.subject_id, a.t order by o.t) qualify row_number() over w = 1)
        select count(*) n, count(*) filter (dead) died from s where e > t + interval 24 hours
        """, work).to_pylist()  # fmt: skip
    assert (len(labels), pc.sum(labels["boolean_value"]).as_py()) == (plain["n"], plain["died"])
    assert [row for event in heard if event["event"] == "attrition" for row in event["rows"]] == [*made.attrition]
    before = _files(work)
    again = tawt.label("in_hospital_mortality_24h", work, **QUICK)
    assert again.reason is None and again.attrition == about.attrition and again.counts == made.counts
    assert tawt.label("in_hospital_mortality_24h", work, force=True, dry_run=True, **QUICK).reason == "forced"
    (file,) = tawt.label("in_hospital_mortality_24h", work, meds=tmp_path / "new" / "meds", **QUICK).meds
    assert exposed(tmp_path / "new") == [] and len(pq.read_table(file)) == len(labels), "labels of people"
    assert _files(work) == before


def test_what_changes_a_label_makes_it_anew(work: Path, tmp_path: Path) -> None:
    """Words of a task change nothing; a predicate does, and one that fails leaves the file that was there."""
    task = _task(tmp_path, "death")
    first = tawt.label(task, work, **QUICK)
    _task(tmp_path, "death", f"description: Who dies.\n# a remark\n{TASK}")
    assert tawt.label(task, work, **QUICK).reason is None
    over = tmp_path / "over.yaml"
    over.write_text("predicates: {death: {code: NOBODY_HAS_IT}}")
    before = first.path.read_bytes()
    with pytest.raises(StageError, match="labels are no, one class alone"):
        tawt.label(task, work, predicates=over, **QUICK)
    assert first.path.read_bytes() == before and not [*(work / ".aside").iterdir()]
    over.write_text('predicates: {death: {code: {any: [MEDS_DEATH, "HOSPITAL_DISCHARGE//DIED"]}}}')
    assert tawt.label(task, work, predicates=over, **QUICK).reason == "task changed"


def test_labels_from_elsewhere_are_taken_over(work: Path, tmp_path: Path) -> None:
    """Parquet files of a folder are one label set, sorted; what is beside its columns is told, and left out."""
    own = pq.read_table(tawt.label(_task(tmp_path, "own"), work, **QUICK).path).replace_schema_metadata()
    half, folder = len(own) // 2, tmp_path / "shards"
    folder.mkdir()
    pq.write_table(own.slice(half), folder / "0.parquet")
    pq.write_table(own.slice(0, half).append_column("note", pa.array(["x"] * half)), folder / "1.parquet")
    heard: list[dict[str, Any]] = []
    made = tawt.label(folder, work, name="taken", report=heard.append, **QUICK)
    assert pq.read_table(made.path).replace_schema_metadata().equals(own)
    assert [e["text"] for e in heard] == ["1 column that a label set does not have is left out"]
    assert tawt.query("select count(*) n from labels.taken", work).to_pylist() == [{"n": len(own)}]
    with pytest.raises(ConfigError, match="is a label set of this workspace"):
        tawt.label(made.path, work, **QUICK)
    for name, table, error, said in (
        ("late", own.set_column(1, "prediction_time", pc.add(own["prediction_time"], timedelta(days=40000))),
         StageError, "after the subject's death"),
        ("early", own.set_column(1, "prediction_time", pc.subtract(own["prediction_time"], timedelta(days=60000))),
         StageError, "before anything of the subject is known"),
        ("none", own.slice(0, 0), StageError, "holds no label"),
        ("other", own.rename_columns(["subject_id", "time", *own.column_names[2:]]), ContractError, "prediction_time"),
    ):  # fmt: skip
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(error, match=said):
            tawt.label(tmp_path / f"{name}.parquet", work, **QUICK)
        assert not (work / "labels" / name).exists()
    hand = work / "labels" / "hand" / "labels.parquet"
    hand.parent.mkdir()
    pq.write_table(own, hand)
    with pytest.raises(ConfigError, match="was not written by `tawt label`"):
        tawt.label(folder, work, name="hand", force=True, **QUICK)
    hand.unlink(), hand.parent.rmdir()


def test_check_knows_label_sets(work: Path, tmp_path: Path) -> None:
    """They are no strangers; one that was changed, or is of other events, is told with what makes it again."""
    made = tawt.label(_task(tmp_path, "checked"), work, name="held", **QUICK)

    def told() -> tuple[bool, str, str]:
        found = {one.check: one for one in tawt.check(work)}
        assert found["files"].ok, found["files"].detail
        return found["labels"].ok, found["labels"].detail, found["labels"].mend

    assert told()[0] and "held" in label_sets(work)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    again = f"tawt label checked.yaml --name held -w {work}"
    assert told() == (False, "labels/held/labels.parquet is not as it was written", again)
    about = about_labels(made.path)
    assert about is not None
    other = about.model_copy(update={"made_of": {**about.made_of, "events": "0"}})
    write_parquet(made.path, pq.read_table(made.path).replace_schema_metadata(other.metadata()))
    assert told() == (False, "labels/held/labels.parquet is of other events than are there now", again)
    assert tawt.label(tmp_path / "checked.yaml", work, name="held", **QUICK).reason == "events changed"


def test_whoever_reads_labels_holds_them_to_what_was_written(work: Path, tmp_path: Path) -> None:
    """Answers turned round under an old seal, or no seal, are refused by whoever learns from them; so are those of a SQL
    stage that are not what it listed; a file that tawt did not write is taken as it is."""
    made = tawt.label(_task(tmp_path, "turned"), work, **QUICK)
    whole, elsewhere = pq.read_table(made.path), tmp_path / "elsewhere.parquet"
    at = whole.column_names.index("boolean_value")
    turned = whole.set_column(at, "boolean_value", pc.invert(whole["boolean_value"]))
    about = {key: value for key, value in whole.schema.metadata.items() if key != b"seal"}
    for table in (turned, turned.replace_schema_metadata(about)):
        for path in (made.path, elsewhere):
            pq.write_table(table, path)
            for read in (read_labels, read_times):
                with pytest.raises(ConfigError, match="is not as it was written") as error:
                    read(path)
                assert "`tawt label`" in error.value.hint
    with pytest.raises(ConfigError, match="is not as it was written"):
        tawt.label(elsewhere, work, **QUICK)
    assert tawt.label(tmp_path / "turned.yaml", work, **QUICK).reason == "damaged"
    pq.write_table(turned.replace_schema_metadata(), elsewhere)
    assert len(read_labels(elsewhere)) == len(read_labels(made.path))
    stage = _of_stage(tmp_path)
    assert len(read_labels(stage)) == 2
    pq.write_table(pq.read_table(stage).slice(1), stage)
    with pytest.raises(ConfigError, match="is not as it was written") as error:
        read_labels(stage)
    assert "tawt run labels.dead" in error.value.hint


def _of_stage(root: Path) -> Path:
    """Return a label set that a SQL stage is said to have written."""
    path = root / "labels" / "dead" / "labels.parquet"
    path.parent.mkdir(parents=True)
    rows = {
        "subject_id": [1, 2],
        "prediction_time": pa.array([0, 0], pa.timestamp("us")),
        "boolean_value": [True, False],
    }
    pq.write_table(pa.table(rows), path)
    account = Account(driving="events", n_records_in=2, n_records_kept=2, n_rows_out=2)
    manifest = Manifest(
        stage="labels.dead", fingerprint="", components=Components(), files={"labels/dead/labels.parquet": 1},
        hashes={"labels/dead/labels.parquet": sha256_file(path)}, accounts=(account,), seconds=0.0,
    )  # fmt: skip
    write_sealed(root / "manifests" / "labels.dead.json", manifest.model_dump(mode="json"))
    return path


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("nowhere", {}, "is no label stage and no ready task"),
        ("in_hospital_mortality_24h", {"name": "a/b"}, "is no name"),
        ("nowhere.yaml", {}, "is not there"),
        ("labels.csv", {}, "is a CSV file, which says of no column"),
        ("nowhere.parquet", {}, "is not there"),
        ("nowhere.parquet", {"predicates": "x.yaml"}, "--predicates"),
    ],
)
def test_what_is_no_task_is_told(task: str, options: dict[str, str], said: str, work: Path) -> None:
    """Each wrong word is named, with what would be one, and nothing is written."""
    before = _files(work)
    with pytest.raises(TawtError, match=said) as error:
        tawt.label(task, work, **options, **QUICK)
    assert error.value.hint and _files(work) == before


@pytest.mark.parametrize("source", ["mimic_iv", "eicu", "meds"])
def test_ready_tasks_hold(source: str) -> None:
    """Each can be compiled where its source says what its codes are called, and says in words what it asks."""
    own, tasks = asset(f"sql/{source}/tasks/{PREDICATES}.yaml"), ready_tasks(Project(), source)
    assert len(tasks) >= 8
    for name, path in tasks.items():
        try:
            task = read_task(path, own)
        except ConfigError as error:
            assert source == "meds" and "has no code yet" in error.what, name
            continue
        assert compile_task(task).rules and str(task.description).endswith("."), name
        window = task.windows[str(task.label_window)]
        assert not window.start_inclusive and task.index_window == "input", name


def test_a_source_refuses_a_task_that_it_cannot_answer(work: Path, tmp_path: Path) -> None:
    """Whoever asks is told its reason, and a file of other predicates is no matter of the source's; what is refused is a task."""
    own = tmp_path / "sql" / "mimic_iv" / "tasks" / f"{PREDICATES}.yaml"
    own.parent.mkdir(parents=True)
    said = asset(f"sql/mimic_iv/tasks/{PREDICATES}.yaml").read_text(encoding="utf-8")
    own.write_text(f"{said}refused: {{readmission_30d: the days between stays are not told}}\n")
    graph = load_graph(open_workspace(work).pipeline, Project.at(tmp_path))
    with pytest.raises(ConfigError, match="`mimic_iv`: the days between stays are not told") as error:
        asked_for("readmission_30d", graph, "mimic_iv")
    assert "--predicates" in str(error.value.hint)
    assert asked_for("readmission_30d", graph, "mimic_iv", predicates=own).ready
    assert asked_for("in_hospital_mortality_24h", graph, "mimic_iv").ready
    for source in ("mimic_iv", "eicu", "meds", "physionet2019"):
        assert {*read_predicates(asset(f"sql/{source}/tasks/{PREDICATES}.yaml")).refused} <= {
            *ready_tasks(Project(), source)
        }


def test_all_tasks_of_a_source_are_listed(work: Path) -> None:
    """Each that is listed as ready or a stage can be asked, each that is refused is not, with the reason that is listed."""
    assert {one.name: one.state for one in tawt.label_tasks(work)} == dict.fromkeys(
        ready_tasks(Project(), "mimic_iv"), "ready"
    )
    assert all(one.says.endswith(".") for one in tawt.label_tasks(work))
    for source, state, name in (("eicu", "refused", "readmission_30d"), ("physionet2019", "stage", "sepsis_hourly")):
        graph = load_graph(resolve_pipeline(source))
        listed = {one.name: one for one in known_tasks(graph, source)}
        assert listed[name].state == state
        for one in listed.values():
            if one.state == "refused":
                with pytest.raises(ConfigError) as error:
                    asked_for(one.name, graph, source).read()
                assert one.says in str(error.value)
            else:
                assert asked_for(one.name, graph, source).form == ("sql" if one.state == "stage" else "aces")
    graph = load_graph(resolve_pipeline("physionet2012"))
    states = {one.name: one.state for one in known_tasks(graph, "physionet2012")}
    assert states["survival"] == "stage" and states["readmission_30d"] == "refused"


def test_a_task_of_which_no_event_tells_is_not_ready(work: Path) -> None:
    """What it cannot do without is named; one of several that will do, and what must not come, may be absent."""
    graph = load_graph(open_workspace(work).pipeline)

    def told(*codes: str) -> dict[str, str]:
        return {one.name: f"{one.state}: {one.says}" for one in known_tasks(graph, "mimic_iv", codes)}

    none, some = told("LAB//1"), told("HOSPITAL_ADMISSION//X", "HOSPITAL_DISCHARGE//HOME")
    assert all(one.startswith("no events: no event has a code of ") for one in none.values())
    assert none["in_hospital_mortality_24h"].endswith("hospital_admission, discharge_or_death, death")
    assert some["in_hospital_mortality_24h"].endswith("code of death") and some["length_of_stay_24h"].startswith(
        "ready"
    )
    with_death = told("HOSPITAL_ADMISSION//X", "MEDS_DEATH")
    assert with_death["in_hospital_mortality_24h"].startswith("ready")


@pytest.mark.parametrize("made", [(), ("in_hospital_mortality_24h",)])
def test_a_task_without_labels_is_told_to_be_made(made: tuple[str, ...], work: Path, tmp_path: Path) -> None:
    """Whoever looks for the labels of a ready task or a stage by its name is told no other's, whatever labels are there; of
    a name that is misspelt the task is told that is meant."""
    copy = Path(shutil.copytree(work, tmp_path / "w", ignore=shutil.ignore_patterns("labels", "events", "staging")))
    for name in made:
        (copy / "labels" / name).mkdir(parents=True)
        (copy / "labels" / name / "labels.parquet").touch()
    with pytest.raises(ConfigError) as error:
        label_file(copy, "in_hospital_mortality_48h")
    assert error.value.hint == f"write it first: `tawt label in_hospital_mortality_48h -w {copy}`"
    with pytest.raises(ConfigError) as error:
        label_file(copy, "in_hospital_mortality48h")
    assert error.value.hint == "did you mean `in_hospital_mortality_48h`?"


def test_a_list_of_tasks_is_told_to_a_person(work: Path, tawt: Any) -> None:
    """Without a task each stands on a line of its own, and what is no task is told with the command that lists them."""
    listed = tawt("label", "-w", work)
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert listed.code == 0 and lines["next_potassium"].split()[1] == "ready" and len(lines) >= 9
    assert listed.err.splitlines()[-1].startswith("next: tawt label ")
    assert json.loads(tawt("label", "-w", work, "--format", "json").out)[0].keys() == {"task", "state", "says"}
    wrong = tawt("label", "in_hospital_mortalty_24h", "-w", work)
    assert wrong.code == 2 and "did you mean" in wrong.error and f"tawt label -w {work}" in wrong.error
    assert tawt("label", "-w", work, "--force").code == 2


@pytest.mark.parametrize("task", sorted({*ready_tasks(Project(), "mimic_iv")} - {"discharge_within_7d"}))
def test_the_invented_hospital_can_answer_ready_tasks(task: str, work: Path) -> None:
    """It has labels of more than one answer; of so few people alone all leave within a week."""
    assert tawt.label(task, work, **QUICK).n_labels > 0


def test_two_columns_of_one_name_are_refused(work: Path, tmp_path: Path) -> None:
    """Which of them is meant nobody can tell: neither `label` nor whoever learns from labels reads such a file."""
    path, names = tmp_path / "twice.parquet", ["subject_id", "prediction_time", "boolean_value", "boolean_value"]
    pq.write_table(pa.table([[1], [0], [True], [False]], names=names), path)
    for read in (lambda: tawt.label(path, work, **QUICK), lambda: read_labels(path)):
        with pytest.raises((FileError, ConfigError), match="has 1 columns of a name that is there already"):
            read()


def test_what_a_column_of_somebody_elses_is_called_is_not_told(work: Path, tmp_path: Path) -> None:
    """A name can be what stands in a cell: what is missing is told with the columns that are expected, and no other."""
    path = tmp_path / "own.parquet"
    for names in (["subject_id", "predictoin_time", "Jane Doe"], ["subject_id", "prediction_time", "boolean_valeu"]):
        pq.write_table(pa.table([[1], pa.array([0], pa.timestamp("us")), [True]], names=names), path)
        with pytest.raises(ContractError) as error:
            tawt.label(path, work, **QUICK)
        said = f"{error.value} {error.value.hint}"
        assert (
            "prediction_time" in said
            and "boolean_value" in said
            and not any(n in said for n in ("Jane", "valeu", "toin"))
        )


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_prediction_times_in_a_zone_are_refused(zone: str, work: Path, tmp_path: Path) -> None:
    """Events have clock times: neither `label` nor whoever learns from a file takes an instant for one of them."""
    own = pq.read_table(tawt.label("in_hospital_mortality_24h", work, **QUICK).path).replace_schema_metadata()
    path, times = tmp_path / "zoned.parquet", own["prediction_time"].cast(pa.timestamp("us", zone))
    pq.write_table(own.set_column(1, "prediction_time", times), path)
    for read in (lambda: tawt.label(path, work, **QUICK), lambda: read_labels(path)):
        with pytest.raises(
            (ContractError, ConfigError), match=f"`prediction_time` is in the time zone {zone}"
        ) as error:
            read()
        assert "without a zone" in error.value.hint


def test_spans_of_time_are_finite_and_not_negative(work: Path, tmp_path: Path) -> None:
    """Hours below 0, infinite or no number are refused, and a horizon of 0, by `label` and by whoever learns from it."""
    whole = (
        pq.read_table(tawt.label("in_hospital_mortality_24h", work, **QUICK).path)
        .select(["subject_id", "prediction_time", "boolean_value"])
        .replace_schema_metadata()
    )
    wrong = [(name, bad) for name in ("duration_hours", "horizon_hours") for bad in (-1.0, float("inf"), float("nan"))]
    for name, bad in [*wrong, ("horizon_hours", 0.0)]:
        path = tmp_path / "spans.parquet"
        pq.write_table(whole.append_column(name, pa.array([bad, *[5.0] * (len(whole) - 1)])), path)
        with pytest.raises(StageError, match="no span of time"):
            tawt.label(path, work, **QUICK)
        with pytest.raises(ConfigError, match="no span of time"):
            read_labels(path)


def test_counts_tell_of_no_few_people() -> None:
    """A cell of few is told as such, and so is one that would tell of it; their labels are not told."""
    n = {("train", True): 4, ("train", False): 60, ("held_out", True): 25, ("held_out", False): 30}
    rows = [(split, value) for (split, value), k in n.items() for _ in range(k)]
    ids = pa.array(range(len(rows)), pa.int64())
    labels = pa.table({"subject_id": ids, "boolean_value": [value for _, value in rows]})
    splits = pa.table({"subject_id": ids, "split": [split for split, _ in rows]})
    assert [tuple(row.values()) for row in counts_of(labels, splits)] == [
        ("train", "yes", "<11", "-"), ("train", "no", "11+", "-"), ("held_out", "yes", "25", "25"),
        ("held_out", "no", "20+", "-"),
    ]  # fmt: skip
    # of forty subjects, five have no `yes`: forty less 35 would tell of them
    both = pa.table(
        {"subject_id": pa.array([*range(40), *range(35)], pa.int64()), "boolean_value": [False] * 40 + [True] * 35}
    )
    told_of = counts_of(both, pa.table({"subject_id": pa.array(range(40), pa.int64()), "split": ["train"] * 40}))
    assert [(row["answer"], row["subjects"]) for row in told_of] == [("yes", "11+"), ("no", "40")]
    horizons = labels.append_column("horizon_hours", pa.array([24.0] * len(rows), pa.float64()))
    assert {row["asked"] for row in counts_of(horizons, splits)} == {"24 h"}
    numbers = pa.table({"subject_id": ids, "integer_value": pa.array([None, *range(len(rows) - 1)], pa.int64())})
    assert {row["answer"] for row in counts_of(numbers, splits)} == {"a number", "not known"}


def test_names_of_few_people_are_not_told() -> None:
    """A class or a target of 10 people in all is counted without its name; one of 11 is named, and so is a horizon."""
    ids = pa.array(range(60), pa.int64())
    splits = pa.table({"subject_id": ids, "split": ["train"] * 60})
    classes = pa.array(["of one ward"] * 10 + ["rare"] * 11 + ["common"] * 39)
    told = counts_of(pa.table({"subject_id": ids, "categorical_value": classes}), splits)
    assert {row["answer"] for row in told} == {"classes of fewer than 11 subjects", "rare", "common"}
    yes = [True, False] * 30
    asked = pa.table({"subject_id": ids, "target": classes, "horizon_hours": [24.0] * 60, "boolean_value": yes})
    assert {row["asked"] for row in counts_of(asked, splits)} == {
        "targets of fewer than 11 subjects 24 h", "rare 24 h", "common 24 h"
    }  # fmt: skip


def test_a_label_set_is_told_to_a_person(work: Path, tmp_path: Path, tawt: Any) -> None:
    """Who is left, what was answered, where it lies and what to type next; as JSON in one piece."""
    words = ("label", _task(tmp_path, "told"), "-w", work, "--threads", 1)
    ended = tawt(*words)
    assert ended.code == 0 and "trigger: admission" in ended.out and "held_out" in ended.out
    assert ended.err.splitlines()[-1] == f"next: tawt finetune told -w {work} --run RUN"
    said = json.loads(tawt(*words, "--format", "json").out)
    assert {*said} == {"name", "path", "made", "attrition", "counts"} and said["made"] is None
    bad = tawt("label", _task(tmp_path, "bad", TASK.replace("MEDS_DEATH", "NONE")), "-w", work, "--threads", 1)
    assert "no event has the code of the predicate `death`" in bad.err and "no event has" not in ended.err
    assert bad.code == 1 and "trigger: admission" in bad.out and "one class alone" in bad.error


def test_whoever_uses_labels_is_told_that_they_are_stale(own_workspace: Path, tmp_path: Path) -> None:
    """Labels of other events than there are now stop whoever learns from them, with what makes them anew; a file that
    no command wrote is taken as it is, and so are those of a workspace without manifests."""
    path = tawt.label(_task(tmp_path, "dead"), own_workspace, name="gone", **QUICK).path
    notes: list[str] = []
    assert hold_fresh(own_workspace, False, notes.append, path) is None and not notes
    about = about_labels(path)
    assert about is not None
    other = about.model_copy(update={"made_of": {**about.made_of, "events": "before"}})
    write_parquet(path, pq.read_table(path).replace_schema_metadata(other.metadata()))
    with pytest.raises(StaleError, match=r"labels/gone: is stale: labels.gone .events is newer") as error:
        hold_fresh(own_workspace, False, notes.append, path)
    assert "tawt label dead.yaml --name gone" in error.value.hint and "--stale-ok" in error.value.hint
    assert hold_fresh(own_workspace, True, notes.append, path) == "labels.gone (events is newer)"
    assert notes[0].startswith("labels.gone is stale, and is taken as it is")
    elsewhere = Path(shutil.copy(path, tmp_path / "x.parquet"))
    assert hold_fresh(own_workspace, False, notes.append, elsewhere) is None
    shutil.rmtree(own_workspace / "manifests")
    assert hold_fresh(own_workspace, False, notes.append, path) is None


def test_a_split_of_one_answer_is_named() -> None:
    """Where all of a split have one answer that others have not; not where they are few, nor where nobody differs."""
    ids = pa.array(range(60), pa.int64())
    splits = pa.table({"subject_id": ids, "split": ["train"] * 30 + ["tuning"] * 25 + ["held_out"] * 5})
    labels = pa.table({"subject_id": ids, "boolean_value": [i < 15 for i in range(60)]})
    assert of_one_answer(counts_of(labels, splits)) == ["tuning"]
    same = pa.table({"subject_id": ids, "boolean_value": [False] * 60})
    assert of_one_answer(counts_of(same, splits)) == []


def test_a_workspace_that_is_not_there_is_no_label_set(tmp_path: Path) -> None:
    """It is the folder that is told, with the one that may be meant; a command that is told can be pasted."""
    (tmp_path / "mimic").mkdir()
    with pytest.raises(ConfigError, match="is no folder") as error:
        label_file(tmp_path / "mimicc", "odd")
    assert "mimic" in error.value.hint
    (tmp_path / "mimic" / "runs").mkdir()
    with pytest.raises(ConfigError) as error:
        label_file(tmp_path / "mimic", "odd")
    assert "`tawt label odd -w" in error.value.hint
