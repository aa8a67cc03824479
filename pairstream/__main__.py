"""`python -m pairstream` is `pairstream`."""

import sys

from pairstream.cli import main

sys.exit(main())
