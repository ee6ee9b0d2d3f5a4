from setuptools import find_packages, setup

PACKAGE = "rlrobo_train"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Online GRPO for vision-language policies: losses, trainer, warm start, node",
    maintainer="The rlrobo developers",
    maintainer_email="rlrobo@example.org",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={f"{PACKAGE}.report": ["assets/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "train = rlrobo_train.__main__:main",
            "demonstrations = rlrobo_train.demonstrations:main",
            "process = rlrobo_train.process_reward.__main__:main",
            "process_reward = rlrobo_train.process_reward.make:main",
            "warm_start = rlrobo_train.warm_start:main",
            "local = rlrobo_train.local:main",
            "report = rlrobo_train.report.__main__:report",
            "compare = rlrobo_train.report.__main__:compare",
        ]
    },
)
