"""The command that writes data sets, and imitation from what it wrote."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrobo_sim import datasets
from rlrobo_train.demonstrations import DemonstrationsConfig, demonstrations, main
from rlrobo_train.supervised import LessonConfig
from rlrobo_train.warm_start import WarmStartConfig, warm_start

FORMATS = ("lerobot", "rosbag2")
SIZE = 56
WARM_START = WarmStartConfig(
    image_size=SIZE, frames=0, imitation=LessonConfig(steps=2, batch_size=4)
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demonstrations") / "reach"
    demonstrations(
        DemonstrationsConfig(
            episodes=3, noise=0.25, seed=5, image_size=SIZE, out=out, format="both"
        )
    )
    return out


def test_the_command_writes_what_it_was_asked_for(both: Path) -> None:
    (one, origin), (two, same) = (datasets.read(both / form) for form in FORMATS)
    assert origin == same
    assert (origin.noise, origin.seed, origin.cameras) == (0.25, 5, ("front",))
    assert len(one.success_E) == 3 and one.image_NC.shape[1:] == (1, SIZE, SIZE, 3)
    assert np.array_equal(one.image_NC, two.image_NC)
    assert np.array_equal(one.action_ND, two.action_ND)


def test_imitation_of_a_data_set_is_that_of_its_episodes(both: Path) -> None:
    """Two steps on either format leave the same weights, and other ones than none."""
    trained = [
        warm_start(replace(WARM_START, demonstrations_from=both / form))[0].vlm.model.state_dict()
        for form in FORMATS
    ]
    untrained = warm_start(replace(WARM_START, demonstrations=0))[0].vlm.model.state_dict()
    assert all(torch.equal(weights, trained[1][name]) for name, weights in trained[0].items())
    assert not all(torch.equal(weights, untrained[name]) for name, weights in trained[0].items())


def test_a_data_set_that_does_not_fit_is_refused_before_anything_is_learned(both: Path) -> None:
    given = replace(WARM_START, demonstrations_from=both / "lerobot", frames=10**6)
    with pytest.raises(ValueError, match=r"no camera 'wrist'; choose from: front"):
        warm_start(replace(given, cameras=("front", "wrist")))
    with pytest.raises(ValueError, match=r"image_size 56, not 84"):
        warm_start(replace(given, image_size=84))
    with pytest.raises(ValueError, match=r"is no data set.*there is: .*lerobot, .*rosbag2"):
        warm_start(replace(given, demonstrations_from=both))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"episodes": 0}, "episodes must be 1 or more, not 0"),
        ({"noise": float("nan")}, "noise must be 0 .none. or more, not nan"),
        ({"seed": 2**31}, "held out for evaluation"),
        ({"task": "dance"}, "unknown task 'dance'; choose one of: "),
        ({"variant": "real"}, "unknown variant 'real'; choose one of: default, panda_gym"),
    ],
)
def test_bad_settings_are_named(wrong: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        demonstrations(replace(DemonstrationsConfig(out=tmp_path / "set"), **wrong))
    assert not (tmp_path / "set").exists()


def test_the_user_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demonstrations", "--task", "dance", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("error: unknown task 'dance'; choose one of: ")
