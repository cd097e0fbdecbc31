//! Prefix codes of every kind, and their storage in a stream.

use super::{Stream, VALUES};

/// A prefix code: the length of each symbol's word (0 for none), the words, and the symbols that have one.
pub(super) struct Code {
    lengths: Vec<u32>,
    words: Vec<u32>,
    pub(super) used: Vec<u32>,
}

impl Code {
    pub(super) fn new(lengths: Vec<u32>) -> Self {
        let mut used: Vec<u32> =
            (0..).zip(&lengths).filter(|(_, length)| **length > 0).map(|it| it.0).collect();
        used.sort_by_key(|&symbol| lengths[symbol as usize]);
        let (mut words, mut word, mut last) = (vec![0; lengths.len()], 0, 0);
        for &symbol in &used {
            let length = lengths[symbol as usize];
            word <<= length - last;
            words[symbol as usize] = word;
            (word, last) = (word + 1, length);
        }
        used.sort_unstable();
        Self { lengths, words, used }
    }
}

impl Stream {
    /// Writes a symbol. If it is the only one of the code, it takes no bits.
    pub(super) fn put_symbol(&mut self, code: &Code, symbol: u32) {
        if code.used.len() > 1 {
            let length = code.lengths[symbol as usize];
            self.put(code.words[symbol as usize].reverse_bits() >> (32 - length), length);
        }
    }

    /// A random code of some of the allowed symbols below `symbols`, at least one of which is a value.
    pub(super) fn code(&mut self, symbols: u32, allowed: impl Fn(u32) -> bool) -> Code {
        let symbols: Vec<u32> = (0..symbols).filter(|&symbol| allowed(symbol)).collect();
        let wanted = match self.below(5) {
            0 => 1,
            1 => 2,
            2 => 1 + self.below(20),
            _ => 1 + self.below(symbols.len() as u32),
        };
        let first = self.below((symbols.len() as u32).min(VALUES));
        let mut used = vec![symbols[first as usize]];
        for _ in 1..wanted {
            used.push(self.one_of(&symbols));
        }
        used.sort_unstable();
        used.dedup();
        // Random words are split until there are enough; half of the time one of them is preferred, which gives a deep
        // tree.
        let (mut lengths, deep) = (vec![0], self.below(2) == 0);
        while lengths.len() < used.len() {
            let place =
                if deep && lengths.len() < 15 { 0 } else { self.below(lengths.len() as u32) as usize };
            if lengths[place] < 15 {
                lengths[place] += 1;
                lengths.push(lengths[place]);
            }
        }
        let mut all = vec![0; *symbols.last().unwrap_or(&0) as usize + 1];
        for (&symbol, &length) in used.iter().zip(&lengths) {
            // The only word may have any length.
            all[symbol as usize] = if used.len() == 1 { 1 + symbol % 15 } else { length };
        }
        Code::new(all)
    }

    /// Writes the lengths of a code: in the simple form if that is possible, but sometimes in the normal form
    /// nevertheless.
    pub(super) fn put_code(&mut self, code: &Code) {
        let used = &code.used;
        if used.len() <= 2 && used.iter().all(|&symbol| symbol < 256) && self.below(4) > 0 {
            self.put(1, 1);
            self.put(used.len() as u32 - 1, 1);
            let bits = if used[0] < 2 && self.below(2) == 0 { 1 } else { 8 };
            self.put(u32::from(bits == 8), 1);
            self.put(used[0], bits);
            used[1..].iter().for_each(|&second| self.put(second, 8));
            return;
        }
        self.put(0, 1);
        // Every length and every kind of repetition has a word: 13 of four bits and 6 of five bits form a complete
        // code.
        let lengths = Code::new((0..19).map(|symbol| if symbol < 13 { 4 } else { 5 }).collect());
        self.put(15, 4);
        for symbol in [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15_usize] {
            self.put(lengths.lengths[symbol], 3);
        }
        let steps = self.steps(&code.lengths);
        // The number of steps may be stated if the last symbols of the alphabet have no words.
        let bits = (0..8).find(|bits| steps.len() - 2 < 1 << (2 + 2 * bits)).unwrap_or(7);
        self.put(1, 1);
        self.put(bits, 3);
        self.put(steps.len() as u32 - 2, 2 + 2 * bits);
        for (symbol, more, bits) in steps {
            self.put_symbol(&lengths, symbol);
            self.put(more, bits);
        }
    }

    /// The stored form of the lengths: for each step, a length or a kind of repetition, the count, and the count's
    /// bits. There are at least two steps.
    fn steps(&mut self, lengths: &[u32]) -> Vec<(u32, u32, u32)> {
        let (mut steps, mut at, mut last) = (Vec::new(), 0, 8);
        while at < lengths.len() {
            let value = lengths[at];
            let run = lengths[at..].iter().take_while(|&&next| next == value).count() as u32;
            let repeats = self.below(4) > 0;
            let (step, count) = match value {
                0 if repeats && run >= 11 => ((18, run.min(138) - 11, 7), run.min(138)),
                0 if repeats && run >= 3 => ((17, run.min(10) - 3, 3), run.min(10)),
                _ if repeats && run >= 3 && value == last => ((16, run.min(6) - 3, 2), run.min(6)),
                _ => ((value, 0, 0), 1),
            };
            last = if value > 0 { value } else { last };
            steps.push(step);
            at += count as usize;
        }
        while steps.len() < 2 {
            steps.push((0, 0, 0));
        }
        steps
    }
}
