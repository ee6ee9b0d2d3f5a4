"""Trainer state on disk without pickle: tensors as safetensors, the rest as JSON.

A state is any nesting of dicts, lists and tuples over numbers, strings, booleans, None, torch
tensors and numpy arrays: an optimizer's `state_dict()`, the state of random generators,
counters. What is read back equals what was written, with its types (numpy's scalars become
Python's numbers), and reading runs no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

TREE_FILE = "trainer_state.json"
TENSOR_FILE = "trainer_state.safetensors"


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Writes `TREE_FILE` and `TENSOR_FILE` into `directory`.

    Raises ValueError for a value that is neither data nor a tensor, naming where it stands.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _encode(state, "state", tensors)
    save_file(tensors, directory / TENSOR_FILE)
    (directory / TREE_FILE).write_text(json.dumps(tree))


def load_state(directory: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote; tensors are on the CPU."""
    tree = json.loads((directory / TREE_FILE).read_text())
    return _decode(tree, load_file(directory / TENSOR_FILE))


def _encode(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON for `value`; whatever JSON lacks becomes an object with one key that begins with $."""
    match value:
        case None | bool() | int() | float() | str():
            return value.item() if isinstance(value, np.generic) else value
        case np.generic():
            return value.item()
        case torch.Tensor():
            # safetensors refuses tensors that share memory; copies never do.
            copy = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {"$tensor": _add(copy, name, tensors)}
        case np.ndarray():
            return {"$ndarray": _add(torch.from_numpy(np.array(value, order="C")), name, tensors)}
        case list():
            return [_encode(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]
        case tuple():
            return {"$tuple": _encode(list(value), name, tensors)}
        case dict():
            # As pairs, for keys keep their type: an optimizer numbers its parameters.
            return {
                "$dict": [
                    [_encode(key, name, tensors), _encode(item, f"{name}.{key}", tensors)]
                    for key, item in value.items()
                ]
            }
    raise ValueError(
        f"cannot checkpoint {name}, a {type(value).__name__}: a state may hold numbers, strings, "
        "tensors, arrays, and lists, tuples or dicts of these"
    )


def _add(tensor: torch.Tensor, name: str, tensors: dict[str, torch.Tensor]) -> str:
    unique = f"{len(tensors)}:{name}"
    tensors[unique] = tensor
    return unique


def _decode(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    match tree:
        case list():
            return [_decode(item, tensors) for item in tree]
        case {"$tensor": name}:
            return tensors[name]
        case {"$ndarray": name}:
            return tensors[name].numpy()
        case {"$tuple": items}:
            return tuple(_decode(items, tensors))
        case {"$dict": items}:
            return {_decode(key, tensors): _decode(item, tensors) for key, item in items}
    return tree
