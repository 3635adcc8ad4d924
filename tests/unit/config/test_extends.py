"""`extends:` in a pipeline: what is laid on what, and which file and line a mistake is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.config.load import dump, parse_yaml
from tawt.config.named import resolve_pipeline
from tawt.errors import ConfigError

BASE = """name: base
source: lab
off: [staging.a, staging.b]
parameters: {earliest: "1900-01-01", latest: "2300-01-01"}
splits: {train: 0.8, tuning: 0.1, held_out: 0.1}
data_types:
  A: {low: 1, high: 2}
  B: {unit: mg/dL}
"""


def _variant(folder: Path, text: str, base: str = BASE) -> str:
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "pipelines" / "base.yaml").write_text(base)
    (folder / "pipelines" / "mine.yaml").write_text(text)
    return str(folder / "pipelines" / "mine.yaml")


def test_a_variant_says_only_what_differs(tmp_path: Path) -> None:
    """Mappings are laid on key by key, what is off stays off, another list takes the other's place, `~` takes a key
    away, the name is the file's."""
    text = (
        "extends: base\noff: [staging.c]\nparameters: {latest: '2000-01-01'}\ndata_types: {A: {high: 9}, B: ~, C: {}}\n"
    )
    mine, base = (resolve_pipeline(_variant(tmp_path, text).replace("mine", name)) for name in ("mine", "base"))
    assert (mine.name, mine.source, mine.off, mine.splits) == (
        "mine",
        "lab",
        ("staging.c", "staging.a", "staging.b"),
        base.splits,
    )
    assert mine.parameters == {"earliest": "1900-01-01", "latest": "2000-01-01"}
    assert {code: (known.low, known.high) for code, known in mine.data_types.items()} == {
        "A": (1, 9),
        "C": (None, None),
    }
    assert "extends" not in parse_yaml(dump(mine), "x")[0]
    assert resolve_pipeline(_variant(tmp_path, "extends: base\noff: ~\n")).off == ()


def test_overrides_are_laid_on_last(tmp_path: Path) -> None:
    """`--set` wins over the variant, which wins over what it extends."""
    mine = resolve_pipeline(
        _variant(tmp_path, "extends: base\nshards: 2\nname: m\n"), ("shards=3", "data_types.A.low=0")
    )
    assert (mine.name, mine.shards, mine.data_types["A"].low, mine.data_types["A"].high) == ("m", 3, 0, 2)


def test_a_variant_of_a_variant_and_of_a_file(tmp_path: Path) -> None:
    """Chains hold; a path is as of the file that it stands in."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "last.yaml").write_text("extends: ../pipelines/mine.yaml\nshards: 3\n")
    _variant(tmp_path, "extends: base\nshards: 2\ndescription: in the middle\n")
    last = resolve_pipeline(str(tmp_path / "deep" / "last.yaml"))
    assert (last.name, last.source, last.shards, last.description) == ("last", "lab", 3, "in the middle")


def test_a_variant_may_have_the_name_of_the_packaged_one_that_it_extends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's `mimic_iv` that extends `mimic_iv` is laid on tawt's, by name and by file."""
    _variant(tmp_path, "extends: mimic_iv\nshards: 3\n").replace("mine", "mimic_iv")
    (tmp_path / "pipelines" / "mine.yaml").rename(tmp_path / "pipelines" / "mimic_iv.yaml")
    monkeypatch.chdir(tmp_path)
    for given in ("mimic_iv", "pipelines/mimic_iv.yaml"):
        assert resolve_pipeline(given).shards == 3 and resolve_pipeline(given).data_types
    (tmp_path / "pipelines" / "other.yaml").write_text("extends: mimic_iv\n")
    assert resolve_pipeline("other").shards == 3  # by the project's, which wins
    (tmp_path / "pipelines" / "plain.yaml").write_text("source: meds\n")
    assert resolve_pipeline("plain").name == "plain"  # what says no name has that of its file


@pytest.mark.parametrize(
    ("text", "base", "said"),
    [
        ("extends: base\nshrads: 2\n", BASE, "{mine}:2: unknown key `shrads`"),
        ("extends: base\nshards: 2\n", BASE + "colour: red\n", "{base}:9: unknown key `colour`"),
        ("extends: base\nshards: -2\n", BASE, "{mine}:2: `shards` does not fit"),
        *((f"extends: base\nname: {name}\n", BASE, "{mine}:2: `name` does not fit, expected a name of letters")
          for name in ("../x", ".x", "a/b", "'a b'", "''")),
        ("extends: base\nname: x\n", BASE + "shards: -2\n", "{base}:9: `shards` does not fit"),
        ("extends: base\n\noff: [[]]\n", BASE, "{mine}:3: `off.0` does not fit"),
        ("extends: base\nsplits: {train: 0.5}\n", BASE, "{mine}:2 and {base}:5: `splits.train` and `splits.tuning`"),
        ("extends: base\ndata_types: {A: {low: 7}}\n", BASE, "{mine}:2 and {base}:7: `data_types.A.low` and"),
        ("extends: base\n", BASE.replace("low: 1", "low: 3"), "{base}:7: `data_types.A.low` and"),
        ("extends: base\nsource: ~\n", BASE, "{mine}:2: key `source` is missing"),
        ("extends: base\ncolour: ~\n", BASE, "{mine}:2: unknown key `colour`"),
        ("shards: 2\nextends: bas\n", BASE, "{mine}:2: `extends: bas` names no pipeline"),
        ("extends: pretrain_small\n", BASE, "{mine}:1: `extends: pretrain_small` names no pipeline"),
        ("extends: mine\n", BASE, "{mine}:1: `extends: mine` names no pipeline"),
        ("extends: ./none.yaml\n", BASE, "{mine}:1: `extends: ./none.yaml` is not there"),
        ("extends: [base]\n", BASE, "{mine}:1: `extends` is no name"),
        ("extends: base\n", "extends: mine\n", "{base}:1: `extends` leads in a circle: mine.yaml -> base.yaml -> mine.yaml"),
        ("extends: ./mine.yaml\n", BASE, "{mine}:1: `extends` leads in a circle: mine.yaml -> mine.yaml"),
        ("extends: base\n", "a: [\n", "{base}:2: "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_file_and_the_line_where_it_stands(
    text: str, base: str, said: str, tmp_path: Path
) -> None:
    """Whether it stands in the variant or in what it extends; keys that clash across the two name both."""
    mine = _variant(tmp_path, text, base)
    with pytest.raises(ConfigError) as error:
        resolve_pipeline(mine)
    assert str(error.value).startswith(said.format(mine=mine, base=mine.replace("mine.yaml", "base.yaml")))


def test_a_near_name_is_proposed(tmp_path: Path) -> None:
    """Of the project's pipelines and tawt's, but not the file itself."""
    for text, hint in (("extends: bas\n", "`base`"), ("extends: mimic_v\n", "`mimic_iv`")):
        with pytest.raises(ConfigError) as error:
            resolve_pipeline(_variant(tmp_path, text))
        assert hint in error.value.hint


def test_extends_is_no_override() -> None:
    """It is followed where a file is read, so `--set` cannot give one."""
    with pytest.raises(
        ConfigError, match=r"--set extends: `extends` does not fit, expected a line of the pipeline's own"
    ):
        resolve_pipeline("demo", ("extends=mimic_iv",))
