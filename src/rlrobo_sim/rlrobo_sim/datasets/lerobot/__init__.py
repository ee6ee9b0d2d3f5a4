"""Demonstrations as a LeRobot data set, format v3.0 (lerobot 0.4 to 0.6).

Written with pyarrow and not through lerobot, whose pins (torchvision, an older torch,
video codecs) do not go with ours. Images are PNGs inside the parquet files, LeRobot's dtype
`image`: no codec needed, and not a bit is lost.

    meta/info.json  meta/stats.json  meta/tasks.parquet       as LeRobot defines them
    meta/episodes/chunk-000/file-000.parquet                  one row an episode, and `success`
    data/chunk-000/file-000.parquet …                         one row a frame
    meta/rlrobo.json                                          `Origin`, LeRobot ignores it
"""

from rlrobo_sim.datasets.lerobot.format import MARK
from rlrobo_sim.datasets.lerobot.reader import read
from rlrobo_sim.datasets.lerobot.writer import write

__all__ = ["MARK", "read", "write"]
