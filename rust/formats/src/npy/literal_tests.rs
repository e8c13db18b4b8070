use proptest::prelude::*;

use super::*;

fn int(n: i64) -> Literal {
    Literal::Int(n)
}

fn text(s: &str) -> Literal {
    Literal::Str(s.to_owned())
}

#[test]
fn reads_each_kind() {
    assert_eq!(parse(" 'a' "), Ok(text("a")));
    assert_eq!(parse("\"it's\""), Ok(text("it's")));
    assert_eq!(parse("u'old'"), Ok(text("old")));
    assert_eq!(parse("-12"), Ok(int(-12)));
    assert_eq!(parse("12L"), Ok(int(12)));
    assert_eq!(parse("True"), Ok(Literal::Bool(true)));
    assert_eq!(parse("None"), Ok(Literal::None));
    assert_eq!(parse("()"), Ok(Literal::Tuple(vec![])));
    assert_eq!(parse("(1)"), Ok(int(1)));
    assert_eq!(parse("(1,)"), Ok(Literal::Tuple(vec![int(1)])));
    assert_eq!(parse("( 1 , 2 )"), Ok(Literal::Tuple(vec![int(1), int(2)])));
    assert_eq!(parse("[1, 2,]"), Ok(Literal::List(vec![int(1), int(2)])));
    assert_eq!(parse("{'a': 1, }"), Ok(Literal::Dict(vec![(text("a"), int(1))])));
}

#[test]
fn reads_escapes_as_python_does() {
    assert_eq!(parse(r"'\\\'\n\t\x41\u00e9\U0001f600'"), Ok(text("\\'\n\tA\u{e9}\u{1f600}")));
    for wrong in [r"'\x4'", r"'\ud800'", r"'\q'", r"'\", r"'\xé0'"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn refuses_what_is_no_literal() {
    for wrong in [
        "",
        "(",
        "[1",
        "[1 2]",
        "[,]",
        "{'a'}",
        "{'a' 1}",
        "{'a': 1 'b': 2}",
        "'open",
        "1 2",
        "-",
        "open()",
        "b'x'",
        "9223372036854775808",
        "1.5",
        "u",
        "Truest",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn says_where_it_stopped() {
    let error = parse("{'a': [1, x]}").unwrap_err();
    assert_eq!(error, SyntaxError { position: 10, expected: "a Python literal" });
}

#[test]
fn nesting_is_bounded_and_cheap() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(parse(&"(".repeat(1 << 20)).is_err());
}

fn literal() -> impl Strategy<Value = Literal> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Literal::Str),
        any::<i64>().prop_map(Literal::Int),
        any::<bool>().prop_map(Literal::Bool),
        Just(Literal::None),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            items.clone().prop_map(Literal::Tuple),
            items.prop_map(Literal::List),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Literal::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in literal()) {
        prop_assert_eq!(parse(&value.to_string()), Ok(value));
    }

    #[test]
    fn no_text_panics(text in "[\\[\\](){}'\"\\\\,:0-9a-zA-Z \n\u{e9}-]{0,64}") {
        let _ = parse(&text);
    }
}
