//! Pickles read as data. Nothing is executed: a class or function is a name that is on a list, and
//! calling one makes a node that says so. What is on no list is refused by name.
//!
//! Covers the opcodes that Python's `pickle` writes in protocols 2 to 5 and PyTorch uses
//! (`pickletools` in the Python documentation describes each).

use std::collections::HashMap;

/// Classes and functions that a checkpoint may name. The tensors are made of the first few; the
/// others occur in entries beside them, such as arguments and scores, and are carried along unread.
const ALLOWED: [&str; 31] = [
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
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
    "torch.float32",
    "torch.float64",
    "torch.float16",
    "torch.bfloat16",
    "torch.int64",
    "argparse.Namespace",
    "collections.defaultdict",
    "collections.Counter",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "builtins.set",
    "__builtin__.set",
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

/// A pickle's values; the last of its instructions returned `root`.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Index,
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
        };
        let root = machine.run()?;
        let pickle = Self {
            nodes: machine.nodes,
            root,
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

    /// The pairs of a dictionary, ordered or not.
    pub(super) fn pairs(&self, index: Index) -> Option<&[(Index, Index)]> {
        match &self.nodes[index] {
            Node::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// A call of `function`, as its arguments.
    pub(super) fn call(&self, index: Index) -> Option<(&str, &[Index])> {
        let Node::Call(function, arguments) = self.nodes[index] else {
            return None;
        };
        let Node::Global(name) = &self.nodes[function] else {
            return None;
        };
        Some((name, self.sequence(arguments)?))
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node>,
    stack: Vec<Index>,
    marks: Vec<usize>,
    memo: HashMap<u64, Index>,
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

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let name = format!("{module}.{name}");
        if !ALLOWED.contains(&name.as_str()) {
            return Err(format!("a pickle that calls for {name}"));
        }
        self.push(Node::Global(name));
        Ok(())
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
        match &mut self.nodes[target] {
            Node::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Node::Call(..) => {}
            _ => return Err("a pickle that sets items of what is no dictionary".into()),
        }
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Node::Global(name) = &self.nodes[function] else {
            return Err("a pickle that calls what is no function".into());
        };
        // An ordered dictionary starts empty and is filled afterwards.
        let empty = matches!(&self.nodes[arguments], Node::Tuple(a) if a.is_empty());
        if name == "collections.OrderedDict" && empty {
            self.push(Node::Dict(Vec::new()));
        } else {
            self.push(Node::Call(function, arguments));
        }
        Ok(())
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
            let opcode = self.take(1)?[0];
            match opcode {
                // PROTO
                0x80 => {
                    let protocol = self.unsigned(1)?;
                    if !(2..=5).contains(&protocol) {
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
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_global(module, name)?;
                }
                // STACK_GLOBAL
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |index: Index| match &self.nodes[index] {
                        Node::Text(text) => Ok(text.clone()),
                        _ => Err("a class without a name"),
                    };
                    let (module, name) = (text(module)?, text(name)?);
                    self.push_global(&module, &name)?;
                }
                // REDUCE, NEWOBJ
                b'R' | 0x81 => self.call()?,
                b'b' => {
                    // State for an object: an attribute of a dictionary, or of what is not read.
                    self.pop()?;
                    self.top()?;
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
    fn a_call_of_what_is_on_no_list_is_refused_by_name() {
        for bytes in [
            &b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."[..],
            &b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R."[..],
        ] {
            let error = Pickle::read(bytes).unwrap_err();
            assert!(error.contains("posix.system"), "{error}");
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
