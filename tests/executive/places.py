"""Where the daemons of the tests are: every worker of the test runner has addresses of its own."""

import os

LOOP = f"127.{8 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
"""The first half of loopback addresses that no other worker uses."""
