//! The grammar of keys once more, written from the protocol's text and not from the code under test.

/// The one table of the simulation.
pub(crate) const TABLE: &str = "clean.flights";
const STORE: &str = "store/clean/flights/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    Claim,
    Staged,
    Check,
    Outcome,
}

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Raw {
        window: String,
    },
    Format,
    Register {
        window: String,
        epoch: u64,
        kind: Register,
    },
    Part {
        window: String,
        epoch: u64,
        attempt: String,
    },
    Quarantine {
        window: String,
        epoch: u64,
        attempt: String,
        file: String,
    },
    View {
        window: String,
    },
    Manifest {
        window: String,
    },
    /// The catalog's entry of a window.
    Catalog {
        window: String,
    },
    /// What garbage collection reads the store's time from.
    Clock,
    Foreign,
}

impl Name {
    pub(crate) fn of(key: &str) -> Name {
        name(key).unwrap_or(Name::Foreign)
    }

    pub(crate) fn window(&self) -> Option<&str> {
        match self {
            Name::Raw { window } | Name::Register { window, .. } | Name::Part { window, .. } => Some(window),
            Name::Quarantine { window, .. } | Name::View { window } => Some(window),
            Name::Manifest { window } | Name::Catalog { window } => Some(window),
            Name::Format | Name::Clock | Name::Foreign => None,
        }
    }

    /// Views are the only keys that may be written twice.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self, Name::View { .. } | Name::Manifest { .. } | Name::Catalog { .. })
    }
}

pub(crate) fn register(window: &str, epoch: u64, kind: &str) -> String {
    format!("{STORE}ledger/{window}/{epoch:020}.{kind}.json")
}

pub(crate) fn view(window: &str) -> String {
    format!("clean/flights/day={window}/part-00000.parquet")
}

pub(crate) fn manifest(window: &str) -> String {
    format!("symlink/clean/flights/day={window}/manifest")
}

pub(crate) fn catalog(window: &str) -> String {
    format!("catalog/clean/flights/{window}")
}

/// The key of the live view, the manifest or the catalog's entry of a window.
pub(crate) fn view_of(number: usize, window: &str) -> String {
    [view, manifest, catalog][number](window)
}

pub(crate) fn evidence(window: &str, epoch: u64, attempt: &str) -> String {
    format!("quarantine/clean/flights/{window}/{epoch:020}-{attempt}/evidence.json")
}

fn name(key: &str) -> Option<Name> {
    let segments: Vec<&str> = key.split('/').collect();
    match segments.as_slice() {
        ["raw", "flights", window, _] => Some(Name::Raw { window: day(window)? }),
        ["store", "clean", "flights", "format.json"] => Some(Name::Format),
        ["store", "tmp", "clock", nonce] => is_hex(nonce, 16).then_some(Name::Clock),
        ["store", "clean", "flights", "ledger", window, file] => {
            let (epoch, kind) = file.strip_suffix(".json")?.split_once('.')?;
            let kind = match kind {
                "claim" => Register::Claim,
                "staged" => Register::Staged,
                "check" => Register::Check,
                "outcome" => Register::Outcome,
                _ => return None,
            };
            Some(Name::Register { window: day(window)?, epoch: number(epoch)?, kind })
        }
        ["store", "clean", "flights", "data", partition, folder, file] => {
            let (epoch, attempt) = folder.strip_prefix('e')?.split_once('-')?;
            let (part, digest) = file.strip_prefix("part-")?.strip_suffix(".parquet")?.split_once('-')?;
            let is_part = part.len() == 5 && part.bytes().all(|b| b.is_ascii_digit()) && is_hex(digest, 16);
            let window = day(partition.strip_prefix("day=")?)?;
            let (epoch, attempt) = (number(epoch)?, attempt.to_string());
            (is_part && is_hex(&attempt, 32)).then_some(Name::Part { window, epoch, attempt })
        }
        ["quarantine", "clean", "flights", window, folder, file @ ("evidence.json" | "rejects.parquet")] => {
            let (epoch, attempt) = folder.split_once('-')?;
            let (epoch, attempt, file) = (number(epoch)?, attempt.to_string(), file.to_string());
            is_hex(&attempt, 32).then_some(Name::Quarantine { window: day(window)?, epoch, attempt, file })
        }
        ["clean", "flights", partition, "part-00000.parquet"] => {
            Some(Name::View { window: day(partition.strip_prefix("day=")?)? })
        }
        ["symlink", "clean", "flights", partition, "manifest"] => {
            Some(Name::Manifest { window: day(partition.strip_prefix("day=")?)? })
        }
        ["catalog", "clean", "flights", window] => Some(Name::Catalog { window: day(window)? }),
        _ => None,
    }
}

/// The simulation's windows are days of one month.
fn day(text: &str) -> Option<String> {
    let rest = text.strip_prefix("2013-01-")?;
    (rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

fn number(text: &str) -> Option<u64> {
    (text.len() == 20).then(|| text.parse().ok()).flatten().filter(|number| *number > 0)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
