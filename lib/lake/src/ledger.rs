//! The writer's registers: claim an epoch, stage its files, record what the gate answered.

use bytes::Bytes;
use windrow_core::canonical::sha256_hex;
use windrow_core::layout::{self, Digest16, Key, PartPath, RegisterKind};
use windrow_core::ledger::{
    CheckDoc, Claim, CodeVersion, ContractRef, Document, FileEntry, InputEntry, Reason, RowCounts, Staged, Stored,
    content_sha256, inputs_sha256,
};
use windrow_core::{Attempt, Epoch, Error, ErrorKind, PartitionWindow, Result, RunId};

use crate::put_once::PutOnce;
use crate::table::LakeTable;

/// How many epochs a claim is tried for when other runs take them first.
const MAX_CLAIMS: usize = 100;

/// How many claims of unknown fate are left behind before the store counts as failing.
const MAX_UNKNOWN_CLAIMS: usize = 3;

/// What a run says when it claims a window.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The window.
    pub window: PartitionWindow,
    /// The process; made by the caller, one for each try at the window.
    pub attempt: Attempt,
    /// The trip through all states.
    pub run_id: RunId,
    /// The orchestrator's name for the execution.
    pub execution_id: Option<String>,
    /// Why.
    pub reason: Reason,
    /// The program.
    pub code: CodeVersion,
    /// The digest of everything configured.
    pub config_sha256: String,
    /// The epoch of the head the caller resolved before.
    pub seen_head: Option<Epoch>,
}

/// A claimed epoch: the right to write its files and registers.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub(crate) claim: Stored<Claim>,
}

impl Claimed {
    /// The claim as the store holds it.
    pub fn claim(&self) -> &Stored<Claim> {
        &self.claim
    }

    /// The window.
    pub fn window(&self) -> PartitionWindow {
        self.claim.document().window
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.claim.document().epoch
    }

    /// The attempt.
    pub fn attempt(&self) -> &Attempt {
        &self.claim.document().attempt
    }
}

/// What a transform made, before the ledger adds its digests.
#[derive(Clone, Debug)]
pub struct Output {
    /// The pinned inputs.
    pub inputs: Vec<InputEntry>,
    /// The contract the output obeys.
    pub contract: ContractRef,
    /// The rows.
    pub rows: RowCounts,
    /// The files from [`LakeTable::stage_part`]; at least one, for a window of no rows one file of no rows.
    pub files: Vec<FileEntry>,
}

impl LakeTable {
    /// Claims the next epoch of a window. Other live runs of the window do not hinder it, nor it them.
    ///
    /// # Errors
    /// `Transient` when the store fails or other runs take every epoch first, else what the store says.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.require_create_once().await?;
        let mut unknown = 0;
        for _ in 0..MAX_CLAIMS {
            let epoch = self.next_epoch(&request.window).await?;
            let claim = Stored::encode(self.claim_document(request, epoch))?;
            let key = self.register(&request.window, epoch, RegisterKind::Claim);
            match self.lake().put_once(&key, &Bytes::copy_from_slice(claim.bytes())).await? {
                PutOnce::Mine => return Ok(Claimed { claim }),
                PutOnce::Theirs(_) => {}
                PutOnce::Unknown(error) => {
                    unknown += 1;
                    if error.kind() != ErrorKind::Transient || unknown == MAX_UNKNOWN_CLAIMS {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Transient, "other runs took every epoch first").with("window", request.window))
    }

    /// Takes up an epoch that an earlier stage of the same run claimed.
    ///
    /// # Errors
    /// `Misconfigured` when there is no such claim or another attempt holds it.
    pub async fn load_claimed(&self, window: &PartitionWindow, epoch: Epoch, attempt: &Attempt) -> Result<Claimed> {
        let found = self.load::<Claim>(window, epoch, RegisterKind::Claim).await?;
        let claim = found.ok_or_else(|| self.no_register(window, epoch, RegisterKind::Claim))?;
        self.require_own(&claim, window, epoch)?;
        if claim.document().attempt != *attempt {
            let message = format!("epoch {epoch} of window {window} was claimed by attempt {}", claim.document().attempt);
            return Err(Error::misconfigured(message).with("attempt", attempt).with("table", self.name()));
        }
        Ok(Claimed { claim })
    }

    /// Uploads one data file under a name of its own, and returns its entry for [`Output::files`]. Idempotent.
    ///
    /// # Errors
    /// `Internal` for a number over [`PartPath::MAX_NUMBER`], else what the store says.
    pub async fn stage_part(
        &self,
        claimed: &Claimed,
        number: u32,
        bytes: Bytes,
        rows: u64,
        stats: serde_json::Value,
    ) -> Result<FileEntry> {
        let sha256 = sha256_hex(&bytes);
        let path = self.part_path(claimed, number, &sha256)?;
        let size = u64::try_from(bytes.len()).map_err(|error| Error::internal("file too large").caused_by(error))?;
        let key = Key::Part(self.name().clone(), path.clone());
        self.require_create_once().await?;
        match self.lake().put_file(&key, &bytes).await? {
            PutOnce::Mine => Ok(FileEntry { path, size, sha256, rows, stats }),
            PutOnce::Theirs(_) => Err(Error::internal("a data file of this name holds other bytes").with("key", key)),
            PutOnce::Unknown(error) => Err(error),
        }
    }

    /// The place of a data file: its attempt's folder, its number and the start of a digest.
    pub(crate) fn part_path(&self, claimed: &Claimed, number: u32, sha256: &str) -> Result<PartPath> {
        let digest = Digest16::of(sha256).filter(|_| number <= PartPath::MAX_NUMBER);
        let digest = digest.ok_or_else(|| Error::internal("a window cannot have that many files").with("part", number))?;
        let (window, epoch, attempt) = (claimed.window(), claimed.epoch(), claimed.attempt().clone());
        Ok(PartPath { column: self.column().clone(), window, epoch, attempt, number, digest })
    }

    /// Proves that the attempt's folder holds exactly these files in these sizes. Reading footers back is the engine's.
    ///
    /// # Errors
    /// `Transient` for a file that is missing, of another size or not listed, else what the store says.
    pub async fn verify_staged(&self, claimed: &Claimed, files: &[FileEntry]) -> Result<()> {
        let folder = layout::attempt_prefix(self.name(), self.column(), &claimed.window(), claimed.epoch(), claimed.attempt());
        let listed = self.lake().list(&folder).await?;
        let mut found: Vec<(String, u64)> = listed.into_iter().map(|object| (object.location.to_string(), object.size)).collect();
        let mut expected: Vec<(String, u64)> = files.iter().map(|file| (self.file_key(file), file.size)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        if found == expected {
            return Ok(());
        }
        let message = format!("the staged folder holds {found:?}, expected {expected:?}");
        Err(Error::new(ErrorKind::Transient, message).with("folder", folder))
    }

    /// Writes the staged register after [`LakeTable::verify_staged`]. Idempotent.
    ///
    /// # Errors
    /// `Internal` when rows or files do not add up, `Fenced` when another staged document is there.
    pub async fn put_staged(&self, claimed: &Claimed, output: Output) -> Result<Stored<Staged>> {
        self.put_output(claimed, output, None).await
    }

    /// The staged register of an output, or of the rows of an earlier epoch in other files.
    pub(crate) async fn put_output(&self, claimed: &Claimed, output: Output, compacts: Option<Epoch>) -> Result<Stored<Staged>> {
        require_consistent(claimed, &output)?;
        self.verify_staged(claimed, &output.files).await?;
        let Output { mut inputs, contract, rows, files } = output;
        inputs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let staged = Stored::encode(Staged {
            claim_sha256: claimed.claim.sha256().to_owned(),
            inputs_sha256: inputs_sha256(&inputs)?,
            inputs,
            contract,
            rows,
            content_sha256: content_sha256(&files)?,
            files,
            compacts,
        })?;
        let key = self.register(&claimed.window(), claimed.epoch(), RegisterKind::Staged);
        self.require_create_once().await?;
        match self.lake().put_once(&key, &Bytes::copy_from_slice(staged.bytes())).await? {
            PutOnce::Mine => Ok(staged),
            PutOnce::Theirs(_) => {
                Err(Error::new(ErrorKind::Fenced, "another output is staged for this epoch already").with("key", key))
            }
            PutOnce::Unknown(error) => Err(error),
        }
    }

    /// Writes what the gate answered about the staged output. The first answer stays, and is what is returned: checking
    /// again does not change a verdict.
    ///
    /// # Errors
    /// `Misconfigured` when nothing is staged, `Internal` when the answer is about another staged document.
    pub async fn put_check(&self, claimed: &Claimed, check: CheckDoc) -> Result<Stored<CheckDoc>> {
        let (window, epoch) = (claimed.window(), claimed.epoch());
        let staged = self.require::<Staged>(&window, epoch, RegisterKind::Staged).await?;
        let check = Stored::encode(check)?;
        let key = self.register(&window, epoch, RegisterKind::Check);
        if check.document().staged_sha256 != staged.sha256() {
            return Err(Error::internal("the check is of another staged document").with("key", key));
        }
        self.require_create_once().await?;
        let stored = match self.lake().put_once(&key, &Bytes::copy_from_slice(check.bytes())).await? {
            PutOnce::Mine => check,
            PutOnce::Theirs(bytes) => Stored::<CheckDoc>::decode(bytes)?,
            PutOnce::Unknown(error) => return Err(error),
        };
        if stored.document().staged_sha256 == staged.sha256() {
            return Ok(stored);
        }
        Err(Error::internal("the check in the ledger is of another staged document").with("key", key))
    }

    pub(crate) fn register(&self, window: &PartitionWindow, epoch: Epoch, kind: RegisterKind) -> Key {
        Key::Register { table: self.name().clone(), window: *window, epoch, kind }
    }

    /// The full key of a file of this table.
    pub fn file_key(&self, file: &FileEntry) -> String {
        Key::Part(self.name().clone(), file.path.clone()).to_string()
    }

    /// Reads a register; `None` when it was never written.
    pub(crate) async fn load<D: Document>(
        &self,
        window: &PartitionWindow,
        epoch: Epoch,
        kind: RegisterKind,
    ) -> Result<Option<Stored<D>>> {
        let key = self.register(window, epoch, kind);
        let Some(bytes) = self.lake().get_document(&key).await? else { return Ok(None) };
        Stored::decode(bytes).map(Some).map_err(|error| error.with("key", key))
    }

    pub(crate) async fn require<D: Document>(
        &self,
        window: &PartitionWindow,
        epoch: Epoch,
        kind: RegisterKind,
    ) -> Result<Stored<D>> {
        self.load(window, epoch, kind).await?.ok_or_else(|| self.no_register(window, epoch, kind))
    }

    pub(crate) fn require_own(&self, claim: &Stored<Claim>, window: &PartitionWindow, epoch: Epoch) -> Result<()> {
        let found = claim.document();
        let is_own = (found.layer, &found.dataset) == (self.name().layer, &self.name().dataset);
        if is_own && (found.window, found.epoch) == (*window, epoch) {
            return Ok(());
        }
        let key = self.register(window, epoch, RegisterKind::Claim);
        Err(Error::internal("the claim in the ledger names another window").with("key", key))
    }

    fn no_register(&self, window: &PartitionWindow, epoch: Epoch, kind: RegisterKind) -> Error {
        let message = format!("epoch {epoch} of window {window} has no {kind}: that stage did not run");
        Error::misconfigured(message)
            .with("table", self.name())
            .help("`windrow status --epochs` shows which stage each epoch is in")
    }

    async fn next_epoch(&self, window: &PartitionWindow) -> Result<Epoch> {
        let registers = self.registers(window).await?;
        let last = registers.last_key_value().map(|(epoch, _)| *epoch);
        let next = last.map_or(Some(Epoch::FIRST), Epoch::next);
        next.ok_or_else(|| Error::internal("the window has used up its epochs").with("window", window))
    }

    fn claim_document(&self, request: &ClaimRequest, epoch: Epoch) -> Claim {
        Claim {
            layer: self.name().layer,
            dataset: self.name().dataset.clone(),
            window: request.window,
            epoch,
            attempt: request.attempt.clone(),
            run_id: request.run_id.clone(),
            execution_id: request.execution_id.clone(),
            reason: request.reason,
            code: request.code.clone(),
            config_sha256: request.config_sha256.clone(),
            seen_head: request.seen_head,
        }
    }
}

fn require_consistent(claimed: &Claimed, output: &Output) -> Result<()> {
    let wrong = |message: String| Err(Error::internal(message).with("window", claimed.window()));
    let RowCounts { read, written, rejected } = output.rows;
    if written.checked_add(rejected) != Some(read) {
        return wrong(format!("{read} rows in, but {written} out and {rejected} rejected"));
    }
    let in_files = output.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.rows));
    if output.files.is_empty() || in_files != Some(written) {
        return wrong(format!("{written} rows out, but {} files with {in_files:?} rows", output.files.len()));
    }
    let is_own = |file: &FileEntry| {
        let PartPath { window, epoch, attempt, .. } = &file.path;
        (*window, *epoch, attempt) == (claimed.window(), claimed.epoch(), claimed.attempt())
    };
    if let Some(foreign) = output.files.iter().find(|file| !is_own(file)) {
        return wrong(format!("file {} belongs to another attempt", foreign.path));
    }
    Ok(())
}
