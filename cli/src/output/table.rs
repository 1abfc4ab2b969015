//! Tables on a terminal, in a pipe, or as JSON; printed once, or updated until the output is closed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use leasehold::{LeaseRecord, SessionInfo};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{format::Format, lines::json, stdout};
use crate::console::printable;

/// A line of a table.
pub(crate) trait Row: Serialize + Clone {
    /// The name of the object of a row, for messages.
    const WHAT: &'static str;

    /// Whether the Lease of a lock or an election alone is enough for its row.
    const ALONE: bool;

    /// The rows for these records.
    fn rows(records: &[LeaseRecord], name: Option<&str>) -> Vec<Self>;

    /// The heads of the columns. The first is the namespace.
    fn head(watched: bool) -> Vec<&'static str>;

    /// The cells, in the order of the heads.
    fn cells(&self, watched: bool) -> Vec<Cell>;

    /// The identity of the row's object.
    fn key(&self) -> String;

    /// Everything but the times: a change of it is worth a new line.
    fn summary(&self) -> String;

    /// Takes note that the server does not answer.
    fn mark_stale(&mut self);

    /// Whether its state depends on sessions, which have records of their own.
    fn needs_sessions(&self) -> bool {
        false
    }

    /// Takes note of the sessions.
    fn judge(&mut self, _: &[SessionInfo]) {}

    /// Takes note that the records of candidates are unknown, because this process may not read them.
    fn hide_candidates(&mut self);

    /// The row after its object was removed.
    fn removed(self) -> Self;
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Head,
    Good,
    Quiet,
    Doubtful,
    Bad,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

impl Tone {
    pub(crate) const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Head => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Quiet => Style::new().dimmed(),
            Self::Doubtful => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
    }
}

/// The layout of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) watched: bool,
    /// Whether the table has a column for the namespace.
    pub(crate) namespaces: bool,
    pub(crate) output: Format,
}

impl Layout {
    /// Prints all rows.
    pub(crate) fn print<R: Row>(self, rows: &[R]) -> bool {
        if self.output == Format::Json {
            return rows.iter().all(json);
        }
        stdout::write(&self.lines(rows, true, usize::MAX))
    }

    fn lines<R: Row>(self, rows: &[R], head: bool, width: usize) -> String {
        let heads = R::head(self.watched).into_iter();
        let heads = heads.map(|text| Cell { text: text.into(), tone: Tone::Head }).collect();
        let skip = usize::from(!self.namespaces);
        let table: Vec<Vec<Cell>> = std::iter::once(heads)
            .chain(rows.iter().map(|row| row.cells(self.watched)))
            .map(|cells| cells.into_iter().skip(skip))
            .map(|cells| cells.map(|cell| Cell { text: printable(&cell.text), ..cell }).collect())
            .collect();
        let widest = |column: usize| table.iter().map(|line| line[column].text.width()).max();
        let widths: Vec<_> = (0..table[0].len()).filter_map(widest).collect();
        let shown = table.iter().skip(usize::from(!head));
        shown.map(|cells| line(cells, &widths, width)).collect()
    }
}

/// The start of `text` that fits into `space` columns of a terminal. Some characters need two, and some none.
fn cut(text: &str, space: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or(0);
        taken > space
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// One line, cut to `width`, because a line that wraps cannot be redrawn.
fn line(cells: &[Cell], widths: &[usize], width: usize) -> String {
    let mut line = String::new();
    let mut space = width;
    let last = cells.len() - 1;
    for (column, (cell, &wide)) in cells.iter().zip(widths).enumerate() {
        let text = cut(&cell.text, space);
        space = space.saturating_sub(text.width());
        let style = cell.tone.style();
        let _ = write!(line, "{style}{text}{style:#}");
        if column < last {
            let gap = (wide - cell.text.width() + 2).min(space);
            space -= gap;
            let _ = write!(line, "{:gap$}", "");
        }
    }
    line.push('\n');
    line
}

/// Writes to standard output, in colour on a terminal unless `NO_COLOR` is set. Returns false if the output is closed.
/// A table that is updated.
pub(crate) struct Screen<R> {
    layout: Layout,
    /// How many lines to draw over; `None` if the output cannot be redrawn, so that changed rows are appended.
    drawn: Option<usize>,
    before: BTreeMap<String, R>,
    begun: bool,
}

impl<R: Row> Screen<R> {
    pub(crate) fn new(layout: Layout) -> Self {
        let terminal = layout.output == Format::Text && io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            layout,
            drawn: (terminal && !dumb).then_some(0),
            before: BTreeMap::new(),
            begun: false,
        }
    }

    /// Whether the table is redrawn, so that its times must be updated.
    pub(crate) const fn is_live(&self) -> bool {
        self.drawn.is_some()
    }

    /// Shows the present rows. Returns false if the output is closed.
    pub(crate) fn show(&mut self, mut rows: Vec<R>, trouble: Option<&str>) -> bool {
        if trouble.is_some() {
            rows.iter_mut().for_each(Row::mark_stale);
        }
        match self.drawn {
            Some(lines) => self.redraw(&rows, lines, trouble),
            None => self.append(rows),
        }
    }

    fn redraw(&mut self, rows: &[R], before: usize, trouble: Option<&str>) -> bool {
        let (width, height) = size();
        // One line for the head, one for what does not fit, one for the cursor.
        let fits = height.saturating_sub(3).max(1);
        let mut text = self.layout.lines(&rows[..rows.len().min(fits)], true, width);
        if rows.len() > fits {
            let _ = writeln!(text, "… and {} more", rows.len() - fits);
        }
        if let Some(trouble) = trouble {
            let line = printable(&format!("no updates at present: {trouble}"));
            let _ = writeln!(text, "{}", cut(&line, width));
        }
        self.drawn = Some(text.lines().count());
        let up = if before > 0 { format!("\x1b[{before}A") } else { String::new() };
        // Cursor movements must be written even where colours are removed.
        let choice = AutoStream::choice(&io::stdout());
        let text = if choice == ColorChoice::Never { plain(&text) } else { text };
        let mut output = io::stdout().lock();
        stdout::taken(write!(output, "{up}\r\x1b[J{text}").and_then(|()| output.flush()))
    }

    /// Appends a line for each row that has changed, apart from its times.
    fn append(&mut self, rows: Vec<R>) -> bool {
        let now: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key(), row)).collect();
        let before = std::mem::replace(&mut self.before, now);
        let is_new =
            |row: &&R| before.get(&row.key()).is_none_or(|old| old.summary() != row.summary());
        let mut news: Vec<R> = self.before.values().filter(is_new).cloned().collect();
        let gone = before.into_iter().filter(|(key, _)| !self.before.contains_key(key));
        news.extend(gone.map(|(_, row)| row.removed()));
        let head = !std::mem::replace(&mut self.begun, true);
        if news.is_empty() && !head {
            return true;
        }
        match self.layout.output {
            Format::Json => news.iter().all(json),
            Format::Text => stdout::write(&self.layout.lines(&news, head, usize::MAX)),
        }
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The columns and lines of the terminal.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str], width: usize) -> Vec<String> {
        let row = |name: &&str| [(*name).into(), "|".into()].to_vec();
        let rows: Vec<Vec<Cell>> = names.iter().map(row).collect();
        let widest = |column: usize| rows.iter().map(|row| row[column].text.width()).max();
        let widths = [0, 1].map(|column| widest(column).unwrap());
        rows.iter().map(|row| plain(&line(row, &widths, width)).trim_end().to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        // Two columns for each of the first, none for the accent, and none for the space of no width.
        let shown = table(&["日本", "a\u{301}b", "x\u{200b}y", "abcd"], 80);
        assert_eq!(shown, ["日本  |", "a\u{301}b    |", "x\u{200b}y    |", "abcd  |"]);
    }

    #[test]
    fn a_line_is_cut_to_the_columns_of_the_terminal() {
        for (space, shown) in [(0, ""), (1, ""), (2, "日"), (3, "日"), (4, "日本"), (9, "日本x")]
        {
            assert_eq!(cut("日本x", space), shown, "{space}");
        }
        assert_eq!(table(&["日本語"], 5), ["日本"]);
    }
}
