"""The model card: results beside baselines, health, versions, and no small count of people."""

from __future__ import annotations

import yaml

from tawt.contracts.cells import few
from tawt.runs.card import card, write_card
from tawt.training.versions import Versions, write_versions


def test_a_card_says_what_a_run_is(make_run, metrics_line):
    """Losses stand beside their trivial baselines, health and versions are told, and the front matter is YAML."""
    lines = [
        metrics_line(5, value=(9.0, 9.0, 9)), metrics_line(1200, value=(0.75, 1.5, 4321)),
        {"step": 1200, "split": "health", "n_subjects": 90, "effective_rank": 7.25, "age_r2": 0.5, "age_n": 90},
    ]  # fmt: skip
    run = make_run("steep", "objective.contrastive.weight=0.5", metrics=lines)
    versions = Versions(
        packages={"torch": "2.99"}, python="3.11", machine="x86_64", device="cpu", precision="fp32", threads=1,
        processes=1, seed=0, reasons={},
    )  # fmt: skip
    write_versions(run, versions)
    path = write_card(run, data={"subjects": 1500, "triplets": 7})
    text = path.read_text()
    assert path == run / "README.md" and yaml.safe_load(text.split("---\n")[1])["library_name"] == "tawt"
    assert "| value | 1 | 0.75 | 1.5 | 50.0% | 4,321 |" in text and "after step 1,200" in text
    assert "7.25" in text and "probe of age" in text and "probe of sex" not in text
    assert "; age of 90 of them:" in text and "Not probed, for want of a code or of 50 subjects: sex." in text
    assert "| subjects | 1,500 |" in text and "| triplets | 7 |" in text
    assert "| torch | 2.99 |" in text and "**contrastive**, weight 0.5" in text and "**forecast**" not in text
    assert "`max_value`" not in text  # only what is not at its default
    assert "intended use" in text and "steep" in text


def test_a_card_of_a_decoder_says_what_one_is_for(make_run):
    """It draws and continues records; one that is told of whole records continues none, and what is shared is an encoder."""
    run = make_run(
        "d", "objective.masked.weight=0", "objective.next.weight=1", "model.causal=true", "batching.order=by_type"
    )
    own, shared = card(run), card(run, shared=True)
    assert "tawt generate -w WORKSPACE --run d" in own and "tawt risk TASK -w WORKSPACE --run d" in own
    assert "decoder over sorted" in own and "tawt embed -w" in own and "feature-extraction" not in own
    assert "encoder over sorted" in shared and "tawt risk" not in shared and "feature-extraction" in shared
    (run / "config.yaml").write_text(
        (run / "config.yaml").read_text().replace("  latent:\n    encoder: ''", "  latent:\n    encoder: e")
    )
    assert "tawt generate" in card(run) and "tawt risk" not in card(run)


def test_few_people_are_not_counted_on_a_card(make_run):
    """1 to 10 subjects are shown as `<11`, in the data and in the health."""
    assert [few(n) for n in (0, 1, 10, 11, 1234)] == ["0", "<11", "<11", "11", "1,234"]
    run = make_run("a", metrics=[{"step": 1, "split": "health", "n_subjects": 9, "mean_norm": 2.0}])
    text = card(run, data={"subjects": 9})
    assert "| subjects | <11 |" in text and "Of <11 subjects" in text


def test_a_run_without_validation_says_so(make_run):
    """Nothing is claimed of a run that has no tuning line."""
    text = card(make_run("a"))
    assert "no validation" in text and "Not looked at." in text


def test_no_part_of_few_people_stands_on_a_shared_card(make_run, metrics_line):
    """What 10 subjects or fewer, or nobody knows how many, have a position of is withheld, and so is the sum with it; the
    run's own card keeps all."""
    line = metrics_line(7, value=(0.75, 1.5, 4321), status=(0.25, 1.25, 1), category=(0.125, 8.5, 12))
    line |= {"subjects_value": 11, "subjects_status": 10, "subjects_category": 12}
    run = make_run("a", "objective.masked.status_weight=0.5", metrics=[line])
    text = card(run, shared=True)
    assert "| value | 1 | 0.75 | 1.5 | 50.0% | 4,321 |" in text and "| category | 1 | 0.125 | 8.5 |" in text
    assert "| status | 0.5 | withheld | withheld | withheld | withheld |" in text and "1.25" not in text
    assert "| all |  | withheld | withheld |" in text and "at most 10 subjects" in text
    assert "| status | 0.5 | 0.25 | 1.25 |" in card(run) and "withheld" not in card(run)
    for known, told in (({"subjects_status": 11}, True), ({"subjects_category": 0}, False)):
        text = card(make_run(f"b{told}", metrics=[line | {"subjects_status": 11} | known]), shared=True)
        assert ("withheld" not in text) == ("| all |  | 1.125 |" in text) == told
    assert "4,321" not in card(make_run("c", metrics=[metrics_line(7, value=(0.75, 1.5, 4321))]), shared=True)
