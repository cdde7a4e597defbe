//! Signals that are the service's to answer.

#![expect(unsafe_code, reason = "what a signal does is set by the C library alone")]

use std::io;

/// Whoever ends a machine or a group of processes asks all of them at once. The service then finishes what its engines are
/// at, and they end with it; an engine that went by itself would cost a request.
pub fn leave_the_end_to_the_service() -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: no handler is set, so that nothing runs when the signal comes. Forks keep it so.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
