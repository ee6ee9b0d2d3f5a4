"""The launch files fit the nodes: same parameters, same types, same defaults."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlrobo.bags.recorder import RecordConfig
from rlrobo.bags.replayer import ReplayConfig
from rlrobo.interpreter.arguments import configure, declared, explain, load
from rlrobo.interpreter.names import IncludeLaunchDescription, LaunchError, Node, perform
from rlrobo.interpreter.process import command_line
from rlrobo.interpreter.supervisor import refuse_includes, wanted
from rlrobo.viewer.node import ViewConfig
from rlrobo_core.config import from_values
from rlrobo_core.robot.arm import ArmConfig
from rlrobo_policy.node import PolicyConfig, make_policy
from rlrobo_policy.policy import default_start
from rlrobo_robot.calibration.node import CalibrationConfig
from rlrobo_robot.episodes.node import EpisodesConfig
from rlrobo_robot.fr3.bridge import Fr3Config
from rlrobo_robot.panda.arm import PandaConfig
from rlrobo_robot.panda_hand.hand import PandaHandConfig
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.servo.bridge import ServoConfig
from rlrobo_sim.arm.arm import MujocoArmConfig
from rlrobo_sim.node import SimConfig
from rlrobo_train.config import TrainConfig
from rlrobo_train.process_reward.node import ProcessConfig

CONFIGS = {
    "rlrobo_sim": SimConfig,
    "rlrobo_policy": PolicyConfig,
    "rlrobo_train": TrainConfig,
    "rlrobo record": RecordConfig,
    "rlrobo replay": ReplayConfig,
    "rlrobo view": ViewConfig,
}
LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("sim_*.launch.py"))
REPLAY = LAUNCH / "replay.launch.py"
ROBOT = LAUNCH / "real_robot.launch.py"
ROBOT_CONFIGS = {
    "mock_arm": ArmConfig,
    "mujoco_arm": MujocoArmConfig,
    "panda_arm": PandaConfig,
    "panda_hand": PandaHandConfig,
    "fr3_bridge": Fr3Config,
    "servo_bridge": ServoConfig,
    "calibration": CalibrationConfig,
    "safety": SafetyConfig,
    "episodes": EpisodesConfig,
    "policy": PolicyConfig,
}


def parameters(file: Path, scratch: Path, *given: str) -> dict[str, dict[str, Any]]:
    """What each node that is started would get on its command line, by package (and executable
    where a package has several)."""
    by_node = parameters_by_node(file, scratch, *given)
    return {
        f"rlrobo {node.executable}" if node.package == "rlrobo" else str(node.package): values
        for node, values in by_node
    }


def parameters_by_node(file: Path, scratch: Path, *given: str) -> list[tuple[Node, dict[str, Any]]]:
    description = load(file)
    configurations = configure(description, given)
    found = []
    for node in [it for it in description.entities if wanted(it, configurations)]:
        command = command_line(node, configurations, scratch)
        text = Path(command[command.index("--params-file") + 1]).read_text()
        found.append((node, yaml.safe_load(text)["/**"]["ros__parameters"]))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_trainer_is_told_at_which_temperature_to_evaluate(file: Path, tmp_path: Path) -> None:
    told = parameters(file, tmp_path, "eval_temperature:=0.25")["rlrobo_train"]
    assert from_values(TrainConfig, told).eval_temperature == 0.25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"best_of": 4, "scorer": "likelihood"},
            r"best_of:=4 .*act_temperature:=0 instead",
        ),
        ({"policy_backend": "remote", "openpi": True}, r"act_temperature:=0.25 .*openpi's"),
    ],
)
def test_a_temperature_that_nobody_would_draw_at_is_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_policy(PolicyConfig(edge="robot", act_temperature=0.25, **options))


ARMS = {
    "mock": ["mock_arm"],
    "mujoco": ["mujoco_arm"],
    "panda": ["panda_arm", "panda_hand", "calibration"],
    "servo": ["servo_bridge", "calibration"],
}


@pytest.mark.parametrize("robot", ARMS)
def test_one_arm_is_started_with_what_the_robots_nodes_know(robot: str, tmp_path: Path) -> None:
    given = (f"robot:={robot}", "task:=stack", "robot_ip:=172.16.0.2", "act_temperature:=0.25")
    of_node = parameters_by_node(ROBOT, tmp_path, *given)
    values = {node.name: from_values(ROBOT_CONFIGS[str(node.name)], it) for node, it in of_node}
    assert list(values) == [*ARMS[robot], "safety", "episodes", "policy"]
    ips = [it.robot_ip for it in values.values() if hasattr(it, "robot_ip")]
    assert ips == (["172.16.0.2"] * 2 if robot == "panda" else [])
    assert values["policy"].edge == "robot" and values["policy"].task == "stack"
    assert values["policy"].act_temperature == 0.25
    assert values["safety"] == SafetyConfig() and values["episodes"] == EpisodesConfig()


def test_an_fr3s_controller_is_spawned_inactive_and_hears_the_safety_node_alone(
    tmp_path: Path,
) -> None:
    description = load(ROBOT)
    configurations = configure(description, ["robot:=fr3", "robot_ip:=172.16.0.2", "namespace:=a"])
    included = [it for it in description.entities if isinstance(it, IncludeLaunchDescription)]
    (franka,) = [it for it in included if it.condition.evaluate(configurations)]
    given = {name: text for name, text in franka.launch_arguments if name != "controllers_yaml"}
    assert {name: perform(text, configurations) for name, text in given.items()} == {
        "robot_type": "fr3",
        "robot_ip": "172.16.0.2",
        "namespace": "a",
        "load_gripper": "true",
    }
    assert set(dict(franka.launch_arguments)) <= FRANKA_LAUNCH
    nodes = [it for it in description.entities if wanted(it, configurations)]
    assert [str(it.name) for it in nodes] == [
        "spawn_cartesian_impedance", "fr3_bridge", "calibration", "safety", "episodes", "policy",
    ]  # fmt: skip
    controller, *options = nodes[0].arguments
    assert controller == Fr3Config().controller and "--inactive" in options
    rules = options[options.index("--controller-ros-args") + 1]
    assert "-r target_pose:=controller/target_pose" in rules
    with pytest.raises(LaunchError, match=r"ros2 launch|vcs import src < rlrobo\.repos"):
        refuse_includes(description, configurations)
    refuse_includes(description, configure(description, ["robot:=mock"]))


@pytest.mark.parametrize(
    ("given", "front", "wrist"),
    [
        (["robot:=mujoco"], "camera", "wrist_camera"),
        (["robot:=panda"], "/camera/camera/color", "/wrist_camera/camera/color"),
        (["robot:=panda", "camera:=/zed"], "/zed", "/wrist_camera/camera/color"),
    ],
)
def test_the_policy_hears_realsenses_at_a_real_arm_unless_told_others(
    given: list[str], front: str, wrist: str, tmp_path: Path
) -> None:
    description = load(ROBOT)
    configurations = configure(description, given)
    nodes = [it for it in description.entities if wanted(it, configurations)]
    (policy,) = [it for it in nodes if it.name == "policy"]
    command = command_line(policy, configurations, tmp_path)
    for ours, theirs in (("camera", front), ("wrist_camera", wrist)):
        for topic in ("image_raw", "camera_info"):
            assert f"{ours}/{topic}:={theirs}/{topic}" in command
    told = " ".join(explain(description).split())
    assert "(default: 'camera' or '/camera/camera/color')" in told


FRANKA_LAUNCH = {
    "robot_type", "arm_prefix", "namespace", "robot_ip", "load_gripper", "use_fake_hardware",
    "fake_sensor_commands", "joint_state_rate", "load_franka_robot_state_broadcaster",
    "controllers_yaml",
}  # fmt: skip
"""Arguments of franka_bringup/launch/franka.launch.py, frankarobotics/franka_ros2 v3.4.0."""


def test_an_arm_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="mock, mujoco"):
        parameters_by_node(ROBOT, tmp_path, "robot:=ur5")


@pytest.mark.parametrize("file", [*FILES, REPLAY], ids=lambda file: file.name)
def test_every_node_knows_its_parameters(file: Path, tmp_path: Path) -> None:
    recording = ["record:=true"] if file in FILES else []
    for package, values in parameters(file, tmp_path, *recording).items():
        config = from_values(CONFIGS[package], values)
        assert all(type(values[name]) is type(asdict(config)[name]) or isinstance(
            values[name], list) for name in values)  # fmt: skip


def test_the_defaults_of_a_training_are_the_trainers_own(tmp_path: Path) -> None:
    values = parameters(Path(FILES[1]), tmp_path)["rlrobo_train"]
    assert from_values(TrainConfig, values) == TrainConfig()


def test_nodes_agree_on_what_they_share(tmp_path: Path) -> None:
    given = ["image_size:=64", "cameras:=[front, wrist]", "task:=reach", "seed:=7"]
    given += ["proprioception:=true"]
    of_node = parameters(FILES[1], tmp_path, *given)
    for name, value in {"image_size": 64, "cameras": ["front", "wrist"], "task": "reach"}.items():
        assert [values[name] for values in of_node.values()] == [value] * 3
    for name, value in {"seed": 7, "proprioception": "true"}.items():
        assert [of_node[f"rlrobo_{node}"][name] for node in ("policy", "train")] == [value] * 2


def test_recording_is_a_node_more_and_bags_take_the_place_of_a_simulation(tmp_path: Path) -> None:
    for file in FILES:
        nodes = parameters(file, tmp_path)
        recorded = parameters(file, tmp_path, "record:=true", "bag:=here", "keep_gb:=3")
        assert recorded.keys() - nodes.keys() == {"rlrobo record"}
        assert recorded["rlrobo record"] == {"bag": "here", "keep_gb": 3.0}
    trained = parameters(FILES[1], tmp_path, "train_from:=bags/one")
    assert trained.keys() == {"rlrobo_train"}
    assert trained["rlrobo_train"]["train_from"] == "bags/one"
    replayed = parameters(REPLAY, tmp_path, "bag:=here", "topics:=/observations", "rate:=0")
    told = replayed["rlrobo replay"]
    assert (told["bag"], told["topics"], told["rate"]) == ("here", "/observations", 0.0)


@pytest.mark.parametrize("file", [*FILES, REPLAY, ROBOT], ids=lambda file: file.name)
def test_a_viewer_is_started_on_demand_and_only_listens(file: Path, tmp_path: Path) -> None:
    assert "rlrobo view" not in parameters(file, tmp_path)
    told = parameters(file, tmp_path, "viewer:=rerun", "viewer_file:=seen.rrd")["rlrobo view"]
    config = from_values(ViewConfig, told)
    assert (config.viewer, config.viewer_file) == ("rerun", "seen.rrd")
    with pytest.raises(LaunchError, match="none, rviz, rerun, foxglove"):
        parameters(file, tmp_path, "viewer:=eyes")


@pytest.mark.parametrize(
    ("viewer", "package"), [("rviz", "rviz2"), ("foxglove", "foxglove_bridge")]
)
def test_a_viewer_that_is_not_installed_is_named_with_its_cure(
    viewer: str, package: str, tmp_path: Path
) -> None:
    started = [it for it in load(ROBOT).entities if isinstance(it, Node)]
    assert package in {it.package for it in started}
    if shutil.which(package) is None and importlib.util.find_spec("launch_ros") is None:
        with pytest.raises(LaunchError, match=f"ros-jazzy-{package.replace('_', '-')}"):
            parameters(ROBOT, tmp_path, f"viewer:={viewer}")


def test_a_condition_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="'maybe' is not true or false"):
        parameters(FILES[1], tmp_path, "record:=maybe")


def test_a_suite_is_every_nodes_task(tmp_path: Path) -> None:
    of_node = parameters(FILES[0], tmp_path, "suite:=rlrobo4", "shifts:=camera")
    assert [values["task"] for values in of_node.values()] == ["rlrobo4"] * 3
    assert of_node["rlrobo_train"]["shifts"] == "camera"
    of_node = parameters(FILES[0], tmp_path, "task:=stack")
    assert [values["task"] for values in of_node.values()] == ["stack"] * 3


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of a run on two cameras at temperature 0.25."""
    folder = tmp_path / "run" / "checkpoints" / "000008"
    shutil.copytree(default_start("tiny", ["stack"]), folder)
    settings = TrainConfig(task="stack", reward="sparse", eval_temperature=0.25)
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(asdict(settings)))
    return folder


def test_an_evaluation_is_by_default_of_what_the_checkpoint_was_trained_for(
    checkpoint: Path, tmp_path: Path
) -> None:
    of_node = parameters(FILES[0], tmp_path, f"checkpoint:={checkpoint}")
    judged = from_values(TrainConfig, of_node["rlrobo_train"])
    assert (judged.task, judged.reward, judged.eval_temperature) == ("stack", "sparse", 0.25)
    assert judged.cameras == ("front", "wrist") and judged.proprioception == "true"
    assert of_node["rlrobo_sim"]["cameras"] == ["front", "wrist"]
    assert {values["task"] for values in of_node.values()} == {"stack"}


def test_what_the_user_says_of_a_checkpoint_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    given = [f"checkpoint:={checkpoint}", "task:=slide", "eval_temperature:=0"]
    of_node = parameters(FILES[0], tmp_path, *given)
    assert of_node["rlrobo_train"]["eval_temperature"] == 0.0
    assert {values["task"] for values in of_node.values()} == {"slide"}


def test_an_older_checkpoint_is_read_as_it_was_meant(tmp_path: Path) -> None:
    """Reach's was written before there was a choice of proprioception."""
    given = [f"checkpoint:={default_start('tiny', ['reach'])}", "task:=push"]
    of_node = parameters(FILES[0], tmp_path, *given)
    assert of_node["rlrobo_train"]["proprioception"] == "false"


def test_an_arm_acts_as_the_checkpoint_was_judged(checkpoint: Path, tmp_path: Path) -> None:
    of_node = {
        node.executable: values
        for node, values in parameters_by_node(ROBOT, tmp_path, f"checkpoint:={checkpoint}")
    }
    policy = from_values(PolicyConfig, of_node["policy"])
    assert (policy.task, policy.act_temperature) == ("stack", 0.25)


@pytest.mark.parametrize("broken", ["rlrobo.json", "../../config.yaml"])
def test_a_checkpoint_that_cannot_be_read_is_left_to_the_nodes(
    checkpoint: Path, tmp_path: Path, broken: str
) -> None:
    (checkpoint / broken).write_text("{")
    told = parameters(FILES[0], tmp_path, f"checkpoint:={checkpoint}")["rlrobo_train"]
    assert told["checkpoint"] == str(checkpoint)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_arguments_are_listed(file: Path) -> None:
    told = explain(load(file))
    words = " ".join(told.split())
    assert "'variant':" in told and "['default', 'panda_gym'] (default: 'default'" in words
    assert ("'tokens', or as checkpoint was trained" in told) == (file == FILES[0])
    assert ("(default: LaunchConfiguration('task'))" in told) == (file == FILES[0])


@pytest.mark.parametrize("file", [*FILES, ROBOT], ids=lambda file: file.name)
def test_every_argument_is_explained_and_optional(file: Path) -> None:
    for argument in declared(load(file)).values():
        assert argument.description
        assert argument.default_value is not None


@pytest.mark.parametrize("text", ["num_envs:=many", "randomize:=maybe", "minutes:="])
def test_a_value_of_the_wrong_type_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=text.split(":=")[0]):
        parameters(FILES[1], tmp_path, text)


def test_the_process_reward_model_is_a_node_where_there_is_one(tmp_path: Path) -> None:
    given = ["process_reward:=made", "process_shaping:=plain", "task:=stack", "algorithm:=ppo"]
    values = {node.executable: it for node, it in parameters_by_node(FILES[1], tmp_path, *given)}
    judge = from_values(ProcessConfig, values["process"])
    assert (judge.process_reward, judge.task) == ("made", "stack")
    trained = from_values(TrainConfig, values["train"])
    assert (trained.process_reward, trained.process_shaping) == ("made", "plain")
    assert "process" not in [it.executable for it, _ in parameters_by_node(FILES[1], tmp_path)]
