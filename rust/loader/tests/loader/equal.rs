//! Every rank gives the same number of batches, whatever is bad.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Fake, all, network, options};
use proptest::prelude::*;
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::options::{OnError, Shuffle};
use s3dlio_loader::source::RecordSource;
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};
use s3dlio_store::StoreError;

fn source(n: u64, bad: BTreeSet<u64>) -> Arc<dyn RecordSource> {
    Arc::new(Fake::new(n, Some(8), move |index| {
        let missing = || StoreError::NotFound { uri: format!("fake://{index}"), detail: "gone".into() };
        let found = if bad.contains(&index) { Err(missing()) } else { Ok(index.to_le_bytes().to_vec()) };
        network(Duration::ZERO, found)
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn ranks_give_equally_many_batches(
        n in 2_u64..60,
        (batch_size, world, workers) in (1_u64..9, 1_u64..5, 1_u64..4),
        last in prop::sample::select(vec![Last::Drop, Last::Pad, Last::Wrap]),
        on_error in prop::sample::select(vec![OnError::Skip, OnError::Replace]),
        shuffle in prop::sample::select(vec![Shuffle::None, Shuffle::Global]),
        bad in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bad: BTreeSet<u64> = bad.iter().map(|index| index.index(usize::try_from(n).unwrap()) as u64).collect();
        // Some record is good, or there is nothing to give; and few enough are bad for one to be found.
        bad.retain(|index| index * 2 < n);
        let source = source(n, bad.clone());
        let mut contents = Vec::new();
        for rank in 0..world {
            let mut batches = Vec::new();
            let mut steps = 0;
            for worker in 0..workers {
                let sharding = Sharding { rank, world, worker, workers };
                let last = Some(last);
                let options = LoaderOptions { on_error, shuffle, sharding, last, ..options(batch_size) };
                let loader = Loader::new(Arc::clone(&source), options).unwrap();
                steps = loader.plan().steps();
                let own = all(loader.iterate(0, 0).unwrap()).unwrap();
                prop_assert_eq!(own.len() as u64, loader.plan().batches());
                batches.extend(own);
            }
            prop_assert_eq!(batches.len() as u64, steps);
            for batch in &batches {
                prop_assert!(!batch.indices.is_empty());
                prop_assert!(batch.indices.iter().all(|index| !bad.contains(index)));
                prop_assert!(on_error == OnError::Skip || batch.indices.len() as u64 == batch_size);
                prop_assert!(batch.skipped.iter().all(|one| bad.contains(&one.index)));
            }
            batches.sort_by_key(|batch| batch.step);
            contents.push(batches.into_iter().map(|batch| batch.indices).collect::<Vec<_>>());
        }
        prop_assert!(contents.iter().all(|rank| rank.len() == contents[0].len()));
        if on_error == OnError::Replace {
            // What takes a place depends on the record that stood there alone.
            let one = Sharding::WHOLE;
            let whole = LoaderOptions { on_error, shuffle, sharding: one, last: Some(last), ..options(batch_size * world) };
            let loader = Loader::new(Arc::clone(&source), whole).unwrap();
            let whole = all(loader.iterate(0, 0).unwrap()).unwrap();
            for (step, global) in whole.into_iter().enumerate() {
                let ranks: Vec<u64> = contents.iter().flat_map(|rank| rank[step].iter().copied()).collect();
                prop_assert_eq!(global.indices, ranks);
            }
        }
    }
}

#[test]
fn where_all_is_bad_the_error_comes() {
    for on_error in [OnError::Skip, OnError::Replace] {
        for n in [1, 3, 50] {
            let source = source(n, (0..n).collect());
            let loader = Loader::new(source, LoaderOptions { on_error, ..options(2) }).unwrap();
            let found = all(loader.iterate(0, 0).unwrap());
            assert!(matches!(found, Err(LoaderError::NoReplacement { .. })), "{on_error} {n}: {found:?}");
        }
    }
}
