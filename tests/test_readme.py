"""The README's tables and lines are true."""

import re

from core import config
from core.cli import cli
from core.methods import catalogue
from core.policies import catalogue as policies
from pages.ui.navigation import ENTRIES

README = (config.ROOT / "README.md").read_text("utf8")


def rows(heading):
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_the_quickstart_is_two_lines():
    block = README.split("```bash\n")[1].split("```")[0].splitlines()
    assert block == [
        "python -m venv .venv && . .venv/bin/activate && pip install -e . && sftlens demo",
        'pip install -e ".[test]" && pytest',
    ]


def test_every_method_has_a_row():
    assert rows("Methods") == list(catalogue())


def test_every_policy_has_a_row():
    assert rows("Policies") == list(policies())


def test_every_page_has_its_question():
    section = README.split("\n## The app\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| ([A-Z][\w ]+) \| (.+\?) \|$", section, re.MULTILINE)
    assert found == [(entry.title, entry.question) for entry in ENTRIES]


def test_every_command_has_a_row():
    assert sorted(rows("Commands")) == sorted(f"sftlens {name}" for name in cli.commands)


def test_every_place_in_the_house_is_there():
    for place in rows("The house"):
        assert (config.ROOT / place).exists(), place


def test_every_command_under_measured_is_a_module():
    for module in re.findall(r"python -m (benchmarks\.\w+)", README):
        place = config.ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_every_picture_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (config.ROOT / path).is_file(), path
