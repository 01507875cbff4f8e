"""No golden number is left unused."""

from pathlib import Path


def test_every_golden_file_is_named_in_a_golden_test(golden: Path) -> None:
    tests = Path(__file__).parent.glob("test_*.py")
    text = "\n".join(path.read_text("utf8") for path in tests if path.name != Path(__file__).name)
    files = sorted(p.name for p in golden.iterdir() if p.is_file() and p.suffix != ".md")
    assert files
    unused = [name for name in files if name not in text]
    assert not unused, "no golden test reads: " + ", ".join(unused)
