"""`python -m pensieve` is the `pensieve` command."""

import sys

from pensieve.cli.process.start import main

if __name__ == "__main__":
    sys.exit(main())
