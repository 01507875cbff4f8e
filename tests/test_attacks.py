"""The list of what is safe, each line with its attacks.

`pytest -m attack` runs them all, `pytest -m 'attack(line="sql")'` those of one line.
"""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from core import config

LINES = {
    "loopback": "the app binds to loopback unless told otherwise and says so",
    "read-only": "--read-only: no verdicts, no scoring, export lock",
    "roles": "--auth: every write checks the role on the server side",
    "paths": "file pickers stay inside allowed folders",
    "html": "samples are never rendered as HTML",
    "formulas": "CSV export guards against formulas",
    "pickle": "safetensors only, no pickle anywhere",
    "code": "no trust_remote_code",
    "sql": "SQL only with bound values, identifiers from a fixed list",
    "log": "an audit log of writes with who, what, when",
    "secrets": "secrets are never logged",
    "holes": "pip-audit in CI reports known holes",
}
TESTS = config.ROOT / "tests"


def attacks() -> list[tuple[str, str]]:
    """Line and test of every `@pytest.mark.attack(line=...)`."""
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        for made in ast.parse(path.read_text("utf8")).body:
            marks = made.decorator_list if isinstance(made, ast.FunctionDef) else []
            for mark in marks:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.attack":
                    (line,) = (ast.literal_eval(k.value) for k in mark.keywords if k.arg == "line")
                    found.append((line, f"{path.name}::{made.name}"))
    return found


def test_every_line_has_its_attacks_and_every_attack_its_line() -> None:
    found = attacks()
    assert {line for line, _ in found} == set(LINES)
    assert not [test for _, test in found if not re.match(r"test_\w+\.py::test_", test)]
    for text in TESTS.rglob("*.py"):  # none stands where the list above does not look
        said = text.read_text("utf8").count("mark.attack(")
        own = 2 if text.name == Path(__file__).name else 0
        inside = [test for _, test in found if test.startswith(f"{text.name}::")]
        assert said == len(inside) + own, text.name


@pytest.fixture
def audit(tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """CI's own step where a package has a known hole."""
    tool = tmp_path / "pip-audit"
    tool.write_text("#!/bin/sh\necho Found 1 known vulnerability: evil 1.0 $*\nexit 1\n", "utf8")
    tool.chmod(0o755)
    text = (config.ROOT / ".ci" / "run").read_text("utf8")
    (step,) = re.findall(r"^timeout \d+ pip-audit .*\n(?:  .*\n)*", text, re.MULTILINE)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.attack(line="holes")
def test_a_known_hole_in_a_package_is_told_by_ci(
    audit: "subprocess.CompletedProcess[str]",
) -> None:
    assert audit.returncode == 0  # told, and no gate
    assert "evil 1.0 --vulnerability-service" in audit.stdout
    assert "holes above" in audit.stdout


@pytest.mark.attack(line="holes")
def test_the_workflow_looks_for_holes_in_what_is_shipped_and_hides_no_word_of_it() -> None:
    text = (config.ROOT / ".github" / "workflows" / "ci.yml").read_text("utf8")
    (step,) = re.findall(r"run: (pip-audit .*)", text)
    assert "/dev/null" not in step
    assert "|| true" not in step
    assert "::warning::" in step
    assert 'pip install -e ".[auth,hf,dev]"' in text
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
