//! The stable codes of findings: `W01xx` file and header, `W02xx` a value's type, `W03xx` a value's rules,
//! `W04xx` rows together, `W05xx` damaged bytes, `W06xx` contract, `W07xx` SQL, `W08xx` checks, `W09xx` configuration.

use std::fmt;

use crate::error::ErrorKind;

// The one macro of the workspace: six matches over seventy codes, kept apart, would drift apart.
macro_rules! codes {
    ($($variant:ident $text:literal $kind:ident $title:literal, $explanation:literal;)*) => {
        /// A stable code. Its text never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $variant,)* }

        impl Code {
            /// Every code in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as printed.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $text,)* } }

            /// What kind of failure it is.
            pub fn kind(self) -> ErrorKind { match self { $(Code::$variant => ErrorKind::$kind,)* } }

            /// The short title.
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }

            /// What it means and what to do, for `windrow explain`.
            pub fn explanation(self) -> &'static str { match self { $(Code::$variant => $explanation,)* } }
        }
    };
}

codes! {
    MissingColumn "W0101" SchemaMismatch "missing column", "The header lacks a column the contract declares. Have the file sent again, or set `missingColumns: null` in the reader for columns that are not required.";
    ExtraColumn "W0102" SchemaMismatch "extra column", "The header has a column the contract does not declare. Add it to the raw contract, or set `extraColumns: ignore` in the reader.";
    ReorderedColumns "W0103" SchemaMismatch "columns in another order", "All columns are there, in another order than declared. Set `columnOrder: any` in the reader if the order means nothing.";
    DuplicateColumn "W0104" SchemaMismatch "duplicate column", "Two columns of the file have the same name, so it is not known which one is meant.";
    ColumnCase "W0105" SchemaMismatch "column name differs in case", "The name matches only when upper and lower case are ignored. Correct the file, or set `columnCase: ignore` in the reader.";
    MissingHeader "W0106" SchemaMismatch "no header", "The contract declares a header row, and the file has none: its first line holds no declared column name.";
    EmptyFile "W0107" SchemaMismatch "empty file", "The file has no bytes, not even a header. If an empty file is a legal 'no rows today', have the producer write the header.";
    WrongExtension "W0108" SchemaMismatch "wrong file extension", "The name ends unlike the declared format and compression. Nothing is guessed: rename the file, or change the reader.";
    WrongFileType "W0109" SchemaMismatch "content is not the declared type", "The first bytes show another format than the name and the contract say (gzip under `.csv`, for one).";
    ParquetSchema "W0110" SchemaMismatch "Parquet column has another type", "The Parquet file's own type for the column cannot hold exactly the declared type.";

    WrongType "W0201" SchemaMismatch "wrong type", "The text is not a value of the declared type. Common causes: a decimal comma, thousands separators, a currency sign, white space, an undeclared null token.";
    IntegerOverflow "W0202" SchemaMismatch "integer out of the type's range", "The number is an integer, but does not fit the declared width. Widen the type in the contract if the value is right.";
    DecimalDigits "W0203" SchemaMismatch "too many digits for the decimal", "The number has more digits before or after the point than decimal(p,s) can hold. It is never rounded.";
    ImpossibleDate "W0204" SchemaMismatch "impossible date or time", "The text has the right pattern, but no calendar or clock has this value (30 February, 24:00).";
    DatePattern "W0205" SchemaMismatch "wrong date or time pattern", "The text does not have the declared pattern. No other pattern is tried.";
    NotFinite "W0206" SchemaMismatch "NaN or infinity", "Only finite numbers are values. Declare the token under `nullValues` if the producer writes it for 'unknown'.";
    NullInRequired "W0207" SchemaMismatch "null in a required column", "The column is `required`, and the field is null: a declared null token, or a missing key.";
    UnknownZoneTime "W0208" SchemaMismatch "local time is ambiguous or does not exist", "In the declared zone the clock skips or repeats this time, so it names no single instant. Have the producer write the offset.";
    SubUnitDigits "W0209" SchemaMismatch "more fractional digits than the unit", "The time is finer than the declared unit. It is never cut: declare a finer unit.";

    NotAllowed "W0301" SchemaMismatch "value is not in the allowed list", "The contract lists the allowed values under `enum`.";
    OutOfRange "W0302" SchemaMismatch "value out of range", "The contract bounds the value with `minimum`, `maximum` or their exclusive forms.";
    PatternMismatch "W0303" SchemaMismatch "value does not match the pattern", "The contract demands a regular expression or a string format (uuid, email, uri, …) of the whole value.";
    LengthOutOfRange "W0304" SchemaMismatch "length out of range", "The contract bounds the number of characters with `minLength` or `maxLength`.";
    NotMultiple "W0305" SchemaMismatch "value is not a multiple", "The contract demands a multiple of `multipleOf`.";

    ShortRow "W0401" SchemaMismatch "row has too few fields", "The row ends before the last declared column. A missing field is never taken for null.";
    LongRow "W0402" SchemaMismatch "row has too many fields", "The row has more fields than the header. Common cause: an unquoted delimiter inside a text.";
    BlankLine "W0403" SchemaMismatch "blank line", "An empty line is not a row. Set `blankLines: skip` in the reader if the producer writes them on purpose.";
    DuplicateKey "W0404" SchemaMismatch "duplicate key", "Two rows have the same primary key, and the contract's dedupe policy is `fail`.";
    OutsideWindow "W0405" SchemaMismatch "row outside the window", "The row belongs to another partition window than the file's. The zone of the window is in the contract.";
    UnknownKey "W0406" SchemaMismatch "undeclared key in an object", "The JSON object has a key the contract does not declare. Add it, or set `extraColumns: ignore` in the reader.";
    DuplicateObjectKey "W0407" SchemaMismatch "duplicate key in an object", "The JSON object has the same key twice, so it is not known which value is meant.";
    NullKey "W0408" SchemaMismatch "null in the primary key", "A row without a key cannot be deduplicated or replaced.";
    DuplicateDropped "W0409" SchemaMismatch "duplicate row dropped", "Another row with the same key was kept by the contract's dedupe rule; this is a record, not a failure.";
    DerivedValue "W0410" SchemaMismatch "derived value breaks the contract", "The row was read correctly, but an expression of the clean contract gave a value that breaks it.";

    InvalidUtf8 "W0501" CorruptInput "invalid UTF-8", "The bytes are not UTF-8 text. The reader takes no other encoding.";
    NulByte "W0502" CorruptInput "NUL byte", "A NUL byte in a text file means damage or a wrong encoding (UTF-16).";
    UnterminatedQuote "W0503" CorruptInput "unterminated quote", "A quoted field is not closed before the end of the file. The place is where the quote opens.";
    StrayQuote "W0504" CorruptInput "quote inside a field", "A quote stands in the middle of an unquoted field, or text follows a closing quote. Quotes inside a quoted field are doubled.";
    TruncatedCompression "W0505" CorruptInput "compressed file is cut off", "The gzip or zstd stream ends before its end marker: the upload or the copy was cut.";
    TrailingGarbage "W0506" CorruptInput "bytes after the compressed stream", "After the last gzip or zstd member stand bytes that are no further member.";
    BadCompression "W0507" CorruptInput "compressed file is damaged", "The checksum or the structure of the compressed stream is wrong.";
    FieldTooLarge "W0508" CorruptInput "field over the size limit", "One field is larger than `maxFieldBytes` of the reader. Common cause: an unclosed quote that swallows the rest of the file.";
    BadJson "W0509" CorruptInput "line is not a JSON object", "Each line of an NDJSON file is one JSON object.";
    BadParquet "W0510" CorruptInput "Parquet file is damaged", "The footer or a page of the Parquet file cannot be read.";
    RowTooLarge "W0511" CorruptInput "row over the size limit", "One row is larger than `maxRowBytes` of the reader.";
    CarriageReturn "W0512" CorruptInput "lone carriage return", "A CR without LF stands outside quotes: an old Mac line end, or damage.";

    ContractSyntax "W0601" Misconfigured "contract is not valid YAML", "The file cannot be parsed as YAML.";
    ContractUnknownKey "W0602" Misconfigured "unknown key", "The key is neither ODCS v3 nor windrow's. Unknown keys are refused, so that a typo never switches a rule off.";
    ContractMissingKey "W0603" Misconfigured "missing key", "A key that is needed here is not there.";
    ContractValue "W0604" Misconfigured "wrong value", "The value has the wrong type or is outside the legal range.";
    ContractConflict "W0605" Misconfigured "keys contradict each other", "Each key is legal, their combination is not.";
    ContractReference "W0606" Misconfigured "reference to something that does not exist", "The named column, table, file or check does not exist.";
    ContractUnsupported "W0607" Misconfigured "not supported", "The standard allows it, windrow does not support it. It is refused, not ignored.";

    SqlSyntax "W0701" Misconfigured "SQL syntax", "The statement cannot be parsed.";
    SqlUnsupported "W0702" Misconfigured "SQL outside the supported dialect", "The engine does not support this construct; see docs/sql.md.";
    SqlColumn "W0703" Misconfigured "unknown column or table", "The statement names a column or table that is not declared.";
    SqlInexact "W0704" Misconfigured "decimal arithmetic would lose digits", "The product of decimals needs more digits after the point than the result type has. Write the cast shown.";
    SqlType "W0705" Misconfigured "result has another type than declared", "The expression or statement yields another type than the contract declares.";

    CheckFailed "W0801" QualityFailed "quality check failed", "The observed value breaks the rule's threshold.";
    CheckBroken "W0802" QualityFailed "quality check cannot be evaluated", "The check is missing, unreadable, misspelt, or names a column that does not exist. That is a failure, never a skip.";

    ConfigSyntax "W0901" Misconfigured "configuration is not valid", "windrow.toml or a profile cannot be parsed.";
    ConfigValue "W0902" Misconfigured "wrong configuration value", "The value has the wrong type or is outside the legal range.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ordered() {
        let texts: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(texts, sorted);
    }
}
