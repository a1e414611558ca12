//! Seeds through the simulated cluster.

use strongroom_sim::run;

#[test]
fn one() {
    let seed = std::env::var("STRONGROOM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let began = std::time::Instant::now();
    let outcome = run(seed, None);
    eprintln!("{outcome:?} {:?}", began.elapsed());
    outcome.verdict.unwrap();
}
