"""The data half of the config: one pipeline, from raw tables to shards."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tawt.config.base import Conflict, Section
from tawt.config.vocabulary import Normalization, VocabularyConfig

Score = Literal["physionet2012", "physionet2019"]
ParameterValue = bool | int | float | str
Character = Annotated[str, Field(min_length=1, max_length=1, pattern=r"[^\r\n]")]
Share = Annotated[float, Field(ge=0, le=1)]
USUAL: dict[str, ParameterValue | None] = {"earliest_time": "1900-01-01", "latest_time": "2300-01-01", "zone": None}
"""Values of parameters that no pipeline needs to give."""


def _encoding(given: Any) -> Any:
    """Return an encoding by the name that is usual here, whatever it is called."""
    with suppress(LookupError, TypeError, ValueError):
        name = codecs.lookup(given).name
        return {"iso8859-1": "latin-1", "utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(
            name, name
        )
    return given


def _marks(given: Any) -> Any:
    """Return marks as texts; what YAML takes for a number is meant as it stands, and `NULL` in any of its spellings."""
    if given is None:
        return None
    marks: list[Any] = []
    for mark in given if isinstance(given, list | tuple) else [given]:
        if isinstance(mark, bool):
            raise ValueError("texts; words that YAML takes for true or false in quotes")
        if mark is None:
            marks += ["NULL", "null", "Null"]
        else:
            marks.append(str(mark).strip() if isinstance(mark, int | float | str) else mark)
    return tuple(dict.fromkeys(marks))


Encoding = Annotated[Literal["utf-8", "latin-1", "cp1252", "utf-16"], BeforeValidator(_encoding)]
Marks = Annotated[tuple[str, ...], BeforeValidator(_marks)]
"""Cells that stand for a missing one, compared without blanks around them, in quotes or not."""
Quote = Annotated[str, Field(max_length=1, pattern=r"^[^\r\n]?$")]


class Csv(Section):
    """How the raw text tables are written."""

    delimiter: Character = ","
    """Character between fields; in files that end in `.tsv` it is a tab."""
    quote: Quote = '"'
    """Character around a field that holds a delimiter or a line end; empty = every quote is an ordinary character."""
    strict: bool = True
    """Quarantine a record that breaks the CSV standard; false reads as much of it as can be read."""
    encoding: Encoding = "utf-8"
    """How letters are written, with or without a byte order mark."""
    header: bool = True
    """Whether the first line names the columns; without, they are those of the contract, in its order."""
    marks: Marks = ()
    """Cells that stand for a missing one beside empty ones, as `NA` or `\\N`; of Parquet too."""

    @model_validator(mode="after")
    def _differ(self) -> Csv:
        if self.delimiter == self.quote:
            raise Conflict("one character cannot be both", "delimiter", "quote")
        return self


class TableCsv(Section):
    """How the files of one raw table are written, where otherwise than `csv:` says."""

    delimiter: Character | None = None
    """Character between fields; also of files that end in `.tsv`."""
    quote: Quote | None = None
    """Character around a field that holds a delimiter or a line end; empty = there is none."""
    strict: bool | None = None
    """Whether a record that breaks the CSV standard is quarantined."""
    encoding: Encoding | None = None
    """How letters are written."""
    header: bool | None = None
    """Whether the first line names the columns."""
    marks: Marks | None = None
    """Cells that stand for a missing one, in the place of those of `csv:`."""


class Members(Section):
    """A raw table that is spread over many small text files, one per subject, in folders or tar archives."""

    table: str
    """The raw table that the files make up."""
    folders: tuple[str, ...]
    """Globs below the raw root of folders or archives (`.tar`, `.tar.gz`, `.tgz`, `.tar.xz`, `.tar.bz2`), or of the
    files themselves, where others lie beside them (`[0-9]*.csv`)."""
    prefix: str = ""
    """What the names of the files begin with."""
    suffix: str = ".txt"
    """Suffix of the files; what stands between becomes the column `_member`."""
    delimiter: Character = ","
    """Character between fields."""

    @property
    def named(self) -> str:
        """What the names of the files are like."""
        return f"{self.prefix}*{self.suffix}"


class Splits(Section):
    """Which subject belongs to which split."""

    train: Share = 0.8
    """Share of the subjects that everything is fitted on."""
    tuning: Share = 0.1
    """Share of the subjects for validation."""
    held_out: Share = 0.1
    """Share of the subjects that nothing looks at before the evaluation."""
    seed: int = 0
    """Salt of the subject hash that assigns them."""
    file: str | None = None
    """A Parquet or CSV file with `subject_id` and `split` instead, below the raw root or absolute."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Splits:
        if abs(self.train + self.tuning + self.held_out - 1) > 1e-9:
            raise Conflict("the shares do not sum to 1", "train", "tuning", "held_out")
        return self


class DataType(Section):
    """What is known of one data_type beforehand."""

    concept: str | None = None
    """Name in the shared seeds of conversions and plausible ranges."""
    unit: str | None = None
    """Canonical unit; without it the most frequent one in train."""
    low: float | None = None
    """Smallest plausible number, in the canonical unit."""
    high: float | None = None
    """Largest plausible number, in the canonical unit."""
    normalization: Normalization | None = None
    """Instead of the vocabulary's default."""
    description: str | None = None
    """What it means; wins over the source's dictionary."""

    @model_validator(mode="after")
    def _is_a_range(self) -> DataType:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise Conflict("no number is plausible, for low is above high", "low", "high")
        return self


class Panel(Section):
    """Data_types that should come together; one that does not come in a window gets a `not_measured` triplet."""

    name: str
    """For the ledger."""
    data_types: tuple[str, ...]
    """The codes that are expected."""
    start: str = "first_event"
    """`first_event`, or the prefix of a code whose every event opens a series of windows."""
    window_hours: Annotated[float, Field(gt=0)] = 24.0
    """Length of a window, hours."""
    max_windows: Annotated[int, Field(ge=1)] = 1
    """Windows per start; also cut where the subject's record ends."""


def _of_a_file(extends: str | None) -> None:
    """Refuse an `extends` that was not followed where the file was read."""
    if extends is not None:
        raise ValueError("a line of the pipeline's own file")


def _is_name(name: str) -> str:
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ValueError("a name of letters, digits, `_`, `-` and `.`, with no `.` first")
    return name


class PipelineConfig(Section):
    """A pipeline: where the raw tables come from and what becomes of them."""

    model_config = ConfigDict(
        # an editor asks a variant for nothing that it can have from what it extends
        json_schema_extra=lambda schema: schema.update(
            anyOf=[{"required": ["extends"]}, {"required": schema.pop("required")}]
        )
    )

    extends: Annotated[str | None, AfterValidator(_of_a_file), Field(exclude=True)] = None
    """Another pipeline, by its name or as a YAML file: what stands here is laid on it. Mappings are laid on key by key,
    a list takes the other's place, `~` takes a key of it away."""
    name: Annotated[str, AfterValidator(_is_name)]
    """Name of the pipeline, as in `--pipeline`: letters, digits, `_`, `-` and `.`, and no `.` first."""
    source: str = Field(pattern=r"^\w[\w.-]*$")
    """Folder below `sql/` and `schemas/` that holds the stages and contracts."""
    description: str = ""
    """What the source is, in one sentence."""
    license: str = ""
    """Terms under which the records may be used, as a name or a link: their cards tell it."""
    parameters: dict[str, ParameterValue] = {}
    """Values of the `$named` parameters in the stages. Without other values `$earliest_time` is 1900-01-01 and
    `$latest_time` 2300-01-01: a time outside is not believable."""
    zone: str | None = None
    """The zone whose clock the source tells, as `Europe/Berlin`; `$zone` in the stages. A time with `Z` or an offset is
    told in it; without one such a time is `unparseable_zone`."""
    off: tuple[str, ...] = ()
    """Stages that exist and are not run."""
    images: bool = False
    """Whether images or waveforms lie beside the raw tables, which a table `images` lists: what it and its event part
    are is said in `shared`, where the source does not say it itself."""
    order: tuple[str, ...] = ()
    """Event parts in the order that settles ties in time; those not named follow by name."""
    csv: Csv = Csv()
    """How the raw text tables are written."""
    tables: dict[str, TableCsv] = {}
    """How single raw tables are written, by name, where otherwise."""
    members: tuple[Members, ...] = ()
    """Raw tables spread over many files."""
    scores: dict[str, Score] = {}
    """Label sets that a challenge has a score of its own for, which `tawt evaluate` then measures too."""
    label_units: dict[str, str] = {}
    """Label sets of numbers, and what these count, as `days`."""
    sample_from: str | None = None
    """Staging stage whose `subject_id`s `--sample N` draws from."""
    keep: Literal["all", "last"] = "all"
    """What stays on the disk: `all`, or with `last` no staging, event parts and triplets once all that reads them is
    made. They are made again, of the same bytes, where somebody reads them anew; with `tawt run NAME` they stay."""
    shards: Annotated[int, Field(ge=1, le=65536)] | Literal["auto"] = "auto"
    """Shards per split; auto = about one per 128 MB of raw text."""
    splits: Splits = Splits()
    """Which subject belongs to which split."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Whether a row equal to an earlier one in every column but `source_row` is dropped (and counted)."""
    time_origin: Literal["birth", "first_event", "anchor"] = "first_event"
    """What a subject's time is counted from in the dataset."""
    anchor: str = "1970-01-01"
    """The calendar time of `time_origin: anchor`."""
    calendar: Literal["kept", "shifted", "none"] = "kept"
    """What dates and hours of the record mean: what they say (`kept`), the hour of the day alone, since each subject's
    dates are shifted by days (`shifted`), or nothing, since times are counted from an admission (`none`)."""
    clock: Literal["time", "available_time"] = "time"
    """Which clock orders the triplets and becomes their timestamp."""
    vocabulary: VocabularyConfig = VocabularyConfig()
    """How data_types are indexed and their values normalized."""
    data_types: dict[str, DataType] = {}
    """What is known of data_types beforehand, by code."""
    most_lost: Share = 0.1
    """Share of a data_type's numbers that may be of an unknown unit, out of range or in a text without a warning."""
    panels: tuple[Panel, ...] = ()
    """Data_types whose absence from a window is itself a triplet."""

    @property
    def values(self) -> dict[str, ParameterValue | None]:
        """The values of all parameters that a stage may name."""
        return {**USUAL, "zone": self.zone, **self.parameters}

    @field_validator("anchor")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        from datetime import datetime

        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a date, as 1970-01-01") from None
        return value

    @model_validator(mode="after")
    def _tables_can_be_read(self) -> PipelineConfig:
        spread = {members.table for members in self.members}
        for name, own in self.tables.items():
            at = f"tables.{name}"
            said = [key for key in own.model_fields_set - {"marks", "encoding"} if getattr(own, key) is not None]
            if name in spread and said:
                raise Conflict(
                    "of a table that is spread over small files, `members` says how they are written", f"{at}.{said[0]}"
                )
            merged = self.csv.model_dump() | own.model_dump(exclude_none=True)
            if merged["delimiter"] == merged["quote"]:
                raise Conflict("one character cannot be both", f"{at}.delimiter", f"{at}.quote")
        return self

    def csv_of(self, table: str) -> Csv:
        """Return how the files of a raw table are written."""
        own = self.tables.get(table)
        return self.csv if own is None else Csv(**(self.csv.model_dump() | own.model_dump(exclude_none=True)))
