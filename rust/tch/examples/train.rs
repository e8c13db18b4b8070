//! A training loop in Rust: batches from any store, checkpoints, and an exact resume.
//!
//! ```text
//! cargo run --release -p s3dlio-tch --example train -- file:///tmp/points 5
//! ```
//!
//! The first argument says where samples and checkpoints lie, the second how many epochs there are. Stop it with Ctrl-C
//! and run it again: it goes on behind the last checkpoint, and ends with the same weights, bit for bit.

use std::error::Error;
use std::sync::Arc;

use s3dlio_checkpoint::open::latest_step;
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::options::Shuffle;
use s3dlio_loader::source::{self, ObjectSource, Selection};
use s3dlio_loader::{Loader, LoaderOptions};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::{Uri, Work};
use s3dlio_tch::checkpoint::{Saved, Values, save_step};
use s3dlio_tch::{Batch, batches};
use tch::nn::{self, Module, VarStore};
use tch::{Device, Kind, Tensor};

const SAMPLES: i64 = 600;
const BATCH: u64 = 32;
const RATE: f64 = 0.1;

/// Between two checkpoints.
const BATCHES: u64 = 7;

/// Writes points around two centres, each with the number of its centre, as an archive of NumPy for each sample.
pub fn write_samples(base: &str) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sample.npz");
    tch::manual_seed(0);
    for number in 0..SAMPLES {
        let centre = number % 2;
        let point = Tensor::randn([2], (Kind::Float, Device::Cpu)) + (centre * 2 - 1);
        Tensor::write_npz(&[("point", &point), ("centre", &Tensor::from(centre))], &path)?;
        let uri = Uri::parse(&format!("{base}/samples/{number:04}.npz"))?;
        ops::put(&uri, std::fs::read(&path)?.into(), Create::Overwrite)?.wait()?;
    }
    Ok(())
}

fn loader(base: &str) -> Result<Loader, Box<dyn Error>> {
    let table = source::discover(Selection::below(format!("{base}/samples/")))?.wait()?;
    let source = Arc::new(ObjectSource::new(table, GetOptions::default())?);
    let options = LoaderOptions {
        batch_size: BATCH,
        shuffle: Shuffle::Global,
        seed: 1,
        decoder: Decoder::Npz,
        ..LoaderOptions::default()
    };
    Ok(Loader::new(source, options)?)
}

/// One step of gradient descent; returns the loss before it.
fn learn(model: &nn::Linear, variables: &VarStore, batch: &Batch) -> Result<f64, Box<dyn Error>> {
    let field = |name| batch.data.tensor(name).ok_or_else(|| format!("the samples have no field {name:?}"));
    let loss = model.forward(field("point")?).cross_entropy_for_logits(field("centre")?);
    for mut variable in variables.trainable_variables() {
        variable.zero_grad();
    }
    loss.backward();
    tch::no_grad(|| {
        for mut variable in variables.trainable_variables() {
            let _ = variable.g_sub_(&(variable.grad() * RATE));
        }
    });
    Ok(loss.double_value(&[]))
}

/// Trains from the last checkpoint on for so many epochs, at most `most` batches; returns the weights and the last loss.
pub fn train(base: &str, epochs: u64, most: u64) -> Result<(Tensor, f64), Box<dyn Error>> {
    let steps = Uri::parse(&format!("{base}/checkpoints/"))?;
    let loader = loader(base)?;
    tch::manual_seed(2);
    let variables = VarStore::new(Device::Cpu);
    let model = nn::linear(variables.root(), 2, 2, nn::LinearConfig::default());
    let (mut epoch, mut step, mut done) = (0, 0, 0);
    if latest_step(&steps)?.wait()??.is_some() {
        let saved = Saved::step(&steps, None)?;
        saved.fill("", &variables.variables())?;
        let cursor = loader.resume(saved.text("loader").ok_or("the checkpoint has no state of the loader")?)?;
        (epoch, step, done) = (cursor.epoch, cursor.step, saved.number());
    }
    let (stop, mut loss) = (done + most, f64::NAN);
    while epoch < epochs {
        for batch in batches(&loader, epoch, step, Device::Cpu)? {
            let batch = batch?;
            loss = learn(&model, &variables, &batch)?;
            done += 1;
            if done % BATCHES == 0 {
                let state = loader.state(epoch, batch.step + 1, 0).to_json();
                let tensors = variables.variables().into_iter().collect();
                let values = Values { tensors, texts: [("loader".to_owned(), state)].into() };
                save_step(&steps, done, &values, None, false)?;
            }
            if done == stop {
                return Ok((model.ws.copy(), loss));
            }
        }
        (epoch, step) = (epoch + 1, 0);
    }
    Ok((model.ws.copy(), loss))
}

#[allow(clippy::print_stdout, dead_code, reason = "a program that people look at; tests call what it is made of")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, epochs] = arguments.as_slice() else { return Err("say where, and how many epochs".into()) };
    let first = Uri::parse(&format!("{base}/samples/0000.npz"))?;
    if !ops::exists(&first).and_then(Work::wait)? {
        write_samples(base)?;
    }
    let (weights, loss) = train(base, epochs.parse()?, u64::MAX)?;
    println!("loss {loss:.3}, weights {:?}", Vec::<f64>::try_from(weights.flatten(0, -1))?);
    Ok(())
}
