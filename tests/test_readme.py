"""The README's tables and lines are true."""

import re

from core import config, roles
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


def test_the_roles_that_are_shown_can_be_used(tmp_path):
    path = tmp_path / "roles.toml"
    path.write_text(README.split("```toml\n")[1].split("```")[0], "utf8")
    shown = roles.read(path)
    assert set(shown.by_address.values()) == set(roles.ROLES)
    assert shown.of("somebody@example.org") == "viewer"


def test_every_variable_that_is_named_is_read_somewhere():
    files = [p for part in ("core", "pages") for p in (config.ROOT / part).rglob("*.py")]
    code = "".join(p.read_text("utf8") for p in files)
    named = set(re.findall(r"\bSFTLENS_\w+", README))
    assert {"SFTLENS_OIDC_CLIENT_ID", "SFTLENS_LOG", "SFTLENS_ANSWERS_KEY"} <= named
    assert [name for name in sorted(named) if f'"{name}"' not in code] == []


def test_every_option_that_is_named_is_there():
    options = [option for command in (cli, *cli.commands.values()) for option in command.params]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    section = README.split("\n## Quickstart\n")[1].split("\n## The house\n")[0]
    lines = [line for line in section.splitlines() if "sftlens " in line and "docker" not in line]
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", "\n".join(lines))) - known == set()


def test_every_picture_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (config.ROOT / path).is_file(), path
