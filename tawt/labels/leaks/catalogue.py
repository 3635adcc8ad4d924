"""The catalogue of leaks as data: what each is, an example, a remedy, how it is tested. Pages and audits read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["splits", "time", "features", "labels", "fitting"]
FAMILIES: dict[Family, str] = {
    "splits": "Who is in which split",
    "time": "When something was known",
    "features": "What a feature says",
    "labels": "Who is asked about, and when",
    "fitting": "What was fitted or chosen on which rows",
}
"""Family -> what its leaks have in common."""


@dataclass(frozen=True)
class Leak:
    """One way in which an answer gets into what a model is given, or an estimate of how good it is becomes too good."""

    code: str
    """Stable: findings carry it. Where the public `icu-leakage-check` names the mechanism, its name for it."""
    name: str
    """What it is, in a few words."""
    family: Family
    """What it is about."""
    example: str
    """A case of it."""
    remedy: str
    """What to do instead."""
    tested: str
    """How an audit decides between clean and leak; begins with `Not verified` where no data can show it."""


# source: the mechanisms and their codes, icu-leakage-check 0.1.0 (https://github.com/Krutarth007/icu-leakage-check)
LEAKS: tuple[Leak, ...] = (
    Leak(
        "ENTITY_OVERLAP", "A subject in two splits", "splits",
        "Stays are dealt out at random, and the second stay of a person is tested on after the first was trained on.",
        "Deal out subjects, by their hash or from a file, and let all their rows follow.",
        "The subjects of each two splits are intersected; a subject that is in both is one.",
    ),
    Leak(
        "DUPLICATE_RECORD", "The same record under two ids", "splits",
        "A merge of two extracts holds a person twice, and one copy lies in each split.",
        "Take copies out before subjects are dealt out.",
        "Runs of two events with their values, and of five with the bins of theirs, that three records at most have: "
        "two records in two splits that share half of those of the shorter one, moved in time or not.",
    ),
    Leak(
        "SITE_OVERLAP", "A hospital on both sides of an external validation", "splits",
        "A model is called externally valid on wards of a hospital that its training rows came from too.",
        "Keep out whole hospitals.",
        "Codes that name a site (`SITE//`, `HOSPITAL_ID//`, `CENTER//` ...): how many lie on both sides, against how "
        "many would had nobody looked at them. Not verified where no code names one.",
    ),
    Leak(
        "SPLIT_ORDER", "A split by time that is none", "splits",
        "Test rows are said to be of later years, yet each person's dates were shifted by another number of days.",
        "Split by a calendar that holds across persons; where dates are shifted, do not call it a split by time.",
        "Splits whose records begin in the order of time claim it: then `calendar` must be `kept`, and no record of "
        "train may go on behind the first of held_out.",
    ),
    Leak(
        "FUTURE_EVENT", "What happened after the prediction time", "time",
        "The highest creatinine of the whole stay is given to a model that is asked at 24 hours.",
        "Cut every record at the prediction time before anything is computed of it.",
        "Truncation: all events after the prediction time are deleted, and no bit of features or embeddings "
        "may change.",
    ),
    Leak(
        "AVAILABILITY_LAG", "What had happened and was not known yet", "time",
        "A culture taken at ten in the morning counts from then on, and its germ was reported two days later.",
        "Cut by `available_time`; set `clock: available_time` in the pipeline.",
        "Events with `time` up to the prediction time and `available_time` after it are counted; and each event is "
        "held to the times of its own record in staging: what is called stored, resulted or reported may not be later.",
    ),
    Leak(
        "INTERVAL_CROSSING", "What was still going on", "time",
        "The total of an infusion that ran for hours after the prediction time is given whole.",
        "Let an interval be two events, its start and its end, or share its amount out over its length.",
        "Events whose record in staging has the time of an end: known by the prediction time, over after it, with a "
        "number that is no rate and goes with the length; counted by code.",
    ),
    Leak(
        "UNDATED_SOURCE", "What has no time of its own", "time",
        "Diagnoses that are coded for the bill after discharge stand at the time of admission.",
        "Give such rows the discharge as their `available_time`, or take those of earlier stays alone.",
        "Codes of which every row lies at exactly the start of a stay, or of a day, and is known then.",
    ),
    Leak(
        "HINDSIGHT_VARIABLE", "What is only known in the end", "features",
        "The length of the stay, or where somebody was discharged to, helps to predict death in the hospital.",
        "Leave it out, or count it up to the prediction time.",
        "Codes whose rows lie at the last moment of 95 of 100 records, and which features read; codes that are called "
        "like an end (discharge, length of stay, expired) and are known while the stay goes on.",
    ),
    Leak(
        "OUTCOME_ENCODING", "The outcome itself among the features", "features",
        "A table of severity scores has a column that says who died.",
        "Leave out every column that follows from the outcome.",
        "A feature that equals the label, or its opposite, on every row on which it is there.",
    ),
    Leak(
        "OUTCOME_PROXY", "What is done because the outcome is near", "features",
        "An order for comfort care predicts death within the same stay.",
        "Leave it out, or say that it is in, and report the result without it too.",
        "A list of words and codes (comfort care, palliative, do not resuscitate, brain death, autopsy) "
        "against the vocabulary's descriptions.",
    ),
    Leak(
        "FIRST_DAY_SUMMARY", "A summary of a day that is not over", "features",
        "The worst values of the first 24 hours are given to a model that is asked at 6.",
        "Compute the summary over what lies before the prediction time.",
        "Rare codes whose number is the largest, smallest, mean, median, sum or count of another code's numbers that "
        "come after it is known: of the day, two days, the stay or the record. Those called like summaries are listed.",
    ),
    Leak(
        "SINGLE_FEATURE_DOMINANCE", "One feature that knows too much", "features",
        "One code of a treatment, given to the dying alone, ranks patients almost without a mistake.",
        "Follow it to its table and clock before it is believed.",
        "AUROC of each feature by itself on the training rows: above 0.95 is listed, and above 0.99 is a "
        "leak until it is explained.",
    ),
    Leak(
        "MISSINGNESS_PROXY", "That something is missing tells the outcome", "features",
        "A weight at discharge is missing of each who died.",
        "Look when the variable is taken, and cut there.",
        "AUROC of the indicators alone, beside that of the values: one indicator above 0.9 is listed.",
    ),
    Leak(
        "POST_OUTCOME_INSTANCE", "Asked when it has already happened", "labels",
        "Patients whose kidneys have failed already are asked about kidney failure.",
        "Ask for new onsets: `new_onset: true`, or a window that must not have it.",
        "Rows with a positive label and `prior_count` above 0, or asked after the death; without that column, the code "
        "that decides the labels is looked for, and what was there of it before.",
    ),
    Leak(
        "COHORT_FUTURE_INFORMATION", "Chosen by what comes later", "labels",
        "Only stays of at least 48 hours are asked about at 24: who dies in between is never seen.",
        "Let only what is known at the prediction time decide who is asked about, or say which population it is.",
        "Windows of the task with `has` that end after the prediction time are listed, with how many samples each "
        "takes away. Without a task: how long stays go on that are asked about, and those that are not and were going "
        "on too.",
    ),
    Leak(
        "PREPROCESSING_FIT", "Statistics of rows that are tested on", "fitting",
        "Means and standard deviations are taken over all rows, and the split is made afterwards.",
        "Fit vocabulary, bins and statistics on train alone.",
        "Rows, means, deviations, ranges and categories are counted again over train and over all splits; so are the "
        "rates that a run's head began from.",
    ),
    Leak(
        "SYNTHETIC_IN_EVALUATION", "Invented or repeated rows in the test", "fitting",
        "Positives were made more by interpolation before the rows were dealt out.",
        "Resample within train, or within each fold.",
        "Records of held_out that are there twice, or whose means lie on a line between two of train. Rows that are "
        "invented from nothing cannot be told from others.",
    ),
    Leak(
        "EVALUATION_REUSE", "Chosen on the test", "fitting",
        "The threshold with the best sum of sensitivity and specificity on held_out is reported on held_out.",
        "Choose on tuning or by cross-validation, and look at held_out once.",
        "A threshold (`--threshold`) that is the best of held_out by a usual criterion, and not that of tuning, is a "
        "leak, with what it gains; by default that which `tawt evaluate` settled for these labels and weights. Not "
        "verified where there is none.",
    ),
    Leak(
        "LABEL_IN_INPUT", "The answer within the window of the data", "labels",
        "The window of the label begins at admission, and data up to 24 hours later are given.",
        "Begin the label's window where the data end, without that moment itself.",
        "`tawt label` refuses a task of which a label is looked for in what is known at its prediction time. Without a "
        "task: the code that decides the labels is looked for, and where it lies.",
    ),
    Leak(
        "BILLED_AFTER_DISCHARGE", "Codes of the bill before the discharge", "time",
        "The main diagnosis of the stay is read at its second hour.",
        "Set their `available_time` to the discharge, or later where the source says.",
        "Rows of diagnosis and procedure codes whose `available_time` lies before the end of their own stay.",
    ),
    Leak(
        "REPEATED_EVENT", "Events that come again and again", "labels",
        "Most patients with a diagnosis have it on record before: to predict it again is to read it.",
        "Report new onsets by themselves.",
        "Share of positive labels with `prior_count` above 0, and the metric on new onsets beside the metric on all.",
    ),
    Leak(
        "PRETRAINED_ON_TEST", "The encoder has seen the test", "fitting",
        "An encoder is pretrained on every subject, and a head of it is tested on some of them.",
        "Pretrain on the train split, or say that the setting is transductive.",
        "The hash of what a run has read, and each that it began from, against train and tuning as they are.",
    ),
    Leak(
        "SHUFFLED_LABELS", "A model that learns from shuffled labels", "fitting",
        "Labels are shuffled within train, and the test is still better than chance: something else tells them.",
        "Look for a leak that the other tests do not know.",
        "The same probe on labels shuffled among the training subjects: an interval of AUROC that does not "
        "hold 0.5 is a leak, unless it is wider than 0.3: then nothing is verified.",
    ),
    Leak(
        "DECLARED_PRACTICE", "What no data can show", "fitting",
        "A score was looked at on the test before the model was changed.",
        "Write down what was decided when, on which rows.",
        "Not verified: no file says what was looked at before something was changed. How many runs were measured on "
        "the same rows is told; the rest is yours to write down.",
    ),
)  # fmt: skip
"""Every leak, those of the public catalogue first."""
BY_CODE = {leak.code: leak for leak in LEAKS}
"""Code -> leak."""


def leaks_page() -> str:
    """Return the catalogue as Markdown, family by family."""
    out = [
        "# Leaks\n",
        "What can make a result too good, and how each is tested. A test ends as clean, a leak with counts, or *not "
        "verified*.\n",
    ]
    for family, title in FAMILIES.items():
        out.append(f"## {title}\n")
        for leak in LEAKS:
            if leak.family == family:
                out += [
                    f"### `{leak.code}`: {leak.name}\n", f"- Example: {leak.example}", f"- Instead: {leak.remedy}",
                    f"- Tested: {leak.tested}\n",
                ]  # fmt: skip
    return "\n".join(out)
