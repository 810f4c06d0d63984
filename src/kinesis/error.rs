//! What can go wrong between us and the stream.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// A call that did not succeed: which one, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {thing}: {kind}{}{}", After(": ", detail.as_deref()), After("; ", kind.advice()))]
pub struct Error {
    operation: &'static str,
    thing: Box<str>,
    kind: ErrorKind,
    detail: Option<Box<str>>,
}

/// Why a call did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The stream's or the account's rate is exceeded.
    Throttled,
    /// The resource is busy: not active yet, or subscribed to less than 5 s ago.
    ResourceInUse,
    /// There is no such stream, shard or consumer.
    ResourceNotFound,
    /// The shard iterator is older than five minutes.
    ExpiredIterator,
    /// The service refuses an argument, such as a sequence number that is not of this shard.
    InvalidArgument,
    /// More of something than the account or the stream may have.
    LimitExceeded,
    /// The identity may not do this.
    AccessDenied,
    /// No credentials were found.
    NoCredentials,
    /// The service does not accept the credentials.
    Credentials,
    /// The credentials were good once.
    CredentialsExpired,
    /// The request was signed for another region than the one that got it.
    Region,
    /// The key that encrypts the stream cannot be used.
    Kms,
    /// No answer in time. What was asked may have been done nevertheless.
    Timeout,
    /// Nobody knows the host's name: a region or an address that does not exist, or no network.
    UnknownHost,
    /// The connection could not be made, or broke. What was asked may have been done nevertheless.
    Connection,
    /// The service says that it failed. What was asked may have been done nevertheless.
    Service,
    /// The service does not have this operation; AWS has all that are asked for here.
    Unsupported,
    /// It would have succeeded, but it was asked for as a dry run.
    DryRun,
    /// The answer makes no sense.
    Protocol,
    /// The settings make no sense; nothing was asked.
    Config,
}

impl ErrorKind {
    /// A short fixed name, for the label of a metric or a field of a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::ResourceInUse => "resource_in_use",
            Self::ResourceNotFound => "resource_not_found",
            Self::ExpiredIterator => "expired_iterator",
            Self::InvalidArgument => "invalid_argument",
            Self::LimitExceeded => "limit_exceeded",
            Self::AccessDenied => "access_denied",
            Self::NoCredentials => "no_credentials",
            Self::Credentials => "credentials",
            Self::CredentialsExpired => "credentials_expired",
            Self::Region => "region",
            Self::Kms => "kms",
            Self::Timeout => "timeout",
            Self::UnknownHost => "unknown_host",
            Self::Connection => "connection",
            Self::Service => "service",
            Self::Unsupported => "unsupported",
            Self::DryRun => "dry_run",
            Self::Protocol => "protocol",
            Self::Config => "config",
        }
    }

    /// By the name of the service's error. Source: the error lists of the Kinesis API reference,
    /// and "Common Errors" there.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "Throttling"
            | "KMSThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException" => Self::Throttled,
            "ResourceInUseException" => Self::ResourceInUse,
            "ResourceNotFoundException" => Self::ResourceNotFound,
            "ExpiredIteratorException" | "ExpiredNextTokenException" => Self::ExpiredIterator,
            "InvalidArgumentException" | "ValidationException" | "SerializationException" => {
                Self::InvalidArgument
            }
            "LimitExceededException" => Self::LimitExceeded,
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Self::AccessDenied,
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "SignatureDoesNotMatch"
            | "InvalidClientTokenId"
            | "RequestExpired"
            | "OptInRequired" => Self::Credentials,
            "ExpiredToken" | "ExpiredTokenException" => Self::CredentialsExpired,
            "DryRunOperationException" => Self::DryRun,
            "UnknownOperationException" | "UnsupportedOperation" | "NotImplemented" => {
                Self::Unsupported
            }
            "KMSAccessDeniedException"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired" => Self::Kms,
            "InternalFailureException"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => Self::Service,
            _ => return None,
        })
    }

    /// By all that the service says.
    fn of_answer(code: &str, message: &str, status: u16) -> Self {
        match Self::of_code(code) {
            // "Credential should be scoped to a valid region, not 'eu-west-1'."
            Some(Self::Credentials) if message.contains("region") => Self::Region,
            Some(kind) => kind,
            None => match status {
                401 | 403 => Self::AccessDenied,
                429 => Self::Throttled,
                501 => Self::Unsupported,
                400..=499 => Self::InvalidArgument,
                _ => Self::Service,
            },
        }
    }

    /// What whoever runs this program can do about it, where there is something.
    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::AccessDenied => {
                "allow this operation in the policy of the role (deploy/aws/iam-policy.json has all of them)"
            }
            Self::NoCredentials => {
                "give some by environment, profile, web identity, ECS or EC2 role"
            }
            Self::Credentials => {
                "check that the key exists, that this machine's clock is right, and that the \
                 account uses this region"
            }
            Self::CredentialsExpired => {
                "renew them; those of a role are renewed by themselves, fixed session tokens are not"
            }
            Self::Region => "set --region to the region of the endpoint",
            Self::Kms => "the key must be enabled and the role be allowed to use it",
            Self::UnknownHost => "check --region, --endpoint-url and the network",
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::ResourceInUse => "the resource is in use",
            Self::ResourceNotFound => "not found",
            Self::ExpiredIterator => "the iterator has expired",
            Self::InvalidArgument => "an argument was refused",
            Self::LimitExceeded => "a limit of the account or the stream is reached",
            Self::AccessDenied => "permission denied",
            Self::NoCredentials => "no credentials were found",
            Self::Credentials => "the credentials are not accepted",
            Self::CredentialsExpired => "the credentials have expired",
            Self::Region => "signed for the wrong region",
            Self::Kms => "the stream's encryption key cannot be used",
            Self::Timeout => "no answer in time",
            Self::UnknownHost => "the name of the host is not known",
            Self::Connection => "the connection failed",
            Self::Service => "the service failed",
            Self::Unsupported => "the service does not have this operation",
            Self::DryRun => "it would have succeeded; this was a dry run",
            Self::Protocol => "an answer that makes no sense",
            Self::Config => "the settings make no sense",
        })
    }
}

/// A text that may be there, after a separator.
struct After<'a>(&'static str, Option<&'a str>);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(text) => write!(f, "{}{text}", self.0),
            None => Ok(()),
        }
    }
}

impl Error {
    pub(super) fn new(operation: &'static str, thing: &str, kind: ErrorKind) -> Self {
        Self {
            operation,
            thing: thing.into(),
            kind,
            detail: None,
        }
    }

    #[must_use]
    pub(super) fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// An answer that is not what the service model promises.
    pub(super) fn protocol(operation: &'static str, thing: &str, what: &str) -> Self {
        Self::new(operation, thing, ErrorKind::Protocol).with_detail(what)
    }

    /// Sorts an error of the SDK; `status` is the HTTP status, where there was an answer.
    pub(super) fn from_sdk<E, R>(
        operation: &'static str,
        thing: &str,
        error: &SdkError<E, R>,
        status: impl FnOnce(&R) -> u16,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
        R: fmt::Debug + 'static,
    {
        let of = |kind| Self::new(operation, thing, kind);
        match error {
            SdkError::TimeoutError(_) => of(ErrorKind::Timeout),
            SdkError::DispatchFailure(failure) => {
                let kind = if failure.is_timeout() {
                    ErrorKind::Timeout
                } else if about_an_unknown_host(error) {
                    ErrorKind::UnknownHost
                } else if failure.is_io() {
                    ErrorKind::Connection
                } else if about_credentials(error) {
                    ErrorKind::NoCredentials
                } else if failure.is_user() {
                    ErrorKind::Config
                } else {
                    ErrorKind::Connection
                };
                of(kind).with_detail(innermost(error))
            }
            SdkError::ConstructionFailure(_) if about_credentials(error) => {
                of(ErrorKind::NoCredentials).with_detail(innermost(error))
            }
            SdkError::ConstructionFailure(_) => {
                of(ErrorKind::InvalidArgument).with_detail(innermost(error))
            }
            SdkError::ResponseError(_) => of(ErrorKind::Protocol).with_detail(innermost(error)),
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or("without a code");
                let status = status(service.raw());
                let message = service.err().message().unwrap_or_default();
                let kind = ErrorKind::of_answer(code, message, status);
                of(kind).with_detail(match service.err().message() {
                    Some(message) => format!("{code}: {message}"),
                    None => code.to_owned(),
                })
            }
            _ => of(ErrorKind::Protocol),
        }
    }

    /// The operation of the API, such as `PutRecords`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Why it failed.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Without what the service says in its own words, which may name accounts and roles: what can
    /// be shown to anybody.
    pub fn outline(&self) -> String {
        let Self {
            operation,
            thing,
            kind,
            ..
        } = self;
        let advice = After("; ", kind.advice());
        format!("{operation} {thing}: {kind}{advice}")
    }

    /// Whether the service's own words hold these.
    pub fn says(&self, words: &str) -> bool {
        self.detail
            .as_deref()
            .is_some_and(|detail| detail.contains(words))
    }

    /// Whether the same call may succeed a little later, with nothing changed by anybody.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Throttled
            | ErrorKind::ResourceInUse
            | ErrorKind::LimitExceeded
            | ErrorKind::Timeout
            | ErrorKind::UnknownHost
            | ErrorKind::Connection
            | ErrorKind::Service
            | ErrorKind::Protocol => true,
            ErrorKind::ResourceNotFound
            | ErrorKind::ExpiredIterator
            | ErrorKind::InvalidArgument
            | ErrorKind::AccessDenied
            | ErrorKind::NoCredentials
            | ErrorKind::Credentials
            | ErrorKind::CredentialsExpired
            | ErrorKind::Region
            | ErrorKind::Kms
            | ErrorKind::Unsupported
            | ErrorKind::DryRun
            | ErrorKind::Config => false,
        }
    }
}

/// The types in which the SDK says that it found no credentials belong to none of its public
/// interfaces, so this goes by their words.
fn about_credentials(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| {
        let text = cause.to_string();
        text.contains("credential") || text.contains("identity")
    })
}

/// A name that does not exist, told from one that cannot be asked about just now. By the words of
/// the C library's resolver (glibc and musl), which is all that is left of its answer.
fn about_an_unknown_host(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| {
        let text = cause.to_string();
        text.contains("Name or service not known") || text.contains("Name does not resolve")
    })
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn StdError + 'static)| {
        (*cause).source()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_operation_the_thing_and_the_cause() {
        let error = Error::new(
            "SubscribeToShard",
            "shardId-000000000003",
            ErrorKind::Timeout,
        );
        assert_eq!(
            error.to_string(),
            "SubscribeToShard shardId-000000000003: no answer in time"
        );
        let error = error.with_detail("after 5s");
        assert!(error.to_string().ends_with("no answer in time: after 5s"));
        assert!(error.is_retryable());
    }

    #[test]
    fn the_services_own_names_are_sorted() {
        let kind = ErrorKind::of_code;
        assert_eq!(kind("KMSThrottlingException"), Some(ErrorKind::Throttled));
        assert_eq!(
            kind("ExpiredTokenException"),
            Some(ErrorKind::CredentialsExpired)
        );
        assert_eq!(kind("SomethingNew"), None);
    }

    #[test]
    fn an_answer_of_another_region_is_told_from_bad_credentials() {
        let of = ErrorKind::of_answer;
        let code = "InvalidSignatureException";
        let scoped = "Credential should be scoped to a valid region, not 'us-east-1'.";
        assert_eq!(of(code, scoped, 400), ErrorKind::Region);
        let late = "Signature expired: 20261123T120000Z is now earlier than 20261123T121500Z";
        assert_eq!(of(code, late, 400), ErrorKind::Credentials);
        assert_eq!(of("New", "", 403), ErrorKind::AccessDenied);
        assert_eq!(of("New", "", 404), ErrorKind::InvalidArgument);
        assert_eq!(of("New", "", 501), ErrorKind::Unsupported);
        assert_eq!(of("New", "", 503), ErrorKind::Service);
    }

    #[test]
    fn what_somebody_can_mend_says_how_and_the_outline_says_no_more_than_that() {
        let detail = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/chat";
        for kind in [
            ErrorKind::AccessDenied,
            ErrorKind::NoCredentials,
            ErrorKind::Credentials,
            ErrorKind::CredentialsExpired,
            ErrorKind::Region,
            ErrorKind::Kms,
            ErrorKind::UnknownHost,
        ] {
            let error = Error::new("PutRecords", "messages", kind).with_detail(detail);
            let advice = kind.advice().unwrap();
            assert_eq!(
                error.to_string(),
                format!("PutRecords messages: {kind}: {detail}; {advice}")
            );
            assert_eq!(
                error.outline(),
                format!("PutRecords messages: {kind}; {advice}")
            );
        }
    }
}
