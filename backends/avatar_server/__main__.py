"""`python -m avatar_server serve|doctor|probe`."""

import sys

from avatar_server.cli import main

sys.exit(main())
