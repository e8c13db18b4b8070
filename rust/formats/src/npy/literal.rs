//! The Python literals that an NPY header is made of.
//!
//! A header is the `repr` of a dictionary. This reader takes time linear in its length and recurses at most
//! [`MAX_DEPTH`] times, so that no header can hang it or exhaust the stack. Grammar-driven parsers of Python literals
//! that try one alternative after another take time exponential in the nesting.

use std::fmt;

/// Nesting of a header: the dictionary, then a list and a tuple for each level of a structured dtype.
const MAX_DEPTH: usize = 64;

/// A Python literal, as far as NPY headers use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Str(String),
    Int(i64),
    Bool(bool),
    None,
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

/// Where and why a text is not a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Byte position in the text.
    pub(super) position: usize,
    pub(super) expected: &'static str,
}

type Parsed<T> = std::result::Result<T, SyntaxError>;

/// Reads `text`, which must hold one literal and nothing else but white space.
pub(super) fn parse(text: &str) -> Parsed<Literal> {
    let mut parser = Parser { text, position: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("the end of the header")),
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        let space = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']).len();
        self.position += space;
    }

    fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { position: self.position, expected }
    }

    fn value(&mut self, depth: usize) -> Parsed<Literal> {
        if depth > MAX_DEPTH {
            return Err(self.error("at most 64 levels of nesting"));
        }
        self.skip_space();
        match self.peek() {
            Some('\'' | '"') => self.string(),
            // Python 2 wrote unicode strings with a prefix.
            Some('u') if self.rest()[1..].starts_with(['\'', '"']) => {
                self.position += 1;
                self.string()
            }
            Some('(') => self.parenthesis(depth),
            Some('[') => Ok(Literal::List(self.items("[", "]", depth)?.0)),
            Some('{') => self.dict(depth),
            Some('-' | '+' | '0'..='9') => self.integer(),
            _ if self.take("True") => Ok(Literal::Bool(true)),
            _ if self.take("False") => Ok(Literal::Bool(false)),
            _ if self.take("None") => Ok(Literal::None),
            _ => Err(self.error("a Python literal")),
        }
    }

    /// Items between `open` and `close`, and whether a comma followed the last one.
    fn items(&mut self, open: &str, close: &'static str, depth: usize) -> Parsed<(Vec<Literal>, bool)> {
        self.take(open);
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            self.skip_space();
            if self.take(close) {
                return Ok((items, comma));
            }
            if !items.is_empty() && !comma {
                return Err(self.error("',' or the closing bracket"));
            }
            items.push(self.value(depth + 1)?);
            self.skip_space();
            comma = self.take(",");
        }
    }

    fn parenthesis(&mut self, depth: usize) -> Parsed<Literal> {
        let (mut items, comma) = self.items("(", ")", depth)?;
        match items.pop() {
            Some(only) if items.is_empty() && !comma => Ok(only),
            last => {
                items.extend(last);
                Ok(Literal::Tuple(items))
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Parsed<Literal> {
        self.take("{");
        let (mut entries, mut comma) = (Vec::new(), true);
        loop {
            self.skip_space();
            if self.take("}") {
                return Ok(Literal::Dict(entries));
            }
            if !comma {
                return Err(self.error("',' or '}'"));
            }
            let key = self.value(depth + 1)?;
            self.skip_space();
            if !self.take(":") {
                return Err(self.error("':'"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.skip_space();
            comma = self.take(",");
        }
    }

    fn integer(&mut self) -> Parsed<Literal> {
        let start = self.position;
        if !self.take("-") {
            self.take("+");
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.position += digits;
        let number = self.text.get(start..self.position).and_then(|text| text.parse().ok());
        // Python 2 marked long integers.
        self.take("L");
        number.map(Literal::Int).ok_or(SyntaxError { position: start, expected: "an integer of at most 64 bits" })
    }

    fn string(&mut self) -> Parsed<Literal> {
        let quote = self.next();
        let mut value = String::new();
        loop {
            match self.peek() {
                c if c.is_some() && c == quote => {
                    self.next();
                    return Ok(Literal::Str(value));
                }
                None | Some('\n' | '\r') => return Err(self.error("the closing quote of a string")),
                Some('\\') => self.escape(&mut value)?,
                Some(c) => {
                    self.next();
                    value.push(c);
                }
            }
        }
    }

    fn escape(&mut self, value: &mut String) -> Parsed<()> {
        let start = self.position;
        self.next();
        let c = match self.next() {
            Some(c @ ('\\' | '\'' | '"')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('a') => Some('\x07'),
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0c'),
            Some('v') => Some('\x0b'),
            Some('x') => self.code_point(2),
            Some('u') => self.code_point(4),
            Some('U') => self.code_point(8),
            _ => None,
        };
        value.push(c.ok_or(SyntaxError { position: start, expected: "an escape sequence as repr() writes it" })?);
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Option<char> {
        let hex = self.rest().get(..digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let code = u32::from_str_radix(hex, 16).ok()?;
        self.position += digits;
        char::from_u32(code)
    }
}

impl fmt::Display for Literal {
    /// Writes the literal as Python's `repr` does, so that equal literals are equal text. Characters that `repr` takes
    /// for unprintable, such as U+200B, may stand for themselves here; `ast.literal_eval` reads both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => write_string(f, text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::None => f.write_str("None"),
            Self::Tuple(items) => {
                write_items(f, "(", items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Self::List(items) => {
                write_items(f, "[", items)?;
                f.write_str("]")
            }
            Self::Dict(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, open: &str, items: &[Literal]) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    write!(f, "{quote}")?;
    for c in text.chars() {
        match c {
            c if c == quote || c == '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "{quote}")
}

#[cfg(test)]
#[path = "literal_tests.rs"]
mod tests;
