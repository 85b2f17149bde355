//! Stored bytes to the file's own bytes: plain, gzip of several members, zstd of several frames.
//!
//! Invariant: a cut-off stream, bytes after it and a wrong checksum are three different findings, and none of them is
//! mistaken for a failure of the store.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use windrow_core::Code;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::source::{Codec, GZIP, Stored, Trouble, ZSTD, store_error};

/// The file's own bytes, in order.
pub(crate) struct Bytes {
    state: State,
    codec: Codec,
}

enum State {
    Plain(Stored),
    Gzip(Box<GzDecoder<Stored>>),
    Zstd(Box<ZstdDecoder<'static, Stored>>),
    Done,
}

impl Bytes {
    pub(crate) fn new(codec: Codec, stored: Stored) -> Result<Self, Trouble> {
        Ok(Bytes { state: start(codec, stored)?, codec })
    }

    /// Reads some bytes; 0 means the end, and that the stream ended as it should.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, Trouble> {
        loop {
            let result = match &mut self.state {
                State::Plain(stored) => stored.read(out),
                State::Gzip(decoder) => decoder.read(out),
                State::Zstd(decoder) => decoder.read(out),
                State::Done => return Ok(0),
            };
            match result {
                Ok(0) => self.next_member()?,
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.trouble(&error)),
            }
        }
    }

    /// After a member comes another one, or nothing.
    fn next_member(&mut self) -> Result<(), Trouble> {
        let mut stored = match std::mem::replace(&mut self.state, State::Done) {
            State::Gzip(decoder) => decoder.into_inner(),
            State::Zstd(decoder) => decoder.finish(),
            State::Plain(_) | State::Done => return Ok(()),
        };
        let next = stored.peek(4).map_err(|error| Trouble::Store(store_error(error)))?;
        if next.is_empty() {
            return Ok(());
        }
        let is_member = match self.codec {
            Codec::Gzip => next.starts_with(GZIP),
            _ => next == ZSTD || matches!(next, [0x50..=0x5f, 0x2a, 0x4d, 0x18]),
        };
        if !is_member {
            return Err(Trouble::Damage(Code::TrailingGarbage, "expected the end of the file or another member".to_owned()));
        }
        self.state = start(self.codec, stored)?;
        Ok(())
    }

    fn trouble(&mut self, error: &io::Error) -> Trouble {
        let failure = match &mut self.state {
            State::Plain(stored) => stored.take_failure(),
            State::Gzip(decoder) => decoder.get_mut().take_failure(),
            State::Zstd(decoder) => decoder.get_mut().take_failure(),
            State::Done => None,
        };
        match failure {
            Some(failure) => Trouble::Store(failure),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Trouble::Damage(Code::TruncatedCompression, "expected more compressed bytes".to_owned())
            }
            None => Trouble::Damage(Code::BadCompression, format!("expected an intact stream: {error}")),
        }
    }
}

fn start(codec: Codec, stored: Stored) -> Result<State, Trouble> {
    match codec {
        Codec::Plain => Ok(State::Plain(stored)),
        Codec::Gzip => Ok(State::Gzip(Box::new(GzDecoder::new(stored)))),
        Codec::Zstd => match ZstdDecoder::with_buffer(stored) {
            Ok(decoder) => Ok(State::Zstd(Box::new(decoder.single_frame()))),
            Err(error) => Err(Trouble::Store(store_error(error))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::fixture::{gzip, zstd};

    fn read_all(codec: Codec, stored: Vec<u8>) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Bytes::new(codec, Stored::new(Box::new(io::Cursor::new(stored)), codec))?;
        let (mut all, mut out) = (Vec::new(), [0; 777]);
        loop {
            match bytes.read(&mut out)? {
                0 => return Ok(all),
                read => all.extend_from_slice(&out[..read]),
            }
        }
    }

    fn code(result: Result<Vec<u8>, Trouble>) -> Option<Code> {
        match result {
            Err(Trouble::Damage(code, _)) => Some(code),
            _ => None,
        }
    }

    fn text() -> Vec<u8> {
        (0..20_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_string().into_bytes()).collect()
    }

    #[test]
    fn members_and_frames_are_joined() {
        for (codec, packed) in
            [(Codec::Gzip, [gzip(&text()), gzip(b"end")].concat()), (Codec::Zstd, [zstd(&text()), zstd(b"end")].concat())]
        {
            assert_eq!(read_all(codec, packed).unwrap(), [text(), b"end".to_vec()].concat());
        }
    }

    #[test]
    fn a_cut_stream_is_truncated_wherever_it_is_cut() {
        for (codec, packed) in [(Codec::Gzip, gzip(&text())), (Codec::Zstd, zstd(&text()))] {
            for cut in (5..packed.len()).step_by(997).chain([packed.len() - 1]) {
                assert_eq!(code(read_all(codec, packed[..cut].to_vec())), Some(Code::TruncatedCompression), "{codec:?} {cut}");
            }
        }
    }

    #[test]
    fn bytes_after_the_stream_are_garbage() {
        for (codec, packed) in [(Codec::Gzip, gzip(b"a")), (Codec::Zstd, zstd(b"a"))] {
            for garbage in [&b"\0"[..], b"garbage", b"\x1fx"] {
                assert_eq!(code(read_all(codec, [&packed, garbage].concat())), Some(Code::TrailingGarbage));
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_damage() {
        for (codec, mut packed) in [(Codec::Gzip, gzip(&text())), (Codec::Zstd, zstd(&text()))] {
            let place = if codec == Codec::Gzip { packed.len() - 6 } else { packed.len() - 2 };
            packed[place] ^= 1;
            assert_eq!(code(read_all(codec, packed)), Some(Code::BadCompression), "{codec:?}");
        }
    }

    #[test]
    fn a_failing_store_is_not_taken_for_damage() {
        struct Failing(io::Cursor<Vec<u8>>);
        impl Read for Failing {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                match self.0.read(out)? {
                    0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "reset")),
                    read => Ok(read),
                }
            }
        }
        for (codec, packed) in [(Codec::Gzip, gzip(&text())), (Codec::Zstd, zstd(&text())), (Codec::Plain, text())] {
            let half = packed[..packed.len() / 2].to_vec();
            let mut bytes = Bytes::new(codec, Stored::new(Box::new(Failing(io::Cursor::new(half))), codec)).unwrap();
            let mut out = vec![0; 1 << 20];
            let trouble = loop {
                if let Err(trouble) = bytes.read(&mut out) {
                    break trouble;
                }
            };
            assert!(matches!(trouble, Trouble::Store(_)), "{codec:?}");
        }
    }
}
