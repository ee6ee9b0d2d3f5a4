"""The policy: camera images and instructions in, end-effector targets out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from rlrobo_core.codec import ActionCodec, end_effector_target, make_codec
from rlrobo_core.prompt import instruction_prompt
from rlrobo_core.shifts import parse_task
from rlrobo_core.task_set import task_names
from rlrobo_core.tasks import Task
from rlrobo_core.types import (
    NO_ACTION,
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
)
from rlrobo_policy.conversation import Memory
from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.lora import fingerprint, train_adapter
from rlrobo_policy.spec import PolicySpec
from rlrobo_policy.tree import sample_actions
from rlrobo_policy.vlm import Vlm, load_vlm
from rlrobo_policy.vocabulary import action_token_ids


class Policy(Protocol):
    """What the policy node drives; a recorder or a remote client wraps the same three names."""

    @property
    def version(self) -> int: ...

    def act(self, batch: ObservationBatch) -> ActionBatch:
        """One action for each rollout that the batch speaks for, in order of its rows."""
        ...

    def load_weights(self, update: PolicyUpdate) -> None:
        """Take up new weights; ValueError (and the old ones stay) where the file is not whole."""
        ...


class VlmPolicy:
    """A vision-language model that writes actions as tokens of a codec."""

    def __init__(
        self, vlm: Vlm, task: Task, spec: PolicySpec, seed: int = 0, others: Iterable[Task] = ()
    ):
        """`task` is the one whose action space the policy has. Of `others`, which the policy
        acts for as well, the action dimensions are the first of its own: their actions are
        written until there."""
        self.vlm, self.task, self.spec, self.seed = vlm, task, spec, seed
        self.tasks = {it.name: it for it in (task, *others)}
        self.codec = make_codec(spec.codec, task)
        self.encode_prompts = PromptEncoder(vlm)
        self.device = vlm.model.device
        self.token_V = action_token_ids(vlm, self.codec).to(self.device)
        self.version = -1  # the trainer says which one it is
        self.memory = Memory(spec.history)
        self._sequence = 0

    def act(self, batch: ObservationBatch) -> ActionBatch:
        obs, request = batch.observations, batch.request
        task = self._task_of(request)
        codec = self.codec_of(task)
        total, tokens = int(obs.samples_N.sum()), codec.num_tokens
        index_MT = np.zeros((total, tokens), np.int64)
        logprob_MT = np.zeros((total, tokens), np.float32)
        first_N = np.cumsum(obs.samples_N) - obs.samples_N
        texts = self.prompts(obs.instruction_N, obs.ee_pose_N, obs.gripper_width_N)
        past_N = self.memory.before(batch)
        known_N = np.array([past is not None for past in past_N], bool)
        for rows, samples, temperature in alike(batch, known_N):
            at_NS = first_N[rows, None] + np.arange(samples)
            uniform_NST = self._uniform(batch, rows, (len(rows), samples, tokens))
            inputs = self.encode_prompts(
                obs.image_NC[rows],
                tuple(texts[row] for row in rows),
                [past_N[row] or () for row in rows],
            )
            index_NST, logprob_NST = sample_actions(
                self.vlm.model,
                inputs.to(self.device),
                self.token_V,
                torch.from_numpy(uniform_NST).to(self.device),
                temperature,
            )
            index_MT[at_NS], logprob_MT[at_NS] = index_NST.cpu(), logprob_NST.cpu()
        row_M = obs.row_M
        token_MT = self.token_V.cpu().numpy()[index_MT].astype(np.int32)
        self.memory.add(batch, texts, past_N, token_MT)
        self._sequence += 1
        return ActionBatch(
            sequence=self._sequence,
            request_id=request.request_id,
            policy_version=self.version,
            group_M=obs.group_N[row_M],
            rollout_M=obs.rollout_M,
            step_M=obs.step_N[row_M],
            token_MT=np.where(known_N[row_M, None], token_MT, NO_ACTION),
            logprob_MT=logprob_MT,
            target_M=end_effector_target(task, obs.ee_pose_N[row_M], codec.decode(index_MT)),
        )

    def read_back(self, history: int) -> None:
        """From now on prompts tell so many former turns. ValueError where that is longer than the
        model's context."""
        self.spec = replace(self.spec, history=history)
        self.memory = Memory(history)
        if history:
            check_context(self)

    def prompts(
        self,
        instruction_N: Sequence[str],
        ee_pose_N: NDArray[np.float32],
        gripper_width_N: NDArray[np.float32],
    ) -> tuple[str, ...]:
        """The words beside the images: who acts and who trains ask here, and so read the same."""
        seen = zip(instruction_N, ee_pose_N, gripper_width_N.tolist(), strict=True)
        return tuple(instruction_prompt(*it, self.spec.proprioception) for it in seen)

    def actions(self, token_NT: NDArray[np.integer], task: Task) -> NDArray[np.float32]:
        """f32[N, D], the normalised actions of the task that these tokens say."""
        return self.codec_of(task).decode(self.symbols(token_NT))

    def symbols(self, token: NDArray[np.integer]) -> NDArray[np.int64]:
        """Which symbol of the codec each action token is, in an array of the same shape."""
        token_V = self.token_V.cpu().numpy()
        order_V = np.argsort(token_V)
        return order_V[np.searchsorted(token_V, token, sorter=order_V)]

    def codec_of(self, task: Task) -> ActionCodec:
        """The policy's own, as long as the task's actions."""
        return make_codec(self.spec.codec, task)

    def _task_of(self, request: RolloutRequest) -> Task:
        name, _ = parse_task(request.task)
        if name not in self.tasks:
            raise ValueError(
                f"the request is for task {name!r}, but this policy was started with "
                f"{', '.join(self.tasks)}; start policy and trainer with the same task:="
            )
        return self.tasks[name]

    def _uniform(
        self, batch: ObservationBatch, rows: NDArray[np.intp], shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Random numbers that depend on the ids alone: an observation that is sent again is
        answered with the same actions, and a resumed run goes on as if never interrupted."""
        obs, request = batch.observations, batch.request
        ids = np.concatenate([obs.group_N[rows], obs.rollout_N[rows], obs.step_N[rows]])
        entropy = [self.seed, request.seed, request.iteration, *ids.tolist()]
        return np.random.default_rng(np.abs(entropy)).random(shape)

    def load_weights(self, update: PolicyUpdate) -> None:
        try:
            with safe_open(update.path, "pt", device=str(self.device)) as file:
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                spec = (file.metadata() or {}).get("spec")
        except Exception as error:  # safetensors raises its own and OSError
            raise ValueError(
                f"policy version {update.version} was not taken up: {update.path} is not a whole "
                f"safetensors file ({error}); version {self.version} stays"
            ) from error
        if spec:
            self.spec.check(PolicySpec.from_json(spec), update.path)
            self.spec.check_base(PolicySpec.from_json(spec), update.path)
        trained = {n: p for n, p in self.vlm.model.named_parameters() if p.requires_grad}
        if set(weights) != set(trained):
            odd = sorted(set(weights) ^ set(trained))[:3]
            raise ValueError(f"{update.path} holds the weights of another model: see {odd}")
        # Before any is copied: load_state_dict would take the others up and only then complain.
        for name, parameter in trained.items():
            if weights[name].shape != parameter.shape:
                raise ValueError(
                    f"{update.path} holds weights of other shapes: {name} is "
                    f"{tuple(weights[name].shape)} there and {tuple(parameter.shape)} here"
                )
        self.vlm.model.load_state_dict(weights, strict=False)
        self.version = update.version

    def save_files(self, directory: Path) -> None:
        """What stands beside the weights in a checkpoint: processor and spaces."""
        self.vlm.save_processor(directory)
        self.spec.save(directory)

    def save(self, directory: Path) -> None:
        """A checkpoint that `load_policy` and plain `from_pretrained` open."""
        self.vlm.model.save_pretrained(directory)
        self.save_files(directory)


def alike(
    batch: ObservationBatch, known_N: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.intp], int, float]]:
    """(rows, samples, temperature) of the observations that can be answered in one pass: of those
    whose past is known, each asks for as many actions, all of them drawn or none."""
    obs, request = batch.observations, batch.request
    ids_N = zip(obs.group_N.tolist(), obs.step_N.tolist(), strict=True)
    drawn_N = np.array([request.explores(group, step) for group, step in ids_N], dtype=bool)
    for samples in np.unique(obs.samples_N[known_N & (obs.samples_N > 0)]).tolist():
        for drawn in (True, False):
            rows = np.flatnonzero(known_N & (obs.samples_N == samples) & (drawn_N == drawn))
            if len(rows):
                yield rows, samples, request.temperature if drawn else 0.0


def shipped_checkpoint(tasks: Sequence[str]) -> Path:
    """The warm-started tiny model for these tasks that comes with rlrobo. Reach alone has its
    own, which sees less and knows less; all others share one. ValueError where one is not among
    those that it was made for."""
    shipped = Path(__file__).parent / "warm_start"
    if len(tasks) == 1 and (shipped / tasks[0]).is_dir():
        return shipped / tasks[0]
    recipe = json.loads((shipped / "all" / "warm_start.json").read_text())
    known = task_names(recipe["config"]["task"])
    for task in tasks:
        if task not in known:
            raise ValueError(
                f"no warm start ships for task {task!r}, only for {', '.join(known)}: set "
                "checkpoint:=<dir>, or warm_start:=scratch where the task has an expert"
            )
    return shipped / "all"


def default_start(model: str, tasks: Sequence[str]) -> str:
    """What `load_policy` loads where nobody named a checkpoint: tiny's warm start, else the bare
    model."""
    return str(shipped_checkpoint(tasks)) if model == "tiny" else model


def load_policy(
    model: str,
    task: Task,
    codec: str = "tokens",
    cameras: tuple[str, ...] = ("front",),
    image_size: int = 112,
    seed: int = 0,
    device: str = "cpu",
    lora_rank: int = 0,
    proprioception: bool = False,
    others: Iterable[Task] = (),
    history: int = 0,
    to_train: bool = False,
) -> VlmPolicy:
    """The policy `model` ("tiny", a checkpoint directory or a Hugging Face id) for these spaces;
    ValueError where it does not load or was trained for others, or where the model cannot read so
    long a history. `lora_rank` > 0, or a checkpoint that is an adapter: only the adapter trains
    and travels (lora.py). `others`: see `VlmPolicy`; `to_train`: see `PolicySpec.check`."""
    spec = PolicySpec.of(task, codec, cameras, image_size, proprioception, history)
    saved = PolicySpec.load(Path(model))
    if saved:
        spec.check(saved, model, to_train)
    vlm = load_vlm(model, device)
    train_adapter(vlm.model, model, lora_rank)
    spec = replace(spec, base=fingerprint(vlm.model))
    if saved:
        spec.check_base(saved, model)
    policy = VlmPolicy(vlm, task, spec, seed, others)
    policy.read_back(history)
    return policy


def check_context(policy: VlmPolicy) -> None:
    """ValueError where the turns that the prompt tells are longer than the model's context."""
    spec, config = policy.spec, policy.vlm.model.config.get_text_config()
    scenes = (
        task.sample(np.random.default_rng(seed))
        for task in policy.tasks.values()
        for seed in range(32)
    )
    longest = max((scene.instruction for scene in scenes), key=len)
    # Any place takes as many words, and any width: two digits and a tenth each.
    pose_17, width_1 = np.full((1, 7), 0.555, np.float32), np.full(1, 0.08, np.float32)
    (text,) = policy.prompts([longest], pose_17, width_1)
    image_1C = np.zeros((1, len(spec.cameras), spec.image_size, spec.image_size, 3), np.uint8)

    def length(past: int) -> int:
        return policy.encode_prompts.length(image_1C, text, policy.codec.num_tokens, past)

    turn, room = length(1) - length(0), config.max_position_embeddings
    if length(spec.history) > room:
        raise ValueError(
            f"history:={spec.history} is longer than the model's context: with the present turn "
            f"it is {length(spec.history)} tokens of {room}, {turn} a turn; take at most "
            f"history:={max(0, (room - length(0)) // turn)}, or fewer pixels with image_size:="
        )
