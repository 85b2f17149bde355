//! The window ledger's documents and the two decisions over them, without any store.
//!
//! ```text
//! claim ─▶ staged ─▶ check ─▶ outcome          (write-once registers of one epoch)
//!                               └─ resolve: the highest epoch whose outcome is `published`
//! ```
//!
//! Every document is canonical JSON with a version. What was read is kept as its bytes, so unknown fields survive and
//! digests are those of what the store holds. An outcome is a pure function of the documents before it: no clock, no
//! randomness and no message text, so that every retry offers the store the same bytes.

mod documents;
mod garbage;
mod outcome;
mod stored;
mod text;

pub use documents::{
    CheckDoc, Claim, CodeVersion, ContractRef, FailedCheck, FileEntry, Format, InputEntry, Reason, RowCounts, Staged,
    content_sha256, inputs_sha256,
};
pub use garbage::{EpochFacts, Fate, GcPolicy, GcReason, WindowFacts, fate_of_temporary};
pub use outcome::{DecidedBy, Decision, ErrorClass, Outcome, OutcomeError, resolve};
pub use stored::{Document, Stored};
