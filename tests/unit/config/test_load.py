"""YAML and overrides -> config: every mistake is an error of use that names the place and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tawt.config.load import _parsed, build, dump, load, merge, overrides, parse_yaml
from tawt.config.named import resolve_pipeline
from tawt.config.pipeline import PipelineConfig
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError
from tawt.readers import MAX_WRITTEN_BYTES

GOOD = "name: lab\nsource: mimic_iv\nsplits: {train: 0.8, tuning: 0.1, held_out: 0.1}\nvocabulary:\n  min_count: 2\n"

WRONG = {
    "unknown key": (GOOD + "duplicate: drop\n", ":6: unknown key `duplicate`", "did you mean `duplicates`?"),
    "unknown key inside": (GOOD + "  min_coun: 2\n", ":6: unknown key `vocabulary.min_coun`", "`min_count`"),
    "unknown key in a list": (GOOD + "panels:\n  - {name: a, data_type: [x]}\n", "panels.0", "data_types"),
    "key twice": (GOOD + "name: x\n", ":6: key `name` stands twice (first on line 1)", ""),
    "key twice inside": (GOOD + "  min_count: 3\n", ":6: key `min_count` stands twice (first on line 5)", ""),
    "word for a number": (GOOD.replace("2", "many"), ":5: `vocabulary.min_count` does not fit, expected a valid integer", ""),
    "number too small": (GOOD.replace("2", "0"), "greater than or equal to 1", ""),
    "choice": (GOOD + "time_origin: birt\n", "expected 'birth', 'first_event' or 'anchor'", "did you mean `birth`?"),
    "number or word": (GOOD + "shards: some\n", "`shards` does not fit, expected a valid integer or 'auto'", ""),
    "shares": (GOOD.replace("0.8", "0.9"), ":3: `splits.train` and `splits.tuning` and `splits.held_out`: the shares do not", ""),
    "date": (GOOD + "anchor: 2020-13-45\n", "`anchor` does not fit, expected a date", ""),
    "two characters": (GOOD + "csv: {delimiter: '||'}\n", "`csv.delimiter` does not fit", ""),
    "missing key": ("name: lab\n", "key `source` is missing", "add `source:`"),
    "nothing": ("", "key `name` is missing", ""),
    "list": ("- a\n", "holds a list, expected a mapping", ""),
    "long words": ("name: !" + "a" * 500 + " x\n", "'!aaaaaaaaaaaaaaaaaaaaaaaaaaaaa..., expected YAML", ""),
    "open bracket": ("name: [\n", "expected YAML", ""),
    "tab": ("name:\n\t- a\n", "expected YAML", ""),
    "key that is a list": ("? [a]\n: b\n", "a key is a list", ""),
    "zero byte": ("name: \x00\n", "expected YAML", ""),
    "refers to itself": ("name: &a [*a]\n", "expected YAML", ""),
    "python object": ("name: !!python/object/apply:os.getcwd []\n", "expected YAML", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_a_file_names_its_place(name: str, tmp_path: Path) -> None:
    """File, line where it is known, what is, what was expected, and a hint; exit code 2."""
    text, said, hint = WRONG[name]
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(PipelineConfig, tmp_path / "p.yaml")
    assert caught.value.exit_code == 2 and said in str(caught.value) and hint in caught.value.hint
    assert caught.value.where.startswith(str(tmp_path / "p.yaml"))
    assert "expected" in caught.value.what and caught.value.hint and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("shards", "--set shards: is no override, expected `key=value`"),
        ("=3", "is no override"),
        ("shards=[", "--set shards: has a value that is no YAML"),
        ("shards=*a", "has a value that is no YAML"),
        ("shards=few", "--set shards: `shards` does not fit, expected a valid integer or 'auto'"),
        ("shards=", "--set shards: `shards` does not fit"),
        ("vocabulary.min_cont=3", "--set vocabulary.min_cont: unknown key `vocabulary.min_cont`"),
        ("vocabulary=3", "--set vocabulary: `vocabulary` does not fit, expected a mapping"),
        ("vocabulary.min_count.x=3", "`vocabulary.min_count` does not fit"),
        ("vocabluary.min_count=3", "--set vocabluary.min_count: unknown key `vocabluary`"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(setting: str, said: str, tmp_path: Path) -> None:
    """Not the file, which is right, but what was typed is at fault."""
    (tmp_path / "p.yaml").write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load(PipelineConfig, tmp_path / "p.yaml", (setting,))
    assert said in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("model.attention=[rotarry,decay]", "did you mean `rotary`?"),
        ("model.attention=rotary", "write a list, as `attention=[rotary]`"),
        ("model.pooling=means", "did you mean `mean`?"),
        ("train.betas=[0.9,two]", "change item 2 of `train.betas`"),
        ("train.lr=fast", "for example train.lr=0.001"),
    ],
)
def test_a_value_that_does_not_fit_gets_a_hint_that_helps(setting: str, hint: str) -> None:
    """The nearest of the words that it may be, the form of a list, or the item of it that is wrong."""
    with pytest.raises(ConfigError) as caught:
        build(PretrainConfig, overrides([setting]), "config", settings=[setting])
    assert caught.value.hint == hint and caught.value.where == f"--set {setting.partition('=')[0]}"


def test_a_file_that_cannot_be_read_is_an_error_of_use(tmp_path: Path) -> None:
    """Absent, a folder, in another encoding, larger than anybody writes, or nested without end: the reason is told."""
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "nested.yaml").write_text("[" * 100_000)
    with (tmp_path / "large.yaml").open("wb") as large:
        large.truncate(MAX_WRITTEN_BYTES + 1)
    wrong = {
        "absent": "is not there",
        "latin": "has letters at line 1 that are not UTF-8",
        "folder": "is a folder",
        "nested": "is nested too deep",
    }
    wrong["large"] = "holds 1,048,577 bytes"
    for name, said in wrong.items():
        with pytest.raises(ConfigError, match=f"{name}.yaml: {said}.*, expected .*YAML"):
            load(PipelineConfig, tmp_path / f"{name}.yaml")


def test_an_alias_stands_for_what_can_be_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases are written out as far as a file may be large; one that grows without bound, or into itself, is named."""
    monkeypatch.setattr("tawt.config.loader.MAX_NODES", 40)
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: *a\nc: [*a, *a]\n", "x")[0]["c"] == [{"x": 1, "y": 2}] * 2
    rungs = "".join(f"k{i}: &r{i} [*r{i - 1}, *r{i - 1}]\n" for i in range(1, 60))
    for text, said in (
        ("k0: &r0 [x]\n" + rungs, "x:4: more than 40 keys and values, aliases written out"),
        ("a: " + "[" + "b, " * 50 + "]\n", "x:1: more than 40 keys and values"),
        ("a: &a [*a]\n", "x:1: an alias stands within what it stands for"),
        ("a: 1\nb: &b {<<: *b}\n", "x:2: an alias stands within what it stands for"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse_yaml(text, "x")
    with pytest.raises(ConfigError, match="has a value that is no YAML"):
        overrides(["a=[&r0 [x], " + ", ".join(f"&r{i} [*r{i - 1}, *r{i - 1}]" for i in range(1, 60)) + "]"])


@pytest.mark.parametrize(("name", "hint"), [("demoo", "`demo`"), ("pretrain_small", "mimic_iv"), ("../demo", "")])
def test_a_name_that_is_no_pipeline_brings_the_nearest(name: str, hint: str) -> None:
    """Configs of models are none, and neither are paths without a suffix."""
    with pytest.raises(ConfigError, match="is no pipeline") as caught:
        resolve_pipeline(name)
    assert hint in caught.value.hint


def test_words_that_yaml_turns_into_other_things_stay_words() -> None:
    """`on`, `no`, dates and `12:30`, which YAML takes for minutes, are text; `3e-4` is a number, as others are."""
    data, places = parse_yaml("a: on\nb: no\nc: 2000-01-01\nd: 3e-4\ne: true\nf: 12:30\ng: 1:20.5\n", "x")
    assert data == {"a": "on", "b": "no", "c": "2000-01-01", "d": 3e-4, "e": True, "f": "12:30", "g": "1:20.5"}
    numbers = ["7", "-7", "+1_000", "0x1f", "0b11", "1.5", ".5", "1.", "1.5e+3", "1E3"]
    assert parse_yaml(f"a: [{', '.join(numbers)}]", "x")[0]["a"] == [7, -7, 1000, 31, 3, 1.5, 0.5, 1.0, 1500.0, 1000.0]
    assert places[("d",)] == "x:4"


@pytest.mark.parametrize(
    "text",
    ['a: "\\ud800"\n', "a: &x 1\nb: [*x, {c: *x}]\n", "a: b: c\n", "a:\n\t- b\n", "a: [b\n", "- a\nb: 1\n", "a: 1\n---\nb: 2\n",
     "%YAML 3.0\n---\na: 1\n", "a: |\n  b\n\n  c\n", "a: &x 1\nb: &x [\n"],
)  # fmt: skip
def test_a_text_says_the_same_with_libyaml_and_without(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it, where each key stands, and what is wrong with it."""

    def read() -> object:
        _parsed.cache_clear()
        try:
            return parse_yaml(text, "x.yaml")
        except ConfigError as error:
            return str(error)

    fast = read()
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert fast == read()


def test_what_was_read_is_the_readers_own() -> None:
    """Whoever changes what it read changes nothing for the next reader of the same text."""
    parse_yaml("a: {b: [1]}\n", "x")[0]["a"]["b"].append(2)
    assert parse_yaml("a: {b: [1]}\n", "x") == ({"a": {"b": [1]}}, {("a",): "x:1", ("a", "b"): "x:1"})


def test_overrides_are_laid_on_key_by_key() -> None:
    """A later override wins, its neighbours stay, and values are read as YAML."""
    tree = overrides(["a.b=1", "a.c=[x, y]", "a.b=2", "d=~"])
    assert tree == {"a": {"b": 2, "c": ["x", "y"]}, "d": None}
    assert merge({"a": {"b": 0, "z": 9}}, tree) == {"a": {"b": 2, "c": ["x", "y"], "z": 9}, "d": None}


@pytest.mark.parametrize("name", ["demo", "meds", "mimic_iv", "physionet2012", "physionet2019"])
def test_a_resolved_config_can_be_read_again(name: str) -> None:
    """What is written into a workspace gives the same tree."""
    tree = resolve_pipeline(name)
    assert build(PipelineConfig, parse_yaml(dump(tree), "x")[0], "x") == tree


def test_keys_that_do_not_fit_together_are_named_with_their_overrides():
    """A check of several keys says what is wrong, and names the overrides that may have made it so."""

    tree = {"model": {"d_model": 128, "n_heads": 5}}
    with pytest.raises(ConfigError) as error:
        build(PretrainConfig, tree, "a.yaml", settings=["model.n_heads=5"])
    assert str(error.value).startswith(
        "--set model.n_heads: `model.d_model` and `model.n_heads`: d_model 128 is not a multiple of n_heads 5, expected"
    )
    with pytest.raises(
        ConfigError,
        match=r"^a\.yaml: `model\.rotary\.fraction` and .*: rotary\.fraction 0\.01 of 24 dimensions turns none",
    ):
        build(PretrainConfig, {"model": {"rotary": {"fraction": 0.01}}}, "a.yaml")
    off = {name: {"weight": 0} for name in ("masked", "forecast", "contrastive")}
    with pytest.raises(
        ConfigError, match=r"^a\.yaml: `objective\.masked\.weight` and .*: all objectives have weight 0"
    ):
        build(PretrainConfig, {"objective": off}, "a.yaml")


@pytest.mark.parametrize(
    ("tree", "setting", "hint"),
    [
        (PipelineConfig, "normalization=robust", "did you mean `vocabulary.normalization`?"),
        (PretrainConfig, "max_steps=3", "did you mean `train.max_steps`?"),
        (PipelineConfig, "train.max_steps=3", "`train.max_steps` is a key of a training config: `tawt pretrain"),
        (PipelineConfig, "model.none=3", "`model.none` is a key of a training config"),
        (
            PretrainConfig,
            "max_categories=3",
            "`vocabulary.max_categories` is a key of a pipeline: `tawt ingest --set` or",
        ),
        (PretrainConfig, "train.max_stepps=3", "did you mean `max_steps`?"),
        (PretrainConfig, "objective=foo", "as `objective.masked` or `objective.forecast` or"),
    ],
)
def test_the_key_that_is_meant_is_told_wherever_it_is(tree, setting, hint):
    """A key further in is named with its sections, one of the other config with the command that takes it."""
    with pytest.raises(ConfigError) as error:
        build(
            tree,
            overrides([setting]) | ({"name": "a", "source": "b"} if tree is PipelineConfig else {}),
            "x",
            settings=[setting],
        )
    assert hint in error.value.hint and "ObjectiveConfig" not in str(error.value)
