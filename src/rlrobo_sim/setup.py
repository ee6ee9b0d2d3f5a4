from setuptools import find_packages, setup

PACKAGE = "rlrobo_sim"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Vectorized simulation of rlrobo: MuJoCo scenes, cameras, rollout engine",
    maintainer="The rlrobo developers",
    maintainer_email="rlrobo@example.org",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "sim = rlrobo_sim.__main__:main",
            "mujoco_arm = rlrobo_sim.arm.__main__:main",
            "bag = rlrobo_sim.datasets.command:main",
        ]
    },
)
