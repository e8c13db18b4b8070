//! Options and their ranges.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Fake, network, options};
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::options::{Collate, OnError, Shuffle};
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};

fn loader(options: LoaderOptions) -> Result<Loader, LoaderError> {
    Loader::new(Arc::new(Fake::new(100, Some(1), |_| network(Duration::ZERO, Ok(vec![1])))), options)
}

#[test]
fn the_ends_of_the_ranges_are_taken() {
    for good in [
        options(1),
        options(1 << 24),
        LoaderOptions { memory_budget: 1 << 20, ..options(1) },
        LoaderOptions { memory_budget: 1 << 46, ..options(1) },
        LoaderOptions { prefetch: 1024, ..options(1) },
        LoaderOptions { reads: 512, ..options(1) },
        LoaderOptions { drop_last: true, last: Some(Last::Drop), ..options(1) },
        LoaderOptions { sharding: Sharding { rank: 6, world: 7, worker: 2, workers: 3 }, ..options(1) },
    ] {
        good.validate().unwrap();
        loader(good).unwrap();
    }
}

#[test]
fn a_value_out_of_range_names_its_option() {
    let sharding = |rank, world, worker, workers| LoaderOptions {
        sharding: Sharding { rank, world, worker, workers },
        ..options(1)
    };
    let table = [
        ("batch_size", options(0)),
        ("batch_size", options((1 << 24) + 1)),
        ("memory_budget", LoaderOptions { memory_budget: (1 << 20) - 1, ..options(1) }),
        ("memory_budget", LoaderOptions { memory_budget: u64::MAX, ..options(1) }),
        ("prefetch", LoaderOptions { prefetch: 1025, ..options(1) }),
        ("num_workers", LoaderOptions { reads: 513, ..options(1) }),
        ("last", LoaderOptions { drop_last: true, last: Some(Last::Wrap), ..options(1) }),
        ("shard_rank", sharding(1, 1, 0, 1)),
        ("shard_world_size", sharding(0, 0, 0, 1)),
        ("worker_id", sharding(0, 1, 2, 2)),
        ("num_workers_pytorch", sharding(0, 1, 0, 0)),
    ];
    for (name, bad) in table {
        let error = loader(bad).unwrap_err();
        assert!(matches!(&error, LoaderError::Config { option, .. } if *option == name), "{name}: {error:?}");
        assert!(error.to_string().contains(&format!("option `{name}`: found ")), "{error}");
    }
}

#[test]
fn the_rule_for_the_tail_follows_from_the_others_unless_it_is_given() {
    let world = |world| Sharding { rank: 0, world, worker: 0, workers: 1 };
    for (drop_last, last, ranks, expected) in [
        (false, None, 1, Last::Uneven),
        (false, None, 2, Last::Wrap),
        (true, None, 1, Last::Drop),
        (true, None, 2, Last::Drop),
        (false, Some(Last::Pad), 1, Last::Pad),
        (false, Some(Last::Drop), 2, Last::Drop),
        (true, Some(Last::Drop), 1, Last::Drop),
    ] {
        let options = LoaderOptions { drop_last, last, sharding: world(ranks), ..options(8) };
        assert_eq!(options.last(), expected, "{drop_last} {last:?} {ranks}");
        assert_eq!(loader(options).unwrap().plan().last(), expected);
    }
}

#[test]
fn words_are_read_and_printed_alike() {
    fn check<T: FromStr<Err = LoaderError> + ToString>(option: &str, words: &[&str]) {
        for word in words {
            assert_eq!(T::from_str(word).unwrap().to_string(), *word);
        }
        for wrong in ["", "Stack", " none", "other"] {
            let Err(error) = T::from_str(wrong) else { panic!("{wrong:?} is a value of {option}") };
            assert!(matches!(&error, LoaderError::Config { option: found, .. } if *found == option), "{error:?}");
            let text = error.to_string();
            assert!(words.iter().all(|word| text.contains(&format!("\"{word}\""))), "{text}");
        }
    }
    check::<Shuffle>("shuffle", &["none", "global"]);
    check::<Collate>("collate", &["stack", "list"]);
    check::<OnError>("on_error", &["raise", "skip"]);
    check::<Decoder>("decoder", &["bytes", "npz", "npy"]);
    check::<Last>("last", &["drop", "pad", "wrap", "uneven"]);
}

#[test]
fn defaults_are_those_of_the_manual() {
    let options = LoaderOptions::default();
    assert_eq!((options.batch_size, options.drop_last, options.last), (1, false, None));
    assert_eq!((options.shuffle, options.seed, &options.decoder), (Shuffle::None, 0, &Decoder::Bytes));
    assert_eq!((options.collate, options.on_error, options.timeout), (Collate::Stack, OnError::Raise, None));
    assert_eq!((options.prefetch, options.reads, options.sharding), (0, 0, Sharding::WHOLE));
    options.validate().unwrap();
}
