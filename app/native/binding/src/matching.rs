//! The simulated venue's engine: requests in, answers and events out as the venue's JSON.

use crate::records::{self, OrderIntent};
use holdfast_matching as matching;
use holdfast_matching::{Engine, FeeBasis, FeeRule, Order, Refusal};
use holdfast_records::{OrderStatus, Side, Symbol, TimeInForce, Uuid};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// An HTTP status and a JSON body.
type Answer<'py> = (u16, Bound<'py, PyBytes>);

pub(crate) fn symbol_of(text: &str) -> PyResult<Symbol> {
    Symbol::new(text).ok_or_else(|| PyValueError::new_err(format!("{text:?} is not a symbol")))
}

fn uuid_of(text: &str) -> Uuid {
    Uuid::parse(text).unwrap_or_default()
}

fn bytes<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyBytes> {
    PyBytes::new(py, text.as_bytes())
}

fn refusal<'py>(py: Python<'py>, refused: &Refusal) -> Answer<'py> {
    (refused.status, bytes(py, &refused.to_json()))
}

/// A fee from a date on: (from_ns, basis, rate_e9, fee_e9_max).
type FeeTuple = (i64, String, i64, i64);

fn fee_rule((from_ns, basis, rate_e9, fee_e9_max): FeeTuple) -> PyResult<FeeRule> {
    let basis = match basis.as_str() {
        "sale_notional" => FeeBasis::SaleNotional,
        "sale_share" => FeeBasis::SaleShare,
        "share" => FeeBasis::Share,
        other => return Err(PyValueError::new_err(format!("{other:?} is not a fee basis"))),
    };
    Ok(FeeRule {
        from_ns,
        basis,
        rate_e9,
        fee_e9_max,
    })
}

/// One step in the life of an order at the simulated venue.
#[pyclass(frozen, module = "holdfast._native")]
struct VenueEvent {
    event: matching::Event,
    json: String,
}

#[pymethods]
impl VenueEvent {
    /// The venue's word: new, fill, partial_fill, canceled and the others.
    #[getter]
    fn name(&self) -> &'static str {
        self.event.name
    }
    /// The `data` of the trade update.
    #[getter]
    fn json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &self.json)
    }
    #[getter]
    fn at_ns(&self) -> i64 {
        self.event.at_ns
    }
    #[getter]
    fn venue_order_id(&self) -> String {
        self.event.order.id.to_string()
    }
    #[getter]
    fn client_order_id(&self) -> &str {
        self.event.order.client_order_id.as_str()
    }
    #[getter]
    fn symbol(&self) -> &str {
        self.event.order.symbol.as_str()
    }
    #[getter]
    fn side(&self) -> &'static str {
        self.event.order.side.label()
    }
    #[getter]
    fn status(&self) -> &'static str {
        self.event.order.status.label()
    }
    #[getter]
    fn filled_quantity_e9(&self) -> i64 {
        self.event.order.filled_quantity_e9
    }
    /// What is not filled, of the order after the event.
    #[getter]
    fn open_quantity_e9(&self) -> i64 {
        self.event.order.open_quantity_e9()
    }
    /// Empty unless it is a fill.
    #[getter]
    fn execution_id(&self) -> String {
        self.event
            .execution
            .map(|execution| execution.id.to_string())
            .unwrap_or_default()
    }
    #[getter]
    fn price_e9(&self) -> i64 {
        self.event.execution.map_or(0, |execution| execution.price_e9)
    }
    #[getter]
    fn quantity_e9(&self) -> i64 {
        self.event.execution.map_or(0, |execution| execution.quantity_e9)
    }
    #[getter]
    fn position_quantity_e9(&self) -> i64 {
        self.event
            .execution
            .map_or(0, |execution| execution.position_quantity_e9)
    }
    #[getter]
    fn fee_e9(&self) -> i64 {
        self.event.execution.map_or(0, |execution| execution.fee_e9)
    }
}

/// Which orders a list shows.
struct Filter {
    status: String,
    after_ns: i64,
    until_ns: i64,
    symbols: Vec<Symbol>,
    side: Side,
    is_nested: bool,
}

impl Filter {
    fn admits(&self, order: &Order) -> bool {
        // A held stop leg is neither open nor closed in the venue's lists.
        let is_status = match self.status.as_str() {
            "open" => order.is_open() && order.status != OrderStatus::HELD,
            "closed" => !order.is_open(),
            _ => true,
        };
        is_status
            && order.created_ns > self.after_ns
            && order.created_ns < self.until_ns
            && (self.symbols.is_empty() || self.symbols.contains(&order.symbol))
            && (self.side == Side::NONE || self.side == order.side)
            && !(self.is_nested && order.parent.is_some())
    }
}

/// The matching engine of the simulated venue with the account of its one client.
#[pyclass(module = "holdfast._native")]
struct MatchingEngine {
    engine: Engine,
}

#[pymethods]
impl MatchingEngine {
    #[new]
    #[pyo3(signature = (*, seed, cash_e9, partial_fill_ppm, latency_ns_min, latency_ns_max, margin_multiplier, fees))]
    fn new(
        seed: u64,
        cash_e9: i64,
        partial_fill_ppm: u32,
        latency_ns_min: i64,
        latency_ns_max: i64,
        margin_multiplier: i64,
        fees: Vec<FeeTuple>,
    ) -> PyResult<Self> {
        let fees = fees.into_iter().map(fee_rule).collect::<PyResult<_>>()?;
        let settings = matching::Settings {
            seed,
            cash_e9,
            partial_fill_ppm,
            latency_ns_min,
            latency_ns_max,
            margin_multiplier,
            fees,
        };
        Ok(Self {
            engine: Engine::new(settings),
        })
    }

    /// Lets a symbol be traded.
    fn add_asset(&mut self, symbol: &str, asset_id: &str, is_crypto: bool) -> PyResult<()> {
        self.engine.add_asset(symbol_of(symbol)?, uuid_of(asset_id), is_crypto);
        Ok(())
    }

    /// Sets the regular session that runs or comes next, ns UTC.
    fn set_session(&mut self, open_ns: i64, close_ns: i64) {
        self.engine.set_session(open_ns, close_ns);
    }

    /// Brings the engine to a time; what was due happens.
    fn advance(&mut self, now_ns: i64) {
        self.engine.advance(now_ns);
    }

    /// When something happens next without a quote.
    #[getter]
    fn next_due_ns(&self) -> Option<i64> {
        self.engine.next_due_ns()
    }

    /// Takes quotes and trades in order of time and matches at each quote; other records are passed over.
    fn on_records(&mut self, records: Vec<Bound<'_, PyAny>>) {
        for record in &records {
            if let Ok(quote) = record.cast::<records::Quote>() {
                self.engine.on_quote(&quote.get().record);
            } else if let Ok(trade) = record.cast::<records::Trade>() {
                let trade = &trade.get().record;
                self.engine.on_trade(trade.symbol, trade.ts_event_ns, trade.price_e9);
            }
        }
    }

    /// Answers `POST /v2/orders`; what follows at once is in `take_events`.
    fn submit<'py>(
        &mut self,
        py: Python<'py>,
        now_ns: i64,
        intent: &OrderIntent,
        client_order_id: &str,
    ) -> Answer<'py> {
        match self.engine.submit(now_ns, &intent.record, client_order_id) {
            Ok(index) => self.answer_and_advance(py, index, now_ns),
            Err(refused) => refusal(py, &refused),
        }
    }

    /// Answers `PATCH /v2/orders/{id}`; zero and empty text keep what the order has.
    #[pyo3(signature = (now_ns, venue_order_id, *, quantity_e9, limit_price_e9, stop_price_e9, trail_e9, time_in_force, client_order_id))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn replace<'py>(
        &mut self,
        py: Python<'py>,
        now_ns: i64,
        venue_order_id: &str,
        quantity_e9: i64,
        limit_price_e9: i64,
        stop_price_e9: i64,
        trail_e9: i64,
        time_in_force: &str,
        client_order_id: &str,
    ) -> PyResult<Answer<'py>> {
        let change = matching::Replacement {
            quantity_e9,
            limit_price_e9,
            stop_price_e9,
            trail_e9,
            time_in_force: TimeInForce::from_label(time_in_force)
                .ok_or_else(|| PyValueError::new_err("time_in_force: unknown"))?,
            client_order_id: matching::ClientOrderId::new(client_order_id)
                .ok_or_else(|| PyValueError::new_err("client_order_id: longer than 128 bytes"))?,
        };
        Ok(match self.engine.replace(now_ns, uuid_of(venue_order_id), &change) {
            Ok(index) => self.answer_and_advance(py, index, now_ns),
            Err(refused) => refusal(py, &refused),
        })
    }

    /// Answers `DELETE /v2/orders/{id}`: 204, 404 or 422.
    fn cancel<'py>(&mut self, py: Python<'py>, now_ns: i64, venue_order_id: &str) -> Answer<'py> {
        match self.engine.cancel(now_ns, uuid_of(venue_order_id)) {
            Ok(()) => {
                self.engine.advance(now_ns);
                (204, bytes(py, ""))
            }
            Err(refused) => refusal(py, &refused),
        }
    }

    /// The order with the venue's id; nothing when there is none.
    fn order<'py>(&self, py: Python<'py>, venue_order_id: &str, is_nested: bool) -> Option<Bound<'py, PyBytes>> {
        let order = self.engine.find(uuid_of(venue_order_id))?;
        Some(bytes(py, &self.engine.order_json(order, is_nested)))
    }

    /// The order with the client's id; nothing when there is none.
    fn order_of_client<'py>(&self, py: Python<'py>, client_order_id: &str) -> Option<Bound<'py, PyBytes>> {
        let order = self
            .engine
            .find_client(&matching::ClientOrderId::new(client_order_id)?)?;
        Some(bytes(py, &self.engine.order_json(order, false)))
    }

    /// A JSON list of orders, latest first unless `is_ascending`; `status` is open, closed or all.
    #[pyo3(signature = (*, status, limit, after_ns, until_ns, symbols, side, is_ascending, is_nested))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn orders<'py>(
        &self,
        py: Python<'py>,
        status: String,
        limit: usize,
        after_ns: i64,
        until_ns: i64,
        symbols: Vec<String>,
        side: &str,
        is_ascending: bool,
        is_nested: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let filter = Filter {
            status,
            after_ns,
            until_ns,
            symbols: symbols
                .iter()
                .map(|symbol| symbol_of(symbol))
                .collect::<PyResult<_>>()?,
            side: Side::from_label(side).ok_or_else(|| PyValueError::new_err("side: expected buy or sell"))?,
            is_nested,
        };
        let show = |order: &Order| self.engine.order_json(order, is_nested);
        let orders = self.engine.orders();
        let shown: Vec<String> = if is_ascending {
            orders
                .iter()
                .filter(|order| filter.admits(order))
                .take(limit)
                .map(show)
                .collect()
        } else {
            orders
                .iter()
                .rev()
                .filter(|order| filter.admits(order))
                .take(limit)
                .map(show)
                .collect()
        };
        Ok(bytes(py, &format!("[{}]", shown.join(","))))
    }

    /// Ids of every open order, oldest first, held legs left out.
    fn open_order_ids(&self) -> Vec<String> {
        let is_shown = |order: &&Order| order.is_open() && order.status != OrderStatus::HELD;
        self.engine
            .orders()
            .iter()
            .filter(is_shown)
            .map(|order| order.id.to_string())
            .collect()
    }

    /// A JSON list of the positions that are not flat.
    fn positions<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let count = self.engine.books().len();
        let shown: Vec<String> = (0..count)
            .filter_map(|index| self.engine.position_json(index))
            .collect();
        bytes(py, &format!("[{}]", shown.join(",")))
    }

    /// The position of a symbol; nothing when it is flat.
    fn position<'py>(&self, py: Python<'py>, symbol: &str) -> Option<Bound<'py, PyBytes>> {
        let index = self
            .engine
            .books()
            .iter()
            .position(|book| book.symbol.as_str() == symbol)?;
        Some(bytes(py, &self.engine.position_json(index)?))
    }

    /// (symbol, quantity, available), both scaled by 1e-9, of the positions that are not flat.
    fn quantities(&self) -> Vec<(String, i64, i64)> {
        let books = self.engine.books().iter().enumerate();
        books
            .filter(|(_, book)| book.position.quantity_e9 != 0)
            .map(|(index, book)| {
                (
                    book.symbol.to_string(),
                    book.position.quantity_e9,
                    self.engine.available_e9(index),
                )
            })
            .collect()
    }

    /// The members of the account that move, as JSON.
    fn account<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &self.engine.account_json())
    }

    #[getter]
    fn cash_e9(&self) -> i64 {
        self.engine.cash_e9()
    }

    #[getter]
    fn equity_e9(&self) -> i64 {
        self.engine.equity_e9()
    }

    /// Whether the regular session runs.
    #[getter]
    fn is_session_open(&self) -> bool {
        self.engine.is_session_open()
    }

    /// The account holder's own halt.
    #[getter]
    fn is_suspended(&self) -> bool {
        self.engine.is_suspended
    }

    #[setter]
    fn set_is_suspended(&mut self, value: bool) {
        self.engine.is_suspended = value;
    }

    /// Whether the account may sell what it does not hold.
    #[getter]
    fn is_shorting_enabled(&self) -> bool {
        self.engine.is_shorting_enabled
    }

    #[setter]
    fn set_is_shorting_enabled(&mut self, value: bool) {
        self.engine.is_shorting_enabled = value;
    }

    /// What happened since the last call, oldest first.
    fn take_events(&mut self) -> Vec<VenueEvent> {
        let events = self.engine.take_events();
        events
            .into_iter()
            .map(|event| VenueEvent {
                json: self.engine.update_json(&event),
                event,
            })
            .collect()
    }
}

impl MatchingEngine {
    /// Shows the order as it is when the request arrives, then lets happen what is due at once.
    fn answer_and_advance<'py>(&mut self, py: Python<'py>, index: usize, now_ns: i64) -> Answer<'py> {
        let shown = bytes(py, &self.engine.order_json(&self.engine.orders()[index], true));
        self.engine.advance(now_ns);
        (200, shown)
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<MatchingEngine>()?;
    module.add_class::<VenueEvent>()
}
