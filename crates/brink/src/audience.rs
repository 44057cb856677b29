//! Who follows a run: people at the progress, and machines that read `--ndjson` or ask `--metrics`. Nobody of them can
//! keep it from measuring, and it ends as it would without them.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use brink_results::answer::table::verdict_name;
use brink_results::case::Case;
use brink_results::schema::CaseResult;

use crate::cli::{FollowArgs, ResultFormat};
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::ndjson::Ndjson;
use crate::outbox::Outbox;
use crate::progress::{Left, Progress, Snapshot};
use crate::stderr;

/// How long a reader of the last lines is waited for.
const LAST_LINES: Duration = Duration::from_secs(2);

/// See the module.
pub struct Audience {
    progress: Progress,
    ndjson: Option<Writer>,
    metrics: Option<Metrics>,
}

/// Where the lines of `--ndjson` go.
struct Writer {
    path: PathBuf,
    lines: Ndjson,
    outbox: Outbox,
    is_broken: bool,
}

impl Audience {
    /// As the flags ask, for so many cases that take as long as `left` says. `token`: what `--metrics` asks for where
    /// other machines reach it.
    ///
    /// # Errors
    /// A usage failure for a file or an address that cannot be had, and for two that both want stdout.
    pub fn new(
        args: &FollowArgs,
        format: ResultFormat,
        token: Option<&str>,
        cases: usize,
        left: Left,
    ) -> Result<Self, Failure> {
        let ndjson = args.ndjson.as_deref().map(|path| Writer::new(path, format)).transpose()?;
        let metrics = args.metrics.map(|address| Metrics::serve(address, token, cases)).transpose()?;
        if let Some(metrics) = &metrics {
            stderr::say(&format!("brink: metrics at http://{}/metrics", metrics.address()));
        }
        Ok(Self { progress: Progress::new(cases, left, args.quiet), ndjson, metrics })
    }

    /// A case begins.
    pub fn begin(&mut self, case: &Case) {
        self.progress.begin(&case.name);
        if let Some(metrics) = &self.metrics {
            metrics.begin(case);
        }
        self.write(|lines| lines.begin(case, unix_s()));
    }

    /// Something runs that is no case, and has nothing to tell until it ends.
    pub fn meanwhile(&self, name: &str) {
        self.progress.meanwhile(name);
    }

    /// The running case, several times a second. Never waits.
    pub fn update(&mut self, snapshot: &Snapshot) {
        self.progress.update(snapshot);
        if let Some(metrics) = &self.metrics {
            metrics.update(snapshot);
        }
        self.write(|lines| lines.of(snapshot));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.progress.say(line);
    }

    /// The case is over.
    pub fn end(&mut self, result: &CaseResult) {
        // One that was refused or did not come to a window does not tell how long others take.
        self.progress.end(result.requests.window_s > 0.0);
        if let Some(metrics) = &self.metrics {
            metrics.end();
        }
        let verdict = verdict_name(result.validity.verdict);
        self.write(|lines| lines.end(verdict, unix_s()));
    }

    /// All is over.
    pub fn finish(&mut self) {
        self.progress.finish();
        if let Some(writer) = &mut self.ndjson {
            let (dropped, is_late) = writer.outbox.end(LAST_LINES);
            let path = writer.path.display();
            match writer.outbox.problem() {
                Some(error) if !writer.is_broken => stderr::say(&broken(&writer.path, &error)),
                _ if writer.is_broken => {}
                _ if dropped > 0 || is_late => stderr::say(&format!(
                    "brink: --ndjson {path}: its reader was too slow: some lines were not written"
                )),
                _ => {}
            }
        }
        self.ndjson = None;
    }

    fn write(&mut self, make: impl FnOnce(&mut Ndjson) -> Vec<Vec<u8>>) {
        let Some(writer) = self.ndjson.as_mut().filter(|writer| !writer.is_broken) else { return };
        make(&mut writer.lines).into_iter().for_each(|line| writer.outbox.post(line));
        if let Some(error) = writer.outbox.problem() {
            writer.is_broken = true;
            let line = broken(&writer.path, &error);
            self.progress.say(&line);
        }
    }
}

impl Writer {
    fn new(path: &Path, format: ResultFormat) -> Result<Self, Failure> {
        let cannot = |error: &io::Error| Failure::usage(format!("--ndjson {}: {error}", path.display()));
        let is_stdout = path.as_os_str() == "-";
        if format != ResultFormat::Text && (is_stdout || is_as_stdout(path)) {
            return Err(Failure::usage(
                "--ndjson: stdout is taken by --format: name a file, or leave --format at text",
            ));
        }
        let outbox = if is_stdout {
            Outbox::to(io::stdout())
        } else if std::fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) {
            let path = path.to_owned();
            Outbox::once_open(move || OpenOptions::new().write(true).open(path))
        } else {
            Outbox::to(File::create(path).map_err(|error| cannot(&error))?)
        };
        let outbox = outbox.map_err(|error| cannot(&error))?;
        Ok(Self { path: path.to_owned(), lines: Ndjson::default(), outbox, is_broken: false })
    }
}

/// Whether a path, `/dev/stdout` for one, names the file or pipe that stdout is.
fn is_as_stdout(path: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).ok().filter(|file| !file.file_type().is_char_device());
    let same = |(a, b): (Metadata, Metadata)| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file(path).zip(file(Path::new("/proc/self/fd/1"))).is_some_and(same)
}

fn broken(path: &Path, error: &io::Error) -> String {
    format!("brink: --ndjson {}: {error}: the rest is not written, and the run goes on", path.display())
}

/// Seconds since 1970.
pub fn unix_s() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
