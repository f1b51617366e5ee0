//! The daemon.
fn main() -> std::process::ExitCode {
    loopgate::daemon::main(std::env::args_os().skip(1))
}
