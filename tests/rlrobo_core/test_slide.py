"""Slide: what is drawn, what counts, and that the `panda_gym` variant is panda_gym's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import SceneState, Slide, make_task
from rlrobo_core.tasks.colors import COLORS
from rlrobo_core.tasks.reach import PANDA_GYM_ORIGIN

TASK = Slide()
PANDA_GYM = make_task("slide", "panda_gym")
PUCK, PAD = (0.5, 0.02, 0.015), (0.85, -0.05, 0.0)
ON_PAD = (0.87, -0.05, 0.015)
EPISODES = 100
OTHERS = ("distractor1", "distractor2")


def state(task=TASK, **scene) -> SceneState:
    return scene_state(task, **{"target": PAD} | scene)


def scenes(task):
    return [task.sample(np.random.default_rng((3, i))) for i in range(EPISODES)]


def places(drawn, name):
    """f64[E, 3], around panda_gym's origin."""
    return np.stack([scene.object_pose[name][:3] for scene in drawn]) - PANDA_GYM_ORIGIN


def test_an_episode_is_a_function_of_its_seed():
    for task in (TASK, PANDA_GYM):
        for one, two in zip(scenes(task), scenes(task), strict=True):
            assert one.instruction == two.instruction and one.object_rgba == two.object_rgba
            assert one.object_pose.keys() == {thing.name for thing in task.objects}
            for name, pose in one.object_pose.items():
                assert np.array_equal(pose, two.object_pose[name])


@pytest.mark.parametrize("task", [TASK, PANDA_GYM], ids=["default", "panda_gym"])
def test_puck_and_pad_fill_their_ranges(task):
    drawn = scenes(task)
    for name, low, high in [
        ("puck", task.low, task.high),
        ("target", task.goal_low, task.goal_high),
    ]:
        xy_E2 = places(drawn, name)[:, :2]
        assert (xy_E2 >= low).all() and (xy_E2 <= high).all()
        assert (np.ptp(xy_E2, axis=0) > 0.8 * np.subtract(high, low)).all()


@pytest.mark.parametrize("distractors", [0, 1, 2])
def test_other_pucks_leave_the_way_free(distractors):
    task = replace(TASK, distractors=distractors)
    drawn = scenes(task)
    puck_E3, pad_E3 = places(drawn, "puck"), places(drawn, "target")
    assert len(task.objects) == 2 + distractors
    for number in range(distractors):
        other_E3 = places(drawn, f"distractor{number + 1}")
        for share in np.linspace(0.0, 1.0, 20):
            way_E3 = puck_E3 + share * (pad_E3 - puck_E3)
            assert np.linalg.norm((other_E3 - way_E3)[:, :2], axis=-1).min() > 0.099


def test_the_words_name_one_puck():
    color_of = {rgba: color for color, rgba in COLORS.items()}
    said = set()
    for scene in scenes(replace(TASK, distractors=2)):
        meant, *others = [color_of[scene.object_rgba[n]] for n in ("puck", *OTHERS)]
        words = scene.instruction.split()
        assert meant in words and not set(others) & set(words)
        said.add(meant)
    assert said == set(TASK.palette)


def test_shifts_are_one_replacement_away():
    assert not set(TASK.palette) & set(TASK.held_out_palette)
    assert not set(TASK.instructions) & set(TASK.held_out_instructions)
    shifted = replace(TASK, palette=TASK.held_out_palette, instructions=TASK.held_out_instructions)
    known = {COLORS[color] for color in TASK.held_out_palette}
    for scene in scenes(shifted):
        assert set(scene.object_rgba.values()) <= known


def test_what_is_ambiguous_or_unknown_is_refused():
    with pytest.raises(ValueError, match=r"slide it.*\{color\}"):
        replace(TASK, instructions=("slide it",))
    with pytest.raises(ValueError, match=r"'mauve'.*red"):
        replace(TASK, palette=("red", "mauve"))
    with pytest.raises(ValueError, match=r"different colours.*fewer"):
        replace(TASK, distractors=6)


def test_a_puck_that_rests_on_the_pad_is_success():
    assert TASK.success(state(puck=ON_PAD))[0]


@pytest.mark.parametrize(
    "near_miss",
    [
        pytest.param({"puck": ON_PAD, "velocity": (0.2, 0.0, 0.0)}, id="slides through"),
        pytest.param({"puck": ON_PAD, "velocity": (0.0, -0.06, 0.0)}, id="slowly aside"),
        pytest.param({"puck": (0.79, -0.05, 0.015)}, id="6 cm short"),
        pytest.param({"puck": (0.85, -0.05, 0.06)}, id="in the air"),
        pytest.param({"puck": PUCK, "distractor1": ON_PAD}, id="another puck"),
    ],
)
def test_near_misses_are_no_success(near_miss):
    assert not TASK.success(state(**near_miss))[0]


def test_the_rest_is_where_friction_has_eaten_the_speed():
    """Integrated step by step: dv/dt = -mu g v / |v|."""
    x_2, v_2, dt = np.array(PUCK[:2]), np.array([0.4, -0.1]), 1e-4
    while np.linalg.norm(v_2) > 1e-4:
        x_2 = x_2 + v_2 * dt
        v_2 = v_2 - TASK.friction * 9.81 * dt * v_2 / np.linalg.norm(v_2)
    np.testing.assert_allclose(
        TASK.rest(state(puck=PUCK, velocity=(0.4, -0.1, 0.0)))[0], x_2, atol=1e-3
    )
    np.testing.assert_array_equal(TASK.rest(state(puck=PUCK))[0], PUCK[:2])


def earned(before: SceneState, after: SceneState) -> float:
    return float(TASK.reward_terms(before, after)["slide"][0])


def test_speed_earns_nothing_before_the_puck_has_travelled_and_too_much_is_charged_at_once():
    still = state(puck=PUCK)
    way_3 = np.array([*np.subtract(PAD, PUCK)[:2], 0.0])
    length = np.linalg.norm(way_3)
    right_3 = np.sqrt(2.0 * TASK.friction * 9.81 * length) * way_3 / length
    for share in (0.5, 0.9, 1.0):
        assert earned(still, state(puck=PUCK, velocity=share * right_3)) == pytest.approx(0.0)
    half = state(puck=np.array(PUCK) + 0.5 * way_3, velocity=np.sqrt(0.5) * right_3)
    assert earned(still, half) == pytest.approx(0.5 * np.abs(way_3).sum())
    assert earned(still, state(puck=PUCK, velocity=1.5 * right_3)) < -0.1


def test_a_step_aside_counts_as_much_as_one_ahead():
    still = state(puck=PUCK)
    ahead, aside = np.add(PUCK, (0.01, 0, 0)), np.add(PUCK, (0, -0.01, 0))
    assert earned(still, state(puck=ahead)) == pytest.approx(earned(still, state(puck=aside)))
    assert earned(still, state(puck=np.add(PUCK, (0, 0.01, 0)))) == pytest.approx(-0.01)


def test_rewards_are_differences_and_cannot_be_farmed():
    above = state(puck=PUCK)
    near = state(puck=PUCK, tool=(0.44, 0.02, 0.05))
    behind = state(puck=PUCK, tool=(0.44, 0.02, 0.02))
    resting = state(puck=ON_PAD, tool=(0.7, 0.0, 0.02))
    for before, after in [(above, near), (near, behind), (behind, resting)]:
        good, bad = TASK.reward_terms(before, after), TASK.reward_terms(after, before)
        assert good["approach"] + good["slide"] > 0.0
        assert good["approach"] == -bad["approach"] and good["slide"] == -bad["slide"]
        assert good.keys() == TASK.reward_weights.keys()
        assert all(term == 0.0 for term in TASK.reward_terms(before, before).values())
    assert TASK.reward_terms(behind, resting)["success"] == 1.0


def test_panda_gym_counts_the_distance_alone():
    passing = state(PANDA_GYM, puck=(0.89, -0.05, 0.015), velocity=(1.0, 0.0, 0.0))
    assert PANDA_GYM.success(passing)[0]
    terms = PANDA_GYM.reward_terms(passing, passing)
    assert terms["sparse"] == 0.0
    assert terms["dense"] == pytest.approx(-np.hypot(0.04, 0.015))
    assert terms.keys() == PANDA_GYM.reward_weights.keys()


def test_the_panda_gym_variant_is_the_package_s():
    pytest.importorskip("panda_gym")
    import gymnasium

    spec = gymnasium.spec("PandaSlide-v3")
    env = gymnasium.make("PandaSlide-v3").unwrapped
    theirs = env.task
    assert spec.max_episode_steps == PANDA_GYM.max_steps
    assert env.sim.timestep * env.sim.n_substeps == pytest.approx(1.0 / PANDA_GYM.control_hz)
    assert env.action_space.shape == (len(PANDA_GYM.action_dims),)
    assert PANDA_GYM.hold_width == 0.0 and env.robot.block_gripper
    assert theirs.distance_threshold == PANDA_GYM.threshold
    for ours, box in [
        (PANDA_GYM.low, theirs.obj_range_low),
        (PANDA_GYM.high, theirs.obj_range_high),
        (PANDA_GYM.goal_low, theirs.goal_range_low),
        (PANDA_GYM.goal_high, theirs.goal_range_high),
    ]:
        np.testing.assert_allclose(ours, box[:2])
    drawn = scenes(PANDA_GYM)
    goal_E = places(drawn, "target")[:, 2] + PANDA_GYM.goal_height
    np.testing.assert_allclose(goal_E, theirs._sample_goal()[2])
    drop = PANDA_GYM.objects[0].size[1]
    np.testing.assert_allclose(places(drawn, "puck")[:, 2], theirs._sample_object()[2] - drop)
    puck = PANDA_GYM.objects[0]
    body = env.sim._bodies_idx["object"]
    mass, friction, *_ = env.sim.physics_client.getDynamicsInfo(body, -1)
    shape = env.sim.physics_client.getCollisionShapeData(body, -1)[0]
    assert (mass, friction) == (puck.mass, puck.friction)
    np.testing.assert_allclose((shape[3][1], shape[3][0] / 2), puck.size)
    env.close()
