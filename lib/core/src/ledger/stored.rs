//! A document together with exactly the bytes the store holds, and their digest.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::canonical;
use crate::error::{Error, Result};

/// A versioned document of the ledger.
pub trait Document: Serialize + DeserializeOwned {
    /// The name in messages.
    const NAME: &'static str;
    /// The version this build writes, and the newest it reads.
    const VERSION: u64 = 1;
}

/// A document and its bytes. Fields this build does not know are kept in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<D> {
    document: D,
    bytes: Vec<u8>,
    sha256: String,
}

impl<D: Document> Stored<D> {
    /// Writes a document as canonical JSON with its version `v`.
    ///
    /// # Errors
    /// `Internal` when the document holds a floating-point number.
    pub fn encode(document: D) -> Result<Self> {
        let mut value = serde_json::to_value(&document)
            .map_err(|error| Error::internal("cannot serialise a document").with("document", D::NAME).caused_by(error))?;
        if let Value::Object(map) = &mut value {
            map.insert("v".to_owned(), Value::from(D::VERSION));
        }
        let bytes = canonical::to_bytes(&value).map_err(|error| error.with("document", D::NAME))?;
        let sha256 = canonical::sha256_hex(&bytes);
        Ok(Stored { document, bytes, sha256 })
    }

    /// Reads a document of any version up to this build's.
    ///
    /// # Errors
    /// `Misconfigured` for a version this build does not know, `Internal` for bytes that are not such a document.
    pub fn decode(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        let damaged = |error: serde_json::Error| {
            Error::internal(format!("the {} document in the ledger is damaged", D::NAME)).caused_by(error)
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        let version = value.get("v");
        if version.and_then(Value::as_u64) != Some(D::VERSION) {
            let found = version.map_or_else(|| "none".to_owned(), Value::to_string);
            let message = format!("{} document has version {found}; this build reads version {}", D::NAME, D::VERSION);
            return Err(Error::misconfigured(message).help("a newer windrow wrote it: use that version or a later one"));
        }
        let document = serde_json::from_value(value).map_err(damaged)?;
        let sha256 = canonical::sha256_hex(&bytes);
        Ok(Stored { document, bytes, sha256 })
    }
}

impl<D> Stored<D> {
    /// The document.
    pub fn document(&self) -> &D {
        &self.document
    }

    /// The bytes as the store holds them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the bytes, as 64 lowercase hex digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}
