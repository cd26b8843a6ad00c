//! Compiles the recorder, puts it into a process, and speaks to it from inside one.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::trace::Trace;

/// One recorded life, or several one after the other, below one directory.
pub struct Recording {
    place: tempfile::TempDir,
}

impl Recording {
    pub fn new() -> Recording {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(place.path().join("recorded")).expect("makes");
        Recording { place }
    }

    /// What is recorded; empty at first.
    pub fn directory(&self) -> PathBuf {
        let path = self.place.path().join("recorded");
        path.canonicalize().expect("it is there")
    }

    fn trace_path(&self) -> PathBuf {
        self.place.path().join("trace")
    }

    /// Loads the recorder into the process that the command will start.
    pub fn equip(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("RECORDER_DIRECTORY", self.directory())
            .env("RECORDER_TRACE", self.trace_path());
    }

    /// Octets of trace so far. Whatever an outside client has seen by now was done by entries that
    /// end at or before this place.
    pub fn written(&self) -> u64 {
        self.trace_path().metadata().map_or(0, |file| file.len())
    }

    pub fn trace(&self) -> Trace {
        Trace::read(&self.trace_path())
    }
}

/// The compiled recorder; once for the whole test binary.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = directory.join("recorder.so");
        // Two test processes may build at once: each its own file, and rename is atomic.
        let fresh = directory.join(format!("recorder-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&fresh)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/recorder.c"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "cc must build tests/crash/recorder.c");
        std::fs::rename(&fresh, &library).expect("renames");
        library
    })
}

/// Writes a mark into this process's trace; false when no recorder is loaded.
pub fn mark(text: &str) -> bool {
    type Mark = unsafe extern "C" fn(*const std::ffi::c_char);
    let text = CString::new(text).expect("no zero inside");
    // SAFETY: the name is a C string; dlsym answers null when nobody defines it.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"postroad_recorder_mark".as_ptr()) };
    if symbol.is_null() {
        return false;
    }
    // SAFETY: only the recorder defines this symbol, with this very signature.
    let mark = unsafe { std::mem::transmute::<*mut libc::c_void, Mark>(symbol) };
    // SAFETY: the text ends with a zero and outlives the call.
    unsafe { mark(text.as_ptr()) };
    true
}
