//! Moments in the order of writes on which a crash test lets the power fail.
//!
//! A release build compiles `reached` to nothing. A debug build asks once whether the recorder of
//! the crash tests (`tests/crash/recorder.c`) is loaded into the process, and tells it the name;
//! without it a call costs one load. The recorder decides what follows: a mark in its trace, or a
//! kill. So the product carries neither an environment variable nor a way to be told to die.

/// The process has come to this point of a write order. Names are stable: tests assert them.
#[cfg(debug_assertions)]
pub fn reached(name: &'static std::ffi::CStr) {
    recorder::mark(name);
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reached(_name: &'static std::ffi::CStr) {}

/// An attempt to send a message with this subject begins. A test of a debug build may set a
/// function here once, to let an attempt fail in a way that no input is known to cause.
#[cfg(debug_assertions)]
pub static ATTEMPTED: std::sync::OnceLock<fn(&str)> = std::sync::OnceLock::new();

#[cfg(debug_assertions)]
pub fn attempted(subject: &str) {
    if let Some(told) = ATTEMPTED.get() {
        told(subject);
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn attempted(_subject: &str) {}

#[cfg(debug_assertions)]
mod recorder {
    use std::ffi::{CStr, c_char};
    use std::sync::OnceLock;

    type Mark = unsafe extern "C" fn(*const c_char);

    pub fn mark(name: &'static CStr) {
        static MARK: OnceLock<Option<Mark>> = OnceLock::new();
        let found = MARK.get_or_init(|| {
            // SAFETY: the name is a C string; dlsym answers null when nobody defines it.
            let symbol =
                unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"postroad_recorder_mark".as_ptr()) };
            // SAFETY: only the recorder defines this symbol, with this very signature.
            (!symbol.is_null())
                .then(|| unsafe { std::mem::transmute::<*mut libc::c_void, Mark>(symbol) })
        });
        if let Some(mark) = found {
            // SAFETY: the name lives for ever and ends with a zero.
            unsafe { mark(name.as_ptr()) }
        }
    }
}
