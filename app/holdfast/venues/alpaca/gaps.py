"""What market data is missing, and which channels have gone quiet. No I/O.

A gap opens when the loss is noticed (journaled at once, `to_ns` 0), is bounded by the first event that comes after
it, and ends once history has filled it (journaled again with `is_repaired`). Its ends are the venue's times. A loss
while it is being filled makes it longer: it is journaled as open once more, since its readers saw events in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast._native import Channel, Gap, GapReason

# Trades and bars of quiet symbols come rarely; these multiples of the staleness bound keep them from crying wolf.
PATIENCE = {Channel.QUOTES: 1.0, Channel.ORDERBOOKS: 1.0, Channel.TRADES: 5.0, Channel.BARS: 5.0}


@dataclass(slots=True, kw_only=True)
class Loss:
    """Market data missing between the events at `from_ns` and `to_ns` (0 while unknown).

    `from_seq` and `to_seq` are where the journal stood at both ends; up to `filled_ns` history has been read already.
    """

    reason: GapReason
    channel: Channel
    from_ns: int
    from_seq: int
    to_ns: int = 0
    to_seq: int = 0
    filled_ns: int = 0
    missed_count: int = 0

    @property
    def is_longer(self) -> bool:
        """Whether more was lost after its end had been known."""
        return self.to_ns == 0 and self.to_seq > 0

    def records(self, symbols: tuple[str, ...], *, is_repaired: bool = False) -> list[Gap]:
        """Return the records to journal: one a symbol, one for all when `symbols` is empty."""
        return [
            Gap(
                symbol=symbol,
                from_ns=self.from_ns,
                to_ns=self.to_ns,
                missed_count=self.missed_count,
                channel=self.channel,
                reason=self.reason,
                is_repaired=int(is_repaired),
            )
            for symbol in symbols or ("",)
        ]


@dataclass(slots=True)
class GapLedger:
    """The losses of one stream that are not repaired. `is_open` is what the hot path asks.

    Invariant: at most one loss a channel; a new loss inside an unrepaired one makes that one longer.
    """

    is_open: bool = False
    _losses: dict[Channel, Loss] = field(default_factory=dict)

    def lose(self, reason: GapReason, *, channel: Channel, from_ns: int, from_seq: int) -> Loss | None:
        """Open a gap, or again one that is being repaired; returns nothing when an open one covers it.

        Before the first event (`from_ns` 0) nothing is missing: nobody relies on what never came.
        """
        if from_ns == 0:
            return None
        self.is_open = True
        covering = self._losses.get(Channel.ALL) or self._losses.get(channel)
        if covering is not None:
            was_open, covering.to_ns = covering.to_ns == 0, 0
            return None if was_open else covering
        loss = Loss(reason=reason, channel=channel, from_ns=from_ns, from_seq=from_seq)
        self._losses[channel] = loss
        return loss

    def bound(self, *, ts_event_ns: int, seq: int, channel: Channel) -> list[Loss]:
        """End the open losses that an event of `channel` ends; returns them, to be repaired."""
        ended = []
        for loss in self._losses.values():
            if loss.to_ns == 0 and loss.channel in {Channel.ALL, channel}:
                loss.to_ns = max(ts_event_ns, loss.from_ns)
                loss.to_seq = seq
                ended.append(loss)
        self.is_open = any(loss.to_ns == 0 for loss in self._losses.values())
        return ended

    def waiting(self) -> Loss | None:
        """Return a loss that has both ends and is to be repaired."""
        return next((loss for loss in self._losses.values() if loss.to_ns), None)

    def fill(self, loss: Loss, *, end_ns: int, end_seq: int, count: int) -> bool:
        """Note that history was read up to `end_ns`; returns whether that repaired the loss and closed it."""
        loss.missed_count += count
        if loss.to_ns == end_ns:
            del self._losses[loss.channel]
            return True
        loss.filled_ns = end_ns
        loss.from_seq = end_seq
        return False

    def __len__(self) -> int:
        """Return how many losses are not repaired."""
        return len(self._losses)


@dataclass(slots=True, kw_only=True)
class Staleness:
    """How long each channel has been quiet in session time: the clock stands still while the session is closed.

    Units: monotonic seconds. `stale_after_s` bounds quotes and order books; other channels get more patience.
    """

    channels: tuple[Channel, ...]
    stale_after_s: float
    stale: set[Channel] = field(default_factory=set)
    _seen_s: dict[Channel, float] = field(default_factory=dict)
    _counts: dict[Channel, int] = field(default_factory=dict)
    _measured_s: float = 0.0

    def start(self, now_s: float) -> None:
        """Begin to measure: the stream has just been subscribed."""
        self._seen_s = dict.fromkeys(self.channels, now_s)
        self._measured_s = now_s
        self.stale.clear()

    def measure(self, counts: Mapping[Channel, int], *, is_open: bool, now_s: float) -> list[Channel]:
        """Compare how many messages each channel has had; returns the channels that have just gone stale."""
        elapsed_s = now_s - self._measured_s
        self._measured_s = now_s
        newly = []
        for channel in self._seen_s:
            count = counts.get(channel, 0)
            if count != self._counts.get(channel, 0):
                self._counts[channel] = count
                self._seen_s[channel] = now_s
                self.stale.discard(channel)
            elif not is_open:
                self._seen_s[channel] += elapsed_s
            elif channel not in self.stale and self.age_s(channel, now_s) >= self.stale_after_s * PATIENCE[channel]:
                self.stale.add(channel)
                newly.append(channel)
        return newly

    def age_s(self, channel: Channel, now_s: float) -> float:
        """Return how long a channel has been quiet, in session time."""
        return now_s - self._seen_s.get(channel, now_s)

    def is_mute(self, now_s: float) -> bool:
        """Return whether nothing at all has come for longer than the bound: connected and dead."""
        return bool(self._seen_s) and all(self.age_s(channel, now_s) >= self.stale_after_s for channel in self._seen_s)
