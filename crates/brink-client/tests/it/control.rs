//! The control client against a few lines of HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use brink_client::control::{ControlClient, ControlError};
use brink_wire::control::{LimitReading, TargetUsage};

use crate::servers;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads one request's head: its first line, and the authorization if there is one.
fn head(reader: &mut BufReader<TcpStream>) -> Option<(String, Option<String>)> {
    let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next()?;
    let authorization = lines.find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned));
    Some((first, authorization)).inspect(|(_, found)| {
        if found.is_some() {
            lines.by_ref().for_each(drop);
        }
    })
}

/// Answers each request by what `answer` makes of its first line and token; keeps `per_connection` alive.
fn server(per_connection: usize, answer: fn(&str, Option<&str>) -> (u16, String)) -> SocketAddr {
    servers::start(move |_, stream| {
        let mut reader = BufReader::new(stream);
        for _ in 0..per_connection {
            let Some((line, token)) = head(&mut reader) else { return };
            let (status, body) = answer(&line, token.as_deref());
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if reader.get_mut().write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn usage(line: &str, _: Option<&str>) -> (u16, String) {
    match line {
        "GET /v1/usage HTTP/1.1" => (200, serde_json::to_string(&TargetUsage::default()).unwrap()),
        "GET /v1/limits HTTP/1.1" => (
            200,
            r#"[{"name":"rlimit.nofile","value":1,"hard":2,"used":0,"source":"s","note":null,"later":0}]"#
                .to_owned(),
        ),
        "POST /v1/stop HTTP/1.1" => (200, String::new()),
        _ => (404, String::new()),
    }
}

#[test]
fn asks_again_and_again_and_connects_again_when_it_must() {
    for per_connection in [1, 3, 100] {
        let mut client = ControlClient::connect(server(per_connection, usage), None, TIMEOUT).unwrap();
        for _ in 0..5 {
            assert_eq!(client.usage().unwrap(), TargetUsage::default());
        }
        let limits: Vec<LimitReading> = client.limits().unwrap();
        assert_eq!((limits[0].name.as_str(), limits[0].value), ("rlimit.nofile", Some(1)));
        assert!(matches!(client.info(), Err(ControlError::NotBrink(..))), "404");
        client.stop().unwrap();
    }
}

#[test]
fn the_token_goes_along() {
    let address = server(9, |line, token| match token {
        Some("Bearer s3cret") => usage(line, token),
        _ => (401, String::new()),
    });
    assert!(ControlClient::connect(address, Some("s3cret"), TIMEOUT).unwrap().usage().is_ok());
    for token in [None, Some("other")] {
        let refused = ControlClient::connect(address, token, TIMEOUT).unwrap().usage();
        assert_eq!(refused, Err(ControlError::Unauthorized(address)));
    }
    assert!(ControlClient::connect(address, Some("two\nlines"), TIMEOUT).is_err());
}

#[test]
fn strangers_are_told_apart() {
    let nobody = servers::nobody();
    assert_eq!(ControlClient::connect(nobody, None, TIMEOUT).unwrap_err(), ControlError::Refused(nobody));
    let usage_of = |address| ControlClient::connect(address, None, TIMEOUT).unwrap().usage();
    let page = server(9, |_, _| (200, "<html>".to_owned()));
    assert!(matches!(usage_of(page), Err(ControlError::NotBrink(..))));
    let echo = servers::start(|_, stream| servers::echo(stream));
    assert!(matches!(usage_of(echo), Err(ControlError::NotBrink(..))));
    let closes = servers::start(|_, stream| drop(stream));
    assert!(matches!(usage_of(closes), Err(ControlError::NotBrink(..))));
    let huge = server(9, |_, _| (200, " ".repeat((16 << 20) + 1)));
    assert!(usage_of(huge).unwrap_err().to_string().contains("length limit"));
    let (keep, _kept) = mpsc::channel();
    let silent = servers::start(move |_, stream| keep.send(stream).unwrap());
    let timeout = Duration::from_millis(100);
    let late = ControlClient::connect(silent, None, timeout).unwrap().usage();
    assert_eq!(late, Err(ControlError::Timeout(silent, timeout)));
}
