"""Simulation processes that each own an equal share of the environments (`pool.py`)."""

from rlrobo_sim.workers.pool import Workers
from rlrobo_sim.workers.recipe import Recipe

__all__ = ["Recipe", "Workers"]
