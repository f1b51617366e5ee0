//! What can be said: the one list of fields and the one list of entries. How it is sent is row 7's business.
//!
//! Rule: a message is a constant sentence, everything variable is a field, and no field ever holds a secret.

mod entry;
mod field;

pub use entry::{ENTRIES, Entry, EntryRow, Kind, Level, Value};
pub use field::{FIELDS, Field, FieldRow};
