//! A table of the lake: its format, and the probe that its store keeps the one promise everything rests on.

use bytes::Bytes;
use windrow_core::layout::{self, Key, PartitionColumn};
use windrow_core::ledger::{Format, Stored};
use windrow_core::{Error, Layer, Result, Table};

use crate::classify::store_error;
use crate::put_once::PutOnce;
use crate::store::Lake;

/// A clean or curated table. Every operation of the ledger is a method of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LakeTable {
    lake: Lake,
    table: Table,
    format: Stored<Format>,
}

impl LakeTable {
    /// The lake it is in.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Its name.
    pub fn name(&self) -> &Table {
        &self.table
    }

    /// Its partition column in paths.
    pub fn column(&self) -> &PartitionColumn {
        &self.format.document().window_column
    }

    /// What was written when it was created.
    pub fn format(&self) -> &Format {
        self.format.document()
    }

    /// Proves once per process that the store refuses to create a key twice, before anything rests on it.
    pub(crate) async fn require_create_once(&self) -> Result<()> {
        let key = Key::Format(self.table.clone());
        let lake = self.lake();
        lake.probed().get_or_try_init(|| lake.probe(&key, self.format.bytes())).await.map(|_| ())
    }
}

impl Lake {
    /// Opens a table for writing, and creates it when it is new: `format.json` is written once, and the identity of
    /// the first writer stays. Once per process, here or before the first register, it is proved that the store refuses
    /// to create a key twice.
    ///
    /// The probe offers `format.json` a second time with the very bytes it holds, so a store that overwrites does no
    /// harm, and no key is made that is not needed anyway.
    ///
    /// # Errors
    /// `Usage` for a raw table, `Misconfigured` for another partition column, an unknown format version, or a store
    /// that creates a key twice, else what the store says.
    pub async fn create_table(&self, table: &Table, column: &PartitionColumn, dataset_uuid: &str) -> Result<LakeTable> {
        // Looked for first: a store that overwrites must not lose the format of a table that exists.
        let opened = match self.table(table).await? {
            Some(existing) => existing,
            None => self.new_table(table, column, dataset_uuid).await?,
        };
        if opened.column() != column {
            let found = opened.column();
            let message = format!("table {table} is partitioned by `{found}`, the contract says `{column}`");
            return Err(Error::misconfigured(message).help("the partition column cannot change; write a new dataset"));
        }
        opened.require_create_once().await?;
        Ok(opened)
    }

    async fn new_table(&self, table: &Table, column: &PartitionColumn, dataset_uuid: &str) -> Result<LakeTable> {
        let offered = Stored::encode(Format::new(dataset_uuid, column.clone()))?;
        let stored = match self.put_once(&Key::Format(table.clone()), &Bytes::copy_from_slice(offered.bytes())).await? {
            PutOnce::Mine => offered,
            PutOnce::Theirs(bytes) => Stored::decode(bytes)?,
            PutOnce::Unknown(error) => return Err(error),
        };
        require_readable(table, stored.document())?;
        Ok(LakeTable { lake: self.clone(), table: table.clone(), format: stored })
    }

    /// Opens a table that exists; `None` when nothing was ever written to it. Reading alone never probes the store.
    ///
    /// # Errors
    /// `Usage` for a raw table, `Misconfigured` for an unknown format version, else what the store says.
    pub async fn table(&self, table: &Table) -> Result<Option<LakeTable>> {
        layout::require_output(table)?;
        let Some(bytes) = self.get_document(&Key::Format(table.clone())).await? else { return Ok(None) };
        let stored = Stored::<Format>::decode(bytes)?;
        require_readable(table, stored.document())?;
        Ok(Some(LakeTable { lake: self.clone(), table: table.clone(), format: stored }))
    }

    /// Every table that was ever written to, clean before curated, by name.
    ///
    /// # Errors
    /// `Misconfigured` for an unknown format version, else what the store says.
    pub async fn tables(&self) -> Result<Vec<LakeTable>> {
        let mut tables = Vec::new();
        for layer in [Layer::Clean, Layer::Curated] {
            for name in self.list_folders(&layout::layer_prefix(layer)).await? {
                let Ok(dataset) = name.parse() else { continue };
                tables.extend(self.table(&Table::new(layer, dataset)).await?);
            }
        }
        Ok(tables)
    }

    async fn probe(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        let path = self.writable(key)?;
        match self.create(&path, &Bytes::copy_from_slice(bytes)).await {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
            Err(error) => Err(store_error("cannot probe the store", path.as_ref(), error)),
            Ok(()) => {
                let message = "the store created a key that exists: it does not support conditional writes";
                let help = "two runs could overwrite each other; use a store that honours If-None-Match: *";
                Err(Error::misconfigured(message).with("key", key).help(help))
            }
        }
    }
}

fn require_readable(table: &Table, format: &Format) -> Result<()> {
    if format.format == "windrow" && format.min_reader <= Format::VERSION {
        return Ok(());
    }
    let (name, needed, own) = (&format.format, format.min_reader, Format::VERSION);
    let message = format!("table {table} has format `{name}` for readers from version {needed}; this build reads version {own}");
    Err(Error::misconfigured(message).help("a newer windrow wrote it: use that version or a later one"))
}
