//! Pickles read as data. Nothing is executed: a class or function is a name, and calling one makes a node
//! that says so. Which names make a tensor is for the reader of the file to know; all others are carried
//! along unread, and can be listed.
//!
//! Covers the opcodes that Python's `pickle` writes in protocols 0 to 5 and PyTorch uses
//! (`pickletools` in the Python documentation describes each).

use std::collections::{BTreeSet, HashMap};

/// Values, references and memo entries that a pickle may have. A large checkpoint has some ten thousand;
/// a hostile one could make a value of every byte.
const VALUES: usize = 4_000_000;

/// Classes and functions that checkpoints name without meaning anything that has to be reported.
const COMMON: [&str; 31] = [
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "collections.OrderedDict",
    "torch.FloatStorage",
    "torch.DoubleStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.storage.UntypedStorage",
    "torch.Size",
    "torch.device",
    "argparse.Namespace",
    "collections.defaultdict",
    "collections.Counter",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "builtins.set",
    "__builtin__.set",
    "builtins.list",
    "__builtin__.list",
];

/// Where a node stands in [`Pickle::nodes`].
pub(super) type Index = usize;

/// A value. Values refer to each other by index, so that shared and nested ones of any depth are
/// cheap to hold and to drop.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Index>),
    List(Vec<Index>),
    Dict(Vec<(Index, Index)>),
    /// The name of a class or function, `module.name`.
    Global(String),
    /// A persistent id: for PyTorch a storage.
    Persistent(Index),
    /// A call: the function and its arguments.
    Call(Index, Index),
}

/// What an object was given after the call that made it.
#[derive(Debug, Default)]
struct Given {
    pairs: Vec<(Index, Index)>,
    state: Option<Index>,
}

/// A pickle's values; the last of its instructions returned `root`.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Index,
    given: HashMap<Index, Given>,
}

impl Pickle {
    /// Reads one pickle from the start of `bytes`, and returns it with its length. The error says
    /// what was found instead.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), String> {
        let mut machine = Machine {
            bytes,
            position: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            given: HashMap::new(),
        };
        let root = machine.run()?;
        let pickle = Self {
            nodes: machine.nodes,
            root,
            given: machine.given,
        };
        Ok((pickle, machine.position))
    }

    pub(super) fn text(&self, index: Index) -> Option<&str> {
        match &self.nodes[index] {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self, index: Index) -> Option<i64> {
        match self.nodes[index] {
            Node::Int(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn sequence(&self, index: Index) -> Option<&[Index]> {
        match &self.nodes[index] {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a dictionary, ordered or not, or of an object that is filled like one.
    pub(super) fn pairs(&self, index: Index) -> Option<&[(Index, Index)]> {
        match &self.nodes[index] {
            Node::Dict(pairs) => Some(pairs),
            Node::Call(..) => {
                let pairs = &self.given.get(&index)?.pairs;
                (!pairs.is_empty()).then_some(pairs)
            }
            _ => None,
        }
    }

    /// The value of a key of a dictionary; of several, the last, as in Python.
    pub(super) fn value(&self, index: Index, wanted: &str) -> Option<Index> {
        let mut pairs = self.pairs(index)?.iter().rev();
        let (_, value) = pairs.find(|(key, _)| self.text(*key) == Some(wanted))?;
        Some(*value)
    }

    /// The attributes that an object was given.
    pub(super) fn state(&self, index: Index) -> Option<Index> {
        self.given.get(&index)?.state
    }

    /// The name of a class or function.
    pub(super) fn global(&self, index: Index) -> Option<&str> {
        match &self.nodes[index] {
            Node::Global(name) => Some(name),
            _ => None,
        }
    }

    /// Classes and functions that a checkpoint does not need, by name.
    pub(super) fn foreign(&self) -> BTreeSet<&str> {
        let names = self.nodes.iter().filter_map(|node| match node {
            Node::Global(name) => Some(name.as_str()),
            _ => None,
        });
        let plain = |name: &&str| !COMMON.contains(name) && !is_number_type(name);
        names.filter(plain).collect()
    }

    /// A call of `function`, as its arguments.
    pub(super) fn call(&self, index: Index) -> Option<(&str, &[Index])> {
        let Node::Call(function, arguments) = self.nodes[index] else {
            return None;
        };
        Some((self.global(function)?, self.sequence(arguments)?))
    }
}

/// `torch.float32` and its like.
fn is_number_type(name: &str) -> bool {
    let word = name.strip_prefix("torch.").unwrap_or_default();
    let kinds = ["float", "bfloat", "int", "uint", "complex", "bool"];
    kinds.iter().any(|kind| {
        let rest = word.strip_prefix(kind);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node>,
    stack: Vec<Index>,
    marks: Vec<usize>,
    memo: HashMap<u64, Index>,
    given: HashMap<Index, Given>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.position..];
        let taken = rest
            .get(..count)
            .ok_or_else(|| format!("a pickle that ends after {} bytes", self.bytes.len()))?;
        self.position += count;
        Ok(taken)
    }

    /// An unsigned little-endian number of `count` bytes, up to eight.
    fn unsigned(&mut self, count: usize) -> Result<u64, String> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn length(&mut self, count: usize) -> Result<usize, String> {
        let length = self.unsigned(count)?;
        usize::try_from(length).map_err(|_| format!("a string of {length} bytes"))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or("a line without an end")? + 1)?;
        std::str::from_utf8(&line[..line.len() - 1]).map_err(|_| "a line that is no text".into())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn push_text(&mut self, bytes: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "a string that is no text")?;
        self.push(Node::Text(text.to_owned()));
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) {
        self.push(Node::Global(format!("{module}.{name}")));
    }

    /// A number written out in digits; what does not fit 64 bits stays as it is written.
    fn push_digits(&mut self) -> Result<(), String> {
        let line = self.line()?;
        let digits = line.strip_suffix('L').unwrap_or(line);
        let node = match (line, digits.parse()) {
            ("00", _) => Node::Bool(false),
            ("01", _) => Node::Bool(true),
            (_, Ok(value)) => Node::Int(value),
            (_, Err(_)) => Node::Text(digits.to_owned()),
        };
        self.push(node);
        Ok(())
    }

    /// The number of a memo entry, written out in digits.
    fn key(&mut self) -> Result<u64, String> {
        let line = self.line()?;
        line.parse()
            .map_err(|_| "a memo entry without a number".into())
    }

    fn pop(&mut self) -> Result<Index, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a pickle that takes more than it put".into());
        }
        // The stack is not empty, by the line above.
        self.stack.pop().ok_or_else(String::new)
    }

    fn top(&mut self) -> Result<Index, String> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    /// Everything above the last mark.
    fn since_mark(&mut self) -> Result<Vec<Index>, String> {
        let mark = self.marks.pop().ok_or("a pickle without a mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items));
        Ok(())
    }

    fn append(&mut self, items: Vec<Index>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.nodes[list] {
            Node::List(list) => list.extend(items),
            // Appended to an object that is carried along unread.
            Node::Call(..) => {}
            _ => return Err("a pickle that appends to what is no list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Index]) -> Result<(), String> {
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".into());
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        match &mut self.nodes[target] {
            Node::Dict(dict) => dict.extend(pairs),
            Node::Call(..) => self.given.entry(target).or_default().pairs.extend(pairs),
            _ => return Err("a pickle that sets items of what is no dictionary".into()),
        }
        Ok(())
    }

    fn call(&mut self, function: Index, arguments: Index) {
        let ordered = matches!(&self.nodes[function], Node::Global(name)
            if name == "collections.OrderedDict");
        // An ordered dictionary starts empty and is filled afterwards, or starts from a list of pairs.
        let start = |machine: &Self| -> Option<Vec<(Index, Index)>> {
            let items = |index: Index| match &machine.nodes[index] {
                Node::Tuple(items) | Node::List(items) => Some(items.as_slice()),
                _ => None,
            };
            match items(arguments)? {
                [] => Some(Vec::new()),
                [list] => {
                    let pairs = items(*list)?.iter().map(|&pair| match items(pair)? {
                        [key, value] => Some((*key, *value)),
                        _ => None,
                    });
                    pairs.collect()
                }
                _ => None,
            }
        };
        let pairs = if ordered { start(self) } else { None };
        self.push(match pairs {
            Some(pairs) => Node::Dict(pairs),
            None => Node::Call(function, arguments),
        });
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let index = self
            .memo
            .get(&key)
            .ok_or("a memo that nothing was put in")?;
        self.stack.push(*index);
        Ok(())
    }

    fn memorise(&mut self, key: u64) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn long(&mut self, count: usize) -> Result<(), String> {
        let bytes = self.take(count)?.to_vec();
        if bytes.len() > 8 {
            self.push(Node::Bytes(bytes));
            return Ok(());
        }
        // Two's complement of as many bytes as it takes.
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(&bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn run(&mut self) -> Result<Index, String> {
        loop {
            let held = [self.nodes.len(), self.stack.len(), self.marks.len()];
            if held.iter().sum::<usize>() + self.memo.len() > VALUES {
                return Err(format!("a pickle of more than {VALUES} values"));
            }
            let opcode = self.take(1)?[0];
            match opcode {
                // PROTO
                0x80 => {
                    let protocol = self.unsigned(1)?;
                    if protocol > 5 {
                        return Err(format!("a pickle of protocol {protocol}"));
                    }
                }
                // FRAME
                0x95 => {
                    self.take(8)?;
                }
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.since_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'J' => {
                    let value = self.unsigned(4)? as u32 as i32;
                    self.push(Node::Int(value.into()));
                }
                b'K' => {
                    let value = self.unsigned(1)? as i64;
                    self.push(Node::Int(value));
                }
                b'M' => {
                    let value = self.unsigned(2)? as i64;
                    self.push(Node::Int(value));
                }
                // LONG1, LONG4
                0x8a => {
                    let count = self.length(1)?;
                    self.long(count)?;
                }
                0x8b => {
                    let count = self.length(4)?;
                    self.long(count)?;
                }
                b'G' => {
                    // Big-endian, unlike everything else.
                    let bits = self.unsigned(8)?.swap_bytes();
                    self.push(Node::Float(f64::from_bits(bits)));
                }
                // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8; BINSTRING and SHORT_BINSTRING of Python 2.
                b'X' | b'T' => {
                    let count = self.length(4)?;
                    let text = self.take(count)?;
                    self.push_text(text)?;
                }
                0x8c | b'U' => {
                    let count = self.length(1)?;
                    let text = self.take(count)?;
                    self.push_text(text)?;
                }
                0x8d => {
                    let count = self.length(8)?;
                    let text = self.take(count)?;
                    self.push_text(text)?;
                }
                // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
                b'B' | b'C' | 0x8e | 0x96 => {
                    let count = self.length(match opcode {
                        b'B' => 4,
                        b'C' => 1,
                        _ => 8,
                    })?;
                    let bytes = self.take(count)?.to_vec();
                    self.push(Node::Bytes(bytes));
                }
                b')' => self.push(Node::Tuple(Vec::new())),
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Node::Tuple(items));
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b']' => self.push(Node::List(Vec::new())),
                // EMPTY_SET
                0x8f => self.push(Node::List(Vec::new())),
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                // APPENDS, ADDITEMS
                b'e' | 0x90 => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push(Node::Dict(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set_items(&items)?;
                }
                // What protocols 0 and 1 write out: INT and LONG, FLOAT, UNICODE, PUT, GET, LIST, DICT.
                b'I' | b'L' => self.push_digits()?,
                b'F' => {
                    let value = self.line()?.parse();
                    let value = value.map_err(|_| "a number that is none")?;
                    self.push(Node::Float(value));
                }
                b'V' => {
                    let text = self.line()?;
                    if text.contains('\\') {
                        return Err("a string with escapes".into());
                    }
                    self.push(Node::Text(text.to_owned()));
                }
                b'p' => {
                    let key = self.key()?;
                    self.memorise(key)?;
                }
                b'g' => {
                    let key = self.key()?;
                    self.recall(key)?;
                }
                b'l' => {
                    let items = self.since_mark()?;
                    self.push(Node::List(items));
                }
                b'd' => {
                    let items = self.since_mark()?;
                    self.push(Node::Dict(Vec::new()));
                    self.set_items(&items)?;
                }
                // FROZENSET
                0x91 => {
                    let items = self.since_mark()?;
                    self.push(Node::List(items));
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_global(module, name);
                }
                // STACK_GLOBAL
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |index: Index| match &self.nodes[index] {
                        Node::Text(text) => Ok(text.clone()),
                        _ => Err("a class without a name"),
                    };
                    let (module, name) = (text(module)?, text(name)?);
                    self.push_global(&module, &name);
                }
                // REDUCE, NEWOBJ
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments);
                }
                // NEWOBJ_EX: with arguments by name, which nothing here needs
                0x92 => {
                    let (_named, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(class, arguments);
                }
                // BUILD: the attributes of an object
                b'b' => {
                    let (state, object) = (self.pop()?, self.top()?);
                    self.given.entry(object).or_default().state = Some(state);
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Node::Persistent(id));
                }
                b'q' => {
                    let key = self.unsigned(1)?;
                    self.memorise(key)?;
                }
                b'r' => {
                    let key = self.unsigned(4)?;
                    self.memorise(key)?;
                }
                // MEMOIZE
                0x94 => {
                    let key = self.memo.len() as u64;
                    self.memorise(key)?;
                }
                b'h' => {
                    let key = self.unsigned(1)?;
                    self.recall(key)?;
                }
                b'j' => {
                    let key = self.unsigned(4)?;
                    self.recall(key)?;
                }
                // PERSID: there, what storages are is written as Python would print it.
                b'P' => return Err("a pickle of protocol 0".into()),
                other => return Err(format!("a pickle with the instruction {other:#04x}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_texts_are_those_python_wrote() {
        // pickle.dumps((1, -2, 300, 70000, 2**40, 0.5, "ä", b"x", True, None, [1], {"a": 2}), 2)
        let bytes = b"\x80\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\
            \x00\x01G?\xe0\x00\x00\x00\x00\x00\x00X\x02\x00\x00\x00\xc3\xa4q\x00C\x01x\x88N]q\x02K\
            \x01a}q\x03X\x01\x00\x00\x00aq\x04K\x02stq\x05.trailing";
        let (pickle, length) = Pickle::read(bytes).unwrap();
        assert_eq!(length, bytes.len() - "trailing".len());
        let items = pickle.sequence(pickle.root).unwrap();
        let node = |i: usize| pickle.nodes[items[i]].clone();
        for (i, n) in [1, -2, 300, 70000, 1 << 40].into_iter().enumerate() {
            assert_eq!(node(i), Node::Int(n));
        }
        assert_eq!(node(5), Node::Float(0.5));
        assert_eq!(node(6), Node::Text("ä".into()));
        assert_eq!(node(7), Node::Bytes(b"x".to_vec()));
        assert_eq!(node(8), Node::Bool(true));
        assert_eq!(node(9), Node::None);
        assert_eq!(pickle.sequence(items[10]).unwrap().len(), 1);
        let (key, value) = pickle.pairs(items[11]).unwrap()[0];
        assert_eq!(
            (pickle.text(key), pickle.integer(value)),
            (Some("a"), Some(2))
        );
    }

    #[test]
    fn a_call_is_a_name_with_arguments_and_is_listed() {
        for bytes in [
            &b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."[..],
            &b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R."[..],
        ] {
            let (pickle, _) = Pickle::read(bytes).unwrap();
            let (name, arguments) = pickle.call(pickle.root).unwrap();
            assert_eq!(name, "posix.system");
            assert_eq!(pickle.text(arguments[0]), Some("ls"));
            assert_eq!(Vec::from_iter(pickle.foreign()), ["posix.system"]);
        }
    }

    #[test]
    fn protocols_without_a_number_give_the_same_values() {
        // pickle.dumps({"a": [1, True, 0.5]}, 0)
        let text = b"(dp0\nVa\np1\n(lp2\nI1\naI01\naF0.5\nas.";
        let (pickle, length) = Pickle::read(text).unwrap();
        assert_eq!(length, text.len());
        let list = pickle.value(pickle.root, "a").unwrap();
        let items = pickle.sequence(list).unwrap();
        let found: Vec<&Node> = items.iter().map(|&item| &pickle.nodes[item]).collect();
        assert_eq!(found, [&Node::Int(1), &Node::Bool(true), &Node::Float(0.5)]);
    }

    #[test]
    fn objects_that_are_filled_like_dictionaries_have_pairs_and_attributes() {
        // class D(dict): pass; d = D(a=1); d.x = 2; pickle.dumps(d, 2)
        let bytes = b"\x80\x02c__main__\nD\nq\x00)\x81q\x01X\x01\x00\x00\x00aq\x02K\x01s}q\x03X\x01\x00\x00\x00x\
            q\x04K\x02sb.";
        let (pickle, _) = Pickle::read(bytes).unwrap();
        let integer = |index: Option<Index>| pickle.integer(index.unwrap());
        assert_eq!(integer(pickle.value(pickle.root, "a")), Some(1));
        let state = pickle.state(pickle.root).unwrap();
        assert_eq!(integer(pickle.value(state, "x")), Some(2));
    }

    #[test]
    fn a_value_of_every_byte_is_refused() {
        for opcode in [b'N', b'('] {
            let mut bytes = b"\x80\x02N".to_vec();
            bytes.extend(std::iter::repeat_n(opcode, VALUES + 1));
            let error = Pickle::read(&bytes).unwrap_err();
            assert!(error.contains("more than 4000000 values"), "{error}");
        }
    }

    #[test]
    fn a_value_nested_a_million_deep_is_only_a_long_one() {
        let mut bytes = b"\x80\x02N".to_vec();
        bytes.extend(std::iter::repeat_n(0x85, 1_000_000));
        bytes.push(b'.');
        assert_eq!(Pickle::read(&bytes).unwrap().0.nodes.len(), 1_000_001);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_reading_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pickle::read(&bytes);
            let _ = Pickle::read(&[b"\x80\x02", &bytes[..]].concat());
        }
    }
}
