//! A raw file's name and first bytes: both must say what the contract says, before anything is decoded.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use windrow_core::contract::{Compression, Reader, ReaderFormat};
use windrow_core::{Code, Error, ErrorKind};

/// How the stored bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Gzip,
    Zstd,
}

pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// First bytes of formats that are never text.
const BINARY: [(&[u8], &str); 6] =
    [(GZIP, "gzip"), (ZSTD, "zstd"), (b"PAR1", "Parquet"), (b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz")];

/// Decides the packing by the file's name, which must end as the reader declares; letter case of the ending is free.
///
/// # Errors
/// What the name should end with.
pub(crate) fn codec(reader: &Reader, key: &str) -> Result<Codec, String> {
    let formats: &[&str] = match reader.format {
        ReaderFormat::Csv => &[".csv"],
        ReaderFormat::Ndjson => &[".ndjson", ".jsonl"],
        ReaderFormat::Parquet => &[".parquet"],
    };
    let packings: &[(&str, Codec)] = match reader.compression {
        _ if reader.format == ReaderFormat::Parquet => &[("", Codec::Plain)],
        Compression::ByExtension => &[("", Codec::Plain), (".gz", Codec::Gzip), (".zst", Codec::Zstd)],
        Compression::None => &[("", Codec::Plain)],
        Compression::Gzip => &[(".gz", Codec::Gzip)],
        Compression::Zstd => &[(".zst", Codec::Zstd)],
    };
    let endings: Vec<(String, Codec)> = formats
        .iter()
        .flat_map(|format| packings.iter().map(move |(packing, codec)| (format!("{format}{packing}"), *codec)))
        .collect();
    let name = key.to_ascii_lowercase();
    let found = endings.iter().find(|(ending, _)| name.ends_with(ending.as_str()));
    let expected = || endings.iter().map(|(ending, _)| format!("`{ending}`")).collect::<Vec<_>>().join(" or ");
    found.map(|(_, codec)| *codec).ok_or_else(|| format!("expected a name that ends in {}", expected()))
}

/// Compares the first stored bytes with what the name says; the error says what was found.
pub(crate) fn check_magic(format: ReaderFormat, codec: Codec, first: &[u8]) -> Result<(), String> {
    let found = BINARY.iter().find(|(magic, _)| first.starts_with(magic)).map_or("something else", |(_, name)| *name);
    match (format, codec) {
        (ReaderFormat::Parquet, _) if found != "Parquet" => Err(format!("expected Parquet (PAR1), found {found}")),
        (ReaderFormat::Parquet, _) => Ok(()),
        (_, Codec::Gzip) if found != "gzip" => Err(format!("expected gzip, found {found}")),
        (_, Codec::Zstd) if found != "zstd" => Err(format!("expected zstd, found {found}")),
        (_, Codec::Plain) if found != "something else" => Err(format!("expected plain {}, found {found}", format.as_str())),
        _ => Ok(()),
    }
}

/// What ends a file early: the store failed, or the bytes are damaged.
#[derive(Debug)]
pub(crate) enum Trouble {
    Store(Error),
    Damage(Code, String),
}

/// The stored bytes with a look ahead. A failure of the store is kept here, so that no decoder can disguise it.
pub(crate) struct Stored {
    inner: Box<dyn Read + Send>,
    buffer: Buffer,
    start: usize,
    end: usize,
    failure: Option<io::Error>,
}

enum Buffer {
    /// Made when it is needed.
    Own { bytes: Vec<u8>, size: usize },
    /// The whole file.
    Whole(Bytes),
}

impl Buffer {
    fn as_slice(&self) -> &[u8] {
        match self {
            Buffer::Own { bytes, .. } => bytes,
            Buffer::Whole(bytes) => bytes,
        }
    }
}

impl Stored {
    /// A decoder reads through the buffer; plain bytes are read past it, and it only holds the first few.
    pub(crate) fn new(inner: Box<dyn Read + Send>, codec: Codec) -> Self {
        let size = if codec == Codec::Plain { 4 << 10 } else { 64 << 10 };
        Stored { inner, buffer: Buffer::Own { bytes: Vec::new(), size }, start: 0, end: 0, failure: None }
    }

    /// A file that is in memory.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let end = bytes.len();
        Stored { inner: Box::new(io::empty()), buffer: Buffer::Whole(bytes), start: 0, end, failure: None }
    }

    /// All bytes, when the file is in memory.
    pub(super) fn as_whole(&self) -> Option<Bytes> {
        if let Buffer::Whole(bytes) = &self.buffer { Some(bytes.clone()) } else { None }
    }

    /// The next bytes without consuming them: fewer than `length` only at the end.
    pub(crate) fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.end - self.start < length {
            if let Buffer::Own { bytes, .. } = &mut self.buffer
                && self.start > 0
            {
                bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            let read = match self.fetch(self.end) {
                // The store's own error, which knows whether access was denied or the network failed.
                Err(shown) => return Err(self.failure.take().unwrap_or(shown)),
                Ok(read) => read,
            };
            if read == 0 {
                break;
            }
            self.end += read;
        }
        Ok(self.buffer.as_slice().get(self.start..self.end).map_or(&[], |left| left.get(..length).unwrap_or(left)))
    }

    fn fetch(&mut self, from: usize) -> io::Result<usize> {
        let Buffer::Own { bytes, size } = &mut self.buffer else { return Ok(0) };
        bytes.resize(*size, 0);
        let room = bytes.get_mut(from..).unwrap_or_default();
        loop {
            match self.inner.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let shown = io::Error::new(error.kind(), error.to_string());
                    self.failure = Some(error);
                    return Err(shown);
                }
                read => return read,
            }
        }
    }

    /// The store's own error, when it was the store that failed.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take().map(store_error)
    }
}

/// An error of the store keeps its kind when it carries one; a plain I/O error may pass by itself.
pub(crate) fn store_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(ErrorKind::Transient, "cannot read the raw file").caused_by(error),
    }
}

impl Read for Stored {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end
            && let Buffer::Own { size, .. } = self.buffer
            && out.len() >= size
        {
            // Large reads go straight through.
            let inner = self.inner.read(out);
            return match inner {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    let shown = io::Error::new(error.kind(), error.to_string());
                    self.failure = Some(error);
                    Err(shown)
                }
                other => other,
            };
        }
        let mut available = self.fill_buf()?;
        let read = available.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Stored {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let read = self.fetch(0)?;
            if let Buffer::Own { .. } = self.buffer {
                (self.start, self.end) = (0, read);
            }
        }
        Ok(self.buffer.as_slice().get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::fixture::reader;

    #[test]
    fn the_name_decides_the_packing() {
        let reader = reader(ReaderFormat::Csv);
        for (key, codec_) in [("a/x.csv", Codec::Plain), ("a/x.csv.gz", Codec::Gzip), ("a/X.CSV.ZST", Codec::Zstd)] {
            assert_eq!(codec(&reader, key), Ok(codec_), "{key}");
        }
        for key in ["x.txt", "x.json", "x.gz", "x.csv.bz2", "x.csv.gz.tmp", "x"] {
            assert!(codec(&reader, key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_declared_packing_allows_no_other() {
        let gzip = Reader { compression: Compression::Gzip, ..reader(ReaderFormat::Csv) };
        assert_eq!(codec(&gzip, "x.csv"), Err("expected a name that ends in `.csv.gz`".to_owned()));
        let none = Reader { compression: Compression::None, ..reader(ReaderFormat::Ndjson) };
        assert!(codec(&none, "x.jsonl").is_ok() && codec(&none, "x.jsonl.gz").is_err());
    }

    #[test]
    fn first_bytes_must_agree() {
        assert!(check_magic(ReaderFormat::Csv, Codec::Plain, b"id,a").is_ok());
        assert!(check_magic(ReaderFormat::Csv, Codec::Plain, GZIP).is_err());
        assert!(check_magic(ReaderFormat::Csv, Codec::Gzip, b"id,a").is_err());
        assert!(check_magic(ReaderFormat::Parquet, Codec::Plain, b"id,a").is_err());
        assert!(check_magic(ReaderFormat::Ndjson, Codec::Plain, b"PAR1").is_err());
    }
}
