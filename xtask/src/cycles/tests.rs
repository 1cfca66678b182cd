use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::repo::Repository;

/// A crate of these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    folder
}

fn checked(files: &[(&str, &str)]) -> Result<()> {
    let folder = tree(files);
    let target = json!({ "kind": ["lib"], "src_path": folder.path().join("lib.rs") });
    check(&json!({ "packages": [{ "targets": [target] }] }), folder.path())
}

fn message(files: &[(&str, &str)]) -> String {
    checked(files).unwrap_err().to_string()
}

#[test]
fn this_workspace_has_none() {
    let repo = Repository::locate().unwrap();
    if let Err(error) = check(&repo.metadata().unwrap(), repo.root()) {
        panic!("{error}");
    }
}

#[test]
fn libraries_and_programs_are_looked_at() {
    let metadata = Repository::locate().unwrap().metadata().unwrap();
    let found = targets(&metadata).unwrap();
    for file in ["manytask-meta/src/lib.rs", "manytask-runner/src/main.rs", "xtask/src/main.rs"] {
        assert!(found.iter().any(|found| found.ends_with(file)), "{file}");
    }
    assert!(found.iter().all(|found| !found.ends_with("tests/it/main.rs")));
}

#[test]
fn a_cycle_is_told_with_its_imports() {
    let text = message(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        ("a.rs", "//! First.\n\nuse crate::b::B;\n\npub(crate) struct A(B);"),
        ("b.rs", "pub(crate) struct B;\n\nfn f() {\n    println!(\"{}\", super::c::g());\n}"),
        ("c.rs", "use crate::a::{self as first, A};\n\npub(crate) fn g() -> usize { size_of::<A>() }"),
    ]);
    assert_eq!(
        text,
        "modules that import each other:\n  \
           a.rs:3 imports `crate::b::B` of b.rs\n  \
           b.rs:4 imports `super::c::g` of c.rs\n  \
           c.rs:1 imports `crate::a` of a.rs"
    );
}

#[test]
fn imports_in_one_direction_pass() {
    checked(&[
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use std::fmt;"),
        ("a.rs", "use std::b::B;\nuse crate::b::{B, c::C};\nuse crate::fmt::Debug;\npub struct A(B, C);"),
        ("b.rs", "pub(crate) mod c;\npub(crate) struct B { a: u8 }\nimpl B { fn f(&self) -> u8 { self.a } }"),
        ("b/c.rs", "pub(in crate::b) fn f() {}\npub(crate) struct C;"),
    ])
    .unwrap();
}

#[test]
fn re_exports_are_followed_to_what_defines_the_item() {
    let lib = ("lib.rs", "mod group;\nmod other;\nmod user;\npub use group::Deep as Shallow;");
    let group = ("group.rs", "mod deep;\nmod flat;\npub use self::deep::Deep;\npub use flat::Flat;");
    let user = ("user.rs", "use crate::Shallow;\npub(crate) struct User(Shallow);");
    let deep = ("group/deep.rs", "use super::Flat;\npub struct Deep(Flat, crate::other::User);");
    let other = ("other.rs", "pub(crate) use crate::user::User;");
    let flat = ("group/flat.rs", "pub struct Flat;");
    let text = message(&[lib, group, user, deep, other, flat]);
    assert_eq!(
        text,
        "modules that import each other:\n  \
           group/deep.rs:2 imports `crate::other::User` of user.rs\n  \
           user.rs:1 imports `crate::Shallow` of group/deep.rs"
    );
    // What one has of the other's neighbour is no cycle with it.
    checked(&[lib, group, user, ("group/deep.rs", "use super::Flat;\npub struct Deep(Flat);"), other, flat])
        .unwrap();
}

#[test]
fn a_module_and_those_below_it_are_one() {
    let lib = ("lib.rs", "mod a;\nmod b;");
    let a = ("a.rs", "mod x;\nmod y;\npub(crate) struct A(x::X);");
    let x = ("a/x.rs", "pub(super) struct X(Option<Box<super::A>>);");
    checked(&[lib, a, x, ("a/y.rs", "use crate::b::B;"), ("b.rs", "pub(crate) struct B;")]).unwrap();
    let text =
        message(&[lib, a, x, ("a/y.rs", "use crate::b::B;"), ("b.rs", "pub(crate) struct B(crate::a::A);")]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("a/y.rs:1 imports `crate::b::B` of b.rs"), "{text}");
    let text = message(&[
        lib,
        a,
        ("a/x.rs", "use super::y::Y;\npub(super) struct X(Y);"),
        ("a/y.rs", "mod inline {\n    use super::super::x::X;\n}\npub(super) struct Y;"),
        ("b.rs", ""),
    ]);
    assert!(text.contains("a/y.rs:2 imports `super::super::x::X` of a/x.rs"), "{text}");
}

#[test]
fn tests_and_texts_do_not_count() {
    let a = "use crate::b::B;\npub(crate) struct A(B);";
    let b = "//! As [`A`](crate::a::A).\n\
        #[cfg(test)]\nuse crate::a::{A, C};\n\
        #[cfg(test)]\nmod elsewhere;\n\
        pub(crate) struct B; // crate::a::A\n\
        const TEXT: &str = \"crate::a::A\";\n\
        #[cfg(test)]\n#[expect(unused)]\nmod tests { use crate::a::A; }\n";
    let files = |b| [("lib.rs", "mod a;\nmod b;"), ("a.rs", a), ("b.rs", b)];
    checked(&files(b)).unwrap();
    let counted = format!("{b}use crate::a::A;\n");
    assert!(message(&files(&counted)).contains("b.rs:11 imports `crate::a::A` of a.rs"));
    assert!(message(&files("#[cfg(not(test))]\nuse crate::a::A;\npub struct B;")).contains("b.rs:2"));
}

#[test]
fn a_file_that_is_no_rust_is_named() {
    assert!(
        format!("{:#}", checked(&[("lib.rs", "mod a;"), ("a.rs", "fn (")]).unwrap_err()).contains("a.rs")
    );
}
