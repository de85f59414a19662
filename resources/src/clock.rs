//! The one place that knows the time: waits and wall clocks, which test builds can speed up.

use std::time::Duration;

/// How many times faster than real waits go. Only builds with the `toy` feature (and unit tests) can change it,
/// with `DR_TEST_CLOCK_SPEED`.
fn speed() -> u32 {
    #[cfg(any(test, feature = "toy"))]
    if let Some(speed) = std::env::var("DR_TEST_CLOCK_SPEED").ok().and_then(|text| text.parse().ok()) {
        return std::cmp::max(speed, 1);
    }
    1
}

/// How long a wait of `duration` takes on this clock.
pub fn scaled(duration: Duration) -> Duration {
    duration / speed()
}

/// Waits.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(scaled(duration)).await;
}

/// Since the machine was started, the time that it slept included: what others have seen pass meanwhile.
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere the monotonic clock runs on while the machine sleeps.
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// The wall clock, for what people read; never compared between machines.
#[expect(clippy::disallowed_methods, reason = "this is the place that everything else asks")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Whether this build is one of tests, and its clock goes faster than real ones.
pub fn is_fast() -> bool {
    speed() > 1
}
