//! How much memory there is.

/// The memory in bytes that this process can have: what the system has free, its control group and its own limit allow.
/// `None` where the system does not say. Reads some small files of `/proc` and `/sys`, some 0.1 ms.
///
/// ```
/// if let Some(free) = manytask_tensor::memory::free() {
///     assert!(free >= 0.0);
/// }
/// ```
pub fn free() -> Option<f64> {
    let read = |path: &str| fs_err::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| kilobytes(&text, "MemAvailable:"));
    let used = read("/proc/self/status").and_then(|text| kilobytes(&text, "VmSize:")).unwrap_or(0.0);
    let limit =
        read("/proc/self/limits").and_then(|text| address_space(&text)).map(|limit| (limit - used).max(0.0));
    [machine, limit, group(&read)].into_iter().flatten().min_by(f64::total_cmp)
}

/// The number behind a word of a list in kB, in bytes.
fn kilobytes(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

fn address_space(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the control groups around this process leave it.
fn group(read: &impl Fn(&str) -> Option<String>) -> Option<f64> {
    let number = |path: String| read(&path)?.trim().parse::<f64>().ok();
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let mut left: Option<f64> = None;
    let mut folder = std::path::Path::new(&own);
    loop {
        let at = |file: &str| {
            format!("/sys/fs/cgroup{}/{file}", folder.display().to_string().trim_end_matches('/'))
        };
        if let Some(most) = number(at("memory.max")) {
            let used = number(at("memory.current")).unwrap_or(0.0);
            // Files that were read are given back.
            let files = read(&at("memory.stat")).and_then(|text| file_pages(&text)).unwrap_or(0.0);
            let here = (most - (used - files).max(0.0)).max(0.0);
            left = Some(left.map_or(here, |left| left.min(here)));
        }
        match folder.parent() {
            Some(parent) => folder = parent,
            None => break,
        }
    }
    let old = number("/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned());
    [left, old].into_iter().flatten().min_by(f64::total_cmp)
}

fn file_pages(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("file "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(kilobytes("MemTotal: 9 kB\nMemAvailable:    2 kB\n", "MemAvailable:"), Some(2048.0));
        assert_eq!(address_space("Max address space   unlimited  unlimited  bytes\n"), None);
        assert_eq!(address_space("Max address space         4096    8192  bytes\n"), Some(4096.0));
        assert_eq!(file_pages("anon 5\nfile 12\nfile_mapped 3\n"), Some(12.0));
        assert!(cfg!(not(target_os = "linux")) || free().is_some_and(|free| free > 0.0));
    }
}
