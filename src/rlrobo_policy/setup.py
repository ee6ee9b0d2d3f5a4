from setuptools import find_packages, setup

PACKAGE = "rlrobo_policy"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Vision-language policies of rlrobo and the node that serves them",
    maintainer="The rlrobo developers",
    maintainer_email="rlrobo@example.org",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["warm_start/*/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "policy = rlrobo_policy.__main__:main",
            "policy_server = rlrobo_policy.remote.__main__:main",
        ]
    },
)
