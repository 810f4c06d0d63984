//! The errors of the service, as its model names them.

use std::fmt;

use http::StatusCode;

/// An error answer: its kind is what a client's code sees, the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ResourceNotFound, message)
    }

    pub(super) fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ResourceInUse, message)
    }

    pub(super) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub(super) fn throughput(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ProvisionedThroughputExceeded, message)
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Validation, message)
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The error types of the service model that this service answers with, and those every JSON 1.1 service has
/// (`SerializationException`, `UnknownOperationException`, those about signatures).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller may not do this. Only a fault says so: everybody may do everything here.
    AccessDenied,
    /// The caller's credentials have expired. Only a fault says so.
    ExpiredToken,
    /// The signature is none for this service or region. That it is wrong only a fault says.
    InvalidSignature,
    /// Nobody knows the caller's key. Only a fault says so.
    UnrecognizedClient,
    /// The call asked for a permission check only, and would have been allowed.
    DryRunOperation,
    /// The shard iterator is too old.
    ExpiredIterator,
    /// The next token is too old.
    ExpiredNextToken,
    /// A signature that lacks a part.
    IncompleteSignature,
    /// The service itself failed.
    InternalFailure,
    /// A parameter exceeds its restrictions, is not supported, or can't be used.
    InvalidArgument,
    /// A limit of the service was reached.
    LimitExceeded,
    /// The resource is not available for this operation now.
    ResourceInUse,
    /// The resource could not be found.
    ResourceNotFound,
    /// The key that encrypts the stream may not be used by the caller.
    KmsAccessDenied,
    /// The key that encrypts the stream is disabled.
    KmsDisabled,
    /// The key that encrypts the stream is in a state in which it cannot be used.
    KmsInvalidState,
    /// There is no such key.
    KmsNotFound,
    /// The account has no access to the key service.
    KmsOptInRequired,
    /// The key service was called too often.
    KmsThrottling,
    /// A signature is announced and is none.
    MissingAuthenticationToken,
    /// The rate of a shard, or of an operation on one, was exceeded.
    ProvisionedThroughputExceeded,
    /// The request's body could not be read.
    Serialization,
    /// The service has no such operation.
    UnknownOperation,
    /// A member breaks a constraint of the service model.
    Validation,
}

impl ErrorKind {
    /// Those that can end a subscription.
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShardEventStream.html>
    pub(super) const IN_STREAM: [Self; 9] = [
        Self::InternalFailure,
        Self::KmsAccessDenied,
        Self::KmsDisabled,
        Self::KmsInvalidState,
        Self::KmsNotFound,
        Self::KmsOptInRequired,
        Self::KmsThrottling,
        Self::ResourceInUse,
        Self::ResourceNotFound,
    ];

    /// Those that a fault can refuse a call with: what AWS says before an operation sees the call, and what operations
    /// say.
    pub(super) const REFUSALS: [Self; 12] = [
        Self::AccessDenied,
        Self::ExpiredToken,
        Self::InvalidSignature,
        Self::UnrecognizedClient,
        Self::InvalidArgument,
        Self::LimitExceeded,
        Self::KmsAccessDenied,
        Self::KmsDisabled,
        Self::KmsNotFound,
        Self::ProvisionedThroughputExceeded,
        Self::ResourceInUse,
        Self::ResourceNotFound,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::ExpiredIterator => "ExpiredIteratorException",
            Self::ExpiredNextToken => "ExpiredNextTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InternalFailure => "InternalFailureException",
            Self::InvalidArgument => "InvalidArgumentException",
            Self::KmsAccessDenied => "KMSAccessDeniedException",
            Self::KmsDisabled => "KMSDisabledException",
            Self::KmsInvalidState => "KMSInvalidStateException",
            Self::KmsNotFound => "KMSNotFoundException",
            Self::KmsOptInRequired => "KMSOptInRequired",
            Self::KmsThrottling => "KMSThrottlingException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::ProvisionedThroughputExceeded => "ProvisionedThroughputExceededException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status: 400 for whatever the caller can mend.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
