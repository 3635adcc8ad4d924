"""Priors of latents, against densities and draws that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from tawt.errors import CheckpointError, ConfigError
from tawt.synthesis.adversary import fit_generator
from tawt.synthesis.known import columns_of, known_of
from tawt.synthesis.mixture import Mixture, fit_mixture
from tawt.synthesis.prior import Prior, load_prior, save_prior

NUMBERS = np.arange(20_000)


def a_mixture() -> Mixture:
    """Three Gaussians over five columns that all vary together."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 5, 5, generator=generator, dtype=torch.float64)
    mean = 4 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return Mixture(torch.tensor([0.5, 0.3, 0.2]).double().log(), mean, root @ root.transpose(1, 2) + torch.eye(5))


def rows_of(mixture: Mixture, n: int, seed: int) -> torch.Tensor:
    """Draw rows by torch's own distributions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return theirs(mixture).sample((n,))


def theirs(mixture: Mixture) -> MixtureSameFamily:
    """The same mixture of torch's own."""
    return MixtureSameFamily(
        Categorical(logits=mixture.log_weight), MultivariateNormal(mixture.mean, mixture.covariance)
    )


def test_a_density_is_that_of_torch_and_what_is_given_divides_it():
    """Of rows, and of what is left where two columns are known: the density of all over that of the known."""
    mixture = a_mixture()
    x = rows_of(mixture, 50, 1)
    assert torch.allclose(mixture.log_density(x), theirs(mixture).log_prob(x), atol=1e-8)
    at, other = torch.tensor([1, 3]), torch.tensor([0, 2, 4])
    weight, mean, left = mixture.given(at, x[:, at])
    known = Mixture(mixture.log_weight, mixture.mean[:, at], mixture.covariance[:, at][:, :, at])
    for i in range(50):
        own = Mixture(weight[i], mean[i], left.covariance).log_density(x[i : i + 1, other])
        assert float(own) == pytest.approx(
            float(mixture.log_density(x[i : i + 1]) - known.log_density(x[i : i + 1, at]))
        )


def test_a_fit_finds_the_mixture_that_rows_came_from():
    """As many Gaussians, near their means and weights, and on new rows nearly as likely as the truth; one is far behind."""
    mixture = a_mixture()
    x, held, fresh = (rows_of(mixture, n, seed) for n, seed in ((1500, 2), (500, 3), (2000, 4)))
    found = fit_mixture(x, held, 0)
    truth = mixture.log_density(fresh).mean()
    assert len(found.mean) in (2, 4) and truth - 0.15 < found.log_density(fresh).mean() < truth + 0.05
    one = fit_mixture(x, held, 0, most=1)
    assert len(one.mean) == 1 and one.log_density(fresh).mean() < truth - 0.3
    again = fit_mixture(x, held, 0)
    assert all(torch.equal(a, b) for a, b in zip(vars(found).values(), vars(again).values(), strict=True))


def test_no_gaussian_is_of_few_people():
    """A dozen rows that lie far from the rest get one of their own, ten do not; and of few rows there is one Gaussian."""
    rng = np.random.default_rng(0)
    for n_far, most in ((40, 3), (9, 1)):
        x = torch.from_numpy(np.concatenate([rng.normal(0, 1, (200, 2)), rng.normal(30, 1, (n_far, 2))]))
        found = fit_mixture(x, x, 0, most=2)
        assert (found.log_weight.exp() * len(x)).min() > 10 and (len(found.mean) == 2) == (most == 3)
    assert len(fit_mixture(torch.randn(21, 3), torch.randn(50, 3), 0).mean) == 1


def as_prior(mixture: Mixture, width: int, known=()) -> Prior:
    """A prior of it."""
    return Prior("vae", width, known, vars(mixture))


def moments(z):
    """Mean and covariance."""
    return z.double().mean(0), torch.cov(z.double().T)


def test_draws_are_of_the_mixture_and_of_a_number_alone():
    """Means and covariances of many draws are its own; any draw comes again alone, and another seed gives others."""
    mixture = a_mixture()
    prior = as_prior(mixture, 5)
    z = prior.draw(NUMBERS, 3)
    mean, covariance = moments(z)
    weight = mixture.log_weight.exp()
    between = mixture.mean - (true := weight @ mixture.mean)
    spread = torch.einsum("c,cij->ij", weight, mixture.covariance) + torch.einsum(
        "c,ci,cj->ij", weight, between, between
    )
    assert (mean - true).abs().max() < 0.15 and (covariance - spread).abs().max() < 0.06 * spread.abs().max()
    assert torch.allclose(prior.draw(np.array([7, 19_000]), 3), z[[7, 19_000]], atol=1e-5)
    assert not torch.isclose(prior.draw(NUMBERS[:50], 4), z[:50]).all(1).any()
    normal = Prior("normal", 5, (), {}).draw(NUMBERS, 3)
    assert normal.mean(0).abs().max() < 0.05 and (torch.cov(normal.T) - torch.eye(5)).abs().max() < 0.05


@pytest.fixture(scope="module")
def people():
    """Latents of 600 people, whose first number tells their sex and whose second follows their year of birth."""
    rng = np.random.default_rng(1)
    subjects = np.arange(600) * 3
    is_man, year = rng.random(600) < 0.4, rng.normal(1950, 15, 600)
    z = rng.normal(0, 0.6, (600, 4))
    z[:, 0] += np.where(is_man, 2.0, -1.0)
    z[:, 1] += (year - 1950) / 15
    known = {
        "sex": {int(s): "M" if man else "F" for s, man in zip(subjects, is_man, strict=True)},
        "born": dict(zip(subjects.tolist(), year.tolist(), strict=True)),
    }
    what = known_of(known, subjects)
    there, columns = columns_of(what, known, subjects)
    assert there.all() and columns.shape == (600, 3)
    return z, torch.from_numpy(np.concatenate([z, columns], 1)), what


def hold_given(prior, z):
    """What is asked for is what comes: a sex, with the year at its mean, and a year."""
    numbers = NUMBERS[:4000]
    for sex, level in (("M", 2.0), ("F", -1.0)):
        drawn = prior.draw(numbers, 1, {"sex": sex, "born": 1950}).numpy()
        assert drawn[:, 0].mean() == pytest.approx(level, abs=0.25) and drawn[:, 1].mean() == pytest.approx(0, abs=0.25)
    year = np.linspace(1930, 1970, 4000)
    drawn = prior.draw(numbers, 1, {"sex": "F", "born": year}).numpy()
    assert np.polyfit(year, drawn[:, 1], 1)[0] * 15 == pytest.approx(1, abs=0.25)


def test_a_mixture_is_told_a_class_and_a_number_or_neither(people):
    """Latents follow what is given; what is not given is left open, and comes as often as it does."""
    z, rows, what = people
    prior = as_prior(fit_mixture(rows[:500], rows[500:], 0), 4, what)
    hold_given(prior, z)
    free = prior.draw(NUMBERS[:4000], 1).numpy()
    assert free.shape == (4000, 4)
    assert (free[:, 0] > 0.5).mean() == pytest.approx((z[:, 0] > 0.5).mean(), abs=0.05)
    men = prior.draw(NUMBERS[:4000], 1, {"sex": "M"}).numpy()
    assert men[:, 0].mean() > 1.5 and men[:, 1].std() > 0.8  # born whenever


def test_a_generator_gives_the_moments_of_latents_and_what_is_asked_for(people):
    """Means and covariances are theirs, and follow what it is told; the same seed makes it again to the bit."""
    z, rows, what = people
    rows = rows.float()
    made = [fit_generator(rows[:, :4], rows[:, 4:], 5, steps) for steps in (40, 40, 0)]
    first, again, start = ({k: p.detach() for k, p in g.named_parameters()} for g in made)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["outer.weight"], start["outer.weight"])
    with torch.no_grad():
        told = rows[torch.arange(20_000) % 600, 4:]
        out = made[0](Prior("normal", 4, (), {}).draw(NUMBERS, 9), told)
    mean, covariance = moments(out)
    assert (mean - torch.from_numpy(z.mean(0))).abs().max() < 0.3
    assert (covariance - torch.from_numpy(np.cov(z.T))).abs().max() < 0.5
    prior = Prior("gan", 4, what, first)
    men, women = (prior.draw(NUMBERS[:2000], 1, {"sex": sex, "born": 1950})[:, 0].mean() for sex in "MF")
    assert men > women + 0.5
    with pytest.raises(ConfigError, match="is not told it"):
        prior.draw(NUMBERS[:5], 1, {"sex": "M"})


def test_what_is_not_known_is_not_asked_for(people):
    """A name, a class or a word for a number that nobody learned is an error with what there is; so is a class of few."""
    prior = as_prior(a_mixture(), 2, people[2])
    for given, said in (
        ({"sexx": "M"}, "knows no `sexx`, expected one of sex, born"), ({"sex": "X"}, "expected F, M"),
        ({"born": "long ago"}, "is no number"), ({"born": float("nan")}, "is no number"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            prior.draw(NUMBERS[:3], 1, given)
    subjects = np.arange(40)
    rare = {i: "rare" if i < 9 else "usual" for i in range(40)}
    what = known_of({"kind": rare}, subjects)
    assert what[0].classes == ("usual",) and columns_of(what, {"kind": rare}, subjects)[0].sum() == 31
    for few in (dict.fromkeys(range(9), "rare"), dict.fromkeys(range(9), 2.5), {}):
        with pytest.raises(ConfigError, match="fewer than 11 subjects"):
            known_of({"kind": few}, subjects)


def test_a_prior_is_kept_to_the_bit_and_held_to_its_seal(people, tmp_path):
    """One that is read draws as it did; a turned bit, another file or none is an error of one line."""
    prior = replace(as_prior(a_mixture(), 2, people[2]), made_of="these weights")
    path = tmp_path / "priors" / "vae.safetensors"
    save_prior(prior, path)
    read = load_prior(path)
    assert torch.equal(read.draw(NUMBERS[:99], 1, {"sex": "F"}), prior.draw(NUMBERS[:99], 1, {"sex": "F"}))
    assert (read.kind, read.width, read.known, read.made_of) == ("vae", 2, people[2], "these weights")
    turned = bytearray(path.read_bytes())
    turned[-5] ^= 1
    for content in (bytes(turned), b"", b"something else" * 9):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            load_prior(path)
    path.unlink()
    with pytest.raises(CheckpointError):
        load_prior(path)
