//! The modules of a source file, and the paths in them.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A module of a file, without its tests.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Where it is in the crate.
    pub(super) path: Vec<String>,
    /// The modules below it that are in files of their own.
    pub(super) children: Vec<String>,
    /// What it brings into scope.
    pub(super) uses: Vec<Use>,
    /// Paths of two names or more in its code.
    pub(super) paths: Vec<Mention>,
    /// The modules below it that are in the same file.
    inline: Vec<(String, TokenStream)>,
}

/// A path, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// A path that a `use` declaration brings into scope.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) mention: Mention,
    /// Under which name; `None`: all names behind it.
    pub(super) name: Option<String>,
}

/// The modules of a file: that at `path` of its crate, and those inline.
pub(super) fn modules(text: &str, path: &[String]) -> Result<Vec<Module>> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut open = vec![(path.to_vec(), tokens)];
    let mut all = Vec::new();
    while let Some((path, tokens)) = open.pop() {
        let mut module = Module { path, ..Module::default() };
        module.read(tokens);
        open.extend(module.inline.drain(..).map(|(name, tokens)| (below(&module.path, &name), tokens)));
        all.push(module);
    }
    Ok(all)
}

/// The path of a module in another.
pub(super) fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().map(String::as_str).chain([name]).map(str::to_owned).collect()
}

impl Module {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [first, after @ ..] = rest {
            rest = match first {
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    after
                }
                TokenTree::Ident(word) if word == "pub" => behind_scope(after),
                TokenTree::Ident(word) if word == "use" => self.declare(after),
                TokenTree::Ident(word) if word == "mod" => self.enter(after),
                TokenTree::Ident(word) => self.mention(word, after),
                _ if starts(rest, "#") && is_test(after) => behind_item(after),
                // A range, and not a field.
                _ if starts(rest, "..") => rest.get(2..).unwrap_or_default(),
                _ if starts(rest, ".") => behind_name(after),
                _ if starts(rest, "::") => behind_name(rest.get(2..).unwrap_or_default()),
                _ => after,
            };
        }
    }

    /// A module, of which the name comes next.
    fn enter<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        match tokens {
            [TokenTree::Ident(name), TokenTree::Group(body), rest @ ..] => {
                self.inline.push((name.to_string(), body.stream()));
                rest
            }
            [TokenTree::Ident(name), rest @ ..] => {
                self.children.push(name.to_string());
                rest
            }
            _ => tokens,
        }
    }

    /// A path in code.
    fn mention<'t>(&mut self, first: &Ident, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let (mut path, mut rest) = (vec![first.to_string()], tokens);
        while starts(rest, "::") {
            let Some([TokenTree::Ident(name), after @ ..]) = rest.get(2..) else { break };
            path.push(name.to_string());
            rest = after;
        }
        if path.len() > 1 {
            self.paths.push(Mention { path, line: first.span().start().line });
        }
        rest
    }

    /// A `use` declaration, to its end.
    fn declare<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let end = tokens.iter().position(|token| is_mark(token, ';')).unwrap_or(tokens.len());
        let (tree, rest) = tokens.split_at(end);
        self.bring(tree, &[]);
        rest
    }

    /// What the branches of a tree of paths behind `stem` bring into scope.
    fn bring(&mut self, tree: &[TokenTree], stem: &[String]) {
        for branch in tree.split(|token| is_mark(token, ',')) {
            let (mut path, mut name, mut line) = (stem.to_vec(), None, 0);
            for token in branch {
                match token {
                    TokenTree::Ident(word) if word == "as" => name = Some(String::new()),
                    TokenTree::Ident(word) if name.is_some() => name = Some(word.to_string()),
                    TokenTree::Ident(word) => {
                        line = word.span().start().line;
                        // As one of several behind a module it is the module.
                        if word != "self" || path.is_empty() {
                            path.push(word.to_string());
                        }
                    }
                    TokenTree::Group(group) => {
                        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.bring(&tokens, &path);
                        line = 0;
                    }
                    _ => {}
                }
            }
            if line > 0 {
                let all = branch.last().is_some_and(|token| is_mark(token, '*'));
                let name = name.or_else(|| path.last().cloned()).filter(|_| !all);
                self.uses.push(Use { mention: Mention { path, line }, name });
            }
        }
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == mark)
}

fn starts(tokens: &[TokenTree], marks: &str) -> bool {
    let mut tokens = tokens.iter();
    marks.chars().all(|mark| tokens.next().is_some_and(|token| is_mark(token, mark)))
}

/// Whether an attribute in brackets says that what follows is for tests alone.
fn is_test(tokens: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(attribute)) = tokens.first() else { return false };
    let attribute: Vec<TokenTree> = attribute.stream().into_iter().collect();
    matches!(attribute.as_slice(), [TokenTree::Ident(cfg), TokenTree::Group(what)]
        if cfg == "cfg" && what.stream().to_string() == "test")
}

/// What comes behind an item: it ends with a semicolon or a body.
fn behind_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let ends = |token: &TokenTree| {
        is_mark(token, ';') || matches!(token, TokenTree::Group(body) if body.delimiter() == Delimiter::Brace)
    };
    let end = tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1);
    tokens.get(end..).unwrap_or_default()
}

fn behind_name(tokens: &[TokenTree]) -> &[TokenTree] {
    match tokens {
        [TokenTree::Ident(_), rest @ ..] => rest,
        _ => tokens,
    }
}

/// What comes behind `pub` and the module in brackets that it may be limited to.
fn behind_scope(tokens: &[TokenTree]) -> &[TokenTree] {
    let is_scope = |group: &Group| {
        let first = group.stream().into_iter().next();
        matches!(first, Some(TokenTree::Ident(word))
            if ["crate", "super", "self", "in"].contains(&word.to_string().as_str()))
    };
    match tokens {
        [TokenTree::Group(group), rest @ ..] if is_scope(group) => rest,
        _ => tokens,
    }
}
