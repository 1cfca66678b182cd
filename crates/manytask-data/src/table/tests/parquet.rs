//! Parquet, written here by the library's low-level writer.

use std::sync::Arc;

use ::parquet::basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;

use super::*;

/// The values of a column that are there, and for each row whether it has one.
enum Values {
    Booleans(Vec<bool>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Moments(Vec<Int96>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

fn write(
    column: &mut SerializedColumnWriter<'_>,
    values: &Values,
    levels: Option<&[i16]>,
    repeated: Option<&[i16]>,
) {
    macro_rules! put {
        ($($kind:ident, $writer:ident;)*) => {
            match (column.untyped(), values) {
                $((ColumnWriter::$writer(writer), Values::$kind(values)) => writer.write_batch(values, levels, repeated),)*
                _ => panic!("the column is of another type"),
            }
        };
    }
    let written = put! {
        Booleans, BoolColumnWriter;
        Ints, Int32ColumnWriter;
        Longs, Int64ColumnWriter;
        Moments, Int96ColumnWriter;
        Floats, FloatColumnWriter;
        Doubles, DoubleColumnWriter;
        Bytes, ByteArrayColumnWriter;
        Fixed, FixedLenByteArrayColumnWriter;
    };
    written.unwrap();
}

type ColumnOf<'a> = (Values, Option<&'a [i16]>, Option<&'a [i16]>);

/// A file of row groups that are all the same.
fn file(schema: &str, columns: &[ColumnOf<'_>], groups: usize, codec: Codec) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message t {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        for (values, levels, repeated) in columns {
            let mut column = group.next_column().unwrap().unwrap();
            write(&mut column, values, *levels, *repeated);
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn texts(table: &Table, name: &str) -> Vec<Option<String>> {
    let column = table.column(name).unwrap();
    (0..table.rows()).map(|row| column.text(row).map(str::to_owned)).collect()
}

fn words(words: &[&str]) -> Values {
    Values::Bytes(words.iter().map(|word| ByteArray::from(*word)).collect())
}

const CODECS: [fn() -> Codec; 6] = [
    || Codec::UNCOMPRESSED,
    || Codec::SNAPPY,
    || Codec::GZIP(GzipLevel::default()),
    || Codec::ZSTD(ZstdLevel::default()),
    || Codec::BROTLI(BrotliLevel::default()),
    || Codec::LZ4_RAW,
];

#[test]
fn columns_are_what_the_same_csv_gives() {
    let there: &[i16] = &[1, 0, 1, 1];
    let columns = || {
        [
            (Values::Doubles(vec![1.5, f64::NAN, 1e-7, -3.0]), None, None),
            (Values::Longs(vec![7, -1, 1 << 60]), Some(there), None),
            (words(&[" x", "NA", "gr\u{fc}n, \"y\""]), Some(there), None),
            (Values::Booleans(vec![true, false, true, true]), None, None),
        ]
    };
    let schema = "required double a; optional int64 b; optional binary c (UTF8); required boolean d;";
    let csv = read("a,b,c,d\n1.5,7,x,true\n,,,false\n1e-7,-1,NA,true\n-3,1152921504606846976,\"gr\u{fc}n, \"\"y\"\"\",true\n").unwrap();
    for codec in CODECS {
        for threads in [1, 3, 8] {
            let bytes = file(schema, &columns(), 2, codec());
            let dir = tempfile::tempdir().unwrap();
            let source = TableSource::new(dir.path().join("t.parquet"));
            fs_err::write(&source.path, &bytes).unwrap();
            let table = read_in(&source, threads).unwrap();
            assert_eq!((table.rows(), table.names().collect::<Vec<_>>()), (8, vec!["a", "b", "c", "d"]));
            for name in ["b", "c", "d"] {
                let (all, expected) = (texts(&table, name), texts(&csv, name));
                assert_eq!((&all[..4], &all[4..]), (&expected[..], &expected[..]), "{name}");
            }
            let bits =
                |table: &Table| table.numbers("a").unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&table)[..4], bits(&csv));
            assert_eq!(table.column("c").unwrap().missing_marks(), ["NA"]);
            assert_eq!(table.digest(), crate::bytes::digest([bytes.as_slice()]));
        }
    }
}

#[test]
fn values_are_written_as_they_are_meant() {
    let ints = |values: &[i32]| (Values::Ints(values.to_vec()), None, None);
    let longs = |values: &[i64]| (Values::Longs(values.to_vec()), None, None);
    let fixed = |values: &[&[u8]]| {
        let values = values.iter().map(|bytes| FixedLenByteArray::from(bytes.to_vec())).collect();
        (Values::Fixed(values), None, None)
    };
    let mut moment = Int96::new();
    moment.set_data(1_000_000_001, 0, 2_440_589);
    let schema = "required int32 day (DATE); required int32 u (INTEGER(32,false)); required int64 v (INTEGER(64,false));
        required int64 ns (TIMESTAMP(NANOS,false)); required int64 us (TIMESTAMP(MICROS,true)); required int64 old (TIMESTAMP_MILLIS);
        required int32 at (TIME_MILLIS); required int32 d (DECIMAL(9,2)); required int64 e (DECIMAL(18,0));
        required fixed_len_byte_array(3) f (DECIMAL(5,3)); required fixed_len_byte_array(2) half (FLOAT16); required int96 i;
        required float single;";
    let columns = [
        ints(&[0, 19_860]),
        ints(&[-1, 1]),
        longs(&[-1, 1]),
        longs(&[0, 1_715_934_600_000_000_001]),
        longs(&[1_500_000, -500_000]),
        longs(&[1_000, 0]),
        ints(&[0, 45_000_500]),
        ints(&[-5, 12_345]),
        longs(&[-5, 12]),
        fixed(&[&[0xff, 0xff, 0xfe], &[0, 0x30, 0x39]]),
        fixed(&[&[0x00, 0x3e], &[0x00, 0x7e]]),
        (Values::Moments(vec![moment, moment]), None, None),
        (Values::Floats(vec![0.1, f32::MAX]), None, None),
    ];
    let table = read_bytes(&file(schema, &columns, 1, Codec::SNAPPY), |_| {}).unwrap();
    for (name, expected) in [
        ("day", ["1970-01-01", "2024-05-17"]),
        ("u", ["4294967295", "1"]),
        ("v", ["18446744073709551615", "1"]),
        ("ns", ["1970-01-01 00:00:00", "2024-05-17 08:30:00.000000001"]),
        ("us", ["1970-01-01 00:00:01.500", "1969-12-31 23:59:59.500"]),
        ("old", ["1970-01-01 00:00:01", "1970-01-01 00:00:00"]),
        ("at", ["00:00:00", "12:30:00.500"]),
        ("d", ["-0.05", "123.45"]),
        ("e", ["-5", "12"]),
        ("f", ["-0.002", "12.345"]),
        ("half", ["1.5", ""]),
        ("i", ["1970-01-02 00:00:01.000000001"; 2]),
        ("single", ["0.1", "340282350000000000000000000000000000000"]),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty())).collect();
        assert_eq!(texts(&table, name), expected, "{name}");
    }
}

#[test]
fn what_is_no_cell_is_left_out_and_said() {
    let columns = [
        (Values::Ints(vec![1, 2, 3]), Some(&[1, 1, 1][..]), Some(&[0, 1, 0][..])),
        (words(&["ab", "cd"]), None, None),
        (Values::Ints(vec![4]), Some(&[2, 0][..]), None),
        (Values::Longs(vec![0, 1]), None, None),
    ];
    let schema = "repeated int32 list; required binary image; optional group who { optional int32 age; } required int64 __index_level_0__;";
    let table = read_bytes(&file(schema, &columns, 1, Codec::SNAPPY), |_| {}).unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["who.age", "__index_level_0__"]);
    assert_eq!(texts(&table, "who.age"), [Some("4".to_owned()), None]);
    assert!(table.columns().unwrap()[1].is_nameless(), "row numbers of pandas are no input that was meant");
    let notes = table.notes().join("\n");
    assert!(notes.contains("column `list` holds several values in a row and is left out"), "{notes}");
    assert!(notes.contains("column `image` holds bytes"), "{notes}");
}

#[test]
fn marks_of_a_column_count_among_numbers_too() {
    let bytes = file(
        "required int32 a; required int32 b;",
        &[(Values::Ints(vec![-1, 2]), None, None), (Values::Ints(vec![-1, 2]), None, None)],
        1,
        Codec::SNAPPY,
    );
    let table = read_bytes(&bytes, |s| *s = s.clone().with_missing("a", &["-1".to_owned()])).unwrap();
    assert_eq!((texts(&table, "a")[0].as_deref(), texts(&table, "b")[0].as_deref()), (None, Some("-1")));
}

/// The rows of a table whose columns were all read.
fn read_whole(bytes: &[u8]) -> Result<usize> {
    let table = read_bytes(bytes, |_| {})?;
    table.columns().map(|_| table.rows())
}

/// Two columns of which the second is damaged.
fn half_damaged() -> Vec<u8> {
    let words = |word: &str| Values::Bytes(vec![ByteArray::from(word); 40]);
    let columns = [(words("sound"), None, None), (words("harmed"), None, None)];
    let schema = "required binary a (UTF8); required binary b (UTF8);";
    let mut bytes = file(schema, &columns, 2, Codec::UNCOMPRESSED);
    let harmed: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"harmed")).collect();
    // Before the statistics at the end of the file.
    for at in harmed.iter().take(harmed.len() / 2) {
        bytes[*at] = 0xff;
    }
    bytes
}

#[test]
fn a_column_is_read_when_it_is_asked_for() {
    let bytes = half_damaged();
    let table = read_bytes(&bytes, |_| {}).unwrap();
    assert_eq!((table.rows(), table.names().collect::<Vec<_>>()), (80, vec!["a", "b"]));
    assert_eq!(texts(&table, "a")[79].as_deref(), Some("sound"));
    assert!(table.column("b").unwrap_err().to_string().contains("column `b`"), "{table:?}");
    assert!(table.columns().is_err());
    // So it is below another table, and another below it.
    let small = read("a,b\nx,y\n").unwrap();
    let mut below = small.clone();
    below.append(&table);
    let mut above = table;
    above.append(&small);
    assert_eq!(
        (texts(&below, "a")[80].as_deref(), texts(&above, "a")[80].as_deref()),
        (Some("sound"), Some("x"))
    );
    assert!(below.column("b").is_err() && above.column("b").is_err());
    // In memory and on a disk a file is the same table.
    let packed = read_bytes(&zstd::encode_all(bytes.as_slice(), 1).unwrap(), |_| {}).unwrap();
    assert_eq!(texts(&packed, "a")[0].as_deref(), Some("sound"));
}

#[test]
fn what_is_wrong_is_an_error() {
    let good = file(
        "required int32 a; required int32 b;",
        &[(Values::Ints(vec![1; 99]), None, None), (Values::Ints(vec![2; 99]), None, None)],
        2,
        Codec::UNCOMPRESSED,
    );
    assert_eq!(read_whole(&good).unwrap(), 198);
    let empty = file("required int32 a;", &[(Values::Ints(Vec::new()), None, None)], 1, Codec::SNAPPY);
    let doubled = file(
        "required int32 a; required int32 a;",
        &[(Values::Ints(vec![1]), None, None), (Values::Ints(vec![1]), None, None)],
        1,
        Codec::SNAPPY,
    );
    let broken = file(
        "required binary a (UTF8);",
        &[(Values::Bytes(vec![ByteArray::from(vec![0xff_u8, 0xfe])]), None, None)],
        1,
        Codec::SNAPPY,
    );
    for (bytes, expected) in [
        (&good[..good.len() - 9], "is truncated, damaged or encrypted"),
        (b"PAR1", "is truncated, damaged or encrypted"),
        (&empty, "there is no row"),
        (&doubled, "two columns are called `a`"),
        (&broken, "column `a`: a text that is not UTF-8"),
    ] {
        let error = read_whole(bytes).unwrap_err();
        assert!(
            matches!(error, Error::Corrupt { .. }) && error.to_string().contains(expected),
            "{expected}: {error}"
        );
    }
    // Whatever a damaged file says, reading it ends with a table or an error.
    for at in 0..good.len() {
        for bit in [1, 0x40, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= bit;
            if let Err(error) = read_whole(&bytes) {
                assert!(matches!(error, Error::Corrupt { .. }), "{at}: {error}");
            }
        }
    }
}
