//! A desk around the judge for tests of protective stops: the market and the venue are played.

use crate::calendar::Calendar;
use crate::gate::Gate;
use crate::judge::{External, Judge, Pending, Sink};
use crate::limits::RiskLimits;
use crate::margin::MarginRegime;
use holdfast_records::{
    AccountSnapshot, AnyRecord, AverageVolume, BreakerTripped, Cause, Decision, E9, Fill, Header, IntentAction,
    OrderClass, OrderEvent, OrderEventKind, OrderIntent, OrderStatus, OrderType, Quote, ReconcileScope, Reconciled,
    Record, Side, Symbol, Text, TimeInForce, Uuid, Verdict,
};

const NOW_NS: i64 = 1_720_013_400 * E9;
const PERCENT: i64 = E9 / 100;

pub(crate) fn any<R: Record>(record: &R) -> AnyRecord<'_> {
    AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record)).expect("a record")
}

/// Keeps what the judge writes.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) trips: Vec<BreakerTripped>,
    pub(crate) seq: u64,
}

impl Sink for Kept {
    type Error = ();

    fn next_seq(&self) -> u64 {
        self.seq + 1
    }

    fn put<R: Record>(&mut self, record: &R, _cause: Cause) -> Result<(), ()> {
        self.seq += 1;
        match any(record) {
            AnyRecord::Decision(decision) => self.decisions.push(*decision),
            AnyRecord::BreakerTripped(tripped) => self.trips.push(*tripped),
            _ => {}
        }
        Ok(())
    }
}

pub(crate) struct Desk {
    pub(crate) judge: Judge,
    pub(crate) kept: Kept,
    pub(crate) now_ns: i64,
    pub(crate) external: External,
    pub(crate) fills: u8,
    pub(crate) position_e9: i64,
}

pub(crate) fn limits() -> RiskLimits {
    RiskLimits {
        price_min_e9: 1,
        stop_loss_min_e9: 1,
        stop_loss_default_e9: 1,
        duplicate_window_ns: 1,
        protection_stop_e9: 2 * PERCENT,
        protection_trail_after_e9: 2 * PERCENT,
        protection_trail_e9: 3 * PERCENT / 2,
        protection_profit_e9: 5 * PERCENT,
        protection_settle_ns: E9 / 10,
        protection_bracket_rest_ns: 2 * E9,
        protection_rejects_max: 3,
        ..RiskLimits::loosest()
    }
}

impl Desk {
    pub(crate) fn open(limits: &RiskLimits) -> Self {
        let symbols = ["IBM", "BTC/USD"].map(Symbol::truncated);
        let calendar = Calendar::new(&[(NOW_NS - E9, NOW_NS + 36_000 * E9)], &[]).expect("a session");
        let regime = MarginRegime {
            from_day: 0,
            initial_e9: 1,
            maintenance_long_e9: 1,
            maintenance_short_e9: 1,
            equity_min_e9: 0,
        };
        let calendar = calendar.with_regimes(vec![regime]).expect("one that begins");
        let mut this = Self {
            judge: Judge::new(Gate::new(*limits, &symbols, calendar), false),
            kept: Kept::default(),
            now_ns: NOW_NS,
            external: External {
                is_reconciled: true,
                ..External::default()
            },
            fills: 0,
            position_e9: 0,
        };
        let account = AccountSnapshot {
            equity_e9: 1_000_000 * E9,
            buying_power_e9: 1_000_000 * E9,
            is_shorting_enabled: 1,
            ..AccountSnapshot::default()
        };
        this.judge.gate.apply_execution(any(&account), NOW_NS);
        let reconciled = Reconciled {
            scope: ReconcileScope::START_UP,
            is_complete: 1,
            ..Reconciled::default()
        };
        this.judge.gate.apply_execution(any(&reconciled), NOW_NS);
        this.judge
            .begin(1, this.external, NOW_NS, &mut this.kept)
            .expect("no error");
        let volume = AverageVolume {
            symbol: Symbol::truncated("IBM"),
            ts_event_ns: NOW_NS,
            volume_e9: 1_000_000 * E9,
            session_count: 20,
            ..AverageVolume::default()
        };
        this.judge.gate.apply_market(any(&volume), NOW_NS);
        this.quote(100 * E9);
        this.step(0);
        this.kept.decisions.clear();
        this
    }

    pub(crate) fn quote(&mut self, price_e9: i64) {
        let quote = Quote {
            symbol: Symbol::truncated("IBM"),
            bid_price_e9: price_e9 - E9 / 100,
            ask_price_e9: price_e9 + E9 / 100,
            ..Quote::default()
        };
        self.judge.gate.apply_market(any(&quote), self.now_ns);
    }

    /// Lets time pass and the judge act; gives what it decided by itself.
    pub(crate) fn step(&mut self, after_ns: i64) -> Vec<Decision> {
        self.now_ns += after_ns;
        let before = self.kept.decisions.len();
        if self.judge.is_due(self.external, self.now_ns) {
            self.judge
                .step(self.external, self.now_ns, "", None, &mut self.kept)
                .expect("no error");
        }
        self.kept.decisions[before..].to_vec()
    }

    pub(crate) fn settle(&mut self) -> Vec<Decision> {
        self.step(E9 / 10)
    }

    pub(crate) fn ask(&mut self, side: Side, quantity: i64, price: i64) -> Vec<Decision> {
        self.ask_for(OrderIntent {
            order_class: OrderClass::SIMPLE,
            ..wish(side, quantity, price)
        })
    }

    /// Asks without a fresh quote.
    pub(crate) fn ask_unquoted(&mut self, side: Side, quantity: i64, price: i64) -> Vec<Decision> {
        self.judged(OrderIntent {
            order_class: OrderClass::SIMPLE,
            ..wish(side, quantity, price)
        })
    }

    /// Asks for a purchase with both legs.
    pub(crate) fn ask_for_bracket(&mut self, quantity: i64, price: i64) -> Decision {
        let decided = self.ask_for(OrderIntent {
            order_class: OrderClass::BRACKET,
            take_profit_price_e9: (price + 5) * E9,
            stop_loss_price_e9: (price - 2) * E9,
            ..wish(Side::BUY, quantity, price)
        });
        assert_eq!(decided[0].verdict, Verdict::APPROVED, "{:?}", decided[0].rule);
        decided[0]
    }

    fn ask_for(&mut self, intent: OrderIntent) -> Vec<Decision> {
        self.now_ns += 1_000_000_000;
        self.quote(intent.limit_price_e9);
        self.judged(intent)
    }

    fn judged(&mut self, intent: OrderIntent) -> Vec<Decision> {
        let header = Header {
            seq: self.kept.seq + 1,
            ts_ns: self.now_ns,
            ..Header::default()
        };
        let before = self.kept.decisions.len();
        let pending = Pending { header, intent };
        self.judge
            .step(self.external, self.now_ns, "", Some(&pending), &mut self.kept)
            .expect("no error");
        self.kept.decisions[before..].to_vec()
    }

    pub(crate) fn event(&mut self, order: &Decision, status: OrderStatus, filled_e9: i64) {
        let is_shown = !matches!(status, OrderStatus::REJECTED | OrderStatus::WITHHELD);
        let event = OrderEvent {
            client_order_id: Text::truncated(order.client_order_id.as_str()),
            venue_order_id: if is_shown { venue_id(order) } else { Uuid::default() },
            strategy: order.strategy,
            symbol: order.symbol,
            side: order.side,
            quantity_e9: order.quantity_e9,
            filled_quantity_e9: filled_e9,
            order_type: order.order_type,
            order_class: order.order_class,
            ts_event_ns: self.now_ns,
            kind: OrderEventKind::UPDATED,
            status,
            ..OrderEvent::default()
        };
        self.judge.gate.apply_execution(any(&event), self.now_ns);
    }

    /// The venue tells of an exit leg of an entry.
    pub(crate) fn leg(&mut self, entry: &Decision, status: OrderStatus) {
        let leg = Decision {
            client_order_id: Text::truncated("venue-leg"),
            ..*entry
        };
        let event = OrderEvent {
            client_order_id: Text::truncated("venue-leg"),
            venue_order_id: venue_id(&leg),
            parent_order_id: venue_id(entry),
            strategy: entry.strategy,
            symbol: entry.symbol,
            side: Side::SELL,
            quantity_e9: entry.quantity_e9,
            order_class: entry.order_class,
            ts_event_ns: self.now_ns,
            kind: OrderEventKind::UPDATED,
            status,
            ..OrderEvent::default()
        };
        self.judge.gate.apply_execution(any(&event), self.now_ns);
    }

    pub(crate) fn fill(&mut self, order: &Decision, quantity_e9: i64) {
        self.fills += 1;
        let is_buy = order.side == Side::BUY;
        self.position_e9 += if is_buy { quantity_e9 } else { -quantity_e9 };
        let fill = Fill {
            execution_id: Uuid::from_bytes([self.fills; 16]),
            client_order_id: Text::truncated(order.client_order_id.as_str()),
            strategy: order.strategy,
            symbol: order.symbol,
            ts_event_ns: self.now_ns,
            quantity_e9,
            price_e9: 100 * E9,
            position_quantity_e9: self.position_e9,
            side: order.side,
            ..Fill::default()
        };
        self.judge.gate.apply_execution(any(&fill), self.now_ns);
    }

    /// Buys, fills and waits; gives the stop that follows, which the venue takes.
    pub(crate) fn protected(&mut self, quantity: i64) -> Decision {
        let entry = self.ask(Side::BUY, quantity, 100)[0];
        assert_eq!(entry.verdict, Verdict::APPROVED, "{:?}", entry.rule);
        self.event(&entry, OrderStatus::FILLED, quantity * E9);
        self.fill(&entry, quantity * E9);
        let decided = self.settle();
        assert_eq!(decided.len(), 1, "{decided:?}");
        self.event(&decided[0], OrderStatus::NEW, 0);
        assert_eq!(self.step(E9).len(), 0);
        decided[0]
    }
}

fn wish(side: Side, quantity: i64, price: i64) -> OrderIntent {
    OrderIntent {
        strategy: Text::truncated("test"),
        symbol: Symbol::truncated("IBM"),
        quantity_e9: quantity * E9,
        limit_price_e9: price * E9,
        action: IntentAction::NEW,
        side,
        order_type: OrderType::LIMIT,
        time_in_force: TimeInForce::DAY,
        ..OrderIntent::default()
    }
}

pub(crate) fn venue_id(order: &Decision) -> Uuid {
    let mut bytes = [0; 16];
    let id = order.client_order_id.as_str().as_bytes();
    for (place, byte) in id.iter().enumerate() {
        bytes[place % 16] ^= byte.rotate_left((place / 16) as u32);
    }
    Uuid::from_bytes(bytes)
}
