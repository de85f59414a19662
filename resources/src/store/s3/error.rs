//! What an S3 server's answer means, said without keys and signatures.

use crate::connections::s3::{NO_ANSWER, NotS3, Silence};
use crate::store::StoreError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use dr_framework::Redactor;
use std::error::Error;

/// What kind of answer it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// No connection, or no answer in time.
    None,
    /// The bucket is there, the object is not.
    NoSuchKey,
    /// The bucket is not there.
    NoSuchBucket,
    /// A conditional write did not happen.
    ConditionFailed,
    /// 401 or 403.
    Denied,
    /// 429 or 5xx: later it may work.
    Busy,
    /// It broke off or came too slowly.
    CutOff,
    /// Anything else.
    Bad,
}

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    answer: Answer,
    reason: String,
}

impl Failure {
    /// What the S3 client says about it.
    pub fn of<E: ProvideErrorMetadata + Error + Send + Sync + 'static>(error: SdkError<E, HttpResponse>) -> Self {
        match &error {
            SdkError::TimeoutError(_) => Failure { answer: Answer::None, reason: NO_ANSWER.to_owned() },
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(cause) => Failure::of_connection(cause),
                None => Failure { answer: Answer::None, reason: "no connection".to_owned() },
            },
            SdkError::ServiceError(service) => {
                Failure::of_answer(service.raw().status().as_u16(), service.err().meta())
            }
            SdkError::ResponseError(response) => {
                let status = response.raw().status().as_u16();
                let reason = format!("status {status} with a body that is not S3's: {}", root_cause(&error));
                Failure { answer: if status >= 500 { Answer::Busy } else { Answer::Bad }, reason }
            }
            _ => Failure::bad(&root_cause(&error)),
        }
    }

    fn of_connection(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(foreign) = error.downcast_ref::<NotS3>() {
                return Failure::bad(&foreign.to_string());
            }
            cause = error.source();
        }
        Failure { answer: Answer::None, reason: root_cause(error) }
    }

    fn of_answer(status: u16, meta: &aws_sdk_s3::error::ErrorMetadata) -> Self {
        let code = meta.code().unwrap_or_default();
        let answer = match (status, code) {
            (_, "NoSuchBucket") => Answer::NoSuchBucket,
            (_, "NoSuchKey") | (404, "NotFound") => Answer::NoSuchKey,
            (412, _) | (409, "ConditionalRequestConflict") => Answer::ConditionFailed,
            (401 | 403, _) => Answer::Denied,
            (429 | 500.., _) | (_, "SlowDown") => Answer::Busy,
            _ => Answer::Bad,
        };
        let reason = match (code, meta.message().unwrap_or_default()) {
            ("", "") => format!("status {status}"),
            (code, "") => format!("status {status}, {code}"),
            ("", message) => format!("status {status}: {message}"),
            (code, message) => format!("status {status}, {code}: {message}"),
        };
        Failure { answer, reason }
    }

    /// An answer that makes no sense.
    pub fn bad(reason: &str) -> Self {
        Failure { answer: Answer::Bad, reason: reason.to_owned() }
    }

    /// A body that ended before its end.
    pub fn cut_off() -> Self {
        Failure { answer: Answer::CutOff, reason: "the answer broke off".to_owned() }
    }

    /// A body that would take for ever.
    pub fn dripping() -> Self {
        Failure { answer: Answer::CutOff, reason: "the answer came too slowly".to_owned() }
    }

    /// Whether it was this.
    pub fn is(&self, answer: Answer) -> bool {
        self.answer == answer
    }

    /// Whether a further attempt may do better.
    pub fn is_transient(&self) -> bool {
        matches!(self.answer, Answer::None | Answer::Busy | Answer::CutOff)
    }

    /// As the error of a store, whose connection is called so.
    pub fn into_error(self, place: &str, connection: Option<&str>, redactor: &Redactor) -> StoreError {
        let place = place.to_owned();
        let reason = redactor.redact(&self.reason);
        match (self.answer, connection) {
            (Answer::None, Some(connection)) => {
                StoreError::Unreachable { place: format!("{place} (connection `{connection}`)"), reason }
            }
            (answer, _) => as_error(answer, place, reason),
        }
    }
}

impl Silence for Failure {
    fn silence(&self) -> Option<&str> {
        (self.answer == Answer::None).then_some(self.reason.as_str())
    }

    fn unanswered(reason: &str) -> Self {
        Failure { answer: Answer::None, reason: reason.to_owned() }
    }
}

fn as_error(answer: Answer, place: String, reason: String) -> StoreError {
    match answer {
        Answer::None => StoreError::Unreachable { place, reason },
        Answer::NoSuchBucket => StoreError::Missing { place },
        Answer::Denied => StoreError::Denied { place, reason },
        Answer::Busy => StoreError::BadAnswer { place, reason: format!("{reason} (several attempts were made)") },
        Answer::NoSuchKey | Answer::ConditionFailed | Answer::CutOff | Answer::Bad => {
            StoreError::BadAnswer { place, reason }
        }
    }
}

/// The innermost cause is what tells: "connection refused", "invalid peer certificate".
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_no_keys_and_no_signatures() {
        let reason = "key AKIA1 with X-Amz-Signature=abcdef is wrong, StringToSign AWS4-HMAC-SHA256\n20261121".into();
        let redactor = Redactor::default();
        redactor.learn("AKIA1");
        let error = Failure { answer: Answer::Denied, reason }.into_error("s3://b on e", None, &redactor);
        assert_eq!(
            error.to_string(),
            "s3://b on e refused: key (sensitive) with X-Amz-Signature=(sensitive) is wrong, StringToSign(sensitive)"
        );
    }
}
