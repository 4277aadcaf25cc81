"""Write the table of market days from exchange_calendars: run it once a year and review the difference.

`.venv/bin/python app/setup/market_days.py`
"""

import datetime as dt
from pathlib import Path

import exchange_calendars

from holdfast.settings.sessions import EARLY_CLOSE, FIRST_DAY, LAST_DAY, NEW_YORK, SATURDAY, TABLE

FOLDER = Path(__file__).resolve().parents[1] / "holdfast" / "settings"
HEAD = "# Weekdays without a session, and sessions that close at 13:00 New York. Written by app/setup/market_days.py.\n"


def main() -> None:
    """Write the table."""
    calendar = exchange_calendars.get_calendar("XNYS", start=str(FIRST_DAY), end=str(LAST_DAY))
    closes = {day.date(): close.tz_convert(NEW_YORK).time() for day, close in calendar.schedule["close"].items()}
    days = [FIRST_DAY + dt.timedelta(days=offset) for offset in range((LAST_DAY - FIRST_DAY).days + 1)]
    holidays = [day for day in days if day.weekday() < SATURDAY and day not in closes]
    early_closes = [day for day in days if closes.get(day) == EARLY_CLOSE]
    (FOLDER / TABLE).write_text(HEAD + _list("holidays", holidays) + _list("early_closes", early_closes))


def _list(name: str, days: list[dt.date]) -> str:
    """Return a TOML array of dates, one line a year."""
    years = sorted({day.year for day in days})
    lines = ["    " + ", ".join(str(day) for day in days if day.year == year) + "," for year in years]
    return "\n".join([f"{name} = [", *lines, "]\n"])


if __name__ == "__main__":
    main()
