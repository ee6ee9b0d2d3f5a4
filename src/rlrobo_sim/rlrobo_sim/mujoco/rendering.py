"""Camera images of many worlds, drawn by worker processes or in this one.

Rows (state in) and images (out) lie in one block of anonymous shared memory that the workers
inherit: nothing is pickled, nothing has a name that could be left in /dev/shm, and the memory
goes with the last process that holds it. A worker ends as soon as its pipe does, so also when
its parent is killed.
"""

from __future__ import annotations

import copy
import math
import mmap
import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from rlrobo_sim.mujoco.gl import make_context
from rlrobo_sim.mujoco.randomization import visual_row_size, write_visual_fields

Array = NDArray[np.float64]
Images = NDArray[np.uint8]

CHUNKS_PER_WORKER = 4
"""Work is handed out in pieces, so that a worker on a busy core does not hold up the rest."""


class RigConfig(NamedTuple):
    """What a renderer must know besides the model."""

    cameras: tuple[str, ...]
    image_size: int
    capacity: int
    colored_geoms: tuple[int, ...]
    """Geoms whose colour each row brings along."""
    randomized: bool
    """Rows end with the visual fields of the world's model."""


class CameraRenderer:
    """Draws rows [qpos, mocap_pos, mocap_quat, colours, visual fields] with one OpenGL context.
    To be made, used and closed in one thread. Shadows and anti-aliasing are off: they cost 2-4
    times as much."""

    def __init__(self, model: mujoco.MjModel, config: RigConfig) -> None:
        self._model = copy.copy(model)  # its visual fields change from world to world
        self._data = mujoco.MjData(self._model)
        self._context = make_context(config.image_size)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 10)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = 0
        self._option, self._perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
        self._option.sitegroup[:] = 0  # no camera sees the tool centre point
        self._gpu = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._gpu)
        self._rect = mujoco.MjrRect(0, 0, config.image_size, config.image_size)
        self._pixels = np.empty((config.image_size, config.image_size, 3), np.uint8)
        self._own_rgba = model.geom_rgba.copy()
        self._colored = np.array(config.colored_geoms, np.int64)
        self._cameras = [_fixed_camera(model, name) for name in config.cameras]

    def render(self, rows_M: Array, out_M: Images) -> None:
        """Draw the worlds of `rows_M` into `out_M`, u8[M, C, H, W, 3]."""
        self._context.make_current()  # another renderer of this process may have been
        for row, out in zip(rows_M, out_M, strict=True):
            self._draw(row, out)

    def _draw(self, row: Array, out: Images) -> None:
        model, data = self._model, self._data
        sizes = (model.nq, 3 * model.nmocap, 4 * model.nmocap, 4 * len(self._colored))
        qpos, mocap_pos, mocap_quat, colors, visual = np.split(row, np.cumsum(sizes))
        model.geom_rgba[:] = self._own_rgba
        model.geom_rgba[self._colored] = colors.reshape(-1, 4)
        if len(visual):
            write_visual_fields(model, visual)
        data.qpos[:] = qpos
        data.mocap_pos[:] = mocap_pos.reshape(-1, 3)
        data.mocap_quat[:] = mocap_quat.reshape(-1, 4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        for image, camera in zip(out, self._cameras, strict=True):
            mujoco.mjv_updateScene(
                model,
                data,
                self._option,
                self._perturb,
                camera,
                mujoco.mjtCatBit.mjCAT_ALL.value,
                self._scene,
            )
            mujoco.mjr_render(self._rect, self._scene, self._gpu)
            mujoco.mjr_readPixels(self._pixels, None, self._rect, self._gpu)
            image[:] = self._pixels[::-1]  # OpenGL's rows go upwards

    def close(self) -> None:
        self._context.make_current()
        self._gpu.free()
        self._context.free()


class CameraRig:
    """Renders batches of worlds. Nothing is started before the first `render`."""

    def __init__(
        self,
        model: mujoco.MjModel,
        config: RigConfig,
        num_workers: int | None,
    ) -> None:
        self._model, self._config = model, config
        cores = len(os.sched_getaffinity(0))
        self._num_workers = min(cores if num_workers is None else num_workers, config.capacity)
        self._renderer: CameraRenderer | None = None
        self._pool: _WorkerPool | None = None

    def render(self, *fields_M: Array) -> Images:
        """u8[M, C, H, W, 3] of the worlds whose fields are given, each [M, ...], in row order."""
        count = len(fields_M[0])
        rows_M = np.concatenate(
            [field.reshape(count, math.prod(field.shape[1:])) for field in fields_M], axis=1
        )
        if self._num_workers == 0:
            return self._render_here(rows_M)
        if self._pool is None:
            self._pool = _WorkerPool(self._model, self._config, self._num_workers)
        return self._pool.render(rows_M)

    def _render_here(self, rows_M: Array) -> Images:
        if self._renderer is None:
            self._renderer = CameraRenderer(self._model, self._config)
        size = self._config.image_size
        images_M = np.empty((len(rows_M), len(self._config.cameras), size, size, 3), np.uint8)
        self._renderer.render(rows_M, images_M)
        return images_M

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class SharedBlock:
    """Rows and images of `capacity` worlds in the shared memory behind a file descriptor."""

    def __init__(self, fd: int, model: mujoco.MjModel, config: RigConfig) -> None:
        row_shape = (config.capacity, row_size(model, config))
        size = config.image_size
        image_shape = (config.capacity, len(config.cameras), size, size, 3)
        row_bytes = 8 * int(np.prod(row_shape))
        length = row_bytes + int(np.prod(image_shape))
        if os.fstat(fd).st_size < length:
            os.ftruncate(fd, length)
        memory = mmap.mmap(fd, length)
        self.rows = np.frombuffer(memory, np.float64, row_shape[0] * row_shape[1]).reshape(
            row_shape
        )
        self.images = np.frombuffer(memory, np.uint8, offset=row_bytes).reshape(image_shape)


def row_size(model: mujoco.MjModel, config: RigConfig) -> int:
    visual = visual_row_size(model) if config.randomized else 0
    return model.nq + 7 * model.nmocap + 4 * len(config.colored_geoms) + visual


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    pipe: multiprocessing.connection.Connection[Any, Any]


class _WorkerPool:
    """Fresh interpreters (never forks: the parent may hold ROS threads and a GL context)."""

    def __init__(self, model: mujoco.MjModel, config: RigConfig, num_workers: int) -> None:
        self._fd = os.memfd_create("rlrobo_images")
        self._shared = SharedBlock(self._fd, model, config)
        self._workers: list[_Worker] = []
        try:
            self._workers += [_start_worker(self._fd) for _ in range(num_workers)]
            for worker in self._workers:
                worker.pipe.send((_model_bytes(model), config))
            for worker in self._workers:
                _receive(worker)
        except BaseException:
            self.close()
            raise

    def render(self, rows_M: Array) -> Images:
        count = len(rows_M)
        self._shared.rows[:count] = rows_M
        chunk = max(1, -(-count // (CHUNKS_PER_WORKER * len(self._workers))))
        todo = [(start, min(start + chunk, count)) for start in range(0, count, chunk)][::-1]
        busy: dict[Any, _Worker] = {}
        for worker in self._workers[: len(todo)]:
            worker.pipe.send(todo.pop())
            busy[worker.pipe] = worker
        while busy:
            for pipe in multiprocessing.connection.wait(list(busy)):
                worker = busy.pop(pipe)
                _receive(worker)
                if todo:
                    worker.pipe.send(todo.pop())
                    busy[worker.pipe] = worker
        return self._shared.images[:count].copy()

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers = []
        os.close(self._fd)


def _start_worker(shared_fd: int) -> _Worker:
    here, there = multiprocessing.Pipe()
    with there:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rlrobo_sim.mujoco.render_worker",
                str(there.fileno()),
                str(shared_fd),
            ],
            pass_fds=(there.fileno(), shared_fd),
            stdin=subprocess.DEVNULL,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LP_NUM_THREADS": "1"},
        )
    return _Worker(process, here)


def _receive(worker: _Worker) -> None:
    """Wait for a worker's answer; raises what it could not do. RuntimeError where it died."""
    try:
        problem = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        code = worker.process.wait()
        problem = RuntimeError(f"a rendering worker failed: it ended with exit code {code}")
    if problem is not None:
        raise problem


def _model_bytes(model: mujoco.MjModel) -> bytes:
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def _fixed_camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = model.camera(name).id
    return camera
