"""One command of the product as a person types it: python -m benchmarks.suite.step WORDS.

With the fake engine in large blocks: it does nothing in each, and a block is a file.
`step records FILE N BEGIN` writes N invented records instead, from number BEGIN on.
"""

import json
import sys
from pathlib import Path

BLOCK_TOKENS = 200_000
COPY, BROKEN = 1000, 5000  # one record in so many comes twice, or is cut short


def records(path: Path, n: int, begin: int) -> None:
    """Invented records as JSON lines: those from `begin` on are never those before."""
    from benchmarks import invented

    row = begin
    with path.open("w", encoding="utf8", newline="\n") as out:
        for batch in invented.samples(invented.latent(n, begin), 1 + begin):
            for sample in batch:
                asked = f"{sample.instruction} Part {begin}."
                record = {"instruction": asked, "output": sample.response}
                line = json.dumps(record | {"source": sample.source, "level": row % 5})
                out.write(line + "\n")
                out.write(line + "\n" if row % COPY == 0 else "")
                out.write(line[:40] + "\n" if row % BROKEN == 0 else "")
                row += 1


def main(words: list[str]) -> None:
    """Run the command; see the module."""
    if words[0] == "records":
        records(Path(words[1]), int(words[2]), int(words[3]))
        return
    from core.cli import main as cli
    from core.engines.fake import FakeEngine

    FakeEngine.block_tokens = BLOCK_TOKENS
    sys.argv = ["sftlens", *words]
    cli()


if __name__ == "__main__":
    main(sys.argv[1:])
