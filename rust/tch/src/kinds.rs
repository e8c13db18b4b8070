//! Types of elements: of libtorch, in the words of NumPy, of safetensors and of Python's torch.

use tch::Kind;

/// A type of elements by its names.
struct Names {
    kind: Kind,
    /// NumPy's description on this machine; empty where NumPy has no such type.
    numpy: &'static str,
    /// How checkpoints store it: complex numbers as pairs, in one more axis.
    stored: &'static str,
    /// How Python's torch calls it.
    torch: &'static str,
}

const fn names(kind: Kind, numpy: &'static str, stored: &'static str, torch: &'static str) -> Names {
    Names { kind, numpy, stored, torch }
}

/// The types that both sides have; of several with one way to be stored, the first is what a plain file holds.
const KNOWN: [Names; 17] = [
    names(Kind::Double, "<f8", "F64", "float64"),
    names(Kind::Float, "<f4", "F32", "float32"),
    names(Kind::Half, "<f2", "F16", "float16"),
    names(Kind::BFloat16, "", "BF16", "bfloat16"),
    names(Kind::Int64, "<i8", "I64", "int64"),
    names(Kind::Int, "<i4", "I32", "int32"),
    names(Kind::Int16, "<i2", "I16", "int16"),
    names(Kind::Int8, "|i1", "I8", "int8"),
    names(Kind::Uint8, "|u1", "U8", "uint8"),
    names(Kind::Bool, "|b1", "BOOL", "bool"),
    names(Kind::Float8e5m2, "", "F8_E5M2", "float8_e5m2"),
    names(Kind::Float8e4m3fn, "", "F8_E4M3", "float8_e4m3fn"),
    names(Kind::Float8e5m2fnuz, "", "U8", "float8_e5m2fnuz"),
    names(Kind::Float8e4m3fnuz, "", "U8", "float8_e4m3fnuz"),
    names(Kind::ComplexHalf, "", "F16", "complex32"),
    names(Kind::ComplexFloat, "<c8", "F32", "complex64"),
    names(Kind::ComplexDouble, "<c16", "F64", "complex128"),
];

/// The type that NumPy describes so; `None` for one that libtorch has not, or that has its bytes in another order.
#[must_use]
pub fn of_numpy(descr: &str) -> Option<Kind> {
    KNOWN.iter().find(|names| !descr.is_empty() && names.numpy == descr).map(|names| names.kind)
}

/// The type of a tensor that safetensors calls so.
#[must_use]
pub fn of_stored(dtype: &str) -> Option<Kind> {
    KNOWN.iter().find(|names| names.stored == dtype).map(|names| names.kind)
}

/// The type that Python's torch calls so.
#[must_use]
pub fn of_torch(name: &str) -> Option<Kind> {
    KNOWN.iter().find(|names| names.torch == name).map(|names| names.kind)
}

/// How a checkpoint stores a type, and how Python's torch calls it; `None` for quantised types.
#[must_use]
pub fn stored(kind: Kind) -> Option<(&'static str, &'static str)> {
    KNOWN.iter().find(|names| names.kind == kind).map(|names| (names.stored, names.torch))
}

/// Whether elements are pairs of numbers.
#[must_use]
pub fn is_complex(kind: Kind) -> bool {
    matches!(kind, Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble)
}
