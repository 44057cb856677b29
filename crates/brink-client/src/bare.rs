//! Bare sleepers: a thread or a task each that waits, or makes one exchange, and nothing else: what either costs where
//! no engine is in the way. Must not sample usage: the caller does, at each plateau.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use brink_host::errno;
use brink_host::headroom::Headroom;
use brink_wire::frame::{HEADER_LEN, Header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::pacing::nanoseconds;

/// Longer than any run.
const NEVER: Duration = Duration::from_secs(86_400);
/// Between two looks at whether all have begun.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long those of a step may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// What a sleeper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A thread of the operating system.
    Threads,
    /// A task on tokio's multi-thread runtime.
    Tokio,
}

/// What each of them does.
#[derive(Debug, Clone, Copy)]
pub struct Sleepers {
    /// What they are.
    pub way: Way,
    /// How many. At least 1.
    pub count: u64,
    /// How long each waits; with `echo` what it asks its target to wait.
    pub wait: Duration,
    /// Where each connects, sends one frame and gets it back.
    pub echo: Option<SocketAddr>,
    /// How long a connect, and then the reply beside the wait, may take.
    pub timeout: Duration,
    /// Stack of a thread, in bytes.
    pub stack_bytes: usize,
}

/// What became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// From before the first was made, and before the runtime was, to the end of the last one.
    pub makespan: Duration,
    /// Those that waited, or got their frame back.
    pub completed: u64,
    /// Those that did not.
    pub failed: u64,
    /// Why not, of one of them.
    pub why: Option<String>,
}

/// What sleepers share: how many have begun, how it went, and whether they may end.
#[derive(Debug, Default)]
struct Shared {
    begun: AtomicU64,
    is_over: AtomicBool,
}

type Outcome = Result<(), String>;

/// Makes all of them at once, and waits for the last.
///
/// # Errors
/// When not all can be made: pthread_create(3), or `ENOMEM` shortly before what a process may map is used up.
pub fn at_once(asked: &Sleepers) -> io::Result<Ended> {
    let asked = *asked;
    let began = Instant::now();
    let outcomes: Vec<Outcome> = match asked.way {
        Way::Threads => {
            let mut made = Vec::with_capacity(usize::try_from(asked.count).unwrap_or_default());
            make_threads(asked, &mut made, asked.count, move || act_on_thread(&asked))?;
            made.into_iter().map(joined).collect()
        }
        Way::Tokio => runtime()?.block_on(async move {
            let made: Vec<_> = (0..asked.count).map(|_| tokio::spawn(act_in_task(asked))).collect();
            let mut outcomes = Vec::with_capacity(made.len());
            for task in made {
                outcomes.push(task.await.unwrap_or_else(|error| Err(error.to_string())));
            }
            outcomes
        }),
    };
    Ok(ended(began.elapsed(), outcomes))
}

/// Makes them in steps, and calls `on_plateau` with each count once so many wait. They wait until it is over: after the last
/// plateau they are let go.
///
/// # Errors
/// As [`at_once`]; `TimedOut` when those of a step do not begin; the first exchange that fails.
pub fn in_steps(asked: &Sleepers, steps: &[u64], mut on_plateau: impl FnMut(u64)) -> io::Result<()> {
    let asked = *asked;
    let shared = Arc::new(Shared::default());
    match asked.way {
        Way::Threads => {
            let mut made = Vec::new();
            let climbed = steps.iter().try_for_each(|&count| {
                let shared_too = Arc::clone(&shared);
                make_threads(asked, &mut made, count, move || hold_thread(&asked, &shared_too))?;
                all_begun(&shared, count, || made.iter().any(JoinHandle::is_finished))?;
                on_plateau(count);
                Ok(())
            });
            shared.is_over.store(true, Ordering::Release);
            made.iter().for_each(|thread| thread.thread().unpark());
            let outcomes: Vec<Outcome> = made.into_iter().map(joined).collect();
            climbed.map_err(|error| explained(error, outcomes))
        }
        Way::Tokio => {
            let runtime = runtime()?;
            let mut made = Vec::new();
            let climbed = steps.iter().try_for_each(|&count| {
                while (made.len() as u64) < count {
                    made.push(runtime.spawn(hold_task(asked, Arc::clone(&shared))));
                }
                all_begun(&shared, count, || made.iter().any(tokio::task::JoinHandle::is_finished))?;
                on_plateau(count);
                Ok(())
            });
            let is_done = |task: &tokio::task::JoinHandle<Outcome>| task.is_finished();
            let early: Vec<_> = made.into_iter().filter(is_done).collect();
            let outcomes = early.into_iter().filter_map(|task| runtime.block_on(task).ok()).collect();
            // Every other task is dropped where it waits.
            runtime.shutdown_background();
            climbed.map_err(|error| explained(error, outcomes))
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_io().enable_time().build()
}

/// Up to `count` threads in all.
fn make_threads(
    asked: Sleepers,
    made: &mut Vec<JoinHandle<Outcome>>,
    count: u64,
    act: impl Fn() -> Outcome + Clone + Send + 'static,
) -> io::Result<()> {
    let mut headroom = Headroom::new()?;
    while (made.len() as u64) < count {
        headroom.check(asked.stack_bytes as u64, made.len() as u64)?;
        let act = act.clone();
        made.push(thread::Builder::new().stack_size(asked.stack_bytes).spawn(act)?);
    }
    Ok(())
}

fn joined(thread: JoinHandle<Outcome>) -> Outcome {
    thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
}

fn ended(makespan: Duration, outcomes: Vec<Outcome>) -> Ended {
    let mut sum = Ended { makespan, ..Ended::default() };
    for outcome in outcomes {
        match outcome {
            Ok(()) => sum.completed += 1,
            Err(why) => {
                sum.failed += 1;
                sum.why.get_or_insert(why);
            }
        }
    }
    sum
}

/// What a sleeper said goes before what its absence looked like.
fn explained(error: io::Error, outcomes: Vec<Outcome>) -> io::Error {
    outcomes.into_iter().find_map(Result::err).map_or(error, io::Error::other)
}

#[expect(clippy::disallowed_methods, reason = "waits for others to begin; nothing is timed meanwhile")]
fn all_begun(shared: &Shared, count: u64, has_one_ended: impl Fn() -> bool) -> io::Result<()> {
    let until = Instant::now() + BEGIN_WITHIN;
    while shared.begun.load(Ordering::Acquire) < count {
        if Instant::now() >= until || has_one_ended() {
            let begun = shared.begun.load(Ordering::Acquire);
            let why = format!("only {begun} of {count} sleepers began");
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it is a sleeper")]
fn act_on_thread(asked: &Sleepers) -> Outcome {
    match asked.echo {
        Some(address) => echo_blocking(asked, address).map(drop),
        None => {
            thread::sleep(asked.wait);
            Ok(())
        }
    }
}

fn hold_thread(asked: &Sleepers, shared: &Shared) -> Outcome {
    let held = asked.echo.map(|address| echo_blocking(asked, address)).transpose()?;
    shared.begun.fetch_add(1, Ordering::Release);
    while !shared.is_over.load(Ordering::Acquire) {
        thread::park_timeout(NEVER);
    }
    drop(held);
    Ok(())
}

async fn act_in_task(asked: Sleepers) -> Outcome {
    match asked.echo {
        Some(address) => echo_in_task(&asked, address).await.map(drop),
        None => {
            tokio::time::sleep(asked.wait).await;
            Ok(())
        }
    }
}

async fn hold_task(asked: Sleepers, shared: Arc<Shared>) -> Outcome {
    let held = match asked.echo {
        Some(address) => Some(echo_in_task(&asked, address).await?),
        None => None,
    };
    shared.begun.fetch_add(1, Ordering::Release);
    drop(shared);
    tokio::time::sleep(NEVER).await;
    drop(held);
    Ok(())
}

/// One frame without payload, that asks for the wait.
fn frame(wait: Duration) -> [u8; HEADER_LEN] {
    let delay_ns = nanoseconds(wait);
    Header { payload_len: 0, work_us: 0, sequence: 1, delay_ns, waited_ns: None }.encode()
}

fn check(reply: &[u8; HEADER_LEN]) -> Outcome {
    let header = Header::decode(reply).map_err(|error| format!("the reply is no frame: {}", error.name()))?;
    if header.sequence == 1 && header.payload_len == 0 {
        Ok(())
    } else {
        Err("the reply is another frame".to_owned())
    }
}

fn named(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timeout".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed".to_owned(),
        _ => errno::name(error),
    }
}

fn echo_blocking(asked: &Sleepers, address: SocketAddr) -> Result<TcpStream, String> {
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&address, asked.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(asked.timeout + asked.wait))?;
        stream.write_all(&frame(asked.wait))?;
        let mut reply = [0; HEADER_LEN];
        stream.read_exact(&mut reply)?;
        Ok((stream, reply))
    };
    let (stream, reply) = exchange().map_err(|error: io::Error| named(&error))?;
    check(&reply).map(|()| stream)
}

async fn echo_in_task(asked: &Sleepers, address: SocketAddr) -> Result<tokio::net::TcpStream, String> {
    let exchange = async {
        let mut stream = timeout(asked.timeout, tokio::net::TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        stream.write_all(&frame(asked.wait)).await?;
        let mut reply = [0; HEADER_LEN];
        timeout(asked.timeout + asked.wait, stream.read_exact(&mut reply)).await??;
        Ok((stream, reply))
    };
    let (stream, reply) = exchange.await.map_err(|error: io::Error| named(&error))?;
    check(&reply).map(|()| stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleepers(way: Way, count: u64) -> Sleepers {
        Sleepers {
            way,
            count,
            wait: Duration::from_millis(5),
            echo: None,
            timeout: Duration::from_secs(5),
            stack_bytes: 64 << 10,
        }
    }

    #[test]
    fn all_wait_and_none_is_late_for_another() {
        for way in [Way::Threads, Way::Tokio] {
            let ended = at_once(&sleepers(way, 200)).unwrap();
            assert_eq!((ended.completed, ended.failed, &ended.why), (200, 0, &None));
            assert!(ended.makespan >= Duration::from_millis(5), "{way:?}: {ended:?}");
        }
    }

    #[test]
    fn each_plateau_has_all_of_its_own() {
        for way in [Way::Threads, Way::Tokio] {
            let mut seen = Vec::new();
            in_steps(&sleepers(way, 30), &[10, 20, 30], |count| seen.push(count)).unwrap();
            assert_eq!(seen, [10, 20, 30]);
        }
    }

    #[test]
    fn nobody_there_is_a_failure_with_its_errno() {
        let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        for way in [Way::Threads, Way::Tokio] {
            let asked = Sleepers { echo: Some(nobody), ..sleepers(way, 3) };
            let ended = at_once(&asked).unwrap();
            assert_eq!((ended.completed, ended.failed), (0, 3));
            assert_eq!(ended.why.as_deref(), Some("ECONNREFUSED"));
            let error = in_steps(&asked, &[3], |_| {}).unwrap_err();
            assert_eq!(error.to_string(), "ECONNREFUSED");
        }
    }
}
