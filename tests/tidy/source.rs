//! Just enough of Rust's lexical rules to tell code from comments and literals.

/// The source with every comment and literal replaced by spaces; lines and columns stay where they
/// are (columns in characters). What is left can be searched for names and braces.
pub(crate) fn code_only(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_end(&characters, at);
        if end == at {
            code.push(characters[at]);
            at += 1;
            continue;
        }
        code.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Where `word` stands in `line` as a whole word: not a part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// The number of the line (from 1) on which the tests inside the file begin; the number after the
/// last line if it has none. `mod tests;` does not count, the tests are in another file then.
pub(crate) fn tests_begin(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let begins = (0..lines.len()).find(|&at| {
        let next = lines[at + 1..].iter().map(|line| line.trim()).find(|line| !line.is_empty());
        lines[at].trim() == "#[cfg(test)]"
            && next.is_some_and(|line| line.starts_with("mod tests") && line.ends_with('{'))
    });
    begins.unwrap_or(lines.len()) + 1
}

/// A function with a body: the line of its `fn`, its name, and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) lines: usize,
}

/// All functions in code that went through [`code_only`], nested ones included.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let characters: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    for at in 0..characters.len() {
        if characters[at] == '\n' {
            line += 1;
        }
        let Some(name) = name_of_function(&characters, at) else { continue };
        if let Some(end) = end_of_body(&characters, at) {
            let lines = characters[at..end].iter().filter(|&&c| c == '\n').count() + 1;
            found.push(Function { line, name, lines });
        }
    }
    found
}

fn name_of_function(characters: &[char], at: usize) -> Option<String> {
    let starts_word = at == 0 || !is_name(characters[at - 1]);
    if !starts_word || !characters[at..].starts_with(&['f', 'n', ' ']) {
        return None;
    }
    let name: String = characters[at + 3..]
        .iter()
        .skip_while(|c| **c == ' ')
        .take_while(|c| is_name(**c))
        .collect();
    // `fn(u8)` is a type.
    (!name.is_empty()).then_some(name)
}

/// The place after the closing brace; `None` for a function without a body. Array types may hold a
/// `;` before the body, so one ends the search only outside brackets.
fn end_of_body(characters: &[char], at: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (offset, &c) in characters[at..].iter().enumerate() {
        match c {
            '(' | '[' if braces == 0 => others += 1,
            ')' | ']' if braces == 0 => others = others.saturating_sub(1),
            ';' if braces == 0 && others == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && others == 0 {
                    return Some(at + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The end of the comment or literal that starts at `at`, or `at` when none does.
fn literal_end(characters: &[char], at: usize) -> usize {
    let rest = &characters[at..];
    if rest.starts_with(&['/', '/']) {
        return at + rest.iter().position(|&c| c == '\n').unwrap_or(rest.len());
    }
    if rest.starts_with(&['/', '*']) {
        return at + block_comment_length(rest);
    }
    let follows_name = at > 0 && is_name(characters[at - 1]);
    let prefix = if follows_name { 0 } else { prefix_length(rest) };
    let (is_raw, quoted) = (rest[..prefix].contains(&'r'), &rest[prefix..]);
    match quoted.first() {
        Some('#' | '"') if is_raw => at + prefix + raw_string_length(quoted),
        Some('"') => at + prefix + quoted_length(quoted, '"'),
        Some('\'') if is_character(quoted) => at + prefix + quoted_length(quoted, '\''),
        _ => at,
    }
}

/// The length of `b`, `c`, `r`, `br` or `cr` when a quote (or the hashes of a raw string) follows;
/// 0 otherwise.
fn prefix_length(rest: &[char]) -> usize {
    let length = rest.iter().take(2).take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let hashes = rest[length..].iter().take_while(|c| **c == '#').count();
    let is_raw = rest[..length].contains(&'r');
    match rest.get(length + hashes) {
        Some('"') if hashes == 0 || is_raw => length,
        Some('\'') if hashes == 0 && rest[..length] == ['b'] => length,
        _ => 0,
    }
}

/// A character literal, not a lifetime.
fn is_character(rest: &[char]) -> bool {
    match rest.get(1) {
        Some('\\') => true,
        Some(_) => rest.get(2) == Some(&'\''),
        None => false,
    }
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[char]) -> usize {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    let closes = |at: usize| {
        rest[at] == '"'
            && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (hashes + 1..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes)
}

/// Block comments nest.
fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_and_literals_vanish_and_lines_stay() {
    let source =
        "a /* x /* y */ z */ b // c\n\"d { \\\" e\" f r#\"g \" h\"# 'i' '\\'' &'life b'j' b\"k\"\n";
    let code = code_only(source);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "f", "&'life"]);
    assert_eq!(code.chars().count(), source.chars().count());
    assert_eq!(code.lines().count(), 2);
    assert_eq!(code_only("number\"text\""), "number      ");
    assert_eq!(code_only("br##\"a\"# b\"## c"), "              c");
    assert_eq!(code_only("r#type"), "r#type");
}

#[test]
fn functions_are_measured() {
    let code = code_only(
        "trait A {\n    fn no_body(x: [u8; 2]);\n}\nfn one() { let f: fn(u8) = g; }\n\
         fn three(\n    a: u8,\n) -> u8 { match a { _ => 1 } }\n",
    );
    let found: Vec<_> = functions(&code).into_iter().map(|f| (f.line, f.name, f.lines)).collect();
    assert_eq!(found, [(4, "one".to_owned(), 1), (5, "three".to_owned(), 3)]);
}

#[test]
fn tests_inside_a_file_are_found() {
    assert_eq!(tests_begin("a\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(tests_begin("a\n#[cfg(test)]\nmod tests;\n"), 4);
    assert_eq!(tests_begin("a\n"), 2);
}

#[test]
fn words_are_whole() {
    assert!(has_word("use tokio::net;", "tokio"));
    assert!(has_word("std::time::Instant", "std::time"));
    assert!(!has_word("relay_tokio::x", "tokio"));
    assert!(!has_word("std::timely", "std::time"));
}
