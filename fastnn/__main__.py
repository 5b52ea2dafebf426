"""`python -m fastnn`: the command line."""

import sys

if not sys.flags.safe_path:  # Python puts the current folder first, where a file such as random.py would hide its own
    sys.path.append(sys.path.pop(0))

from fastnn.cli import main

raise SystemExit(main())
