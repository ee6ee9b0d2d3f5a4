"""Puts a report's parts, its styles and its scripts into one file.

The charts are drawn by some two hundred lines of our own (assets/charts.js) instead of a library:
they need lines with bands or bars, a stack and the values under the pointer, and so the page
stays small, follows the theme by its style sheet and brings no foreign code along.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rlrobo_train.report import sections
from rlrobo_train.report.compare import Groups, comparison
from rlrobo_train.report.data import RunData

SCRIPTS = ("charts.js", "episodes.js", "page.js")


def report_page(run: RunData) -> str:
    """The whole HTML of one run's report."""
    parts = (
        sections.head,
        sections.curves,
        sections.film_strips,
        sections.evaluations,
        sections.videos,
        sections.time_split,
        sections.configuration,
    )
    return _page(run.name, [part(run) for part in parts])


def compare_page(groups: Groups) -> str:
    """The whole HTML of several runs over each other, by the name of their group."""
    return _page(" and ".join(groups), comparison(groups))


def write_page(path: Path, text: str) -> Path:
    """ValueError where the file cannot be written."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror}; choose another file with --out"
        ) from error
    return path


def _page(title: str, parts: Sequence[str]) -> str:
    scripts = "\n".join(f"<script>\n{_asset(name)}</script>" for name in SCRIPTS)
    content = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)} – rlrobo</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<header><nav id="contents"></nav><button id="theme" aria-label="light or dark"></button></header>
<main>
{content}
</main>
<footer>Made by <code>./rlrobo report</code>; nothing here is loaded from elsewhere.</footer>
{scripts}
</body>
</html>
"""


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")
