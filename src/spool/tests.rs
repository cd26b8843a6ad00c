//! The spool's claims, on real directories; a disk that fills up is in `tests/spool.rs`.

use proptest::prelude::*;

use super::*;

const OPTIONS: SpoolOptions = SpoolOptions { segment_bytes: 64 * 1024, free_bytes_min: 0 };

/// Octets that are never the same for two seeds.
fn body(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut octets = Vec::with_capacity(length + 8);
    while octets.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend(state.to_le_bytes());
    }
    octets.truncate(length);
    Bytes::from(octets)
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(directory: &Path) -> Spool {
    Spool::open(directory, OPTIONS).expect("opens")
}

async fn filled(directory: &Path, count: u64, length: usize) -> Vec<BodyRef> {
    let spool = open(directory);
    let mut places = Vec::new();
    for seed in 0..count {
        places.push(spool.append(body(seed, length)).await.expect("appends"));
    }
    spool.close().await;
    places
}

fn damaged(read: Result<Bytes, SpoolError>) -> bool {
    matches!(read, Err(SpoolError::Damaged { .. }))
}

#[tokio::test]
async fn bodies_are_read_back_as_they_were_before_and_after_a_restart() {
    let directory = place();
    let spool = open(directory.path());
    let lengths = [0, 1, 100, 8192, 65_500, 65_536, 300_000, 1_000_000];
    let mut places = Vec::new();
    for (seed, length) in lengths.into_iter().enumerate() {
        let body = body(seed as u64, length);
        places.push(spool.append(body.clone()).await.expect("appends"));
        assert_eq!(spool.read(places[seed]).await.expect("reads"), body);
    }
    spool.close().await;
    assert!(matches!(spool.append(body(0, 1)).await, Err(SpoolError::Io(_))), "it is closed");
    let spool = open(directory.path());
    for (seed, length) in lengths.into_iter().enumerate() {
        assert_eq!(spool.read(places[seed]).await.expect("reads"), body(seed as u64, length));
        assert_eq!(spool.read(places[seed]).await.expect("reads"), body(seed as u64, length));
    }
    let to_read = Spool::open_to_read(directory.path()).expect("opens beside the writer");
    assert_eq!(to_read.read(places[3]).await.expect("reads"), body(3, 8192));
    assert!(to_read.append(body(0, 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_their_own_body() {
    let directory = place();
    let spool = open(directory.path());
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..50u64 {
        let spool = spool.clone();
        tasks.spawn(async move {
            for turn in 0..20 {
                let (seed, length) = (caller * 1000 + turn, (caller * 37 + turn * 911) as usize);
                let place = spool.append(body(seed, length)).await.expect("appends");
                assert_eq!(spool.read(place).await.expect("reads"), body(seed, length));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("every caller is served");
    }
    assert!(spool.sealed().len() > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_finishes_what_was_handed_in_and_refuses_the_rest() {
    let directory = place();
    let spool = Spool::open(&directory.path().join("made/in/steps"), OPTIONS).expect("opens");
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..200 {
        let spool = spool.clone();
        tasks.spawn(async move { (seed, spool.append(body(seed, 3000)).await) });
    }
    tokio::task::yield_now().await;
    spool.close().await;
    spool.ended().await;
    drop(spool);
    let done = tasks.join_all().await;
    let spool = Spool::open(&directory.path().join("made/in/steps"), OPTIONS).expect("opens");
    for (seed, answer) in done {
        match answer {
            Ok(place) => assert_eq!(spool.read(place).await.expect("reads"), body(seed, 3000)),
            Err(error) => assert!(matches!(error, SpoolError::Io(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_full_segment_is_sealed_and_gives_back_what_it_did_not_use() {
    let directory = place();
    let places = filled(directory.path(), 20, 10_000).await;
    let spool = open(directory.path());
    let sealed = spool.sealed();
    assert_eq!(sealed.len(), 3, "six bodies to a segment, and the newest is kept: {sealed:?}");
    for segment in sealed {
        let size = spool.path_of(segment).metadata().expect("is there").len();
        assert_eq!(size, 6 * record::bytes_of(10_000));
    }
    assert_eq!(places[6].segment, SegmentId(2));
}

#[tokio::test]
async fn a_removed_segment_is_gone_and_its_number_is_never_given_again() {
    let directory = place();
    let places = filled(directory.path(), 20, 10_000).await;
    let newest = places.last().expect("a place").segment;
    for _ in 0..3 {
        let spool = open(directory.path());
        for segment in spool.sealed() {
            spool.remove(segment).await.expect("removes");
            assert!(!spool.path_of(segment).exists());
        }
        assert!(spool.remove(newest).await.is_err(), "the newest stays");
        assert!(damaged(spool.read(places[0]).await));
        spool.close().await;
    }
    let spool = open(directory.path());
    let next = spool.append(body(1, 10_000)).await.expect("appends").segment;
    assert!(next > newest);
    assert_eq!(spool.sealed(), [newest], "now it may go");
    assert!(spool.remove(next).await.is_err(), "the current one may not");
}

#[tokio::test]
async fn a_second_writer_is_refused_and_a_later_one_is_not() {
    let directory = place();
    let spool = open(directory.path());
    let second = Spool::open(directory.path(), OPTIONS);
    assert!(matches!(second, Err(SpoolError::Io(why)) if why.contains("another process")));
    drop(spool);
    open(directory.path());
}

#[tokio::test]
async fn a_lying_row_is_answered_with_damage_and_takes_no_memory() {
    let directory = place();
    let places = filled(directory.path(), 3, 1000).await;
    let spool = open(directory.path());
    let lies = [
        BodyRef { length: u64::MAX, ..places[1] },
        BodyRef { length: record::BODY_BYTES_MAX, ..places[1] },
        BodyRef { length: 1001, ..places[1] },
        BodyRef { length: 999, ..places[1] },
        BodyRef { offset: places[1].offset + 1, ..places[1] },
        BodyRef { offset: u64::MAX, ..places[1] },
        BodyRef { segment: SegmentId(99), ..places[1] },
        BodyRef { segment: SegmentId(-1), ..places[1] },
    ];
    for lie in lies {
        assert!(damaged(spool.read(lie).await), "{lie:?}");
    }
    assert_eq!(spool.read(places[1]).await.expect("reads"), body(1, 1000));
}

#[tokio::test]
async fn strange_files_in_the_directory_do_not_stop_the_start() {
    let directory = place();
    let places = filled(directory.path(), 3, 1000).await;
    for name in ["readme", "1.segment", "+00000000001.segment", "999999999999999.segment"] {
        std::fs::write(directory.path().join(name), b"PRB1 rubbish").expect("writes");
    }
    std::fs::create_dir(segment::path_of(directory.path(), SegmentId(7))).expect("makes");
    let spool = open(directory.path());
    assert_eq!(spool.read(places[2]).await.expect("reads"), body(2, 1000));
    assert_eq!(spool.append(body(9, 9)).await.expect("appends").segment, SegmentId(8));
}

#[tokio::test]
async fn with_too_little_room_mail_is_refused_and_what_is_there_stays_readable() {
    let directory = place();
    let places = filled(directory.path(), 3, 1000).await;
    let options = SpoolOptions { free_bytes_min: u64::MAX / 2, ..OPTIONS };
    let spool = Spool::open(directory.path(), options).expect("opens");
    assert!(!spool.has_room(0));
    assert!(matches!(spool.append(body(9, 9)).await, Err(SpoolError::Full(_))));
    assert_eq!(spool.read(places[0]).await.expect("reads"), body(0, 1000));
}

/// The last segment as a crash may leave it.
#[derive(Clone, Debug)]
enum Wound {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index),
    /// A page that never arrived.
    Zeros(prop::sample::Index),
    Tail(Vec<u8>),
    /// What fallocate had set aside.
    ZeroTail(u16),
}

fn wounds() -> impl Strategy<Value = Vec<Wound>> {
    use proptest::collection::vec;
    let index = any::<prop::sample::Index>;
    let wound = prop_oneof![
        index().prop_map(Wound::Cut),
        index().prop_map(Wound::Flip),
        index().prop_map(Wound::Zeros),
        vec(any::<u8>(), 0..300).prop_map(Wound::Tail),
        any::<u16>().prop_map(Wound::ZeroTail),
    ];
    vec(wound, 0..4)
}

fn inflict(octets: &mut Vec<u8>, wounds: &[Wound]) {
    for wound in wounds {
        let length = octets.len();
        match wound {
            Wound::Cut(at) => octets.truncate(at.index(length + 1)),
            Wound::Flip(at) if length > 0 => octets[at.index(length)] ^= 0x10,
            Wound::Zeros(at) if length > 0 => {
                let start = at.index(length);
                let end = (start + 512).min(length);
                octets[start..end].fill(0);
            }
            Wound::Tail(tail) => octets.extend(tail),
            Wound::ZeroTail(count) => octets.resize(length + *count as usize, 0),
            Wound::Flip(_) | Wound::Zeros(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn after_any_wound_what_is_whole_is_read_and_nothing_else(
        lengths in proptest::collection::vec(0usize..3000, 1..20), wounds in wounds(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(wounded_and_reopened(&lengths, &wounds))?;
    }
}

async fn wounded_and_reopened(lengths: &[usize], wounds: &[Wound]) -> Result<(), TestCaseError> {
    let directory = place();
    let spool = open(directory.path());
    let mut places = Vec::new();
    for (seed, length) in lengths.iter().enumerate() {
        places.push(spool.append(body(seed as u64, *length)).await.expect("appends"));
    }
    spool.close().await;
    let path = segment::path_of(directory.path(), SegmentId(1));
    let before = std::fs::read(&path).expect("reads");
    let mut octets = before.clone();
    inflict(&mut octets, wounds);
    std::fs::write(&path, &octets).expect("writes");

    let spool = open(directory.path());
    let mut end = 0;
    for (seed, place) in places.iter().enumerate() {
        let from = place.offset as usize;
        let to = from + record::bytes_of(place.length) as usize;
        let whole = octets.get(from..to) == before.get(from..to);
        let read = spool.read(*place).await;
        if whole {
            end = to;
            prop_assert_eq!(read.expect("is whole"), body(seed as u64, lengths[seed]));
        } else {
            prop_assert!(damaged(read));
        }
    }
    let size = path.metadata().expect("is there").len();
    prop_assert_eq!(size, end as u64, "the tail behind the last whole record is cut");
    let next = spool.append(body(99, 99)).await.expect("mail is taken");
    prop_assert_eq!(next.segment, SegmentId(2));
    Ok(())
}

#[test]
fn a_body_full_of_false_headers_does_not_hold_up_the_start() {
    let directory = place();
    let path = segment::path_of(directory.path(), SegmentId(1));
    let mut octets = vec![0u8; 4 << 20];
    for at in (0..octets.len() - 64).step_by(64) {
        let length = (octets.len() - at) as u64 - record::FRAME_BYTES;
        let place = BodyRef { segment: SegmentId(1), offset: at as u64, length };
        octets[at..at + record::HEADER_BYTES].copy_from_slice(&record::header(place, b""));
    }
    std::fs::write(&path, &octets).expect("writes");
    let file = File::open(&path).expect("opens");
    let scan = segment::scan(&file, SegmentId(1), octets.len() as u64).expect("scans");
    assert_eq!((scan.records, scan.end), (0, octets.len() as u64), "given up, and nothing is cut");
}
