"""The clipped surrogate does what its paper says, on any logits."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrobo_policy.tree import log_softmax
from rlrobo_train.loss import LossTerms, k3, policy_loss

LOW, HIGH = 0.2, 0.28


class Case(NamedTuple):
    """N observations, S actions of T tokens out of V symbols."""

    logits_NSTV: torch.Tensor
    index_NST: torch.Tensor
    advantage_NS: torch.Tensor
    temperature: float

    def logprob(self, logits_NSTV: torch.Tensor) -> torch.Tensor:
        """Of the actions taken, [N, S, T]."""
        logprob_NSTV = log_softmax(logits_NSTV, self.temperature)
        return logprob_NSTV.gather(-1, self.index_NST[..., None])[..., 0]

    def loss(
        self,
        logits_NSTV: torch.Tensor | None = None,
        reference_NST: torch.Tensor | None = None,
        entropy_coef: float = 0.0,
        kl_coef: float = 0.0,
    ) -> LossTerms:
        """Of a policy with these logits, the behaviour's own where there are none."""
        return policy_loss(
            self.logits_NSTV if logits_NSTV is None else logits_NSTV,
            self.index_NST,
            self.logprob(self.logits_NSTV).detach(),
            self.advantage_NS,
            self.temperature,
            LOW,
            HIGH,
            entropy_coef,
            kl_coef,
            reference_NST,
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n, s, t, v = (draw(st.integers(low, 4)) for low in (1, 1, 1, 2))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return Case(
        3.0 * torch.randn(n, s, t, v, generator=random),
        torch.randint(v, (n, s, t), generator=random),
        torch.randn(n, s, generator=random),
        draw(st.sampled_from([0.5, 1.0, 1.7])),
    )


def moved(case: Case, by: float = 1.0) -> torch.Tensor:
    """Logits of another policy."""
    random = torch.Generator().manual_seed(1)
    return case.logits_NSTV + by * torch.randn(case.logits_NSTV.shape, generator=random)


@given(cases())
def test_on_policy_the_ratio_is_exactly_one(case: Case) -> None:
    terms = case.loss()
    assert terms.ratio_max == 1.0
    assert terms.clip_fraction == 0.0 and terms.approx_kl == 0.0
    torch.testing.assert_close(terms.policy, -case.advantage_NS.mean())


@given(cases())
def test_on_policy_the_gradient_is_that_of_reinforce(case: Case) -> None:
    logits = case.logits_NSTV.clone().requires_grad_()
    case.loss(logits).total.backward()
    same = case.logits_NSTV.clone().requires_grad_()
    (-case.logprob(same) * case.advantage_NS[..., None]).mean().backward()
    torch.testing.assert_close(logits.grad, same.grad)


@given(cases(), st.integers(2, 20))
@settings(max_examples=50)
def test_a_step_makes_better_actions_likelier_and_worse_ones_less_likely(
    case: Case, symbols: int
) -> None:
    logits = torch.zeros(1, 2, 1, symbols, requires_grad=True)
    taken = Case(logits, torch.tensor([[[0], [1]]]), torch.tensor([[1.0, -1.0]]), case.temperature)
    before = taken.logprob(logits).detach()
    taken.loss(logits).total.backward()
    assert logits.grad is not None
    after = taken.logprob(logits - 0.1 * logits.grad)
    assert after[0, 0, 0] > before[0, 0, 0] and after[0, 1, 0] < before[0, 1, 0]


@given(cases())
def test_beyond_the_bounds_nothing_pulls_any_further(case: Case) -> None:
    logits = moved(case, 2.0).requires_grad_()
    terms = case.loss(logits)
    terms.total.backward()
    ratio = (case.logprob(logits) - case.logprob(case.logits_NSTV)).exp()
    advantage = case.advantage_NS[..., None].expand_as(ratio)
    gone = ((advantage > 0) & (ratio > 1 + HIGH)) | ((advantage < 0) & (ratio < 1 - LOW))
    assert logits.grad is not None
    assert not logits.grad[gone].any()
    torch.testing.assert_close(terms.clip_fraction, gone.float().mean())


@given(cases())
def test_the_surrogate_never_promises_more_than_the_unclipped_one(case: Case) -> None:
    logits = moved(case)
    ratio = (case.logprob(logits) - case.logprob(case.logits_NSTV)).exp()
    assert case.loss(logits).policy >= -(ratio * case.advantage_NS[..., None]).mean() - 1e-5


@given(cases())
def test_the_entropy_bonus_flattens_the_policy(case: Case) -> None:
    silent = case._replace(advantage_NS=torch.zeros_like(case.advantage_NS))
    logits = case.logits_NSTV.clone().requires_grad_()
    terms = silent.loss(logits, entropy_coef=1.0)
    terms.total.backward()
    assert logits.grad is not None
    after = silent.loss(logits.detach() - 1e-2 * logits.grad)
    assert after.entropy >= terms.entropy - 1e-6
    assert 0.0 <= terms.entropy <= torch.tensor(float(logits.shape[-1])).log() + 1e-5


@given(cases())
def test_the_reference_holds_the_policy_back(case: Case) -> None:
    reference = case.logprob(case.logits_NSTV)
    at_home, away = (
        case.loss(logits, reference, kl_coef=0.5) for logits in (case.logits_NSTV, moved(case))
    )
    assert at_home.kl == 0.0
    assert away.kl >= 0.0
    torch.testing.assert_close(away.total, away.policy + 0.5 * away.kl)


@given(st.integers(2, 8), st.integers(0, 99))
def test_approx_kl_is_the_divergence_from_the_behaviour(symbols: int, seed: int) -> None:
    # Each symbol once: what a uniform behaviour samples on average.
    uniform = torch.zeros(1, symbols, 1, symbols)
    index = torch.arange(symbols).reshape(1, symbols, 1)
    random = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(symbols, generator=random)
    terms = Case(uniform, index, torch.zeros(1, symbols), 1.0).loss(logits.expand_as(uniform))
    behaviour, current = uniform[0, 0, 0].log_softmax(-1), logits.log_softmax(-1)
    expected = (behaviour.exp() * (behaviour - current)).sum()
    torch.testing.assert_close(terms.approx_kl, expected, atol=1e-5, rtol=1e-4)


@given(st.lists(st.floats(-20, 20, width=32), min_size=1))
def test_k3_is_never_negative(log_ratios: list[float]) -> None:
    assert (k3(torch.tensor(log_ratios)) >= 0).all()


def test_k3_is_never_negative_where_policies_hardly_differ() -> None:
    small = torch.logspace(-12, 0, 10_000)
    assert (k3(small) >= 0).all() and (k3(-small) >= 0).all()


def test_k3_estimates_the_divergence() -> None:
    random = torch.Generator().manual_seed(0)
    p, q = torch.randn(2, 5, generator=random).log_softmax(-1)
    expected = (p.exp() * (p - q)).sum()
    assert (p.exp() * k3(q - p)).sum() == pytest.approx(float(expected), abs=1e-6)
