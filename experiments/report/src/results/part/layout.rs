//! Where the pages of a Parquet file are and how much memory they take, checked against the file.
//!
//! The numbers are those of the format's specification (`parquet.thrift`).

use std::io::{self, Read, Seek, SeekFrom};

use super::thrift::{Thrift, ThriftError};

/// What stands at both ends of a file.
const MAGIC: &[u8] = b"PAR1";
/// A footer has the schema, the metadata of all parts that were merged, and some hundred bytes for each column.
const LARGEST_FOOTER: u64 = 16 << 20;
/// The header of a page has some statistics; a text among them may be long.
const LARGEST_HEADER: u64 = 16 << 20;
/// Columns of a table; each takes memory in every row group.
const MOST_COLUMNS: usize = 4096;
/// Decoded bytes that any part may have.
const ALWAYS: u64 = 128 << 20;
/// Decoded bytes that a part may have for each of its own: columns of equal values compress a thousandfold.
const EXPANSION: u64 = 1000;

/// Why the layout of a file is not one that is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a Parquet file: {0}")]
    NotParquet(&'static str),
    #[error("its footer has {0} bytes, and at most {LARGEST_FOOTER} are read")]
    Footer(u64),
    #[error("{0}")]
    Thrift(#[from] ThriftError),
    #[error("it has {0} columns, and at most {MOST_COLUMNS} are read")]
    Columns(usize),
    #[error("its footer does not say {0}")]
    Unsaid(&'static str),
    #[error("it says that it has {said} {what}, and there are {found}")]
    Count { what: &'static str, said: u64, found: u64 },
    #[error("a page is outside of its column")]
    Outside,
    #[error("its rows take {decoded} bytes of memory, and at most {most} are allowed for {length} bytes of a file")]
    TooLarge { decoded: u64, most: u64, length: u64 },
}

/// A column of a row group.
struct Chunk {
    begin: u64,
    end: u64,
    values: u64,
    /// Bytes of a decoded value, without the texts that it points to.
    width: u64,
}

/// Checks a file.
pub(super) fn check(file: &mut (impl Read + Seek)) -> Result<(), LayoutError> {
    let length = file.seek(SeekFrom::End(0))?;
    let (footer, data) = footer(file, length)?;
    let schema = footer.list(2).ok_or(LayoutError::Unsaid("which columns there are"))?;
    let groups = footer.list(4).ok_or(LayoutError::Unsaid("where its rows are"))?;
    if schema.len() > MOST_COLUMNS {
        return Err(LayoutError::Columns(schema.len()));
    }
    let most = ALWAYS + EXPANSION.saturating_mul(length);
    let (mut rows, mut decoded) = (0_u64, 0_u64);
    for group in groups {
        let in_group = count(group, 3, "how many rows a group has")?;
        rows = rows.saturating_add(in_group);
        for chunk in chunks(group, schema, in_group, data)? {
            let pages = pages(file, &chunk)?;
            decoded = decoded.saturating_add(pages).saturating_add(chunk.values.saturating_mul(chunk.width));
            if decoded > most {
                return Err(LayoutError::TooLarge { decoded, most, length });
            }
        }
    }
    same("rows", count(&footer, 3, "how many rows there are")?, rows)
}

/// The footer, and where it begins.
fn footer(file: &mut (impl Read + Seek), length: u64) -> Result<(Thrift, u64), LayoutError> {
    let mut head = [0; 4];
    let mut tail = [0; 8];
    if length < 12 {
        return Err(LayoutError::NotParquet("it is too short"));
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    file.seek(SeekFrom::Start(length - 8))?;
    file.read_exact(&mut tail)?;
    let (size, magic) = tail.split_at(4);
    if head != MAGIC || magic != MAGIC {
        return Err(LayoutError::NotParquet("its first or its last four bytes are not PAR1; it may be cut off"));
    }
    let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    if size > LARGEST_FOOTER {
        return Err(LayoutError::Footer(size));
    }
    let begin = (length - 8).checked_sub(size).ok_or(LayoutError::NotParquet("its footer is longer than the file"))?;
    let bytes = window(file, begin, size)?;
    Ok((Thrift::read(&bytes)?.0, begin))
}

/// The columns of a row group of `rows` rows; `data` is where the footer begins.
fn chunks(group: &Thrift, schema: &[Thrift], rows: u64, data: u64) -> Result<Vec<Chunk>, LayoutError> {
    let columns = group.list(1).ok_or(LayoutError::Unsaid("where its columns are"))?;
    // The first element of a schema is the table itself. In a table without nested columns the others are its columns.
    let is_flat = schema.len() == columns.len() + 1 && schema.iter().all(|element| element.int(3) != Some(2));
    if columns.len() >= schema.len() {
        let (said, found) = (schema.len().saturating_sub(1) as u64, columns.len() as u64);
        return Err(LayoutError::Count { what: "columns", said, found });
    }
    let chunk = |column: &Thrift| {
        let about = column.field(3).filter(|_| column.field(1).is_none());
        let chunk = chunk(about.ok_or(LayoutError::Unsaid("where a column is"))?)?;
        // A row of a nested column has a value at least.
        if (is_flat && chunk.values != rows) || chunk.values < rows {
            return Err(LayoutError::Count { what: "rows", said: rows, found: chunk.values });
        }
        let inside = MAGIC.len() as u64 <= chunk.begin && chunk.begin <= chunk.end && chunk.end <= data;
        if inside { Ok(chunk) } else { Err(LayoutError::Outside) }
    };
    columns.iter().map(chunk).collect()
}

fn chunk(about: &Thrift) -> Result<Chunk, LayoutError> {
    let first_page = count(about, 9, "where the pages of a column are")?;
    let dictionary = about.int(11).and_then(|at| u64::try_from(at).ok()).filter(|at| *at > 0);
    let begin = dictionary.map_or(first_page, |at| at.min(first_page));
    let size = count(about, 7, "how long a column is")?;
    // Text is decoded to views of 16 bytes.
    let width = match about.int(1) {
        Some(0) => 1,
        Some(1 | 4) => 4,
        Some(2 | 5) => 8,
        Some(3 | 6 | 7) => 16,
        _ => return Err(LayoutError::Unsaid("the type of a column")),
    };
    Ok(Chunk {
        begin,
        end: begin.saturating_add(size),
        values: count(about, 5, "how many values a column has")?,
        width,
    })
}

/// Walks through the pages of a column, and adds up their decompressed sizes.
fn pages(file: &mut (impl Read + Seek), chunk: &Chunk) -> Result<u64, LayoutError> {
    let (mut at, mut values, mut decompressed) = (chunk.begin, 0_u64, 0_u64);
    while at < chunk.end {
        let (header, length) = header(file, at, chunk.end)?;
        let compressed = count(&header, 3, "how long a page is")?;
        at = at.saturating_add(length).saturating_add(compressed);
        decompressed = decompressed.saturating_add(count(&header, 2, "how long a page is")?);
        if let Some(page) = header.field(5).or(header.field(8)) {
            values = values.saturating_add(count(page, 1, "how many values a page has")?);
        }
    }
    if at > chunk.end {
        return Err(LayoutError::Outside);
    }
    same("values in a column", chunk.values, values)?;
    Ok(decompressed)
}

/// The header of a page, and how many bytes it takes.
fn header(file: &mut (impl Read + Seek), at: u64, end: u64) -> Result<(Thrift, u64), LayoutError> {
    let mut size = 512;
    loop {
        let bytes = window(file, at, size.min(end - at))?;
        match Thrift::read(&bytes) {
            Ok((header, length)) => return Ok((header, length as u64)),
            // A header longer than the window; its length is not known before it is read.
            Err(ThriftError::Short) if size < (end - at).min(LARGEST_HEADER) => size *= 16,
            Err(error) => return Err(error.into()),
        }
    }
}

/// `size` bytes of a file, which the caller has bounded.
fn window(file: &mut (impl Read + Seek), at: u64, size: u64) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A field that is a count or a place, which is never negative.
fn count(of: &Thrift, field: i16, what: &'static str) -> Result<u64, LayoutError> {
    of.int(field).and_then(|number| u64::try_from(number).ok()).ok_or(LayoutError::Unsaid(what))
}

fn same(what: &'static str, said: u64, found: u64) -> Result<(), LayoutError> {
    if said == found { Ok(()) } else { Err(LayoutError::Count { what, said, found }) }
}
