"""The mutants with a fault in what they do with schemas that cannot be enforced as a whole."""

from __future__ import annotations

from tests.mutants.faults import schemas
from tests.mutants.mutant import BaseServer, Mutant

OF_SCHEMAS = (
    Mutant(
        "one-odd-schema-fails-all",
        "odd-schema-beside-another",
        answers=schemas.refuses_what_it_cannot_enforce,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "odd-schema-of-another-fails",
        "odd-schema-of-another-tool",
        answers=schemas.refuses_beside_the_forced_tool,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "one-odd-keyword-frees-all",
        "odd-schema-is-enforced-but-for-one",
        calls=schemas.relaxes_the_whole_schema,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "ignores-strict", "strict-tool-is-whole-or-refused", calls=schemas.ignores_strict, base=BaseServer.CONSTRAINED
    ),
    Mutant(
        "impossible-schema-is-a-500",
        "impossible-schema-is-answered",
        answers=schemas.fails_on_the_impossible,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "one-odd-keyword-frees-the-format",
        "structured-output-with-a-look-ahead",
        calls=schemas.relaxes_the_whole_format,
        base=BaseServer.CONSTRAINED,
    ),
)
