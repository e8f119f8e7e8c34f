"""`python -m avatar_server serve|doctor`."""

import sys

from avatar_server.cli import main

sys.exit(main())
