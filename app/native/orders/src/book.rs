//! Positions of all symbols, from fills that may arrive late or twice.

use crate::digest::FastBuildHasher;
use crate::position::{FillEffect, Position};
use core::hash::BuildHasher;
use holdfast_records::{AnyRecord, Fill, PositionSnapshot, ReconcileScope, Reconciled, Side, Symbol, Uuid};
use std::collections::{BTreeMap, HashSet};

/// One execution as a position needs it; the order of the fields is the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::struct_field_names, reason = "execution_id is the word for it")]
struct Execution {
    ts_event_ns: i64,
    execution_id: Uuid,
    signed_quantity_e9: i64,
    price_e9: i64,
    fee_e9: i64,
}

/// A symbol's position, the fills it came from and its mark.
#[derive(Clone, Debug, Default)]
pub struct SymbolPosition {
    position: Position,
    adopted: Position,
    executions: Vec<Execution>,
    mark_price_e9: i64,
    venue_quantity_e9: Option<i64>,
}

impl SymbolPosition {
    /// The position.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Number of fills applied.
    pub fn fills_count(&self) -> usize {
        self.executions.len()
    }

    /// Latest mark price; the average price until there is one.
    pub fn mark_price_e9(&self) -> i64 {
        if self.mark_price_e9 == 0 {
            self.position.average_price_e9()
        } else {
            self.mark_price_e9
        }
    }

    /// Profit and loss of closing at the mark.
    pub fn unrealized_pnl_e9(&self) -> i64 {
        self.position.unrealized_pnl_e9(self.mark_price_e9())
    }

    /// The quantity that the venue last reported, if it did.
    pub fn venue_quantity_e9(&self) -> Option<i64> {
        self.venue_quantity_e9
    }

    fn insert(&mut self, execution: Execution) -> FillEffect {
        if self.executions.last().is_none_or(|last| *last < execution) {
            self.executions.push(execution);
            return self
                .position
                .apply(execution.signed_quantity_e9, execution.price_e9, execution.fee_e9);
        }
        let place = self.executions.partition_point(|known| *known < execution);
        self.executions.insert(place, execution);
        let before_e9 = self.position.realized_pnl_e9();
        self.rebuild();
        FillEffect {
            realized_e9: self.position.realized_pnl_e9() - before_e9,
            round_trip_e9: None,
        }
    }

    fn rebuild(&mut self) {
        self.position = self.adopted;
        for execution in &self.executions {
            self.position
                .apply(execution.signed_quantity_e9, execution.price_e9, execution.fee_e9);
        }
    }

    fn adopt(&mut self, snapshot: &PositionSnapshot) {
        let filled_e9: i64 = self
            .executions
            .iter()
            .map(|execution| execution.signed_quantity_e9)
            .sum();
        self.adopted = Position::adopted(snapshot.quantity_e9 - filled_e9, snapshot.average_price_e9);
        self.rebuild();
    }
}

/// Positions by symbol: the sum of our fills, on top of what the venue held when the journal began.
///
/// Fills count once per execution id and in the venue's order of time, however they arrive. Position snapshots are
/// adopted only until the first complete start-up reconciliation; from then on they are only shown beside ours.
#[derive(Clone, Debug, Default)]
pub struct PositionBook {
    symbols: BTreeMap<Symbol, SymbolPosition>,
    execution_ids: HashSet<Uuid, FastBuildHasher>,
    is_started: bool,
}

impl PositionBook {
    /// Applies any record; gives the effect of a fill that was new.
    pub fn apply(&mut self, record: AnyRecord<'_>) -> Option<FillEffect> {
        match record {
            AnyRecord::Fill(fill) => return self.apply_fill(fill),
            AnyRecord::PositionSnapshot(snapshot) => self.apply_snapshot(snapshot),
            AnyRecord::Reconciled(reconciled) => self.apply_reconciled(reconciled),
            AnyRecord::Quote(quote) if quote.bid_price_e9 > 0 && quote.ask_price_e9 >= quote.bid_price_e9 => {
                let half_spread_e9 = (quote.ask_price_e9 - quote.bid_price_e9) / 2;
                self.mark(quote.symbol, quote.bid_price_e9 + half_spread_e9);
            }
            _ => {}
        }
        None
    }

    /// Applies an execution; nothing when its id was applied before.
    pub fn apply_fill(&mut self, fill: &Fill) -> Option<FillEffect> {
        if !self.execution_ids.insert(fill.execution_id) {
            return None;
        }
        let sign = if fill.side == Side::SELL { -1 } else { 1 };
        let execution = Execution {
            ts_event_ns: fill.ts_event_ns,
            execution_id: fill.execution_id,
            signed_quantity_e9: sign * fill.quantity_e9,
            price_e9: fill.price_e9,
            fee_e9: fill.fee_e9,
        };
        Some(self.symbols.entry(fill.symbol).or_default().insert(execution))
    }

    fn apply_snapshot(&mut self, snapshot: &PositionSnapshot) {
        let entry = self.symbols.entry(snapshot.symbol).or_default();
        entry.venue_quantity_e9 = Some(snapshot.quantity_e9);
        if !self.is_started {
            entry.adopt(snapshot);
        }
    }

    fn apply_reconciled(&mut self, reconciled: &Reconciled) {
        self.is_started |= reconciled.scope == ReconcileScope::START_UP && reconciled.is_complete != 0;
    }

    /// Sets the price at which a position is valued; symbols without a position are not remembered.
    pub fn mark(&mut self, symbol: Symbol, price_e9: i64) {
        if let Some(entry) = self.symbols.get_mut(&symbol) {
            entry.mark_price_e9 = price_e9;
        }
    }

    /// The entry of a symbol, if it ever had a fill or a snapshot.
    pub fn get(&self, symbol: Symbol) -> Option<&SymbolPosition> {
        self.symbols.get(&symbol)
    }

    /// Every symbol that ever had a fill or a snapshot, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, &SymbolPosition)> {
        self.symbols.iter()
    }

    /// Realized profit and loss of all symbols, net of fees.
    pub fn realized_pnl_e9(&self) -> i64 {
        self.symbols
            .values()
            .map(|entry| entry.position.realized_pnl_e9())
            .sum()
    }

    /// Unrealized profit and loss of all symbols at their marks.
    pub fn unrealized_pnl_e9(&self) -> i64 {
        self.symbols.values().map(SymbolPosition::unrealized_pnl_e9).sum()
    }

    /// Hash of positions and executions, marks left out; equal for any permutation and repetition of the same fills.
    pub fn state_hash(&self) -> u64 {
        let hasher = FastBuildHasher::default();
        self.symbols.iter().fold(0_u64, |sum, (symbol, entry)| {
            sum.wrapping_add(hasher.hash_one((symbol, entry.position, entry.adopted, &entry.executions)))
        })
    }
}
