//! The bytes of a large file on their way to the disk while more are written, so that there is little to wait for at the end.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A thread that flushes a file as often as it is asked to.
#[derive(Debug)]
pub(crate) struct Flushing {
    more: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flushing {
    /// `None` where there is no thread to be had: the file is flushed at its end in any case.
    pub(crate) fn begin(file: &File) -> Option<Flushing> {
        let file = file.try_clone().ok()?;
        let (more, asked) = sync_channel::<()>(1);
        let flush = move || asked.iter().try_for_each(|()| file.sync_data());
        Some(Flushing { more, thread: Builder::new().name("flush".to_owned()).spawn(flush).ok()? })
    }

    /// Has what was written so far flushed, and does not wait for it.
    pub(crate) fn ask(&self) {
        // Where the next one is due already, it takes these bytes along.
        let _ = self.more.try_send(());
    }

    /// Waits for the flush in work. The file must be flushed once more, for what was written meanwhile.
    ///
    /// # Errors
    /// What the disk said. The system says it once for an open file, so that the last flush would not hear of it.
    pub(crate) fn end(self) -> io::Result<()> {
        drop(self.more);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes a file has failed")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_the_disk_says_while_a_file_is_written_is_told_at_its_end() {
        // A device that cannot be flushed stands for a disk that fails.
        let flushing = Flushing::begin(&File::open("/dev/null").unwrap()).unwrap();
        flushing.ask();
        flushing.ask();
        assert!(flushing.end().is_err());
    }

    #[test]
    fn a_file_may_be_written_to_while_it_is_flushed() {
        let mut file = tempfile::tempfile().unwrap();
        let flushing = Flushing::begin(&file).unwrap();
        for _ in 0..100 {
            file.write_all(&[7; 1000]).unwrap();
            flushing.ask();
        }
        flushing.end().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_000);
    }
}
