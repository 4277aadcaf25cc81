//! The Python module `holdfast._native`: one file per concept, each with a `register`.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod book;
mod codes;
mod decode;
mod dispatch;
mod edge;
mod encode;
mod halts;
mod hop;
mod job_queue;
mod journal;
mod latch;
mod limit_book;
mod limits;
mod matching;
mod orders;
mod records;
mod risk;
mod turns;
mod venue_market;
mod waiting;

use pyo3::prelude::*;

#[pymodule(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    codes::register(module)?;
    records::register(module)?;
    journal::register(module)?;
    hop::register(module)?;
    waiting::register(module)?;
    latch::register(module)?;
    edge::register(module)?;
    decode::register(module)?;
    dispatch::register(module)?;
    encode::register(module)?;
    book::register(module)?;
    risk::register(module)?;
    halts::register(module)?;
    limit_book::register(module)?;
    orders::register(module)?;
    matching::register(module)?;
    venue_market::register(module)?;
    job_queue::register(module)?;
    turns::register(module)
}
