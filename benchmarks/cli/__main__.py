"""`python -m benchmarks.cli`, the same as `safedreamer`."""

import sys

from benchmarks.cli.app import main

sys.exit(main())
