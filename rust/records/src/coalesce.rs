//! Which ranges are read together: a gap that is cheaper to read than a further request is read with them.

use std::ops::Range;

/// Ranges that one read brings.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// What is read: from the first byte of the first range to the last byte of the last.
    pub span: Range<u64>,
    /// The ranges, by their number in the request.
    pub members: Vec<(usize, Range<u64>)>,
}

/// Groups ranges (in any order, overlapping or repeated) whose gaps are at most `gap` bytes, while a group spans at
/// most `most` bytes; a longer range is a group of its own. Empty ranges are in no group.
#[must_use]
pub fn groups(ranges: &[Range<u64>], gap: u64, most: u64) -> Vec<Group> {
    let mut order: Vec<(usize, &Range<u64>)> =
        ranges.iter().enumerate().filter(|(_, range)| !range.is_empty()).collect();
    // Indices are often sorted already, which makes this a single pass.
    order.sort_by_key(|(_, range)| (range.start, range.end));
    let mut groups: Vec<Group> = Vec::new();
    for (at, range) in order {
        if let Some(last) = groups.last_mut()
            && range.start <= last.span.end.saturating_add(gap)
            && range.end.max(last.span.end) - last.span.start <= most
        {
            last.span.end = last.span.end.max(range.end);
            last.members.push((at, range.clone()));
        } else {
            groups.push(Group { span: range.clone(), members: vec![(at, range.clone())] });
        }
    }
    groups
}
