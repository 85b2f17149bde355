//! Files as a whole: names, packings, cut-off and damaged streams, failing stores.

use std::io::{self, Read};

use windrow_core::contract::ReaderFormat;
use windrow_core::{Code, Error, ErrorKind};

use crate::chunk::InputFile;
use crate::read::RawWindow;
use crate::read::fixture::*;

fn read_named(key: &str, bytes: &[u8]) -> RawWindow {
    read_files(&contract(ReaderFormat::Csv, vec![int("id"), text("name")]), &[(key, bytes)], None)
}

fn many_rows() -> Vec<u8> {
    let rows = (0..50_000u32).map(|row| format!("{row},{}\n", row.wrapping_mul(2_654_435_761)));
    format!("id,name\n{}", rows.collect::<String>()).into_bytes()
}

#[test]
fn packed_files_are_unpacked() {
    for (key, bytes) in [("a.csv", many_rows()), ("a.csv.gz", gzip(&many_rows())), ("a.csv.zst", zstd(&many_rows()))] {
        let window = read_named(key, &bytes);
        assert_eq!((window.rows_in, window.bytes_in), (50_000, many_rows().len() as u64), "{key}");
        assert_eq!(window.files[0].rows, 50_000);
    }
}

#[test]
fn a_truncated_gzip_is_cut_off() {
    let packed = gzip(&many_rows());
    assert_eq!(found(&read_named("a.csv.gz", &packed[..packed.len() / 2])), [(Code::TruncatedCompression, 0, 0)]);
    assert_eq!(found(&read_named("a.csv.gz", &packed[..12])), [(Code::TruncatedCompression, 0, 0)]);
    assert_eq!(found(&read_named("a.csv.gz", &packed[..packed.len() - 4])), [(Code::TruncatedCompression, 0, 0)]);
}

#[test]
fn bytes_after_a_gzip_are_garbage() {
    let packed = [gzip(&many_rows()), b"garbage".to_vec()].concat();
    assert_eq!(found(&read_named("a.csv.gz", &packed)), [(Code::TrailingGarbage, 0, 0)]);
}

#[test]
fn a_wrong_checksum_is_damage() {
    let mut packed = gzip(b"id,name\n1,a\n");
    let place = packed.len() - 5;
    packed[place] ^= 0xff;
    assert_eq!(found(&read_named("a.csv.gz", &packed)), [(Code::BadCompression, 0, 0)]);
}

#[test]
fn names_and_contents_must_be_as_declared() {
    let plain = b"id,name\n1,a\n";
    for key in ["a.txt", "a.json", "a.parquet", "a.csv.bz2", "csv"] {
        assert_eq!(found(&read_named(key, plain)), [(Code::WrongExtension, 0, 0)], "{key}");
    }
    assert_eq!(found(&read_named("a.csv", &gzip(plain))), [(Code::WrongFileType, 0, 0)]);
    assert_eq!(found(&read_named("a.csv", &zstd(plain))), [(Code::WrongFileType, 0, 0)]);
    assert_eq!(found(&read_named("a.csv.gz", plain)), [(Code::WrongFileType, 0, 0)]);
    assert_eq!(found(&read_named("a.csv.zst", &gzip(plain))), [(Code::WrongFileType, 0, 0)]);
}

#[test]
fn an_empty_file_is_refused_packed_or_not() {
    for (key, bytes) in
        [("a.csv", Vec::new()), ("a.csv.gz", Vec::new()), ("a.csv.gz", gzip(b"")), ("a.csv", b"\xef\xbb\xbf".to_vec())]
    {
        assert_eq!(found(&read_named(key, &bytes)), [(Code::EmptyFile, 0, 0)], "{key} {bytes:?}");
    }
}

#[test]
fn files_and_lines_keep_their_order() {
    let contract = contract(ReaderFormat::Csv, vec![int("id")]);
    let files: Vec<(String, String)> =
        (0..20).map(|file| (format!("f{file:02}.csv"), format!("id\n{file}\n{}\n", file + 100))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(key, bytes)| (key.as_str(), bytes.as_bytes())).collect();
    let window = read_files(&contract, &files, Some(4));
    let expected: Vec<[String; 1]> = (0..20).flat_map(|file| [[file.to_string()], [(file + 100).to_string()]]).collect();
    assert_eq!(rows(&window), expected);
}

#[test]
fn a_failing_store_is_an_error_and_no_violation() {
    struct Failing(bool);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.0 {
                return Err(io::Error::other(Error::new(ErrorKind::AccessDenied, "no")));
            }
            self.0 = true;
            (&b"id,name\n1,a\n"[..]).read(out)
        }
    }
    let contract = contract(ReaderFormat::Csv, vec![int("id"), text("name")]);
    let inputs = [InputFile { key: "a.csv".into(), size: 1 }];
    let open = |_: &InputFile| -> windrow_core::Result<Box<dyn Read + Send>> { Ok(Box::new(Failing(false))) };
    let error = crate::read::read_window(&contract, &inputs, &open).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(error.context(), [("file", "a.csv".to_owned())]);
}
