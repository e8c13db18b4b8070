//! Checkpoints between Rust and Python: the same files, every type, views, steps, and variables filled in place.

use std::collections::HashMap;
use std::process::Command;

use s3dlio_checkpoint::CheckpointError;
use s3dlio_store::{StoreError, Uri};
use s3dlio_tch::TrainError;
use s3dlio_tch::checkpoint::{Saved, Values, save, save_step};
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};

const KINDS: [Kind; 17] = [
    Kind::Double,
    Kind::Float,
    Kind::Half,
    Kind::BFloat16,
    Kind::Int64,
    Kind::Int,
    Kind::Int16,
    Kind::Int8,
    Kind::Uint8,
    Kind::Bool,
    Kind::Float8e5m2,
    Kind::Float8e4m3fn,
    Kind::Float8e5m2fnuz,
    Kind::Float8e4m3fnuz,
    Kind::ComplexHalf,
    Kind::ComplexFloat,
    Kind::ComplexDouble,
];

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let plain = tensor.contiguous();
    let mut bytes = vec![0; plain.numel() * plain.kind().elt_size_in_bytes()];
    plain.copy_data_u8(&mut bytes, plain.numel());
    bytes
}

/// Tensors of every type, and what is special: empty, without axes, and not contiguous.
fn values() -> Values {
    let numbers = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]);
    let mut values = Values::default();
    for kind in KINDS {
        values.tensors.insert(format!("{kind:?}"), numbers.to_kind(kind));
    }
    values.tensors.insert("turned".into(), numbers.transpose(0, 1));
    values.tensors.insert("empty".into(), Tensor::zeros([0, 4], (Kind::Float, Device::Cpu)));
    values.tensors.insert("scalar".into(), Tensor::from(7_i64));
    values.texts.insert("state".into(), "{\"epoch\": 3} \u{fc}".into());
    values
}

fn assert_same(found: &Values, expected: &Values) {
    assert_eq!(found.texts, expected.texts);
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), expected.tensors.keys().collect::<Vec<_>>());
    for (name, tensor) in &expected.tensors {
        let read = &found.tensors[name];
        assert_eq!((read.kind(), read.size(), bytes(read)), (tensor.kind(), tensor.size(), bytes(tensor)), "{name}");
    }
}

/// Runs a program of Python that must succeed; the folder is its argument.
fn python(folder: &tempfile::TempDir, program: &str) {
    let done = Command::new("python").args(["-c", program]).arg(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_is_saved_is_read_compressed_or_not() {
    for level in [None, Some(3)] {
        let place = uri(&format!("memory://tch/whole-{level:?}"));
        save(&place, &values(), level).unwrap();
        assert_same(&Saved::object(&place).unwrap().values().unwrap(), &values());
    }
}

#[test]
fn python_reads_what_rust_saves() {
    let folder = tempfile::tempdir().unwrap();
    save(&uri(&format!("file://{}/one.safetensors", folder.path().display())), &values(), None).unwrap();
    save_step(&uri(&format!("file://{}/steps/", folder.path().display())), 12, &values(), Some(3), false).unwrap();
    python(
        &folder,
        r#"
import sys, torch, s3dlio
from s3dlio.checkpoint import CheckpointManager
one = s3dlio.load_checkpoint(f"file://{sys.argv[1]}/one.safetensors")
manager = CheckpointManager(f"file://{sys.argv[1]}/steps/")
assert manager.steps() == [12]
numbers = torch.arange(6, dtype=torch.float32).view(2, 3)
for values in one, manager.load():
    assert values.pop("state") == '{"epoch": 3} \u00fc'
    assert len(values) == 20 and torch.equal(values.pop("turned"), numbers.T)
    assert values.pop("empty").shape == (0, 4) and values.pop("scalar").item() == 7
    for name, tensor in values.items():
        assert torch.equal(tensor.to(torch.complex64), numbers.to(tensor.dtype).to(torch.complex64)), name
    assert len({tensor.dtype for tensor in values.values()}) == 17
"#,
    );
}

#[test]
fn rust_reads_what_python_saves() {
    let folder = tempfile::tempdir().unwrap();
    python(
        &folder,
        r#"
import sys, numpy, torch, s3dlio, safetensors.torch
numbers = torch.arange(6, dtype=torch.float32).view(2, 3)
model = torch.nn.Linear(3, 2)
torch.nn.init.constant_(model.weight, 0.5)
model.tied = model.weight
values = {
    "model": model.state_dict(), "array": numpy.arange(4, dtype="<i2"), "half": [numbers.half(), 7, b"bytes"],
    "column": numbers[:, 1], "complex": numbers + 1j, "text": "zwölf", "all": numbers,
}
s3dlio.save_checkpoint(f"file://{sys.argv[1]}/python", values)
safetensors.torch.save_file({"plain": numbers}, f"{sys.argv[1]}/plain.safetensors")
"#,
    );
    let saved = Saved::object(&uri(&format!("file://{}/python", folder.path().display()))).unwrap();
    let Values { tensors, texts } = saved.values().unwrap();
    assert_eq!((texts.len(), saved.text("text")), (1, Some("zwölf")));
    let numbers = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]);
    assert_eq!(tensors["all"], numbers);
    assert_eq!(tensors["column"], numbers.select(1, 1));
    assert_eq!(tensors["array"], Tensor::arange(4, (Kind::Int16, Device::Cpu)));
    assert_eq!(tensors["half.0"], numbers.to_kind(Kind::Half));
    assert_eq!((tensors["complex"].real(), tensors["complex"].imag()), (numbers.copy(), numbers.ones_like()));
    assert_eq!(tensors["model.weight"], Tensor::full([2, 3], 0.5, (Kind::Float, Device::Cpu)));
    // What shares memory there does so here.
    assert_eq!(tensors["model.weight"].data_ptr(), tensors["model.tied"].data_ptr());
    let plain = Saved::object(&uri(&format!("file://{}/plain.safetensors", folder.path().display()))).unwrap();
    assert_eq!(plain.values().unwrap().tensors["plain"], numbers);
}

fn network(seed: i64) -> VarStore {
    tch::manual_seed(seed);
    let variables = VarStore::new(Device::Cpu);
    let _ = nn::linear(variables.root() / "first", 3, 4, nn::LinearConfig::default());
    let _ = nn::linear(variables.root() / "second", 4, 2, nn::LinearConfig::default());
    variables
}

#[test]
fn variables_are_filled_in_their_own_memory() {
    let (saved, other) = (network(1), network(2));
    let base = uri("memory://tch/steps/");
    let tensors =
        |below: &str| saved.variables().into_iter().map(|(name, tensor)| (format!("{below}{name}"), tensor)).collect();
    save_step(&base, 1, &Values { tensors: tensors("model."), ..Values::default() }, None, false).unwrap();
    let places: HashMap<String, *mut _> =
        other.variables().into_iter().map(|(name, tensor)| (name, tensor.data_ptr())).collect();
    Saved::step(&base, Some(1)).unwrap().fill("model", &other.variables()).unwrap();
    for (name, variable) in other.variables() {
        assert_eq!(variable, saved.variables()[&name], "{name}");
        assert_eq!(variable.data_ptr(), places[&name], "{name}");
        assert!(variable.requires_grad());
    }
    // What is not contiguous is copied into.
    let turned = Tensor::zeros([3, 4], (Kind::Float, Device::Cpu)).transpose(0, 1);
    let named = HashMap::from([("first.weight".to_owned(), turned.shallow_clone())]);
    Saved::step(&base, None).unwrap().fill("model", &named).unwrap();
    assert_eq!(turned, saved.variables()["first.weight"]);
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_read() {
    let place = uri("memory://tch/fit");
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    let tensors = [("a".to_owned(), zeros(&[2], Kind::Float)), ("b".to_owned(), zeros(&[3], Kind::Float))].into();
    save(&place, &Values { tensors, ..Values::default() }, None).unwrap();
    let saved = Saved::object(&place).unwrap();
    for (name, other, said) in [
        ("b", zeros(&[4], Kind::Float), "[4]"),
        ("b", zeros(&[3], Kind::Double), "Double"),
        ("c", zeros(&[3], Kind::Float), "found nothing"),
    ] {
        let kept = Tensor::ones([2], (Kind::Float, Device::Cpu));
        let named = HashMap::from([("a".to_owned(), kept.shallow_clone()), (name.to_owned(), other)]);
        let error = saved.fill("", &named).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: ")) && error.contains(said), "{error}");
        assert_eq!(kept, Tensor::ones([2], (Kind::Float, Device::Cpu)));
    }
}

#[test]
fn a_step_is_there_once_and_may_be_replaced() {
    let base = uri("memory://tch/once/");
    let number = |number: i64| Values { tensors: [("n".to_owned(), Tensor::from(number))].into(), ..Values::default() };
    let missing = Saved::step(&base, None).unwrap_err();
    assert!(
        matches!(missing, TrainError::Checkpoint(CheckpointError::Store(StoreError::NotFound { .. }))),
        "{missing:?}"
    );
    save_step(&base, 5, &number(1), None, false).unwrap();
    let error = save_step(&base, 5, &number(2), None, false).unwrap_err();
    assert!(matches!(error, TrainError::Checkpoint(CheckpointError::Exists { .. })), "{error:?}");
    let read = || i64::try_from(&Saved::step(&base, None).unwrap().values().unwrap().tensors["n"]).unwrap();
    assert_eq!(read(), 1);
    save_step(&base, 5, &number(2), None, true).unwrap();
    assert_eq!((read(), Saved::step(&base, None).unwrap().number()), (2, 5));
}

#[test]
fn a_damaged_tensor_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    let place = uri(&format!("file://{}", path.display()));
    let tensors = [("a".to_owned(), Tensor::zeros([1000], (Kind::Float, Device::Cpu)))].into();
    save(&place, &Values { tensors, ..Values::default() }, None).unwrap();
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, content).unwrap();
    let error = Saved::object(&place).unwrap().values().unwrap_err();
    assert!(matches!(error, TrainError::Checkpoint(CheckpointError::Store(StoreError::Corrupt { .. }))), "{error:?}");
}

#[test]
fn one_name_stands_for_one_value() {
    let tensors = [("a".to_owned(), Tensor::from(1_i64))].into();
    let values = Values { tensors, texts: [("a".to_owned(), String::new())].into() };
    assert!(matches!(save(&uri("memory://tch/twice"), &values, None), Err(TrainError::Mismatch { .. })));
}
