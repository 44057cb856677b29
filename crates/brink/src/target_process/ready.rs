//! Waits until a started target serves: by its ready line, or by its port. Must not decide what
//! becomes of one that does not.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::output::shown;
use brink_wire::control::Ready;
use brink_wire::value;

const READY_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// A connect on loopback that takes longer has met a full backlog.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// One that closed its output is about to end, or serves on in silence.
const ENDS_WITHIN: Duration = Duration::from_millis(200);
/// A target accepts before it says so: that long its ready line is waited for after its port
/// answered, since it tells what the port does not.
const LINE_AFTER_PORT: Duration = Duration::from_secs(1);

/// Waits for the ready line, or until `port` accepts a connection. `None`: it serves, and said nothing.
/// `has_ended` says whether the process has ended.
///
/// # Errors
/// One line that says what did not happen.
pub fn wait(
    first_line: &Receiver<String>,
    port: Option<SocketAddr>,
    mut has_ended: impl FnMut() -> bool,
) -> Result<Option<Ready>, String> {
    let until = Instant::now() + READY_WITHIN;
    let mut will_speak = true;
    let mut accepted: Option<Instant> = None;
    loop {
        match listen(first_line, &mut will_speak) {
            Some(line) => match (serde_json::from_str(&line), port) {
                (Ok(ready), _) => return Ok(Some(ready)),
                (Err(_), None) => return Err(no_ready_line(&line)),
                (Err(_), Some(_)) => will_speak = false,
            },
            None if has_ended() => {
                // What it said last may still be on its way through the pipe.
                let last = first_line
                    .recv_timeout(ENDS_WITHIN)
                    .ok()
                    .filter(|line| port.is_none() && !is_ready(line));
                return Err(last.map_or("it ended at once".to_owned(), |line| no_ready_line(&line)));
            }
            None => {}
        }
        let Some(port) = port else {
            match (will_speak, Instant::now() < until) {
                (true, true) => continue,
                (true, false) => return Err(format!("no ready line within {}", format(READY_WITHIN))),
                (false, _) if super::wait_until(Instant::now() + ENDS_WITHIN, &mut has_ended) => continue,
                (false, _) => return Err("it closed its output and said no ready line".to_owned()),
            }
        };
        if accepted.is_none() && TcpStream::connect_timeout(&port, CONNECT_WITHIN).is_ok() {
            accepted = Some(Instant::now());
        }
        match accepted {
            Some(at) if !will_speak || at.elapsed() >= LINE_AFTER_PORT => return Ok(None),
            None if Instant::now() >= until => {
                return Err(format!(
                    "neither a ready line nor a connection at {port} within {}",
                    format(READY_WITHIN)
                ));
            }
            Some(_) | None => {}
        }
    }
}

fn is_ready(line: &str) -> bool {
    serde_json::from_str::<Ready>(line).is_ok()
}

fn no_ready_line(line: &str) -> String {
    format!("its first line is `{}`, not a ready line", shown(line))
}

/// Waits a moment for the first line. `will_speak` turns false when there will be none.
fn listen(first_line: &Receiver<String>, will_speak: &mut bool) -> Option<String> {
    if !*will_speak {
        super::pause(TRY_EVERY);
        return None;
    }
    match first_line.recv_timeout(TRY_EVERY) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            *will_speak = false;
            None
        }
    }
}

fn format(time: Duration) -> String {
    value::format_duration(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc;

    const READY: &str =
        r#"{"address":"127.0.0.1:9","control":null,"pid":1,"workers":[1],"model":"m","version":"1"}"#;

    #[test]
    fn a_ready_line_counts_for_more_than_a_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();
        for port in [None, Some(port)] {
            let (send, first_line) = mpsc::channel();
            send.send(READY.to_owned()).unwrap();
            let ready = wait(&first_line, port, || false).unwrap().unwrap();
            assert_eq!((ready.model.as_str(), ready.control), ("m", None));
        }
        let (send, first_line) = mpsc::channel();
        send.send("listening".to_owned()).unwrap();
        assert_eq!(wait(&first_line, Some(port), || false), Ok(None), "its port is enough");
        send.send("listening".to_owned()).unwrap();
        assert!(wait(&first_line, None, || false).unwrap_err().contains("`listening`"));
    }

    #[test]
    fn one_that_ends_or_falls_silent_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for port in [None, Some(free)] {
            let (_send, first_line) = mpsc::channel();
            assert_eq!(wait(&first_line, port, || true), Err("it ended at once".to_owned()));
        }
        let (send, first_line) = mpsc::channel();
        drop(send);
        let mut looks = 0;
        let ends_a_moment_later = || {
            looks += 1;
            looks > 2
        };
        assert_eq!(wait(&first_line, None, ends_a_moment_later), Err("it ended at once".to_owned()));
        assert!(wait(&first_line, None, || false).unwrap_err().contains("closed its output"));
    }
}
