//! What is said on stderr when it was asked for.

use tracing_subscriber::filter::LevelFilter;

/// Says nothing without `-v`, what happens with it, and every detail with `-vv`.
pub(crate) fn begin(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(false)
        .init();
}
