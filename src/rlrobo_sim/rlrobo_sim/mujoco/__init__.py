"""The MuJoCo simulator, embedded default of rlrobo."""

from rlrobo_sim.mujoco.simulator import MujocoSimulator, UnstableWorlds

__all__ = ["MujocoSimulator", "UnstableWorlds"]
