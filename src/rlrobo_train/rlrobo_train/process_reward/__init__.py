"""The process reward model of VLA-RL (arXiv 2505.18719), so that reward comes before the end: how
it is made, and what its reward is. `labels.py` is what it learns, `make.py` makes one, `measure.py`
says how well it tells, `shaping.py` turns what it says into reward, `node.py` serves it. What it is
stands in `rlrobo_policy/process_reward.py`, for a search asks it too."""
