"""Lessons: what a minibatch is made of, and that they teach."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from rlrobo_core.codec import Bins
from rlrobo_core.tasks import make_task
from rlrobo_policy.policy import load_policy
from rlrobo_policy.vlm import Vlm, load_vlm
from rlrobo_train.lessons import place_tokens
from rlrobo_train.supervised import (
    Lesson,
    LessonConfig,
    _minibatches,
    answer,
    teach,
)
from rlrobo_train.warm_start import WarmStartConfig, warm_start

SIZE = 56


@pytest.fixture
def vlm() -> Vlm:
    torch.set_num_threads(1)
    return load_vlm("tiny")


def bright_bars(vlm: Vlm, question: str, axis: int, n: int = 24) -> Lesson:
    """How far along an axis of the image is the bright bar?"""
    place_N = np.linspace(-0.9, 0.9, n)
    images = np.full((n, 1, SIZE, SIZE, 3), 30, np.uint8)
    for image, place in zip(images[:, 0], place_N, strict=True):
        at = int((place + 1) / 2 * (SIZE - 8))
        np.moveaxis(image, axis, 0)[at : at + 8] = 220
    return Lesson(
        image_KC=images,
        text_KS=((question,),) * n,
        answer_KSD=place_N[:, None, None],
        codec=Bins(1, 64),
        token_V=place_tokens(vlm),
    )


def error(vlm: Vlm, lesson: Lesson) -> float:
    return float(np.abs(answer(vlm, lesson) - lesson.answer_KSD).mean())


def test_lessons_of_different_questions_are_learned_side_by_side(vlm):
    lessons = [bright_bars(vlm, "where is left", 1), bright_bars(vlm, "where is up", 0)]
    before = [error(vlm, lesson) for lesson in lessons]
    teach(vlm, lessons, LessonConfig(steps=120, batch_size=16), seed=0)
    after = [error(vlm, lesson) for lesson in lessons]
    assert all(a < 0.25 * b for a, b in zip(after, before, strict=True)), (before, after)


def test_steps_mix_lessons_evenly_and_without_repetition(vlm):
    lessons = [bright_bars(vlm, name, i, n=16 * i + 16) for i, name in enumerate("abc")]
    config = LessonConfig(steps=300, batch_size=16, mixed=2)
    steps = list(_minibatches(lessons, config, seed=3))
    assert all(len(rows) == 8 for step in steps for _, rows in step)
    assert all(first is not second for (first, _), (second, _) in steps)
    drawn = [minibatch for step in steps for minibatch in step]
    assert len(drawn) == 600
    for lesson in lessons:
        share = sum(which is lesson for which, _ in drawn) / len(drawn)
        assert share == pytest.approx(1 / 3, abs=0.06)
        counts = Counter(int(row) for which, rows in drawn if which is lesson for row in rows)
        assert set(counts) == set(range(len(lesson)))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_warm_start_is_a_checkpoint_that_loads_and_says_what_it_was_made_with(tmp_path):
    config = WarmStartConfig(
        frames=64,
        seeing=LessonConfig(steps=2, batch_size=8),
        demonstrations=4,
        imitation=LessonConfig(steps=2, batch_size=8),
    )
    torch.set_num_threads(1)
    policy, measured = warm_start(config)
    policy.save(tmp_path)
    again = load_policy(str(tmp_path), make_task("reach"))
    for name, weight in policy.vlm.model.state_dict().items():
        torch.testing.assert_close(again.vlm.model.state_dict()[name], weight)
    assert measured.keys() == {"reach"} and measured["reach"].keys() == {"gripper", "target"}


def test_one_model_learns_tasks_with_and_without_gripper():
    config = WarmStartConfig(
        task="reach,pick_and_place",
        cameras=("front", "wrist"),
        proprioception=True,
        frames=32,
        watched=2,
        seeing=LessonConfig(steps=3, batch_size=8),
        relating=LessonConfig(steps=6, batch_size=8),
        demonstrations=2,
        imitation=LessonConfig(steps=3, batch_size=8),
    )
    torch.set_num_threads(1)
    policy, measured = warm_start(config)
    assert policy.spec.action_dims == ("x", "y", "z", "gripper")
    assert measured["pick_and_place"].keys() == {"gripper", "cube", "distractor1", "target"}


def test_a_data_set_is_of_one_task(tmp_path):
    config = WarmStartConfig(task="reach,pick_and_place", demonstrations_from=tmp_path)
    with pytest.raises(ValueError, match=r"one task, and 'reach,pick_and_place' is 2"):
        warm_start(config)
