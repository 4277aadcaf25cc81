//! Measuring one journal hop as the native loops make it: both ends without Python.

use crate::journal::{JournalReader, JournalWriter, to_exception};
use holdfast_journal::{self as journal, Wake};
use holdfast_records::{Cause, Quote};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);
/// Some seconds: an end that waits in vain must not spin for ever.
const SPINS_MAX: u64 = 500_000_000;

/// The two ends of one side, taken from their Python objects.
struct Ends {
    writer: journal::Writer,
    reader: journal::Reader,
    is_spinning: bool,
}

impl Ends {
    fn send(&mut self) -> journal::Result<()> {
        self.writer.append(&Quote::default(), 1, Cause::default()).map(|_| ())
    }

    /// Takes the next record; false when none comes in time.
    fn receive(&mut self) -> journal::Result<bool> {
        for turn in 1_u64.. {
            if self.reader.next()?.is_some() {
                return Ok(true);
            }
            if self.is_spinning {
                std::hint::spin_loop();
                if turn == SPINS_MAX {
                    break;
                }
            } else if journal::wait_any(&[self.reader.watch()?], Duration::ZERO, Some(PATIENCE), None)? != Wake::Ready {
                break;
            }
        }
        Ok(false)
    }
}

fn ends(writer: &mut JournalWriter, reader: &mut JournalReader, is_spinning: bool) -> PyResult<Ends> {
    Ok(Ends {
        writer: writer.take_writer()?,
        reader: reader.take_reader()?,
        is_spinning,
    })
}

/// Writes `rounds` records, each after the echo of the one before; the time of each round trip, ns. Closes both.
#[pyfunction]
#[pyo3(signature = (writer, reader, rounds, *, is_spinning))]
fn measure_hops_ns(
    py: Python<'_>,
    writer: &mut JournalWriter,
    reader: &mut JournalReader,
    rounds: usize,
    is_spinning: bool,
) -> PyResult<Vec<u64>> {
    let mut ends = ends(writer, reader, is_spinning)?;
    py.detach(|| {
        let mut trips_ns = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let started = Instant::now();
            ends.send()?;
            if !ends.receive()? {
                break;
            }
            trips_ns.push(started.elapsed().as_nanos() as u64);
        }
        Ok(trips_ns)
    })
    .map_err(to_exception)
}

/// Answers `rounds` records, each with one; ends early when none comes for five seconds. Closes both.
#[pyfunction]
#[pyo3(signature = (writer, reader, rounds, *, is_spinning))]
fn echo_hops(
    py: Python<'_>,
    writer: &mut JournalWriter,
    reader: &mut JournalReader,
    rounds: usize,
    is_spinning: bool,
) -> PyResult<()> {
    let mut ends = ends(writer, reader, is_spinning)?;
    py.detach(|| {
        for _ in 0..rounds {
            if !ends.receive()? {
                break;
            }
            ends.send()?;
        }
        Ok(())
    })
    .map_err(to_exception)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(measure_hops_ns, module)?)?;
    module.add_function(wrap_pyfunction!(echo_hops, module)?)
}
