"""`python -m bench`, in the repository's root: what `make bench` runs."""

import sys

from bench.ring import main

sys.exit(main())
