//! Boxes: parts of row-major arrays, and which bytes two of them share.

use std::ops::Range;

/// A box in an array: first element and number of elements along each axis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    /// First element along each axis.
    pub offsets: Vec<u64>,
    /// Elements along each axis.
    pub lengths: Vec<u64>,
}

impl Region {
    /// The box that is all of an array.
    #[must_use]
    pub fn whole(shape: &[u64]) -> Self {
        Self { offsets: vec![0; shape.len()], lengths: shape.to_vec() }
    }

    /// Elements; `None` beyond 64 bits.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        self.lengths.iter().try_fold(1_u64, |product, length| product.checked_mul(*length))
    }

    /// The part that two boxes have in common; `None` where there is none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.offsets.len() != other.offsets.len() {
            return None;
        }
        let mut common = Self::default();
        for axis in 0..self.offsets.len() {
            let start = self.offsets[axis].max(other.offsets[axis]);
            let end = (self.offsets[axis] + self.lengths[axis]).min(other.offsets[axis] + other.lengths[axis]);
            if end <= start {
                return None;
            }
            common.offsets.push(start);
            common.lengths.push(end - start);
        }
        Some(common)
    }

    /// Number of the element at `position` in this box's own row-major order.
    fn index(&self, position: &[u64]) -> u64 {
        position
            .iter()
            .zip(&self.offsets)
            .zip(&self.lengths)
            .fold(0, |index, ((at, offset), length)| index * length + (at - offset))
    }
}

/// A run of bytes that lies together in both arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Bytes in the source box.
    pub source: Range<u64>,
    /// First byte in the destination box.
    pub target: u64,
}

/// The runs of the common part of two boxes of one array, in the order of the source; both are stored row-major.
///
/// The boxes must lie in an array whose bytes can be counted in 64 bits.
#[must_use]
pub fn runs(source: &Region, target: &Region, width: u64) -> Vec<Run> {
    let Some(common) = source.intersection(target) else { return Vec::new() };
    // Axes from here on lie together in both boxes.
    let mut axis = common.lengths.len();
    let mut together = width;
    while axis > 0 {
        axis -= 1;
        together *= common.lengths[axis];
        if common.lengths[axis] != source.lengths[axis] || common.lengths[axis] != target.lengths[axis] {
            break;
        }
    }
    let mut position = common.offsets.clone();
    let mut found = Vec::new();
    loop {
        let start = source.index(&position) * width;
        found.push(Run { source: start..start + together, target: target.index(&position) * width });
        // Counts like an odometer over the axes before `axis`.
        let mut turning = axis;
        loop {
            if turning == 0 {
                return found;
            }
            turning -= 1;
            position[turning] += 1;
            if position[turning] < common.offsets[turning] + common.lengths[turning] {
                break;
            }
            position[turning] = common.offsets[turning];
        }
    }
}
