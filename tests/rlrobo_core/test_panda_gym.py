"""The `panda_gym` variants against the panda-gym package itself (3.0.7), where it is installed.

Its origin is the middle of the table, ours the robot's base: `PANDA_GYM_ORIGIN`.
"""

from __future__ import annotations

import numpy as np
import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import make_task
from rlrobo_core.tasks.reach import PANDA_GYM_ORIGIN

pytest.importorskip("panda_gym", reason="panda-gym is not installed")
gymnasium = pytest.importorskip("gymnasium")
pybullet = pytest.importorskip("panda_gym.pybullet")

ENVS = {
    "push": "PandaPush-v3",
    "pick_and_place": "PandaPickAndPlace-v3",
    "stack": "PandaStack-v3",
    "flip": "PandaFlip-v3",
}
BODIES = {
    "push": {"object": "cube", "target": "target"},
    "pick_and_place": {"object": "cube", "target": "target"},
    "stack": {"object1": "base", "object2": "cube", "target1": "target"},
    "flip": {"object": "block", "target": "target"},
}
"""panda_gym's body -> ours."""
SAMPLES = 400


@pytest.fixture(scope="module", params=ENVS)
def pair(request):
    """(our task, its gymnasium environment, body -> our object)"""
    create_box = pybullet.PyBullet.create_box

    def plain_box(self, *args, texture=None, **kwargs):
        """panda-gym's wheel leaves out the picture that Flip paints its cube with."""
        create_box(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pybullet.PyBullet, "create_box", plain_box)
        env = gymnasium.make(ENVS[request.param])
    yield make_task(request.param, "panda_gym"), env, BODIES[request.param]
    env.close()


def lift(task, name):
    """A pad lies on the table where panda_gym's ghost cube stands on it: half a cube [m]."""
    shape = next(thing.shape for thing in task.objects if thing.name == name)
    return np.array([0.0, 0.0, task.cube_size / 2 if shape == "pad" else 0.0])


def test_rate_steps_threshold_and_actions(pair):
    task, env, _ = pair
    sim = env.unwrapped.sim
    assert task.max_steps == env.spec.max_episode_steps
    assert task.control_hz == pytest.approx(1.0 / sim.dt)
    assert task.threshold == env.unwrapped.task.distance_threshold
    # panda_gym's Push blocks the gripper: three actions, the fingers closed.
    assert len(task.action_dims) == env.action_space.shape[0]
    assert task.hold_width == 0.0


def test_masses_and_sizes(pair):
    task, env, bodies = pair
    sim = env.unwrapped.sim
    ours = {thing.name: thing for thing in task.objects}
    solid = {body: name for body, name in bodies.items() if body.startswith("object")}
    assert {n for n, thing in ours.items() if thing.shape == "box"} == set(solid.values())
    for body, name in solid.items():
        number = sim._bodies_idx[body]
        assert ours[name].mass == sim.physics_client.getDynamicsInfo(number, -1)[0]
        half = np.array(sim.physics_client.getCollisionShapeData(number, -1)[0][3]) / 2
        np.testing.assert_allclose(ours[name].size, half, atol=1e-9)


def test_starts_and_goals_are_drawn_from_the_same_ranges(pair):
    """Both lie within the same box, and come near each of its sides."""
    task, env, bodies = pair
    theirs = {body: [] for body in bodies}
    for seed in range(SAMPLES):
        env.unwrapped.task.np_random = np.random.default_rng(seed)
        env.unwrapped.task.reset()
        for body in bodies:
            theirs[body].append(env.unwrapped.sim.get_base_position(body))
    ours = [task.sample(np.random.default_rng(seed)).object_pose for seed in range(SAMPLES)]
    for body, name in bodies.items():
        one = np.array(theirs[body])
        two = np.array([pose[name][:3] for pose in ours]) - PANDA_GYM_ORIGIN + lift(task, name)
        np.testing.assert_allclose(one.min(axis=0), two.min(axis=0), atol=0.01)
        np.testing.assert_allclose(one.max(axis=0), two.max(axis=0), atol=0.01)
        np.testing.assert_allclose(one.mean(axis=0), two.mean(axis=0), atol=0.02)


def test_the_share_of_goals_on_the_table():
    env = gymnasium.make(ENVS["pick_and_place"]).unwrapped
    env.task.np_random = np.random.default_rng(0)
    theirs = np.mean([env.task._sample_goal()[2] == 0.02 for _ in range(2000)])
    env.close()
    task = make_task("pick_and_place", "panda_gym")
    rng = np.random.default_rng(0)
    ours = np.mean([task.sample(rng).object_pose["target"][2] == 0.02 for _ in range(2000)])
    assert abs(ours - theirs) < 0.04


def test_success_and_both_rewards_on_random_states(pair):
    task, env, _ = pair
    judge = env.unwrapped.task
    rng = np.random.default_rng(3)
    succeeded = 0
    for _ in range(SAMPLES):
        state, achieved, desired = random_state(task, rng)
        assert task.success(state)[0] == judge.is_success(achieved, desired)
        terms = task.reward_terms(state, state)
        for reward_type in ("sparse", "dense"):
            judge.reward_type = reward_type
            theirs = judge.compute_reward(achieved, desired, {})
            assert terms[reward_type][0] == pytest.approx(float(theirs), abs=1e-6)
        succeeded += int(task.success(state)[0])
    assert SAMPLES / 20 < succeeded < SAMPLES * 19 / 20, "both kinds are there"


def random_state(task, rng):
    """Our state, and panda_gym's achieved and desired goal for the same."""
    goal = rng.uniform(-0.1, 0.1, 3)
    names = [thing.name for thing in task.objects if thing.shape == "box"]
    places = {name: goal + rng.uniform(-0.06, 0.06, 3) for name in names}
    offset = {"stack": np.array([0.0, 0.0, 0.04])}.get(task.name, 0.0)
    if task.name == "stack":
        places["cube"] = places["cube"] + offset
    in_base_frame = {name: PANDA_GYM_ORIGIN + place for name, place in places.items()}
    target = PANDA_GYM_ORIGIN + goal - lift(task, "target")
    state = scene_state(task, target=tuple(target), **in_base_frame)
    if task.name == "flip":
        quats = rng.normal(size=(2, 4))
        quats[1] = quats[0] + rng.uniform(0, 1) * quats[1]
        quats /= np.linalg.norm(quats, axis=1, keepdims=True)
        state.object_pose["block"][:, 3:], state.object_pose["target"][:, 3:] = quats
        return state, *quats
    if task.name == "stack":
        achieved = np.concatenate([places["base"], places["cube"]])
        return state, achieved, np.concatenate([goal, goal + offset])
    return state, places["cube"], goal
