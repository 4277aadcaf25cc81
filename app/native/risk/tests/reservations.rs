//! Limits hold in the worst case over any history, and a restart anywhere in it gives the same state.

mod desk;
use desk::*;
use holdfast_records::{Decision, E9, Fill, OrderEvent, OrderStatus, Side, Text, Uuid, Verdict};
use holdfast_risk::{Gate, RiskLimits};
use proptest::prelude::*;

const POSITION_MAX: i64 = 50;
const GROSS_MAX: i64 = 9_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask { is_buy: bool, symbol: bool, quantity: i64 },
    Fill { order: usize, quantity: i64 },
    Status { order: usize, status: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (proptest::bool::ANY, proptest::bool::ANY, 1..40_i64).prop_map(|(is_buy, symbol, quantity)| Step::Ask {
        is_buy,
        symbol,
        quantity,
    });
    let fill = (0..20_usize, 1..40_i64).prop_map(|(order, quantity)| Step::Fill { order, quantity });
    let status = (0..20_usize, 1..21_u8).prop_map(|(order, status)| Step::Status { order, status });
    proptest::collection::vec(prop_oneof![3 => ask, 2 => fill, 2 => status], 1..60)
}

fn tight() -> RiskLimits {
    let quantity = RiskLimits {
        position_quantity_max_e9: POSITION_MAX * E9,
        ..limits()
    };
    RiskLimits {
        gross_exposure_max_e9: GROSS_MAX * E9,
        ..quantity
    }
}

/// What the journals of a run hold: decisions with their time, and executions, in the order of application.
enum Journaled {
    Decision(Decision, i64),
    Event(OrderEvent),
    Fill(Fill),
}

struct Run {
    gate: Gate,
    decisions: Vec<Decision>,
    journaled: Vec<Journaled>,
    now_ns: i64,
}

impl Run {
    fn new() -> Self {
        Self {
            gate: gate(tight()),
            decisions: Vec::new(),
            journaled: Vec::new(),
            now_ns: 0,
        }
    }

    fn step(&mut self, step: Step) {
        self.now_ns += 1_000;
        match step {
            Step::Ask {
                is_buy,
                symbol,
                quantity,
            } => {
                let intent = if is_buy {
                    buy(quantity, 100)
                } else {
                    sell(quantity, 101)
                };
                let intent = of(if symbol { "IBM" } else { "SPY" }, intent);
                let at = after_ns(self.now_ns);
                let decision = judge(&mut self.gate, &intent, at);
                if decision.verdict == Verdict::APPROVED {
                    self.decisions.push(decision);
                }
                self.journaled.push(Journaled::Decision(decision, at.now_ns));
            }
            Step::Fill { order, quantity } => self.fill(order, quantity),
            Step::Status { order, status } => {
                if let Some(decision) = self.decisions.get(order) {
                    let event = event(decision, OrderStatus(status));
                    self.gate.apply_execution(desk::any(&event), NOW_NS);
                    self.journaled.push(Journaled::Event(event));
                }
            }
        }
    }

    /// Fills at most what is open, as a venue does.
    fn fill(&mut self, order: usize, quantity: i64) {
        let Some(decision) = self.decisions.get(order) else {
            return;
        };
        let open_e9 = self
            .gate
            .orders()
            .get(decision.client_order_id.as_str())
            .map_or(0, holdfast_orders::Order::open_quantity_e9);
        let quantity_e9 = open_e9.min(quantity * E9);
        if quantity_e9 == 0 {
            return;
        }
        let fill = Fill {
            execution_id: Uuid::from_bytes([self.journaled.len() as u8; 16]),
            client_order_id: Text::truncated(decision.client_order_id.as_str()),
            symbol: decision.symbol,
            ts_event_ns: self.now_ns,
            quantity_e9,
            price_e9: decision.limit_price_e9,
            side: decision.side,
            ..Fill::default()
        };
        self.gate.apply_execution(desk::any(&fill), NOW_NS);
        self.journaled.push(Journaled::Fill(fill));
    }

    /// A new process that reads the journals.
    fn restarted(&self) -> Gate {
        let mut gate = gate(tight());
        for record in &self.journaled {
            match record {
                Journaled::Decision(decision, ts_ns) => gate.restore(decision, *ts_ns),
                Journaled::Event(event) => gate.apply_execution(desk::any(event), NOW_NS),
                Journaled::Fill(fill) => gate.apply_execution(desk::any(fill), NOW_NS),
            }
        }
        gate
    }

    /// The greatest position that the open orders of a symbol can bring, from the orders themselves.
    fn worst_quantity_e9(&self, symbol: &str) -> i64 {
        let symbol = holdfast_records::Symbol::truncated(symbol);
        let position_e9 = self
            .gate
            .positions()
            .get(symbol)
            .map_or(0, |entry| entry.position().quantity_e9);
        let open = |side: Side| {
            let orders = self
                .gate
                .orders()
                .open_orders()
                .filter(|order| order.symbol == symbol && order.side == side);
            orders.map(holdfast_orders::Order::open_quantity_e9).sum::<i64>()
        };
        (position_e9 + open(Side::BUY)).max(open(Side::SELL) - position_e9)
    }
}

/// Our own words about an end, which the venue's evidence may revoke: nothing is counted after them until it does.
fn is_own_end(step: &Step) -> bool {
    let own = [OrderStatus::REJECTED, OrderStatus::WITHHELD].map(|status| status.0);
    matches!(step, Step::Status { status, .. } if own.contains(status))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_fills_no_limit_is_passed(steps in steps()) {
        let mut run = Run::new();
        for step in steps.into_iter().filter(|step| !is_own_end(step)) {
            run.step(step);
            let worst_e9 = run.worst_quantity_e9("IBM").max(run.worst_quantity_e9("SPY"));
            prop_assert!(worst_e9 <= POSITION_MAX * E9, "{}", worst_e9);
        }
    }

    #[test]
    fn a_restart_gives_the_same_state_and_the_same_next_decision(steps in steps(), quantity in 1..40_i64) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        let mut again = run.restarted();
        prop_assert_eq!(run.gate.state_hash(), again.state_hash());
        let at = after_ns(run.now_ns + 1);
        let intent = buy(quantity, 100);
        prop_assert_eq!(judge(&mut run.gate, &intent, at), judge(&mut again, &intent, at));
    }
}
