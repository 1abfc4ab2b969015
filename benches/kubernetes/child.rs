//! A child process: what it prints, and what the kernel reports of it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{self, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use leasehold_test_support::processes::Process;

/// How long a child may take for what it does first.
const START: Duration = Duration::from_secs(120);

/// A running process. It is killed with SIGKILL when it is dropped.
pub(crate) struct Child {
    process: process::Child,
    lines: Receiver<String>,
}

impl Child {
    /// Starts a process.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || output.lines().try_for_each(|line| lines.send(line.unwrap())));
        Self { process, lines: received }
    }

    /// Starts a process and waits until it has printed a line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = Self::spawn(command);
        assert!(child.lines.recv_timeout(START).is_ok(), "{command:?} ended early");
        child
    }

    /// The lines that it has printed since the last call.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Waits for the next line.
    pub(crate) fn next_line(&self, limit: Duration) -> String {
        self.lines.recv_timeout(limit).expect("the process prints a line in time")
    }

    /// Ends its input, which makes it release what it holds.
    pub(crate) fn end_input(&mut self) {
        drop(self.process.stdin.take());
    }

    fn found(&self) -> Process {
        Process::find(self.process.id()).unwrap()
    }

    /// Returns a field of `/proc/PID/status`, in kilobytes.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let process = self.found();
        process.field(field).unwrap().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns the number of open sockets.
    pub(crate) fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(self.found().file("fd")).unwrap();
        let target = |entry: std::io::Result<std::fs::DirEntry>| entry?.path().read_link();
        descriptors
            .filter_map(|entry| target(entry).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Returns the resident memory of each mapped file, the largest first.
    pub(crate) fn files(&self) -> String {
        let maps = std::fs::read_to_string(self.found().file("smaps")).unwrap();
        let (mut files, mut file) = (BTreeMap::<String, u64>::new(), String::new());
        for line in maps.lines() {
            if let Some(rest) = line.strip_prefix("Rss:") {
                let kilobytes: u64 = rest.split_whitespace().next().unwrap().parse().unwrap();
                *files.entry(file.clone()).or_default() += kilobytes;
            } else if let Some(path) = line.split_whitespace().nth(5) {
                path.rsplit('/').next().unwrap_or_default().clone_into(&mut file);
            } else if line.split_whitespace().next().is_some_and(|range| range.contains('-')) {
                file.clear();
            }
        }
        // The kernel writes areas without a file like `[heap]`, or without a name.
        let is_file = |file: &str| !file.is_empty() && !file.starts_with('[');
        let mut files: Vec<_> =
            files.into_iter().filter(|(file, size)| is_file(file) && *size >= 100).collect();
        files.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let each = files.iter().map(|(file, size)| format!("{file} {}", megabytes(*size)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns the processor time used, in clock ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.found().file("stat")).unwrap();
        let after = stat.rsplit_once(") ").unwrap().1;
        after.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MiB", kilobytes as f64 / 1024.0)
}
