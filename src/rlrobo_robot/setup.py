from setuptools import find_packages, setup

PACKAGE = "rlrobo_robot"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Real arms for rlrobo: the safety node, a mock arm, episodes",
    maintainer="The rlrobo developers",
    maintainer_email="rlrobo@example.org",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"], "panda": ["panda-python==1.1.1"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "safety = rlrobo_robot.safety.__main__:main",
            "mock_arm = rlrobo_robot.mock.__main__:main",
            "panda_arm = rlrobo_robot.panda.__main__:main",
            "panda_hand = rlrobo_robot.panda_hand.__main__:main",
            "episodes = rlrobo_robot.episodes.__main__:main",
            "operate = rlrobo_robot.operate.__main__:main",
        ]
    },
)
