//! Uses manytask as a library from outside its workspace.

use manytask_meta as _;

fn main() {
    println!("linked with manytask-meta");
}
