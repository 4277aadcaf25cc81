import sys

from holdfast_release.cli import main

sys.exit(main())
