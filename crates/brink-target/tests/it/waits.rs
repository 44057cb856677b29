//! The wait before a reply: as long as asked at least, and whose it is.

use std::time::{Duration, Instant};

use brink_wire::delay::Delay;
use brink_wire::frame::{DELAY_OF_TARGET, WORK_OF_TARGET};

use crate::client::{connect, request_with};
use crate::target::{Target, models, options};

const MS: u64 = 1_000_000;

#[test]
fn never_early_and_truly_told() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        for delay_ns in [1, 999, 50_000, MS - 1, MS, 3 * MS + 1, 20 * MS] {
            let begun = Instant::now();
            let waited_ns = request_with(model.transport, delay_ns, 8, delay_ns, 0).echo(&mut stream);
            let seen_ns = begun.elapsed().as_nanos() as u64;
            assert!(waited_ns >= delay_ns, "{}: waited {waited_ns} of {delay_ns}", model.name);
            assert!(seen_ns >= waited_ns, "{}: tells {waited_ns}, took {seen_ns}", model.name);
        }
        assert_eq!(request_with(model.transport, 0, 8, 0, 0).echo(&mut stream), 0, "{}", model.name);
    }
}

#[test]
fn connections_wait_side_by_side_and_in_order_of_deadline() {
    for model in models() {
        let target = Target::of(model);
        let delays = [30, 10, 20, 10, 1].map(|ms| ms * MS);
        let mut waiting: Vec<_> = delays
            .iter()
            .map(|&delay_ns| {
                let mut stream = connect(target.ready.address);
                let request = request_with(model.transport, delay_ns, 1000, delay_ns, 0);
                std::io::Write::write_all(&mut stream, &request.bytes).unwrap();
                (stream, request, delay_ns)
            })
            .collect();
        for (stream, request, delay_ns) in &mut waiting {
            assert!(request.reply(stream) >= *delay_ns);
        }
    }
}

#[test]
fn the_request_goes_before_the_targets_own() {
    for model in models() {
        let own = Delay::Uniform(Duration::from_millis(40), Duration::from_millis(50));
        let target = Target::start(brink_target::Options { delay: own, work_us: 50, ..options(model) });
        let mut stream = connect(target.ready.address);
        let of_target =
            request_with(model.transport, 1, 1, DELAY_OF_TARGET, WORK_OF_TARGET).echo(&mut stream);
        assert!(of_target >= 40 * MS, "{}: {of_target}", model.name);
        let of_request = request_with(model.transport, 2, 1, 0, 0).echo(&mut stream);
        assert_eq!(of_request, 0, "{}: the target's delay was added", model.name);
    }
}

#[test]
fn work_is_not_told_as_waiting() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        let begun = Instant::now();
        let waited_ns = request_with(model.transport, 1, 1, 0, 20_000).echo(&mut stream);
        assert_eq!(waited_ns, 0, "{}", model.name);
        // Twice as fast as calibrated is more than any clock of a processor makes up.
        assert!(begun.elapsed() > Duration::from_millis(10), "{}: no work was done", model.name);
    }
}
