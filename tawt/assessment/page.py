"""The report: one file that needs no network and no script; verdict first, then what it rests on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tawt.assessment.likeness import is_near
from tawt.assessment.pictures import (
    Picture,
    of_curve,
    of_discriminators,
    of_membership,
    of_records,
    ranges,
    series,
)  # fmt: skip
from tawt.assessment.result import NAMES, Assessed
from tawt.assessment.svg import text
from tawt.contracts.cells import few
from tawt.dataset.vocabulary import Vocabulary
from tawt.fidelity.groups import Measure
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.report import Fidelity
from tawt.fidelity.suite import CEILING, SYNTHETIC
from tawt.privacy.verdict import SetVerdict

_OF_TASK = ("trtr", "tstr", "ratio", "kept", "trts", "augmented", "importances")
_WORDS = {"passed": "passed", "failed": "failed", "cannot tell": "open"}
_MADE = {"control": "control", "run": "run",
         "unfinished": "run not finished, after", "prior": "prior of latents", "model": "weights", "seed": "seed",
         "n_train": "people it was learned from", "n_subjects": "records", "n_events": "events", "tawt": "tawt",
         "n_rejected": "records left out", "n_dropped": "events dropped", "n_clipped": "numbers moved",
         "refused_before": "sets of the same source that a gate refused before"}  # fmt: skip
_WHAT_GATES_ASK = """<dl class="terms">
<dt>DCR share</dt><dd>Distance to the closest record: of the invented records, how many lie nearer to somebody they
were learned from than to anybody else. .5 is chance.</dd>
<dt>NNDR</dt><dd>Nearest neighbour distance ratio: how much nearer the nearest real person is than the second nearest.
Far lower among those learned from than among others, records cling to single people.</dd>
<dt>NNAAR</dt><dd>Nearest neighbour adversarial accuracy, how much worse: how much easier those learned from are
mistaken for invented records than others are. 0 is not at all.</dd>
<dt>membership</dt><dd>Of those learned from, how many an attacker finds who takes 1 in 100 others for one of them.</dd>
<dt>attributes</dt><dd>What the nearest invented record tells of a person that nobody knew, beyond what other people
tell.</dd>
</dl>"""


def page(found: Assessed, vocabulary: Vocabulary) -> str:
    """Return the report as HTML.

    Args:
        found: What was found.
        vocabulary: Of the real records: names of data_types, and units.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    own = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sections = [_head(found), *_privacy(found), *_fidelity(found, vocabulary), *_made(found), *_rest(found)]
    return "\n".join([
        '<!doctype html>', '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"""<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{own}'">""",
        f"<title>Synthetic patients: {text(found.name)}</title>", f"<style>{style}</style>", "</head>", "<body>",
        *sections, "</body>", "</html>", "",
    ])  # fmt: skip


def _head(found: Assessed) -> str:
    people = ", ".join(f"{few(n)} of {name}" for name, n in found.sizes.items())
    said = "".join(f"<p>{text(line)}</p>" for line in found.verdict)
    return (
        f"<h1>Synthetic patients: {text(found.name)}</h1>\n<p class='quiet'>{text(people)}; {text(found.chosen)}.</p>\n"
        f'<div class="verdict {_WORDS.get(found.outcome or "", "open")}" role="note">{said}</div>'
    )


def _privacy(found: Assessed) -> Iterable[str]:
    if found.privacy is None:
        return
    said = found.privacy.verdict
    yield "<h2>Does it give anybody away?</h2>"
    yield (
        f"<p class='quiet'>Attacks that are known to work, on a set that was learned from {few(said.n)} people. A gate "
        "passes where a leak beyond its bound would have been seen, and so few people that nothing would be seen pass "
        "none. Controls stand beside: copies must fail.</p>"
    )
    yield _gates(said, found.privacy.controls)
    yield _WHAT_GATES_ASK
    yield f"<p>{text(found.privacy.exact)}</p>"
    drawn = [*of_membership(found.privacy.assessments)]
    curves = {name: [*of_curve(name, curve)] for name, curve in found.privacy.curves.items()}
    drawn += [one for pictures in curves.values() for one in pictures]
    if drawn:
        grow = ", and how they grow with the number of people" if any(curves.values()) else ""
        yield f"<h3>Attacks{grow}</h3>"
        yield _pictures(drawn)
    for name in (name for name, pictures in curves.items() if not pictures):
        few_sizes = len(found.privacy.curves[name].points) < 2
        why = "there are too few people for more than one number of them" if few_sizes else "of so few nothing is told"
        yield f"<p class='quiet'>{text(name)}: no curve is drawn, for {why}.</p>"


def _gates(said: SetVerdict, controls: Mapping[str, SetVerdict]) -> str:
    beside = {name: {gate.name: gate for gate in one.gates} for name, one in controls.items()}
    rows = []
    for gate in said.gates:
        plain = gate.name.removesuffix(", summaries")
        cells = [gate.found.text(), gate.bound_text, few(gate.n)]
        others = [of.get(gate.name) or of.get(plain) for of in beside.values()]
        cells += [f"{one.found.text()}: {one.outcome}" if one else "-" for one in others]
        outcome = f'<td class="outcome">{text(gate.outcome_text)}</td>'
        rows.append(_row(gate.name, cells, _WORDS[gate.outcome], outcome))
    return _table(["gate", "answer", "found (95 %)", "bound", "people on each side", *controls], rows)


def _fidelity(found: Assessed, vocabulary: Vocabulary) -> Iterable[str]:
    if found.fidelity is None:
        return
    fidelity = found.fidelity
    legend = _legend({NAMES.get(name, name): i for name, i in series(fidelity).items()})
    yield "<h2>Is it like real records?</h2>"
    has_lines = any(one.low is not None for of in fidelity.sets.values() for one in of.values())
    yield (
        f"<p class='quiet'>{few(fidelity.n_subjects)} subjects of each set, held to as many real ones. "
        f"{'Lines are intervals of 95 %. ' * has_lines}A set that is as good as real lies where other real ones "
        "do.</p>"
    )
    yield legend
    yield from (f'<figure class="whole">{one.plot.render()}</figure>' for one in ranges(fidelity))
    yield _numbers(fidelity)
    yield from (f"<p class='quiet'>{text(why)}</p>" for why in fidelity.reasons)
    yield from _utility(found, fidelity)
    drawn = [*of_records(fidelity, vocabulary), *of_discriminators(fidelity)]
    if not drawn:
        return
    yield "<h3>Records</h3>"
    yield _legend(
        {NAMES.get(name, name): i for name, i in series(fidelity).items()} | {"the real test set (dashed)": 9}
    )
    yield _pictures(drawn)
    yield "<p class='quiet'>Where a line breaks, too few people stand behind it; what so few have is not drawn.</p>"


def _numbers(fidelity: Fidelity) -> str:
    names = [name for name in fidelity.metrics if ":" not in name]
    rows = []
    for name in names:
        measures = [of.get(name) for of in fidelity.sets.values()]
        pair = [fidelity.sets[of].get(name) for of in (SYNTHETIC, CEILING)]
        near, is_there = is_near(name, *pair), all(one and one.value is not None for one in pair)
        said = "as real" if near else "apart" if is_there else "cannot tell"
        metric = metric_of(name)
        cells = [metric.better, *(one.text() if one else "-" for one in measures)]
        rows.append(_row(metric.title, cells, "passed" if near else "open", f'<td class="outcome">{said}</td>'))
    heads = ["measure", "", "best", *(NAMES.get(name, name) for name in fidelity.sets)]
    return f"<details><summary>All of them as numbers</summary>{_table(heads, rows)}</details>"


def _utility(found: Assessed, fidelity: Fidelity) -> Iterable[str]:
    if not found.tasks:
        return
    yield "<h3>Does it teach what real records teach?</h3>"
    heads = [
        "task",
        "set",
        "learned from real",
        "learned from the set",
        "ratio",
        "kept above chance",
        "asked on the set",
        "learned from both",
        "rank correlation of importances",
    ]
    rows = []
    for task in found.tasks:
        for name, of in fidelity.sets.items():
            if f"tstr:{task}" in of:
                cells = [of.get(f"{one}:{task}", Measure(None)).text() for one in _OF_TASK]
                rows.append(_row(task, [NAMES.get(name, name), *cells]))
    yield (
        "<p class='quiet'>AUROCs on real people whom nothing was learned from. The ratio is the second over the first; "
        "a set that teaches nothing has more than half of it. What is kept above chance is the same of what both are "
        "above .5.</p>"
    )
    yield _table(heads, rows)


def _made(found: Assessed) -> Iterable[str]:
    if not found.made_by:
        return
    yield "<h2>How it was made</h2>"
    made_by = dict(found.made_by)
    if isinstance(far := made_by.get("unfinished"), dict):
        made_by["unfinished"] = f"step {_plain(far['step'])} of {_plain(far['of_steps'])}"
    rows = [_row(name, [_plain(made_by[key])]) for key, name in _MADE.items() if made_by.get(key) is not None]
    yield _table(["", ""], rows)
    raw = found.made_by.get("raw")
    if isinstance(raw, dict) and raw:
        yield "<h3>Rules that it broke before it was mended</h3>"
        yield _table(
            ["rule", "events that broke it", "of", "records", "then"], [_broken(name, one) for name, one in raw.items()]
        )


def _broken(name: str, one: Any) -> str:
    if not isinstance(one, dict) or one.get("few"):
        return _row(name, ["of few people", "", "", _plain(one.get("repair")) if isinstance(one, dict) else ""])
    rate = one.get("rate")
    share = f"{rate:.2%}" if isinstance(rate, float | int) else "-"
    events = f"{_plain(one.get('events'))} ({share})"
    return _row(name, [events, *(_plain(one.get(key)) for key in ("of_events", "records", "repair"))])


def _rest(found: Assessed) -> Iterable[str]:
    if found.not_measured:
        yield "<h2>What was not measured</h2>"
        yield _table(["what", "why"], [_row(name, [why]) for name, why in found.not_measured.items()])
    yield "<h2>What this does not say</h2>"
    yield (
        "<p>That no attack works: these did not, with what they were given. That each person is safe: a set that "
        "copies 1 in 200 stays below the bounds of membership. Anything of another number of people, or of another "
        "set.</p>"
    )
    yield from (f"<p class='quiet'>{text(note)}</p>" for note in found.notes)


def _pictures(pictures: Sequence[Picture]) -> str:
    drawn = []
    for one in (one for one in pictures if one.plot.marks):
        legend = _legend(one.legend) if one.legend else ""
        caption = f"<figcaption>{text(one.caption)}{legend}</figcaption>" if one.caption or legend else ""
        drawn.append(f"<figure>{one.plot.render()}{caption}</figure>")
    return f'<div class="pictures">{"".join(drawn)}</div>'


def _legend(names: Mapping[str, int]) -> str:
    return f'<ul class="legend">{"".join(f"<li><i class=s{i}></i>{text(name)}</li>" for name, i in names.items())}</ul>'


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide" tabindex="0"><table>{body}</table></div>'


def _row(name: str, cells: Sequence[str], kind: str = "", after: str = "") -> str:
    own = "".join(f"<td>{text(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{text(name)}</th>{after}{own}</tr>'


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
