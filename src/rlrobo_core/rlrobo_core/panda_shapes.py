"""How the Franka Panda is drawn with primitive shapes, in simulation and in viewers."""

from __future__ import annotations

from rlrobo_core.shapes import Shape, box, capsule, cylinder

WHITE = (0.93, 0.94, 0.95, 1.0)
DARK = (0.22, 0.23, 0.25, 1.0)
FINGER = (0.13, 0.13, 0.15, 1.0)

LINK_SHAPES: dict[str, tuple[Shape, ...]] = {
    "link0": (
        box((-0.06, 0.0, 0.05), (0.09, 0.085, 0.05), WHITE),
        cylinder((0.0, 0.0, 0.0), (0.0, 0.0, 0.135), 0.085, WHITE),
    ),
    "link1": (
        cylinder((0.0, 0.0, -0.198), (0.0, 0.0, -0.183), 0.075, DARK),
        capsule((0.0, 0.0, -0.15), (0.0, 0.0, 0.0), 0.062, WHITE),
    ),
    "link2": (
        cylinder((0.0, 0.0, -0.075), (0.0, 0.0, 0.075), 0.062, WHITE),
        cylinder((0.0, 0.0, -0.08), (0.0, 0.0, 0.08), 0.045, DARK),
        capsule((0.0, 0.0, 0.0), (0.0, -0.11, 0.0), 0.06, WHITE),
    ),
    "link3": (
        cylinder((0.0, 0.0, -0.155), (0.0, 0.0, -0.14), 0.066, DARK),
        capsule((0.0, 0.0, -0.1), (0.0825, 0.0, 0.0), 0.058, WHITE),
    ),
    "link4": (
        cylinder((0.0, 0.0, -0.065), (0.0, 0.0, 0.065), 0.058, WHITE),
        cylinder((0.0, 0.0, -0.07), (0.0, 0.0, 0.07), 0.042, DARK),
        capsule((0.0, 0.0, 0.0), (-0.0825, 0.1, 0.0), 0.055, WHITE),
    ),
    "link5": (
        cylinder((0.0, 0.0, -0.245), (0.0, 0.0, -0.23), 0.064, DARK),
        capsule((0.0, 0.0, -0.2), (0.0, 0.03, -0.1), 0.055, WHITE),
        capsule((0.0, 0.055, -0.13), (0.0, 0.0, 0.0), 0.045, WHITE),
    ),
    "link6": (
        cylinder((0.0, 0.0, -0.062), (0.0, 0.0, 0.062), 0.05, WHITE),
        cylinder((0.0, 0.0, -0.067), (0.0, 0.0, 0.067), 0.036, DARK),
        cylinder((0.0, 0.0, 0.0), (0.088, 0.0, 0.0), 0.045, WHITE),
    ),
    "link7": (
        cylinder((0.0, 0.0, -0.068), (0.0, 0.0, 0.055), 0.052, WHITE),
        cylinder((0.0, 0.0, -0.072), (0.0, 0.0, -0.068), 0.045, DARK),
        cylinder((0.0, 0.0, 0.055), (0.0, 0.0, 0.062), 0.047, DARK),
        cylinder((0.0, 0.0, 0.062), (0.0, 0.0, 0.107), 0.043, WHITE),
    ),
    "hand": (
        box((0.0, 0.0, 0.034), (0.03, 0.1, 0.026), WHITE, solid=True),
        box((0.0, 0.0, 0.01), (0.032, 0.05, 0.012), WHITE),
        box((0.0, 0.0, 0.062), (0.024, 0.085, 0.004), DARK),
    ),
    "finger": (
        box((0.0, 0.013, 0.014), (0.01, 0.011, 0.016), FINGER),
        box((0.0, 0.007, 0.039), (0.01, 0.007, 0.015), FINGER, solid=True),
    ),
}
"""What is seen of each link, in its own frame; `solid` shapes also touch."""
