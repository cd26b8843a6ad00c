//! The operator's commands.

/// Runs the command that the arguments name.
pub fn run(arguments: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    todo!()
}
