//! Typed trees.

use std::collections::HashSet;

use crate::tree::Tree;

pub fn tree(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(tree) = Tree::parse(text) else { return };
    let again = Tree::parse(&tree.to_text()).expect("a tree that was written");
    assert_eq!(again, tree);
    let names: HashSet<&str> = tree.tensors().collect();
    assert!(tree.resolve(&names).is_ok());
    assert!(!tree.has_pickle() || text.contains("pickle") || text.contains('\\'));
}
