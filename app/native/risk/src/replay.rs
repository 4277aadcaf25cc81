//! Judging a recorded day again, and comparing every record with the recorded one.

use crate::gate::Gate;
use crate::judge::{Judge, Pending, Sink, Told};
use crate::risk_loop::{Inputs, apply_until, next_intent};
use holdfast_journal::{Reader, Result};
use holdfast_records::{AnyRecord, Cause, Consumed, HEADER_BYTES, Header, Record};

/// Where the replay first differs from the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the recorded record.
    pub seq: u64,
    /// What is there, and what the replay made instead.
    pub what: String,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records compared, and equal but for the difference.
    pub records: u64,
    /// Decisions among them.
    pub decisions: u64,
    /// The first difference, if there is one.
    pub difference: Option<Difference>,
}

/// A step as recorded: how far the inputs were read, and what was written after.
#[derive(Default)]
struct Step {
    ts_ns: i64,
    first_seq: u64,
    consumed: Consumed,
    told: Option<Told>,
    note: String,
    intent_seq: Option<u64>,
    records: Vec<Vec<u8>>,
}

impl Step {
    fn begin(header: &Header, consumed: &Consumed) -> Self {
        Self {
            ts_ns: header.ts_ns,
            first_seq: header.seq + 1,
            consumed: *consumed,
            ..Self::default()
        }
    }

    fn add(&mut self, bytes: &[u8], record: AnyRecord<'_>) {
        self.records.push(bytes.to_vec());
        match record {
            AnyRecord::TradingState(state) => {
                self.told = Some(Told::parse(state.detail.as_str()));
                Told::note_of(state.detail.as_str()).clone_into(&mut self.note);
            }
            // A protective stop is decided without an intent.
            AnyRecord::Decision(decision) if decision.intent_seq == 0 => {}
            AnyRecord::Decision(decision) => self.intent_seq = Some(decision.intent_seq),
            _ => {}
        }
    }

    fn begins_process(&self) -> bool {
        self.told.is_some_and(|told| told.epoch.is_some())
    }
}

/// Reads the orders journal step by step.
struct Steps<'a> {
    orders: &'a mut Reader,
    next: Option<Step>,
}

impl Steps<'_> {
    fn read(&mut self) -> Result<Option<Step>> {
        while let Some(entry) = self.orders.next()? {
            match (entry.record(), self.next.as_mut()) {
                (Some(AnyRecord::Consumed(consumed)), _) => {
                    let step = self.next.replace(Step::begin(&entry.header, consumed));
                    if step.is_some() {
                        return Ok(step);
                    }
                }
                (Some(record), Some(step)) => step.add(entry.bytes, record),
                _ => {}
            }
        }
        Ok(self.next.take())
    }
}

/// Compares what the judge writes with the recorded step.
struct Compare<'a> {
    step: &'a Step,
    count: usize,
    decisions: u64,
}

impl Sink for Compare<'_> {
    type Error = Difference;

    fn next_seq(&self) -> u64 {
        self.step.first_seq + self.count as u64
    }

    fn put<R: Record>(&mut self, record: &R, cause: Cause) -> core::result::Result<(), Difference> {
        let seq = self.next_seq();
        let Some(recorded) = self.step.records.get(self.count) else {
            return Err(Difference {
                seq,
                what: format!("nothing recorded where the replay writes {}", R::NAME),
            });
        };
        let header: Header = bytemuck::pod_read_unaligned(&recorded[..HEADER_BYTES]);
        let is_same_header = header.kind == R::KIND
            && header.version == R::VERSION
            && header.seq == seq
            && header.ts_ns == self.step.ts_ns
            && (header.cause_journal, header.cause_seq, header.origin_ns)
                == (cause.journal, cause.seq, cause.origin_ns);
        if !is_same_header || recorded[HEADER_BYTES..] != *bytemuck::bytes_of(record) {
            return Err(Difference {
                seq,
                what: format!("the recorded {} differs from the replay's", R::NAME),
            });
        }
        self.count += 1;
        self.decisions += u64::from(R::KIND == holdfast_records::Decision::KIND);
        Ok(())
    }
}

/// Judges again everything that `orders` recorded; `inputs` stand at their first record. Stops at the first difference.
///
/// Errors: those of the journals.
pub fn replay(gate: Gate, is_venue_time: bool, orders: &mut Reader, mut inputs: Inputs) -> Result<Outcome> {
    let mut judge = Judge::new(gate, is_venue_time);
    let mut outcome = Outcome::default();
    let mut steps = Steps { orders, next: None };
    let mut next = steps.read()?;
    while let Some(step) = next {
        next = steps.read()?;
        // A process that died in the middle of a step left the rest of it unwritten.
        let is_cut = next.as_ref().is_none_or(Step::begins_process);
        let (compare, difference) = again(&mut judge, &step, &mut inputs)?;
        outcome.records += compare.count as u64;
        outcome.decisions += compare.decisions;
        if difference.is_some() && !(is_cut && compare.count == step.records.len()) {
            outcome.difference = difference;
            break;
        }
    }
    Ok(outcome)
}

fn again<'a>(judge: &mut Judge, step: &'a Step, inputs: &mut Inputs) -> Result<(Compare<'a>, Option<Difference>)> {
    let consumed = &step.consumed;
    apply_until(&mut inputs.executions, consumed.executions_seq, |header, record| {
        judge.apply_execution(header, record);
    })?;
    apply_until(&mut inputs.control, consumed.control_seq, |_, record| {
        judge.gate.apply_control(record);
    })?;
    let mut compare = Compare {
        step,
        count: 0,
        decisions: 0,
    };
    let external = step.told.map_or(judge.external(), |told| told.external);
    let result = if let Some(epoch) = step.told.and_then(|told| told.epoch) {
        inputs.market_data.seek(consumed.market_data_seq + 1)?;
        judge.begin(epoch, external, step.ts_ns, &mut compare)
    } else {
        apply_until(&mut inputs.market_data, consumed.market_data_seq, |header, record| {
            judge.apply_market(header, record);
        })?;
        match pending_at(&mut inputs.signals, step)? {
            Ok(pending) => judge
                .step(external, step.ts_ns, &step.note, pending.as_ref(), &mut compare)
                .map(|_| ()),
            Err(difference) => Err(difference),
        }
    };
    let missing = || {
        let what = "the replay does not write this record".to_owned();
        (compare.count < step.records.len()).then(|| Difference {
            seq: compare.next_seq(),
            what,
        })
    };
    let difference = result.err().or_else(missing);
    Ok((compare, difference))
}

/// The intent that the step decided; a difference when another intent comes first.
fn pending_at(signals: &mut Reader, step: &Step) -> Result<core::result::Result<Option<Pending>, Difference>> {
    let Some(intent_seq) = step.intent_seq else {
        return Ok(Ok(None));
    };
    let pending = next_intent(signals)?;
    if pending.is_some_and(|pending| pending.header.seq == intent_seq) {
        return Ok(Ok(pending));
    }
    let found = pending.map_or(0, |pending| pending.header.seq);
    let what = format!("decides intent {intent_seq}, but the next intent is {found}");
    Ok(Err(Difference {
        seq: step.first_seq,
        what,
    }))
}
