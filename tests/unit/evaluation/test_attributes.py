"""What subjects are told apart by: age and static facts, held to a plain loop over invented records."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.evaluation.attributes import UNKNOWN, attributes_of
from tawt.evaluation.features import features_of, statics_at
from tawt.evaluation.known import known_at


@pytest.fixture
def asked(hospital):
    """Dataset of the invented hospital, and the last moment of each subject."""
    dataset, subject, time = open_dataset(hospital.workspace), [], []
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            subject.append(int(split.subject_ids[i]))
            time.append(int(split.columns(i).timestamp[-1] + split.origins[i]))
    return dataset, np.array(subject), np.array(time)


def test_groups_are_those_of_a_plain_loop(asked):
    """Each row is in the group of its subject's static fact, and in the band of its age then."""
    dataset, subject, time = asked
    known = known_at(dataset, subject, time)
    found = attributes_of(known, dataset)
    assert "age" in found and len(found) > 1
    codes, place = dataset.vocabulary.codes, {}
    for name in dataset.split_names:
        split = dataset.split(name)
        place |= {int(s): (split, i) for i, s in enumerate(split.subject_ids)}
    for attribute, groups in found.items():
        n = 0
        for row, one in enumerate(subject.tolist()):
            split, i = place[one]
            if attribute == "age":
                years = (time[row] - split.origins[i]) / 3.6e9 / 8766
                low = int(groups[row].split()[0])
                assert low <= years and (groups[row].endswith("more") or years < int(groups[row].split()[2]) + 1)
                continue
            columns = split.columns(i)
            said = {codes[k] for k in columns.data_type[: split.n_static[i]]}
            own = {code.partition("//")[2] or "yes" for code in said if code.split("//")[0] == attribute}
            if own and attribute not in codes:
                assert groups[row] in own
                n += 1
        assert attribute == "age" or n or attribute in codes


def test_groups_are_the_same_however_few_rows_are_held_at_once(asked, monkeypatch):
    """An evaluation of many rows holds the triplets of some at a time; the groups are those of all at once."""
    dataset, subject, time = asked
    whole = attributes_of(known_at(dataset, subject, time), dataset)
    monkeypatch.setattr("tawt.evaluation.features.ROWS_AT_ONCE", 7)
    parts = attributes_of(statics_at(dataset, subject, time), dataset)
    assert parts.keys() == whole.keys() and all((parts[name] == whole[name]).all() for name in whole)


def test_who_has_no_birth_has_no_age(asked):
    """A record without a birth counts its time from its first event, which tells no age: in groups it is not known, and
    simple models are given none. Where nobody has a birth, there are no groups by age."""
    dataset, subject, time = asked
    birth = dataset.vocabulary.codes.index("MEDS_BIRTH")

    def unborn(lacks):
        """The dataset without the births of some subjects."""

        def columns(split, i):
            one = split.columns(i)
            other = np.where(one.data_type == birth, birth + 1, one.data_type).astype(one.data_type.dtype)
            return one._replace(data_type=other) if lacks(int(split.subject_ids[i])) else one

        def of(name):
            split = dataset.split(name)
            return SimpleNamespace(
                time_origin=split.time_origin, subject_ids=split.subject_ids, origins=split.origins,
                n_static=split.n_static, columns=lambda i: columns(split, i),
            )  # fmt: skip

        return SimpleNamespace(
            split_names=dataset.split_names, split=of, vocabulary=dataset.vocabulary, time_origin=dataset.time_origin
        )

    lacks = subject % 2 == 1
    mixed = unborn(lambda one: one % 2 == 1)
    groups = attributes_of(known_at(mixed, subject, time), mixed)["age"]
    assert (groups[lacks] == UNKNOWN).all() and (groups[~lacks] != UNKNOWN).all() and 0 < lacks.sum() < len(lacks)
    told = features_of(known_at(mixed, subject, time), mixed, "demographics")
    assert (np.isnan(told.matrix[:, told.names.index("age_years")]) == lacks).all()
    nobody = unborn(lambda one: True)
    assert "age" not in attributes_of(known_at(nobody, subject, time), nobody)


def test_what_tells_no_groups_is_told(asked):
    """A name of nothing static is an error that names what there is; what is asked for comes alone and in order."""
    dataset, subject, time = asked
    known = known_at(dataset, subject, time)
    every = attributes_of(known, dataset)
    name = next(one for one in every if one != "age")
    assert list(attributes_of(known, dataset, [name, "age"])) == [name, "age"]
    with pytest.raises(ConfigError, match="tells no groups") as error:
        attributes_of(known, dataset, ["agee"])
    assert "age" in error.value.hint
    assert all(UNKNOWN not in set(every[one].tolist()) or one != "age" for one in every)
