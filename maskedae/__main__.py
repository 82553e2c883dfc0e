"""Run the command line: python -m maskedae."""

import sys

from maskedae.cli import main

sys.exit(main())
