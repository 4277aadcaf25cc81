//! From inputs to records: the part of risk-manager that its live loop, its restart and a replay have in common.

use crate::calendar::SessionDay;
use crate::clock_back::is_ahead;
use crate::gate::{Clock, Gate};
use holdfast_orders::{OWN_PREFIX, PROTECTIVE_SUFFIX};
use holdfast_records::{
    AnyRecord, BreakerTripped, Cause, Decision, Header, IntentAction, JournalName, OrderIntent, Reason, ReconcileScope,
    Record, Text, TradingState, TradingStateCode,
};

/// What the loop learns from elsewhere than a journal; the trading-state records repeat it for restart and replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) is_latched: bool,
    pub(crate) generation: u64,
    pub(crate) is_reconciled: bool,
}

/// Where records go: the journal, or the comparison with a recorded one.
pub(crate) trait Sink {
    type Error;
    /// Number that the next record gets.
    fn next_seq(&self) -> u64;
    /// Takes a record.
    fn put<R: Record>(&mut self, record: &R, cause: Cause) -> Result<(), Self::Error>;
}

/// An intent to be judged, with the header it came under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) header: Header,
    pub(crate) intent: OrderIntent,
}

/// The gate with the clocks and the outside world it was last told of.
pub(crate) struct Judge {
    pub(crate) gate: Gate,
    /// Session time follows the venue's clock, as seen in market data.
    is_venue_time: bool,
    /// Latest time of an event at the venue; one ahead of its receipt counts only where it is the session's clock.
    venue_ns: i64,
    epoch: u64,
    started_ns: i64,
    reconciled_seq: u64,
    external: External,
    /// State, rule and limits of the last record that told them.
    written: Option<(TradingStateCode, Reason, u64)>,
}

/// Breakers tripped in one step, at most all of them.
const TRIPS_MAX: usize = crate::counters::BREAKERS.len();
/// Protective stops placed or taken back in one step; the next step goes on.
const MEASURES_MAX: usize = 8;

impl Judge {
    pub(crate) fn new(gate: Gate, is_venue_time: bool) -> Self {
        let external = External::default();
        Self {
            gate,
            is_venue_time,
            venue_ns: 0,
            epoch: 0,
            started_ns: 0,
            reconciled_seq: 0,
            external,
            written: None,
        }
    }

    pub(crate) fn external(&self) -> External {
        self.external
    }

    pub(crate) fn apply_market(&mut self, header: &Header, record: AnyRecord<'_>) {
        let event_ns = venue_time_ns(record);
        if self.is_venue_time || !is_ahead(event_ns, header.ts_ns) {
            self.venue_ns = self.venue_ns.max(event_ns);
        }
        if header.origin_ns == 0 && matches!(record, AnyRecord::Quote(_)) {
            // History brought it, to fill a gap: how things stand now it does not tell.
            return;
        }
        self.gate.apply_market(record, header.ts_ns);
    }

    pub(crate) fn apply_execution(&mut self, header: &Header, record: AnyRecord<'_>) {
        if let AnyRecord::Reconciled(reconciled) = record
            && reconciled.scope == ReconcileScope::START_UP
            && reconciled.is_complete != 0
        {
            self.reconciled_seq = header.seq;
        }
        self.gate.apply_execution(record, header.ts_ns);
    }

    /// Whether the newest complete start-up reconciliation is of the writer whose first record is `begin_seq`. Records
    /// are compared, not times: a clock that stepped back tells nothing.
    pub(crate) fn is_reconciled(&self, begin_seq: u64) -> bool {
        begin_seq > 0 && self.reconciled_seq >= begin_seq
    }

    pub(crate) fn clock(&self, now_ns: i64) -> Clock {
        Clock {
            now_ns,
            session_ns: if self.is_venue_time { self.venue_ns } else { now_ns },
        }
    }

    /// The clock that begins a session day: one that is a day ahead of the venue's events must not, since what is
    /// counted over a day would be forgotten.
    fn day_clock(&self, now_ns: i64) -> Clock {
        let clock = self.clock(now_ns);
        Clock {
            session_ns: clock.session_ns.min(self.venue_ns),
            ..clock
        }
    }

    /// Whether a step at this time would write anything without an intent.
    pub(crate) fn is_due(&self, external: External, now_ns: i64) -> bool {
        external != self.external
            || self.gate.is_due(self.day_clock(now_ns))
            || self.gate.next_measure(self.clock(now_ns)).is_some()
            || self.written != Some(self.told())
    }

    /// What a TradingState record tells.
    fn told(&self) -> (TradingStateCode, Reason, u64) {
        let (state, rule) = self.gate.trading_state();
        (state, rule, self.gate.limits_hash())
    }

    /// A process that just started knows no market and is not reconciled.
    fn start(&mut self, epoch: u64, now_ns: i64) {
        self.gate.forget_market();
        (self.venue_ns, self.epoch, self.started_ns, self.written) = (0, epoch, now_ns, None);
    }

    /// The first step of a process.
    pub(crate) fn begin<S: Sink>(
        &mut self,
        epoch: u64,
        external: External,
        now_ns: i64,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.start(epoch, now_ns);
        self.step_state(external, now_ns, true, "", sink)
    }

    /// Takes the world as it is at `now_ns`, writes what changed, then judges the intent if there is one.
    pub(crate) fn step<S: Sink>(
        &mut self,
        external: External,
        now_ns: i64,
        note: &str,
        pending: Option<&Pending>,
        sink: &mut S,
    ) -> Result<Option<Decision>, S::Error> {
        self.step_state(external, now_ns, false, note, sink)?;
        let decision = match pending {
            Some(pending) => Some(self.decide(pending, now_ns, sink)?),
            None => None,
        };
        self.protect(now_ns, sink)?;
        Ok(decision)
    }

    fn decide<S: Sink>(&mut self, pending: &Pending, now_ns: i64, sink: &mut S) -> Result<Decision, S::Error> {
        let decision = self.judge(pending, now_ns, sink.next_seq());
        let header = &pending.header;
        let cause = Cause {
            journal: JournalName::SIGNALS,
            seq: header.seq,
            origin_ns: header.origin_ns,
        };
        sink.put(&decision, cause)?;
        self.tell_runaways(sink)?;
        Ok(decision)
    }

    /// Places the protective stops that are missing and takes back those in the way: decisions without an intent.
    fn protect<S: Sink>(&mut self, now_ns: i64, sink: &mut S) -> Result<(), S::Error> {
        let clock = self.clock(now_ns);
        for _ in 0..MEASURES_MAX {
            let Some(measure) = self.gate.next_measure(clock) else {
                break;
            };
            let client_order_id = protective_order_id(self.epoch, sink.next_seq());
            let decision = self.gate.take_measure(&measure, client_order_id, now_ns);
            sink.put(&decision, Cause::default())?;
        }
        Ok(())
    }

    fn step_state<S: Sink>(
        &mut self,
        external: External,
        now_ns: i64,
        is_start: bool,
        note: &str,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let is_told = external != self.external;
        self.started_ns = self.started_ns.min(now_ns);
        self.take(external);
        let before = (self.gate.session_day(), self.gate.tripped_count());
        let mut trips = [BreakerTripped::default(); TRIPS_MAX];
        let mut count = 0;
        self.gate.advance(self.day_clock(now_ns), |tripped| {
            trips[count] = tripped;
            count += 1;
        });
        let state = self.told();
        let is_changed = before != (self.gate.session_day(), self.gate.tripped_count()) || self.written != Some(state);
        if is_start || is_told || is_changed || count > 0 {
            self.written = Some(state);
            sink.put(&self.state_record(is_start, note), Cause::default())?;
        }
        for tripped in &trips[..count] {
            sink.put(tripped, Cause::default())?;
        }
        self.tell_runaways(sink)
    }

    fn tell_runaways<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        while let Some(tripped) = self.gate.take_runaway() {
            sink.put(&tripped, Cause::default())?;
        }
        Ok(())
    }

    fn take(&mut self, external: External) {
        self.external = external;
        self.gate.set_latch(external.is_latched);
        self.gate.set_reconciled(external.is_reconciled);
    }

    fn judge(&mut self, pending: &Pending, now_ns: i64, seq: u64) -> Decision {
        let Pending { header, intent } = pending;
        let is_left_over =
            header.ts_ns < self.started_ns && intent.expires_ns == 0 && intent.action != IntentAction::CANCEL;
        if is_left_over {
            return self.gate.deny(intent, header.seq, Reason::STALE_START);
        }
        // How long ago it was cannot be told.
        if intent.expires_ns != 0 && is_ahead(header.ts_ns, now_ns) {
            return self.gate.deny(intent, header.seq, Reason::INTENT_EXPIRED);
        }
        self.gate
            .judge(intent, header.seq, client_order_id(self.epoch, seq), self.clock(now_ns))
    }

    fn state_record(&self, is_start: bool, note: &str) -> TradingState {
        let (state, rule) = self.gate.trading_state();
        let External {
            is_latched,
            generation,
            is_reconciled,
        } = self.external;
        let start = if is_start {
            format!(" epoch={:x}", self.epoch)
        } else {
            String::new()
        };
        let detail = format!(
            "latch={} generation={generation} reconciled={} day={}{start} {note}",
            if is_latched { "set" } else { "clear" },
            if is_reconciled { "yes" } else { "no" },
            self.gate.session_day(),
        );
        TradingState {
            detail: Text::truncated(detail.trim_end()),
            limits_hash: self.gate.limits_hash(),
            rule,
            state,
            ..TradingState::default()
        }
    }

    /// Takes a trading state back from our own journal, written at `ts_ns`.
    pub(crate) fn restore_state(&mut self, record: &TradingState, ts_ns: i64) {
        let told = Told::parse(record.detail.as_str());
        if let Some(epoch) = told.epoch {
            self.start(epoch, ts_ns);
        }
        self.take(told.external);
        self.gate.roll(SessionDay::of_day(told.day));
        self.gate.end_cool_downs(ts_ns);
    }
}

/// The machine-readable part of a trading state's detail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) external: External,
    pub(crate) day: i64,
    /// Set on the first record of a process.
    pub(crate) epoch: Option<u64>,
}

impl Told {
    const KEYS: [&'static str; 5] = ["latch", "generation", "reconciled", "day", "epoch"];

    pub(crate) fn parse(detail: &str) -> Self {
        let mut told = Self::default();
        for (key, value) in detail.split(' ').map_while(Self::pair) {
            match key {
                "latch" => told.external.is_latched = value == "set",
                "generation" => told.external.generation = value.parse().unwrap_or_default(),
                "reconciled" => told.external.is_reconciled = value == "yes",
                "day" => told.day = value.parse().unwrap_or_default(),
                _ => told.epoch = u64::from_str_radix(value, 16).ok(),
            }
        }
        told
    }

    fn pair(word: &str) -> Option<(&str, &str)> {
        word.split_once('=').filter(|(key, _)| Self::KEYS.contains(key))
    }

    /// What stands after the machine-readable part.
    pub(crate) fn note_of(detail: &str) -> &str {
        let mut rest = detail;
        while let Some((word, after)) = rest.split_once(' ') {
            if Self::pair(word).is_none() {
                return rest;
            }
            rest = after;
        }
        if Self::pair(rest).is_none() { rest } else { "" }
    }
}

fn venue_time_ns(record: AnyRecord<'_>) -> i64 {
    match record {
        AnyRecord::Quote(quote) => quote.ts_event_ns,
        AnyRecord::Trade(trade) => trade.ts_event_ns,
        _ => 0,
    }
}

/// `hf-EPOCH-SEQ` in hexadecimal: known before the order leaves, never used twice.
fn client_order_id(epoch: u64, seq: u64) -> Text<48> {
    let mut bytes = [0_u8; 48];
    bytes[..OWN_PREFIX.len()].copy_from_slice(OWN_PREFIX.as_bytes());
    let mut end = put_hex(&mut bytes, OWN_PREFIX.len(), epoch);
    bytes[end] = b'-';
    end = put_hex(&mut bytes, end + 1, seq);
    core::str::from_utf8(&bytes[..end])
        .ok()
        .and_then(Text::new)
        .unwrap_or_default()
}

/// The same for a protective stop, which everybody can tell by its end.
fn protective_order_id(epoch: u64, seq: u64) -> Text<48> {
    Text::new(&format!("{}{PROTECTIVE_SUFFIX}", client_order_id(epoch, seq).as_str())).unwrap_or_default()
}

fn put_hex(bytes: &mut [u8; 48], start: usize, value: u64) -> usize {
    let digits = (16 - value.leading_zeros() as usize / 4).max(1);
    for place in 0..digits {
        let digit = (value >> (4 * (digits - 1 - place)) & 15) as usize;
        bytes[start + place] = b"0123456789abcdef"[digit];
    }
    start + digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_hexadecimal_of_epoch_and_number() {
        for (epoch, seq) in [(0, 0), (1, 15), (16, 255), (u64::MAX, 0x1000)] {
            assert_eq!(client_order_id(epoch, seq).as_str(), format!("hf-{epoch:x}-{seq:x}"));
        }
    }

    #[test]
    fn what_a_note_says_is_not_taken_for_a_fact() {
        let told = Told::parse("latch=set generation=3 reconciled=yes day=20000 by desk: latch=clear");
        assert_eq!(
            told.external,
            External {
                is_latched: true,
                generation: 3,
                is_reconciled: true
            }
        );
        assert_eq!((told.day, told.epoch), (20000, None));
        assert_eq!(
            Told::note_of("latch=set day=1 by desk: latch=clear"),
            "by desk: latch=clear"
        );
        assert_eq!(Told::note_of("latch=set day=1"), "");
        assert_eq!(
            Told::parse("latch=clear generation=0 reconciled=no day=0 epoch=1f").epoch,
            Some(31)
        );
    }
}
