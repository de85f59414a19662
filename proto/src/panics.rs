//! Panics: those that end a call are told to the host, those that are caught are told to the one who catches them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::logging::Redact;

thread_local! {
    /// Whether somebody on this thread's stack will catch a panic.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// The last panic that was to be caught.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// The file, line and column; empty when no hook was installed.
    pub location: String,
}

impl std::fmt::Display for Panic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)?;
        if self.location.is_empty() { Ok(()) } else { write!(formatter, " (at {})", self.location) }
    }
}

/// Makes a panic that nobody catches known to the host, which shows it to the user as the cause of a crash: it looks
/// for Go's spelling. A panic inside [`catch`] is no crash, and is not shown.
pub fn install_hook(redact: Redact) {
    std::panic::set_hook(Box::new(move |info| {
        let mut panic = describe(info);
        panic.message = redact(&panic.message);
        if CAUGHT.get() {
            LAST.set(Some(panic));
        } else {
            eprintln!("panic: {}\n\nat {}", panic.message, panic.location);
        }
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> Panic {
    Panic {
        message: info.payload_as_str().unwrap_or("a value that is not text").to_owned(),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Gives what the future gives, or the panic that ended it. What it was working on is to be thrown away then.
pub async fn catch<F: Future>(future: F) -> Result<F::Output, Panic> {
    Catch { future: Box::pin(future) }.await
}

struct Catch<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Catch<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outer = CAUGHT.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context)));
        CAUGHT.set(outer);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(LAST
                .take()
                .unwrap_or_else(|| Panic { message: text(payload.as_ref()), location: String::new() }))),
        }
    }
}

fn text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a value that is not text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_caught_panic_says_what_and_where_and_the_next_call_is_fine() {
        install_hook(Arc::new(|text| text.replace("hunter2", "(secret)")));
        let failing = async {
            tokio::task::yield_now().await;
            panic!("no {}", "hunter2");
        };
        let panic = catch(failing).await.unwrap_err();
        assert_eq!(panic.message, "no (secret)");
        assert!(panic.location.contains("panics.rs:"), "{panic}");
        assert_eq!(catch(async { 7 }).await, Ok(7));
    }
}
