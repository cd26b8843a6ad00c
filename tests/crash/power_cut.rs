//! Lets the power fail at many points of one trace, and once more without each kind of sync.

use std::collections::BTreeMap;
use std::path::Path;

use super::disk::{Disk, Survivors, SyncKind};
use super::trace::Trace;

/// Checks what was promised by the entry `index` on the rebuilt directory; the error is what broke.
pub type Check<'a> = dyn FnMut(&Path, usize, Survivors) -> Result<(), String> + 'a;

/// The entries before which the power fails: each that `always` names (a moment of the product, the
/// mark of an acknowledgement), and of the rest about `others` evenly spread.
pub fn points(trace: &Trace, others: usize, always: impl Fn(&str) -> bool) -> Vec<usize> {
    let count = trace.entries.len();
    let mut points: Vec<usize> =
        trace.marks().filter(|(_, name)| always(name)).map(|(index, _)| index + 1).collect();
    points.extend((0..count).step_by(count.div_ceil(others).max(1)));
    points.push(count);
    points.sort_unstable();
    points.dedup();
    points
}

/// The first promise that breaks, with the point and the survivors. `image` is what lay there
/// before the recording began; `without` takes one kind of sync away.
pub fn survey(
    trace: &Trace,
    directory: &Path,
    image: Option<&Path>,
    points: &[usize],
    without: Option<&SyncKind>,
    check: &mut Check<'_>,
) -> Result<(), String> {
    let mut disk = Disk::new(trace, directory, without.cloned());
    image.into_iter().for_each(|image| disk.load(image));
    for point in points {
        disk.advance(*point);
        let seed = *point as u64;
        for survivors in [Survivors::None, Survivors::Some { seed }, Survivors::All] {
            let into = scratch();
            disk.rebuild(into.path(), survivors);
            check(into.path(), *point, survivors)
                .map_err(|broken| format!("cut before entry {point}, {survivors:?}: {broken}"))?;
        }
    }
    Ok(())
}

/// In memory where the system has such a place: the check's own syncs need prove nothing.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// All kinds of sync in the trace, with how many of each.
pub fn sync_kinds(
    trace: &Trace,
    directory: &Path,
    image: Option<&Path>,
) -> BTreeMap<SyncKind, usize> {
    let mut disk = Disk::new(trace, directory, None);
    image.into_iter().for_each(|image| disk.load(image));
    disk.advance(trace.entries.len());
    disk.sync_kinds().clone()
}

/// Nothing breaks as it is; and each kind of sync, taken away alone, breaks something. `image` is
/// what lay there before the recording began. `unmissed`
/// are kinds (path, and what they are of) that no promise stands on; the caller says why.
pub fn every_sync_is_needed(
    trace: &Trace,
    directory: &Path,
    image: Option<&Path>,
    points: &[usize],
    unmissed: &[(&str, &str)],
    check: &mut Check<'_>,
) {
    if let Err(broken) = survey(trace, directory, image, points, None, check) {
        panic!("{broken}");
    }
    for (kind, count) in sync_kinds(trace, directory, image) {
        let missed = !unmissed.contains(&(kind.path.as_str(), kind.of));
        match survey(trace, directory, image, points, Some(&kind), check) {
            Err(broken) => eprintln!("without {kind:?} (of which {count}): {broken}"),
            Ok(()) => assert!(!missed, "nobody misses {kind:?} (of which {count})"),
        }
    }
}
