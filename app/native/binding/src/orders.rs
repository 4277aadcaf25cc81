//! Orders and positions of the account, as the journals tell them.

use crate::codes::PyCode;
use crate::records::{RecordSink, with_record};
use holdfast_orders as orders;
use holdfast_records::{AnyRecord, Record, Symbol};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

struct Apply<F>(F);

impl<T, F: FnOnce(AnyRecord<'_>) -> T> RecordSink for Apply<F> {
    type Output = Option<T>;

    fn accept<R: Record>(self, record: &R) -> PyResult<Option<T>> {
        Ok(AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record)).map(self.0))
    }
}

/// Runs `apply` on the record inside a Python object.
pub(crate) fn apply_to<T>(record: &Bound<'_, PyAny>, apply: impl FnOnce(AnyRecord<'_>) -> T) -> PyResult<T> {
    with_record(record, Apply(apply))?.ok_or_else(|| PyValueError::new_err("a record that its own layout refuses"))
}

/// One order of the account at one moment.
#[pyclass(frozen, module = "holdfast._native")]
struct Order(orders::Order);

macro_rules! order_methods {
    (texts $($text:ident)*; values $($value:ident: $type:ty)*; codes $($code:ident)*) => {
        #[pymethods]
        impl Order {
            $(
                #[getter]
                fn $text(&self) -> String {
                    self.0.$text.to_string()
                }
            )*
            $(
                #[getter]
                fn $value(&self) -> $type {
                    self.0.$value
                }
            )*
            $(
                #[getter]
                fn $code(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                    PyCode::to_python(self.0.$code, py)
                }
            )*
            #[getter]
            fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                PyCode::to_python(self.0.status(), py)
            }
            /// Whether it is none of ours.
            #[getter]
            fn is_external(&self) -> bool {
                self.0.is_external()
            }
            /// Whether it can still fill; everything not proven to have ended.
            #[getter]
            fn is_open(&self) -> bool {
                self.0.is_open()
            }
            #[getter]
            fn is_unknown(&self) -> bool {
                self.0.is_unknown()
            }
            /// Whether risk-manager placed it to protect a position.
            #[getter]
            fn is_protective(&self) -> bool {
                self.0.is_protective()
            }
            /// Whether the venue has shown it.
            #[getter]
            fn is_at_venue(&self) -> bool {
                self.0.is_at_venue()
            }
            #[getter]
            fn is_overfilled(&self) -> bool {
                self.0.is_overfilled()
            }
            #[getter]
            fn filled_quantity_e9(&self) -> i64 {
                self.0.filled_quantity_e9()
            }
            #[getter]
            fn open_quantity_e9(&self) -> i64 {
                self.0.open_quantity_e9()
            }
            #[getter]
            fn average_price_e9(&self) -> i64 {
                self.0.average_price_e9()
            }
            fn __repr__(&self) -> String {
                let order = &self.0;
                format!(
                    "Order({} {} {} {}/{}e-9 {})",
                    order.client_order_id,
                    order.side.label(),
                    order.symbol,
                    order.filled_quantity_e9(),
                    order.quantity_e9,
                    order.status().label()
                )
            }
        }
    };
}
order_methods! {
    texts client_order_id venue_order_id replaces_order_id parent_order_id strategy symbol;
    values decision_seq: u64 quote_seq: u64 quantity_e9: i64 notional_e9: i64 limit_price_e9: i64 stop_price_e9: i64
        is_approved: bool is_reduction: bool is_cancel_requested: bool is_replace_requested: bool
        has_second_venue_order: bool;
    codes side order_type time_in_force order_class rule
}

/// Orders by client order id, from records applied in any order, any number of times.
#[pyclass(module = "holdfast._native")]
#[derive(Default)]
struct OrderTable(orders::OrderTable);

#[pymethods]
impl OrderTable {
    #[new]
    fn new() -> Self {
        Self::default()
    }
    /// Applies an OrderEvent, Fill or approved Decision; gives the order it concerns, None for other records.
    fn apply(&mut self, record: &Bound<'_, PyAny>) -> PyResult<Option<Order>> {
        let applied = apply_to(record, |record| self.0.apply(record))?;
        Ok(applied.map(|applied| Order(*self.0.at(applied.index))))
    }
    fn get(&self, client_order_id: &str) -> Option<Order> {
        self.0.get(client_order_id).copied().map(Order)
    }
    /// Every order, in the order of first mention.
    fn orders(&self) -> Vec<Order> {
        self.0.orders().iter().copied().map(Order).collect()
    }
    fn open_orders(&self) -> Vec<Order> {
        self.0.open_orders().copied().map(Order).collect()
    }
    /// Number of executions applied, each counted once.
    #[getter]
    fn executions_count(&self) -> usize {
        self.0.executions_count()
    }
    /// Equal for any permutation and repetition of the same records.
    fn state_hash(&self) -> u64 {
        self.0.state_hash()
    }
    fn __len__(&self) -> usize {
        self.0.orders().len()
    }
}

/// One position at one moment, quantity signed.
#[pyclass(frozen, get_all, module = "holdfast._native")]
struct Position {
    symbol: String,
    quantity_e9: i64,
    /// Rounded half to even; 0 when flat.
    average_price_e9: i64,
    mark_price_e9: i64,
    /// Net of fees.
    realized_pnl_e9: i64,
    unrealized_pnl_e9: i64,
    fees_e9: i64,
    fills_count: usize,
    /// What the venue last reported; None if it never did.
    venue_quantity_e9: Option<i64>,
}

impl Position {
    fn of(symbol: Symbol, entry: &orders::SymbolPosition) -> Self {
        let position = entry.position();
        Self {
            symbol: symbol.to_string(),
            quantity_e9: position.quantity_e9,
            average_price_e9: position.average_price_e9(),
            mark_price_e9: entry.mark_price_e9(),
            realized_pnl_e9: position.realized_pnl_e9(),
            unrealized_pnl_e9: entry.unrealized_pnl_e9(),
            fees_e9: position.fees_e9,
            fills_count: entry.fills_count(),
            venue_quantity_e9: entry.venue_quantity_e9(),
        }
    }
}

#[pymethods]
impl Position {
    fn __repr__(&self) -> String {
        format!(
            "Position({} {}e-9 at {}e-9, realized {}e-9, unrealized {}e-9)",
            self.symbol, self.quantity_e9, self.average_price_e9, self.realized_pnl_e9, self.unrealized_pnl_e9
        )
    }
}

/// Positions by symbol, from fills that may arrive late or twice, valued at the quotes applied.
#[pyclass(module = "holdfast._native")]
#[derive(Default)]
struct PositionBook(orders::PositionBook);

#[pymethods]
impl PositionBook {
    #[new]
    fn new() -> Self {
        Self::default()
    }
    /// Applies a Fill, PositionSnapshot, Reconciled or Quote; true if it was a fill not applied before.
    fn apply(&mut self, record: &Bound<'_, PyAny>) -> PyResult<bool> {
        apply_to(record, |record| self.0.apply(record).is_some())
    }
    /// Values a position at a price; ValueError for an impossible symbol.
    fn mark(&mut self, symbol: &str, price_e9: i64) -> PyResult<()> {
        self.0.mark(parse_symbol(symbol)?, price_e9);
        Ok(())
    }
    /// The position of a symbol; None if it never had a fill or a snapshot.
    fn get(&self, symbol: &str) -> PyResult<Option<Position>> {
        let symbol = parse_symbol(symbol)?;
        Ok(self.0.get(symbol).map(|entry| Position::of(symbol, entry)))
    }
    /// Every symbol that ever had a fill or a snapshot, sorted, flat ones included.
    fn positions(&self) -> Vec<Position> {
        self.0
            .iter()
            .map(|(symbol, entry)| Position::of(*symbol, entry))
            .collect()
    }
    /// Net of fees.
    #[getter]
    fn realized_pnl_e9(&self) -> i64 {
        self.0.realized_pnl_e9()
    }
    #[getter]
    fn unrealized_pnl_e9(&self) -> i64 {
        self.0.unrealized_pnl_e9()
    }
    /// Equal for any permutation and repetition of the same fills; marks are left out.
    fn state_hash(&self) -> u64 {
        self.0.state_hash()
    }
}

/// A symbol of at most 16 bytes.
pub(crate) fn parse_symbol(symbol: &str) -> PyResult<Symbol> {
    Symbol::new(symbol).ok_or_else(|| PyValueError::new_err(format!("{symbol:?} is not a symbol of at most 16 bytes")))
}

/// Whether a client order id is that of a protective stop of ours.
#[pyfunction]
fn is_protective(client_order_id: &str) -> bool {
    orders::is_protective(client_order_id)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("OWN_PREFIX", orders::OWN_PREFIX)?;
    module.add_function(wrap_pyfunction!(is_protective, module)?)?;
    module.add_class::<Order>()?;
    module.add_class::<OrderTable>()?;
    module.add_class::<Position>()?;
    module.add_class::<PositionBook>()
}
