//! What a journal refuses, keeps and survives.

use holdfast_journal::{Durability, Error, KillLatch, Options, Reader, Writer, verify, wait};
use holdfast_records::{Cause, HEADER_BYTES, JournalName, Quote};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const RECORD_BYTES: usize = HEADER_BYTES + size_of::<Quote>();
const PER_SEGMENT: u64 = (4096 - 8) / RECORD_BYTES as u64;

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        build_hash: 11,
        config_hash: 22,
        ..Options::default()
    }
}

fn open(directory: &Path, options: &Options, now_ns: i64) -> Writer {
    Writer::open(directory, JournalName::SIGNALS, options, now_ns).expect("opens")
}

fn append(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        let record = Quote {
            bid_price_e9: writer.next_seq() as i64,
            ..Quote::default()
        };
        writer.append(&record, 1, Cause::default()).expect("appends");
    }
}

fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen in ten seconds");
        std::thread::yield_now();
    }
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path(), &options(), 5);
    let second = Writer::open(folder.path(), JournalName::SIGNALS, &options(), 6);
    assert!(matches!(second, Err(Error::Locked { .. })));
    drop(first);
    open(folder.path(), &options(), 7);
}

#[test]
fn the_epoch_rises_with_each_opening_even_when_the_clock_steps_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path(), &options(), 1_000).epoch();
    let second = open(folder.path(), &options(), 10).epoch();
    assert_eq!((first, second), (1_000, 1_001));
}

#[test]
fn another_journal_in_the_directory_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path(), &options(), 1));
    let other = Writer::open(folder.path(), JournalName::ORDERS, &options(), 2);
    assert!(matches!(other, Err(Error::Mismatch { .. })));
}

#[test]
fn readers_see_identity_and_heartbeat() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(Reader::open(folder.path(), 1), Err(Error::Missing { .. })));
    let writer = open(folder.path(), &options(), 9);
    let reader = Reader::open(folder.path(), 1).expect("opens");
    writer.heartbeat(77);
    let identity = reader.identity();
    assert_eq!(
        (
            reader.heartbeat_ns(),
            identity.build_hash,
            identity.config_hash,
            identity.epoch
        ),
        (77, 11, 22, 9)
    );
}

#[test]
fn retention_keeps_the_newest_segments_and_tells_slow_readers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = open(
        folder.path(),
        &Options {
            segments_retained_max: 3,
            ..options()
        },
        1,
    );
    let mut slow = Reader::open(folder.path(), 1).expect("opens");
    append(&mut writer, PER_SEGMENT * 6);
    eventually(|| slow.first_seq() == PER_SEGMENT * 3 + 1);
    let refused = Reader::open(folder.path(), 1);
    assert!(matches!(refused, Err(Error::Pruned { wanted_seq: 1, first_seq, .. }) if first_seq == PER_SEGMENT * 3 + 1));
    for _ in 0..PER_SEGMENT {
        slow.next().expect("a mapped segment stays readable").expect("a record");
    }
    assert!(matches!(slow.next(), Err(Error::Pruned { .. })));
    slow.seek(0).expect("the oldest retained");
    assert_eq!(
        slow.next().expect("reads").expect("a record").header.seq,
        PER_SEGMENT * 3 + 1
    );
    drop(writer);
    assert_eq!(verify(folder.path()).expect("verifies").first_seq, PER_SEGMENT * 3 + 1);
    assert_eq!(open(folder.path(), &options(), 2).next_seq(), PER_SEGMENT * 6 + 1);
}

#[test]
fn a_record_synced_before_it_was_visible_is_kept_under_power_durability() {
    for (durability, next_seq) in [(Durability::Power, 3), (Durability::Process, 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = open(
            folder.path(),
            &Options {
                durability,
                ..options()
            },
            1,
        );
        append(&mut writer, 2);
        writer.close().expect("closes");
        // The state after power was lost between the sync and the commit of record 2.
        let header = std::fs::File::options()
            .write(true)
            .open(folder.path().join("header"))
            .expect("opens");
        header.write_all_at(&1_u64.to_le_bytes(), 72).expect("writes");
        let segment = folder.path().join(format!("{:020}.segment", 1));
        let segment = std::fs::File::options().write(true).open(segment).expect("opens");
        segment.write_all_at(&[0; 4], RECORD_BYTES as u64).expect("writes");
        assert_eq!(
            open(folder.path(), &options(), 2).next_seq(),
            next_seq,
            "{durability:?}"
        );
    }
}

#[test]
fn a_tail_lost_with_the_power_is_cut_and_a_durable_one_is_not() {
    for (synced_seq, is_cut) in [(1_u64, true), (PER_SEGMENT + 1, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = open(folder.path(), &options(), 1);
        append(&mut writer, PER_SEGMENT * 2);
        writer.close().expect("closes");
        let header = std::fs::File::options()
            .write(true)
            .open(folder.path().join("header"))
            .expect("opens");
        header.write_all_at(&synced_seq.to_le_bytes(), 72).expect("writes");
        let segment = folder.path().join(format!("{:020}.segment", 1));
        let segment = std::fs::File::options().write(true).open(segment).expect("opens");
        segment
            .write_all_at(&[0; RECORD_BYTES], 2 * RECORD_BYTES as u64)
            .expect("writes");
        let outcome = Writer::open(folder.path(), JournalName::SIGNALS, &options(), 2);
        if is_cut {
            let writer = outcome.expect("opens");
            assert_eq!(writer.next_seq(), 3);
            assert!(writer.bytes_cut() > 4096);
        } else {
            // The scan starts at the last durable segment; damage before it is found by readers and by verify.
            assert_eq!(outcome.expect("opens").next_seq(), PER_SEGMENT * 2 + 1);
            assert_eq!(verify(folder.path()).expect("verifies").records, 2);
        }
    }
}

#[test]
fn waiting_ends_with_a_record_or_with_the_time() {
    let folders = [
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    ];
    let mut writers: Vec<_> = folders
        .iter()
        .map(|folder| open(folder.path(), &options(), 1))
        .collect();
    let mut readers: Vec<_> = folders
        .iter()
        .map(|folder| Reader::open(folder.path(), 1).expect("opens"))
        .collect();
    let mut all: Vec<&mut Reader> = readers.iter_mut().collect();
    assert!(!wait(&mut all, Duration::ZERO, Duration::from_millis(5)).expect("waits"));
    let writer = std::thread::spawn(move || {
        for _ in 0..2_000 {
            for writer in &mut writers {
                append(writer, 1);
            }
        }
        writers
    });
    let mut count = 0;
    while count < 4_000 {
        assert!(
            wait(&mut all, Duration::ZERO, Duration::from_secs(10)).expect("waits"),
            "a wake was missed at {count}"
        );
        for reader in &mut all {
            while reader.next().expect("reads").is_some() {
                count += 1;
            }
        }
    }
    drop(writer.join().expect("the writer ends"));
}

#[test]
fn the_latch_is_sticky_and_names_the_first_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latch");
    let latch = KillLatch::open(&path).expect("opens");
    let other = KillLatch::open(&path).expect("opens");
    assert!(!latch.is_set() && !other.is_set());
    assert!(latch.trip("ann", "drill", 5).expect("trips"));
    assert!(other.is_set() && other.generation() == 1);
    assert!(!other.trip("bob", "too", 6).expect("stays"));
    assert_eq!((other.note().operator.as_str(), other.note().ts_ns), ("ann", 5));
    assert!(matches!(latch.reset("ann", " ", 7), Err(Error::Invalid { .. })));
    assert!(latch.is_set());
    drop((latch, other));
    let reopened = KillLatch::open(&path).expect("opens");
    assert!(reopened.is_set());
    assert!(reopened.reset("eve", "checked", 8).expect("resets"));
    assert_eq!(
        (
            reopened.is_set(),
            reopened.generation(),
            reopened.note().reason.as_str()
        ),
        (false, 2, "checked")
    );
    assert!(reopened.reset("eve", "breakers", 9).expect("resets"));
    assert_eq!((reopened.is_set(), reopened.generation()), (false, 4));
}

#[test]
fn a_reset_of_a_clear_latch_never_sets_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latch");
    let latch = KillLatch::open(&path).expect("opens");
    std::thread::scope(|scope| {
        let other = KillLatch::open(&path).expect("opens");
        let watcher = scope.spawn(move || {
            let mut was_set = false;
            while other.generation() < 20_000 {
                was_set |= other.is_set();
            }
            was_set
        });
        for _ in 0..10_000 {
            latch.reset("eve", "breakers", 9).expect("resets");
        }
        assert!(!watcher.join().expect("watches"));
    });
}

#[test]
fn one_stored_byte_sets_the_latch() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latch");
    let latch = KillLatch::open(&path).expect("opens");
    latch.trip("ann", "drill", 5).expect("trips");
    latch.reset("ann", "over", 6).expect("resets");
    let script = std::fs::File::options().write(true).open(&path).expect("opens");
    script.write_all_at(&[0xFF], 8).expect("writes");
    assert!(latch.is_set() && latch.generation() == 255 && latch.note().reason.is_empty());
    latch.trip("bob", "adds a note", 7).expect("trips");
    assert_eq!(latch.note().operator, "bob");
    assert!(latch.reset("ann", "over", 8).expect("resets"));
    assert_eq!(latch.generation(), 256);
}

#[test]
fn a_replaced_or_damaged_latch_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latch");
    let latch = KillLatch::open(&path).expect("opens");
    assert!(latch.is_linked());
    std::fs::remove_file(&path).expect("removes");
    assert!(!latch.is_linked());
    KillLatch::open(&path).expect("opens");
    assert!(!latch.is_linked());
    std::fs::write(&path, b"not a latch").expect("writes");
    assert!(matches!(KillLatch::open(&path), Err(Error::Corrupt { .. })));
}

#[test]
fn without_a_keeper_nothing_happens_beside_the_writer_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let alone = Options {
        has_keeper: false,
        segments_retained_max: 1,
        ..options()
    };
    let count = 12 * PER_SEGMENT + 1;
    let mut writer = open(folder.path(), &alone, 1);
    append(&mut writer, count);
    assert!(!folder.path().join("spare").exists(), "no thread allocates ahead");
    writer.close().expect("closes");
    let mut reader = Reader::open(folder.path(), 0).expect("opens");
    assert_eq!((reader.first_seq(), reader.last_seq()), (1, count));
    assert_eq!(open(folder.path(), &alone, 2).next_seq(), count + 1);
    reader.seek(1).expect("the first is still there");
}
