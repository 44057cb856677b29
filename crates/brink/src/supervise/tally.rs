//! Sums what workers counted. Pure.

use brink_wire::control::{Counters, Refusal};

/// What all workers counted: those that live (`living`), those that have ended, as of their last answers
/// (`gone`), whose connections are closed, and one refusal for each that `died`.
pub fn sum(living: &[Counters], gone: &[Counters], died: usize) -> Counters {
    let mut sum = Counters::default();
    for counters in living {
        add(&mut sum, counters);
        sum.live += counters.live;
    }
    for counters in gone {
        add(&mut sum, counters);
    }
    if died > 0 {
        let count = died as u64;
        add_refusal(&mut sum.refusals, &Refusal { phase: "worker".into(), error: "died".into(), count });
    }
    sum
}

fn add(sum: &mut Counters, counters: &Counters) {
    sum.accepted += counters.accepted;
    sum.requests += counters.requests;
    sum.frame_errors += counters.frame_errors;
    for refusal in &counters.refusals {
        add_refusal(&mut sum.refusals, refusal);
    }
}

fn add_refusal(refusals: &mut Vec<Refusal>, more: &Refusal) {
    match refusals.iter_mut().find(|known| known.phase == more.phase && known.error == more.error) {
        Some(known) => known.count += more.count,
        None => refusals.push(more.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_count_for_what_they_did_and_hold_nothing() {
        let refusal =
            |phase: &str, error: &str, count| Refusal { phase: phase.into(), error: error.into(), count };
        let counters = |accepted, live, refusals| Counters {
            accepted,
            live,
            requests: 10 * accepted,
            frame_errors: 1,
            refusals,
        };
        let living = [
            counters(5, 3, vec![refusal("accept", "EMFILE", 2)]),
            counters(7, 7, vec![refusal("spawn", "EAGAIN", 1)]),
        ];
        let gone = [counters(4, 4, vec![refusal("accept", "EMFILE", 5)])];
        let all = sum(&living, &gone, 1);
        assert_eq!((all.accepted, all.live, all.requests, all.frame_errors), (16, 10, 160, 3));
        assert_eq!(
            all.refusals,
            [refusal("accept", "EMFILE", 7), refusal("spawn", "EAGAIN", 1), refusal("worker", "died", 1)]
        );
        assert_eq!(sum(&living, &gone, 0).refusals.len(), 2, "it ended as it was told");
    }
}
