//! How fast the machine is: a step must take no time compared with a request.

use super::*;

/// `cargo test --release steps_per_second -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build"]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn steps_per_second() {
    const ROUNDS: u64 = 2_000_000;
    let (mut a, _) = holder();
    let mut b = waiter();
    let mut steps = 0_u64;
    let start = std::time::Instant::now();

    for round in 1..=ROUNDS {
        let now = at(round * 5000);
        let renewal = written(a.step(now, Input::Wake));
        let renewed = after(&renewal, 10 + round);
        a.step(now + ms(5), stored(&renewed));
        b.step(now + ms(6), changed(&renewed));
        steps += 3;
    }

    let each = start.elapsed().as_secs_f64() / f64::from(u32::try_from(steps).unwrap());
    eprintln!("{:.1} million steps per second, {:.0} ns each", 1e-6 / each, each * 1e9);
    assert_eq!(token(&a, ROUNDS * 5000), Some(10));
}
