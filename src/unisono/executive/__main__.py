"""`python -m unisono.executive` is `unisonod`."""

import sys

from unisono.executive.main import main

sys.exit(main())
