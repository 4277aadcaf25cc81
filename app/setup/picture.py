"""Draw the README's picture: the last screen of a real demo, as rich exports it.

`.venv/bin/python app/setup/picture.py [SECONDS]`
"""

import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from holdfast.demo.configuration import DemoOptions
from holdfast.demo.display import View, draw
from holdfast.demo.run import Progress, run_demo

PICTURE = Path(__file__).with_name("demo.svg")
WIDTH = 108
# No reader of the README should ask another host for a font.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class Camera:
    """Follows a demo as its screen does and keeps the newest picture."""

    def __init__(self) -> None:
        self._view: View | None = None
        self.svg = ""

    def show(self, progress: Progress) -> None:
        """Draw the present state."""
        self._view = self._view or View(progress.host.settings)
        self._view.follow()
        if not self._view.fills:
            return
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
        console.print(draw(self._view, progress))
        self.svg = console.export_svg(title="make demo", code_format=FORMAT, unique_id="demo")


def main() -> int:
    """Trade, and write the picture if the day balanced."""
    duration_s = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    camera = Camera()
    with tempfile.TemporaryDirectory() as folder:
        options = DemoOptions(state_dir=Path(folder, "demo"), duration_s=duration_s, session=None, speed="1", seed=1)
        summary = asyncio.run(run_demo(options, camera.show))
    if not summary["ok"] or not camera.svg:
        sys.stderr.write(f"no picture: {summary}\n")
        return 1
    lines = [line.rstrip() for line in camera.svg.splitlines()]
    PICTURE.write_text("\n".join(line for line in lines if line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
