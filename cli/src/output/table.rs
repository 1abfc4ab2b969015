//! Rows on a terminal, in a pipe, or as JSON; once, or for as long as somebody looks.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use leasehold::LeaseRecord;
use serde::Serialize;

use super::{format::Output, lines::json};

/// A line of a table.
pub(crate) trait Row: Serialize + Clone {
    /// What one is, for messages.
    const WHAT: &'static str;

    /// The rows that these records make.
    fn rows(records: &[LeaseRecord], name: Option<&str>) -> Vec<Self>;

    /// The head of each column, the namespace first.
    fn head(watched: bool) -> Vec<&'static str>;

    fn cells(&self, watched: bool) -> Vec<Cell>;

    /// Whose row it is.
    fn key(&self) -> String;

    /// What a line is worth: all but the times.
    fn gist(&self) -> String;

    /// There is no news from the server.
    fn doubt(&mut self);

    /// As it is once it is not there any more.
    fn gone(self) -> Self;
}

/// A cell of a table, and what is to be thought of it.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) mood: Mood,
}

/// What colour says, where there is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Plain,
    Head,
    Good,
    Quiet,
    Doubtful,
    Bad,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), mood: Mood::Plain }
    }
}

impl Mood {
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

/// How a table is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) watched: bool,
    /// With the column of namespaces.
    pub(crate) namespaces: bool,
    pub(crate) output: Output,
}

impl Layout {
    /// Prints all rows.
    pub(crate) fn print<R: Row>(self, rows: &[R]) -> bool {
        if self.output == Output::Json {
            return rows.iter().all(json);
        }
        write(&self.lines(rows, true, usize::MAX))
    }

    fn lines<R: Row>(self, rows: &[R], head: bool, width: usize) -> String {
        let heads = R::head(self.watched).into_iter();
        let heads = heads.map(|text| Cell { text: text.into(), mood: Mood::Head }).collect();
        let skip = usize::from(!self.namespaces);
        let table: Vec<Vec<Cell>> = std::iter::once(heads)
            .chain(rows.iter().map(|row| row.cells(self.watched)))
            .map(|cells| cells.into_iter().skip(skip).collect())
            .collect();
        let widest = |column: usize| table.iter().map(|line| chars(&line[column].text)).max();
        let widths: Vec<_> = (0..table[0].len()).filter_map(widest).collect();
        let shown = table.iter().skip(usize::from(!head));
        shown.map(|cells| line(cells, &widths, width)).collect()
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// One line, cut to `width`, since a line that wraps cannot be redrawn.
fn line(cells: &[Cell], widths: &[usize], width: usize) -> String {
    let mut line = String::new();
    let mut room = width;
    let last = cells.len() - 1;
    for (column, (cell, &wide)) in cells.iter().zip(widths).enumerate() {
        let text: String = cell.text.chars().take(room).collect();
        room -= chars(&text);
        let style = cell.mood.style();
        let _ = write!(line, "{style}{text}{style:#}");
        if column < last {
            let gap = (wide - chars(&cell.text) + 2).min(room);
            room -= gap;
            let _ = write!(line, "{:gap$}", "");
        }
    }
    line.push('\n');
    line
}

/// Standard output; colours only on a terminal, unless `NO_COLOR` is set. False if nobody reads any more.
fn write(text: &str) -> bool {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// What somebody looks at for a while.
pub(crate) struct Screen<R> {
    layout: Layout,
    /// How many lines are drawn and to be drawn over; `None` where they cannot be: then changes are added.
    drawn: Option<usize>,
    before: BTreeMap<String, R>,
    begun: bool,
}

impl<R: Row> Screen<R> {
    pub(crate) fn new(layout: Layout) -> Self {
        let terminal = layout.output == Output::Text && io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            layout,
            drawn: (terminal && !dumb).then_some(0),
            before: BTreeMap::new(),
            begun: false,
        }
    }

    /// Whether it is redrawn, so that times go on.
    pub(crate) const fn is_live(&self) -> bool {
        self.drawn.is_some()
    }

    /// Shows how things are now; false if nobody reads any more.
    pub(crate) fn show(&mut self, mut rows: Vec<R>, trouble: Option<&str>) -> bool {
        if trouble.is_some() {
            rows.iter_mut().for_each(Row::doubt);
        }
        match self.drawn {
            Some(lines) => self.redraw(&rows, lines, trouble),
            None => self.add(rows),
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
            let line: String =
                format!("no news at present: {trouble}").chars().take(width).collect();
            let _ = writeln!(text, "{line}");
        }
        self.drawn = Some(text.lines().count());
        let up = if before > 0 { format!("\x1b[{before}A") } else { String::new() };
        // The movements are no colours: they are written as they are.
        let choice = AutoStream::choice(&io::stdout());
        let text = if choice == ColorChoice::Never { plain(&text) } else { text };
        let mut stdout = io::stdout().lock();
        write!(stdout, "{up}\r\x1b[J{text}").and_then(|()| stdout.flush()).is_ok()
    }

    /// Adds a line for each row that is another than before, times apart.
    fn add(&mut self, rows: Vec<R>) -> bool {
        let now: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key(), row)).collect();
        let before = std::mem::replace(&mut self.before, now);
        let is_new = |row: &&R| before.get(&row.key()).is_none_or(|old| old.gist() != row.gist());
        let mut news: Vec<R> = self.before.values().filter(is_new).cloned().collect();
        let gone = before.into_iter().filter(|(key, _)| !self.before.contains_key(key));
        news.extend(gone.map(|(_, row)| row.gone()));
        let head = !std::mem::replace(&mut self.begun, true);
        if news.is_empty() && !head {
            return true;
        }
        match self.layout.output {
            Output::Json => news.iter().all(json),
            Output::Text => write(&self.layout.lines(&news, head, usize::MAX)),
        }
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The terminal's columns and lines.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}
