//! The environment as a whole, to see cheaply whether anything in it has changed.

use std::ffi::{CStr, c_char};
use std::hash::Hasher;

use highway::{HighwayHash, HighwayHasher};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// A digest of all variables: equal as long as none has changed.
///
/// Settings are read at every call, so that a change takes effect at once, and reading them takes as long as a tenth of
/// a small request; this takes a twentieth of that. Call it on the thread that asks for an operation: Python changes
/// its environment under the lock that this thread holds.
pub(crate) fn fingerprint() -> u64 {
    let mut hasher = HighwayHasher::default();
    // SAFETY: the C library keeps `environ` at a list of pointers to strings that ends with a null pointer. Nothing
    // changes it meanwhile: see above.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            hasher.append(CStr::from_ptr(*entry).to_bytes_with_nul());
            entry = entry.add(1);
        }
    }
    hasher.finish()
}
