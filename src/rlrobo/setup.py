"""Installs the launch files from the top of the repository, where users read them."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "rlrobo"


def files(pattern: str) -> list[str]:
    """The files that match; an empty result would install a package that starts nothing."""
    found = sorted(glob(pattern))
    if not found:
        raise FileNotFoundError(f"{pattern} matches no file: build from a whole checkout")
    return found


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Bringup of rlrobo: launch files, configuration and the rlrobo command",
    maintainer="The rlrobo developers",
    maintainer_email="rlrobo@example.org",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("../../launch/*.launch.py")),
        (f"share/{PACKAGE}/config", files("config/*")),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "rlrobo = rlrobo.command:main",
            "record = rlrobo.nodes:record",
            "replay = rlrobo.nodes:replay",
            "view = rlrobo.nodes:view",
        ]
    },
)
