//! The reader: which files are the window.

use std::collections::BTreeMap;

use bytes::Bytes;
use windrow_core::canonical::sha256_hex;
use windrow_core::layout::{self, RegisterKind};
use windrow_core::ledger::{Claim, CodeVersion, Decision, Outcome, Staged, Stored};
use windrow_core::{Attempt, Epoch, Error, ErrorKind, PartitionWindow, Result};

use crate::table::LakeTable;

/// The visible version of a window: one epoch's complete files.
#[derive(Clone, Debug)]
pub struct Head {
    /// The window.
    pub window: PartitionWindow,
    /// The epoch; with the window it is the lineage of what is made from this head.
    pub epoch: Epoch,
    /// The attempt that made it.
    pub attempt: Attempt,
    /// The files, at least one, in the order they were staged.
    pub files: Vec<HeadFile>,
    /// The rows of all files.
    pub rows: u64,
    /// Who made it.
    pub claim: Stored<Claim>,
    /// What it was made of.
    pub staged: Stored<Staged>,
    /// The decision.
    pub outcome: Stored<Outcome>,
    /// The epoch that computed the rows, when compaction wrote them into these files.
    pub origin: Option<Box<Origin>>,
}

/// An epoch whose rows stand in the files of a later one.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The epoch.
    pub epoch: Epoch,
    /// Who made it.
    pub claim: Stored<Claim>,
    /// What it was made of, and the files it had.
    pub staged: Stored<Staged>,
}

/// One file of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadFile {
    /// The key, relative to the lake.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the bytes.
    pub sha256: String,
    /// The rows.
    pub rows: u64,
}

impl Head {
    /// Tells whether a run with these inputs, configuration and code would make this head again, so need not run.
    pub fn is_current(&self, inputs_sha256: &str, config_sha256: &str, code: &CodeVersion) -> bool {
        let claim = self.made_by();
        self.staged.document().inputs_sha256 == inputs_sha256 && claim.config_sha256 == config_sha256 && claim.code == *code
    }

    /// Who computed the rows: compaction changes neither what a window is made of nor by what.
    pub fn made_by(&self) -> &Claim {
        self.origin.as_ref().map_or(&self.claim, |origin| &origin.claim).document()
    }

    /// The epoch that computed the rows.
    pub fn computed_in(&self) -> Epoch {
        self.origin.as_ref().map_or(self.epoch, |origin| origin.epoch)
    }

    /// The digest of the output, independent of paths and epochs.
    pub fn content_sha256(&self) -> &str {
        &self.staged.document().content_sha256
    }
}

impl LakeTable {
    /// The head of a window: walks its epochs downwards to the first `published`; `retracted` stops the walk. `None`
    /// is "not published", which is never an empty window: a head has at least one file.
    ///
    /// # Errors
    /// `Misconfigured` or `Internal` for a document that cannot be read, else what the store says.
    pub async fn resolve(&self, window: &PartitionWindow) -> Result<Option<Head>> {
        match self.resolve_outcome(window).await? {
            Some((epoch, outcome)) => self.head(window, epoch, outcome).await.map(Some),
            None => Ok(None),
        }
    }

    /// The head of a window that must have one.
    ///
    /// # Errors
    /// `InputMissing` when the window is not published, else as [`LakeTable::resolve`].
    pub async fn require_head(&self, window: &PartitionWindow) -> Result<Head> {
        self.resolve(window).await?.ok_or_else(|| {
            let message = format!("window {window} of {} is not published", self.name());
            Error::new(ErrorKind::InputMissing, message).help("run the window of that table first")
        })
    }

    /// Reads every file of a head back and compares size and SHA-256.
    ///
    /// # Errors
    /// `CorruptInput` for a file that is missing or differs, else what the store says.
    pub async fn verify_head(&self, head: &Head) -> Result<()> {
        for file in &head.files {
            let (size, sha256) = match self.lake().digest(&file.key).await {
                Err(error) if error.kind() == ErrorKind::InputMissing => return Err(damaged(file, "is missing")),
                read => read?,
            };
            as_published(file, size, &sha256)?;
        }
        Ok(())
    }

    /// Reads a file of a head and compares size and SHA-256.
    ///
    /// # Errors
    /// As [`LakeTable::verify_head`].
    pub async fn get_verified(&self, file: &HeadFile) -> Result<Bytes> {
        let bytes = match self.lake().get_bytes(&file.key).await {
            Err(error) if error.kind() == ErrorKind::InputMissing => return Err(damaged(file, "is missing")),
            read => read?,
        };
        as_published(file, bytes.len() as u64, &sha256_hex(&bytes))?;
        Ok(bytes)
    }

    /// The first file of a published epoch that is not there in its promised size, and the size that is there. One listing.
    pub(crate) async fn first_misfit<'a>(&self, head: &'a Head) -> Result<Option<(&'a HeadFile, Option<u64>)>> {
        let folder = layout::attempt_prefix(self.name(), self.column(), &head.window, head.epoch, &head.attempt);
        let listed = self.lake().list(&folder).await?;
        let sizes: BTreeMap<&str, u64> = listed.iter().map(|object| (object.location.as_ref(), object.size)).collect();
        let found = |file: &HeadFile| sizes.get(file.key.as_str()).copied();
        Ok(head.files.iter().map(|file| (file, found(file))).find(|(file, found)| *found != Some(file.size)))
    }

    /// The deciding outcome alone, for who needs no more than the epoch.
    pub(crate) async fn resolve_outcome(&self, window: &PartitionWindow) -> Result<Option<(Epoch, Stored<Outcome>)>> {
        let registers = self.registers(window).await?;
        let decided = registers.iter().rev().filter(|(_, kinds)| kinds.contains(&RegisterKind::Outcome));
        for (&epoch, _) in decided {
            let outcome = self.require::<Outcome>(window, epoch, RegisterKind::Outcome).await?;
            match outcome.document().decision {
                Decision::Published => return Ok(Some((epoch, outcome))),
                Decision::Retracted => return Ok(None),
                Decision::Aborted | Decision::Quarantined => {}
            }
        }
        Ok(None)
    }

    /// One published epoch as a head, whether it is the window's or not.
    pub(crate) async fn head(&self, window: &PartitionWindow, epoch: Epoch, outcome: Stored<Outcome>) -> Result<Head> {
        let claim = self.require::<Claim>(window, epoch, RegisterKind::Claim).await?;
        self.require_own(&claim, window, epoch)?;
        let staged = self.require::<Staged>(window, epoch, RegisterKind::Staged).await?;
        let decided = outcome.document();
        let is_chained = decided.staged_sha256.as_deref() == Some(staged.sha256());
        if !is_chained || decided.files.is_empty() || decided.files != staged.document().files {
            let key = self.register(window, epoch, RegisterKind::Outcome);
            return Err(Error::internal("the published outcome does not match what was staged").with("key", key));
        }
        let files = decided.files.iter().map(|file| HeadFile {
            key: self.file_key(file),
            size: file.size,
            sha256: file.sha256.clone(),
            rows: file.rows,
        });
        let origin = match staged.document().compacts {
            Some(computed) => Some(Box::new(self.origin(window, computed).await?)),
            None => None,
        };
        Ok(Head {
            window: *window,
            epoch,
            attempt: claim.document().attempt.clone(),
            files: files.collect(),
            rows: staged.document().rows.written,
            claim,
            staged,
            outcome,
            origin,
        })
    }
}

fn as_published(file: &HeadFile, size: u64, sha256: &str) -> Result<()> {
    if size != file.size {
        return Err(damaged(file, "has another size than published"));
    }
    if sha256 != file.sha256 {
        return Err(damaged(file, "has other bytes than published"));
    }
    Ok(())
}

fn damaged(file: &HeadFile, what: &str) -> Error {
    Error::new(ErrorKind::CorruptInput, format!("a published file {what}"))
        .with("key", &file.key)
        .help("`windrow run --force` makes the window anew from its raw files")
}
