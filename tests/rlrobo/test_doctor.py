"""The doctor on this machine, whose tests run, so that it is healthy."""

from __future__ import annotations

import pytest

from rlrobo.doctor import CHECKS, Finding, main


def test_every_check_reports_and_a_healthy_machine_needs_no_cure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main([])
    lines = capsys.readouterr().out.splitlines()
    for check in CHECKS:
        assert any(check.__name__ in line for line in lines)


@pytest.mark.parametrize("name", ["ros", "rendering", "torch"])
def test_what_the_tests_use_is_found_well(name: str) -> None:
    [check] = [check for check in CHECKS if check.__name__ == name]
    assert check().cure == ""


def test_a_broken_part_is_reported_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Finding:
        raise ImportError("libexample.so is not there")

    monkeypatch.setattr("rlrobo.doctor.CHECKS", (broken,))
    assert main([]) == 1
    output = capsys.readouterr().out
    assert "BAD broken" in output and "libexample.so" in output and "cure:" in output
