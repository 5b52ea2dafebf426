"""`python -m fastnn`: the command line."""

import sys

if not sys.flags.safe_path:  # the current folder comes first: a random.py there would hide the standard library's
    sys.path.append(sys.path.pop(0))

from fastnn.cli import main

if __name__ == "__main__":  # workers of a sweep import it, too
    raise SystemExit(main())
