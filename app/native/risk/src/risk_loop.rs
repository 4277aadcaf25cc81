//! The risk-manager's loop on the journals: reads, judges, writes; no Python, no lock, one thread.

use crate::gate::Gate;
use crate::judge::{External, Judge, Pending, Sink};
use crate::stats::Stats;
use holdfast_journal::{Error, KillLatch, Reader, Result, Writer, wait};
use holdfast_records::{AnyRecord, Cause, Consumed, Header, Reason, Record, Symbol};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Market data that is read again at a start, to know the quotes and halts that are in force.
const MARKET_RECORDS_AT_START: u64 = 200_000;
/// Longest sleep: the heartbeat, the latch and the stop flag are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// Longest sleep while market data flows: an intent must not wait for a long backlog of quotes.
const SLEEP_MAX_IN_FLOW: Duration = Duration::from_millis(2);
/// Who sets the kill latch when the loss of a day does.
const OWN_NAME: &str = "risk-manager";
/// Turns between two publications of usages and lag while records keep coming.
const TURNS_PER_REPORT: u32 = 256;

/// The clocks of the host; the loop reads no other.
pub trait HostClock {
    /// Wall clock, ns UTC.
    fn now_ns(&self) -> i64;
    /// A clock that never steps back, ns.
    fn monotonic_ns(&self) -> u64;
}

/// Readers of the four inputs, each at its oldest retained record.
pub struct Inputs {
    /// Quotes, halts and gaps.
    pub market_data: Reader,
    /// Order intents.
    pub signals: Reader,
    /// Order events, fills, account, reconciliations.
    pub executions: Reader,
    /// Commands of operators.
    pub control: Reader,
}

/// What the loop writes, and the latch that it obeys.
pub struct Outputs {
    /// The orders journal.
    pub writer: Writer,
    /// A reader of the same journal at its oldest record, to rebuild the state from.
    pub own: Reader,
    /// The kill latch.
    pub latch: KillLatch,
}

/// How the loop runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Session time follows the venue's clock, as seen in market data.
    pub is_venue_time: bool,
    /// How long to spin for a record before sleeping.
    pub spin: Duration,
}

/// The loop with everything it owns.
pub struct RiskLoop {
    judge: Judge,
    writer: Writer,
    inputs: Inputs,
    latch: KillLatch,
    consumed: Consumed,
    spin: Duration,
    is_market_flowing: bool,
    stats: Arc<Stats>,
    /// Since when positions are without their stop.
    unprotected: Vec<(Symbol, i64)>,
}

/// Writes to the journal with one time stamp.
struct Journal<'a> {
    writer: &'a mut Writer,
    ts_ns: i64,
}

impl Sink for Journal<'_> {
    type Error = Error;

    fn next_seq(&self) -> u64 {
        self.writer.next_seq()
    }

    fn put<R: Record>(&mut self, record: &R, cause: Cause) -> Result<()> {
        self.writer.append(record, self.ts_ns, cause).map(|_| ())
    }
}

impl RiskLoop {
    /// Rebuilds the state from the orders journal, `executions` and `control`; then says that a new process began.
    ///
    /// Errors: those of the journals; the process must end then.
    pub fn start(
        gate: Gate,
        outputs: Outputs,
        mut inputs: Inputs,
        options: Options,
        clock: &impl HostClock,
    ) -> Result<Self> {
        let Outputs { writer, mut own, latch } = outputs;
        let Options { is_venue_time, spin } = options;
        let mut judge = Judge::new(gate, is_venue_time);
        let (mut consumed, last_intent_seq) = restore(&mut judge, &mut own, &mut inputs)?;
        let from_seq = inputs.market_data.last_seq().saturating_sub(MARKET_RECORDS_AT_START) + 1;
        inputs.market_data.seek(from_seq.max(inputs.market_data.first_seq()))?;
        consumed.market_data_seq = inputs.market_data.next_seq() - 1;
        consumed.signals_seq = last_intent_seq;
        if last_intent_seq >= inputs.signals.first_seq() {
            inputs.signals.seek(last_intent_seq + 1)?;
        }
        let stats = Arc::new(Stats::default());
        let mut this = Self {
            judge,
            writer,
            inputs,
            latch,
            consumed,
            spin,
            is_market_flowing: false,
            stats,
            unprotected: Vec::new(),
        };
        this.begin(clock.now_ns())?;
        Ok(this)
    }

    fn begin(&mut self, now_ns: i64) -> Result<()> {
        let external = self.external();
        let epoch = self.writer.epoch();
        self.writer.heartbeat(now_ns);
        let mut journal = Journal {
            writer: &mut self.writer,
            ts_ns: now_ns,
        };
        journal.put(&self.consumed, Cause::default())?;
        self.judge.begin(epoch, external, now_ns, &mut journal)?;
        self.report(now_ns);
        Ok(())
    }

    /// What another thread may read while the loop runs.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// The gate.
    pub fn gate(&self) -> &Gate {
        &self.judge.gate
    }

    /// Runs until `stop`; what was read is judged and written, what was not read stays for the next start.
    ///
    /// Errors: those of the journals, a full disk included; the process must end then, and nothing is approved any more.
    pub fn run(&mut self, clock: &impl HostClock, stop: &AtomicBool) -> Result<()> {
        let mut turns = 0_u32;
        while !stop.load(Ordering::Acquire) {
            let has_judged = self.turn(clock)?;
            turns = turns.wrapping_add(1);
            if has_judged && !turns.is_multiple_of(TURNS_PER_REPORT) {
                continue;
            }
            self.report(clock.now_ns());
            if !has_judged {
                let Inputs {
                    signals,
                    executions,
                    control,
                    ..
                } = &mut self.inputs;
                let sleep_max = if self.is_market_flowing {
                    SLEEP_MAX_IN_FLOW
                } else {
                    SLEEP_MAX
                };
                wait(&mut [signals, executions, control], self.spin, sleep_max)?;
            }
        }
        self.writer.sync()
    }

    /// One turn of `run` for a caller that does the waiting itself; true if an intent was judged.
    ///
    /// Errors: as `run`.
    pub fn turn_once(&mut self, clock: &impl HostClock) -> Result<bool> {
        let has_judged = self.turn(clock)?;
        if !has_judged {
            self.report(clock.now_ns());
        }
        Ok(has_judged)
    }

    /// Makes everything written durable: the end of a loop that was turned by its caller.
    ///
    /// Errors: those of the journal.
    pub fn finish(self) -> Result<()> {
        self.writer.sync()
    }

    /// One turn: everything that is there of market data, executions and control, then at most one intent.
    fn turn(&mut self, clock: &impl HostClock) -> Result<bool> {
        self.writer.heartbeat(clock.now_ns());
        self.is_market_flowing = drain_market(&mut self.judge, &mut self.inputs.market_data)?;
        while let Some(entry) = self.inputs.executions.next()? {
            if let Some(record) = entry.record() {
                self.judge.apply_execution(&entry.header, record);
            }
        }
        let mut has_control = false;
        while let Some(entry) = self.inputs.control.next()? {
            has_control = true;
            if let Some(record) = entry.record() {
                self.judge.gate.apply_control(record);
            }
        }
        let pending = next_intent(&mut self.inputs.signals)?;
        let (external, now_ns) = (self.external(), clock.now_ns());
        // Between two Consumed records a replay applies executions before control: hence one for each control record.
        if pending.is_none() && !has_control && !self.judge.is_due(external, now_ns) {
            return Ok(false);
        }
        self.step(external, now_ns, pending.as_ref(), clock)?;
        Ok(pending.is_some())
    }

    fn step(
        &mut self,
        external: External,
        now_ns: i64,
        pending: Option<&Pending>,
        clock: &impl HostClock,
    ) -> Result<()> {
        let Inputs {
            market_data,
            executions,
            control,
            ..
        } = &self.inputs;
        self.consumed.market_data_seq = market_data.next_seq() - 1;
        self.consumed.executions_seq = executions.next_seq() - 1;
        self.consumed.control_seq = control.next_seq() - 1;
        if let Some(pending) = pending {
            self.consumed.signals_seq = pending.header.seq;
        }
        let note = self.note(external);
        let mut journal = Journal {
            writer: &mut self.writer,
            ts_ns: now_ns,
        };
        let cause = pending.map_or_else(Cause::default, |pending| Cause {
            origin_ns: pending.header.origin_ns,
            ..Cause::default()
        });
        journal.put(&self.consumed, cause)?;
        let begin_ns = clock.monotonic_ns();
        let tripped_before = self.judge.gate.tripped_count();
        let was_killed = self.judge.gate.is_killed_by_loss();
        let decision = self.judge.step(external, now_ns, &note, pending, &mut journal)?;
        let check_ns = clock.monotonic_ns() - begin_ns;
        self.stats
            .count_trips(self.judge.gate.tripped_count().saturating_sub(tripped_before));
        if let Some(decision) = decision {
            self.stats.count(&decision, check_ns);
        }
        if !was_killed && self.judge.gate.is_killed_by_loss() {
            self.kill(now_ns)?;
        }
        let (state, rule) = self.judge.gate.trading_state();
        self.stats.set_state(state, rule);
        Ok(())
    }

    /// Sets the kill latch for the daily loss: it outlives this process, and only an operator with a reason clears it.
    fn kill(&self, now_ns: i64) -> Result<()> {
        let usage = self.judge.gate.usage(Reason::DAILY_LOSS_KILL);
        let reason = format!("daily loss_e9={} beyond limit_e9={}", usage.value_e9, usage.limit_e9);
        self.latch.trip(OWN_NAME, &reason, now_ns).map(|_| ())
    }

    /// Who changed the latch and why, for the record that reports it.
    fn note(&self, external: External) -> String {
        if external.generation == self.judge.external().generation {
            return String::new();
        }
        let note = self.latch.note();
        format!("by {}: {}", note.operator, note.reason)
    }

    fn external(&self) -> External {
        let generation = self.latch.generation();
        External {
            is_latched: self.latch.is_set(),
            generation,
            is_reconciled: self.judge.is_reconciled(self.inputs.executions.begin_seq()),
        }
    }

    fn report(&mut self, now_ns: i64) {
        let known = core::mem::take(&mut self.unprotected);
        let since_ns = |symbol| {
            known
                .iter()
                .find(|(other, _)| *other == symbol)
                .map_or(now_ns, |known| known.1.min(now_ns))
        };
        let unprotected = self.judge.gate.unprotected();
        self.unprotected = unprotected.map(|symbol| (symbol, since_ns(symbol))).collect();
        let oldest_ns = self.unprotected.iter().map(|(_, since_ns)| *since_ns).min();
        self.stats.set_unprotected(
            self.unprotected.len(),
            oldest_ns.map_or(0, |oldest_ns| now_ns - oldest_ns),
        );
        let gate = &self.judge.gate;
        self.stats.set_entries_open(gate.entries_open());
        let (state, rule) = gate.trading_state();
        self.stats.set_state(state, rule);
        self.stats.set_usages(&gate.usages());
        self.stats.set_limits(gate.limits());
        let Inputs {
            market_data,
            signals,
            executions,
            control,
        } = &self.inputs;
        let lag = [market_data, signals, executions, control]
            .map(|reader| (reader.last_seq() + 1).saturating_sub(reader.next_seq()));
        self.stats.set_lag(lag, now_ns);
    }
}

/// Reads all that is there; true if it was anything.
fn drain_market(judge: &mut Judge, market_data: &mut Reader) -> Result<bool> {
    let mut has_read = false;
    while let Some(entry) = market_data.next()? {
        has_read = true;
        if let Some(record) = entry.record() {
            judge.apply_market(&entry.header, record);
        }
    }
    Ok(has_read)
}

pub(crate) fn next_intent(signals: &mut Reader) -> Result<Option<Pending>> {
    while let Some(entry) = signals.next()? {
        if let Some(AnyRecord::OrderIntent(intent)) = entry.record() {
            return Ok(Some(Pending {
                header: entry.header,
                intent: *intent,
            }));
        }
    }
    Ok(None)
}

/// Applies our own journal over executions and control in the recorded interleaving. Gives how far they were consumed,
/// and the last intent that got its decision.
fn restore(judge: &mut Judge, own: &mut Reader, inputs: &mut Inputs) -> Result<(Consumed, u64)> {
    let (mut consumed, mut last_intent_seq) = (Consumed::default(), 0);
    while let Some(entry) = own.next()? {
        let ts_ns = entry.header.ts_ns;
        match entry.record() {
            Some(AnyRecord::Consumed(upto)) => {
                consumed = *upto;
                apply_until(&mut inputs.executions, upto.executions_seq, |header, record| {
                    judge.apply_execution(header, record);
                })?;
                apply_until(&mut inputs.control, upto.control_seq, |_, record| {
                    judge.gate.apply_control(record);
                })?;
                judge.gate.follow_clock(ts_ns);
                // Here, since no record tells of a change that was heard and ended in one step.
                judge.gate.expire_limits(ts_ns);
            }
            Some(AnyRecord::TradingState(state)) => judge.restore_state(state, ts_ns),
            Some(AnyRecord::BreakerTripped(tripped)) => judge.gate.restore_trip(tripped),
            Some(AnyRecord::Decision(decision)) => {
                last_intent_seq = last_intent_seq.max(decision.intent_seq);
                judge.gate.restore(decision, ts_ns);
            }
            _ => {}
        }
    }
    Ok((consumed, last_intent_seq))
}

/// Applies records up to and including `seq`.
pub(crate) fn apply_until(reader: &mut Reader, seq: u64, mut apply: impl FnMut(&Header, AnyRecord<'_>)) -> Result<()> {
    while reader.next_seq() <= seq {
        let Some(entry) = reader.next()? else { break };
        if let Some(record) = entry.record() {
            apply(&entry.header, record);
        }
    }
    Ok(())
}
