"""Mutants that heavy or odd requests stop or break."""

from __future__ import annotations

from tests.mutants.faults import limits
from tests.mutants.mutant import Mutant

OF_LIMITS = (
    Mutant("a-pdf-stops-all", "pdf-with-a-million-operators", calls=limits.one_works_while_all_wait),
    Mutant("many-blocks-stop-all", "blocks-in-number", calls=limits.one_works_while_all_wait),
    Mutant("many-values-stop-all", "values-in-number", calls=limits.one_works_while_all_wait),
    Mutant("fails-on-deep-schemas", "schema-of-many-levels", answers=limits.fails_if(limits.has_a_deep_schema)),
    Mutant("fails-on-doubled-slashes", "doubled-slashes", answers=limits.fails_if(limits.has_doubled_slashes)),
    Mutant("fails-on-two-dots", "host-with-two-dots", answers=limits.fails_if(limits.has_a_host_with_two_dots)),
    Mutant(
        "fails-on-many-digits",
        "limit-of-thousands-of-digits",
        answers=limits.fails_if(limits.has_thousands_of_digits),
    ),
    Mutant("accepts-handshakes", "handshake-of-a-foreign-page", answers=limits.accepts_handshakes),
    Mutant("waits-for-slow-bodies", "six-slow-bodies", serves_one_at_a_time=True),
)
