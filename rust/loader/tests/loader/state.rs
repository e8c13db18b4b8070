//! Loader states: their JSON, what is refused, and that resuming goes on exactly, also in another layout.

use proptest::prelude::*;
use s3dlio_loader::batches::{BatchPlan, Last, Sharding};
use s3dlio_loader::error::LoaderError;
use s3dlio_loader::state::{Cursor, LoaderState};

const FP: &str = "0123456789abcdef0123456789abcdef";
const RULES: [Last; 4] = [Last::Drop, Last::Pad, Last::Wrap, Last::Uneven];

/// A loader of the tests: its plan, and with it what it would save at the beginning.
#[derive(Clone, Copy)]
struct Loader {
    plan: BatchPlan,
}

impl Loader {
    fn new(n: u64, batch_size: u64, last: Last, rank: u64, world: u64) -> Self {
        Self { plan: BatchPlan::new(n, batch_size, last, Sharding { rank, world, worker: 0, workers: 1 }).unwrap() }
    }

    fn worker(self, worker: u64, workers: u64) -> Self {
        let Sharding { rank, world, .. } = self.plan.sharding();
        let sharding = Sharding { rank, world, worker, workers };
        Self { plan: BatchPlan::new(self.plan.n(), self.plan.batch_size(), self.plan.last(), sharding).unwrap() }
    }

    fn begin(&self) -> LoaderState {
        LoaderState::begin(&self.plan, "global", 7, FP)
    }

    fn at(&self, epoch: u64, batch: u64, sample: u64) -> LoaderState {
        LoaderState { epoch, batch, sample, ..self.begin() }
    }

    /// Resumes from the state's JSON.
    fn resume(&self, state: &LoaderState) -> Result<Cursor, LoaderError> {
        LoaderState::from_json(&state.to_json())?.resume(&self.begin(), &self.plan)
    }

    /// The step at which the loader goes on.
    fn step(&self, state: &LoaderState) -> u64 {
        self.resume(state).unwrap().step
    }
}

fn invalid(result: Result<impl std::fmt::Debug, LoaderError>) -> String {
    match result.unwrap_err() {
        LoaderError::StateInvalid(text) => text,
        other => panic!("expected an invalid state, got {other:?}"),
    }
}

/// Asserts a mismatch; `expected` is the beginning of what differs, then the saved and the current value.
fn assert_mismatch(result: Result<Cursor, LoaderError>, expected: [&str; 3]) {
    let error = result.unwrap_err();
    let LoaderError::StateMismatch { what, saved, current } = &error else { panic!("{error:?}") };
    assert!(what.starts_with(expected[0]), "{error}");
    assert_eq!([saved, current], expected[1..]);
}

#[test]
fn the_json_is_stable() {
    let loader = Loader::new(1000, 8, Last::Wrap, 1, 4);
    let json = r#"{"v":1,"epoch":3,"batch":5,"seed":7,"shuffle":"global","n":1000,"fp":"0123456789abcdef0123456789abcdef","batch_size":8,"last":"wrap","rank":1,"world":4}"#;
    assert_eq!(loader.at(3, 5, 0).to_json(), json);
    assert_eq!(LoaderState::from_json(json).unwrap(), loader.at(3, 5, 0));
    let json = r#"{"v":1,"epoch":3,"batch":5,"sample":2,"seed":7,"shuffle":"global","n":1000,"fp":"0123456789abcdef0123456789abcdef","batch_size":8,"last":"wrap","rank":1,"world":4,"worker":2,"workers":3}"#;
    assert_eq!(loader.worker(2, 3).at(3, 5, 2).to_json(), json);
    assert_eq!(LoaderState::from_json(json).unwrap(), loader.worker(2, 3).at(3, 5, 2));
}

#[test]
fn the_json_stays_below_one_kibibyte() {
    let state =
        LoaderState { v: u32::MAX, shuffle: "global".into(), fp: "f".repeat(128), last: "uneven".into(), ..largest() };
    assert!(state.to_json().len() < 1024);
}

fn largest() -> LoaderState {
    const MAX: u64 = u64::MAX;
    let (worker, workers) = (Some(MAX), Some(MAX));
    let begin = Loader::new(1, 1, Last::Drop, 0, 1).begin();
    let counts = LoaderState { epoch: MAX, batch: MAX, sample: MAX, seed: MAX, n: MAX, ..begin };
    LoaderState { batch_size: MAX, rank: MAX, world: MAX, worker, workers, ..counts }
}

#[test]
fn json_of_another_shape_is_refused() {
    for (text, expected) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("batch 3", "not JSON"),
        ("null", "expected an object"),
        ("[1]", "expected an object"),
        ("1", "expected an object"),
        ("{}", "missing field `v`, expected version 1"),
        (r#"{"v":2,"cursor":"x"}"#, "found version 2, expected version 1"),
        (r#"{"v":0}"#, "found version 0, expected version 1"),
        (r#"{"v":"1"}"#, "found version \"1\", expected version 1"),
        (r#"{"v":1.0}"#, "found version 1.0, expected version 1"),
        (r#"{"v":1}"#, "missing field `epoch`"),
    ] {
        let found = invalid(LoaderState::from_json(text));
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn every_field_is_needed_and_typed_and_no_other_is_known() {
    let state = Loader::new(1000, 8, Last::Wrap, 1, 4).worker(2, 3).at(3, 5, 2);
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&state.to_json()).unwrap();
    assert_eq!(fields.len(), 14);
    let read = |fields: &serde_json::Map<_, _>| LoaderState::from_json(&serde_json::to_string(fields).unwrap());
    for key in fields.keys() {
        let mut without = fields.clone();
        without.remove(key);
        match key.as_str() {
            "sample" => assert_eq!(read(&without).unwrap().sample, 0),
            "worker" | "workers" => assert!(invalid(read(&without)).contains("both or neither")),
            _ => assert!(invalid(read(&without)).contains(&format!("missing field `{key}`"))),
        }
        for wrong in [serde_json::json!([]), serde_json::json!(-1), serde_json::json!(1.5), serde_json::json!(true)] {
            let mut with = fields.clone();
            with.insert(key.clone(), wrong);
            invalid(read(&with));
        }
    }
    let mut more = fields.clone();
    more.insert("offset".to_owned(), 1.into());
    assert!(invalid(read(&more)).contains("unknown field `offset`"));
    let twice = state.to_json().replacen("\"epoch\"", "\"epoch\":1,\"epoch\"", 1);
    assert!(invalid(LoaderState::from_json(&twice)).contains("duplicate field `epoch`"));
}

#[test]
fn contradictions_are_refused() {
    let loader = Loader::new(100, 10, Last::Drop, 1, 2);
    let base = || loader.at(0, 2, 0);
    for (state, expected) in [
        (LoaderState { batch: 6, ..base() }, "found batch 6, expected at most the 5 of an epoch"),
        (LoaderState { batch: u64::MAX, ..base() }, "expected at most the 5"),
        (LoaderState { sample: 10, ..base() }, "found sample 10, expected less than the batch size 10"),
        (LoaderState { batch: 5, sample: 1, ..base() }, "found sample 1 at the end of the epoch"),
        (LoaderState { batch_size: 0, ..base() }, "`batch_size`: found 0"),
        (LoaderState { rank: 2, ..base() }, "`shard_rank`: found 2"),
        (LoaderState { world: 0, ..base() }, "`shard_world_size`: found 0"),
        (LoaderState { n: u64::MAX, ..base() }, "`n`: found 18446744073709551615"),
        (LoaderState { last: "none".into(), ..base() }, "`last`: found \"none\""),
        (LoaderState { worker: Some(3), workers: Some(3), ..base() }, "`worker_id`: found 3"),
        (LoaderState { worker: Some(0), ..base() }, "both or neither"),
        (LoaderState { v: 2, ..base() }, "found version 2, expected version 1"),
    ] {
        let found = invalid(LoaderState::from_json(&state.to_json()));
        assert!(found.contains(expected), "{found}");
        assert_eq!(invalid(state.resume(&base(), &loader.plan)), found);
    }
}

#[test]
fn another_data_set_or_order_is_refused() {
    let loader = Loader::new(100, 5, Last::Drop, 0, 2);
    let state = || loader.at(1, 3, 0);
    for (saved, expected) in [
        (LoaderState { n: 99, ..state() }, ["number of samples", "99", "100"]),
        (LoaderState { fp: "ff".into(), ..state() }, ["data set (fingerprint)", "ff", FP]),
        (LoaderState { shuffle: "none".into(), ..state() }, ["shuffle", "none", "global"]),
        (LoaderState { seed: 8, ..state() }, ["seed", "8", "7"]),
    ] {
        assert_mismatch(loader.resume(&saved), expected);
    }
    let text = loader.resume(&LoaderState { seed: 8, ..state() }).unwrap_err().to_string();
    assert_eq!(text, "the saved state does not fit this loader: seed: saved 8, current 7");
}

#[test]
fn the_rule_for_the_tail_is_the_loaders_own() {
    for saved_rule in RULES {
        for rule in RULES {
            let saved = Loader::new(22, 8, saved_rule, 0, 1);
            let job: Vec<_> = (0..2).map(|rank| Loader::new(22, 4, rule, rank, 2)).collect();
            for step in 0..saved.plan.rounds() {
                let cursor = job[1].resume(&saved.at(4, step, 0)).unwrap();
                assert_eq!((cursor.epoch, cursor.step, cursor.sample), (4, step, 0), "{saved_rule} to {rule}");
            }
            let end = saved.at(4, saved.plan.rounds(), 0);
            assert_eq!(job[0].resume(&end).unwrap().step, job[0].plan.steps(), "{saved_rule} to {rule}");
        }
    }
}

#[test]
fn the_ranks_of_a_job_share_their_states() {
    for last in RULES {
        for step in 0..=4 {
            let states: Vec<_> = (0..3).map(|rank| Loader::new(24, 2, last, rank, 3).at(5, step, 0)).collect();
            for rank in 0..3 {
                for state in &states {
                    let cursor = Loader::new(24, 2, last, rank, 3).resume(state).unwrap();
                    assert_eq!(cursor, Cursor { epoch: 5, step, sample: 0 });
                }
            }
        }
    }
}

#[test]
fn another_batch_size_goes_on_where_it_divides_what_is_consumed() {
    let state = Loader::new(1000, 8, Last::Wrap, 3, 4).at(2, 6, 0);
    let step = |batch_size, world| Loader::new(1000, batch_size, Last::Wrap, 0, world).step(&state);
    assert_eq!([step(8, 4), step(16, 2), step(32, 1), step(4, 8)], [6; 4]);
    assert_eq!((step(8, 2), step(64, 1), step(96, 2), step(3, 1)), (12, 3, 1, 64));
    let refused = |batch_size, world| Loader::new(1000, batch_size, Last::Wrap, 0, world).resume(&state);
    let what = "global batch (batch_size * world size): 192 samples of the epoch are consumed, so that it must be a \
                divisor of 192, for example 32";
    assert_mismatch(refused(10, 4), [&format!("{what} or 8"), "8 * 4 = 32", "10 * 4 = 40"]);
    assert_mismatch(refused(7, 1), [what, "8 * 4 = 32", "7 * 1 = 7"]);
}

#[test]
fn the_ends_of_an_epoch_fit_every_layout() {
    for last in RULES {
        let saved = Loader::new(100, 4, last, 1, 2);
        for (batch_size, world) in [(4, 2), (3, 1), (7, 5), (1, 1), (200, 1), (4, 3)] {
            let loader = Loader::new(100, batch_size, last, 0, world);
            assert_eq!(loader.step(&saved.at(1, 0, 0)), 0);
            assert_eq!(loader.step(&saved.at(1, saved.plan.rounds(), 0)), loader.plan.steps());
        }
    }
}

#[test]
fn an_uneven_rank_without_a_last_step_is_at_its_end() {
    let saved = Loader::new(10, 2, Last::Uneven, 0, 2).at(0, 3, 0);
    assert_eq!(Loader::new(10, 2, Last::Uneven, 0, 2).step(&saved), 3);
    assert_eq!(Loader::new(10, 2, Last::Uneven, 1, 2).step(&saved), 2);
}

#[test]
fn a_state_inside_a_batch_keeps_the_layout() {
    let state = Loader::new(100, 6, Last::Drop, 0, 2).at(1, 3, 4);
    for rank in 0..2 {
        let cursor = Loader::new(100, 6, Last::Drop, rank, 2).resume(&state).unwrap();
        assert_eq!(cursor, Cursor { epoch: 1, step: 3, sample: 4 });
    }
    let loader = |batch_size, world| Loader::new(100, batch_size, Last::Drop, 0, world);
    let why = "(a state saved inside a batch resumes only in the same layout)";
    assert_mismatch(loader(12, 1).resume(&state), [&format!("world size {why}"), "2", "1"]);
    assert_mismatch(loader(3, 2).resume(&state), [&format!("batch size {why}"), "6", "3"]);
    let worker = loader(6, 2).worker(1, 2);
    assert_mismatch(worker.resume(&state), [&format!("DataLoader worker {why}"), "none", "1 of 2"]);
}

#[test]
fn a_state_inside_an_uneven_epochs_last_batch_fits_shorter_ranks() {
    let state = Loader::new(19, 4, Last::Uneven, 1, 3).at(0, 1, 3);
    let cursor = |rank| Loader::new(19, 4, Last::Uneven, rank, 3).resume(&state).unwrap();
    assert_eq!(cursor(0), Cursor { epoch: 0, step: 1, sample: 3 });
    assert_eq!(cursor(1), Cursor { epoch: 0, step: 2, sample: 0 });
    assert_eq!(cursor(2), Cursor { epoch: 0, step: 1, sample: 0 });
}

#[test]
fn a_workers_state_resumes_that_worker_only() {
    let loader = Loader::new(1000, 5, Last::Drop, 0, 4);
    let state = loader.worker(1, 3).at(2, 7, 0);
    let worker = loader.worker(1, 3);
    assert_eq!(worker.step(&state), 7);
    assert_eq!(worker.plan.step_of(worker.plan.first_batch_at_or_after(7)), 7);
    assert_eq!(Loader::new(1000, 10, Last::Drop, 1, 2).worker(1, 3).step(&state), 7);
    for (other, current) in [(loader, "none"), (loader.worker(0, 3), "0 of 3"), (loader.worker(1, 2), "1 of 2")] {
        assert_mismatch(other.resume(&state), ["DataLoader worker (the state of one", "1 of 3", current]);
    }
    let smaller = Loader::new(1000, 5, Last::Drop, 0, 2).worker(1, 3);
    assert_mismatch(smaller.resume(&state), ["global batch (the state of one worker", "20", "10"]);
}

#[test]
fn a_workers_state_inside_a_batch_names_its_own_step() {
    let worker = Loader::new(1000, 5, Last::Drop, 0, 4).worker(1, 3);
    assert_eq!(worker.resume(&worker.at(0, 7, 2)).unwrap(), Cursor { epoch: 0, step: 7, sample: 2 });
    assert_eq!(worker.resume(&worker.at(0, 5, 2)).unwrap(), Cursor { epoch: 0, step: 7, sample: 2 });
}

#[test]
fn a_workers_count_may_pass_the_end_by_less_than_a_turn() {
    let worker = Loader::new(50, 5, Last::Drop, 0, 1).worker(2, 4);
    assert_eq!(worker.plan.step_of(worker.plan.batches()), 10);
    for batch in 10..14 {
        assert_eq!(worker.step(&worker.at(0, batch, 0)), 10);
    }
    invalid(worker.resume(&worker.at(0, 14, 0)));
}

#[test]
fn a_single_worker_is_none() {
    let loader = Loader::new(100, 5, Last::Drop, 0, 1);
    let state = LoaderState { worker: Some(0), workers: Some(1), ..loader.at(0, 4, 3) };
    assert_eq!(loader.resume(&state).unwrap(), Cursor { epoch: 0, step: 4, sample: 3 });
    assert_eq!(loader.worker(1, 2).begin().worker, Some(1));
    assert_eq!((loader.begin().worker, loader.begin().workers), (None, None));
}

#[test]
fn a_ranks_state_resumes_all_its_workers() {
    let loader = Loader::new(70, 5, Last::Drop, 0, 1);
    for step in 0..=14 {
        let state = loader.at(0, step, 0);
        let mut left = Vec::new();
        for worker in (0..4).map(|worker| loader.worker(worker, 4)) {
            let first = worker.plan.first_batch_at_or_after(worker.step(&state));
            left.extend((first..worker.plan.batches()).map(|k| worker.plan.step_of(k)));
        }
        left.sort_unstable();
        assert!(left.into_iter().eq(step..14));
    }
}

#[test]
fn people_can_read_it() {
    let loader = Loader::new(1000, 8, Last::Wrap, 1, 4);
    assert_eq!(
        loader.at(3, 5, 0).describe(),
        "epoch 3 after 5 batches of 8, rank 1 of 4, 1000 samples, shuffle global, seed 7, last wrap, data set 0123456789ab"
    );
    assert_eq!(
        loader.worker(0, 2).at(3, 4, 2).describe(),
        "epoch 3 after 4 batches and 2 samples of 8, rank 1 of 4, worker 0 of 2, 1000 samples, shuffle global, seed 7, \
         last wrap, data set 0123456789ab"
    );
}

/// The positions of the epoch in order of step and rank, from each rank's `step` on.
fn rest(ranks: &[Loader], state: &LoaderState) -> Vec<u64> {
    let starts: Vec<u64> = ranks.iter().map(|rank| rank.step(state)).collect();
    let end = ranks.iter().map(|rank| rank.plan.steps()).max().unwrap_or(0);
    let mut positions = Vec::new();
    for step in 0..end {
        for (rank, start) in ranks.iter().zip(&starts).filter(|&(_, &start)| start <= step) {
            let slots = 0..rank.plan.span(step).len();
            positions.extend(slots.map(|slot| rank.plan.position(step, slot)));
            assert!(*start <= rank.plan.steps());
        }
    }
    positions
}

fn job(n: u64, batch_size: u64, last: Last, world: u64) -> Vec<Loader> {
    (0..world).map(|rank| Loader::new(n, batch_size, last, rank, world)).collect()
}

fn rule() -> impl Strategy<Value = Last> {
    prop::sample::select(RULES.to_vec())
}

proptest! {
    /// The steps before the state and those after it are the epoch, whatever the split of the global batch.
    #[test]
    fn resuming_on_another_world_size_goes_on_exactly(n in 0_u64..150, global in 1_u64..25, last in rule()) {
        let splits: Vec<u64> = (1..=global).filter(|world| global % world == 0).collect();
        let whole = job(n, global, last, 1);
        let epoch = rest(&whole, &whole[0].begin());
        for &old in &splits {
            let saved = job(n, global / old, last, old);
            for step in 0..=saved[0].plan.rounds() {
                let consumed: u64 =
                    (0..step).flat_map(|s| saved.iter().map(move |rank| rank.plan.span(s).len())).sum();
                let state = saved[usize::try_from(step % old).unwrap()].at(1, step, 0);
                for &new in &splits {
                    let found = rest(&job(n, global / new, last, new), &state);
                    prop_assert_eq!(&found[..], &epoch[usize::try_from(consumed).unwrap()..]);
                }
            }
        }
    }

    /// Another global batch either goes on at the very position, or is refused.
    #[test]
    fn another_global_batch_never_repeats_or_skips(
        n in 1_u64..300, size in 1_u64..12, world in 1_u64..5, new_size in 1_u64..12, new_world in 1_u64..5, last in rule(),
    ) {
        let saved = Loader::new(n, size, last, 0, world);
        let loader = Loader::new(n, new_size, last, 0, new_world);
        for step in 0..saved.plan.rounds() {
            let consumed = saved.plan.samples_before(step);
            match loader.resume(&saved.at(0, step, 0)) {
                Ok(cursor) => prop_assert_eq!(loader.plan.samples_before(cursor.step), consumed),
                Err(error) => {
                    let fits = consumed.is_multiple_of(loader.plan.global_batch());
                    prop_assert!(!fits && matches!(error, LoaderError::StateMismatch { .. }), "{}", error);
                }
            }
        }
    }

    #[test]
    fn json_round_trips(
        n in 0_u64..1 << 40, batch_size in 1_u64..1 << 20, last in rule(), epoch: u64, seed: u64, fp in "[0-9a-f]{0,64}",
        rank_of: u64, world in 1_u64..10_000, worker_of: u64, workers in 1_u64..64, batch_of: u64, sample_of: u64,
    ) {
        let loader = Loader::new(n, batch_size, last, rank_of % world, world).worker(worker_of % workers, workers);
        let rounds = loader.plan.rounds();
        let batch = batch_of % (rounds + 1);
        let sample = if batch < rounds { sample_of % batch_size } else { 0 };
        let state = LoaderState { seed, fp, ..loader.at(epoch, batch, sample) };
        let json = state.to_json();
        prop_assert!(json.len() < 1024 && !json.contains('\n'));
        prop_assert_eq!(LoaderState::from_json(&json).unwrap(), state.clone());
        let cursor = state.resume(&state, &loader.plan).unwrap();
        prop_assert!(cursor.epoch == epoch && cursor.step <= loader.plan.steps());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", numbers in prop::collection::vec(any::<u64>(), 9)) {
        let _ = LoaderState::from_json(&text);
        let state = LoaderState {
            epoch: numbers[0], batch: numbers[1], sample: numbers[2], n: numbers[3], batch_size: numbers[4],
            rank: numbers[5], world: numbers[6], worker: Some(numbers[7]), workers: Some(numbers[8]),
            ..Loader::new(1, 1, Last::Wrap, 0, 1).begin()
        };
        let _ = LoaderState::from_json(&state.to_json());
        let _ = state.resume(&state, &Loader::new(1, 1, Last::Wrap, 0, 1).plan);
        let _ = state.describe();
    }
}
