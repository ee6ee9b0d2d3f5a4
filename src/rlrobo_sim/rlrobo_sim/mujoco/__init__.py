"""The MuJoCo simulator, embedded default of rlrobo."""

from rlrobo_sim.mujoco.simulator import MujocoSimulator

__all__ = ["MujocoSimulator"]
