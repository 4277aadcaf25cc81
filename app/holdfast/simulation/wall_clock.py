"""The host's wall clock, which steps: the last bits of each stamp tell how far off the clock was that made it."""

# A leap, an hour of summer time, a day; the first is no step.
STEPS_S = (0, -86_400, -3_600, -5, 5, 3_600, 86_400)
NANOSECONDS = 1_000_000_000
# Durations of the services are whole microseconds, so that what is added to a stamp does not touch these bits.
STEP_BITS = 7
OFFSETS_NS = tuple(step_s * NANOSECONDS + step for step, step_s in enumerate(STEPS_S))


def true_ns(stamp_ns: int) -> int:
    """Return the true time of a stamp."""
    return stamp_ns - OFFSETS_NS[stamp_ns & STEP_BITS]
