//! The batch plan against a model that writes every epoch out, and the promises that the model itself makes.

use proptest::prelude::*;
use s3dlio_loader::batches::{BatchPlan, Last, Sharding, Span};
use s3dlio_loader::error::LoaderError;

const RULES: [Last; 4] = [Last::Drop, Last::Pad, Last::Wrap, Last::Uneven];

fn plan(n: u64, batch_size: u64, last: Last, rank: u64, world: u64) -> BatchPlan {
    worker_plan(n, batch_size, last, rank, world, 0, 1)
}

fn worker_plan(n: u64, batch_size: u64, last: Last, rank: u64, world: u64, worker: u64, workers: u64) -> BatchPlan {
    BatchPlan::new(n, batch_size, last, Sharding { rank, world, worker, workers }).unwrap()
}

/// The positions of one batch of `plan`, slot by slot.
fn batch(plan: &BatchPlan, step: u64) -> Vec<u64> {
    (0..plan.span(step).len()).map(|slot| plan.position(step, slot)).collect()
}

/// All batches of the rank of `plan`.
fn rank_batches(plan: &BatchPlan) -> Vec<Vec<u64>> {
    (0..plan.steps()).map(|step| batch(plan, step)).collect()
}

/// All batches of all ranks, by rank and step, as the definition has them.
fn model(n: u64, batch_size: u64, last: Last, world: u64) -> Vec<Vec<Vec<u64>>> {
    let global = batch_size * world;
    let epoch: Vec<u64> = match last {
        Last::Drop => (0..n / global * global).collect(),
        Last::Pad => (0..n.div_ceil(global) * global).map(|p| p.min(n - 1)).collect(),
        Last::Wrap => (0..n.div_ceil(global) * global).map(|p| p % n).collect(),
        Last::Uneven => (0..n).collect(),
    };
    let mut ranks = vec![Vec::new(); usize::try_from(world).unwrap()];
    for (g, positions) in epoch.chunks(usize::try_from(batch_size).unwrap()).enumerate() {
        let rank = g % ranks.len();
        ranks[rank].push(positions.to_vec());
    }
    ranks
}

fn sorted(mut positions: Vec<u64>) -> Vec<u64> {
    positions.sort_unstable();
    positions
}

fn assert_config(result: Result<impl std::fmt::Debug, LoaderError>, option: &str, text: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, LoaderError::Config { option: found, .. } if *found == option), "{error:?}");
    assert_eq!(error.to_string(), text);
}

#[test]
fn small_epochs_written_out() {
    let ranks = |n, last| [0, 1].map(|rank| rank_batches(&plan(n, 2, last, rank, 2)));
    assert_eq!(ranks(7, Last::Drop), [vec![vec![0, 1]], vec![vec![2, 3]]]);
    assert_eq!(ranks(7, Last::Pad), [vec![vec![0, 1], vec![4, 5]], vec![vec![2, 3], vec![6, 6]]]);
    assert_eq!(ranks(7, Last::Wrap), [vec![vec![0, 1], vec![4, 5]], vec![vec![2, 3], vec![6, 0]]]);
    assert_eq!(ranks(7, Last::Uneven), [vec![vec![0, 1], vec![4, 5]], vec![vec![2, 3], vec![6]]]);
    assert_eq!(ranks(5, Last::Uneven), [vec![vec![0, 1], vec![4]], vec![vec![2, 3]]]);
    assert_eq!(ranks(5, Last::Pad), [vec![vec![0, 1], vec![4, 4]], vec![vec![2, 3], vec![4, 4]]]);
    assert_eq!(ranks(1, Last::Wrap), [vec![vec![0, 0]], vec![vec![0, 0]]]);
    assert_eq!(rank_batches(&plan(3, 8, Last::Wrap, 0, 1)), [vec![0, 1, 2, 0, 1, 2, 0, 1]]);
}

#[test]
fn spans_tell_real_positions_from_fill() {
    let pad = |rank, step| plan(9, 2, Last::Pad, rank, 3).span(step);
    assert_eq!(pad(1, 0), Span { start: 2, real: 2, fill: 0 });
    assert_eq!(pad(0, 1), Span { start: 6, real: 2, fill: 0 });
    assert_eq!(pad(1, 1), Span { start: 8, real: 1, fill: 1 });
    assert_eq!(pad(2, 1), Span { start: 10, real: 0, fill: 2 });
    assert!(pad(2, 2).is_empty());
    assert_eq!(plan(9, 2, Last::Uneven, 1, 3).span(1), Span { start: 8, real: 1, fill: 0 });
    assert!(plan(9, 2, Last::Uneven, 2, 3).span(1).is_empty());
}

#[test]
fn an_empty_data_set_has_no_step() {
    for last in RULES {
        let plan = worker_plan(0, 4, last, 1, 3, 1, 2);
        assert_eq!((plan.steps(), plan.rounds(), plan.batches(), plan.samples_before(9)), (0, 0, 0, 0));
        assert!(plan.span(0).is_empty());
        assert_eq!(plan.position(0, 0), 0);
    }
}

#[test]
fn the_getters_give_what_was_asked_for() {
    let sharding = Sharding { rank: 2, world: 3, worker: 1, workers: 4 };
    let plan = BatchPlan::new(100, 5, Last::Wrap, sharding).unwrap();
    assert_eq!((plan.n(), plan.batch_size(), plan.last(), plan.sharding()), (100, 5, Last::Wrap, sharding));
    assert_eq!(plan.global_batch(), 15);
    assert_eq!(Sharding::default(), Sharding { rank: 0, world: 1, worker: 0, workers: 1 });
}

#[test]
fn rules_have_names_and_defaults() {
    for last in RULES {
        assert_eq!(last.to_string().parse::<Last>().unwrap(), last);
    }
    for text in ["", "Drop", "drop ", "true"] {
        assert_config(
            text.parse::<Last>(),
            "last",
            &format!("option `last`: found {text:?}, expected \"drop\", \"pad\", \"wrap\" or \"uneven\""),
        );
    }
    let default = Last::default_for;
    assert_eq!((default(true, 1), default(true, 8)), (Last::Drop, Last::Drop));
    assert_eq!((default(false, 1), default(false, 2)), (Last::Uneven, Last::Wrap));
}

#[test]
fn options_out_of_range_are_named() {
    let new = |batch_size, rank, world, worker, workers| {
        BatchPlan::new(10, batch_size, Last::Drop, Sharding { rank, world, worker, workers })
    };
    let least = |option, result| {
        let text = format!("option `{option}`: found 0, expected an integer of at least 1");
        assert_config(result, option, &text);
    };
    least("batch_size", new(0, 0, 1, 0, 1));
    least("shard_world_size", new(1, 0, 0, 0, 1));
    least("num_workers_pytorch", new(1, 0, 1, 0, 0));
    assert_config(
        new(1, 2, 2, 0, 1),
        "shard_rank",
        "option `shard_rank`: found 2, expected an integer below `shard_world_size` (2)",
    );
    assert_config(
        new(1, 0, 1, 5, 4),
        "worker_id",
        "option `worker_id`: found 5, expected an integer below `num_workers_pytorch` (4)",
    );
    let huge =
        "option `batch_size`: found 4611686018427387904 on 2 ranks, expected batch_size * shard_world_size below 2^63";
    assert_config(new(1 << 62, 0, 2, 0, 1), "batch_size", huge);
    assert!(new(u64::MAX, 0, u64::MAX, 0, 1).is_err());
    let n = BatchPlan::new(1 << 63, 1, Last::Drop, Sharding::WHOLE);
    assert_config(n, "n", "option `n`: found 9223372036854775808, expected a number of samples below 2^63");
}

#[test]
fn nothing_overflows_at_the_limits() {
    const MAX: u64 = u64::MAX / 2;
    for last in RULES {
        for (n, batch_size, world) in [(MAX, 1, 1), (MAX, MAX, 1), (MAX, 1, MAX), (MAX, 3, MAX / 3), (2, MAX, 1)] {
            for rank in [0, world - 1] {
                let plan = worker_plan(n, batch_size, last, rank, world, 6, 7);
                let end = plan.steps().saturating_sub(1);
                for step in [0, end] {
                    let span = plan.span(step);
                    assert!(span.real <= n && span.len() <= batch_size);
                    assert!(plan.position(step, span.len().saturating_sub(1)) < n);
                }
                for step in [plan.steps(), u64::MAX] {
                    assert!(plan.span(step).is_empty());
                    assert!(plan.position(step, u64::MAX) < n);
                    assert!(plan.samples_before(step) <= n);
                    assert!(plan.first_batch_at_or_after(step) >= plan.batches());
                }
                assert_eq!(plan.step_of(u64::MAX), u64::MAX);
            }
        }
    }
}

fn rule() -> impl Strategy<Value = Last> {
    prop::sample::select(RULES.to_vec())
}

proptest! {
    #[test]
    fn every_batch_is_the_models(n in 0_u64..200, batch_size in 1_u64..20, world in 1_u64..7, last in rule()) {
        for (rank, expected) in (0..).zip(model(n, batch_size, last, world)) {
            let plan = plan(n, batch_size, last, rank, world);
            prop_assert_eq!(&rank_batches(&plan), &expected);
            prop_assert!(plan.steps() <= plan.rounds() && plan.rounds() <= plan.steps() + 1);
            for step in 0..plan.steps() {
                let span = plan.span(step);
                let real: Vec<u64> = (span.start..span.start + span.real).collect();
                prop_assert_eq!(&batch(&plan, step)[..real.len()], &real[..]);
                prop_assert!(span.real == batch_size || span.start + span.real >= n);
            }
        }
    }

    #[test]
    fn ranks_and_workers_together_have_every_position(
        n in 0_u64..200, batch_size in 1_u64..20, world in 1_u64..7, workers in 1_u64..5, last in rule(),
    ) {
        let mut all = Vec::new();
        let mut steps = Vec::new();
        for rank in 0..world {
            for worker in 0..workers {
                let plan = worker_plan(n, batch_size, last, rank, world, worker, workers);
                all.extend((0..plan.batches()).flat_map(|k| batch(&plan, plan.step_of(k))));
                steps.push(plan.steps());
            }
        }
        let all = sorted(all);
        let global = batch_size * world;
        match last {
            Last::Drop => prop_assert!(all.iter().copied().eq(0..n / global * global)),
            Last::Uneven => prop_assert!(all.iter().copied().eq(0..n)),
            Last::Pad | Last::Wrap => {
                let mut distinct = all.clone();
                distinct.dedup();
                prop_assert!(distinct.into_iter().eq(0..n));
                prop_assert_eq!(all.len() as u64, n.div_ceil(global) * global);
            }
        }
        let (least, most) = (steps.iter().min().unwrap(), steps.iter().max().unwrap());
        prop_assert!(most - least <= u64::from(last == Last::Uneven));
    }

    /// A DataLoader takes one batch of each worker in turn, and leaves out those that are exhausted.
    #[test]
    fn workers_in_turn_give_the_ranks_order(
        n in 0_u64..300, batch_size in 1_u64..10, world in 1_u64..4, rank_of in 0_u64..4, workers in 1_u64..9, last in rule(),
    ) {
        let rank = rank_of % world;
        let plans: Vec<_> =
            (0..workers).map(|worker| worker_plan(n, batch_size, last, rank, world, worker, workers)).collect();
        let mut turn = Vec::new();
        let mut k = 0;
        while plans.iter().any(|plan| k < plan.batches()) {
            turn.extend(plans.iter().filter(|plan| k < plan.batches()).map(|plan| batch(plan, plan.step_of(k))));
            k += 1;
        }
        prop_assert_eq!(turn, rank_batches(&plan(n, batch_size, last, rank, world)));
    }

    #[test]
    fn a_workers_batches_are_its_steps(
        n in 0_u64..300, batch_size in 1_u64..10, workers in 1_u64..9, worker_of in 0_u64..9, last in rule(),
    ) {
        let worker = worker_of % workers;
        let plan = worker_plan(n, batch_size, last, 0, 1, worker, workers);
        let steps: Vec<u64> = (0..plan.steps()).filter(|step| step % workers == worker).collect();
        prop_assert_eq!(steps.len() as u64, plan.batches());
        prop_assert!((0..plan.batches()).map(|k| plan.step_of(k)).eq(steps.iter().copied()));
        for step in 0..=plan.steps() {
            let before = steps.iter().filter(|&&own| own < step).count() as u64;
            prop_assert_eq!(plan.first_batch_at_or_after(step), before);
        }
    }

    /// Any split of one global batch gives the same samples at each step, in the same order over the ranks.
    #[test]
    fn a_global_batch_does_not_depend_on_its_split(n in 0_u64..400, global in 1_u64..37, last in rule()) {
        let global_batches = |world: u64| -> Vec<Vec<u64>> {
            let plans: Vec<_> = (0..world).map(|rank| plan(n, global / world, last, rank, world)).collect();
            (0..plans[0].rounds()).map(|step| plans.iter().flat_map(|plan| batch(plan, step)).collect()).collect()
        };
        let whole = global_batches(1);
        for world in (1..=global).filter(|world| global % world == 0) {
            prop_assert_eq!(&global_batches(world), &whole, "world {}", world);
        }
    }

    #[test]
    fn samples_before_counts_what_all_ranks_have_consumed(
        n in 0_u64..200, batch_size in 1_u64..20, world in 1_u64..7, last in rule(),
    ) {
        let plans: Vec<_> = (0..world).map(|rank| plan(n, batch_size, last, rank, world)).collect();
        let mut consumed = 0;
        for step in 0..plans[0].rounds() {
            prop_assert_eq!(plans[0].samples_before(step), consumed);
            consumed += plans.iter().map(|plan| plan.span(step).real).sum::<u64>();
        }
        prop_assert_eq!(plans[0].samples_before(plans[0].rounds()), consumed);
    }
}
