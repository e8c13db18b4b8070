//! A job in a forked child; for the tests of several crates.

/// Ends the child that hangs.
const ALARM_SECONDS: u32 = 20;

/// Forks; the child's status is 0 if `job` says true, 1 if it says false, 2 if it panics, minus the signal if killed.
pub fn in_child(job: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child only uses what this library promises to work after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: sets a timer of the child.
            unsafe { libc::alarm(ALARM_SECONDS) };
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)) {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(_) => 2,
            };
            // SAFETY: ends the child without running the exit handlers of the test harness.
            unsafe { libc::_exit(code) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `child` is ours and has not been waited for.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
        }
    }
}
