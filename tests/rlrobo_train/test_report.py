"""The report of a run, whatever of it there is; and what a real browser makes of it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from rlrobo_core.intervals import SuccessRate
from rlrobo_train.episode_record import EpisodeRecord, RecordedEpisode, Sample, Step, write_record
from rlrobo_train.report.__main__ import compare, report
from rlrobo_train.report.data import read_run
from rlrobo_train.report.panels import panels, time_parts
from rlrobo_train.report.strips import verdict, within_budget
from rlrobo_train.video import Episode, write_video

EVIL = "</script><b onclick=alert(1)>& reach"
"""An instruction that a page must not take for its own."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def picture(rng: np.random.Generator) -> str:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (28, 28, 3), np.uint8)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


def sample(rng: np.random.Generator, advantage: float | None, chosen: bool = True) -> Sample:
    action = {"x": 0.05, "y": -0.0125, "z": 0.0}
    terms = {"progress": float(rng.normal()), "success": 0.0}
    return Sample(action, 0.06, [0.5, 0.4, 0.3], terms["progress"], terms, advantage, chosen)


def recorded(rng: np.random.Generator, iteration: int, training: bool) -> EpisodeRecord:
    steps = [
        Step(
            picture(rng),
            [0.5, 0.0, 0.2],
            0.0,
            [
                sample(rng, float(i - 1) if training else None, i == 0)
                for i in range(3 if training else 1)
            ],
        )
        for _ in range(4)
    ]
    episode = RecordedEpisode(7, 0, False, EVIL, steps)
    phase, form = ("train", "branch") if training else ("eval", "trajectory")
    return EpisodeRecord(phase, form, iteration, "reach", 0, [episode])


def write_run(path: Path, updates: int = 40, finished: bool = True, **config: object) -> Path:
    """A run directory as training leaves it, with made-up figures."""
    rng = np.random.default_rng(updates)
    rows = []
    path.mkdir()
    for i in range(updates + 1):
        row: dict[str, float] = {"iteration": i, "wall_s": 6.0 * i}
        if i:
            row |= {"rollout/success": rng.random(), "rollout/steps_per_s": 500.0 * rng.random()}
            row |= {"reward/mean": rng.normal(), "reward/progress": rng.normal()}
            row |= {"time/rollout": 3.0, "time/decode": 1.0, "time/render": 0.5, "time/update": 2.0}
            row |= {"loss/policy": rng.normal(), "policy/entropy": rng.random(), "odd/one": 1.0}
        if i % 20 == 0:
            rate = SuccessRate(int(rng.integers(6)), 5)
            low, high = rate.ci95
            row |= {"eval/success": rate.rate, "eval/ci_low": low, "eval/ci_high": high}
            write_evaluation(path, i, rate, rng)
        rows.append(row)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"task": "reach", "algorithm": "branch_grpo", "seed": 0, "run_dir": str(path)} | config
    (path / "config.yaml").write_text(yaml.safe_dump(given))
    (path / "versions.json").write_text(json.dumps({"python": "3.11", "git_commit": None}))
    if finished:
        (path / "summary.json").write_text(json.dumps({"wall_s": 1.0}))
    return path


def write_evaluation(path: Path, i: int, rate: SuccessRate, rng: np.random.Generator) -> None:
    told = {
        "success": rate.rate,
        "ci95": rate.ci95,
        "episodes": rate.episodes,
        "mean_length": 3.0,
        "mean_return": 0.1,
        "task": "reach",
        "policy_version": i,
        "per_seed": [{"group": g, "success": g < rate.successes} for g in range(rate.episodes)],
    }
    (path / f"eval_{i:06d}.json").write_text(json.dumps(told))
    frames = rng.integers(0, 255, (3, 28, 28, 3), np.uint8)
    write_video(path / f"eval_{i:06d}.gif", [Episode(frames, True)], tile_size=28)
    write_record(path, f"eval_{i:06d}", recorded(rng, i, training=False))
    if i:
        write_record(path, f"train_{i:06d}", recorded(rng, i, training=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "a")


class Elements(HTMLParser):
    """Tags that are open, and what elements with an id hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.held: dict[str, str] = {}
        self.links: list[str] = []
        self._id = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("src", "href") if name in given]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        self._id = given.get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._id:
            self.held[self._id] = self.held.get(self._id, "") + data


def page_of(run: Path, out: Path) -> str:
    assert report([str(run), "--out", str(out)]) == 0
    return out.read_text()


def test_the_page_is_whole_and_needs_nothing_else(run: Path, tmp_path: Path) -> None:
    text = page_of(run, tmp_path / "a.html")
    elements = Elements(text)
    assert not elements.open
    assert all(link.startswith("data:") for link in elements.links)
    assert not re.findall(r"(?:@import|url\()\s*[\"']?http", text)
    for row in read_run(run).rows:
        if "eval/success" in row:
            assert f"<b>{row['eval/success']:.1%}</b>" in text


def test_what_a_run_says_is_never_taken_for_html(run: Path, tmp_path: Path) -> None:
    elements = Elements(page_of(run, tmp_path / "a.html"))
    held = [text for name, text in elements.held.items() if re.fullmatch(r"strip-\d+", name)]
    assert len(held) == 5  # three evaluations, two of training
    for text in held:
        assert "<" not in text
        assert json.loads(text)["episodes"][0]["instruction"] == EVIL


def test_curves_hold_the_metrics_and_their_spread(run: Path) -> None:
    rows = read_run(run).rows
    by_title = {panel.title: panel for panel in panels({"": [rows]})}
    (evaluation,) = by_title["Success in evaluations"].series
    assert evaluation.by["iteration"].x == [0, 20, 40]
    assert evaluation.by["minutes"].x == [0, 2, 4]
    (entropy,) = by_title["Entropy of the policy [nat]"].series
    line = entropy.by["iteration"]
    assert line.raw == pytest.approx([r["policy/entropy"] for r in rows[1:]], rel=1e-3)
    for low, mean, high in zip(line.low, line.y, line.high, strict=True):
        assert low is not None and mean is not None and high is not None
        assert low <= mean <= high


def test_the_parts_of_an_iteration_are_all_of_it(run: Path) -> None:
    _, (decode, render, rest, update) = time_parts(read_run(run).rows)
    assert set(decode) == {1.0} and set(render) == {0.5}
    assert set(rest) == {1.5} and set(update) == {2.0}


@pytest.mark.parametrize("left", [["config.yaml"], ["config.yaml", "metrics.jsonl"]])
def test_an_unfinished_run_is_shown_and_called_so(
    run: Path, tmp_path: Path, left: list[str]
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in left:
        shutil.copy(run / name, begun)
    text = page_of(begun, tmp_path / "begun.html")
    assert not Elements(text).open
    assert "not finished" in text
    assert ("logged nothing yet" in text) == ("metrics.jsonl" not in left)


def test_a_resumed_runs_leavings_are_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "resumed")
    kept = (run / "metrics.jsonl").read_text().split("\n")[:31]  # cut after iteration 30
    (run / "metrics.jsonl").write_text("\n".join(kept) + "\n")
    found = read_run(run)
    assert [it.iteration for it in found.evaluations] == [0, 20]
    assert [file.stem for file in found.records] == ["eval_000000", "eval_000020", "train_000020"]


def test_what_is_no_run_is_refused_by_name(run: Path, tmp_path: Path, capsys) -> None:
    def complaint(path: Path) -> str:
        assert report([str(path)]) == 1
        return capsys.readouterr().err

    assert "there is no run directory" in complaint(run.parent / "missing")
    said = complaint(run.parent)
    assert "holds no run (no config.yaml)" in said and str(run) in said
    damaged = write_run(tmp_path / "damaged", updates=1)
    (damaged / "eval_000000.json").write_text('{"success": 1')
    assert "eval_000000.json is damaged" in complaint(damaged)
    assert report([str(run), "--out", str(tmp_path / "no" / "a.html")]) == 1
    assert "choose another file with --out" in capsys.readouterr().err


def test_runs_are_compared_by_name(run: Path, tmp_path: Path, capsys) -> None:
    second = write_run(tmp_path / "second", seed=1)
    other = write_run(tmp_path / "other", updates=20, finished=False, task="push")
    out = tmp_path / "compare.html"
    assert compare([f"both={run}", f"both={second}", str(other), "--out", str(out)]) == 0
    text = out.read_text()
    assert not Elements(text).open
    assert "different tasks (push, reach)" in text and "Not finished: other" in text
    assert "mean of 2" in text and "<code>seed</code>" in text and "<code>run_dir" not in text
    shown = json.loads(Elements(text).held["panels"])
    labels = [
        it["label"] for panel in shown if "Entropy" in panel["title"] for it in panel["series"]
    ]
    assert labels == ["both (2 runs)", "other"]


def test_the_verdict_names_the_worst_and_the_least_sure_step() -> None:
    rng = np.random.default_rng(0)
    steps = [asdict(Step("", [], 0.0, [sample(rng, 0.0)])) for _ in range(3)]
    for step, reward, probability in zip(steps, (0.1, -0.3, 0.1), (0.9, 0.8, 0.07), strict=True):
        step["samples"][0] |= {"reward": reward, "probability": probability}
    told = verdict(steps, success=False)
    assert told.startswith("Failed after 3 steps; the rewards sum to −0.100.")
    assert "at step 2 (−0.300)" in told and "at step 3 (probability 0.07)" in told
    assert "No step taught anything" in told


def test_of_too_much_the_ends_and_an_even_choice_are_kept() -> None:
    items = [(i, 10) for i in range(9)]
    assert within_budget(items, 1000) == list(range(9))
    assert within_budget(items, 30) == [0, 4, 8]
    assert within_budget(items, 9) == [] and within_budget([], 9) == []


@pytest.fixture
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed (one of: {', '.join(BROWSERS)})")
    return found


def rendered(browser: str, page: Path, profile: Path, window: str) -> str:
    """The page's HTML once its scripts have run, without a network."""
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
            *(f"--window-size={window}", "--host-resolver-rules=MAP * ~NOTFOUND"),
            *("--virtual-time-budget=3000", "--dump-dom", page.resolve().as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.parametrize("window", ["1280,900", "400,800"], ids=["desktop", "phone"])
def test_a_browser_draws_it(run: Path, tmp_path: Path, browser: str, window: str) -> None:
    page_of(run, tmp_path / "a.html")
    shown = rendered(browser, tmp_path / "a.html", tmp_path / "profile", window)
    figures = re.findall(r'<figure class="panel">.*?</figure>', shown, re.DOTALL)
    assert len(figures) > len(panels({"": [read_run(run).rows]}))
    assert all('class="curve"' in it or 'class="stack"' in it for it in figures if "<path" in it)
    assert sum("<path" in it for it in figures) >= len(panels({"": [read_run(run).rows]}))
    strip = re.search(r'<table class="strip">.*?</table>', shown, re.DOTALL)
    assert strip and strip[0].count("<img") == 4
    assert "<blockquote>&lt;/script&gt;&lt;b onclick" in shown  # text, not an element
    assert re.search(r'id="player"><(?:video|img)[^>]*src="data:', shown)
