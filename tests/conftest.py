"""What every test gets: fixtures from `fix_*.py`, and hypothesis runs that repeat.

Hypothesis draws the same examples in every run; `HYPOTHESIS_PROFILE=explore` draws new ones and prints how to repeat
a failure.
"""

import os
from pathlib import Path

import hypothesis

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))

hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
