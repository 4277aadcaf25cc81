//! Random operations on a journal, compared with a plain vector.

use holdfast_journal::{Error, Options, Reader, Writer, verify};
use holdfast_records::{AnyRecord, Cause, Decision, HEADER_BYTES, JournalName, Quote};
use proptest::prelude::*;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SEGMENT_BYTES: u64 = 4096;

#[derive(Clone, Debug)]
enum Step {
    AppendQuotes(u8),
    AppendDecisions(u8),
    Read(u8),
    Seek(u16),
    SeekEnd,
    Reopen,
    Tear(Vec<u8>),
    Mirror,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..60_u8).prop_map(Step::AppendQuotes),
        2 => (1..12_u8).prop_map(Step::AppendDecisions),
        4 => (1..90_u8).prop_map(Step::Read),
        2 => any::<u16>().prop_map(Step::Seek),
        1 => Just(Step::SeekEnd),
        1 => Just(Step::Reopen),
        2 => prop::collection::vec(any::<u8>(), 5..200).prop_map(Step::Tear),
        1 => Just(Step::Mirror),
    ];
    prop::collection::vec(step, 1..30)
}

fn options(segments_retained_max: usize) -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        segments_retained_max,
        ..Options::default()
    }
}

fn open(directory: &Path, retained_max: usize) -> Writer {
    Writer::open(directory, JournalName::ORDERS, &options(retained_max), 1).expect("opens")
}

fn quote(number: i64) -> Quote {
    Quote {
        bid_price_e9: number,
        ..Quote::default()
    }
}

fn decision(number: i64) -> Decision {
    Decision {
        limit_price_e9: number,
        ..Decision::default()
    }
}

fn cause(number: i64) -> Cause {
    Cause {
        journal: JournalName::SIGNALS,
        seq: number as u64,
        origin_ns: -number,
    }
}

/// The number hidden in a record, which says all about it.
fn number_of(entry: &holdfast_journal::Entry<'_>) -> i64 {
    let number = match entry.record() {
        Some(AnyRecord::Quote(quote)) => quote.bid_price_e9,
        Some(AnyRecord::Decision(decision)) => decision.limit_price_e9,
        other => panic!("unexpected {other:?}"),
    };
    assert_eq!(entry.header.ts_ns, number * 3);
    assert_eq!(entry.as_cause(JournalName::SIGNALS).origin_ns, -number);
    number
}

/// Writes bytes where the next record would begin, as a writer that died in the middle would leave them: without a length.
fn tear(directory: &Path, garbage: &[u8]) -> u64 {
    let segments = segments(directory);
    let path = segments.last().expect("a segment");
    let bytes = std::fs::read(path).expect("readable");
    let mut offset = 0;
    while let length @ 1.. = u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes")) {
        if length == u32::MAX {
            return 0;
        }
        offset += length as usize;
    }
    let room = bytes.len() - offset - 4;
    let garbage = &garbage[..garbage.len().min(room)];
    let file = std::fs::File::options().write(true).open(path).expect("writable");
    file.write_all_at(garbage, offset as u64 + 4).expect("written");
    garbage
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last as u64 + 5)
}

fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    paths.sort();
    paths
}

fn assert_mirrors(source: &Path, records: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut reader = Reader::open(source, 1).expect("opens");
    let mut mirror = Writer::open_mirror(folder.path(), &reader.identity(), &options(0)).expect("opens");
    while let Some(entry) = reader.next().expect("reads") {
        mirror.append_raw(entry.bytes).expect("appends");
    }
    assert_eq!(mirror.next_seq() as usize, records + 1);
    mirror.close().expect("closes");
    let (ours, theirs) = (segments(folder.path()), segments(source));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.file_name(), theirs.file_name());
        assert!(
            std::fs::read(ours).expect("reads") == std::fs::read(theirs).expect("reads"),
            "{} differs",
            theirs.display()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_vector(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut model: Vec<i64> = Vec::new();
        let mut writer = Some(open(folder.path(), 0));
        let mut reader = Reader::open(folder.path(), 1).expect("opens");
        let mut epoch = writer.as_ref().map_or(0, Writer::epoch);
        for step in steps {
            let open_writer = writer.as_mut().expect("open between steps");
            match step {
                Step::AppendQuotes(count) => for _ in 0..count {
                    let number = model.len() as i64 + 1;
                    let seq = open_writer.append(&quote(number), number * 3, cause(number)).expect("appends");
                    prop_assert_eq!(seq as i64, number);
                    model.push(number);
                },
                Step::AppendDecisions(count) => for _ in 0..count {
                    let number = model.len() as i64 + 1;
                    open_writer.append(&decision(number), number * 3, cause(number)).expect("appends");
                    model.push(number);
                },
                Step::Read(count) => for _ in 0..count {
                    let expected = model.get(reader.next_seq() as usize - 1).copied();
                    let found = reader.next().expect("reads").map(|entry| number_of(&entry));
                    prop_assert_eq!(found, expected);
                },
                Step::Seek(seq) => {
                    let seq = u64::from(seq) % (model.len() as u64 + 3) + 1;
                    let before = reader.next_seq();
                    match reader.seek(seq) {
                        Ok(()) => prop_assert!(seq <= model.len() as u64 + 1 && reader.next_seq() == seq),
                        Err(Error::Ahead { last_seq, .. }) => {
                            prop_assert!(seq > model.len() as u64 + 1);
                            prop_assert_eq!(last_seq, model.len() as u64);
                            prop_assert_eq!(reader.next_seq(), before);
                        }
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
                Step::SeekEnd => {
                    reader.seek_end().expect("seeks");
                    prop_assert_eq!(reader.next_seq(), model.len() as u64 + 1);
                }
                Step::Reopen => drop(writer.take()),
                Step::Tear(garbage) => {
                    drop(writer.take());
                    let torn = tear(folder.path(), &garbage);
                    prop_assert_eq!(verify(folder.path()).expect("verifies").torn_bytes, torn);
                    let reopened = open(folder.path(), 0);
                    prop_assert_eq!(reopened.bytes_cut(), torn);
                    drop(reopened);
                }
                Step::Mirror => assert_mirrors(folder.path(), model.len()),
            }
            let reopened = writer.take().unwrap_or_else(|| open(folder.path(), 0));
            prop_assert!(reopened.epoch() >= epoch);
            epoch = reopened.epoch();
            prop_assert_eq!(reopened.next_seq(), model.len() as u64 + 1);
            writer = Some(reopened);
            prop_assert_eq!(reader.last_seq(), model.len() as u64);
        }
        drop(writer);
        let found = verify(folder.path()).expect("verifies");
        prop_assert_eq!((found.records, found.damage.is_none(), found.torn_bytes), (model.len() as u64, true, 0));
    }

    #[test]
    fn a_flipped_bit_is_found(count in 1..80_i64, place: u32, bit in 0..8_u8) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = open(folder.path(), 0);
        for number in 1..=count {
            writer.append(&quote(number), number * 3, cause(number)).expect("appends");
        }
        writer.close().expect("closes");
        let record_bytes = HEADER_BYTES + size_of::<Quote>();
        let per_segment = (SEGMENT_BYTES as usize - 8) / record_bytes;
        let victim = place as usize % (count as usize * record_bytes);
        let (index, within) = (victim / record_bytes, victim % record_bytes);
        let file = std::fs::File::options().read(true).write(true).open(&segments(folder.path())[index / per_segment]).expect("opens");
        let offset = (index % per_segment * record_bytes + within) as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).expect("reads");
        file.write_all_at(&[byte[0] ^ (1 << bit)], offset).expect("writes");

        let found = verify(folder.path()).expect("verifies");
        prop_assert!(found.damage.is_some(), "not found at byte {within} of record {}", index + 1);
        prop_assert_eq!(found.records, index as u64);
        let mut reader = Reader::open(folder.path(), 1).expect("opens");
        for _ in 0..index {
            prop_assert!(reader.next().expect("intact before the damage").is_some());
        }
        prop_assert!(!matches!(reader.next(), Ok(Some(_))));
        if index / per_segment == (count as usize - 1) / per_segment {
            let refused = Writer::open(folder.path(), JournalName::ORDERS, &options(0), 2);
            let is_named = matches!(refused, Err(Error::Corrupt { seq, .. }) if seq == index as u64 + 1);
            prop_assert!(is_named);
        }
    }
}
