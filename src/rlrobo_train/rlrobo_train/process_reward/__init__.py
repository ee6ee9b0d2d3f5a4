"""The process reward model of VLA-RL (arXiv 2505.18719): says how far a rollout looks like one that
succeeds, so that reward comes before the end. `labels.py` is what it learns, `model.py` what it
is, `make.py` makes one, `shaping.py` turns what it says into reward, `node.py` serves it."""
