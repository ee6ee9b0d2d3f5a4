"""The `rlrobo` command, inside the environment that `./rlrobo` or `setup.bash` makes.

rlrobo launch FILE [--show-args] [name:=value …]
rlrobo run PACKAGE EXECUTABLE [arguments]
rlrobo report RUN [--out FILE]
rlrobo compare [NAME=]RUN … [--out FILE]
rlrobo bag info | repair PATH
rlrobo bag export BAG DATASET [--task TASK] | import DATASET BAG
rlrobo graph [--seconds S] [--json]
rlrobo view BAG [--file FILE.rrd]
rlrobo doctor
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from rlrobo import doctor
from rlrobo.bags import command as bag
from rlrobo.interpreter import arguments, supervisor
from rlrobo.interpreter.names import LaunchError, Node
from rlrobo.interpreter.process import executable_path


def launch_file(name: str) -> Path:
    """A path, or the name of one of the installed launch files."""
    if Path(name).is_file():
        return Path(name)
    folder = Path(get_package_share_directory("rlrobo")) / "launch"
    found = {file.name: file for file in sorted(folder.glob("*.launch.py"))}
    if name not in found:
        raise LaunchError(f"no launch file {name!r}; there are: {', '.join(found)}")
    return found[name]


def launch(given: list[str]) -> int:
    """Starts the launch file: with ros2 launch where that is installed, else by ourselves."""
    names = [text for text in given if ":=" not in text and not text.startswith("-")]
    if not names:
        raise LaunchError("name a launch file: rlrobo launch FILE [name:=value …]")
    file = launch_file(names[0])
    rest = [text for text in given if text is not names[0]]
    if shutil.which("ros2") and importlib.util.find_spec("launch_ros"):
        os.execvp("ros2", ["ros2", "launch", str(file), *rest])
    description = arguments.load(file)
    if {"--show-args", "-s"} & set(rest):
        print(arguments.explain(description))
        return 0
    return supervisor.run(description, arguments.configure(description, rest))


def graph(given: list[str]) -> int:
    from rlrobo.live import command  # what it imports takes half a second, which no other needs

    return command.main(given)


def view(given: list[str]) -> int:
    from rlrobo.viewer import bag

    return bag.main(given)


def run(given: list[str]) -> int:
    """Turns into an executable of a package, as ros2 run does."""
    if len(given) < 2:
        raise LaunchError("name a package and an executable: rlrobo run PACKAGE EXECUTABLE")
    package, executable, *rest = given
    path = str(executable_path(Node(package=package, executable=executable)))
    os.execv(path, [path, *rest])


def on_bags(given: list[str]) -> int:
    if given[:1] in (["export"], ["import"]):
        return run(["rlrobo_sim", "bag", *given])
    return bag.main(given)


COMMANDS = {
    "launch": launch,
    "run": run,
    "report": lambda given: run(["rlrobo_train", "report", *given]),
    "compare": lambda given: run(["rlrobo_train", "compare", *given]),
    "bag": on_bags,
    "graph": graph,
    "view": view,
    "doctor": doctor.main,
}


def main() -> int:
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        print(f"no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name](rest)
    except LaunchError as error:
        print(f"rlrobo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
