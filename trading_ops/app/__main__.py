"""`python -m trading_ops.app`: the reconciler in the foreground."""

import sys

from trading_ops.app.process import main

if __name__ == "__main__":
    sys.exit(main())
